package pop3_test

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
)

const (
	user     = "alice@example.org"
	password = "sesame"
)

// plaintext are options for a test without TLS.
func plaintext() pop3.Options {
	return pop3.Options{Credentials: sasl.Credentials{User: user, Password: password, AllowPlaintext: true}}
}

// dial starts a server and logs in to it.
func dial(t testing.TB, server *fakeserver.POP3, opts pop3.Options, wrap func(net.Conn) net.Conn) *pop3.Client {
	t.Helper()
	server.User, server.Password = user, password
	conn := fetchtest.Dial(t, fetchtest.Listen(t, server.Serve).Addr())
	if wrap != nil {
		conn = wrap(conn)
	}
	client, err := pop3.New(t.Context(), conn, opts)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(client.Abort)
	return client
}

func TestSuite(t *testing.T) {
	serverTLS, clientTLS := fakeserver.TLS()
	for name, server := range map[string]fakeserver.POP3{
		"pipelining":   {},
		"one by one":   {NoPipelining: true},
		"no CAPA":      {NoCAPA: true, NoPipelining: true},
		"STLS":         {TLS: serverTLS},
		"implicit TLS": {TLS: serverTLS, Implicit: true},
	} {
		t.Run(name, func(t *testing.T) {
			fetchtest.Run(t, fetchtest.Upstream{
				AddsCRLF:       true,
				DeletesOnClose: true,
				Dial: func(t testing.TB, store *fakeserver.Store, o fetchtest.DialOptions) fetch.Mailbox {
					server := server
					server.Store, server.Exclusive = store, o.Exclusive
					opts := plaintext()
					opts.MaxSize = o.MaxSize
					opts.StartTLS, opts.TLS = server.TLS != nil && !server.Implicit, clientTLS
					opts.Secure = server.Implicit
					return dial(t, &server, opts, func(c net.Conn) net.Conn {
						if o.Wrap != nil {
							c = o.Wrap(c)
						}
						if server.Implicit {
							c = tls.Client(c, clientTLS)
						}
						return c
					})
				},
			})
		})
	}
}
