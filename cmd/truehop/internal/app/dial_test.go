package app

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
)

// TestSilentHandshakeEnds: a server that takes the connection and says nothing to the TLS handshake holds up its account
// for a bounded time, and the connection is closed.
func TestSilentHandshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		closed := make(chan error, 1)
		go func() {
			var err error
			for err == nil { // a black hole
				_, err = theirs.Read(make([]byte, 4096))
			}
			closed <- err
		}()
		began := time.Now()
		_, err := handshake(t.Context(), ours, &tls.Config{ServerName: "mail.example.org"}, connectTime)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != connectTime {
			t.Errorf("the handshake ended with %v after %v, want its deadline of %v", err, took, connectTime)
		}
		<-closed
	})
}

// TestHandshakeThatEndsEarly: a server that hangs up or says nothing is out of reach, which may pass; one that answers wrongly is
// not to be trusted.
func TestHandshakeThatEndsEarly(t *testing.T) {
	for name, test := range map[string]struct {
		serve func(conn net.Conn)
		want  fetch.Kind
	}{
		"hangs up":     {func(conn net.Conn) { _, _ = conn.Read(make([]byte, 8192)); _ = conn.Close() }, fetch.Unreachable},
		"says nothing": {func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, fetch.Unreachable},
		"speaks no TLS": {func(conn net.Conn) {
			go io.Copy(io.Discard, conn)
			_, _ = io.WriteString(conn, "* OK hello, and more\r\n")
		}, fetch.TLS},
		"sends an alert": {func(conn net.Conn) { go io.Copy(io.Discard, conn); _, _ = conn.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }, fetch.TLS},
		"part of a reply": {func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 8192))
			_, _ = conn.Write([]byte{22, 3, 3})
			_ = conn.Close()
		}, fetch.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				go test.serve(theirs)
				_, err := handshake(t.Context(), ours, &tls.Config{ServerName: "mail.example.org"}, connectTime)
				if err == nil || handshakeKind(err) != test.want {
					t.Errorf("%v is of Kind %v, want %v", err, handshakeKind(err), test.want)
				}
			})
		})
	}
}
