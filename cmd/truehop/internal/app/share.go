package app

import (
	"context"
	"sync"

	"github.com/truehop/truehop/fetch"
)

// shares keeps watchers and passes of an account from taking each other's connections, at servers that allow few. It finds out
// by itself: where a pass is told that the server is busy while watchers are connected, they leave, and the
// pass logs in once more. If that goes well, they leave before each pass of that account from then on, and come back after it.
type shares struct {
	mu       sync.Mutex
	accounts map[string]*share
}

// share is what is known of one account.
type share struct {
	// alone says that the server has no room for watchers beside a pass.
	alone bool
	// free is closed when no pass that wants to be alone is under way; nil if none is.
	free chan struct{}
	// watching ends the connections of the watchers; they are counted by connected.
	watching  map[int]context.CancelFunc
	next      int
	connected sync.WaitGroup
}

func (s *shares) of(account string) *share {
	if s.accounts == nil {
		s.accounts = map[string]*share{}
	}
	one := s.accounts[account]
	if one == nil {
		one = &share{watching: map[int]context.CancelFunc{}}
		s.accounts[account] = one
	}
	return one
}

// join waits until a watcher may connect, and returns the context of its connection, which ends when it has to
// leave. leave must be called when the connection is closed. It returns false where ctx ended first.
func (s *shares) join(ctx context.Context, account string) (connected context.Context, leave func(), ok bool) {
	for {
		s.mu.Lock()
		one := s.of(account)
		if free := one.free; free != nil {
			s.mu.Unlock()
			select {
			case <-free:
				continue
			case <-ctx.Done():
				return nil, nil, false
			}
		}
		if ctx.Err() != nil { // passes would wait for ever for one that never leaves
			s.mu.Unlock()
			return nil, nil, false
		}
		connected, cancel := context.WithCancel(ctx)
		id := one.next
		one.next++
		one.watching[id] = cancel
		one.connected.Add(1)
		s.mu.Unlock()
		return connected, func() {
			cancel()
			s.mu.Lock()
			delete(one.watching, id)
			s.mu.Unlock()
			one.connected.Done()
		}, true
	}
}

// begin has the watchers leave before a pass, where the server has no room for them.
func (s *shares) begin(account string) {
	s.mu.Lock()
	alone := s.of(account).alone
	s.mu.Unlock()
	if alone {
		s.yield(account)
	}
}

// yield has the watchers of an account leave until end is called, and waits until they have. It reports whether there were
// any: then the server may have had no room for them beside a pass.
func (s *shares) yield(account string) bool {
	s.mu.Lock()
	one := s.of(account)
	if one.free == nil {
		one.free = make(chan struct{})
	}
	any := len(one.watching) > 0
	for _, cancel := range one.watching {
		cancel()
	}
	s.mu.Unlock()
	one.connected.Wait()
	return any
}

// logIn is the login of a pass. It is made once more where the server was busy, perhaps with our own watchers, which have left by then.
func (s *shares) logIn(account string, logIn func() (fetch.Mailbox, error)) (fetch.Mailbox, error) {
	mailbox, err := logIn()
	if fetch.KindOf(err) != fetch.Busy || !s.yield(account) {
		return mailbox, err
	}
	if mailbox, err = logIn(); err == nil {
		s.mu.Lock()
		s.of(account).alone = true
		s.mu.Unlock()
	}
	return mailbox, err
}

// end lets the watchers come back after a pass.
func (s *shares) end(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.of(account); one.free != nil {
		close(one.free)
		one.free = nil
	}
}
