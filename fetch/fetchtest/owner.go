package fetchtest

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
)

// imapOwner speaks IMAP in its own words: it shares no code with what is tested.
type imapOwner struct {
	dial                   dialer
	user, password, prefix string
}

// folder is a folder's name as the server has it.
func (o *imapOwner) folder(name string) string {
	if name == "INBOX" {
		return name
	}
	return o.prefix + name
}

func (o *imapOwner) Deliver(t testing.TB, folder string, messages ...[]byte) {
	t.Helper()
	o.session(t, func(s *ownerSession) {
		for _, m := range messages {
			// The server is told the size first.
			command := fmt.Sprintf("APPEND %q {%d}", o.folder(folder), len(m))
			s.say(t, command)
			for line := s.line(t); !strings.HasPrefix(line, "+"); line = s.line(t) {
				if !strings.HasPrefix(line, "* ") {
					t.Fatalf("%s: the server says %s", command, line)
				}
			}
			_, err := fmt.Fprintf(s.conn, "%s\r\n", m)
			must(t, err)
			s.answer(t, command)
		}
	})
}

func (o *imapOwner) Create(t testing.TB, folder string) {
	t.Helper()
	o.session(t, func(s *ownerSession) { s.ask(t, "CREATE %q", o.folder(folder)) })
}

func (o *imapOwner) Count(t testing.TB, folder string) int {
	t.Helper()
	count := -1
	o.session(t, func(s *ownerSession) {
		for _, line := range s.ask(t, "EXAMINE %q", o.folder(folder)) {
			var n int
			if _, err := fmt.Sscanf(line, "* %d EXISTS", &n); err == nil {
				count = n
			}
		}
	})
	if count < 0 {
		t.Fatalf("the server does not say how many messages %s has", folder)
	}
	return count
}

func (o *imapOwner) Flagged(t testing.TB, folder, flag string) int {
	t.Helper()
	count := 0
	o.session(t, func(s *ownerSession) {
		s.ask(t, "EXAMINE %q", o.folder(folder))
		for _, line := range s.ask(t, "FETCH 1:* (FLAGS)") {
			_, flags, _ := strings.Cut(line, "FLAGS (")
			flags, _, _ = strings.Cut(flags, ")")
			for f := range strings.FieldsSeq(flags) {
				if strings.EqualFold(f, flag) {
					count++
				}
			}
		}
	})
	return count
}

// session logs in, does that, and logs out.
func (o *imapOwner) session(t testing.TB, do func(*ownerSession)) {
	t.Helper()
	conn, err := o.dial()
	must(t, err)
	defer conn.Close()
	s := &ownerSession{conn: conn, r: bufio.NewReader(conn)}
	s.line(t) // the greeting
	s.ask(t, "LOGIN %q %q", o.user, o.password)
	do(s)
	s.ask(t, "LOGOUT")
}

type ownerSession struct {
	conn io.ReadWriter
	r    *bufio.Reader
	tag  int
}

// ask says a command and returns the untagged lines of the answer, which must be OK.
func (s *ownerSession) ask(t testing.TB, format string, args ...any) []string {
	t.Helper()
	command := fmt.Sprintf(format, args...)
	s.say(t, command)
	return s.answer(t, command)
}

func (s *ownerSession) say(t testing.TB, command string) {
	t.Helper()
	s.tag++
	_, err := fmt.Fprintf(s.conn, "o%d %s\r\n", s.tag, command)
	must(t, err)
}

func (s *ownerSession) answer(t testing.TB, command string) []string {
	t.Helper()
	var untagged []string
	tag := fmt.Sprintf("o%d ", s.tag)
	for {
		line := s.line(t)
		if status, ok := strings.CutPrefix(line, tag); ok {
			if !strings.HasPrefix(status, "OK") {
				t.Fatalf("%.60s: the server says %s", command, line)
			}
			return untagged
		}
		untagged = append(untagged, line)
	}
}

func (s *ownerSession) line(t testing.TB) string {
	t.Helper()
	line, err := s.r.ReadString('\n')
	if err != nil {
		t.Fatalf("the server hung up after %q: %v", line, err)
	}
	return strings.TrimRight(line, "\r\n")
}
