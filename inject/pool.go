package inject

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned by [Pool.Submit] on a pool that was closed.
var ErrClosed = errors.New("inject: pool closed")

// Pool delivers messages over several sessions at a time. It connects when there is work, or work is expected. If the MTA
// serves fewer sessions than the pool wants, because it delays the greeting, answers 4xx or closes, the open sessions
// deliver everything.
type Pool struct {
	dial  Dialer
	o     *Options
	queue chan *job
	// expected is received from by a worker that has no session and nothing to do.
	expected chan struct{}
	// unpromised is received from by a worker that has nothing to do and a session that no message is expected for.
	unpromised chan struct{}
	// ready hands the job of a worker without a session to one that has nothing to do and has a session, or is opening one.
	ready chan *job
	// waiting offers the jobs of workers that wait for the MTA to open a session to those that have one.
	waiting  chan *job
	ctx      context.Context // ends when Close gives up
	abort    context.CancelCauseFunc
	workers  sync.WaitGroup
	sessions atomic.Uint64
	// open and opening count sessions that are open, and that are being opened; not with PROXY.
	open, opening atomic.Int64

	mu     sync.RWMutex // held for reading by those who send to queue
	closed bool
	ending chan struct{} // closed with queue

	pacing  sync.Mutex
	pace    pace
	running int // workers; more than pace.connections only until those have ended that are too many
	joining int // workers to be, whose sessions are being opened
}

// job is one message on its way through a pool.
type job struct {
	ctx  context.Context
	m    *Message
	done func(Receipt)
	// stale says that it has met a session in use that came to its end.
	stale bool
}

// NewPool starts a pool. It must be closed.
func NewPool(dial Dialer, o Options) *Pool {
	p := &Pool{dial: dial, o: o.withDefaults()}
	p.ctx, p.abort = context.WithCancelCause(context.Background())
	least, most := o.Connections.limits(o.Carrier)
	// Room for one message ahead of each session that there is at first, so that its XCLIENT can go out early.
	p.queue = make(chan *job, least)
	p.waiting = make(chan *job)
	p.expected, p.unpromised = make(chan struct{}), make(chan struct{})
	p.ready = make(chan *job)
	p.ending = make(chan struct{})
	p.pace = pace{least: least, most: most, connections: least}
	p.running = least
	for range least {
		p.workers.Go(func() { (&worker{p: p}).work() })
	}
	return p
}

// judged counts a verdict of the MTA, in a session that is over with it or not, and adds workers where more are called for.
func (p *Pool) judged(o Outcome, over bool) {
	p.pacing.Lock()
	defer p.pacing.Unlock()
	// While some are joining, their connections do not count yet, and the rate is not theirs.
	p.pace.verdict(time.Now(), paced{backlog: p.joining == 0 && len(p.queue) > 0, last: over, deferred: o == Deferred})
	for ; p.running+p.joining < p.pace.connections; p.joining++ {
		p.workers.Go((&worker{p: p}).join)
	}
}

// joined counts one that was joining, as a worker if it got a session.
func (p *Pool) joined(session bool) {
	p.pacing.Lock()
	defer p.pacing.Unlock()
	p.joining--
	if session {
		p.running++
	} else {
		p.pace.refused(p.running + p.joining)
	}
}

// isFull reports whether err means that the MTA takes no more connections than are open, and records that. At a first
// attempt the connections that are being opened count as open; again says that they have had time to finish.
func (p *Pool) isFull(err *Error, again bool) bool {
	if err == nil {
		return false
	}
	full := err.Kind == Unreachable || err.Reply.class() == 4
	others := p.open.Load()
	if !again {
		others = p.others()
	}
	if !full || others == 0 {
		return false
	}
	p.pacing.Lock()
	defer p.pacing.Unlock()
	p.pace.refused(int(others))
	return true
}

// others counts the sessions that there are, or may be in a moment.
func (p *Pool) others() int64 { return p.opening.Load() + p.open.Load() } // in this order: none is missed that has just been opened

// tooMany reports, to those who hold pacing, whether there are more workers than there should be, and one that has a session,
// or has none, is to be among those that end: first those without.
func (p *Pool) tooMany(session bool) bool {
	if p.running <= p.pace.connections {
		return false
	}
	return !session || int(p.open.Load()) > p.pace.connections
}

// leave returns true to a worker that is to end because there are too many.
func (p *Pool) leave(session bool) bool {
	p.pacing.Lock()
	defer p.pacing.Unlock()
	if !p.tooMany(session) {
		return false
	}
	p.running--
	return true
}

// leaveIdle returns true to a worker that is to end because it has no session and nothing to do, unless there are no more
// workers than at first. lost says that the MTA took the session from it.
func (p *Pool) leaveIdle(lost bool) bool {
	p.pacing.Lock()
	defer p.pacing.Unlock()
	if p.running <= p.pace.least {
		return false
	}
	p.running--
	p.pace.left(p.running, lost)
	return true
}

// Expect says that so many messages are about to be submitted: the pool opens sessions for them meanwhile, as many as it begins
// with, unless it has them. With PROXY, where a connection presents one client, it opens none. It does not wait. A session
// that could not be opened before the first message came is tried again for it.
func (p *Pool) Expect(messages int) {
	if p.o.Carrier.byProxy() {
		return
	}
	for range messages {
		select {
		case p.unpromised <- struct{}{}:
			continue
		default:
		}
		select {
		case p.expected <- struct{}{}:
		default: // no worker is idle
			return
		}
	}
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
		close(p.ending)
	}
	p.mu.Unlock()
	p.workers.Wait()
	p.abort(ErrClosed)
	if cause := context.Cause(p.ctx); !errors.Is(cause, ErrClosed) {
		return cause
	}
	return nil
}
