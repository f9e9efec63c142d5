package transfer

import (
	"errors"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

func TestStreak(t *testing.T) {
	for _, c := range []struct {
		name string
		met  string // TROUBLE/CLIENT/RECIPIENT, in a row; "-" is none
		end  int    // the message that is one too many, 0 for none
	}{
		{"three clients", "a/1 a/2 a/3", 3},
		{"and any after them", "a/1 a/2 a/3 a/4", 3},
		{"one client", "a/1 a/1 a/1 a/1 a/1", 0},
		{"two clients", "a/1 a/2 a/1 a/2 a/1", 0},
		{"a third client after some of one", "a/1 a/1 a/2 a/2 a/3", 5},
		{"unknown clients", "a/- a/- a/- a/-", 0},
		{"an unknown client among them", "a/1 a/- a/2", 3},
		{"one fares well in between", "a/1 a/2 -/3 a/4 a/5", 0},
		{"another trouble in between", "a/1 a/2 b/3 a/4 a/5", 0},
		{"another trouble afterwards", "a/1 b/2 b/3 b/4", 4},
		{"all fare well", "-/1 -/2 -/3 -/4", 0},
		{"a recipient for each", "a/1/x a/2/y a/3/z", 3},
		{"one recipient of several", "a/1/x a/2/x a/3/x a/4/x", 0},
		{"two recipients of several", "a/1/x a/2/y a/3/x a/4/y a/5/z", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s streak
			end := 0
			for i, message := range strings.Fields(c.met) {
				part := append(strings.Split(strings.ReplaceAll(message, "-", ""), "/"), "")
				if s.add(stopCause{what: part[0]}, part[1], part[2]) && end == 0 {
					end = i + 1
				}
			}
			if end != c.end {
				t.Errorf("ends at message %d, want %d", end, c.end)
			}
		})
	}
}

func TestStopCauseOf(t *testing.T) {
	said := func(o inject.Outcome, stage string, code int, enhanced string) inject.Receipt {
		return receiptOf(fared("a", o, stage, code, enhanced))
	}
	attribute := failedReceipt("XCLIENT", inject.Protocol)
	attribute.Reply.Code = 501
	for _, c := range []struct {
		name    string
		receipt inject.Receipt
		want    string
	}{
		{"delivered", said(inject.Delivered, "dot", 250, "2.0.0"), ""},
		{"greylisted", said(inject.Deferred, "RCPT", 450, "4.2.0"), ""},
		{"greylisted at MAIL", said(inject.Deferred, "MAIL", 451, "4.7.1"), ""},
		{"a milter that is away", said(inject.Deferred, "XCLIENT", 451, "4.3.0"), ""},
		{"a mailbox is full", said(inject.Deferred, "RCPT", 452, "4.2.2"), ""},
		{"too many recipients", said(inject.Deferred, "RCPT", 452, "4.5.3"), ""},
		{"452 without a status", said(inject.Deferred, "RCPT", 452, ""), ""},
		{"out of storage", said(inject.Deferred, "MAIL", 452, "4.3.1"), "storage"},
		{"out of storage, with 451", said(inject.Deferred, "dot", 451, "4.3.1"), "storage"},
		{"refused", said(inject.Refused, "RCPT", 554, "5.7.1"), ""},
		{"larger than there is room for", said(inject.Refused, "MAIL", 552, "5.3.1"), ""},
		{"an unknown recipient", said(inject.Refused, "RCPT", 550, "5.1.1"), "5.1.1"},
		{"credentials wanted", failedReceipt("MAIL", inject.Misconfigured), "misconfigured"},
		{"closed at EHLO", failedReceipt("EHLO", inject.Unreachable), "unreachable"},
		{"silent at MAIL", failedReceipt("MAIL", inject.Unreachable), "unreachable"},
		{"a body that cannot be read", failedReceipt("DATA", inject.Local), "local"},
		{"out of step", failedReceipt("RCPT", inject.Protocol), "protocol"},
		{"an address that the MTA does not take", attribute, ""},
		{"told to end", failedReceipt("RCPT", inject.Aborted), ""},
		{"it cannot be said", failedReceipt("MAIL", inject.Unsendable), ""},
	} {
		got := stopCauseOf("work", &c.receipt, false)
		if got.what != c.want || (got.err == nil) != (c.want == "") {
			t.Errorf("%s: %q with the error %v, want %q", c.name, got.what, got.err, c.want)
		}
	}
}

func TestTally(t *testing.T) {
	refused := receiptOf(fared("a", inject.Refused, "RCPT", 554, "5.7.1"))
	other := receiptOf(fared("a", inject.Refused, "RCPT", 550, "5.7.1"))
	taken := receiptOf(fared("a", inject.Delivered, "dot", 250, ""))
	wanted := failedReceipt("MAIL", inject.Misconfigured)
	for _, c := range []struct {
		name  string
		fared string // r refused, o refused otherwise, t taken, m misconfigured
		want  string
	}{
		{"nothing", "", ""},
		{"all refused alike", "rrrrr", "refused all 5 messages of this pass alike: 554 5.7.1 text"},
		{"too few to tell", "rrrr", ""},
		{"one was taken", "rrrrrrt", ""},
		{"one was refused otherwise", "rrorrr", ""},
		{"one wanted credentials", "mtm", ""},
		{"all wanted credentials", "mm", "MAIL: misconfigured"},
	} {
		var sum tally
		for _, how := range c.fared {
			switch how {
			case 'r':
				sum.add(ledger.Refused, &refused)
			case 'o':
				sum.add(ledger.Refused, &other)
			case 't':
				sum.add(ledger.Delivered, &taken)
			case 'm':
				sum.add(ledger.Deferred, &wanted)
			}
		}
		err := sum.commonError("work")
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		var told *Error
		if errors.As(err, &told) && !strings.Contains(told.Hint(), "truehop retry work --all") {
			t.Errorf("%s: hint %q", c.name, told.Hint())
		}
	}
}
