package transfer

import (
	"fmt"
	"slices"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// stopCause is what one message met that may be the MTA's matter and not its own. No single message can show
// that: a reply may be about its client, its sender, its content.
type stopCause struct {
	// what is the same for all messages that meet the same trouble, "" for none.
	what string
	// err is what the pass ends with, if enough messages meet it.
	err error
}

// stopCauseOf finds what a receipt shows of that kind. What may be said of one client only, such as greylisting, is none.
func stopCauseOf(account string, r *inject.Receipt, multidrop bool) stopCause {
	if r.Err == nil {
		// RFC 3463 section 3.4: X.3.1 is the system's storage. X.2.2 is that of one mailbox, and X.5.3 is about the
		// number of recipients, though all of them come as 452.
		if r.Outcome == inject.Deferred && r.Reply.Enhanced == "4.3.1" {
			return stopCause{"storage", &Error{Op: r.Stage, Text: "the MTA is out of storage: " + r.Reply.String(), Advice: "free space in the MTA's queue"}}
		}
		if complaint := recipientComplaint(r, multidrop); complaint != "" {
			return stopCause{complaint, &Error{Op: "RCPT TO", Text: "the MTA does not take mail for the recipients of this account: " + r.Reply.String(),
				Advice: "correct recipients, or make the MTA responsible for their domain; then truehop retry " + account + " --all"}}
		}
		return stopCause{}
	}
	switch r.Err.Kind {
	case inject.Aborted, inject.Unsendable:
		return stopCause{}
	case inject.Protocol, inject.Misconfigured:
		// An attribute that the MTA does not take is the client's matter: an IPv6 address, for instance.
		if r.Stage == "XCLIENT" && r.Reply.Code == 501 {
			return stopCause{}
		}
	}
	return stopCause{r.Err.Kind.String(), r.Err}
}

// stopLimit is how many messages in a row must meet the same trouble before it is taken for the MTA's.
const stopLimit = 3

// streak is a row of messages that met the same trouble.
type streak struct {
	what                string
	clients, recipients []string
}

// add notes the trouble that a message met and reports whether the row is long enough now. Only messages of
// different clients count, and where each message has a recipient of its own, for different recipients: one sender, or one
// mailbox, can make any trouble for its own mail. All unknown clients count as one.
func (s *streak) add(t stopCause, client, recipient string) bool {
	if t.what != s.what {
		*s = streak{what: t.what}
	}
	if t.what == "" || slices.Contains(s.clients, client) || slices.Contains(s.recipients, recipient) {
		return false
	}
	s.clients = append(s.clients, client)
	if recipient != "" {
		s.recipients = append(s.recipients, recipient)
	}
	return len(s.clients) >= stopLimit
}

// recipientComplaint names what the MTA has against the recipients of the account, "" if nothing. Where each
// message has a recipient of its own, only a domain that the MTA does not take mail for is not that message's matter.
func recipientComplaint(r *inject.Receipt, multidrop bool) string {
	if r.Stage != "RCPT" || r.Outcome != inject.Refused {
		return ""
	}
	switch {
	case deniesRelay(r.Reply):
		return "relay"
	case r.Reply.Enhanced == "5.1.2":
		return r.Reply.Enhanced
	case multidrop:
		return ""
	case slices.Contains([]string{"5.1.1", "5.1.3", "5.1.6", "5.1.10"}, r.Reply.Enhanced):
		return r.Reply.Enhanced
	}
	return ""
}

// alikeLimit is how many messages a pass must have had refused, all alike, to tell of it as one trouble.
const alikeLimit = 5

// tally sums up how the messages of a pass fared with the MTA.
type tally struct {
	fared, refused, misconfigured int
	// first is what the MTA said to the first that was refused, mixed that it said something else to another.
	first inject.RecipientReceipt
	mixed bool
	// err is the first error that says that the MTA is not set up for this.
	err error
}

// add notes the state that a message got and the receipt that it got it by.
func (t *tally) add(state ledger.State, r *inject.Receipt) {
	t.fared++
	if r.Err != nil && r.Err.Kind == inject.Misconfigured {
		t.misconfigured++
		if t.err == nil {
			t.err = r.Err
		}
	}
	if state != ledger.Refused {
		return
	}
	if t.refused++; t.refused == 1 {
		t.first.Stage, t.first.Reply = r.Stage, r.Reply
	}
	t.mixed = t.mixed || r.Stage != t.first.Stage || r.Reply.Code != t.first.Reply.Code || r.Reply.Enhanced != t.first.Reply.Enhanced
}

// commonError returns the one error that all messages of a pass over an account amount to, nil if they do not.
func (t *tally) commonError(account string) error {
	switch {
	case t.misconfigured > 0 && t.misconfigured == t.fared:
		return t.err
	case t.refused >= alikeLimit && t.refused == t.fared && !t.mixed:
		return &Error{Op: t.first.Stage, Text: fmt.Sprintf("the MTA refused all %d messages of this pass alike: %s", t.fared, t.first.Reply),
			Advice: "see whether it refuses everybody: a block list that lists the world, or a listener that has lost its rules; once that is mended, truehop retry " + account + " --all"}
	}
	return nil
}
