package fetchtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Play runs a scripted server over net.Pipe and returns the client's end. The
// script is a dialogue, a step a line; blank lines and lines that start with "#"
// are skipped:
//
//	S: text      the server sends text and CRLF
//	S= "text"    the server sends a Go string, octet for octet
//	C: text      the client must send text and CRLF
//	C~ regexp    the client must send a line that the expression matches whole
//	close        the server closes
//	silence      the server says no more and waits for the client to hang up
//	hangup       the client must hang up without another octet
//
// When the test ends, it fails with the transcript unless the client kept to all the C
// and hangup steps. A client that hangs up before an S step breaks no rule
// if no C or hangup step follows.
func Play(t testing.TB, script string) net.Conn {
	t.Helper()
	steps, err := parseScript(script)
	if err != nil {
		t.Fatal(err)
	}
	client, server := net.Pipe()
	p := &player{conn: server, r: bufio.NewReader(server), out: make(chan string, len(steps)+1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(p.out)
		p.play(steps)
	})
	wg.Go(func() { // sends until out is closed and then closes the connection
		defer p.conn.Close()
		var err error
		for text := range p.out {
			if err == nil {
				_, err = io.WriteString(p.conn, text)
			}
		}
	})
	t.Cleanup(func() {
		_ = client.Close()
		wg.Wait()
		if p.err != nil {
			t.Errorf("scripted peer: %v\ntranscript:\n%s", p.err, p.transcript.String())
		}
	})
	return client
}

// step is one line of a script: its verb, the text, and C~'s expression.
type step struct {
	verb, text string
	match      *regexp.Regexp
}

func parseScript(script string) (steps []step, err error) {
	for line := range strings.Lines(script) {
		line = strings.TrimLeft(strings.TrimRight(line, "\n"), "\t ")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verb, text, _ := strings.Cut(line, " ")
		s := step{verb: verb, text: text}
		switch verb {
		case "S:", "C:", "close", "silence", "hangup":
		case "S=":
			s.text, err = strconv.Unquote(text)
		case "C~":
			s.match, err = regexp.Compile("^(?:" + text + ")$")
		default:
			err = errors.New("unknown step")
		}
		if err != nil {
			return nil, fmt.Errorf("script line %q: %w", line, err)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// player is the server's side. Writes have a goroutine of their own, so that a
// client that writes while the server does is not held up, as on a real link.
type player struct {
	conn       net.Conn
	r          *bufio.Reader
	out        chan string
	transcript strings.Builder
	err        error
}

func (p *player) play(steps []step) {
	for _, s := range steps {
		switch s.verb {
		case "S:":
			p.say(s.text + "\r\n")
		case "S=":
			p.say(s.text)
		case "C:", "C~":
			if p.err = p.expect(s); p.err != nil {
				return
			}
		case "close":
			return
		case "silence", "hangup":
			rest, _ := io.ReadAll(p.r)
			if len(rest) > 0 {
				fmt.Fprintf(&p.transcript, "C: %q\n", rest)
			}
			if s.verb == "hangup" && len(rest) > 0 {
				p.err = fmt.Errorf("the client sent %q and should have hung up", rest)
			}
			return
		}
	}
}

func (p *player) say(text string) {
	fmt.Fprintf(&p.transcript, "S: %.200q\n", text)
	p.out <- text
}

func (p *player) expect(s step) error {
	line, err := p.r.ReadString('\n')
	if line != "" {
		fmt.Fprintf(&p.transcript, "C: %q\n", line)
	}
	if err != nil {
		return fmt.Errorf("expected %q, the client hung up", s.text)
	}
	text, ok := strings.CutSuffix(line, "\r\n")
	expected := text == s.text
	if s.match != nil {
		expected = s.match.MatchString(text)
	}
	if !ok || !expected {
		return fmt.Errorf("expected %q, got %q", s.text, line)
	}
	return nil
}
