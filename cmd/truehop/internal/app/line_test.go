package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// blackHole is a network that swallows what it is sent: a look-up or a SYN without an answer, or with accepts, all that
// comes after the handshake of TCP.
type blackHole struct{ accepts bool }

func (b blackHole) Dial(network, addr string) (net.Conn, error) {
	return b.DialContext(context.Background(), network, addr)
}

func (b blackHole) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	if !b.accepts {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ours, theirs := net.Pipe()
	go func() {
		var err error
		for err == nil {
			_, err = theirs.Read(make([]byte, 4096))
		}
	}()
	return ours, nil
}

// TestSwallowedConnectionEnds: a host, a resolver or a proxy that never answers holds up its account for connect_timeout and
// no longer, and the error says so; where the pass is told to end it ends at once.
func TestSwallowedConnectionEnds(t *testing.T) {
	const ownLimit = 7 * time.Second
	for _, c := range []struct {
		scheme string
		hole   blackHole
		limit  time.Duration
	}{
		{"", blackHole{}, 0}, {"", blackHole{}, ownLimit},
		{"http", blackHole{}, ownLimit}, {"socks5", blackHole{}, ownLimit},
		{"http", blackHole{accepts: true}, ownLimit}, {"socks5", blackHole{accepts: true}, ownLimit},
	} {
		for _, told := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %+v %v told %v", c.scheme, c.hole, c.limit, told), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					account := &config.Account{Name: "work", Protocol: config.IMAP, Host: "mail.example.org", Port: 993}
					account.ConnectTimeout = c.limit
					account.Proxy = config.Proxy{Scheme: c.scheme}
					if c.scheme != "" {
						account.Proxy.Address = "proxy.example.org:1080"
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					want := connectTime
					if c.limit != 0 {
						want = c.limit
					}
					if told {
						want = time.Second
						time.AfterFunc(want, cancel)
					}
					began := time.Now()
					_, err := reachBy(ctx, account, c.hole)
					if took := time.Since(began); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
					synctest.Wait() // the connection is closed, or its reader would be left
					switch {
					case told && !errors.Is(err, context.Canceled):
						t.Errorf("got %v, want that the pass was told to end", err)
					case !told && (fetch.KindOf(err) != fetch.Unreachable || !strings.Contains(err.Error(), "connect_timeout")):
						t.Errorf("got %v (kind %v)", err, fetch.KindOf(err))
					}
				})
			})
		}
	}
}
