package inject_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// written keeps what is written to connections.
type written struct {
	mu  sync.Mutex
	out []byte
}

func (w *written) octets() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.out)
}

// over is dial whose connections report to w what is written to them, before it is.
func (w *written) over(dial inject.Dialer) inject.Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		return &tapped{conn, w}, err
	}
}

type tapped struct {
	net.Conn
	to *written
}

func (c *tapped) Write(p []byte) (int, error) {
	c.to.mu.Lock()
	c.to.out = append(c.to.out, p...)
	c.to.mu.Unlock()
	return c.Conn.Write(p)
}

// TestMayEnd: it is asked after BeforeDot and before the write with the dot, once. If it says no, no octet follows, of the message or
// of the one whose XCLIENT was to go with the dot, and the others are delivered over another connection.
func TestMayEnd(t *testing.T) {
	errOver := errors.New("the lease is over")
	for _, way := range []struct {
		name string
		o    inject.Options
		s    injecttest.Options
	}{
		{name: "DATA"},
		{name: "BDAT", o: inject.Options{Chunking: true}},
		{name: "LMTP", o: inject.Options{Dialect: inject.LMTP}, s: injecttest.Options{LMTP: true}},
	} {
		for _, size := range []int{100, 2*chunkSize + 100} {
			for _, says := range []error{nil, errOver} {
				t.Run(fmt.Sprint(way.name, "/", size, "/", says), func(t *testing.T) {
					s := newServer(t, way.s)
					var wire written
					m := message(1)
					sized(m, size)
					steps, before, atRefusal := "", 0, []byte(nil)
					m.BeforeDot = func(context.Context) error { steps += "BeforeDot "; before = len(wire.octets()); return nil }
					m.MayEnd = func() error {
						steps += "MayEnd "
						if now := wire.octets(); len(now) != before || s.Count() != 0 {
							t.Errorf("%d octets were written since BeforeDot, %d messages arrived", len(now)-before, s.Count())
						}
						return says
					}
					way.o.Connections = 1
					session, err := inject.Open(t.Context(), wire.over(s.Dial), way.o)
					if err != nil {
						t.Fatal(err)
					}
					r := session.Deliver(t.Context(), m, func() *inject.Message { return message(2) })
					atRefusal = wire.octets()
					if steps != "BeforeDot MayEnd " {
						t.Errorf("asked: %s", steps)
					}
					if says == nil {
						if r.Outcome != inject.Delivered || s.Count() != 1 || len(atRefusal) == before {
							t.Errorf("%+v, err %v, %d arrived", r, r.Err, s.Count())
						}
						session.Abort()
						return
					}
					if r.Outcome != inject.Deferred || kindOf(r) != inject.Aborted || !errors.Is(r.Err, errOver) || r.Stage != "DATA" {
						t.Errorf("%+v, err %v", r, r.Err)
					}
					reusable := session.Reusable()
					session.Close()
					if after := wire.octets(); reusable || len(after) != before {
						t.Errorf("reusable %v, and %q was written after the refusal", reusable, after[before:])
					}
					if s.Count() != 0 {
						t.Errorf("%d arrived", s.Count())
					}
				})
			}
		}
	}
}

// TestMayEndInPool: the message behind one that may not end is delivered, though its XCLIENT would have gone with the dot.
func TestMayEndInPool(t *testing.T) {
	s := newServer(t, injecttest.Options{})
	m := message(1)
	m.MayEnd = func() error { return errSource }
	rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, m, message(2), message(3))
	if rs[0].Outcome != inject.Deferred || rs[1].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered || arrived(s, message(1)) != 0 {
		t.Errorf("%v, %v, %v; it arrived %d times", rs[0].Outcome, rs[1].Outcome, rs[2].Outcome, arrived(s, message(1)))
	}
}
