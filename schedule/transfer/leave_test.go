package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// once returns a world whose server removes what was retrieved in a session that ends with QUIT, and an
// account that deletes what it delivered. The mailbox holds the messages 1, 2 and 3.
func once(t *testing.T) *world {
	w := keeping(t, true)
	w.once = true
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	for n := range 3 {
		w.add(n + 1)
	}
	return w
}

// second says r to the second message, and takes the others.
func second(r inject.Receipt) func(*inject.Message, int) inject.Receipt {
	return func(m *inject.Message, _ int) inject.Receipt {
		if m.From == "sender2@example.org" {
			return r
		}
		return accept()
	}
}

// TestWhatWasNotDeliveredCanBeRetrievedAgain: with a server that removes at QUIT what was retrieved, the
// second of three messages must still be there, whatever kept it from being delivered, and the others
// must be gone all the same.
func TestWhatWasNotDeliveredCanBeRetrievedAgain(t *testing.T) {
	noReceived := []byte("Return-Path: <sender2@example.org>\r\nSubject: number 2\r\n\r\nno Received\r\n")
	for name, c := range map[string]struct {
		arrange func(*world)
		state   ledger.State
	}{
		"deferred": {func(w *world) { w.mta.verdict = second(reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")) }, ledger.Deferred},
		"refused":  {func(w *world) { w.mta.verdict = second(reply(inject.Refused, "RCPT", 554, "5.7.1", "no")) }, ledger.Refused},
		"refused, and to be deleted some day": {func(w *world) {
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
			w.mta.verdict = second(reply(inject.Refused, "RCPT", 554, "5.7.1", "no"))
		}, ledger.Refused},
		"refused for one of two": {func(w *world) {
			w.pass.Recipients = []string{"alice@example.net", "bob@example.net"}
			no := reply(inject.Refused, "RCPT", 554, "5.7.1", "no")
			partly := accept()
			partly.Recipients = []inject.RecipientReceipt{
				{Address: "alice@example.net", Outcome: inject.Delivered, Stage: "dot", Reply: partly.Reply},
				{Address: "bob@example.net", Outcome: inject.Refused, Stage: "RCPT", Reply: no.Reply},
			}
			w.mta.verdict = second(partly)
		}, ledger.PartlyRefused},
		"withheld": {func(w *world) { w.mta.verdict = second(reply(inject.Withheld, "MAIL", 0, "", "")) }, ledger.Held},
		"in doubt": {func(w *world) { w.mta.verdict = second(inject.Receipt{Outcome: inject.InDoubt, Stage: "dot"}) }, ledger.Doubt},
		"held by a rule of ours": {func(w *world) {
			w.pass.Client.Unknown = transfer.Hold
			w.replace(2, noReceived)
		}, ledger.Held},
		"skipped by a rule of ours": {func(w *world) {
			w.pass.Client.Unknown = transfer.Skip
			w.replace(2, noReceived)
		}, ledger.Adopted},
		"larger than the server said": {func(w *world) { w.beyond = []uint32{2} }, ledger.Held},
	} {
		t.Run(name, func(t *testing.T) {
			w := once(t)
			c.arrange(w)
			w.run()
			w.states(map[ledger.State]int{ledger.Delivered: 2, c.state: 1})
			w.left(1)
			w.run()
			w.left(1)
		})
	}
}

// TestOnceOverTheWire is the same with the real client, and a server that lets one session in at a time.
func TestOnceOverTheWire(t *testing.T) {
	for name, c := range map[string]struct {
		receipt inject.Receipt
		trouble inject.Kind // that the first pass ends with, if any
		left    int         // after the second
	}{
		"deferred":    {receipt: reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")},
		"refused":     {receipt: reply(inject.Refused, "RCPT", 554, "5.7.1", "no"), left: 1},
		"unreachable": {receipt: inject.Receipt{Stage: "connect", BeforeClient: true, Err: &inject.Error{Kind: inject.Unreachable, Op: "connect"}}, trouble: inject.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			w := once(t)
			server := &fakeserver.POP3{Store: w.store, User: "u", Password: "correct horse", Once: true, Exclusive: true}
			serve, wait := oneAtATime(server.Serve)
			addr := fetchtest.Listen(t, serve).Addr()
			w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
				if err := wait(ctx); err != nil {
					return nil, err
				}
				return pop3.New(ctx, fetchtest.Dial(t, addr), pop3.Options{
					Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true},
				})
			}
			w.mta.verdict = second(c.receipt)
			if _, err := w.try(); inject.KindOf(err) != c.trouble || (err == nil) != (c.trouble == 0) {
				t.Fatalf("the pass ended with %v", err)
			}
			// A pass that ends before all was retrieved leaves 1 to the next one: the replies to come might have shown that it was another message.
			uids, mayStay := w.store.UIDs(""), c.trouble != 0
			if !slices.Contains(uids, 2) || slices.Contains(uids, 1) && !mayStay {
				t.Errorf("left are %v, want 2 among them and not 1, which was delivered", uids)
			}
			w.mta.verdict, w.clock = nil, w.clock.Add(time.Hour)
			w.run()
			w.left(c.left)
			if got := len(w.mta.taken); got != 3-c.left {
				t.Errorf("the MTA has taken %d messages, want %d", got, 3-c.left)
			}
		})
	}
}

// replace puts other octets in the place of a message.
func (w *world) replace(uid uint32, raw []byte) {
	w.store.Update("", uid, func(m *fakeserver.Message) {
		m.Open, m.Size = func() io.Reader { return bytes.NewReader(raw) }, int64(len(raw))
	})
}

// TestAllDeliveredTakesOneSession: where there is nothing to hold back, the deletions cost no second login.
func TestAllDeliveredTakesOneSession(t *testing.T) {
	w := once(t)
	w.run()
	w.delivered(1, 2, 3)
	w.left(0)
	if w.sessions != 1 || w.quits != 1 {
		t.Errorf("%d sessions, %d ended with QUIT, want one", w.sessions, w.quits)
	}
}

// TestMTAThatFailsMidwayLosesNothing: the pass ends with the MTA's trouble, what it had taken goes from
// upstream all the same, and the rest can be retrieved again.
func TestMTAThatFailsMidwayLosesNothing(t *testing.T) {
	w := once(t)
	w.mta.verdict = second(inject.Receipt{Stage: "connect", BeforeClient: true, Err: &inject.Error{Kind: inject.Unreachable, Op: "connect"}})
	w.pass.Batch = 1
	if _, err := w.try(); inject.KindOf(err) != inject.Unreachable {
		t.Fatalf("the pass ended with %v, want the MTA unreachable", err)
	}
	w.left(2)
	w.mta.verdict = nil
	w.run()
	w.delivered(1, 3, 2) // new mail comes first
	w.left(0)
}

// TestLostUpstreamLosesNothing: each connection breaks in the second message, and other sessions bring the rest.
func TestLostUpstreamLosesNothing(t *testing.T) {
	w := once(t)
	w.pass.Batch = 1
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		box, err := w.dial(ctx)
		return &brittle{Mailbox: box, breaks: 2}, err
	}
	w.run()
	w.delivered(1, 3, 2)
	w.left(0)
}

// brittle is a session that is lost when that message is asked for.
type brittle struct {
	fetch.Mailbox
	breaks uint32
}

func (b *brittle) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	if refs[0].Seq == b.breaks {
		return errLost
	}
	return b.Mailbox.Retrieve(ctx, refs, sink)
}

// TestDryRunNeverQuits: whatever the MTA would say, and also where there is nothing new.
func TestDryRunNeverQuits(t *testing.T) {
	w := once(t)
	w.pass.DryRun = true
	w.run()
	w.left(3)
	w.pass.DryRun = false
	w.run()
	w.delivered(1, 2, 3)
	w.pass.DryRun, w.quits = true, 0
	w.run()
	if w.quits != 0 {
		t.Error("a dry run ended its session with QUIT")
	}
}

// TestAdoptedByContentIsNotTaken: without a UID a message must be retrieved to be adopted.
func TestAdoptedByContentIsNotTaken(t *testing.T) {
	w := once(t)
	w.listing = func(refs []fetch.Ref) []fetch.Ref {
		for i := range refs {
			refs[i].UID = ""
		}
		return refs
	}
	w.pass.Flood.Adopt = true
	w.run()
	w.pass.Flood.Adopt = false
	w.run()
	w.delivered()
	w.left(3)
}

// TestWithoutUIDNothingGoesInAnotherSession: the delivered ones must wait for a session in which all is delivered.
func TestWithoutUIDNothingGoesInAnotherSession(t *testing.T) {
	w := once(t)
	w.listing = func(refs []fetch.Ref) []fetch.Ref {
		for i := range refs {
			refs[i].UID = ""
		}
		return refs
	}
	w.mta.verdict = second(reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted"))
	w.run()
	w.left(3)
	w.mta.verdict = nil
	w.run()
	w.delivered(1, 3, 2)
	w.left(0)
}

// greylisting returns a world of once whose MTA has deferred the second message until it is called.
func greylisting(t *testing.T) (w *world, pass func()) {
	w = once(t)
	w.mta.verdict = second(reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted"))
	return w, func() { w.mta.verdict, w.clock = nil, w.clock.Add(time.Hour) }
}

func TestSecondSessionWaitsForTheLoginDelay(t *testing.T) {
	for delay, c := range map[time.Duration]struct{ sessions, left int }{
		0:                {2, 1},
		20 * time.Second: {2, 1},
		15 * time.Minute: {1, 3}, // not worth waiting for
	} {
		t.Run(delay.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, accepted := greylisting(t)
				w.delay = delay
				var logins []time.Time
				w.login = func(int) error { logins = append(logins, time.Now()); return nil }
				began := time.Now()
				w.run()
				if took := time.Since(began); w.sessions != c.sessions || took > loginBound {
					t.Errorf("%d sessions in %v, want %d", w.sessions, took, c.sessions)
				}
				// The last verdict waits a few milliseconds for company in the ledger.
				if len(logins) == 2 && logins[1].Sub(logins[0]).Truncate(100*time.Millisecond) != delay {
					t.Errorf("the second login came after %v, want %v", logins[1].Sub(logins[0]), delay)
				}
				w.left(c.left)
				accepted()
				w.run()
				w.delivered(1, 3, 2)
				w.left(0)
				if w.sessions != c.sessions+1 {
					t.Errorf("%d sessions in the second pass, want 1", w.sessions-c.sessions)
				}
			})
		})
	}
}

// loginBound is how long a pass may wait for a second login.
const loginBound = 30 * time.Second

// TestLoginDelayDoesNotKeepDeliveredMailForEver: with something to hold back in each pass and no second session, what
// was delivered gets a session of its own after a day, and the rest waits for the pass after it.
func TestLoginDelayDoesNotKeepDeliveredMailForEver(t *testing.T) {
	w, accepted := greylisting(t)
	w.delay = 15 * time.Minute
	for range 12 {
		w.run()
		w.left(3)
		w.clock = w.clock.Add(2 * time.Hour)
	}
	w.add(4)
	tries := w.mta.tries
	w.run()
	w.left(2)
	if w.mta.tries != tries {
		t.Error("the pass that deletes what was left injects, too")
	}
	accepted()
	w.run()
	w.delivered(1, 3, 4, 2) // new mail comes first
	w.left(0)
}

// TestWhatCannotBeDeletedHoldsUpNoNewMail: a pass that does nothing but delete and does not get that done must not be
// made again and again, while new mail waits.
func TestWhatCannotBeDeletedHoldsUpNoNewMail(t *testing.T) {
	for name, refuse := range map[string]func(*world){
		"DELE": func(w *world) { w.noDelete = &fetch.Error{Kind: fetch.Refused, Op: "DELE"} },
		"QUIT": func(w *world) { w.farewell = &fetch.Error{Kind: fetch.Refused, Op: "QUIT"} },
		"RETR": func(w *world) { w.gone = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			w, accepted := greylisting(t)
			w.once, w.delay = false, 15*time.Minute
			w.run()
			accepted()
			w.clock = w.clock.Add(24 * time.Hour)
			w.add(4)
			refuse(w)
			for range 2 {
				_, err := w.try()
				w.pass.Failed = err != nil
			}
			w.delivered(1, 3, 4, 2) // new mail comes first
		})
	}
}

func TestMailboxInUseIsPassing(t *testing.T) {
	inUse := &fetch.Error{Kind: fetch.Busy, Op: "PASS", Text: "[IN-USE] Do you have another POP session running?"}
	for name, c := range map[string]struct {
		until time.Duration // the server has noticed by then
		left  int
	}{"for a moment": {2 * time.Second, 1}, "for long": {time.Hour, 3}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, accepted := greylisting(t)
				began := time.Now()
				w.login = func(session int) error {
					if session > 1 && time.Since(began) < c.until {
						return inUse
					}
					return nil
				}
				if s := w.run(); s.Unsettled != 0 {
					t.Errorf("summary %+v, want no trouble told", s)
				}
				if took := time.Since(began); took > loginBound {
					t.Errorf("the pass took %v", took)
				}
				w.left(c.left)
				w.login = nil
				accepted()
				w.run()
				w.delivered(1, 3, 2)
				w.left(0)
			})
		})
	}
}

// TestOtherHandsBetweenTheSessions: what another client does between the two sessions must not make the second
// delete what has no verdict.
func TestOtherHandsBetweenTheSessions(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(*world)
		left    int // after the first pass
		want    []int
	}{
		"new mail":                    {func(w *world) { w.add(4) }, 2, []int{1, 2, 3, 4}},
		"the deferred one deleted":    {func(w *world) { w.store.Remove("", 2) }, 2, []int{1, 3}},
		"a delivered one deleted":     {func(w *world) { w.store.Remove("", 3) }, 1, []int{1, 2, 3}},
		"all deleted":                 {func(w *world) { w.store.Remove("", 1, 2, 3) }, 0, []int{1, 3}},
		"deleted, and its UID reused": {func(w *world) { w.reuse(1, 4) }, 2, []int{1, 2, 3, 4}},
		"all UIDs are positions and go up": {func(w *world) {
			w.store.Remove("", 1)
			w.add(4)
			w.positions()
		}, 3, []int{1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			w, accepted := greylisting(t)
			w.replace(2, append(mail(2), "a line more\r\n"...))
			w.positions()
			w.login = func(session int) error {
				if session == 2 {
					c.happens(w)
				}
				return nil
			}
			w.run()
			w.left(c.left)
			accepted()
			w.run()
			for _, n := range c.want {
				if !slices.ContainsFunc(w.mta.taken, func(m taken) bool { return m.subject() == fmt.Sprint("number ", n) }) {
					t.Errorf("message %d was lost", n)
				}
			}
			w.left(0)
		})
	}
}

// positions makes each message's UID its place in the mailbox, as some servers do.
func (w *world) positions() {
	for i, uid := range w.store.UIDs("") {
		w.store.Update("", uid, func(m *fakeserver.Message) { m.UIDL = fmt.Sprint(i) })
	}
}

// reuse removes the message with this number and gives its UID to the new message n.
func (w *world) reuse(number uint32, n int) {
	old, _ := w.store.Get("", number)
	w.store.Remove("", number)
	w.add(n)
	w.uidl(old.UIDL)
}

// TestExactSizesAfterRetrieval: as Dovecot's pop3_fast_size_lookups has it, a message that was sent once is listed with
// its exact size, and one that was not with another.
func TestExactSizesAfterRetrieval(t *testing.T) {
	w, _ := greylisting(t)
	w.listing = func(refs []fetch.Ref) []fetch.Ref {
		for i := range refs {
			if w.sessions == 1 {
				refs[i].Size -= 9
			}
		}
		return refs
	}
	w.run()
	w.left(1)
}

// TestServerThatDeletesWithoutQuit: what has gone was asked to, and what is left has other numbers in the sessions to
// come. The first pass leaves two delivered messages to be deleted, which the second does at once.
func TestServerThatDeletesWithoutQuit(t *testing.T) {
	for name, endless := range map[string]bool{"deferred": false, "and a message without end": true} {
		t.Run(name, func(t *testing.T) {
			w, accepted := greylisting(t)
			w.delay = time.Hour
			w.run()
			w.left(3)
			held := 0
			if endless {
				w.beyond, w.endless, held = []uint32{4}, true, 1
			}
			for n := range 4 {
				w.add(n + 4)
			}
			w.delay, w.rash, w.pass.Batch = 0, w.sessions+1, 1
			w.clock = w.clock.Add(time.Hour)
			s := w.run()
			w.left(1 + held)
			if want := 6 - held; s.Settled != want || s.Unsettled != 0 {
				t.Errorf("summary %+v, want %d settled", s, want)
			}
			accepted()
			w.run()
			w.left(held)
			if len(w.mta.taken) != 7-held {
				t.Errorf("the MTA has taken %d messages, want %d", len(w.mta.taken), 7-held)
			}
		})
	}
}
