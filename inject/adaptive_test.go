package inject_test

import (
	"cmp"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// crowd counts the connections that are open. Those beyond most get reply and are closed, "" none and are left waiting; or what the constants say.
type crowd struct {
	dial  inject.Dialer
	most  int
	reply string

	mu                   sync.Mutex
	open, peak, turnaway int
}

const (
	refusal = "(refused)" // there is no connection
	hangup  = "(closed)"  // it is closed without a word
)

func (c *crowd) Dial(ctx context.Context) (net.Conn, error) {
	c.mu.Lock()
	full := c.open >= c.most
	if full {
		c.turnaway++
	} else {
		c.open++
		c.peak = max(c.peak, c.open)
	}
	c.mu.Unlock()
	if full && c.reply == refusal {
		return nil, errors.New("connection refused")
	}
	if full {
		near, far := net.Pipe()
		switch c.reply {
		case "":
		case hangup:
			_ = far.Close()
		default:
			go func() {
				_, _ = far.Write([]byte(c.reply + "\r\n"))
				_ = far.Close()
			}()
		}
		return near, nil
	}
	conn, err := c.dial(ctx)
	return heldConn{conn, sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.open--
	})}, err
}

func (c *crowd) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// submit submits messages and counts those that were delivered, until all have their receipt.
func submit(t *testing.T, p *inject.Pool, from, to int) (delivered int) {
	t.Helper()
	receipts := make(chan inject.Receipt, to-from)
	for n := range to - from {
		if err := p.Submit(t.Context(), message(from+n), func(r inject.Receipt) { receipts <- r }); err != nil {
			t.Fatal(err)
		}
	}
	for range to - from {
		if r := <-receipts; r.Outcome == inject.Delivered {
			delivered++
		} else {
			t.Logf("%v: %v", r.Outcome, r.Err)
		}
	}
	return delivered
}

// TestAdaptive: a pool finds how many connections make its MTA faster, which takes a while for each message, and at whose
// filter as many wait as there are processes less than connections.
func TestAdaptive(t *testing.T) {
	for name, c := range map[string]struct {
		filters  int // processes of the filter
		once     bool
		seats    int // how many connections the MTA takes
		reply    string
		carrier  inject.Carrier
		peak     int
		stays    int // connections at work in the end
		turnaway bool
	}{
		"a filter that waits for DNS":                    {filters: 100, seats: 100, peak: 16, stays: 16},
		"a filter with four processes":                   {filters: 4, seats: 100, peak: 8, stays: 4},
		"an MTA that takes six connections":              {filters: 100, seats: 6, reply: "421 4.7.0 too many connections", peak: 6, stays: 6, turnaway: true},
		"an MTA that lets the seventh wait":              {filters: 100, seats: 6, peak: 6, stays: 6, turnaway: true},
		"an MTA that refuses the fifth for good":         {filters: 100, seats: 4, reply: "554 5.7.1 no", peak: 4, stays: 4, turnaway: true},
		"a listener that serves a message a connection":  {filters: 100, seats: 8, once: true, reply: "421 4.7.0 too many connections", peak: 8, stays: 8},
		"a connection that presents its client at first": {filters: 100, seats: 4, reply: "421 4.7.0 too many connections", carrier: inject.PROXYv2, peak: 4, stays: 4},
	} {
		bubble(t, name, func(t *testing.T) {
			processes := make(chan bool, c.filters)
			s := newServer(t, injecttest.Options{Once: c.once, PROXY: c.carrier == inject.PROXYv2, Accepted: func(injecttest.Message) {
				processes <- true
				time.Sleep(100 * time.Millisecond)
				<-processes
			}})
			mta := &crowd{dial: s.Dial, most: c.seats, reply: c.reply}
			p := inject.NewPool(mta.Dial, inject.Options{Carrier: c.carrier})
			const all = 1000
			if delivered := submit(t, p, 0, all); delivered != all {
				t.Errorf("%d of %d messages were delivered", delivered, all)
			}
			if mta.peak != c.peak || mta.now() > c.stays || (mta.turnaway > 0) != c.turnaway {
				t.Errorf("at most %d connections, %d in the end, %d refused; want %d, %d, refused %v", mta.peak, mta.now(), mta.turnaway, c.peak, c.stays, c.turnaway)
			}
			time.Sleep(11 * time.Second) // of the bubble: idle sessions end
			if mta.now() != 0 {
				t.Errorf("%d connections are open after a pause", mta.now())
			}
			before := mta.peak
			mta.peak = 0
			if delivered := submit(t, p, 0, 8); delivered != 8 || mta.peak > 4 && !c.once {
				t.Errorf("after a pause %d of 8 messages were delivered on %d connections; before on %d", delivered, mta.peak, before)
			}
			start := time.Now()
			if err := p.Close(t.Context()); err != nil || time.Since(start) > 11*time.Second {
				t.Errorf("the pool closed in %v: %v", time.Since(start), err)
			}
		})
	}
}

// TestTurnedAway: where the MTA takes few connections and tells the others to come later, or closes them, what those were opened for
// is delivered by the sessions that there are.
func TestTurnedAway(t *testing.T) {
	for name, c := range map[string]struct {
		connections   inject.Connections
		before, after int    // how many connections the MTA takes, and after it has closed them all
		reply         string // to the others
	}{
		"two of four":                   {connections: 4, before: 2, after: 2},
		"two of four, others refused":   {connections: 4, before: 2, after: 2, reply: refusal},
		"two of four, others closed":    {connections: 4, before: 2, after: 2, reply: hangup},
		"six of sixteen, others closed": {connections: inject.Adaptive, before: 100, after: 6, reply: hangup},
		"one of as many as it bears":    {connections: inject.Adaptive, before: 1, after: 1},
		"six where there were sixteen":  {connections: inject.Adaptive, before: 100, after: 6},
		"three where there were twenty": {connections: 20, before: 20, after: 3},
	} {
		bubble(t, name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Accepted: func(injecttest.Message) { time.Sleep(100 * time.Millisecond) }})
			mta := &crowd{dial: s.Dial, most: c.before, reply: cmp.Or(c.reply, "421 4.7.0 too many connections")}
			var mu sync.Mutex
			var conns []net.Conn
			p := inject.NewPool(func(ctx context.Context) (net.Conn, error) {
				conn, err := mta.Dial(ctx)
				if err != nil {
					return nil, err
				}
				mu.Lock()
				defer mu.Unlock()
				conns = append(conns, conn)
				return conn, nil
			}, inject.Options{Connections: c.connections})
			for round, most := range []int{c.before, c.after} {
				mta.most = most
				start := time.Now()
				if delivered := submit(t, p, 0, 1000); delivered != 1000 {
					t.Errorf("round %d: %d of 1000 messages were delivered", round, delivered)
				}
				took := time.Since(start)
				if bound := 20 + 20*int(took/(5*time.Second)); mta.turnaway > bound {
					t.Errorf("round %d: the MTA turned %d connections away in %v", round, mta.turnaway, took)
				}
				// Of connections that are never closed while messages wait, each delivers ten messages a second.
				if least := 100 * time.Second / time.Duration(most); most < 100 && took > least*11/10+time.Second {
					t.Errorf("round %d: %d connections took %v", round, most, took)
				}
				for _, conn := range conns {
					_ = conn.Close()
				}
				conns = nil
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTurnedAwayAndClosed: what waits for a session when the pool is closed is still delivered.
func TestTurnedAwayAndClosed(t *testing.T) {
	bubble(t, "two of four", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Accepted: func(injecttest.Message) { time.Sleep(time.Second) }})
		mta := &crowd{dial: s.Dial, most: 2, reply: "421 4.7.0 too many connections"}
		var ms []*inject.Message
		for n := range 8 {
			ms = append(ms, message(n))
		}
		for i, r := range injectAll(t, mta.Dial, inject.Options{Connections: 4}, ms...) {
			if r.Outcome != inject.Delivered {
				t.Errorf("message %d: %v: %v", i, r.Outcome, r.Err)
			}
		}
	})
}

// TestAllTurnedAway: an MTA that takes no connection at all is told of at once.
func TestAllTurnedAway(t *testing.T) {
	bubble(t, "421", func(t *testing.T) {
		mta := &crowd{reply: "421 4.3.2 shutting down"}
		p := inject.NewPool(mta.Dial, inject.Options{})
		start := time.Now()
		first := make(chan time.Duration, 100)
		for n := range 100 {
			if err := p.Submit(t.Context(), message(n), func(r inject.Receipt) {
				if r.Outcome != inject.Deferred || !r.BeforeClient {
					t.Errorf("%+v", r)
				}
				first <- time.Since(start)
			}); err != nil {
				t.Fatal(err)
			}
		}
		if took := <-first; took > time.Second {
			t.Errorf("the first was deferred after %v", took)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("all of them took %v", took)
		}
	})
}

// TestAdaptiveAfterAPause: what a pool has found out with its sixteen sessions does not keep it at four when those have
// ended for want of mail.
func TestAdaptiveAfterAPause(t *testing.T) {
	bubble(t, "15 seconds", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Accepted: func(injecttest.Message) { time.Sleep(100 * time.Millisecond) }})
		mta := &crowd{dial: s.Dial, most: 100}
		p := inject.NewPool(mta.Dial, inject.Options{})
		var took [2]time.Duration
		for n := range took {
			mta.peak = 0
			start := time.Now()
			submit(t, p, 0, 1000)
			if took[n] = time.Since(start); mta.peak != 16 {
				t.Errorf("burst %d: %d connections at most in %v, want 16", n, mta.peak, took[n])
			}
			time.Sleep(15 * time.Second)
			if mta.now() != 0 {
				t.Errorf("burst %d: %d connections after the pause", n, mta.now())
			}
		}
		if took[1] > took[0]*11/10 {
			t.Errorf("the second burst took %v, the first %v", took[1], took[0])
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestAdaptiveAfterAnOutage: those that joined leave when the MTA has taken their sessions from them, and mail that comes
// later begins with four.
func TestAdaptiveAfterAnOutage(t *testing.T) {
	bubble(t, "an hour", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Accepted: func(injecttest.Message) { time.Sleep(100 * time.Millisecond) }})
		mta := &crowd{dial: s.Dial, most: 100}
		var mu sync.Mutex
		var conns []net.Conn
		down := false
		p := inject.NewPool(func(ctx context.Context) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return nil, errors.New("connection refused")
			}
			conn, err := mta.Dial(ctx)
			conns = append(conns, conn)
			return conn, err
		}, inject.Options{})
		if delivered := submit(t, p, 0, 1000); delivered != 1000 || mta.peak != 16 {
			t.Errorf("%d delivered on %d connections at most", delivered, mta.peak)
		}
		mu.Lock()
		down = true
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		if delivered := submit(t, p, 0, 60); delivered != 0 {
			t.Errorf("%d delivered to an MTA that is down", delivered)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		down, mta.peak = false, 0
		mu.Unlock()
		if delivered := submit(t, p, 0, 15); delivered != 15 || mta.peak != 4 {
			t.Errorf("after the outage %d of 15 were delivered on %d connections at most, want 4", delivered, mta.peak)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestAdaptiveWhereMoreAreTurnedAwayLater: an MTA that takes any number of connections, and on those beyond what it bears no message, has few
// deferred for it.
func TestAdaptiveWhereMoreAreTurnedAwayLater(t *testing.T) {
	for name, fault := range map[string]injecttest.Fault{
		"421 at MAIL":    {Stage: injecttest.MAIL, Reply: "421 4.3.2 too many transactions", Then: injecttest.CloseConn},
		"451 at RCPT":    {Stage: injecttest.RCPT, Reply: "451 4.7.1 the filter is busy"},
		"451 at the dot": {Stage: injecttest.DOT, Reply: "451 4.7.1 the filter is busy"},
	} {
		bubble(t, name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Accepted: func(injecttest.Message) { time.Sleep(100 * time.Millisecond) }})
			busy := newServer(t, injecttest.Options{Faults: []injecttest.Fault{fault}})
			mta := &crowd{dial: s.Dial, most: 6, reply: refusal}
			p := inject.NewPool(func(ctx context.Context) (net.Conn, error) {
				conn, err := mta.Dial(ctx)
				if err != nil {
					return busy.Dial(ctx)
				}
				return conn, nil
			}, inject.Options{})
			if delivered := submit(t, p, 0, 1000); delivered < 950 {
				t.Errorf("%d of 1000 messages were delivered", delivered)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
