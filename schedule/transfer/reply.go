package transfer

import (
	"slices"
	"strings"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// stateOf says how one recipient fared. Only a 5xx that the MTA said of the message or its client is a
// refusal, which a policy for refused mail may act upon.
func stateOf(r inject.RecipientReceipt) ledger.State {
	switch r.Outcome {
	case inject.Delivered:
		return ledger.Delivered
	case inject.InDoubt:
		return ledger.Doubt
	case inject.Withheld:
		return ledger.Held
	case inject.Refused:
		if excuse(r.Stage, r.Reply) != "" {
			return ledger.Held
		}
		return ledger.Refused
	}
	return ledger.Deferred
}

// together is the state of a message whose recipients stand so: as long as one waits, the message does.
func together(recipients []ledger.State) ledger.State {
	has := func(s ledger.State) bool { return slices.Contains(recipients, s) }
	missed := has(ledger.Refused) || has(ledger.Held)
	switch {
	case has(ledger.Doubt):
		return ledger.Doubt
	case has(ledger.Deferred), len(recipients) == 0:
		return ledger.Deferred
	case has(ledger.Delivered) && missed:
		return ledger.PartlyRefused
	case has(ledger.Delivered):
		return ledger.Delivered
	case has(ledger.Held):
		return ledger.Held
	}
	return ledger.Refused
}

// What a 5xx says where it is not about the message or its client.
const (
	excuseRecipient = "this reply is about the recipient, not about the message: correct recipients, or have the MTA take their mail"
	excuseRoute     = "the MTA cannot route it, or takes it for a loop"
	excuseSize      = "larger than the MTA takes, or has room for"
	excuseParameter = "the MTA does not know a parameter that it was sent"
)

// excuse returns why a 5xx at a stage says nothing against the message or its client, "" if it may well do.
// The enhanced status code decides (RFC 3463 section 3), and where there is none, what RFC 5321
// section 4.2.2 says of the code.
func excuse(stage string, r inject.Reply) string {
	switch {
	case r.Enhanced == "5.3.4", r.Enhanced == "5.3.1", r.Enhanced == "5.2.3", r.Code == 552 && r.Enhanced == "":
		return excuseSize
	case r.Code == 555:
		return excuseParameter
	}
	switch stage {
	case "RCPT":
		if deniesRelay(r.Text) || plainlyRecipient(r) {
			return excuseRecipient
		}
	case "DATA", "dot":
	default:
		return "" // before the recipient was named
	}
	switch subject(r.Enhanced) {
	case "1":
		// These are about the sender's address.
		if !slices.Contains([]string{"5.1.7", "5.1.8", "5.1.9"}, r.Enhanced) {
			return excuseRecipient
		}
	case "2":
		return excuseRecipient
	case "4":
		return excuseRoute
	}
	return ""
}

// plainlyRecipient reports whether a reply to RCPT blames the recipient by its code alone: 551 and 556 (RFC 7504)
// always do, others unless an enhanced code says what they are about.
func plainlyRecipient(r inject.Reply) bool {
	switch r.Code {
	case 551, 556:
		return true
	case 501, 550, 553:
		return r.Enhanced == ""
	}
	return false
}

// deniesRelay reports whether a text says that the MTA is not responsible for the recipient's domain, for which there is
// no status code of its own: the words of Postfix, sendmail, Exim, Exchange, and qmail. They come behind the
// addresses that the text may quote, in which a sender can write what it likes.
func deniesRelay(text string) bool {
	text = strings.ToLower(text[strings.LastIndexByte(text, '>')+1:])
	return slices.ContainsFunc([]string{"relay access denied", "relaying denied", "relay denied", "relay not permitted", "relaying not",
		"relaying is not", "unable to relay", "not permitted to relay", "allowed rcpthosts"}, func(words string) bool { return strings.Contains(text, words) })
}

// subject is the second part of an enhanced status code.
func subject(enhanced string) string {
	_, rest, _ := strings.Cut(enhanced, ".")
	s, _, _ := strings.Cut(rest, ".")
	return s
}

// troubleLimit is how many messages in a row must meet the same trouble before it is taken for the account's.
const troubleLimit = 3

// streak counts messages in a row that met the same trouble.
type streak struct {
	what string
	n    int
}

// met notes the trouble of one message, "" for none, and reports whether it is one too many.
func (s *streak) met(what string) bool {
	if what != s.what {
		s.what, s.n = what, 0
	}
	s.n++
	return what != "" && s.n >= troubleLimit
}

// wrongRecipient says which trouble with the recipients of the account a receipt tells of, "" if of none. Where
// each message has a recipient of its own, only a domain that the MTA does not take mail for is not that message's matter.
func wrongRecipient(r *inject.Receipt, own bool) string {
	if r.Stage != "RCPT" || r.Outcome != inject.Refused {
		return ""
	}
	switch {
	case deniesRelay(r.Reply.Text):
		return "relay"
	case r.Reply.Enhanced == "5.1.2":
		return r.Reply.Enhanced
	case own:
		return ""
	case slices.Contains([]string{"5.1.1", "5.1.3", "5.1.6", "5.1.10"}, r.Reply.Enhanced):
		return r.Reply.Enhanced
	}
	return ""
}
