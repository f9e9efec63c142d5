package imap

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestLogoutIsNotWaitedFor: a server that never answers LOGOUT gets it whole, and the end of TLS and of TCP behind it.
func TestLogoutIsNotWaitedFor(t *testing.T) {
	server, client := fakeserver.TLS()
	for name, over := range map[string]struct{ server, client func(net.Conn) net.Conn }{
		"TCP": {func(c net.Conn) net.Conn { return c }, func(c net.Conn) net.Conn { return c }},
		"TLS": {func(c net.Conn) net.Conn { return tls.Server(c, server) }, func(c net.Conn) net.Conn { return tls.Client(c, client) }},
	} {
		t.Run(name, func(t *testing.T) {
			type heard struct {
				octets string
				err    error
			}
			end := make(chan heard, 1)
			listener := fetchtest.Listen(t, func(c net.Conn) {
				conn := over.server(c)
				_, _ = io.WriteString(conn, "* PREAUTH [CAPABILITY IMAP4rev1] ready\r\n")
				octets, err := io.ReadAll(conn)
				end <- heard{string(octets), err}
			})
			o := plaintext()
			o.Secure = true
			c, err := New(t.Context(), over.client(fetchtest.Dial(t, listener.Addr())), o)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.Close(ctx); err != nil {
				t.Errorf("Close: %v", err)
			}
			if got := <-end; got != (heard{"T1 LOGOUT\r\n", nil}) {
				t.Errorf("the server heard %q, %v", got.octets, got.err)
			}
		})
	}
}
