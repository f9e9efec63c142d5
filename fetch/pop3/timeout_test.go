package pop3_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// dialogue answers each command over net.Pipe with the next of replies, the first
// being the greeting, then calls tail. It ends when the client hangs up.
func dialogue(t *testing.T, replies []string, tail func(server net.Conn)) net.Conn {
	client, server := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		commands := bufio.NewReader(server)
		for i, reply := range replies {
			if i > 0 {
				if _, err := commands.ReadString('\n'); err != nil {
					return
				}
			}
			_, _ = io.WriteString(server, reply)
		}
		wg.Go(func() { _, _ = io.Copy(io.Discard, commands) })
		tail(server)
	})
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
		wg.Wait()
	})
	return client
}

// drip sends one octet per pause.
func drip(text string, pause time.Duration) func(net.Conn) {
	return func(server net.Conn) {
		for i := range len(text) {
			time.Sleep(pause)
			if _, err := io.WriteString(server, text[i:i+1]); err != nil {
				return
			}
		}
	}
}

// listed is what a server says up to the listing of one message.
var listed = []string{"+OK\r\n", "-ERR no CAPA\r\n", "+OK\r\n", "+OK\r\n", "+OK\r\n1 a\r\n.\r\n", "+OK\r\n1 3\r\n.\r\n"}

// upTo is the first n of them and one more.
func upTo(n int, more string) []string {
	return append(slices.Clone(listed[:n]), more)
}

func TestSlowServer(t *testing.T) {
	// Each part ends within the bound, and not before it.
	long := strings.Repeat("x", 100_000)
	for name, test := range map[string]struct {
		replies     []string
		slowly      string
		pause       time.Duration
		least, most time.Duration
	}{
		"silent":                  {nil, "", 0, 3 * time.Minute, 3 * time.Minute},
		"slow greeting":           {nil, "+OK " + long, 50 * time.Second, 10 * time.Minute, 11 * time.Minute},
		"silent CAPA":             {listed[:1], "", 0, 3 * time.Minute, 3 * time.Minute},
		"slow CAPA":               {upTo(1, "+OK\r\n"), long, 50 * time.Second, 10 * time.Minute, 11 * time.Minute},
		"silent PASS":             {listed[:3], "", 0, 3 * time.Minute, 3 * time.Minute},
		"slow listing":            {upTo(4, "+OK\r\n"), "1 " + long, 50 * time.Second, 10 * time.Minute, 11 * time.Minute},
		"slow to the end":         {upTo(6, "+OK\r\n"), long, 170 * time.Second, 10 * time.Minute, 10 * time.Minute},
		"silent body":             {upTo(6, "+OK\r\nabc"), "", 0, 3 * time.Minute, 3 * time.Minute},
		"slow body":               {upTo(6, "+OK\r\n"), long, 50 * time.Second, 10 * time.Minute, 11 * time.Minute},
		"slow body, faster":       {upTo(6, "+OK\r\n"), long, 100 * time.Millisecond, 10 * time.Minute, 11 * time.Minute},
		"slow terminator":         {upTo(6, "+OK\r\nabc\r\n."), "", 0, 3 * time.Minute, 3 * time.Minute},
		"no terminator but LF.LF": {upTo(6, "+OK\r\nabc\n.\n"), "", 0, 3 * time.Minute, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				err := session(t, dialogue(t, test.replies, drip(test.slowly, test.pause)))
				wantKind(t, err, fetch.Unreachable, "")
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("got %v, want a timeout", err)
				}
				if took := time.Since(begin); took < test.least || took > test.most {
					t.Errorf("took %v, want %v to %v", took, test.least, test.most)
				}
			})
		})
	}
}

// session does all there is to do and returns the first error, a Body's included.
func session(t *testing.T, conn net.Conn) error {
	client, err := pop3.New(t.Context(), conn, plaintext())
	if err != nil {
		return err
	}
	defer client.Abort()
	listing, err := client.Open(t.Context(), "")
	if err != nil {
		return err
	}
	_, _, err = fetchtest.Collect(t.Context(), client, listing.Refs)
	return err
}

func TestSteadyServerIsNotSlow(t *testing.T) {
	// A slow link that keeps going may take its time: 4 MB at 2 KB/s.
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := session(t, dialogue(t, upTo(6, "+OK\r\n"), func(server net.Conn) {
			for range 2000 {
				time.Sleep(time.Second)
				_, _ = io.WriteString(server, strings.Repeat("0123456789abcd\r\n", 128))
			}
			_, _ = io.WriteString(server, ".\r\n")
		}))
		if err != nil {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestSlowSinkIsNotTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, listing := play(t, twoListed+`
			C: RETR 1
			C: RETR 2
			S= "+OK\r\na\r\n.\r\n"
			S= "+OK\r\nb\r\n.\r\n"
			hangup`, plaintext())
		err := client.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
			time.Sleep(time.Hour)
			_, err := io.Copy(io.Discard, m.Body)
			return err
		})
		if err != nil {
			t.Error(err)
		}
		client.Abort()
	})
}

func TestServerThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.WriteString(server, "+OK\r\n") })
		begin := time.Now()
		_, err := pop3.New(t.Context(), client, plaintext())
		wantKind(t, err, fetch.Unreachable, "CAPA")
		if took := time.Since(begin); took != 3*time.Minute {
			t.Errorf("took %v, want 3m", took)
		}
		_ = server.Close()
		wg.Wait()
	})
}

func TestCancelWhileSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin := time.Now()
		_, err := pop3.New(ctx, fetchtest.Play(t, "S: +OK\nsilence"), plaintext())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("got %v after %v, want the context's error after 1m", err, time.Since(begin))
		}
	})
}

// staller lets so many octets out and then blocks until closed.
type staller struct {
	net.Conn
	left   int
	closed chan struct{}
	once   sync.Once
}

func (s *staller) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.left -= n
	if _, err := s.Conn.Write(p[:n]); err != nil || n == len(p) {
		return n, err
	}
	<-s.closed
	return n, net.ErrClosed
}

func (s *staller) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

func TestHandshakeStalls(t *testing.T) {
	// At every 50th octet of the server's flight, for both ways to TLS.
	serverTLS, config := fakeserver.TLS()
	for left := 0; left <= 600; left += 50 {
		for _, implicit := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				replies := []string{"+OK\r\n", "-ERR\r\n", "+OK\r\n"}
				if implicit {
					replies = nil
				}
				client, server := net.Pipe()
				stall := &staller{Conn: server, left: left, closed: make(chan struct{})}
				var wg sync.WaitGroup
				wg.Go(func() {
					for i, reply := range replies {
						if i > 0 {
							_, _ = io.CopyN(io.Discard, server, int64(len("CAPA\r\n")))
						}
						_, _ = io.WriteString(server, reply)
					}
					_ = tls.Server(stall, serverTLS).Handshake()
				})
				opts := plaintext()
				conn := net.Conn(client)
				if implicit {
					conn, opts.Secure = tls.Client(client, config), true
				} else {
					opts.StartTLS, opts.TLS = true, config
				}
				_, err := pop3.New(t.Context(), conn, opts)
				wantKind(t, err, fetch.Unreachable, "TLS handshake")
				_ = stall.Close()
				wg.Wait()
			})
		}
	}
}

// TestSilenceAtTheEnd: a server that says nothing to QUIT is waited for as for any reply where it has something to delete, and not for long
// where it has nothing.
func TestSilenceAtTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		deletes bool
		want    time.Duration
		kind    fetch.Kind
	}{
		"something is deleted": {true, 3 * time.Minute, fetch.Unreachable},
		"nothing is":           {false, 30 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				replies := slices.Clone(listed)
				if test.deletes {
					replies = append(replies, "+OK\r\n")
				}
				client, err := pop3.New(t.Context(), dialogue(t, replies, func(net.Conn) {}), plaintext())
				if err != nil {
					t.Fatal(err)
				}
				listing, err := client.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				if test.deletes {
					if failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); err != nil || len(failures) > 0 {
						t.Fatal(failures, err)
					}
				}
				begin := time.Now()
				err = client.Close(t.Context())
				if took := time.Since(begin); took != test.want || (err != nil) != (test.kind != 0) || fetch.KindOf(err) != test.kind {
					t.Errorf("Close: %v after %v, want Kind %v after %v", err, took, test.kind, test.want)
				}
			})
		})
	}
}
