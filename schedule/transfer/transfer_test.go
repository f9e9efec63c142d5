package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

func reply(outcome inject.Outcome, stage string, code int, enhanced, text string) inject.Receipt {
	return inject.Receipt{Outcome: outcome, Stage: stage, Reply: inject.Reply{Code: code, Enhanced: enhanced, Text: text}}
}

// accept is the verdict of an MTA that takes a message.
func accept() inject.Receipt { return reply(inject.Delivered, "dot", 250, "2.0.0", "queued as Q") }

func TestDelivers(t *testing.T) {
	for name, pop := range map[string]bool{"pop3": true, "imap": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable = pop
			w.add(1)
			w.add(2)
			w.add(3)
			s := w.run()
			if s.Delivered != 3 || s.Settled != 3 || s.ToRetry() != 0 || s.WantPerson() != 0 {
				t.Errorf("summary %+v, want 3 delivered and settled", s)
			}
			w.delivered(1, 2, 3)
			w.left(0)
			w.states(map[ledger.State]int{ledger.Delivered: 3})
			got := w.mta.taken[0]
			want := inject.Client{Addr: netip.MustParseAddr("203.0.113.1"), Name: "host1.example.org", ReverseName: "host1.example.org", HELO: "helo1.example.org", ESMTP: true}
			if got.client != want {
				t.Errorf("presented %+v, want %+v", got.client, want)
			}
			if got.from != "sender1@example.org" || fmt.Sprint(got.to) != "[alice@example.net]" {
				t.Errorf("envelope from %q to %v", got.from, got.to)
			}
			if got.body != string(mail(1)) {
				t.Errorf("the octets were changed:\n%q\n%q", got.body, mail(1))
			}
			if !strings.HasPrefix(got.header, "Truehop-ID: ") || strings.Contains(got.header, "Redelivery") {
				t.Errorf("header of our own: %q", got.header)
			}
		})
	}
}

func TestDisposals(t *testing.T) {
	for _, c := range []struct {
		name     string
		disposal fetch.Disposal
		left     int
		moved    int
		flag     string
	}{
		{"keep", fetch.Disposal{}, 1, 0, ""},
		{"delete", fetch.Disposal{Action: fetch.Delete}, 0, 0, ""},
		{"move", fetch.Disposal{Action: fetch.Move, Target: "Done"}, 0, 1, ""},
		{"flag", fetch.Disposal{Action: fetch.Flag, Target: "$Fetched"}, 1, 0, "$Fetched"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.store.Create("Done")
			w.pass.OnDelivered = c.disposal
			w.add(1)
			w.run()
			w.run() // nothing happens twice
			w.delivered(1)
			w.left(c.left)
			if got := len(w.store.UIDs("Done")); got != c.moved {
				t.Errorf("%d messages moved, want %d", got, c.moved)
			}
			if c.flag != "" {
				if m := w.store.List("")[0]; fmt.Sprint(m.Flags) != "["+c.flag+"]" {
					t.Errorf("flags %v, want %s once", m.Flags, c.flag)
				}
			}
		})
	}
}

func TestSecondRunDoesNothing(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		if m.From == "sender2@example.org" {
			return reply(inject.Refused, "RCPT", 554, "5.7.1", "listed")
		}
		return accept()
	}
	w.add(1)
	w.add(2)
	w.run()
	tries := w.mta.tries
	s := w.run()
	if w.mta.tries != tries || s.Known != 2 {
		t.Errorf("a second pass over a settled mailbox asked the MTA %d times, summary %+v", w.mta.tries-tries, s)
	}
}

func TestRefusedIsKeptAndNotFetchedAgain(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = func(*inject.Message, int) inject.Receipt {
		return reply(inject.Refused, "dot", 554, "5.7.1", "spam")
	}
	w.add(1)
	if s := w.run(); s.Refused != 1 || s.WantPerson() != 1 {
		t.Errorf("summary %+v, want one refused", s)
	}
	for range 3 {
		w.clock = w.clock.Add(24 * time.Hour)
		w.run()
	}
	if w.mta.tries != 1 || w.retrieved != 1 {
		t.Errorf("the refused message was tried %d times and retrieved %d times, want once", w.mta.tries, w.retrieved)
	}
	w.left(1)
	w.states(map[ledger.State]int{ledger.Refused: 1})
}

func TestDeferredComesBackAndBlocksNothing(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
		if m.From == "sender1@example.org" && attempt == 1 {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		return accept()
	}
	w.add(1)
	w.add(2)
	if s := w.run(); s.Deferred != 1 || s.Delivered != 1 {
		t.Errorf("summary %+v, want one deferred and one delivered", s)
	}
	w.delivered(2)
	w.left(1)
	w.clock = w.clock.Add(time.Minute)
	if s := w.run(); s.Waiting != 1 || s.ToRetry() != 1 {
		t.Errorf("summary %+v, want one waiting", s)
	}
	w.delivered(2) // its time has not come
	if w.retrieved != 2 {
		t.Errorf("%d retrievals, want 2", w.retrieved)
	}
	w.clock = w.clock.Add(5 * time.Minute)
	w.run()
	w.delivered(2, 1)
	w.left(0)
	w.states(map[ledger.State]int{ledger.Delivered: 2})
}

func TestBackOffGrowsAndEnds(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = func(*inject.Message, int) inject.Receipt {
		return reply(inject.Deferred, "MAIL", 450, "4.7.1", "later")
	}
	w.add(1)
	for pass := range 24*12 + 9*24*3 { // of one day every 5 minutes, of nine every 20
		w.run()
		w.clock = w.clock.Add(5 * time.Minute)
		if pass >= 24*12 {
			w.clock = w.clock.Add(15 * time.Minute)
		}
	}
	// 5, 10, 20, 40 minutes and then hourly, for five days.
	if w.mta.tries < 100 || w.mta.tries > 130 {
		t.Errorf("%d attempts in ten days, want about 123", w.mta.tries)
	}
	w.states(map[ledger.State]int{ledger.Held: 1})
	w.left(1)
}

func TestInDoubtIsRedeliveredWithLabel(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt == 1 {
			return inject.Receipt{Outcome: inject.InDoubt, Stage: "dot", Err: &inject.Error{Kind: inject.Unreachable, Op: "dot"}}
		}
		return accept()
	}
	w.add(1)
	if s := w.run(); s.Doubt != 1 {
		t.Errorf("summary %+v, want one in doubt", s)
	}
	w.left(1)
	w.clock = w.clock.Add(time.Hour)
	w.run()
	w.delivered(1, 1)
	first, second := w.mta.taken[0].header, w.mta.taken[1].header
	if second != first+"Truehop-Redelivery: possible\r\n" {
		t.Errorf("the second copy is labelled %q, the first %q", second, first)
	}
	w.left(0)
}

func TestCrashBetweenDotAndReply(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	crash := errors.New("the process dies here")
	w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
		if attempt > 1 {
			return accept()
		}
		if err := m.BeforeDot(t.Context()); err != nil {
			t.Fatal(err)
		}
		return inject.Receipt{Stage: "dot", Err: &inject.Error{Kind: inject.Local, Op: "dot", Err: crash}}
	}
	// What the ledger holds at that moment is what a dead process leaves.
	pass := w.pass
	pass.MTA = died{w.mta}
	if _, err := pass.Run(t.Context()); !errors.Is(err, errDied) {
		t.Fatalf("the pass ended with %v", err)
	}
	w.states(map[ledger.State]int{ledger.Sending: 1})
	w.mta.tries = 1
	if s := w.run(); s.Delivered != 1 {
		t.Errorf("summary %+v, want the message delivered", s)
	}
	if h := w.mta.taken[0].header; !strings.Contains(h, "Truehop-Redelivery: possible") {
		t.Errorf("a message in doubt was delivered without its label: %q", h)
	}
}

var errDied = errors.New("died")

// died takes messages up to the dot and is never heard of again.
type died struct{ *mta }

func (d died) Submit(ctx context.Context, m *inject.Message, _ func(inject.Receipt)) error {
	if err := m.BeforeDot(ctx); err != nil {
		return err
	}
	return errDied
}

func TestMTAGoneStopsThePass(t *testing.T) {
	for _, kind := range []inject.Kind{inject.Unreachable, inject.Misconfigured, inject.TLS, inject.Auth} {
		t.Run(kind.String(), func(t *testing.T) {
			w := newWorld(t)
			w.mta.verdict = func(*inject.Message, int) inject.Receipt {
				return inject.Receipt{Stage: "connect", BeforeClient: true, Err: &inject.Error{Kind: kind, Op: "connect"}}
			}
			for n := range 50 {
				w.add(n + 1)
			}
			s, err := w.try()
			if inject.KindOf(err) != kind {
				t.Errorf("the pass ended with %v, want the MTA's trouble", err)
			}
			w.left(50)
			if s.Deferred == 0 || s.Deferred > 20 {
				t.Errorf("summary %+v, want it to have ended soon", s)
			}
			w.states(map[ledger.State]int{ledger.Deferred: s.Deferred}) // what was in hand is due at the next pass
			w.mta.verdict = nil
			w.run()
			w.left(0)
		})
	}
}

// TestOutageOfDaysGivesNothingUp: an MTA that cannot be reached for three days, longer than messages may be deferred, leaves
// all mail upstream. When it is back everything arrives, in the order of the mailbox.
func TestOutageOfDaysGivesNothingUp(t *testing.T) {
	w := newWorld(t)
	w.pass.Retry.GiveUp = 24 * time.Hour
	w.mta.verdict = func(*inject.Message, int) inject.Receipt {
		return inject.Receipt{Stage: "connect", BeforeClient: true, Err: &inject.Error{Kind: inject.Unreachable, Op: "connect"}}
	}
	const messages = 30
	for n := range messages {
		w.add(n + 1)
	}
	for range 3 * 24 {
		if _, err := w.try(); inject.KindOf(err) != inject.Unreachable {
			t.Fatalf("a pass ended with %v, want the MTA's trouble", err)
		}
		w.clock = w.clock.Add(time.Hour)
	}
	w.left(messages)
	w.mta.verdict = nil
	w.run()
	w.left(0)
	for i, got := range w.mta.taken {
		if want := fmt.Sprintf("sender%d@example.org", i+1); got.from != want {
			t.Errorf("message %d is from %s, want %s", i+1, got.from, want)
		}
	}
	w.states(map[ledger.State]int{ledger.Delivered: messages})
}

func TestSpoolFailureKeepsTheMessage(t *testing.T) {
	w := newWorld(t)
	w.pass.SpoolDir = filepath.Join(t.TempDir(), "missing")
	w.store.Add("", append(mail(1), strings.Repeat("x", 2<<20)...))
	w.add(2)
	s, err := w.try()
	if s.Failed != 1 || s.Delivered != 1 {
		t.Errorf("summary %+v, want one failed and one delivered", s)
	}
	if ledger.KindOf(err) != ledger.IO {
		t.Errorf("the pass ended with %v, want the spool's trouble told", err)
	}
	w.delivered(2)
	w.left(1)
}

func TestTruncatedIsNeverInjected(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	for cut := 1; cut <= len(mail(1)); cut += 7 {
		w.cut = cut
		s, err := w.try()
		if first := cut == 1; s.Failed != 1 || first != (fetch.KindOf(err) == fetch.Unreachable) {
			t.Fatalf("cut after %d octets: %+v, %v; want one failed, and an error the first time", cut, s, err)
		}
		w.clock = w.clock.Add(time.Hour)
	}
	w.delivered()
	w.left(1)
	w.cut = 0
	w.run()
	w.delivered(1)
}

func TestCancelLeavesTheRestUpstream(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	for n := range 20 {
		w.add(n + 1)
	}
	w.pass.Batch = 1
	w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt == 3 {
			cancel()
		}
		return accept()
	}
	s, err := w.pass.Run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the pass ended with %v", err)
	}
	if s.Delivered != len(w.mta.taken) || s.Delivered != 2 {
		t.Errorf("summary %+v with %d taken by the MTA", s, len(w.mta.taken))
	}
	w.left(18) // the third is abandoned before its dot; what was delivered is settled in a session of its own
	w.mta.verdict = nil
	w.run()
	w.left(0)
	if len(w.mta.taken) != 20 {
		t.Errorf("%d messages delivered in all, want 20, each once", len(w.mta.taken))
	}
}

func TestLargeMessageIsHeld(t *testing.T) {
	w := newWorld(t)
	w.broken = &fetch.Error{Kind: fetch.TooLarge, Op: "RETR"}
	w.add(1)
	w.run()
	w.states(map[ledger.State]int{ledger.Held: 1})
	if s := w.run(); s.Known != 1 || s.Held != 0 {
		t.Errorf("summary %+v: a held message is told once per pass at most", s)
	}
	w.left(1)
}

func TestUnretrievableBacksOffAndRecovers(t *testing.T) {
	w := newWorld(t)
	w.broken = &fetch.Error{Kind: fetch.Incomplete, Op: "UID FETCH"}
	w.add(1)
	if s := w.run(); s.Failed != 1 {
		t.Errorf("summary %+v, want one failed", s)
	}
	if s := w.run(); s.Waiting != 1 {
		t.Errorf("summary %+v, want it to wait", s)
	}
	w.broken, w.clock = nil, w.clock.Add(time.Hour)
	w.run()
	w.delivered(1)
	w.states(map[ledger.State]int{ledger.Delivered: 1})
}
