package transfer

import (
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestOtherCause has a row for each thing that a 5xx can be about, in the words of those who say it.
func TestOtherCause(t *testing.T) {
	const ofTheMessage = ""
	for _, c := range []struct {
		stage    string
		code     int
		enhanced string
		text     string
		want     string
	}{
		// The client, its name, the sender, the content.
		{"greeting", 554, "5.7.1", "listed", ofTheMessage},
		{"XCLIENT", 554, "5.7.1", "<h[203.0.113.1]>: Client host rejected: listed", ofTheMessage},
		{"XCLIENT", 550, "", "go away", ofTheMessage},
		{"EHLO", 550, "", "no such name", ofTheMessage},
		{"EHLO", 501, "", "invalid name", ofTheMessage},
		{"MAIL", 550, "", "sender unknown", ofTheMessage},
		{"MAIL", 553, "", "sender address malformed", ofTheMessage},
		{"MAIL", 550, "5.1.0", "sender rejected", ofTheMessage},
		{"MAIL", 550, "5.1.1", "sender unknown", ofTheMessage},
		{"RCPT", 554, "5.7.1", "Service unavailable; Client host [203.0.113.1] blocked using zen", ofTheMessage},
		{"RCPT", 550, "5.7.25", "Client host rejected: cannot find your hostname", ofTheMessage},
		{"RCPT", 550, "5.1.7", "<x>: Sender address rejected: bad syntax", ofTheMessage},
		{"RCPT", 550, "5.1.8", "<a@b.invalid>: Sender address rejected: Domain not found", ofTheMessage},
		{"RCPT", 504, "5.5.2", "<localhost>: Helo command rejected: need fully-qualified hostname", ofTheMessage},
		{"RCPT", 553, "5.7.1", "<a@example.net>: Sender address rejected: not owned by user", ofTheMessage},
		{"RCPT", 554, "", "blocked", ofTheMessage},
		{"RCPT", 571, "", "delivery not authorized", ofTheMessage},
		{"RCPT", 521, "", "no mail from you", ofTheMessage},
		{"RCPT", 550, "5.1.8", "<\"relay access denied\"@b.invalid>: Sender address rejected: Domain not found", ofTheMessage},
		{"RCPT", 554, "5.7.1", "<relay.example.com[203.0.113.1]>: Client host rejected: Access denied", ofTheMessage},
		{"DATA", 550, "", "no", ofTheMessage},
		{"dot", 550, "", "spam", ofTheMessage},
		{"dot", 550, "5.7.1", "spam", ofTheMessage},
		{"dot", 552, "5.7.0", "blocked because of its content", ofTheMessage},
		{"dot", 554, "5.6.0", "bare line feeds", ofTheMessage},
		{"dot", 550, "5.1.8", "Sender address rejected", ofTheMessage},
		// The recipient, who is ours.
		{"RCPT", 550, "5.1.1", "<alice@example.net>: Recipient address rejected: User unknown", causeRecipient},
		{"RCPT", 550, "5.1.0", "address rejected", causeRecipient},
		{"RCPT", 550, "5.1.2", "Domain not found", causeRecipient},
		{"RCPT", 501, "5.1.3", "Bad recipient address syntax", causeRecipient},
		{"RCPT", 550, "5.1.4", "ambiguous", causeRecipient},
		{"RCPT", 551, "5.1.6", "has moved", causeRecipient},
		{"RCPT", 556, "5.1.10", "domain does not accept mail", causeRecipient},
		{"RCPT", 550, "", "Unrouteable address", causeRecipient},
		{"RCPT", 550, "", "relay not permitted", causeRecipient},
		{"RCPT", 551, "", "User not local", causeRecipient},
		{"RCPT", 551, "5.7.1", "User not local", causeRecipient},
		{"RCPT", 553, "", "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", causeRecipient},
		{"RCPT", 553, "5.1.2", "no such domain", causeRecipient},
		{"RCPT", 501, "", "syntax error", causeRecipient},
		{"RCPT", 556, "", "domain does not accept mail", causeRecipient},
		{"RCPT", 554, "5.7.1", "<alice@example.net>: Relay access denied", causeRecipient},
		{"RCPT", 554, "", "<alice@example.net>: Relay access denied", causeRecipient},
		{"RCPT", 550, "5.7.1", "alice@example.net... Relaying denied. Proper authentication required.", causeRecipient},
		{"RCPT", 550, "5.7.54", "SMTP; Unable to relay recipient in non-accepted domain", causeRecipient},
		{"RCPT", 550, "5.2.1", "Mailbox disabled", causeRecipient},
		{"RCPT", 504, "5.5.2", "<alice>: Recipient address rejected: need fully-qualified address", causeRecipient},
		{"RCPT", 504, "5.5.2", "<recipient address rejected>: Helo command rejected: need fully-qualified hostname", ofTheMessage},
		{"dot", 550, "5.1.1", "LMTP: user unknown", causeRecipient},
		{"dot", 552, "5.2.2", "mailbox is full", causeRecipient},
		{"DATA", 554, "5.1.1", "user unknown", causeRecipient},
		// The way behind the MTA.
		{"RCPT", 550, "5.4.4", "unable to route", causeRoute},
		{"dot", 554, "5.4.0", "Error: too many hops", causeRoute},
		{"dot", 554, "5.4.6", "Too many hops", causeRoute},
		// The size.
		{"MAIL", 552, "5.3.4", "Message size exceeds fixed limit", causeSize},
		{"MAIL", 552, "", "message size exceeds fixed maximum message size", causeSize},
		{"MAIL", 554, "5.3.4", "too big", causeSize},
		{"DATA", 552, "5.3.4", "too big", causeSize},
		{"dot", 552, "5.3.4", "Error: message file too big", causeSize},
		{"dot", 552, "", "exceeded storage allocation", causeSize},
		{"dot", 550, "5.2.3", "message too long for this mailbox", causeSize},
		{"dot", 552, "5.3.1", "disk full", causeSize},
		// The way it was said.
		{"MAIL", 555, "5.5.4", "Unsupported option: SMTPUTF8", causeParameter},
		{"DATA", 550, "5.5.3", "<DATA>: Data command rejected: Multi-recipient bounce", causeSeveral},
		{"RCPT", 550, "5.5.3", "Multi-recipient bounce", causeSeveral},
		{"RCPT", 555, "", "NOTIFY is not for you", causeParameter},
		{"MAIL", 501, "5.5.4", "Unknown BODY value", causeParameter},
		{"MAIL", 504, "5.5.4", "SIZE not implemented", causeParameter},
		{"RCPT", 501, "5.5.4", "Error: Bad NOTIFY parameter syntax", causeParameter},
		{"EHLO", 501, "5.5.4", "Invalid domain name", ofTheMessage},
		{"dot", 554, "5.6.3", "8-bit content, and 8BITMIME was not declared", causeParameter},
		{"RCPT", 553, "5.6.7", "Must declare SMTPUTF8 to send unicode address", causeParameter},
		// The MTA itself.
		{"XCLIENT", 554, "5.3.5", "Local configuration error", causeMTA},
		{"MAIL", 554, "5.3.5", "Local configuration error", causeMTA},
		{"RCPT", 550, "5.3.5", "system incorrectly configured", causeMTA},
		{"DATA", 554, "5.3.3", "not capable of that", causeMTA},
		{"dot", 554, "5.3.5", "mail system misconfigured", causeMTA},
		{"RCPT", 550, "5.3.2", "Service currently unavailable", ofTheMessage}, // postscreen, to a client that it denies
		{"RCPT", 550, "5.3.0", "access denied", ofTheMessage},                 // sendmail's access database
	} {
		r := inject.Reply{Code: c.code, Enhanced: c.enhanced, Text: c.text}
		if got := otherCause(c.stage, r); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.stage, r, got, c.want)
		}
		want := ledger.Refused
		if c.want != "" {
			want = ledger.Held
		}
		if got := (&attempt{}).recipientState(inject.RecipientReceipt{Outcome: inject.Refused, Stage: c.stage, Reply: r}); got != want {
			t.Errorf("%s %v: %s, want %s", c.stage, r, got, want)
		}
	}
}

// TestRecipientState: what is not refused is not, whatever the reply.
func TestRecipientState(t *testing.T) {
	for outcome, want := range map[inject.Outcome]ledger.State{
		inject.Delivered: ledger.Delivered, inject.Deferred: ledger.Deferred, inject.InDoubt: ledger.Doubt,
		inject.Withheld: ledger.Held, inject.Refused: ledger.Refused,
	} {
		r := inject.RecipientReceipt{Outcome: outcome, Stage: "RCPT", Reply: inject.Reply{Code: 554, Enhanced: "5.7.1"}}
		if got := (&attempt{}).recipientState(r); got != want {
			t.Errorf("%v: %s, want %s", outcome, got, want)
		}
	}
}

// TestCombinedState: the state of a message by those of its recipients, in any order.
func TestCombinedState(t *testing.T) {
	const delivered, refused, held, deferred, doubt = ledger.Delivered, ledger.Refused, ledger.Held, ledger.Deferred, ledger.Doubt
	for _, c := range []struct {
		recipients []ledger.State
		want       ledger.State
	}{
		{nil, deferred},
		{[]ledger.State{delivered}, delivered},
		{[]ledger.State{refused}, refused},
		{[]ledger.State{held}, held},
		{[]ledger.State{deferred}, deferred},
		{[]ledger.State{doubt}, doubt},
		{[]ledger.State{delivered, delivered}, delivered},
		{[]ledger.State{refused, refused}, refused},
		{[]ledger.State{delivered, refused}, ledger.PartlyRefused},
		{[]ledger.State{delivered, held}, ledger.PartlyRefused},
		{[]ledger.State{delivered, held, refused}, ledger.PartlyRefused},
		{[]ledger.State{held, refused}, held},
		{[]ledger.State{delivered, deferred}, deferred},
		{[]ledger.State{refused, deferred}, deferred},
		{[]ledger.State{delivered, refused, deferred}, deferred},
		{[]ledger.State{delivered, doubt}, doubt},
		{[]ledger.State{deferred, doubt, refused}, doubt},
	} {
		for range c.recipients {
			c.recipients = append(c.recipients[1:], c.recipients[0])
			if got := combinedState(c.recipients); got != c.want {
				t.Errorf("%v are %s, want %s", c.recipients, got, c.want)
			}
		}
	}
	if got := combinedState(nil); got != deferred {
		t.Errorf("without recipients: %s", got)
	}
}
