//go:build unix

package transfer_test

import (
	"context"
	"fmt"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestPostfixFindsTheHeader: whatever the first line of a message is, what Postfix delivers has the message's header
// for its header, and a body that begins where the message's does.
func TestPostfixFindsTheHeader(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
	lf := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	plain := string(mail(1))
	for i, c := range []struct{ name, raw, header, body string }{
		{"no mbox line", plain, "Subject", "body 1\n"},
		{"mbox line", "From a@example.com Mon Jan 15 10:00:00 2024\r\n" + plain, "Subject", "body 1\n"},
		{"mbox line, LF", lf("From a@example.com Mon Jan 15 10:00:00 2024\r\n" + plain), "Subject", "body 1\n"},
		{"quoted mbox line", ">From a@example.com Mon Jan 15 10:00:00 2024\r\n" + plain, "Subject", "body 1\n"},
		{"several mbox lines", "From a\r\n>From b\r\n>>From c\r\n" + plain, "Subject", "body 1\n"},
		{"nothing but an mbox line", "From a@example.com Mon Jan 15 10:00:00 2024\r\n", "Truehop-Id", ""},
		{"From as a field", "From : a@example.com\r\n" + plain, "From", "body 1\n"},
		{"first line of white space", " orphan\r\n" + plain, "Subject", "body 1\n"},
		{"first line of white space behind an mbox line", "From a\r\n\torphan\r\n" + plain, "Subject", "body 1\n"},
		{"first line that a bare CR makes one of white space", "\rorphan\r\n" + plain, "Subject", "body 1\n"},
		{"white space, and no header", " indented\r\nand no header\r\n", "Truehop-Id", " indented\nand no header\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			pool := inject.NewPool(p.Dialer(injecttest.ListenUnix), inject.Options{Connections: 1})
			w.pass.MTA, w.pass.Recipients = pool, []string{"user@example.org"}
			w.pass.Client.Unknown = transfer.PresentUnavailable
			w.store.Add("", []byte(c.raw))
			s := w.run()
			if err := pool.Close(context.WithoutCancel(t.Context())); err != nil || s.Delivered != 1 {
				t.Fatalf("summary %+v, %v\n%s", s, err, p.Log())
			}
			delivered := p.Mail()
			if len(delivered) != i+1 {
				t.Fatalf("%d messages delivered, want %d", len(delivered), i+1)
			}
			text := newest(t, w, delivered)
			m, err := netmail.ReadMessage(strings.NewReader(text))
			if err != nil {
				t.Fatalf("%v in %q", err, text)
			}
			if id := m.Header.Get("Truehop-ID"); len(id) != 26 || m.Header.Get(c.header) == "" {
				t.Errorf("Truehop-ID %q, and %s is not in the header that Postfix found:\n%s", id, c.header, text)
			}
			if _, body, _ := strings.Cut(text, "\n\n"); body != c.body {
				t.Errorf("the body is %q, want %q\n%s", body, c.body, text)
			}
		})
	}
}

// newest finds among the mail that Postfix has delivered the message of this world's one record.
func newest(t *testing.T, w *world, delivered []string) string {
	t.Helper()
	for _, e := range w.events {
		if e.Kind != transfer.Verdict {
			continue
		}
		for _, text := range delivered {
			if strings.Contains(text, fmt.Sprintf("\nTruehop-ID: %s\n", e.Token)) {
				return text
			}
		}
	}
	t.Fatal("it was not delivered")
	return ""
}
