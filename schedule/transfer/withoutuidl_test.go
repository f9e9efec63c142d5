package transfer_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// traffic is what a POP3 server was asked for.
type traffic struct{ sessions, retrieved, deleted, quits atomic.Int64 }

// reset returns the counts since the last reset: of sessions, RETR, DELE and QUIT.
func (c *traffic) reset() [4]int64 {
	return [4]int64{c.sessions.Swap(0), c.retrieved.Swap(0), c.deleted.Swap(0), c.quits.Swap(0)}
}

// oneAtATime returns serve, and a function for a client to call before it connects: it waits until serve is done with the client
// before it. A server that lets one session at a time open the mailbox may not have noticed yet that the last one has ended.
func oneAtATime(serve func(net.Conn)) (func(net.Conn), func(context.Context) error) {
	free := make(chan struct{}, 1)
	free <- struct{}{}
	served := func(conn net.Conn) {
		serve(conn)
		free <- struct{}{}
	}
	wait := func(ctx context.Context) error {
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return served, wait
}

// withoutUIDL puts the world's mailbox behind a POP3 server that has no UIDL.
func withoutUIDL(t *testing.T, disposal fetch.Action) (*world, *traffic) {
	t.Helper()
	w, asked := newWorld(t), &traffic{}
	w.pass.OnDelivered = fetch.Disposal{Action: disposal}
	server := &fakeserver.POP3{Store: w.store, User: "u", Password: "correct horse", NoUIDL: true, Exclusive: true,
		Reply: func(verb, _ string) (string, bool) {
			counter := map[string]*atomic.Int64{"greeting": &asked.sessions, "RETR": &asked.retrieved, "DELE": &asked.deleted, "QUIT": &asked.quits}[verb]
			if counter != nil {
				counter.Add(1)
			}
			return "", false
		}}
	serve, wait := oneAtATime(server.Serve)
	address := fetchtest.Listen(t, serve).Addr()
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		if err := wait(ctx); err != nil {
			return nil, err
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		client, err := pop3.New(ctx, conn, pop3.Options{Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true}})
		if err != nil {
			return nil, err
		}
		return client, nil
	}
	return w, asked
}

func TestDeletesInTheSameSessionWithoutUIDL(t *testing.T) {
	w, asked := withoutUIDL(t, fetch.Delete)
	for n := range 3 {
		w.add(n + 1)
	}
	w.run()
	w.delivered(1, 2, 3)
	w.left(0)
	if got := asked.reset(); got != [4]int64{1, 3, 3, 1} {
		t.Errorf("sessions, RETR, DELE, QUIT: %v, want one session that does it all", got)
	}
	w.add(4) // under the number that the first message had
	w.run()
	w.delivered(1, 2, 3, 4)
	w.left(0)
}

func TestKeptMailIsKnownByItsContentWithoutUIDL(t *testing.T) {
	w, asked := withoutUIDL(t, fetch.Keep)
	w.add(1)
	w.add(2)
	w.run()
	asked.reset()
	w.store.Remove("", w.store.UIDs("")[0]) // by another client: the numbers shift
	w.add(3)
	w.run()
	if s := w.run(); s.Known != 2 || s.Delivered != 0 {
		t.Errorf("summary %+v, want two messages known", s)
	}
	w.delivered(1, 2, 3)
	w.left(2)
	if got := asked.reset(); got[1] != 4 || got[2] != 0 {
		t.Errorf("sessions, RETR, DELE, QUIT: %v, want both messages retrieved at each pass and none deleted", got)
	}
}

// TestNothingIsDeletedByNumberInAnotherSession: while one message is owed, the pass ends without QUIT. Numbers
// mean nothing in a second session, so the deletions wait for one in which everything has its verdict.
func TestNothingIsDeletedByNumberInAnotherSession(t *testing.T) {
	w, asked := withoutUIDL(t, fetch.Delete)
	w.add(1)
	w.add(2)
	deferring := true
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		if deferring && m.From == "sender2@example.org" {
			return inject.Receipt{Outcome: inject.Deferred, Stage: "RCPT", Reply: inject.Reply{Code: 451, Enhanced: "4.7.1", Text: "greylisted"}}
		}
		return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250, Enhanced: "2.0.0", Text: "queued"}}
	}
	w.run()
	w.delivered(1)
	w.left(2)
	asked.reset()
	deferring = false
	w.clock = w.clock.Add(w.pass.Retry.Max)
	w.run()
	w.delivered(1, 2)
	w.left(0)
	w.states(map[ledger.State]int{ledger.Delivered: 2})
	if got := asked.reset(); got != [4]int64{1, 2, 2, 1} {
		t.Errorf("sessions, RETR, DELE, QUIT: %v, want one session that looks at both by content and deletes both", got)
	}
}

func TestAdoptsByContentWithoutUIDL(t *testing.T) {
	w, _ := withoutUIDL(t, fetch.Keep)
	w.add(1)
	w.add(2)
	w.pass.Flood.Adopt = true
	if s := w.run(); s.Adopted != 2 {
		t.Errorf("summary %+v, want two adopted", s)
	}
	w.pass.Flood.Adopt = false
	w.add(3)
	w.run()
	w.delivered(3)
}
