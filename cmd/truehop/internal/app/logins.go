package app

import (
	"context"
	"errors"
	"sync"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// logins remembers the accounts whose credentials were refused the last time. Providers lock accounts over refused
// credentials that are repeated, so that the schedule alone repeats them, by its long back-off; whoever else
// wants to log in waits until a pass could.
type logins struct {
	mu      sync.Mutex
	refused map[string]chan struct{} // closed when a login went well
}

// note takes how a login ended.
func (l *logins) note(account string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	waiting, refused := l.refused[account]
	var secret *config.SecretError
	switch {
	case err == nil && refused:
		close(waiting)
		delete(l.refused, account)
	case refused:
	case fetch.KindOf(err) == fetch.Auth, errors.As(err, &secret): // to try again soon makes it worse
		if l.refused == nil {
			l.refused = map[string]chan struct{}{}
		}
		l.refused[account] = make(chan struct{})
	}
}

// await waits while an account's credentials stand refused, or until ctx ends.
func (l *logins) await(ctx context.Context, account string) {
	l.mu.Lock()
	waiting := l.refused[account]
	l.mu.Unlock()
	if waiting == nil {
		return
	}
	select {
	case <-waiting:
	case <-ctx.Done():
	}
}

// logIn opens a session with an account's upstream, and remembers whether that could be done.
func (a *App) logIn(ctx context.Context, account *config.Account) (fetch.Mailbox, error) {
	mailbox, err := Upstream(ctx, account, a.opts.Logger)
	a.logins.note(account.Name, err)
	return mailbox, err
}

// dialPass is logIn for a pass. Where the server is busy, perhaps with our own watchers, they make room.
func (a *App) dialPass(ctx context.Context, account *config.Account) (fetch.Mailbox, error) {
	mailbox, err := a.logIn(ctx, account)
	if fetch.KindOf(err) != fetch.Busy || !a.shares.yield(account.Name) {
		return mailbox, err
	}
	return a.logIn(ctx, account)
}
