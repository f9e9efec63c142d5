package inject

import (
	"errors"
	"testing"
)

// TestReceiptOfSeveralTransactions: a bounce has one for each recipient. What is said of the connection is said by the one that decides.
func TestReceiptOfSeveralTransactions(t *testing.T) {
	lost := &Error{Kind: Unreachable, Op: "dot", Err: errors.New("the MTA closed the connection")}
	receipt := func(to string, o Outcome, e *Error) Receipt {
		r := Receipt{Outcome: o, Err: e, Recipients: []RecipientReceipt{{Address: to, Outcome: o, Stage: "dot"}}}
		if o == Delivered {
			r.QueueID = "Q-" + to
		}
		return r
	}
	for name, c := range map[string]struct {
		first, second Receipt
		want          Outcome
		err           *Error
		queueID       string
	}{
		"both delivered":               {receipt("a", Delivered, nil), receipt("b", Delivered, nil), Delivered, nil, "Q-a"},
		"the MTA away at the second":   {receipt("a", Deferred, nil), receipt("b", Deferred, lost), Deferred, lost, ""},
		"the first in doubt":           {receipt("a", InDoubt, lost), receipt("b", Delivered, nil), InDoubt, lost, "Q-b"},
		"the second in doubt":          {receipt("a", Delivered, nil), receipt("b", InDoubt, lost), InDoubt, lost, "Q-a"},
		"the first deferred":           {receipt("a", Deferred, lost), receipt("b", Refused, nil), Deferred, lost, ""},
		"the second deferred":          {receipt("a", Refused, nil), receipt("b", Deferred, lost), Deferred, lost, ""},
		"the first of two in doubt":    {receipt("a", InDoubt, lost), receipt("b", InDoubt, nil), InDoubt, lost, ""},
		"the first may not be said":    {receipt("a", Withheld, lost), receipt("b", Withheld, nil), Withheld, lost, ""},
		"the first not, and delivered": {receipt("a", Withheld, lost), receipt("b", Delivered, nil), Delivered, nil, "Q-b"},
	} {
		got := Receipt{}.and(c.first).and(c.second)
		if got.Outcome != c.want || got.Err != c.err || got.QueueID != c.queueID || len(got.Recipients) != 2 || got.Recipients[0].Address != "a" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
