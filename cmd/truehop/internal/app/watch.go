package app

import (
	"context"
	"errors"
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

// errNoIDLE ends the watching of an account for good.
var errNoIDLE = errors.New("the server does not offer IDLE")

// Watch waits for new mail by IMAP IDLE (RFC 2177), on a connection beside those of the passes, until ctx ends.
// It returns a channel that gets a value when mail has arrived, or nil where the account cannot be watched.
func (a *App) Watch(ctx context.Context, account *config.Account) <-chan struct{} {
	if account.Protocol != config.IMAP || !account.Idle {
		return nil
	}
	wake := make(chan struct{}, 1)
	a.watchers.Go(func() {
		a.watch(ctx, account.Name, func(ctx context.Context) error { return a.idle(ctx, account, wake) })
	})
	return wake
}

// watch keeps a connection with the upstream, and wakes when mail arrives. What arrives while there
// is none waits for the schedule. While the credentials stand refused it leaves the next login to a pass.
func (a *App) watch(ctx context.Context, account string, idle func(context.Context) error) {
	pause := watchPause
	for ctx.Err() == nil {
		began := time.Now()
		err := idle(ctx)
		if ctx.Err() != nil {
			return
		}
		if a.opts.NotWatching != nil {
			a.opts.NotWatching(account, err)
		}
		if errors.Is(err, errNoIDLE) {
			return // the schedule alone serves this account
		}
		if time.Since(began) > maxWatchPause {
			pause = watchPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxWatchPause)
		a.logins.await(ctx, account)
	}
}

// idle keeps one connection and watches until the connection ends, and returns why it did.
func (a *App) idle(ctx context.Context, account *config.Account, wake chan<- struct{}) error {
	mailbox, err := a.logIn(ctx, account)
	if err != nil {
		return err
	}
	defer mailbox.Abort()
	client, ok := mailbox.(*imap.Client)
	if !ok || !client.CanWatch() {
		return errNoIDLE
	}
	if _, err := client.Open(ctx, account.Folders[0]); err != nil {
		return err
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
			return err
		}
	}
}
