package fetchtest

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Front takes TLS connections for a server that is spoken to in plaintext behind it, and cuts them if a test says so.
type Front struct {
	Addr string

	dial dialer
	// cut is after how many octets from the server a connection ends; 0 is never.
	cut  atomic.Int64
	cuts atomic.Int64
}

// newFront serves until the test ends.
func newFront(t testing.TB, secure *tls.Config, dial dialer) *Front {
	t.Helper()
	f := &Front{dial: dial}
	f.Addr = Listen(t, func(conn net.Conn) {
		// It returns when either side has ended or the limit is reached; conn is closed by the listener.
		conn = tls.Server(conn, secure)
		server, err := f.dial()
		if err != nil {
			return
		}
		var both sync.WaitGroup
		both.Go(func() {
			_, _ = io.Copy(server, conn)
			_ = server.Close() // ends the copy below
		})
		limit := f.cut.Load()
		if limit == 0 {
			_, _ = io.Copy(conn, server)
		} else if n, _ := io.CopyN(conn, server, limit); n == limit {
			f.cuts.Add(1)
		}
		_ = conn.Close()
		_ = server.Close()
		both.Wait()
	}).Addr()
	return f
}

// CutAfter has each connection end after so many octets from the server, TLS apart; 0 leaves them alone.
func (f *Front) CutAfter(octets int64) { f.cut.Store(octets) }

// Cuts is how many connections were cut.
func (f *Front) Cuts() int64 { return f.cuts.Load() }
