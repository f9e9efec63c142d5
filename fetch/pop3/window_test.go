package pop3_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// TestBoundOfPipelinedCommands lets a server answer one command at a time, only when the client has
// nothing more to send: no more than 16 KiB of commands, and one more that began below it, are ever under
// way. A server that reads no further until its replies are taken would stop both sides otherwise.
func TestBoundOfPipelinedCommands(t *testing.T) {
	const (
		messages = 2000
		bound    = 16<<10 + len("RETR 5000\r\n")
	)
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		server := &tardy{t: t, conn: far, bound: bound}
		var wg sync.WaitGroup
		wg.Go(func() { server.serve(messages) })
		client, err := pop3.New(t.Context(), near, plaintext())
		if err != nil {
			t.Fatal(err)
		}
		defer wg.Wait()
		defer client.Abort()
		listing, err := client.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		octets, _, err := fetchtest.Collect(t.Context(), client, listing.Refs)
		if err != nil || len(octets) != messages {
			t.Errorf("%d messages, %v", len(octets), err)
		}
		failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs)
		if err != nil || failures != nil {
			t.Errorf("%d failures, %v", len(failures), err)
		}
		if server.most["RETR"] < bound/2 || server.most["DELE"] < bound/2 {
			t.Errorf("at most %v octets of commands were under way: nothing was pipelined", server.most)
		}
	})
}

// tardy is a server that takes all commands there are before it replies to the first of them.
type tardy struct {
	t     *testing.T
	conn  net.Conn
	bound int
	most  map[string]int // octets of commands that were under way, by verb
}

func (s *tardy) serve(messages int) {
	defer s.conn.Close()
	s.most = map[string]int{}
	lines := make(chan string, 2*messages)
	go func() { // ends with the connection
		defer close(lines)
		r := bufio.NewReader(s.conn)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			lines <- line
		}
	}()
	s.say("+OK ready\r\n")
	var waiting []string
	for {
		synctest.Wait() // the client has sent what it sends without a reply
		for n := len(lines); n > 0; n-- {
			waiting = append(waiting, <-lines)
		}
		if len(waiting) == 0 {
			line, ok := <-lines
			if !ok {
				return
			}
			waiting = append(waiting, line)
			continue
		}
		verb, _, _ := strings.Cut(strings.TrimSpace(waiting[0]), " ")
		octets := len(strings.Join(waiting, ""))
		s.most[verb] = max(s.most[verb], octets)
		if octets > s.bound {
			s.t.Errorf("%d octets of commands are under way, want %d at most", octets, s.bound)
			return
		}
		s.say(s.reply(verb, messages))
		waiting = waiting[1:]
	}
}

func (s *tardy) say(text string) { _, _ = io.WriteString(s.conn, text) }

func (s *tardy) reply(verb string, messages int) string {
	var b strings.Builder
	b.WriteString("+OK\r\n")
	switch verb {
	case "CAPA":
		return "+OK\r\nUIDL\r\nPIPELINING\r\nUSER\r\n.\r\n"
	case "RETR":
		return "+OK\r\n.\r\n"
	case "UIDL", "LIST":
		for n := range messages {
			fmt.Fprintf(&b, "%d %d\r\n", n+1, n+1)
		}
		b.WriteString(".\r\n")
	}
	return b.String()
}
