package transfer_test

import (
	"crypto/sha256"
	"io"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestMboxLineIsDropped: below a field of ours the line that an mbox file has before each message would
// end the header, and all of the message's own would be body.
func TestMboxLineIsDropped(t *testing.T) {
	text := func(n int) string { return string(mail(n)) }
	lf := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	large := text(1) + strings.Repeat("sixty-four octets of body, over and over again, until it is big\r\n", 1<<15)
	for _, c := range []struct{ name, prefix, rest string }{
		{"CRLF", "From a@example.com Mon Jan 15 10:00:00 2024\r\n", text(1)},
		{"LF", "From a@example.com Mon Jan 15 10:00:00 2024\n", lf(text(1))},
		{"quoted", ">From a@example.com Mon Jan 15 10:00:00 2024\r\n", text(1)},
		{"several", ">From a\r\nFrom b\r\n>>From c\n", text(1)},
		{"in a file", "From a@example.com Mon Jan 15 10:00:00 2024\r\n>From b\r\n", large},
		{"longer than a header that is read", "From " + strings.Repeat("x", 1<<21) + "\r\n", text(1)},
		{"more than a header that is read", strings.Repeat("From "+strings.Repeat("x", 1000)+"\n", 2000), text(1)},
		{"no line but fields", "", "From: a@example.com\r\n" + text(1)},
		{"no line but a field with white space before its colon", "", "From : a@example.com\r\n" + text(1)},
		{"further down it is content", "", text(1) + "From a@example.com\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			raw := []byte(c.prefix + c.rest)
			w.store.Add("", raw)
			w.run()
			w.run() // nothing happens twice
			w.delivered(1)
			w.left(0)
			got := w.mta.taken[0]
			if got.body != c.rest {
				t.Errorf("delivered %.200q, want what stands behind the mbox lines, %.200q", got.body, c.rest)
			}
			if got.client.Addr.String() != "203.0.113.1" || got.from != "sender1@example.org" {
				t.Errorf("presented %v, sender %q: the header was not read", got.client.Addr, got.from)
			}
			wantIdentity(t, w, raw)
		})
	}
}

// TestNothingButAnMboxLine is delivered as a message of ours with nothing in it.
func TestNothingButAnMboxLine(t *testing.T) {
	for _, raw := range []string{"From a@example.com Mon Jan 15 10:00:00 2024\r\n", "From a@example.com\n", ">From a", "From a\r\n\r\n"} {
		w := newWorld(t)
		w.pass.Client.Unknown = transfer.PresentUnavailable
		w.store.Add("", []byte(raw))
		if s := w.run(); s.Delivered != 1 || strings.Trim(w.mta.taken[0].body, "\r\n") != "" {
			t.Errorf("%q: summary %+v, delivered %+v", raw, s, w.mta.taken)
		}
		wantIdentity(t, w, []byte(raw))
	}
}

// wantIdentity wants the one record of the ledger to be that of the octets as they were retrieved: by these a
// message is known again that was delivered before its mbox line was dropped.
func wantIdentity(t *testing.T, w *world, raw []byte) {
	t.Helper()
	records, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	if r := records[0]; r.Hash != sha256.Sum256(raw) || r.Size != int64(len(raw)) {
		t.Errorf("the record is of %d octets with the hash %x, want those retrieved", r.Size, r.Hash)
	}
}

// TestFirstLineOfWhiteSpace: a first line that begins with white space belongs to no field, and would become part
// of ours. Where fields follow, they stay fields; where none does, all of it is body, as it would be without us.
func TestFirstLineOfWhiteSpace(t *testing.T) {
	const header, body = "Subject: number 1\r\nX-Other: o\r\n", "\r\nbody\r\n"
	for _, c := range []struct{ name, raw, first, body string }{
		{"space", " orphan\r\n" + header + body, "orphan", "body\r\n"},
		{"tab", "\torphan\r\n" + header + body, "orphan", "body\r\n"},
		{"several lines", " orphan\r\n\tof a field\r\n" + header + body, "orphan of a field", "body\r\n"},
		{"LF", " orphan\n" + strings.ReplaceAll(header+body, "\r\n", "\n"), "orphan", "body\n"},
		{"behind an mbox line", "From a@example.com\r\n orphan\r\n" + header + body, "orphan", "body\r\n"},
		{"a bare CR, which goes out as a space", "\rorphan\r\n" + header + body, "orphan", "body\r\n"},
		{"nothing but white space", " \r\n" + header + body, "", "body\r\n"},
		{"no fields behind it", " indented\r\nand no header, for all there is: number 1\r\n", "", " indented\r\nand no header, for all there is: number 1\r\n"},
		{"no header behind it", " indented\r\n\r\nbody\r\n", "", " indented\r\n\r\nbody\r\n"},
		{"nothing behind it", " indented", "", " indented"},
		{"an empty line on top", "\r\n indented\r\n", "", " indented\r\n"},
	} {
		for _, quarantined := range []bool{false, true} {
			w, plain := refusing(t)
			taken := &plain.taken
			if !quarantined {
				w.mta.verdict, taken = nil, &w.mta.taken
			}
			w.pass.Client.Unknown = transfer.PresentUnavailable
			w.store.Add("", []byte(c.raw))
			w.run()
			if len(*taken) != 1 {
				t.Fatalf("%s: %d messages delivered", c.name, len(*taken))
			}
			got := (*taken)[0]
			m, err := netmail.ReadMessage(strings.NewReader(strings.ReplaceAll(got.header+got.body, "\rorphan", " orphan")))
			if err != nil {
				t.Fatalf("%s: %v in %q", c.name, err, got.header+got.body)
			}
			if id := m.Header.Get("Truehop-ID"); len(id) != 26 {
				t.Errorf("%s: Truehop-ID is %q", c.name, id)
			}
			if r := m.Header.Get("Truehop-Refused"); quarantined != (r == "554 5.7.1 listed?with a bad word ?") {
				t.Errorf("%s: Truehop-Refused is %q", c.name, r)
			}
			if first := m.Header.Get("X-Upstream-First-Line"); first != c.first {
				t.Errorf("%s: the first line became %q, want %q", c.name, first, c.first)
			}
			if fields := m.Header.Get("Subject") + " " + m.Header.Get("X-Other"); c.first != "" && fields != "number 1 o" {
				t.Errorf("%s: the header is %v", c.name, m.Header)
			}
			if text, err := io.ReadAll(m.Body); err != nil || string(text) != c.body {
				t.Errorf("%s: the body is %q, want %q", c.name, text, c.body)
			}
			wantIdentity(t, w, []byte(c.raw))
		}
	}
}
