package main

import (
	"context"
	"sync"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch/imap"
)

const (
	// watchRound is how long one IDLE lasts before it is renewed: shorter than what NAT
	// boxes and RFC 2177's 29 minutes allow.
	watchRound = 9 * time.Minute
	// watchPause and maxWatchPause space the attempts to get a lost connection back.
	watchPause    = 30 * time.Second
	maxWatchPause = 30 * time.Minute
)

// watchers wait for new mail by IMAP IDLE (RFC 2177), each on a connection of its own beside
// the passes, and wake the account's schedule.
type watchers struct {
	engine *engine
	group  sync.WaitGroup
}

// watch starts a watcher for an account and returns what it wakes, or nil where the account
// cannot be watched. It ends with ctx.
func (w *watchers) watch(ctx context.Context, a *config.Account) <-chan struct{} {
	if a.Protocol != config.IMAP || !a.Idle {
		return nil
	}
	wake := make(chan struct{}, 1)
	w.group.Go(func() { w.run(ctx, a, wake) })
	return wake
}

// run keeps a connection with the upstream, and wakes when mail arrives. What arrives while there
// is none waits for the schedule.
func (w *watchers) run(ctx context.Context, a *config.Account, wake chan<- struct{}) {
	pause := watchPause
	for ctx.Err() == nil {
		began := time.Now()
		offered, err := w.session(ctx, a, wake)
		if !offered {
			return // the schedule alone serves this account
		}
		if ctx.Err() != nil {
			return
		}
		w.engine.log.Debug(logWatch, "account", a.Name, "error", err.Error())
		if time.Since(began) > maxWatchPause {
			pause = watchPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxWatchPause)
	}
}

// session watches until the connection ends. It reports false where the server cannot be watched.
func (w *watchers) session(ctx context.Context, a *config.Account, wake chan<- struct{}) (offered bool, err error) {
	mailbox, err := dialUpstream(ctx, a, w.engine.log)
	if err != nil {
		return true, err
	}
	defer mailbox.Abort()
	client, ok := mailbox.(*imap.Client)
	if !ok || !client.CanWatch() {
		w.engine.log.Debug(logWatch, "account", a.Name, "error", "the server does not offer IDLE")
		return false, nil
	}
	if _, err := client.Open(ctx, a.Folders[0]); err != nil {
		return true, err
	}
	for {
		arrived, err := client.Watch(ctx, watchRound)
		if arrived {
			select {
			case wake <- struct{}{}:
			default: // one is waiting already
			}
		}
		if err != nil {
			return true, err
		}
	}
}
