package pop3_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/pop3"
)

// stuck is a connection whose peer, once asked to, reads no more.
type stuck struct {
	net.Conn
	on     atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (s *stuck) Write(p []byte) (int, error) {
	if !s.on.Load() {
		return s.Conn.Write(p)
	}
	select {
	case <-s.closed:
	case <-time.After(time.Minute):
	}
	return 0, net.ErrClosed
}

func (s *stuck) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// TestAbortUnderTLSDoesNotWait: TLS says that it ends, which takes time where the peer does not read.
func TestAbortUnderTLSDoesNotWait(t *testing.T) {
	serverTLS, config := fakeserver.TLS()
	now := time.Now() // a bubble's clock is not in the certificate's time
	config.Time = func() time.Time { return now }
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var served sync.WaitGroup
		server := &fakeserver.POP3{Store: fakeserver.NewStore(), User: "alice@example.org", Password: password, TLS: serverTLS, Implicit: true}
		served.Go(func() { server.Serve(theirs) })
		line := &stuck{Conn: ours, closed: make(chan struct{})}
		client, err := pop3.New(t.Context(), tls.Client(line, config), plaintext())
		if err != nil {
			t.Fatal(err)
		}
		line.on.Store(true)
		began := time.Now()
		client.Abort()
		if took := time.Since(began); took != 0 {
			t.Errorf("Abort took %v", took)
		}
		served.Wait()
	})
}

// lingering is a server's connection that ends when TCP does, whatever TLS says, and says nothing itself once deaf is set.
type lingering struct {
	*halves
	deaf *atomic.Bool
}

func (l lingering) Write(p []byte) (int, error) {
	if l.deaf.Load() {
		return len(p), nil
	}
	return l.halves.Write(p)
}

func (l lingering) Close() error {
	_, err := io.Copy(io.Discard, l.halves)
	return errors.Join(err, l.halves.Close())
}

// TestLeaveUnderTLSEndsTCP: under implicit TLS as well the server learns by TCP that no more will come.
func TestLeaveUnderTLSEndsTCP(t *testing.T) {
	serverTLS, config := fakeserver.TLS()
	now := time.Now() // a bubble's clock is not in the certificate's time
	config.Time = func() time.Time { return now }
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := duplex()
		var deaf atomic.Bool
		var served sync.WaitGroup
		server := &fakeserver.POP3{Store: fakeserver.NewStore(), User: "alice@example.org", Password: password, TLS: serverTLS, Implicit: true,
			Wrap: func(net.Conn) net.Conn { return lingering{theirs, &deaf} }}
		served.Go(func() { server.Serve(theirs) })
		client, err := pop3.New(t.Context(), tls.Client(ours, config), plaintext())
		if err != nil {
			t.Fatal(err)
		}
		deaf.Store(true)
		began := time.Now()
		if err := client.Leave(t.Context()); err != nil {
			t.Errorf("Leave: %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("Leave took %v, though the server ends when TCP does", took)
		}
		served.Wait()
	})
}
