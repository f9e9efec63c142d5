package postgres_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// delay is a network that breaks under a write which holds some text, and brings that write to the server long after.
type delay struct {
	text []byte

	mu   sync.Mutex
	conn net.Conn // the one that broke
	held []byte
}

func (d *delay) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return &delayedConn{Conn: conn, delay: d}, err
}

// arrive has the write reach the server, and returns once the server has done with the session.
func (d *delay) arrive(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		t.Fatal("nothing was held up")
	}
	terminate := []byte{'X', 0, 0, 0, 4}
	_, _ = d.conn.Write(append(d.held, terminate...)) // the server may have ended the session
	_, _ = io.Copy(io.Discard, d.conn)
	_ = d.conn.Close()
}

type delayedConn struct {
	net.Conn
	delay *delay
}

func (c *delayedConn) broken() bool {
	c.delay.mu.Lock()
	defer c.delay.mu.Unlock()
	return c.delay.conn == c.Conn
}

func (c *delayedConn) Write(p []byte) (int, error) {
	c.delay.mu.Lock()
	if c.delay.conn == nil && bytes.Contains(p, c.delay.text) {
		c.delay.conn, c.delay.held = c.Conn, bytes.Clone(p)
	}
	c.delay.mu.Unlock()
	if c.broken() {
		return 0, io.ErrClosedPipe
	}
	return c.Conn.Write(p)
}

func (c *delayedConn) Read(p []byte) (int, error) {
	if c.broken() {
		return 0, io.ErrUnexpectedEOF
	}
	return c.Conn.Read(p)
}

func (c *delayedConn) Close() error {
	if c.broken() {
		return nil
	}
	return c.Conn.Close()
}

// TestGroupThatArrivesLate: what was sent in a session that broke, and again in another, changes nothing when it reaches the server after all, be
// it after a later write.
func TestGroupThatArrivesLate(t *testing.T) {
	network := &delay{text: []byte("put off")}
	l, err := postgres.Open(t.Context(), postgres.Options{URL: postgrestest.New(t), Dial: network.dial})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lock(t, l, "work")
	deferred, delivered := record, record
	deferred.State, deferred.Reply = ledger.Deferred, "put off"
	delivered.State, delivered.Reply = ledger.Delivered, "taken"
	for _, r := range []ledger.Record{record, deferred, record, delivered} {
		if err := l.Put(t.Context(), r); err != nil {
			t.Fatalf("%s: %v", r.State, err)
		}
	}
	network.arrive(t)
	found, err := l.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil || len(found) != 1 || found[0].State != ledger.Delivered {
		t.Errorf("the record is %v, %v; want that the message stays delivered", found, err)
	}
}

// TestPasswordInSight: a connection string that holds a password is refused, and the error does not hold it.
func TestPasswordInSight(t *testing.T) {
	for _, url := range []string{"postgres://u:secret@localhost/x", "postgres://u@localhost/x?password=secret", "service=x password=secret", "host=localhost password = secret"} {
		_, err := postgres.Open(t.Context(), postgres.Options{URL: url})
		if ledger.KindOf(err) != ledger.Misnamed || !strings.Contains(err.Error(), "holds a password") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
