package app

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
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
