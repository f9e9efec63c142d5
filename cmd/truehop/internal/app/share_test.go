package app

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
)

// TestWatchersMakeRoomForPasses: at a server without room for both, watchers leave when a pass is told that it is busy, and from
// then on before each pass; they come back after it, without a pause.
func TestWatchersMakeRoomForPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var a App
		var connected atomic.Int64
		for range 2 {
			a.watchers.Go(func() {
				a.watch(ctx, "work", "imap.example.com:993", func(time.Duration) {}, func(ctx context.Context) error {
					connected.Add(1)
					defer connected.Add(-1)
					<-ctx.Done()
					return ctx.Err()
				})
			})
		}
		watching := func(want int64) {
			t.Helper()
			synctest.Wait()
			if got := connected.Load(); got != want {
				t.Fatalf("%d watchers are connected, want %d", got, want)
			}
		}
		watching(2)
		a.shares.begin("work")
		watching(2) // nothing shows that there is no room
		busy := &fetch.Error{Kind: fetch.Busy, Op: "LOGIN"}
		logIn := func(replies ...error) {
			t.Helper()
			_, err := a.shares.logIn("work", func() (fetch.Mailbox, error) {
				reply := replies[0]
				replies = replies[1:]
				return nil, reply
			})
			if len(replies) > 0 {
				t.Errorf("it ended with %v, and %v was to come", err, replies)
			}
		}
		logIn(busy, busy)
		watching(0)
		a.shares.end("work")
		watching(2)
		a.shares.begin("work")
		watching(2) // the server was busy without them, too
		logIn(nil)
		logIn(&fetch.Error{Kind: fetch.Unreachable, Op: "LOGIN"})
		watching(2)
		logIn(busy, nil)
		watching(0)
		if a.shares.yield("work") {
			t.Error("somebody has made room though nobody was there: the pass would log in once more for nothing")
		}
		time.Sleep(time.Hour)
		watching(0) // the pass goes on
		a.shares.end("work")
		watching(2)
		for range 2 {
			a.shares.begin("work")
			watching(0)
			a.shares.end("work")
			watching(2)
		}
		a.shares.begin("other")
		watching(2)
		cancel()
		a.watchers.Wait()
	})
}

// TestMailThatCameBetweenTwoConnections wakes, and what was seen before does not.
func TestMailThatCameBetweenTwoConnections(t *testing.T) {
	wake := make(chan struct{}, 1)
	w := &watched{wake: wake}
	look := func(want bool, validity uint32, uids ...string) {
		t.Helper()
		l := &fetch.Listing{Validity: validity}
		for _, uid := range uids {
			l.Refs = append(l.Refs, fetch.Ref{UID: uid})
		}
		w.look(l)
		woken := false
		select {
		case <-wake:
			woken = true
		default:
		}
		if woken != want {
			t.Errorf("%v: woken %t", uids, woken)
		}
	}
	look(false, 1, "1", "2") // the first pass comes by itself
	look(false, 1, "1", "2")
	look(false, 1, "2")
	look(true, 1, "2", "10")
	look(false, 1, "10")
	look(false, 1)
	look(true, 2, "1")
}

// TestWatcherThatIsToldToEndAsItJoins: no pass waits for it to leave.
func TestWatcherThatIsToldToEndAsItJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s shares
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, ok := s.join(ended, "work"); ok {
			t.Error("it has joined")
		}
		alone := make(chan struct{})
		go func() {
			defer close(alone)
			if s.yield("work") {
				t.Error("somebody was watching")
			}
		}()
		synctest.Wait()
		select {
		case <-alone:
		default:
			t.Fatal("the pass waits for a watcher that has ended")
		}
	})
}
