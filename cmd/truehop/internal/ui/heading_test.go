package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

func invoice() ledger.Heading {
	return ledger.Heading{From: "Jo Example <jo@example.org>", Subject: "invoice for ann@example.net", MessageID: "1@example.org", Date: time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)}
}

// TestHeadingIsPrivate: how much of a message is named is what log.addresses says; a subject stands in a log with whole
// addresses alone.
func TestHeadingIsPrivate(t *testing.T) {
	for how, want := range map[config.AddressDetail]struct {
		shown ledger.Heading
		cell  string
		log   string
	}{
		config.FullAddress: {invoice(), `"invoice for ann@example.net" from Jo Example <jo@example.org>`,
			`from="Jo Example <jo@example.org>" subject="invoice for ann@example.net" message-id=1@example.org`},
		config.DomainOnly: {ledger.Heading{From: "<...@example.org>", Subject: "invoice for ...@example.net", MessageID: "1@example.org", Date: invoice().Date},
			`"invoice for ...@example.net" from <...@example.org>`, `from=<...@example.org> message-id=1@example.org`},
		config.NoAddress: {ledger.Heading{Date: invoice().Date}, "-", ""},
	} {
		t.Run(how.String(), func(t *testing.T) {
			shown := MaskHeading(invoice(), how)
			if shown != want.shown {
				t.Errorf("shown is %+v", shown)
			}
			if got := headingText(shown); got != want.cell {
				t.Errorf("in a table it is %q", got)
			}
			var b strings.Builder
			log := NewLog(&b, config.Log{Addresses: how}, false)
			log.Event(transfer.Event{Kind: transfer.Verdict, Account: "work", State: string(ledger.Refused), Heading: invoice()})
			if !strings.Contains(b.String(), want.log) {
				t.Errorf("logged is %q", b.String())
			}
			if how == config.NoAddress && strings.ContainsAny(b.String(), "@") {
				t.Errorf("logged is %q", b.String())
			}
			b.Reset()
			log.Event(transfer.Event{Kind: transfer.Verdict, Account: "work", State: string(ledger.Delivered), Heading: invoice()})
			if strings.Contains(b.String(), "invoice") || strings.Contains(b.String(), "message-id") {
				t.Errorf("of a delivered message is logged %q", b.String())
			}
		})
	}
}

// TestHeadingWithoutAuthorOrSubject: what is left of it names the message.
func TestHeadingWithoutAuthorOrSubject(t *testing.T) {
	for _, c := range []struct {
		heading ledger.Heading
		want    string
	}{
		{ledger.Heading{}, "-"},
		{ledger.Heading{MessageID: "1@x"}, "<1@x>"},
		{ledger.Heading{Subject: "s", MessageID: "1@x"}, `"s"`},
		{MaskHeading(ledger.Heading{From: "somebody"}, config.DomainOnly), "-"},
		{MaskHeading(ledger.Heading{From: "<a@x> and others"}, config.DomainOnly), "from <...@x> and others"},
	} {
		if got := headingText(c.heading); got != c.want {
			t.Errorf("%+v is named %q, want %q", c.heading, got, c.want)
		}
	}
}

// TestHistoryNamesMessages: in its table, and in its JSON, where what is not known is null.
func TestHistoryNamesMessages(t *testing.T) {
	found := []ledger.Record{{Key: ledger.Key{Account: "work", UID: "1"}, State: ledger.Refused, Heading: invoice()}, {Key: ledger.Key{Account: "work", UID: "2"}, State: ledger.Held}}
	var table, object strings.Builder
	PrintHistory(&table, found, noon())
	if !strings.Contains(table.String(), `"invoice for ann@example.net" from Jo Example <jo@example.org>`) {
		t.Errorf("the table is\n%s", &table)
	}
	if err := PrintHistoryJSON(&object, found, func(string) string { return "main" }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"message":{"from":"Jo Example <jo@example.org>","subject":"invoice for ann@example.net","date":"2026-11-23T14:00:00Z","message_id":"1@example.org"}`,
		`"message":{"from":null,"subject":null,"date":null,"message_id":null}`,
	} {
		if !strings.Contains(object.String(), want) {
			t.Errorf("%s is not in\n%s", want, &object)
		}
	}
}
