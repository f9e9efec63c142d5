package pop3_test

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// TestLeaveSendsNothing: neither QUIT nor anything else, though a message was retrieved and another deleted.
func TestLeaveSendsNothing(t *testing.T) {
	client, listing := play(t, twoListed+`
		C: RETR 1
		S= "+OK\r\nabc\r\n.\r\n"
		C: DELE 2
		S: +OK
		hangup`, plaintext())
	if _, _, err := fetchtest.Collect(t.Context(), client, listing.Refs[:1]); err != nil {
		t.Fatal(err)
	}
	if failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs[1:]); err != nil || failures != nil {
		t.Fatal(failures, err)
	}
	if err := client.Leave(t.Context()); err != nil {
		t.Errorf("Leave: %v", err)
	}
	wantKind(t, client.Leave(t.Context()), fetch.Unreachable, "the session has ended")
}

// halves is a connection whose two directions can be closed one by one, as TCP's can.
type halves struct {
	net.Conn // to read from
	out      net.Conn
}

func (h *halves) Write(p []byte) (int, error)        { return h.out.Write(p) }
func (h *halves) SetWriteDeadline(t time.Time) error { return h.out.SetWriteDeadline(t) }
func (h *halves) CloseWrite() error                  { return h.out.Close() }
func (h *halves) Close() error                       { return errors.Join(h.out.Close(), h.Conn.Close()) }

// duplex returns both ends of such a connection.
func duplex() (client, server *halves) {
	toClient, fromServer := net.Pipe()
	toServer, fromClient := net.Pipe()
	return &halves{toClient, fromClient}, &halves{toServer, fromServer}
}

// TestLeaveWaitsForTheServer measures how long Leave takes with servers that take their time to end the session.
func TestLeaveWaitsForTheServer(t *testing.T) {
	wait := func(d time.Duration) func(*halves) { return func(*halves) { time.Sleep(d) } }
	for name, test := range map[string]struct {
		after func(server *halves) // the client has hung up
		want  time.Duration
	}{
		"at once":              {wait(0), 0},
		"two seconds":          {wait(2 * time.Second), 2 * time.Second},
		"never":                {wait(time.Hour), 5 * time.Second},
		"an octet a second":    {func(s *halves) { drip("-ERR autologout; idle for too long\r\n", time.Second)(s) }, 5 * time.Second},
		"words without end":    {func(s *halves) { _, _ = io.Copy(s, &lines{}) }, 0},
		"a farewell, then end": {func(s *halves) { _, _ = io.WriteString(s, "-ERR gone\r\n") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := duplex()
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					(&fakeserver.POP3{Store: fakeserver.NewStore(), User: user, Password: password}).Serve(&untilEOF{server, test.after})
				})
				c, err := pop3.New(t.Context(), client, plaintext())
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				if err := c.Leave(t.Context()); err != nil {
					t.Errorf("Leave: %v", err)
				}
				if took := time.Since(begin); took != test.want {
					t.Errorf("Leave took %v, want %v", took, test.want)
				}
			})
		})
	}
}

// untilEOF is a server's end that does something more before it closes.
type untilEOF struct {
	*halves
	after func(*halves)
}

func (u *untilEOF) Close() error {
	u.after(u.halves)
	return u.halves.Close()
}
