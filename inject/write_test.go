package inject_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// cutConn fails in the middle of the write that holds the dot: short octets before the end of the dot,
// or after it if negative. It still reads, unless it is closed at the same time.
type cutConn struct {
	net.Conn
	short  int
	closes bool
}

func (c cutConn) Write(p []byte) (int, error) {
	_, after, found := bytes.Cut(p, []byte("\r\n.\r\n"))
	if !found {
		return c.Conn.Write(p)
	}
	n, err := c.Conn.Write(p[:len(p)-len(after)-c.short])
	if err == nil {
		err = errSource
	}
	if c.closes {
		_ = c.Conn.Close()
	}
	return n, err
}

// TestDotCut: a write that fails before the end of the dot leaves no doubt, for the MTA has no message.
// One that fails after it may be answered all the same; without an answer the message is in doubt.
func TestDotCut(t *testing.T) {
	for _, c := range []struct {
		name    string
		short   int
		closes  bool
		outcome inject.Outcome
		stage   string
		arrived int
	}{
		{"before the dot", 3, false, inject.Deferred, "DATA", 0},
		{"before its last octet", 1, false, inject.Deferred, "DATA", 0},
		{"before its last octet, and closed", 1, true, inject.Deferred, "DATA", 0},
		{"right after the dot", 0, false, inject.Delivered, "dot", 1},
		{"in the XCLIENT after it, which keeps the reply back", -5, false, inject.InDoubt, "dot", 1},
	} {
		for _, dialect := range []inject.Dialect{inject.SMTP, inject.LMTP} {
			bubble(t, fmt.Sprint(c.name, "/", dialect), func(t *testing.T) {
				s := newServer(t, injecttest.Options{LMTP: dialect == inject.LMTP})
				dial := func(ctx context.Context) (net.Conn, error) {
					conn, err := s.Dial(ctx)
					return cutConn{conn, c.short, c.closes}, err
				}
				session, err := inject.Open(t.Context(), dial, inject.Options{Dialect: dialect})
				if err != nil {
					t.Fatal(err)
				}
				r := session.Deliver(t.Context(), message(1), func() *inject.Message { return message(2) })
				if r.Outcome != c.outcome || r.Stage != c.stage || session.Reusable() {
					t.Errorf("%+v, err %v, reusable %v", r, r.Err, session.Reusable())
				}
				if s.Count() != c.arrived {
					t.Errorf("%d arrived", s.Count())
				}
				session.Close()
			})
		}
	}
}

// answer is what a scriptedConn does with one write: it fails or not, and has a reply.
type answer struct {
	reply string
	fails bool
}

// scriptedConn answers writes by a script.
type scriptedConn struct {
	net.Conn
	answers []answer
	unread  bytes.Buffer
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	if len(c.answers) == 0 {
		return 0, errSource
	}
	a := c.answers[0]
	c.answers = c.answers[1:]
	c.unread.WriteString(a.reply)
	if a.fails {
		return 0, errSource
	}
	return len(p), nil
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	if c.unread.Len() == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return c.unread.Read(p)
}

func (*scriptedConn) SetDeadline(time.Time) error     { return nil }
func (*scriptedConn) SetReadDeadline(time.Time) error { return nil }
func (*scriptedConn) Close() error                    { return nil }

// TestLastReply: where a write fails, the refusal that the server sent before is the reason, and nothing
// else that it sent is an answer.
func TestLastReply(t *testing.T) {
	ok := answer{reply: "250 ok\r\n"}
	for _, c := range []struct {
		name    string
		answers []answer // to EHLO; MAIL, RCPT, DATA each; content in three writes
		outcome inject.Outcome
		kind    inject.Kind
		stage   string
		code    int
	}{
		{"421 at EHLO", []answer{{"421 4.3.2 closing\r\n", true}}, inject.Deferred, inject.Unreachable, "EHLO", 421},
		{"554 at EHLO", []answer{{"554 5.7.1 no\r\n", true}}, inject.Deferred, inject.Misconfigured, "EHLO", 554},
		{"250 at EHLO", []answer{{"250 ok\r\n", true}}, inject.Deferred, inject.Protocol, "EHLO", 250},
		{"nothing at EHLO", []answer{{"", true}}, inject.Deferred, inject.Unreachable, "EHLO", 0},
		{"421 at MAIL", []answer{ok, {"421 4.4.2 timeout\r\n", true}}, inject.Deferred, inject.Unclassified, "MAIL", 421},
		{"250 at MAIL", []answer{ok, {"250 ok\r\n", true}}, inject.Deferred, inject.Protocol, "MAIL", 250},
		{"nothing at RCPT", []answer{ok, ok, {"", true}}, inject.Deferred, inject.Unreachable, "RCPT", 0},
		{"552 in the content", []answer{ok, ok, ok, {"354 go ahead\r\n", false}, {}, {"552 5.3.4 too big\r\n", true}}, inject.Refused, inject.Unclassified, "DATA", 552},
		{"452 in the content", []answer{ok, ok, ok, {"354 go ahead\r\n", false}, {}, {"452 4.3.1 full\r\n", true}}, inject.Deferred, inject.Unclassified, "DATA", 452},
		{"250 in the content", []answer{ok, ok, ok, {"354 go ahead\r\n", false}, {}, {"250 queued as X\r\n", true}}, inject.Deferred, inject.Protocol, "DATA", 250},
		{"nothing in the content", []answer{ok, ok, ok, {"354 go ahead\r\n", false}, {}, {"", true}}, inject.Deferred, inject.Unreachable, "DATA", 0},
		{"552 at the dot", []answer{ok, ok, ok, {"354 go ahead\r\n", false}, {}, {}, {}, {"552 5.3.4 too big\r\n", true}}, inject.Refused, inject.Unclassified, "DATA", 552},
		{"the dot is written", []answer{ok, ok, ok, {"354 go ahead\r\n", false}, {}, {}, {}, ok}, inject.Delivered, inject.Unclassified, "dot", 250},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := &scriptedConn{answers: c.answers}
			conn.unread.WriteString("220 hello\r\n")
			m := message(1)
			content := strings.Repeat("x", 3*32<<10) + "\r\n"
			m.Size, m.Body = -1, bodyOf(content)
			dial := func(context.Context) (net.Conn, error) {
				if conn == nil {
					return nil, errSource
				}
				defer func() { conn = nil }()
				return conn, nil
			}
			r := injectAll(t, dial, inject.Options{XCLIENT: inject.Off, Connections: 1}, m)[0]
			if r.Outcome != c.outcome || kindOf(r) != c.kind || r.Stage != c.stage || r.Reply.Code != c.code {
				t.Errorf("%v at %q by %v, kind %v: %v", r.Outcome, r.Stage, r.Reply, kindOf(r), r.Err)
			}
		})
	}
}
