package inject

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// ErrClosed is returned by [Pool.Submit] on a pool that was closed.
var ErrClosed = errors.New("inject: pool closed")

// Pool delivers messages over several sessions at a time. It dials when there is work.
type Pool struct {
	dial  Dialer
	o     *Options
	queue chan *job
	// waiting offers the jobs of workers that wait for the MTA to open a session to those that have one.
	waiting  chan *job
	ctx      context.Context // ends when Close gives up
	abort    context.CancelCauseFunc
	workers  sync.WaitGroup
	sessions atomic.Uint64

	mu     sync.RWMutex // held for reading by those who send to queue
	closed bool
}

// job is one message on its way through a pool.
type job struct {
	ctx  context.Context
	m    *Message
	done func(Receipt)
}

// NewPool starts a pool. It must be closed.
func NewPool(dial Dialer, o Options) *Pool {
	p := &Pool{dial: dial, o: o.withDefaults()}
	p.ctx, p.abort = context.WithCancelCause(context.Background())
	// Room for one message ahead of each session, so that its XCLIENT can go out early.
	p.queue = make(chan *job, p.o.Connections)
	p.waiting = make(chan *job)
	for range p.o.Connections {
		p.workers.Go(func() { // delivers until the queue is closed and empty
			w := &worker{p: p}
			for j := w.take(); j != nil; j = w.take() {
				if receipt, mine := w.deliver(j); mine {
					j.done(receipt)
				}
				if w.session != nil && !w.session.Reusable() {
					w.dismiss()
				}
			}
			w.retire()
		})
	}
	return p
}

// Submit queues m and blocks while the queue is full. If it returns nil, done is called exactly
// once, from a session's goroutine, which waits for it; if it returns an error, never. The
// end of ctx aborts the message wherever it is, see [Session.Deliver]. With one connection
// messages are delivered in the order in which they were submitted.
func (p *Pool) Submit(ctx context.Context, m *Message, done func(Receipt)) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	select {
	case p.queue <- &job{ctx: ctx, m: m, done: done}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close takes no more messages, waits until all submitted ones have their receipt, and ends
// the sessions. When ctx ends it aborts what is left, which is then deferred or, once the dot is
// sent, in doubt; it still waits for the receipts, and returns ctx's error.
func (p *Pool) Close(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.abort(context.Cause(ctx)) })
	defer stop()
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.queue)
	}
	p.mu.Unlock()
	p.workers.Wait()
	p.abort(ErrClosed)
	if cause := context.Cause(p.ctx); !errors.Is(cause, ErrClosed) {
		return cause
	}
	return nil
}
