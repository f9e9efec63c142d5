package transfer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"
)

// TestBudgetThatOthersHold: a pass waits for the budget as long as that serves a purpose: until its own messages free it, or for a
// minute where others hold it, who may hang; then it goes on outside of the budget.
func TestBudgetThatOthersHold(t *testing.T) {
	const size = 100
	for _, c := range []struct {
		name    string
		others  int64         // what others hold
		freed   time.Duration // when they free it, 0 for never
		own     int64         // messages of this pass under way
		ownDone time.Duration // when they are done with
		ended   time.Duration // when the pass is told to end
		want    int64
		after   time.Duration
		err     error
	}{
		{"there is room", 50, 0, 0, 0, 0, 50, 0, nil},
		{"there will be room", size, 30 * time.Second, 0, 0, 0, 50, 30 * time.Second, nil},
		{"others hang", size, 0, 0, 0, 0, 0, time.Minute, nil},
		{"others are slow, and the pass has messages of its own", size, 150 * time.Second, 1, time.Hour, 0, 50, 150 * time.Second, nil},
		{"others hang, and its own message is done with", size, 0, 1, 90 * time.Second, 0, 0, 2 * time.Minute, nil},
		{"it is told to end", size, 0, 0, 0, 10 * time.Second, 0, 10 * time.Second, context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				budget := semaphore.NewWeighted(size)
				if !budget.TryAcquire(c.others) {
					t.Fatal("no room for the others")
				}
				w := &pipeline{pass: &Pass{Budget: budget, BudgetSize: size}, feeding: ctx}
				w.held.Store(c.own)
				if c.freed > 0 {
					time.AfterFunc(c.freed, func() { budget.Release(c.others) })
				}
				if c.own > 0 {
					time.AfterFunc(c.ownDone, func() { w.held.Store(0) })
				}
				if c.ended > 0 {
					time.AfterFunc(c.ended, cancel)
				}
				began := time.Now()
				got, err := w.reserve(50)
				if took := time.Since(began); got != c.want || !errors.Is(err, c.err) || took != c.after {
					t.Errorf("got %d after %v, %v; want %d after %v, %v", got, took, err, c.want, c.after, c.err)
				}
				cancel()
			})
		})
	}
}
