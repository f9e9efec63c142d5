package app

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// TestServerThatHangsUpAtCAPA: it is connected to once more, without that command. One that hangs up at anything else is left alone.
func TestServerThatHangsUpAtCAPA(t *testing.T) {
	for hangsUpAt, test := range map[string]struct {
		connections int32
		want        fetch.Kind
	}{
		"CAPA": {2, fetch.Unclassified},
		"USER": {1, fetch.Unreachable},
	} {
		t.Run(hangsUpAt, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var connections atomic.Int32
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					connections.Add(1)
					go func() {
						defer conn.Close()
						_, _ = io.WriteString(conn, "+OK ready\r\n")
						for r := bufio.NewScanner(conn); r.Scan(); {
							switch verb, _, _ := strings.Cut(r.Text(), " "); verb {
							case hangsUpAt:
								return
							case "CAPA":
								_, _ = io.WriteString(conn, "-ERR what?\r\n")
							default:
								_, _ = io.WriteString(conn, "+OK\r\n")
							}
						}
					}()
				}
			}()
			a := &config.Account{Name: "work", Protocol: config.POP3, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: config.NoTLS, AllowPlaintext: true,
				Credentials: config.Credentials{User: "joe", InlinePassword: config.NewSecret("sesame")}}
			mailbox, err := Upstream(t.Context(), a, nil)
			if mailbox != nil {
				mailbox.Abort()
			}
			if fetch.KindOf(err) != test.want || connections.Load() != test.connections {
				t.Errorf("%v after %d connections, want kind %v after %d", err, connections.Load(), test.want, test.connections)
			}
		})
	}
}
