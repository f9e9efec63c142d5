package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// keeping returns a world that keeps messages upstream, as POP3 or IMAP.
func keeping(t *testing.T, pop bool) *world {
	w := newWorld(t)
	w.reusable = pop
	w.pass.OnDelivered = fetch.Disposal{}
	return w
}

// uidl gives the newest message of the mailbox this unique-id.
func (w *world) uidl(id string) {
	uids := w.store.UIDs("")
	w.store.Update("", uids[len(uids)-1], func(m *fakeserver.Message) { m.UIDL = id })
}

func TestReusedUIDIsNewMail(t *testing.T) {
	w := keeping(t, true)
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	w.add(1)
	w.uidl("same")
	w.run()
	w.add(2)
	w.uidl("same")
	w.run()
	w.delivered(1, 2)
	w.left(0)
}

func TestLostQuitIsHarmless(t *testing.T) {
	w := keeping(t, true)
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	w.add(1)
	w.add(2)
	raw := w.store.List("")
	w.run()
	// The server never saw QUIT: the messages are there again, under their names.
	for _, m := range raw {
		w.store.AddMessage("", fakeserver.Message{Open: m.Open, UIDL: m.UIDL})
	}
	w.run()
	w.delivered(1, 2)
	w.left(0)
}

func TestMailboxEmptyOnce(t *testing.T) {
	for name, pop := range map[string]bool{"pop3": true, "imap": false} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, pop)
			w.add(1)
			w.add(2)
			w.run()
			w.listing = func([]fetch.Ref) []fetch.Ref { return nil }
			w.run()
			w.listing = nil
			w.run()
			w.run()
			w.delivered(1, 2)
		})
	}
}

func TestMessageWithoutUID(t *testing.T) {
	w := keeping(t, true)
	w.listing = func(refs []fetch.Ref) []fetch.Ref {
		for i := range refs {
			refs[i].UID = ""
		}
		return refs
	}
	w.add(1)
	w.run()
	w.add(2)
	w.run()
	w.run()
	w.delivered(1, 2)
}

func TestNewUIDValidityIsNoFlood(t *testing.T) {
	w := keeping(t, false)
	for n := range 5 {
		w.add(n + 1)
	}
	w.run()
	w.store.SetValidity("", 77)
	w.add(6)
	s := w.run()
	if s.Known != 5 || s.Delivered != 1 {
		t.Errorf("summary %+v, want five known by their content and one delivered", s)
	}
	w.run()
	w.delivered(1, 2, 3, 4, 5, 6)
}

func TestRenumberedMailboxStopsAboveTheLimit(t *testing.T) {
	for name, renumber := range map[string]func(*world){
		"UIDVALIDITY": func(w *world) { w.store.SetValidity("", 77) },
		"UIDL": func(w *world) {
			for _, uid := range w.store.UIDs("") {
				w.store.Update("", uid, func(m *fakeserver.Message) { m.UIDL += "-moved" })
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, name == "UIDL")
			w.pass.Flood.Limit = 15
			for n := range 20 {
				w.add(n + 1)
				if n == 9 {
					w.run() // never more than the limit at once
				}
			}
			w.run()
			before := len(w.mta.taken)
			renumber(w)
			_, err := w.try()
			var stop *transfer.Error
			if !errors.As(err, &stop) || !strings.Contains(stop.Advice, "truehop accept work") || !strings.Contains(stop.Advice, "truehop adopt work") {
				t.Fatalf("the pass ended with %v, want it to stop and name the flags that continue", err)
			}
			w.pass.Flood.Accept = true
			w.run()
			if len(w.mta.taken) != before {
				t.Errorf("%d messages were delivered a second time", len(w.mta.taken)-before)
			}
		})
	}
}

func TestLostLedgerAsks(t *testing.T) {
	w := keeping(t, false)
	w.pass.Flood.Limit = 3
	for n := range 4 {
		w.add(n + 1)
	}
	_, err := w.try()
	var stop *transfer.Error
	if !errors.As(err, &stop) {
		t.Fatalf("the pass ended with %v, want it to ask", err)
	}
	w.delivered()
	t.Run("adopt", func(t *testing.T) {
		w.pass.Flood.Adopt = true
		if s := w.run(); s.Adopted != 4 {
			t.Errorf("summary %+v, want four adopted", s)
		}
		w.pass.Flood.Adopt = false
		w.add(5)
		w.run()
		w.delivered(5)
		w.states(map[ledger.State]int{ledger.Adopted: 4, ledger.Delivered: 1})
	})
}

func TestAdoptedIsNeverDeleted(t *testing.T) {
	w := keeping(t, false)
	w.pass.Flood.Adopt = true
	w.add(1)
	w.run()
	w.pass.Flood.Adopt = false
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	w.run()
	w.left(1)
}

func TestDeletingMailboxNeedNotAsk(t *testing.T) {
	w := newWorld(t)
	w.pass.Flood.Limit = 3
	for n := range 10 {
		w.add(n + 1)
	}
	w.run()
	w.left(0)
}

func TestEqualMessagesStayTwo(t *testing.T) {
	w := keeping(t, false)
	w.add(1)
	w.add(1)
	w.run()
	w.delivered(1, 1)
}

func TestMailLoopIsHeld(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.run()
	id := strings.TrimSuffix(w.mta.taken[0].header, "\r\n")
	w.add(2, id)
	w.add(3, "Truehop-ID: fromanotherinstancefarawayxx")
	if s := w.run(); s.Held != 1 || s.Delivered != 1 {
		t.Errorf("summary %+v, want ours held and the other's delivered", s)
	}
	w.delivered(1, 3)
	w.left(1)
}

// TestMailLoopThroughAccounts: what another account has injected may come to this one, once. A loop through them
// comes back with an ID of this account, below those of all the others.
func TestMailLoopThroughAccounts(t *testing.T) {
	w := newWorld(t)
	var others []string
	for n := range 12 {
		id := fmt.Sprintf("anotheraccountsmessage%04d", n)
		others = append(others, "Truehop-ID: "+id)
		of := ledger.Record{Key: ledger.Key{Account: "home" + id, UID: "1"}, State: ledger.Delivered, Token: id}
		if err := w.ledger.Put(t.Context(), of); err != nil {
			t.Fatal(err)
		}
	}
	w.add(1, others[0])
	if s := w.run(); s.Held != 0 || s.Delivered != 1 {
		t.Fatalf("summary %+v, want what comes from another account delivered", s)
	}
	ours := strings.TrimSuffix(w.mta.taken[0].header, "\r\n")
	w.add(2, append(others, ours)...)
	if s := w.run(); s.Held != 1 || s.Delivered != 0 {
		t.Errorf("summary %+v, want what comes back held", s)
	}
	w.delivered(1)
}

func TestDeliveredToIsRenamed(t *testing.T) {
	w := newWorld(t)
	w.add(1, "Delivered-To: ALICE@example.net", "Delivered-To: other@example.net", "X-Original-To: alice@example.net")
	w.run()
	got := w.mta.taken[0].body
	for _, want := range []string{"\r\nX-Upstream-Delivered-To: ALICE@example.net\r\n", "\r\nDelivered-To: other@example.net\r\n", "\r\nX-Original-To: alice@example.net\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the message lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "\r\nDelivered-To: ALICE") {
		t.Errorf("the MTA would bounce this as a loop:\n%s", got)
	}
}

func TestUnknownClient(t *testing.T) {
	for name, rule := range map[string]transfer.NoClient{"unavailable": transfer.PresentUnavailable, "hold": transfer.Hold} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.Client.Unknown = rule
			w.store.Add("", []byte("Subject: number 9\r\n\r\nno Received at all\r\n"))
			w.run()
			if rule == transfer.Hold {
				w.states(map[ledger.State]int{ledger.Held: 1})
				w.delivered()
				return
			}
			w.delivered(9)
			if c := w.mta.taken[0].client; c.Addr.IsValid() || c.Name != "" || c.HELO != "" {
				t.Errorf("presented %+v, want nothing that is known", c)
			}
		})
	}
}

func TestUnverifiedNameIsLookedUp(t *testing.T) {
	w := newWorld(t)
	w.store.Add("", []byte("Received: from x.example (unknown [203.0.113.50])\r\n\tby mx.example.net (Postfix) with ESMTP id 4X;\r\n\tMon, 23 Nov 2026 12:00:00 +0000 (UTC)\r\nSubject: number 5\r\n\r\n"))
	w.pass.Client.Name = transfer.LookedUpName
	w.run()
	w.delivered(5)
	if c := w.mta.taken[0].client; c.Name != "looked.up.example" || c.ReverseName != "" {
		t.Errorf("presented %+v, want the name that the DNS gave", c)
	}
}

func TestRecipientsHaveTheirOwnVerdicts(t *testing.T) {
	w := newWorld(t)
	w.pass.Recipients = []string{"alice@example.net", "bob@example.net", "carol@example.net"}
	w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
		r := accept()
		for _, to := range m.To {
			one := inject.RecipientReceipt{Address: to, Outcome: inject.Delivered, Reply: r.Reply}
			switch {
			case strings.HasPrefix(to, "bob") && attempt == 1:
				one.Outcome, one.Reply = inject.Deferred, inject.Reply{Code: 450}
				r.Outcome = inject.Deferred
			case strings.HasPrefix(to, "carol"):
				one.Outcome, one.Reply = inject.Refused, inject.Reply{Code: 550, Enhanced: "5.7.1", Text: "no"}
			}
			r.Recipients = append(r.Recipients, one)
		}
		return r
	}
	var asked [][]string
	verdict := w.mta.verdict
	w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
		asked = append(asked, slices.Clone(m.To))
		return verdict(m, attempt)
	}
	w.add(1)
	if s := w.run(); s.Deferred != 1 {
		t.Errorf("summary %+v, want the message deferred", s)
	}
	w.left(1)
	w.clock = w.clock.Add(2 * w.pass.Retry.Max)
	w.run()
	w.left(1)
	w.states(map[ledger.State]int{ledger.PartlyRefused: 1})
	if len(asked) != 2 || len(asked[1]) != 1 || asked[1][0] != "bob@example.net" {
		t.Errorf("asked for %v: those who have the message, or never will, must not be asked for again", asked)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.pass.DryRun = true
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		if !m.DryRun || m.BeforeDot != nil {
			t.Error("the MTA is asked for more than a dry run")
		}
		return reply(inject.Deferred, "RCPT", 250, "2.1.5", "Ok")
	}
	w.add(1)
	w.run()
	w.left(1)
	w.states(map[ledger.State]int{})
	verdicts := 0
	for _, e := range w.events {
		if e.Kind == transfer.Verdict {
			verdicts++
			if e.Receipt.Presented.HELO != "helo1.example.org" {
				t.Errorf("told %+v, want the client that would be presented", e.Receipt.Presented)
			}
		}
	}
	if verdicts != 1 {
		t.Errorf("%d verdicts told, want 1", verdicts)
	}
}

func TestClockJumpsForgetNothing(t *testing.T) {
	w := keeping(t, false)
	w.add(1)
	w.run()
	for _, years := range []int{10, -10, -56} {
		w.clock = w.clock.AddDate(years, 0, 0)
		w.run()
	}
	w.delivered(1)
}

func TestRoadKeepsTheOrder(t *testing.T) {
	w := newWorld(t)
	want := make([]int, 40)
	for n := range want {
		want[n] = n + 1
		w.add(n + 1)
	}
	w.pass.Batch = 7
	w.run()
	w.delivered(want...)
}

func TestDeletingManyIsNoRenumbering(t *testing.T) {
	w := newWorld(t)
	w.pass.Flood.Limit = 15
	for n := range 60 {
		w.add(n + 1)
		if n%20 == 19 {
			w.run() // what the last pass deleted has vanished, and as many are new
		}
	}
	w.left(0)
}

func TestReusedUIDInAKeepingMailbox(t *testing.T) {
	w := keeping(t, true)
	w.add(1)
	w.uidl("same")
	w.run()
	w.store.Remove("", w.store.UIDs("")...) // by another client
	w.run()
	w.add(2)
	w.uidl("same")
	w.run()
	retrieved := 0
	w.pass.Observe = func(e transfer.Event) {
		if e.Kind == transfer.Recognised || e.Kind == transfer.Verdict {
			retrieved++
		}
	}
	w.run()
	w.delivered(1, 2)
	if retrieved != 0 {
		t.Errorf("a known message is retrieved again at every pass")
	}
}

func TestDeletedMessageThatComesBack(t *testing.T) {
	w := keeping(t, true)
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	w.add(1)
	w.uidl("one")
	w.run()
	w.run() // the listing does not hold it any more
	w.add(1)
	w.uidl("one")
	w.run()
	w.delivered(1)
	w.left(0)
}

// watched is a session that says when all messages of a retrieval have been handed over.
type watched struct {
	fetch.Mailbox
	retrieved func()
}

func (s watched) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	err := s.Mailbox.Retrieve(ctx, refs, sink)
	s.retrieved()
	return err
}

// TestOneRecordIsContinuedByOneMessage: one recipient has a message, and the other waits for it, when the UIDVALIDITY
// changes and an equal message comes. Both are retrieved before either has its verdict; the second is new to both recipients.
func TestOneRecordIsContinuedByOneMessage(t *testing.T) {
	w := keeping(t, false)
	w.pass.Recipients = []string{"a@example.net", "b@example.net"}
	verdict, asked := apart(map[string]said{"a": taken250, "b": grey450}, map[string]said{"a": taken250, "b": taken250})
	w.mta.verdict = verdict
	w.add(1)
	w.run()

	w.store.SetValidity("", 77)
	w.add(1)
	w.clock = w.clock.Add(time.Hour)
	retrieved := make(chan struct{})
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		m, err := w.dial(ctx)
		return watched{m, func() { close(retrieved) }}, err
	}
	w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
		<-retrieved
		return verdict(m, attempt)
	}
	w.run()
	if want := []string{"a@example.net b@example.net", "b@example.net", "a@example.net b@example.net"}; !slices.Equal(*asked, want) {
		t.Errorf("the MTA was asked for %q, want %q", *asked, want)
	}
	w.states(map[ledger.State]int{ledger.Delivered: 2})
}

// TestAbsenceIsCorrectedByTheListing: where UIDs last, a message that is listed again is recorded as upstream again.
func TestAbsenceIsCorrectedByTheListing(t *testing.T) {
	w := keeping(t, false)
	w.add(1)
	w.run()
	for _, absent := range []bool{true, false} {
		w.listing = nil
		if absent {
			w.listing = func([]fetch.Ref) []fetch.Ref { return nil }
		}
		w.run()
		rs, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
		if err != nil || len(rs) != 1 || rs[0].Absent != absent {
			t.Errorf("the ledger says %+v, %v, want one record with absent %v", rs, err, absent)
		}
	}
}
