package imap

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// writesConn notes what leaves in each write.
type writesConn struct {
	net.Conn
	mu  sync.Mutex
	all []string
}

func (c *writesConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.all = append(c.all, string(p))
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// TestCommandsOfATurnLeaveInOneWrite: a server that sees one of them before the others may answer that one first, and keep the rest of its replies
// until the first is acknowledged.
func TestCommandsOfATurnLeaveInOneWrite(t *testing.T) {
	for name, oneByOne := range map[string]bool{"together": false, "one by one": true} {
		t.Run(name, func(t *testing.T) {
			server := fakeserver.IMAP{Store: fakeserver.NewStore(), User: user, Password: password}
			conn := &writesConn{Conn: fetchtest.Dial(t, fetchtest.Listen(t, server.Serve).Addr())}
			o := plaintext()
			o.MaxSize, o.OneByOne = 1<<20, oneByOne
			c, err := New(t.Context(), conn, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			if _, err := c.Open(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			conn.mu.Lock()
			defer conn.mu.Unlock()
			for _, p := range conn.all {
				if commands := strings.Count(p, "\r\n"); strings.Contains(p, " SELECT ") && commands != map[bool]int{false: 3, true: 1}[oneByOne] {
					t.Errorf("%d commands leave with SELECT: %q", commands, p)
				}
			}
		})
	}
}

// TestOpenAfterTheServerHasLeft: a session that ended while nothing was asked of the server is found to have ended. Nobody waits for the replies
// to commands that were kept back and never left.
func TestOpenAfterTheServerHasLeft(t *testing.T) {
	for name, c := range map[string]struct {
		farewell string
		oneByOne bool
	}{
		"BYE":               {"S: * BYE idle for too long\nclose", false},
		"without a word":    {"close", false},
		"one by one, a BYE": {"S: * BYE idle for too long\nclose", true},
	} {
		t.Run(name, func(t *testing.T) {
			client, _, err := play(t, begin+c.farewell)
			if err != nil {
				t.Fatal(err)
			}
			<-client.lib.Closed()
			client.opts.OneByOne = c.oneByOne
			opened := make(chan error, 1)
			go func() {
				_, err := client.Open(context.Background(), "Work")
				opened <- err
			}()
			select {
			case err := <-opened:
				if fetch.KindOf(err) != fetch.Unreachable {
					t.Errorf("got %v, want Unreachable", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("Open waits for a server that has left")
			}
		})
	}
}

func TestHold(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  []string // what leaves
	}{
		"nothing":                        {},
		"one":                            {[]string{"T1 NOOP\r\n"}, []string{"T1 NOOP\r\n"}},
		"two":                            {[]string{"T1 SELECT INBOX\r\n", "T2 UID SEARCH ALL\r\n"}, []string{"T1 SELECT INBOX\r\nT2 UID SEARCH ALL\r\n"}},
		"a literal to be prompted for":   {[]string{"T1 SELECT {3}\r\n", "a\"b\r\n", "T2 NOOP\r\n"}, []string{"T1 SELECT {3}\r\n", "a\"b\r\n", "T2 NOOP\r\n"}},
		"a literal in the second of two": {[]string{"T1 NOOP\r\n", "T2 SELECT {3}\r\n", "a\"b\r\n"}, []string{"T1 NOOP\r\nT2 SELECT {3}\r\n", "a\"b\r\n"}},
	} {
		h := hold{on: true}
		var left []string
		for _, line := range c.lines {
			if now := h.add([]byte(line)); len(now) > 0 {
				left = append(left, string(now))
			}
		}
		if now := h.end(); len(now) > 0 {
			left = append(left, string(now))
		}
		if strings.Join(left, "|") != strings.Join(c.want, "|") {
			t.Errorf("%s: left %q, want %q", name, left, c.want)
		}
		if now := h.add([]byte("T9 LOGOUT\r\n")); string(now) != "T9 LOGOUT\r\n" {
			t.Errorf("%s: after that, %q is kept back", name, "T9 LOGOUT")
		}
	}
}
