package transfer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// refusing returns a world whose MTA refuses everything, with a quarantine beside it.
func refusing(t *testing.T) (*world, *mta) {
	w := newWorld(t)
	w.mta.verdict = func(*inject.Message, int) inject.Receipt {
		return reply(inject.Refused, "RCPT", 554, "5.7.1", "listed\twith a bad word \u202e")
	}
	plain := &mta{}
	w.pass.Plain, w.pass.Quarantine = plain, "spam@example.net"
	return w, plain
}

func TestQuarantine(t *testing.T) {
	w, plain := refusing(t)
	w.add(1)
	if s := w.run(); s.Quarantined != 1 || s.WantPerson() != 0 {
		t.Errorf("summary %+v, want one quarantined and nobody to be asked", s)
	}
	w.run()
	if len(plain.taken) != 1 {
		t.Fatalf("the quarantine has %d messages, want 1", len(plain.taken))
	}
	got := plain.taken[0]
	if got.from != "" || len(got.to) != 1 || got.to[0] != "spam@example.net" || got.client != (inject.Client{}) {
		t.Errorf("quarantined from %q to %v as %+v, want the null sender, the one address, no client", got.from, got.to, got.client)
	}
	if !strings.Contains(got.header, "\r\nTruehop-Refused: 554 5.7.1 listed?with a bad word ?\r\n") {
		t.Errorf("the header does not tell the refusal in one clean line: %q", got.header)
	}
	w.states(map[ledger.State]int{ledger.Quarantined: 1})
	w.left(0)
}

func TestQuarantineThatFails(t *testing.T) {
	for _, c := range []struct {
		receipt inject.Receipt
		want    ledger.State
	}{
		{reply(inject.Deferred, "MAIL", 451, "4.3.0", "later"), ledger.Deferred},
		{reply(inject.Refused, "RCPT", 550, "5.1.1", "unknown"), ledger.Deferred},
		{inject.Receipt{Outcome: inject.InDoubt, Stage: "dot"}, ledger.Doubt},
	} {
		w, plain := refusing(t)
		plain.verdict = func(*inject.Message, int) inject.Receipt { return c.receipt }
		w.add(1)
		if s := w.run(); s.ToRetry() != 1 {
			t.Errorf("%v: summary %+v, want another attempt", c.receipt.Outcome, s)
		}
		w.states(map[ledger.State]int{c.want: 1})
		w.left(1)
		plain.verdict, w.clock = nil, w.clock.Add(time.Hour)
		w.run()
		w.states(map[ledger.State]int{ledger.Quarantined: 1})
		w.left(0)
	}
}

func TestStaleClient(t *testing.T) {
	w := newWorld(t)
	plain := &mta{}
	w.pass.Plain = plain
	w.pass.Client.StaleAfter = 30 * 24 * time.Hour
	w.add(1) // seen on 23 November at noon
	w.run()
	if c := w.mta.taken[0].client; !c.Addr.IsValid() {
		t.Errorf("a fresh message was presented as %+v", c)
	}
	w.clock = w.clock.AddDate(0, 2, 0)
	w.pass.Client.Stale = transfer.PresentUnavailable
	w.add(2)
	w.run()
	if c := w.mta.taken[1].client; c.Addr.IsValid() || c.HELO != "" {
		t.Errorf("a stale message was presented as %+v, want an unknown client", c)
	}
	w.pass.Client.Stale = transfer.SendPlain
	w.add(3)
	w.run()
	if len(plain.taken) != 1 || plain.taken[0].subject() != "number 3" {
		t.Errorf("the plain listener has %d messages, want the stale one", len(plain.taken))
	}
	w.left(0)
	w.pass.Client.Stale = transfer.Hold
	w.add(4)
	if s := w.run(); s.Held != 1 || len(w.mta.taken)+len(plain.taken) != 3 {
		t.Errorf("summary %+v, want the stale one held", s)
	}
	w.left(1)
}

func TestUnknownClientIsSkipped(t *testing.T) {
	w := newWorld(t)
	w.pass.Client.Unknown = transfer.Skip
	w.store.Add("", []byte("Subject: number 9\r\n\r\nno Received at all\r\n"))
	if s := w.run(); s.WantPerson() != 0 || s.ToRetry() != 0 {
		t.Errorf("summary %+v, want nobody to be asked and nothing to be tried again", s)
	}
	w.run()
	w.delivered()
	w.left(1)
	w.states(map[ledger.State]int{ledger.Adopted: 1})
}

func TestSenderThatCannotBeOne(t *testing.T) {
	for _, path := range []string{"<a@b.example> SIZE=1", "<a b@c.example>", "<a@b.example>RCPT TO:<x@y.example>"} {
		w := newWorld(t)
		w.pass.Sender = "fallback@example.net"
		raw := strings.Replace(string(mail(1)), "<sender1@example.org>", path, 1)
		w.store.Add("", []byte(raw))
		w.run()
		w.delivered(1)
		if got := w.mta.taken[0].from; got != "fallback@example.net" {
			t.Errorf("Return-Path %q became the sender %q, want the configured one", path, got)
		}
		told := false
		for _, e := range w.events {
			told = told || e.Kind == transfer.Verdict && strings.Contains(e.Why, "sender cannot be one")
		}
		if !told {
			t.Errorf("Return-Path %q: nobody is told that it was replaced", path)
		}
	}
}

func TestMissingFolderDoesNotStopDelivery(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Move, Target: "Missing"}
	w.pass.Batch = 1
	for n := range 3 {
		w.add(n + 1)
	}
	_, err := w.try()
	if fetch.KindOf(err) != fetch.NoFolder {
		t.Errorf("the pass ended with %v, want the missing folder told", err)
	}
	w.delivered(1, 2, 3)
	w.left(3)
	w.store.Create("Missing")
	w.run()
	w.delivered(1, 2, 3)
	w.left(0)
}

func TestOddOctetsAreDeclared(t *testing.T) {
	for _, c := range []struct {
		text          string
		eightBit, nul bool
	}{
		{"plain", false, false}, {"caf\xc3\xa9", true, false}, {"a\x00b", false, true}, {"\xff\x00", true, true},
	} {
		w := newWorld(t)
		w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
			if m.EightBit != c.eightBit || m.NUL != c.nul {
				t.Errorf("%q: 8-bit %v, NUL %v, want %v, %v", c.text, m.EightBit, m.NUL, c.eightBit, c.nul)
			}
			return accept()
		}
		w.store.Add("", append(mail(1), c.text...))
		w.run()
		w.delivered(1)
	}
}
