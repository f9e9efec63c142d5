package transfer_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// change rewrites every message of the mailbox, as the server or another client does.
func (w *world) change(rewrite func(raw string) string) {
	for _, uid := range w.store.UIDs("") {
		w.store.Update("", uid, func(m *fakeserver.Message) {
			raw := []byte(rewrite(string(m.Raw())))
			m.Size, m.Open = int64(len(raw)), func() io.Reader { return bytes.NewReader(raw) }
		})
	}
}

// noted adds what a server with a mailbox file writes into the header between two sessions.
func noted(raw string) string {
	return strings.Replace(raw, "Subject:", "Status: RO\r\nX-UID: 17\r\nX-Keywords:\r\n  $Forwarded\r\nContent-Length: 8\r\nlines: 1\r\nX-IMAP: 1 2\r\nSubject:", 1)
}

// TestServerKeepsNotesInTheHeader: what a server notes in a message between two sessions makes it no other message, be it
// large or small: not where QUIT was lost, not where on_delivered changes from keep to delete, nor under a new UIDVALIDITY.
func TestServerKeepsNotesInTheHeader(t *testing.T) {
	large := "X-Large: " + strings.Repeat("x", 900)
	for _, c := range []struct {
		name string
		pop3 bool
		then func(w *world)
	}{
		{"kept, and looked at again since its size is another", true, func(*world) {}},
		{"deleted from now on", true, func(w *world) { w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete} }},
		{"under other names", true, func(w *world) {
			for i, uid := range w.store.UIDs("") {
				w.store.Update("", uid, func(m *fakeserver.Message) { m.UIDL = "renamed" + string(rune('a'+i)) })
			}
		}},
		{"under a new UIDVALIDITY", false, func(w *world) { w.store.SetValidity("", 77) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := keeping(t, c.pop3)
			for n := range 3 {
				w.add(n+1, large)
			}
			w.store.Add("", append(mail(4), bytes.Repeat([]byte(large+"\r\n"), 1300)...)) // above what is spooled in memory
			w.run()
			w.delivered(1, 2, 3, 4)
			w.change(noted)
			c.then(w)
			for range 2 {
				w.run()
				w.change(func(raw string) string { return strings.Replace(raw, "Status: RO", "Status: O", 1) })
			}
			w.delivered(1, 2, 3, 4)
			if w.pass.OnDelivered.Action == fetch.Delete {
				w.left(0)
			}
			w.states(map[ledger.State]int{ledger.Delivered: 4})
		})
	}
}

// TestRecordsOfOlderVersionsHaveAllOfTheContent: their hash is over the notes of the server, too.
func TestRecordsOfOlderVersionsHaveAllOfTheContent(t *testing.T) {
	for name, uid := range map[string]string{"under its UID": "one", "under another UID": "other"} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, true)
			w.store.AddMessage("", fakeserver.Message{UIDL: "one", Open: func() io.Reader { return strings.NewReader(noted(string(mail(1)))) }})
			old := ledger.Record{
				Key: ledger.Key{Account: "work", UID: uid, Hash: sha256.Sum256([]byte(noted(string(mail(1)))))}, State: ledger.Delivered, Size: 1, Listed: 1, Last: w.clock,
			}
			if err := w.ledger.Put(t.Context(), old); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w.run()
			}
			w.delivered()
			w.states(map[ledger.State]int{ledger.Delivered: 1})
		})
	}
}

// TestAlteredMessageIsHeld: a message that the server shows with another content under the same UID may have been delivered as
// it was. It is held for a person. One that only has the UID of another, where UIDs may be given again, is new.
func TestAlteredMessageIsHeld(t *testing.T) {
	const id = "Message-ID: <one@example.org>"
	for _, c := range []struct {
		name     string
		pop3     bool
		deferred bool // at first
		change   func(raw string) string
		want     map[ledger.State]int
		comes    []int
	}{
		{"POP3, another body", true, false, func(raw string) string { return strings.Replace(raw, "\r\n\r\nbody", "\r\n\r\nscanned: body", 1) },
			map[ledger.State]int{ledger.Delivered: 1, ledger.Held: 1}, []int{1}},
		{"POP3, another message", true, false, func(raw string) string { return strings.Replace(raw, "<one@", "<a-longer-one@", 1) },
			map[ledger.State]int{ledger.Delivered: 2}, []int{1, 1}},
		{"POP3, another body, and not delivered yet", true, true, func(raw string) string { return strings.Replace(raw, "\r\n\r\nbody", "\r\n\r\nscanned: body", 1) },
			map[ledger.State]int{ledger.Held: 1}, nil},
		{"IMAP, another body, and not delivered yet", false, true, func(raw string) string { return strings.Replace(raw, "\r\n\r\nbody", "\r\n\r\nscanned: body", 1) },
			map[ledger.State]int{ledger.Held: 1}, nil},
		{"IMAP, another Message-ID even", false, true, func(raw string) string { return strings.Replace(raw, "<one@", "<a-longer-one@", 1) },
			map[ledger.State]int{ledger.Held: 1}, nil},
		{"IMAP, the server's notes only, and not delivered yet", false, true, noted, map[ledger.State]int{ledger.Delivered: 1}, []int{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := keeping(t, c.pop3)
			if c.deferred {
				w.mta.verdict = func(*inject.Message, int) inject.Receipt {
					return inject.Receipt{Outcome: inject.Deferred, Stage: "RCPT", Reply: inject.Reply{Code: 451}}
				}
			}
			w.add(1, id)
			w.run()
			w.mta.verdict = nil
			w.change(c.change)
			w.clock = w.clock.Add(2 * time.Hour)
			for range 2 {
				w.run()
			}
			w.delivered(c.comes...)
			w.states(c.want)
			held, err := w.ledger.List(t.Context(), ledger.Filter{States: []ledger.State{ledger.Held}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range held {
				if !strings.Contains(r.Why, "another content than before") {
					t.Errorf("a person is told %q", r.Why)
				}
			}
		})
	}
}
