package imap

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// retrieve7 retrieves the one message of a scripted mailbox.
func retrieve7(t *testing.T, script string, limit int64) (messages []fetch.Message, body string, err error) {
	t.Helper()
	o := plaintext()
	o.MaxSize, o.Timeouts = limit, Timeouts{Idle: 10 * time.Second}
	c, err := New(t.Context(), fetchtest.Play(t, begin+script), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Abort)
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	err = c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
		messages = append(messages, m)
		if m.Body == nil {
			return nil
		}
		raw, err := io.ReadAll(m.Body)
		body = string(raw)
		return err
	})
	return messages, body, err
}

// TestTooLargeIsNotAskedFor: what is announced as larger than the limit does not come over the line.
func TestTooLargeIsNotAskedFor(t *testing.T) {
	const sized = "C: T4 UID SEARCH RETURN (ALL) LARGER 18\nS: * ESEARCH (TAG \"T4\") UID ALL 7\nS: T4 OK x\nC: T5 UID FETCH 7 (UID RFC822.SIZE)\nS: * 1 FETCH (UID 7 RFC822.SIZE 19)\nS: T5 OK x\n"
	got, _, err := retrieve7(t, sized+"hangup", 18)
	if err != nil || len(got) != 1 || fetch.KindOf(got[0].Err) != fetch.TooLarge {
		t.Errorf("beyond the limit: %+v, %v", got, err)
	}
	got, body, err := retrieve7(t, "C: T4 UID SEARCH RETURN (ALL) LARGER 19\nS: * ESEARCH (TAG \"T4\") UID\nS: T4 OK x\nC: T5 UID FETCH 7 (UID BODY.PEEK[])\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T5 OK x\n", 19)
	if err != nil || len(got) != 1 || body != "abc" {
		t.Errorf("at the limit: %+v with %q, %v", got, body, err)
	}
}

// TestCutMessageSaysWhere: an error in the middle of a message tells how much of it came.
func TestCutMessageSaysWhere(t *testing.T) {
	_, _, err := retrieve7(t, fetch7+"S: * 1 FETCH (UID 7 BODY[] {100}\nS: abc\nclose", 0)
	if fetch.KindOf(err) != fetch.Unreachable || !strings.Contains(err.Error(), "5 of 100 octets") {
		t.Errorf("got %v", err)
	}
}

// TestRefusalBehindTheLastMessage: when all has come, it does not matter that the server says NO in the end.
func TestRefusalBehindTheLastMessage(t *testing.T) {
	for _, code := range []string{"[UNAVAILABLE] later", "[SERVERBUG] oops", "no"} {
		got, body, err := retrieve7(t, fetch7+"S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 NO "+code+"\n", 0)
		if err != nil || len(got) != 1 || body != "abc" {
			t.Errorf("%s: %+v with %q, %v", code, got, body, err)
		}
	}
}

// TestOnlyMessageNamedBehindItsBody: the UID may come behind the body. Where sequence numbers mean nothing any more, the body that
// answers a command for one message is that message's.
func TestOnlyMessageNamedBehindItsBody(t *testing.T) {
	for before, lost := range map[string]bool{"": false, "S: * 0 EXPUNGE\n": true} {
		got, body, err := retrieve7(t, fetch7+before+"S: * 1 FETCH (BODY[] {3}\nS: abc UID 7)\nS: T4 OK x\n", 0)
		if err != nil || len(got) != 1 || body != "abc" {
			t.Errorf("with numbers lost %v: %+v with %q, %v", lost, got, body, err)
		}
	}
}

// TestGuardLimit: a literal beyond the limit, and what servers add to a message on the way, ends the session before it comes.
func TestGuardLimit(t *testing.T) {
	for limit, want := range map[int64]int64{0: maxBody, 10: 10 + largeSlack, 1 << 40: maxBody} {
		if got := guardOver(nil, Options{MaxSize: limit}).lex.limit; got != want {
			t.Errorf("with MaxSize %d literals may have %d octets, want %d", limit, got, want)
		}
	}
}

// TestLongLinesAreForgotten: the room that a long list of UIDs took is given back.
func TestLongLinesAreForgotten(t *testing.T) {
	var g *guard
	_, _ = through(t, "* SEARCH"+strings.Repeat(" 1", 5*maxLine/2)+"\r\n* 1 EXISTS\r\n* 2 EXISTS\r\n", func(of *guard) { g = of })
	if cap(g.line) > 2*maxLine {
		t.Errorf("%d octets are kept for lines", cap(g.line))
	}
}

// TestSinkThatStopsLeavesNothing: the library's goroutine ends wherever a sink stops, with the answers to many messages, whole or
// cut, already here.
func TestSinkThatStopsLeavesNothing(t *testing.T) {
	answers := ""
	for n := range 300 {
		answers += fmt.Sprintf("* 1 FETCH (UID 7 BODY[] {5}\r\nab%03d)\r\n", n)
	}
	for _, answer := range []string{answers, answers[:len(answers)/2], answers[:50], answers[:33]} {
		for read := range 6 {
			synctest.Test(t, func(t *testing.T) {
				client, peer := net.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer peer.Close()
					if r, ok := upToFetch(peer, answer); ok {
						_, _ = io.Copy(io.Discard, r)
					}
				}()
				c, err := New(t.Context(), client, plaintext())
				if err != nil {
					t.Fatal(err)
				}
				listing, err := c.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				stop := errors.New("enough")
				if err := c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
					_, _ = io.ReadFull(m.Body, make([]byte, read))
					return stop
				}); !errors.Is(err, stop) {
					t.Errorf("got %v", err)
				}
				c.Abort()
				<-done
			})
		}
	}
}
