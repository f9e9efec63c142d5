package inject_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestExpect: for messages that are about to come a pool opens as many sessions as it begins with, once, and the messages use
// them. What fails then is at no message's cost.
func TestExpect(t *testing.T) {
	for _, tt := range []struct {
		name     string
		o        inject.Options
		expect   []int
		refused  int64 // of the first connections
		messages int
		open     int64 // connections that were tried before the first message
		dials    int64 // and in all
	}{
		{"one", inject.Options{Connections: 4}, []int{1}, 0, 1, 1, 1},
		{"two", inject.Options{Connections: 4}, []int{2}, 0, 2, 2, 2},
		{"more than there are connections", inject.Options{Connections: 2}, []int{100}, 0, 2, 2, 2},
		{"as many as the MTA bears", inject.Options{}, []int{100}, 0, 4, 4, 4},
		{"twice", inject.Options{Connections: 2}, []int{2, 2}, 0, 2, 2, 2},
		{"in two parts", inject.Options{Connections: 2}, []int{1, 1}, 0, 2, 2, 2},
		{"one, and more come", inject.Options{Connections: 2}, []int{1}, 0, 2, 1, 2},
		{"and none come", inject.Options{Connections: 4}, []int{3}, 0, 0, 3, 3},
		{"the MTA cannot be reached yet", inject.Options{Connections: 1}, []int{1}, 1, 1, 1, 2},
		{"a connection presents one client", inject.Options{Connections: 1, Carrier: inject.PROXYv2}, []int{1}, 0, 0, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, injecttest.Options{})
				var dials atomic.Int64
				pool := inject.NewPool(func(ctx context.Context) (net.Conn, error) {
					if dials.Add(1) <= tt.refused {
						return nil, errors.New("connection refused")
					}
					return s.Dial(ctx)
				}, tt.o)
				synctest.Wait()
				for _, n := range tt.expect {
					pool.Expect(n)
					synctest.Wait()
				}
				if n := dials.Load(); n != tt.open {
					t.Errorf("%d connections before the first message, want %d", n, tt.open)
				}
				for n := range tt.messages {
					err := pool.Submit(t.Context(), message(n), func(r inject.Receipt) {
						if r.Outcome != inject.Delivered || r.Err != nil {
							t.Errorf("message %d: %v, %v", n, r.Outcome, r.Err)
						}
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if err := pool.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := dials.Load(); n > tt.dials {
					t.Errorf("%d connections in all, want %d", n, tt.dials)
				}
				if n := len(s.Messages()); n != tt.messages {
					t.Errorf("%d messages arrived, want %d", n, tt.messages)
				}
			})
		})
	}
}

// TestExpectedSessionIsClosedWhenNoMessageComes: it ends by QUIT once it has been idle, and another may be expected then.
func TestExpectedSessionIsClosedWhenNoMessageComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, injecttest.Options{})
		pool := inject.NewPool(s.Dial, inject.Options{Connections: 1, Timeouts: inject.Timeouts{Idle: time.Minute}})
		for round := 1; round <= 2; round++ {
			synctest.Wait()
			pool.Expect(1)
			time.Sleep(2 * time.Minute)
			if got := fmt.Sprint(s.Sessions()); got != fmt.Sprint(round) {
				t.Errorf("%s sessions, want %d", got, round)
			}
		}
		if err := pool.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestFailedOpeningIsTheMessagesThatWaitsForIt: a message that comes while the session that was opened for it is still being opened does
// not begin anew where that fails.
func TestFailedOpeningIsTheMessagesThatWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials int
		silent := func(context.Context) (net.Conn, error) {
			dials++
			here, there := net.Pipe() // nobody says a word there
			t.Cleanup(func() { _ = there.Close() })
			return here, nil
		}
		pool := inject.NewPool(silent, inject.Options{Connections: 1, Timeouts: inject.Timeouts{Greeting: time.Minute, Idle: time.Second}})
		synctest.Wait()
		pool.Expect(1)
		time.Sleep(10 * time.Second)
		began := time.Now()
		done := make(chan inject.Receipt, 1)
		if err := pool.Submit(t.Context(), message(0), func(r inject.Receipt) { done <- r }); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if took := time.Since(began); r.Outcome != inject.Deferred || took > time.Minute || dials != 1 {
			t.Errorf("%v after %v and %d connections", r.Outcome, took, dials)
		}
		if err := pool.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestIdleSessionIsForWhatIsExpected: what comes now and then goes on the session that there is, however often it is announced; what is
// announced together gets as many as there are messages.
func TestIdleSessionIsForWhatIsExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, injecttest.Options{})
		pool := inject.NewPool(s.Dial, inject.Options{Connections: 4})
		synctest.Wait()
		for n := range 4 {
			pool.Expect(1)
			synctest.Wait()
			done := make(chan struct{})
			if err := pool.Submit(t.Context(), message(n), func(inject.Receipt) { close(done) }); err != nil {
				t.Fatal(err)
			}
			<-done
			synctest.Wait()
			if got := s.Sessions(); got != 1 {
				t.Errorf("%d sessions after message %d", got, n+1)
			}
		}
		pool.Expect(3)
		time.Sleep(time.Second)
		if got := s.Sessions(); got != 3 {
			t.Errorf("%d sessions for three messages", got)
		}
		if err := pool.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMTAThatGreetsLate: a session that was opened ahead is not given up, idle as it seems, while it is still being opened.
func TestMTAThatGreetsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, injecttest.Options{})
		var dials int
		late := func(ctx context.Context) (net.Conn, error) {
			dials++
			time.Sleep(12 * time.Second)
			return s.Dial(ctx)
		}
		pool := inject.NewPool(late, inject.Options{Connections: 1, Timeouts: inject.Timeouts{Idle: 10 * time.Second}})
		synctest.Wait()
		pool.Expect(1)
		time.Sleep(11 * time.Second)
		began := time.Now()
		done := make(chan inject.Receipt, 1)
		if err := pool.Submit(t.Context(), message(0), func(r inject.Receipt) { done <- r }); err != nil {
			t.Fatal(err)
		}
		r := <-done
		if took := time.Since(began); r.Outcome != inject.Delivered || took > 2*time.Second || dials != 1 {
			t.Errorf("%v after %v and %d connections", r.Outcome, took, dials)
		}
		if err := pool.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
