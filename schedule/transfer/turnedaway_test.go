package transfer_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// place gives its place at the MTA back when it is closed.
type place struct {
	net.Conn
	left  atomic.Bool
	taken *atomic.Int64
}

func (p *place) Close() error {
	if !p.left.Swap(true) {
		p.taken.Add(-1)
	}
	return p.Conn.Close()
}

// TestAnMTAThatTurnsConnectionsAwayEndsNoPass: an MTA that takes two connections and answers 421 to the others can be
// reached. One pass delivers all.
func TestAnMTAThatTurnsConnectionsAwayEndsNoPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := injecttest.New(injecttest.Options{Accepted: func(injecttest.Message) { time.Sleep(100 * time.Millisecond) }})
		var taken atomic.Int64
		pool := inject.NewPool(func(ctx context.Context) (net.Conn, error) {
			if taken.Add(1) <= 2 {
				conn, err := server.Dial(ctx)
				return &place{Conn: conn, taken: &taken}, err
			}
			taken.Add(-1)
			near, far := net.Pipe()
			go func() { // ends when near is read or closed
				_, _ = far.Write([]byte("421 4.7.0 too many connections\r\n"))
				_ = far.Close()
			}()
			return near, nil
		}, inject.Options{})
		w.pass.MTA = pool
		for n := range 100 {
			w.add(n + 1)
		}
		if s, err := w.try(); err != nil || s.Delivered != 100 {
			t.Errorf("summary %+v, %v; want all of 100 delivered", s, err)
		}
		w.left(0)
		if err := pool.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}
