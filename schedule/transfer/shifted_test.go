package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestShiftedReplies: a POP3 server that announces PIPELINING leaves out its answer to one of the commands that were sent together,
// so that the next messages come for those before them, or gives one answer twice. Each message is delivered, once but for
// one that came twice, and none is deleted for another.
func TestShiftedReplies(t *testing.T) {
	const messages = 6
	for _, disposal := range []fetch.Disposal{{}, {Action: fetch.Delete}} {
		for at := 1; at <= messages; at++ {
			for name, fault := range map[string]shifting{
				"left out, then silence": {}, "left out, then the connection ends": {hangsUp: true}, "twice": {twice: true},
				"left out, and all are deferred": {defers: true},
			} {
				t.Run(fmt.Sprintf("action %d/reply %d/%s", disposal.Action, at, name), func(t *testing.T) {
					fault.at = at
					synctest.Test(t, func(t *testing.T) { carryShifted(t, messages, &fault, disposal) })
				})
			}
		}
	}
}

// carryShifted makes three passes over messages, the first of them with the fault, and wants each to be delivered.
func carryShifted(t *testing.T, messages int, d *shifting, disposal fetch.Disposal) {
	w := keeping(t, true)
	w.pass.OnDelivered = disposal
	w.pass.Now = nil
	for n := range messages {
		w.add(n + 1)
	}
	single := false
	var servers sync.WaitGroup
	server := &fakeserver.POP3{Store: w.store, User: "u", Password: "p", Wrap: d.wrap}
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		ours, theirs := net.Pipe()
		servers.Go(func() { server.Serve(theirs) })
		return pop3.New(ctx, ours, pop3.Options{
			Credentials: sasl.Credentials{User: "u", Password: "p", AllowPlaintext: true},
			OneByOne:    single, OutOfStep: func(bool) { single = true },
		})
	}
	if d.defers {
		w.mta.verdict = func(*inject.Message, int) inject.Receipt {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
	}
	for range 3 {
		_, _ = w.try() // what counts is what becomes of the messages
		w.mta.verdict = nil
		time.Sleep(2 * time.Hour)
	}
	servers.Wait()
	if d.answers < d.at {
		t.Fatalf("the server was asked for %d messages only", d.answers)
	}
	times := map[string]int{}
	for _, m := range w.mta.taken {
		times[m.subject()]++
	}
	for n := range messages {
		want := 1
		if d.twice && n+1 == d.at && d.at < messages {
			want = 2
		}
		if subject := fmt.Sprintf("number %d", n+1); times[subject] != want {
			t.Errorf("%s was delivered %d times, want %d", subject, times[subject], want)
		}
	}
	counts, err := w.ledger.Counts(t.Context(), "work")
	if delivered := len(w.mta.taken); err != nil || counts[ledger.Delivered] != delivered || len(counts) != 1 {
		t.Errorf("of %d messages delivered the ledger counts %v, %v", delivered, counts, err)
	}
	want := messages
	if disposal.Action == fetch.Delete {
		want = 0
	}
	w.left(want)
}

// shifting is a server that loses the answer to one RETR, or repeats it, in its first session.
type shifting struct {
	at      int
	twice   bool
	defers  bool // the MTA does, at the first pass
	hangsUp bool // when it has said what it has to say
	answers int
	next    bool // the next session is not the first
}

func (d *shifting) wrap(conn net.Conn) net.Conn {
	if d.next {
		return conn
	}
	d.next = true
	return &shiftingConn{Conn: conn, d: d}
}

type shiftingConn struct {
	net.Conn
	d *shifting
}

// Write takes whatever the server has to say up to the point where it waits for the client.
func (c *shiftingConn) Write(p []byte) (int, error) {
	out := p
	if bytes.Contains(p, []byte("\r\nReturn-Path:")) {
		var kept []string
		for _, answer := range strings.SplitAfter(string(p), "\r\n.\r\n") {
			if strings.Contains(answer, "\r\nReturn-Path:") {
				c.d.answers++
				if c.d.answers == c.d.at && !c.d.twice {
					continue
				}
				if c.d.answers == c.d.at {
					kept = append(kept, answer)
				}
			}
			kept = append(kept, answer)
		}
		out = []byte(strings.Join(kept, ""))
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	if c.d.hangsUp && c.d.answers >= c.d.at {
		_ = c.Close()
	}
	return len(p), nil
}
