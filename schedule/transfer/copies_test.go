package transfer_test

import (
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

// twoFolders is a world whose account has two folders and keeps its mail.
func twoFolders(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = fetch.Selection{"INBOX", "Lists"}
	w.overIMAP(&fakeserver.IMAP{})
	w.store.Create("INBOX")
	w.store.Create("Lists")
	return w
}

// later makes passes until all that waits has been tried again.
func (w *world) later() {
	w.t.Helper()
	for range 3 {
		w.clock = w.clock.Add(2 * time.Hour)
		w.run()
	}
}

// deferredAtFirst defers the first attempts, so many of them.
func deferredAtFirst(first int) func(*inject.Message, int) inject.Receipt {
	return func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt <= first {
			return inject.Receipt{Outcome: inject.Deferred, Stage: "RCPT", Reply: inject.Reply{Code: 451, Enhanced: "4.7.1", Text: "greylisted"}}
		}
		return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250, Enhanced: "2.0.0", Text: "queued as Q"}}
	}
}

// TestCopiesThatWereDeferredAreDeliveredOnce: of copies in two folders the second is not delivered after the first, also where the MTA has deferred both.
func TestCopiesThatWereDeferredAreDeliveredOnce(t *testing.T) {
	for _, deferred := range []int{1, 2} {
		t.Run(fmt.Sprint(deferred), func(t *testing.T) {
			w := twoFolders(t)
			w.mta.verdict = deferredAtFirst(deferred)
			w.store.Add("INBOX", mail(1))
			w.store.Add("Lists", mail(1))
			w.run()
			w.later()
			w.delivered(1)
			w.states(map[ledger.State]int{ledger.Delivered: 2})
		})
	}
}

// TestMovedWhileItWaits: mail that somebody moves to another folder before it was delivered is delivered from there, and nobody is told that it is lost.
func TestMovedWhileItWaits(t *testing.T) {
	for _, way := range [][2]string{{"INBOX", "Lists"}, {"Lists", "INBOX"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			w := twoFolders(t)
			w.mta.verdict = deferredAtFirst(1)
			w.store.Add(way[0], mail(1))
			w.run()
			if _, ok := w.store.Move(way[0], 1, way[1]); !ok {
				t.Fatal("not moved")
			}
			w.later()
			w.delivered(1)
			w.states(map[ledger.State]int{ledger.Delivered: 1})
		})
	}
}

// TestMovedWhileSomeRecipientsWait: who has a message does not get it again from another folder.
func TestMovedWhileSomeRecipientsWait(t *testing.T) {
	for name, change := range map[string]func(*world){
		"moved":      func(w *world) { w.store.Move("INBOX", 1, "Lists") },
		"copied":     func(w *world) { w.store.Add("Lists", mail(1)) },
		"taken back": func(w *world) { w.store.Move("Lists", 1, "INBOX") },
	} {
		t.Run(name, func(t *testing.T) {
			w := twoFolders(t)
			w.pass.Recipients = []string{"alice@example.net", "bob@example.net"}
			got := map[string]int{}
			w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
				r := inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250, Text: "queued as Q"}}
				for _, to := range m.To {
					one := inject.RecipientReceipt{Address: to, Outcome: inject.Delivered, Stage: "dot", Reply: r.Reply}
					if bobWaits := attempt == 1 && to == "bob@example.net"; bobWaits {
						one.Outcome, one.Stage, one.Reply = inject.Deferred, "RCPT", inject.Reply{Code: 452, Enhanced: "4.2.2", Text: "full"}
					} else {
						got[to]++
					}
					r.Recipients = append(r.Recipients, one)
				}
				return r
			}
			from := "INBOX"
			if name == "taken back" {
				from = "Lists"
			}
			w.store.Add(from, mail(1))
			w.run()
			change(w)
			w.later()
			if want := map[string]int{"alice@example.net": 1, "bob@example.net": 1}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("it was delivered to %v, want %v", got, want)
			}
		})
	}
}

// TestInDoubtInAnotherFolder: what the MTA may have already is labelled as that from whatever folder it comes, and has the Truehop-ID that it had.
func TestInDoubtInAnotherFolder(t *testing.T) {
	for name, change := range map[string]func(*world){
		"moved":  func(w *world) { w.store.Move("INBOX", 1, "Lists") },
		"copied": func(w *world) { w.store.Add("Lists", mail(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := twoFolders(t)
			w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
				if attempt == 1 {
					return inject.Receipt{Outcome: inject.InDoubt, Stage: "dot", Err: &inject.Error{Kind: inject.Unreachable, Op: "dot"}}
				}
				return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250, Text: "queued as Q"}}
			}
			w.store.Add("INBOX", mail(1))
			w.run()
			change(w)
			w.later()
			w.delivered(1, 1) // the first is the one in doubt
			if len(w.mta.taken) != 2 {
				return
			}
			first, second := w.mta.taken[0].header, w.mta.taken[1].header
			id := first[:strings.Index(first, "\r\n")]
			if !strings.Contains(second, "Truehop-Redelivery: possible") || !slices.Contains(strings.Split(second, "\r\n"), id) {
				t.Errorf("the second copy has %q, the first %q", second, first)
			}
		})
	}
}

// TestMailboxUnderAnotherNameIsKnown: an account that fetched by POP3 and fetches by IMAP now, or whose one folder is written otherwise, does not deliver
// again what it has delivered.
func TestMailboxUnderAnotherNameIsKnown(t *testing.T) {
	for name, before := range map[string]func(*world){
		"by POP3":        func(*world) {},
		"in other cases": func(w *world) { w.overIMAP(&fakeserver.IMAP{}); w.pass.Folders = fetch.Selection{"inbox"} },
	} {
		for _, limit := range []int{100, 2} {
			t.Run(fmt.Sprint(name, ", flood_limit ", limit), func(t *testing.T) {
				w := newWorld(t)
				w.pass.OnDelivered, w.pass.Flood = fetch.Disposal{}, transfer.Flood{Limit: limit, Accept: true}
				before(w)
				w.add(1)
				w.add(2)
				w.add(3)
				w.run()
				w.passed()
				w.overIMAP(&fakeserver.IMAP{})
				w.pass.Folders = fetch.Selection{"INBOX"}
				w.add(4)
				for range 2 {
					w.run()
				}
				w.delivered(1, 2, 3, 4)
			})
		}
	}
}

// TestFolderRenamedWhileMailWaits: what waits in a folder that is renamed is delivered from there, and then nobody is told that it was not.
func TestFolderRenamedWhileMailWaits(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = fetch.Selection{"INBOX", "Lists*"}
	w.overIMAP(&fakeserver.IMAP{})
	w.mta.verdict = deferredAtFirst(1)
	w.store.Create("INBOX")
	w.store.Add("Lists", mail(1))
	w.run()
	w.store = fakeserver.NewStore()
	w.store.Create("INBOX")
	w.store.Add("Lists2", mail(1))
	w.overIMAP(&fakeserver.IMAP{})
	w.clock = w.clock.Add(2 * time.Hour)
	if _, err := w.try(); err != nil && !strings.Contains(err.Error(), "the folder Lists has gone") {
		t.Fatal(err)
	}
	w.later()
	w.delivered(1)
	w.states(map[ledger.State]int{ledger.Delivered: 1})
}
