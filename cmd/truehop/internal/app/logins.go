package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/sasl"
)

// logins remembers the accounts whose credentials were refused the last time. Providers lock accounts over refused
// credentials that are repeated, so that passes alone repeat them, as far apart as the ledger says; whoever else
// wants to log in waits until a pass could.
type logins struct {
	mu      sync.Mutex
	refused map[string]chan struct{} // closed when a login went well
	ways    map[string]way
	turns   map[string]turn
	// recording is held while a refusal in the ledger is read and replaced.
	recording sync.Mutex
}

// turn holds who may log in to an account's server now. Each place in it is for one: of several who show refused credentials at once, the server
// counts each.
type turn struct {
	first chan struct{} // a watcher, which is the next but for a pass
	now   chan struct{}
}

// enter waits for an account's turn to log in, or until ctx ends, and returns what gives it away. A pass waits for the login that is under way,
// a watcher for those of other watchers before it and of a pass.
func (l *logins) enter(ctx context.Context, account string, isWatcher bool) (leave func(), err error) {
	l.mu.Lock()
	if l.turns == nil {
		l.turns = map[string]turn{}
	}
	here, ok := l.turns[account]
	if !ok {
		here = turn{make(chan struct{}, 1), make(chan struct{}, 1)}
		l.turns[account] = here
	}
	l.mu.Unlock()
	places := []chan struct{}{here.first, here.now}
	if !isWatcher {
		places = places[1:]
	}
	var taken []chan struct{}
	leave = func() {
		for _, place := range slices.Backward(taken) { // a pass that waits comes before the next watcher
			<-place
		}
	}
	for _, place := range places {
		select {
		case place <- struct{}{}:
			taken = append(taken, place)
		case <-ctx.Done():
			leave()
			return nil, ctx.Err()
		}
	}
	return leave, nil
}

// way is how the next login to a server begins, by what the last ones met with.
type way struct {
	auth     sasl.Mechanism // what it took after it had refused another, "" if that was not so
	oneByOne bool           // its replies to commands that were sent together were out of step
	once     bool           // it hung up at such commands, perhaps for another cause: one session sends them one by one
}

// adapt returns the account as the next login should see it. What the configuration says comes first.
func (l *logins) adapt(account *config.Account) *config.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.ways[account.Name]
	adapted := *account
	if adapted.Auth == "" {
		adapted.Auth = known.auth
	}
	if known.oneByOne || known.once {
		adapted.Pipelining = config.NoPipelining
	}
	if known.once {
		known.once = false
		l.ways[account.Name] = known
	}
	return &adapted
}

// learn remembers for the life of the process how an account's server wants to be spoken with.
func (l *logins) learn(account string, change func(*way)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ways == nil {
		l.ways = map[string]way{}
	}
	known := l.ways[account]
	change(&known)
	l.ways[account] = known
}

// forget takes that an account's configuration has changed: what is known of its server and its credentials may not hold any more.
func (l *logins) forget(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ways, account)
	if waiting, refused := l.refused[account]; refused {
		close(waiting)
		delete(l.refused, account)
	}
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
	case fetch.KindOf(err) == fetch.Auth, errors.As(err, &secret): // a pass finds out when that is over
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
	mailbox, err := connect(ctx, a.logins.adapt(account), a.setup().opts.Logger, func(hungUp bool) {
		level, text := slog.LevelWarn, "replies came out of step; from here on one command is sent at a time (pipelining: off spares the attempt)"
		if hungUp {
			level, text = slog.LevelInfo, "the server hung up at commands that were sent together; one is sent at a time in another session (pipelining: off spares the attempt)"
		}
		a.logins.learn(account.Name, func(w *way) {
			w.once = hungUp
			w.oneByOne = w.oneByOne || !hungUp
		})
		if a.setup().opts.Logger != nil {
			a.setup().opts.Logger.LogAttrs(ctx, level, text, slog.String("account", account.Name))
		}
	})
	a.logins.note(account.Name, err)
	if fetch.KindOf(err) == fetch.Auth {
		a.logins.learn(account.Name, func(w *way) { w.auth = "" })
	}
	if proven, ok := mailbox.(interface{ Mechanism() (string, []string) }); ok {
		if used, refused := proven.Mechanism(); len(refused) > 0 {
			a.logins.learn(account.Name, func(w *way) { w.auth = sasl.Mechanism(used) })
		}
	}
	return mailbox, err
}
