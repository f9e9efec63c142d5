package inject_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// moods makes an MTA by chance: how many connections it takes and what it does to the others, how many messages a session has, and some faults.
func moods(t *testing.T, r *rand.Rand, accepted func(injecttest.Message)) (mta *crowd, faults int) {
	o := injecttest.Options{Once: r.IntN(4) == 0, Accepted: func(m injecttest.Message) {
		time.Sleep(time.Duration(1+rand.IntN(100)) * time.Millisecond)
		accepted(m)
	}}
	if r.IntN(2) == 0 {
		o.MessageLimit = 1 + r.IntN(40)
	}
	stages := injecttest.Stages()
	for range r.IntN(30) {
		f := injecttest.Fault{Stage: stages[r.IntN(len(stages)-1)], Nth: 1 + r.IntN(400)} // none at the dot, after which there may be doubt
		switch r.IntN(3) {
		case 0:
			f.Reply, f.Then = "421 4.3.2 no", injecttest.CloseConn
		case 1:
			f.Then = injecttest.CloseConn
		default:
			f.Reply = "451 4.3.0 later"
		}
		o.Faults = append(o.Faults, f)
	}
	others := []string{refusal, hangup, "421 4.7.0 too many connections"}
	return &crowd{dial: newServer(t, o).Dial, most: 1 + r.IntN(20), reply: others[r.IntN(len(others))]}, len(o.Faults)
}

// TestEachMessageOnce: whatever an MTA does with connections, each message has one receipt, none is taken twice, and hardly one is deferred
// but for a fault that it met itself. Three accounts share the pool.
func TestEachMessageOnce(t *testing.T) {
	for seed := range uint64(12) {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) {
			const all = 600
			r := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			receipts, delivered, taken, deferred := map[string]int{}, map[string]bool{}, map[string]int{}, 0
			mta, faults := moods(t, r, func(m injecttest.Message) {
				mu.Lock()
				defer mu.Unlock()
				taken[m.From]++
			})
			connections := inject.Adaptive
			if r.IntN(3) == 0 {
				connections = inject.Connections(1 + r.IntN(20))
			}
			p := inject.NewPool(mta.Dial, inject.Options{Connections: connections})
			var accounts, underWay sync.WaitGroup
			for account := range 3 {
				accounts.Go(func() {
					for n := account; n < all; n += 3 {
						m := message(n)
						underWay.Add(1)
						if err := p.Submit(t.Context(), m, func(r inject.Receipt) {
							defer underWay.Done()
							mu.Lock()
							defer mu.Unlock()
							receipts[m.From]++
							delivered[m.From] = r.Outcome == inject.Delivered
							if r.Outcome == inject.Deferred {
								deferred++
							}
						}); err != nil {
							t.Error(err)
						}
						if n%200 == account { // and then nothing for a while
							time.Sleep(time.Duration(n) * 100 * time.Millisecond)
						}
					}
				})
			}
			accounts.Wait()
			underWay.Wait()
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			for n := range all {
				from := message(n).From
				if once := receipts[from] == 1 && taken[from] <= 1; !once || delivered[from] != (taken[from] == 1) {
					t.Errorf("message %d: %d receipts, taken %d times, delivered %v", n, receipts[from], taken[from], delivered[from])
				}
			}
			if deferred > faults+2 {
				t.Errorf("%d deferred with %d faults at an MTA that takes %d connections and says %q to others; %v connections", deferred, faults, mta.most, mta.reply, connections)
			}
		})
	}
}
