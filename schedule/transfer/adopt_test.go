package transfer_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// countdown is a context that ends when it has been asked so many times whether it has.
type countdown struct {
	context.Context
	end context.CancelFunc

	mu   sync.Mutex
	left int
}

func newCountdown(t *testing.T, left int) *countdown {
	ctx, end := context.WithCancel(t.Context())
	t.Cleanup(end)
	return &countdown{Context: ctx, end: end, left: left}
}

func (c *countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left == 0 {
		c.end()
	}
	return c.Context.Err()
}

// TestAdoptionIsWholeOrNothing: wherever the pass ends that adopts a mailbox, all of its messages are adopted or none.
func TestAdoptionIsWholeOrNothing(t *testing.T) {
	const messages = 1100
	whole := 0
	for steps := 1; whole < 3; steps++ {
		w := keeping(t, false)
		w.pass.Flood = transfer.Flood{Limit: 5, First: transfer.FirstRun{Action: transfer.AdoptAll}}
		for n := range messages {
			w.add(n + 1)
		}
		_, _ = w.pass.Run(newCountdown(t, steps)) // how it ends is not asked here
		counts, err := w.ledger.Counts(t.Context(), "work")
		if err != nil {
			t.Fatal(err)
		}
		switch adopted := counts[ledger.Adopted]; {
		case adopted == messages:
			whole++
		case adopted != 0:
			t.Errorf("after %d steps %d of %d messages are adopted", steps, adopted, messages)
		}
	}
}

// TestAdoptionThatWasCutShortGoesOn: the pass after one that died while it adopted delivers nothing of what was there.
func TestAdoptionThatWasCutShortGoesOn(t *testing.T) {
	for name, nameless := range map[string]bool{"by UID, as older versions left it": false, "by content": true} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, nameless)
			w.pass.Flood = transfer.Flood{Limit: 2, First: transfer.FirstRun{Action: transfer.AdoptAll}}
			for n := range 9 {
				w.add(n + 1)
			}
			if nameless {
				w.listing = func(refs []fetch.Ref) []fetch.Ref {
					for i := range refs {
						refs[i].UID = ""
					}
					return refs
				}
				ctx, die := context.WithCancel(t.Context())
				defer die()
				events, adopted := w.pass.Observe, make(chan struct{}, 9)
				w.pass.Observe = func(e transfer.Event) {
					if events(e); e.State == string(ledger.Adopted) {
						adopted <- struct{}{}
					}
				}
				w.handing = func(number int) {
					if number == 5 {
						for range 4 {
							<-adopted
						}
						die()
					}
				}
				if _, err := w.pass.Run(ctx); err == nil {
					t.Fatal("the pass was not cut short")
				}
				w.pass.Observe, w.handing = events, nil
			} else {
				validity, _ := w.store.Validity("")
				for _, uid := range []string{"1", "2", "3", "4"} {
					if err := w.ledger.Put(t.Context(), ledger.Record{Key: ledger.Key{Account: "work", UID: uid, Validity: validity}, State: ledger.Adopted}); err != nil {
						t.Fatal(err)
					}
				}
			}
			counts, err := w.ledger.Counts(t.Context(), "work")
			if err != nil || counts[ledger.Adopted] == 0 || counts[ledger.Adopted] == 9 {
				t.Fatalf("the first pass adopted %d messages, %v", counts[ledger.Adopted], err)
			}
			w.run()
			w.passed()
			w.delivered()
			w.states(map[ledger.State]int{ledger.Adopted: 9})
			w.add(10)
			w.run()
			w.delivered(10)
		})
	}
}

// TestWhatComesToAFolderSeenEmptyIsNew: what a mailbox held at the first pass is adopted, and nothing that comes to a folder which was seen empty: not where
// another folder keeps passes from ending well. Where much has come while nobody looked, a person is asked.
func TestWhatComesToAFolderSeenEmptyIsNew(t *testing.T) {
	for name, test := range map[string]struct {
		folders fetch.Selection
		come    int
		asks    bool
	}{
		"a few have come":               {fetch.Selection{"INBOX"}, 2, false},
		"many have come":                {fetch.Selection{"INBOX"}, 5, true},
		"a folder is missing":           {fetch.Selection{"INBOX", "Missing"}, 1, false},
		"a folder is missing, and many": {fetch.Selection{"INBOX", "Missing"}, 5, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{}
			w.pass.Flood = transfer.Flood{Limit: 2, First: transfer.FirstRun{Action: transfer.AdoptAll}}
			w.overIMAP(&fakeserver.IMAP{})
			w.store.Create("INBOX")
			w.pass.Folders = test.folders
			if _, err := w.try(); err == nil {
				w.passed()
			} else if fetch.KindOf(err) != fetch.NoFolder {
				t.Fatal(err)
			}
			var want []int
			for n := range test.come {
				w.add(n + 1)
				want = append(want, n+1)
			}
			_, err := w.try()
			if asks := err != nil && strings.Contains(err.Error(), "empty when a pass first saw it"); asks != test.asks {
				t.Errorf("the pass ended with %v", err)
			}
			if test.asks {
				w.pass.Flood.Accept = true
				_, _ = w.try() // the missing folder was told
			}
			w.delivered(want...)
			w.states(map[ledger.State]int{ledger.Delivered: test.come})
		})
	}
}
