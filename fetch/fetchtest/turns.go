package fetchtest

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
)

// Turns is a connection to an IMAP server that counts turns: a turn is what the client sends without having seen an answer to
// it, and begins with what it writes after the server did. The test says which commands each turn should hold, and nothing the server says
// passes before all of them are written: so the count rests neither on a clock nor on who is faster.
// A client that waits for an answer in mid-turn gets none.
type Turns struct {
	net.Conn

	mu    sync.Mutex
	open  *sync.Cond // the turn's commands are all written, or the connection has ended
	want  [][]string
	sent  [][]string
	ended bool
}

// CountTurns wraps conn. Each of turns names its commands in their order, "UID SEARCH" for one.
func CountTurns(conn net.Conn, turns ...[]string) *Turns {
	t := &Turns{Conn: conn, want: turns}
	t.open = sync.NewCond(&t.mu)
	return t
}

// Sent returns the commands of each turn.
func (t *Turns) Sent() [][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent
}

// complete reports whether the turn under way has all its commands. t.mu is held.
func (t *Turns) complete() bool {
	n := len(t.sent)
	return n == 0 || n > len(t.want) || len(t.sent[n-1]) >= len(t.want[n-1])
}

// Write takes whole lines, as both the library and the client write them. A line that is no command, as in an
// exchange of AUTHENTICATE, is a turn of its own.
func (t *Turns) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		words := strings.Fields(string(line)) // "T3 UID SEARCH ALL"
		command := fmt.Sprintf("a line of %d octets", len(line))
		switch {
		case len(words) > 2 && words[1] == "UID":
			command = "UID " + words[2]
		case len(words) > 1:
			command = words[1]
		}
		t.mu.Lock()
		if t.complete() {
			t.sent = append(t.sent, nil)
		}
		n := len(t.sent) - 1
		t.sent[n] = append(t.sent[n], command)
		t.open.Broadcast()
		t.mu.Unlock()
	}
	return t.Conn.Write(p)
}

// Read holds back what the server says until the turn is complete.
func (t *Turns) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.complete() && !t.ended {
		t.open.Wait()
	}
	return n, err
}

// Close implements net.Conn.
func (t *Turns) Close() error {
	t.mu.Lock()
	t.ended = true
	t.open.Broadcast()
	t.mu.Unlock()
	return t.Conn.Close()
}
