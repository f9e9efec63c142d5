package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// silence is a server that, once armed, does not answer the next command which holds some text, and keeps the connection.
type silence struct {
	text  []byte
	armed atomic.Bool
	// silent, if not nil, is closed when it did not answer.
	silent chan struct{}
}

func (s *silence) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &silentConn{conn, s}, err
}

type silentConn struct {
	net.Conn
	silence *silence
}

func (c *silentConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, c.silence.text) && c.silence.armed.CompareAndSwap(true, false) {
		if c.silence.silent != nil {
			close(c.silence.silent)
		}
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestServerThatGoesSilentInALargeWrite: the write is tried again, and holds up those behind it no longer than another would.
func TestServerThatGoesSilentInALargeWrite(t *testing.T) {
	for _, text := range []string{"begin", "INSERT INTO truehop.record", "commit"} {
		t.Run(text, func(t *testing.T) {
			network := &silence{text: []byte(text)}
			l, err := postgres.Open(t.Context(), postgres.Options{URL: postgrestest.New(t), Dial: network.dial, Patience: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			lock(t, l, "work")
			postgres.SetReplyTime(l, 5*time.Second) // a busy machine may take half a second for such a write
			large := make([]ledger.Record, 1000)
			for i := range large {
				large[i] = record
				large[i].UID = fmt.Sprint(i)
			}
			network.armed.Store(true)
			written := make(chan error, 1)
			go func() { written <- l.PutAll(context.Background(), large) }()
			select {
			case err := <-written:
				if err != nil || network.armed.Load() {
					t.Errorf("written: %v; the server was silent: %v", err, !network.armed.Load())
				}
			case <-time.After(50 * time.Second): // by default it waits for a minute
				t.Fatal("it waits for the reply without a limit")
			}
		})
	}
}

// TestLargeWriteIsGivenUp: a large write whose caller waits no longer is rolled back, also while the server says nothing, and what comes behind it is
// written.
func TestLargeWriteIsGivenUp(t *testing.T) {
	for _, text := range []string{"begin", "INSERT INTO truehop.record"} {
		t.Run(text, func(t *testing.T) {
			network := &silence{text: []byte(text), silent: make(chan struct{})}
			l, err := postgres.Open(t.Context(), postgres.Options{URL: postgrestest.New(t), Dial: network.dial})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			lock(t, l, "work")
			large := make([]ledger.Record, 1000)
			for i := range large {
				large[i] = record
				large[i].UID = fmt.Sprint(i)
			}
			ctx, giveUp := context.WithCancel(t.Context())
			network.armed.Store(true)
			written := make(chan error, 1)
			go func() { written <- l.PutAll(ctx, large) }()
			<-network.silent
			giveUp()
			select {
			case err := <-written:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("it ends with %v", err)
				}
			case <-time.After(30 * time.Second): // half of what the server has for its reply
				t.Fatal("it does not end")
			}
			if err := l.Put(t.Context(), record); err != nil {
				t.Errorf("the next write: %v", err)
			}
			if counts, err := l.Counts(t.Context(), "work"); err != nil || len(counts) != 1 || counts[record.State] != 1 {
				t.Errorf("the record has %v, %v; want what was written behind it", counts, err)
			}
		})
	}
}

// TestListenToAServerThatGoesSilent: who listens for changes of accounts learns that the server says nothing any more.
func TestListenToAServerThatGoesSilent(t *testing.T) {
	network := &silence{text: []byte("LISTEN truehop_account")}
	a, err := postgres.OpenAccounts(t.Context(), postgres.Options{URL: postgrestest.New(t), Dial: network.dial}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	postgres.SetListenReplyTime(a, 2*time.Second)
	network.armed.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // before Close, which waits for whoever listens
	ended := make(chan error, 1)
	go func() {
		ended <- a.Listen(ctx, time.Hour, func([]string) error { return errors.New("it listens") })
	}()
	select {
	case err := <-ended:
		if ledger.KindOf(err) != ledger.Away {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(50 * time.Second):
		t.Fatal("it waits for the reply without a limit")
	}
}

// mute is a server that takes a connection, lets anybody in, and then says nothing more.
func mute(_ context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		client := pgproto3.NewBackend(theirs, theirs)
		if _, err := client.ReceiveStartupMessage(); err != nil {
			return
		}
		client.Send(&pgproto3.AuthenticationOk{})
		client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if client.Flush() == nil {
			_, _ = io.Copy(io.Discard, theirs)
		}
	}()
	return ours, nil
}

// TestServerThatIsSilentFromTheStart: a record or a table of accounts is not opened for ever.
func TestServerThatIsSilentFromTheStart(t *testing.T) {
	for name, open := range map[string]func(context.Context, postgres.Options) error{
		"record": func(ctx context.Context, o postgres.Options) error { _, err := postgres.Open(ctx, o); return err },
		"accounts": func(ctx context.Context, o postgres.Options) error {
			_, err := postgres.OpenAccounts(ctx, o, true)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				err := open(ctx, postgres.Options{URL: "postgres://node@127.0.0.1/truehop?sslmode=disable", Dial: mute})
				if took := time.Since(began); ledger.KindOf(err) != ledger.Away || took > 2*time.Minute {
					t.Errorf("it is opened for %v, and ends with %v", took, err)
				}
				time.Sleep(time.Minute) // the bubble's: pgx ends what it has given up behind our back
			})
		})
	}
}
