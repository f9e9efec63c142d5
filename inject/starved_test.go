package inject_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// heldConn gives its place at the server back when it is closed.
type heldConn struct {
	net.Conn
	release func()
}

func (c heldConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// fewSeats returns a dialer to s whose connections beyond so many get no greeting until another has ended, as
// with a listener of Postfix that has reached its maxproc: the kernel accepts, and nobody serves.
func fewSeats(t *testing.T, s *injecttest.Server, seats int) inject.Dialer {
	free := make(chan bool, seats)
	for range seats {
		free <- true
	}
	return func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		left := make(chan bool)
		var served bool
		done := make(chan bool)
		go func() { // ends with the connection
			defer close(done)
			select {
			case <-free:
				served = true
			case <-left:
				_ = far.Close()
				return
			}
			conn, err := s.Dial(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			splice(far, conn)
		}()
		var closed bool
		return heldConn{near, func() {
			if closed {
				return
			}
			closed = true
			close(left)
			_ = near.Close()
			<-done
			if served {
				free <- true
			}
		}}, nil
	}
}

// splice carries octets both ways until one end has closed.
func splice(a, b net.Conn) {
	ended := make(chan bool, 2)
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			buf := make([]byte, 4096)
			for {
				n, err := pair[0].Read(buf)
				if n > 0 {
					_, _ = pair[1].Write(buf[:n])
				}
				if err != nil {
					break
				}
			}
			_, _ = a.Close(), b.Close()
			ended <- true
		}()
	}
	<-ended
	<-ended
}

// TestFewConnections: where the MTA serves fewer connections than the pool may open, an idle session
// does what others wait to open one for. No message waits until that session has timed out.
func TestFewConnections(t *testing.T) {
	for _, seats := range []int{1, 2} {
		for _, once := range []bool{false, true} {
			bubble(t, fmt.Sprintf("%d served at a time/XCLIENT once a session %v", seats, once), func(t *testing.T) {
				s := newServer(t, injecttest.Options{Once: once})
				p := inject.NewPool(fewSeats(t, s, seats), inject.Options{Connections: 4})
				start := time.Now()
				got := make(chan inject.Receipt, 4)
				for n := range 4 {
					if err := p.Submit(t.Context(), message(n), func(r inject.Receipt) { got <- r }); err != nil {
						t.Fatal(err)
					}
				}
				for range 4 {
					if r := <-got; r.Outcome != inject.Delivered {
						t.Errorf("%v: %v", r.Outcome, r.Err)
					}
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("4 messages took %v", took)
				}
				if err := p.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestFewConnectionsInABacklog: while messages come without a pause, those taken by workers that the MTA lets wait
// for a session are delivered by the others in their turn, long before the wait for a greeting is over.
func TestFewConnectionsInABacklog(t *testing.T) {
	for _, once := range []bool{false, true} {
		bubble(t, fmt.Sprintf("XCLIENT once a session %v", once), func(t *testing.T) {
			s := newServer(t, injecttest.Options{Once: once, Accepted: func(injecttest.Message) { time.Sleep(time.Second) }})
			p := inject.NewPool(fewSeats(t, s, 2), inject.Options{Connections: 4})
			const all = 1200 // ten minutes' work: twice the wait for a greeting
			type result struct {
				inject.Receipt
				took time.Duration
			}
			results := make(chan result, all)
			for n := range all {
				start := time.Now()
				if err := p.Submit(t.Context(), message(n), func(r inject.Receipt) { results <- result{r, time.Since(start)} }); err != nil {
					t.Fatal(err)
				}
			}
			for range all {
				if r := <-results; r.Outcome != inject.Delivered || r.took > time.Minute {
					t.Errorf("%v after %v: %v", r.Outcome, r.took, r.Err)
				}
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
