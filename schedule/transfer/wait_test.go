package transfer_test

import (
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
)

// refusedGrace is how long refused mail stays upstream at least.
const refusedGrace = 3 * 24 * time.Hour

// TestRefusedMailWaits: what the MTA refused is deleted or moved after three days, and not before.
func TestRefusedMailWaits(t *testing.T) {
	for policy, set := range refusals() {
		for name, pop := range map[string]bool{"imap": false, "pop3": true} {
			if policy == "quarantine" || policy == "move" && pop {
				continue
			}
			t.Run(policy+"/"+name, func(t *testing.T) {
				w := newWorld(t)
				w.reusable = pop
				set(w)
				w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "listed"))
				w.add(1)
				if s := w.run(); s.Refused != 1 || s.WantPerson() != 1 {
					t.Errorf("summary %+v, want one refused", s)
				}
				w.proven()
				for range 3*4 - 1 {
					w.clock = w.clock.Add(6 * time.Hour)
					if s := w.run(); s.Settled != 0 || s.Known != 1 {
						t.Fatalf("after %v: %+v, want it left alone", w.clock, s)
					}
				}
				w.left(1)
				w.clock = w.clock.Add(6 * time.Hour)
				if s := w.run(); s.Settled != 1 {
					t.Errorf("after three days %+v, want it settled", s)
				}
				w.left(0)
				if moved := len(w.store.UIDs("Refused")); moved != 1 && policy == "move" {
					t.Errorf("%d messages moved", moved)
				}
				if w.mta.tries != 1 {
					t.Errorf("the MTA was asked %d times", w.mta.tries)
				}
			})
		}
	}
}

// TestQuarantineDoesNotWait: the quarantine has the message, so upstream it is as good as delivered.
func TestQuarantineDoesNotWait(t *testing.T) {
	w := newWorld(t)
	plain := refusals()["quarantine"](w)
	w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "listed"))
	w.add(1)
	w.run()
	w.left(0)
	if len(plain.taken) != 1 {
		t.Errorf("the quarantine has %d messages", len(plain.taken))
	}
}

// TestPolicyThatChangesWaitsAsWell: mail refused while it was kept is no older than its refusal.
func TestPolicyThatChangesWaitsAsWell(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "listed"))
	w.add(1)
	w.run()
	w.proven()
	w.days(2)
	w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
	w.run()
	w.left(1)
	w.days(1)
	w.left(0)
}

// TestWaitByAClockThatJumps: no wall clock, however wrong, makes the wait shorter or endless.
func TestWaitByAClockThatJumps(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name  string
		jumps []time.Duration // what happens to the clock between passes, an hour apart, behind the refusal
	}{
		{"back", []time.Duration{-10 * 365 * day}},
		{"back and forth", []time.Duration{-10 * 365 * day, 10 * 365 * day}},
		{"back and forth, again and again", []time.Duration{-9999 * day, 9999 * day, -9999 * day, 9999 * day, -9999 * day, 9999 * day, -9999 * day, 9999 * day}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
			w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "listed"))
			w.add(1)
			w.run()
			w.proven()
			var since time.Duration // the refusal, in truth
			pass := func(later, jump time.Duration) {
				since += later
				w.clock = w.clock.Add(later + jump)
				w.run()
			}
			for _, jump := range c.jumps {
				pass(time.Hour, jump)
			}
			for since+6*time.Hour < refusedGrace {
				pass(6*time.Hour, 0)
			}
			w.left(1)
			for range 3 * 4 {
				pass(6*time.Hour, 0)
			}
			w.left(0)
		})
	}
	t.Run("refused while it was wrong", func(t *testing.T) {
		for _, wrong := range []time.Duration{-9999 * day, 9999 * day} {
			w := newWorld(t)
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
			w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "listed"))
			w.run()
			right := w.clock
			w.clock = right.Add(wrong)
			w.add(1)
			w.run()
			w.proven()
			w.clock = right
			w.days(2)
			w.left(1)
			w.days(4)
			w.left(0)
		}
	})
}

// TestLongPassRefusesLate: what is refused late in a long pass waits from then on.
func TestLongPassRefusesLate(t *testing.T) {
	w := newWorld(t)
	w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
	w.mta.verdict = func(*inject.Message, int) inject.Receipt {
		w.clock = w.clock.Add(20 * time.Hour)
		return reply(inject.Refused, "RCPT", 554, "5.7.1", "listed")
	}
	w.add(1)
	w.run()
	w.proven()
	w.clock = w.clock.Add(4 * time.Hour)
	w.run()
	w.days(2) // three days since the pass began
	w.left(1)
	w.days(1)
	w.left(0)
}
