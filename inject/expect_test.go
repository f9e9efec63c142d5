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
