package app

import (
	"context"
	"sync/atomic"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/transfer"
)

// awaiting injects by another injector, and counts the messages whose dot may have left and whose verdict is not there yet.
type awaiting struct {
	transfer.Injector
	count *atomic.Int64
	// ended gets each receipt of what is no dry run.
	ended func(inject.Receipt)
}

// Submit implements [transfer.Injector].
func (a awaiting) Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error {
	if m.BeforeDot == nil { // a dry run sends no dot
		return a.Injector.Submit(ctx, m, done)
	}
	var counted atomic.Bool // on a session that proves to be stale the message comes to its dot twice
	watched := *m
	watched.BeforeDot = func(ctx context.Context) error {
		if err := m.BeforeDot(ctx); err != nil {
			return err
		}
		if counted.CompareAndSwap(false, true) {
			a.count.Add(1)
		}
		return nil
	}
	return a.Injector.Submit(ctx, &watched, func(r inject.Receipt) {
		if counted.Load() {
			a.count.Add(-1)
		}
		a.ended(r)
		done(r)
	})
}

// Awaited is the number of messages that the MTA has been given to the last octet and has said nothing of yet. They are in
// doubt if the process ends now.
func (a *App) Awaited() int { return int(a.awaited.Load()) }
