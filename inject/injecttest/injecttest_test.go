package injecttest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dialogue holds the client's side of a script: lines to send, each with the beginning of the
// reply that it must get. A line ">" expects a reply to nothing. The content of a
// message is one line, with its line endings written out.
func dialogue(t *testing.T, s *Server, script ...string) {
	t.Helper()
	conn, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(conn)
	for i := 0; i < len(script); i += 2 {
		if line := script[i]; line != ">" {
			if _, err := io.WriteString(conn, strings.TrimSuffix(line, "\r\n")+"\r\n"); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
		}
		if got := readReply(r); !strings.HasPrefix(got, script[i+1]) {
			t.Fatalf("%q got %q, want %q", script[i], got, script[i+1])
		}
	}
}

// readReply returns a reply's lines joined by "|", or "EOF".
func readReply(r *bufio.Reader) string {
	var lines []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "EOF"
		}
		line = strings.TrimRight(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "|")
		}
	}
}

func serve(t *testing.T, o Options) *Server {
	t.Helper()
	s := New(o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// attempt is one message in a script.
func attempt(script ...string) []string {
	return append(script, "MAIL FROM:<a@example.net>", "250", "RCPT TO:<user@example.org>", "250", "DATA", "354", "x\r\n.", "250 2.0.0 Ok: queued as")
}

// TestCarry: what of one client outlives the next XCLIENT, as Postfix 3.7 was found to do.
func TestCarry(t *testing.T) {
	const na = "[UNAVAILABLE]"
	full := "XCLIENT NAME=a.example.net ADDR=192.0.2.1 REVERSE_NAME=r.example.net PORT=25 HELO=h PROTO=ESMTP LOGIN=joe DESTADDR=192.0.2.2 DESTPORT=587"
	for _, c := range []struct {
		line string
		want Client
	}{
		{"XCLIENT ADDR=192.0.2.9", Client{"a.example.net", "192.0.2.9", "r.example.net", "25", "ESMTP", "second", na, "192.0.2.2", "587"}},
		{"XCLIENT NAME=[UNAVAILABLE]", Client{na, "192.0.2.1", "r.example.net", "25", "ESMTP", "second", na, "192.0.2.2", "587"}},
		{"XCLIENT NAME=b.example.net", Client{"b.example.net", "192.0.2.1", "b.example.net", "25", "ESMTP", "second", na, "192.0.2.2", "587"}},
		{"XCLIENT NAME=[TEMPUNAVAIL] REVERSE_NAME=[TEMPUNAVAIL]", Client{"[TEMPUNAVAIL]", "192.0.2.1", "[TEMPUNAVAIL]", "25", "ESMTP", "second", na, "192.0.2.2", "587"}},
		{"XCLIENT ADDR=IPV6:2001:DB8::1 LOGIN=mary", Client{"a.example.net", "2001:db8::1", "r.example.net", "25", "ESMTP", "second", "mary", "192.0.2.2", "587"}},
		{"XCLIENT ADDR=IPV6:::ffff:192.0.2.8", Client{"a.example.net", "192.0.2.8", "r.example.net", "25", "ESMTP", "second", na, "192.0.2.2", "587"}},
	} {
		s := serve(t, Options{})
		dialogue(t, s, attempt(">", "220", "EHLO x", "250", full, "220", "EHLO first", "250", c.line, "220", "EHLO second", "250")...)
		if got := s.Messages()[0].Client; got != c.want {
			t.Errorf("behind %s:\n got %+v\nwant %+v", c.line, got, c.want)
		}
	}
}

// TestErrorLimits: errors and junk commands add up over XCLIENT until a message is accepted, and then end the session.
func TestErrorLimits(t *testing.T) {
	const xclient, junk = "XCLIENT ADDR=192.0.2.1", "RSET"
	for name, c := range map[string]struct {
		script []string
		most   int // the 421 counts too
	}{
		"errors":                     {[]string{"x", "502", "x", "502", xclient, "220", "EHLO x", "250", "x", "502", "RSET", "421", ">", "EOF"}, 4},
		"junk":                       {[]string{junk, "250", junk, "250", junk, "250", junk, "250", junk, "250", junk, "250", junk, "421", ">", "EOF"}, 4},
		"errors before an accepted":  {append(attempt("x", "502", "x", "502"), "x", "502", "x", "502", "NOOP", "250"), 2},
		"junk before an accepted":    {append(attempt(junk, "250", junk, "250", junk, "250"), junk, "250", junk, "250", junk, "250", "x", "502"), 1},
		"a refused recipient counts": {[]string{"MAIL FROM:<a@example.net>", "250", "RCPT TO:<no>", "550", "DATA", "554", "QUIT", "221"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{ErrorLimit: 3, JunkLimit: 4, Recipients: []string{"user@example.org"}})
			dialogue(t, s, append([]string{">", "220", "EHLO x", "250"}, c.script...)...)
			if s.MostErrors() != c.most {
				t.Errorf("%d errors, want %d", s.MostErrors(), c.most)
			}
		})
	}
}

// TestIdle: a session that says nothing ends with 421.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Idle: time.Second})
		dialogue(t, s, ">", "220", "EHLO x", "250", ">", "421 4.4.2 mx.example.org Error: timeout exceeded", ">", "EOF")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestSyntax: what XCLIENT refuses, and that what stood before it has been applied.
func TestSyntax(t *testing.T) {
	for line, want := range map[string]string{
		"XCLIENT":                         "501 5.5.4 Syntax: XCLIENT attribute=value...",
		"XCLIENT ADDR":                    "501 5.5.4 Error: attribute=value expected",
		"XCLIENT ADDR=":                   "501 5.5.4 Error: attribute=value expected",
		"XCLIENT FOO=bar":                 "501 5.5.4 Bad XCLIENT attribute name: FOO",
		"XCLIENT ADDR=2001:db8::1":        "501 5.5.4 Bad ADDR syntax: 2001:db8::1",
		"XCLIENT ADDR=[192.0.2.1]":        "501 5.5.4 Bad ADDR syntax",
		"XCLIENT ADDR=300.1.1.1":          "501 5.5.4 Bad ADDR syntax",
		"XCLIENT ADDR=[TEMPUNAVAIL]":      "501 5.5.4 Bad ADDR syntax",
		"XCLIENT ADDR=IPV6:fe80::1%eth0":  "501 5.5.4 Bad ADDR syntax",
		"XCLIENT NAME=a..b":               "501 5.5.4 Bad NAME syntax: a..b",
		"XCLIENT NAME=-a":                 "501 5.5.4 Bad NAME syntax",
		"XCLIENT NAME=192.0.2.1":          "501 5.5.4 Bad NAME syntax",
		"XCLIENT NAME=a.":                 "501 5.5.4 Bad NAME syntax",
		"XCLIENT PROTO=[UNAVAILABLE]":     "501 5.5.4 Bad PROTO syntax",
		"XCLIENT PORT=x":                  "501 5.5.4 Bad PORT syntax",
		"XCLIENT PORT=100000":             "501 5.5.4 Bad PORT syntax",
		"XCLIENT HELO=" + long(256):       "501 5.5.4 Error: attribute value too long",
		"XCLIENT HELO=" + long(255):       "220",
		"XCLIENT PORT=[unavailable]":      "220",
		"XCLIENT NAME=unknown PROTO=smtp": "220",
	} {
		dialogue(t, serve(t, Options{}), ">", "220", "EHLO x", "250", line, want)
	}
	s := serve(t, Options{})
	dialogue(t, s, attempt(">", "220", "EHLO x", "250", "XCLIENT ADDR=192.0.2.1 NAME=a..b", "501")...)
	if got := s.Messages()[0].Client; got.Addr != "192.0.2.1" || got.Name != "localhost" {
		t.Errorf("behind a 501: %+v", got)
	}
}

func long(n int) string { return strings.Repeat("h", n) }

// TestSequence: when XCLIENT may be given, and who may give it.
func TestSequence(t *testing.T) {
	all := "250-mx.example.org|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-DSN|250-CHUNKING|250-ENHANCEDSTATUSCODES|250-SIZE 0|250 XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT"
	none := "250-mx.example.org|250-PIPELINING|250-8BITMIME|250-SMTPUTF8|250-DSN|250-CHUNKING|250-ENHANCEDSTATUSCODES|250 SIZE 0"
	dialogue(t, serve(t, Options{}), ">", "220", "EHLO x", all, "MAIL FROM:<>", "250", "XCLIENT ADDR=192.0.2.1", "503 5.5.1 Error: MAIL transaction in progress",
		"RSET", "250", "XCLIENT ADDR=192.0.2.1", "220", "MAIL FROM:<>", "503", "EHLO y", all, "XCLIENT ADDR=192.0.2.2", "220")
	dialogue(t, serve(t, Options{Once: true}), ">", "220", "EHLO x", all, "XCLIENT HELO=h", "220", "XCLIENT ADDR=192.0.2.1", "220", "EHLO y", none,
		"XCLIENT ADDR=192.0.2.2", "550 5.7.0 Error: insufficient authorization", "QUIT", "221", ">", "EOF")
}

func TestRules(t *testing.T) {
	listed := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	hello := []string{">", "220", "EHLO x", "250"}
	present := func(line string) []string {
		return append(hello[:4:4], "XCLIENT "+line, "220", "EHLO y", "250", "MAIL FROM:<a@example.net>", "250")
	}
	const to = "RCPT TO:<user@example.org>"
	for _, c := range []struct {
		name   string
		o      Options
		script []string
	}{
		{"listed", Options{Rules: Rules{Listed: listed}}, append(present("ADDR=192.0.2.1"), to, "554 5.7.1", "DATA", "554 5.5.1")},
		{"listed, early", Options{Rules: Rules{Listed: listed, Early: true}}, append(hello[:4:4], "XCLIENT ADDR=192.0.2.1", "554 5.7.1", "RSET", "503 5.7.0", "XCLIENT ADDR=203.0.113.1", "503", "QUIT", "221")},
		{"no reverse name", Options{Rules: Rules{NoReverse: "550"}}, append(present("REVERSE_NAME=[UNAVAILABLE]"), to, "550 5.7.1")},
		{"no reverse name for now", Options{Rules: Rules{NoReverse: "550"}}, append(present("REVERSE_NAME=[TEMPUNAVAIL]"), to, "450 4.7.1")},
		{"no name", Options{Rules: Rules{NoName: "450"}}, append(present("NAME=[UNAVAILABLE]"), to, "450 4.7.1")},
		{"a name", Options{Rules: Rules{NoName: "450", NoReverse: "550"}}, append(present("NAME=a.example.net"), to, "250")},
		{"HELO", Options{Rules: Rules{BadHELO: []string{"bad"}}}, append(hello[:4:4], "XCLIENT ADDR=192.0.2.1", "220", "EHLO bad", "554 5.7.1")},
		{"greylisted", Options{Rules: Rules{Greylist: true}}, append(present("ADDR=192.0.2.1"), to, "450 4.2.0", to, "250")},
		{"unknown user", Options{Recipients: []string{"other@example.org"}}, append(present("ADDR=192.0.2.1"), to, "550 5.1.1", "RCPT TO:<OTHER@example.org>", "250")},
		{"relay by a foreign client", Options{Recipients: []string{}, Rules: Rules{Relay: true}}, append(present("ADDR=192.0.2.1"), to, "554 5.7.1")},
		{"relay by an unknown client", Options{Recipients: []string{}, Rules: Rules{Relay: true}}, append(present("ADDR=[UNAVAILABLE]"), to, "554 5.7.1")},
		{"relay by this host", Options{Recipients: []string{}, Rules: Rules{Relay: true}}, append(hello[:4:4], "MAIL FROM:<>", "250", to, "250")},
		{"relay by login", Options{Recipients: []string{}, Rules: Rules{Relay: true}}, append(present("ADDR=192.0.2.1 LOGIN=joe"), to, "250")},
		{"declared size", Options{SizeLimit: 10}, append(hello[:4:4], "MAIL FROM:<> SIZE=11", "552 5.3.4")},
		{"size", Options{SizeLimit: 10}, append(hello[:4:4], "MAIL FROM:<>", "250", to, "250", "DATA", "354", "123456789\r\n.", "552 5.3.4", "MAIL FROM:<>", "250")},
		{"AUTH", Options{Users: map[string]string{"joe": "pw"}}, append(hello[:4:4], "AUTH PLAIN AGpvZQBubw==", "535", "AUTH PLAIN AGpvZQBwdw==", "235", "AUTH CRAM-MD5", "504")},
		{"LMTP", Options{LMTP: true}, []string{">", "220", "EHLO x", "502", "LHLO x", "250", "MAIL FROM:<>", "250", to, "250", to, "250", "DATA", "354", "x\r\n.", "250", ">", "250"}},
		{"nonsense", Options{}, []string{">", "220", "FOO", "502", "MAIL FROM:<>", "503", "HELO x", "250 mx", "MAIL x", "501", to, "503", "DATA", "503", "NOOP", "250"}},
	} {
		t.Run(c.name, func(t *testing.T) { dialogue(t, serve(t, c.o), c.script...) })
	}
}

// TestContent: only CRLF "." CRLF ends a message; dots are unstuffed; bare line endings are noticed.
func TestContent(t *testing.T) {
	for _, c := range []struct {
		sent, want string
		bare       bool
	}{
		{"a\r\n..b\r\n", "a\r\n.b\r\n", false},
		{"a\n.\nb\r\n", "a\n.\nb\r\n", true},
		{"a\n.\r\nb\r\n", "a\n.\r\nb\r\n", true},
		{"a\r\n.\nb\r\n", "a\r\n\nb\r\n", true},
		{"a\rb\r\n", "a\rb\r\n", true},
		{"", "", false},
		{strings.Repeat("x", readSize+10) + "\r\n", strings.Repeat("x", readSize+10) + "\r\n", false},
		{strings.Repeat("x", readSize-1) + "\r\n", strings.Repeat("x", readSize-1) + "\r\n", false},
	} {
		s := serve(t, Options{})
		dialogue(t, s, ">", "220", "EHLO x", "250", "MAIL FROM:<>", "250", "RCPT TO:<u@example.org>", "250", "DATA", "354", c.sent+".", "250")
		if m := s.Messages()[0]; string(m.Data) != c.want || m.Bare != c.bare || m.Octets != len(c.want) {
			t.Errorf("%.40q is kept as %.40q (%d), bare %v", c.sent, m.Data, m.Octets, m.Bare)
		}
	}
}

// TestListen: over TCP and a UNIX socket, beside each other and after Close not at all.
func TestListen(t *testing.T) {
	s := New(Options{Discard: true})
	addr, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("a second listener is accepted")
	}
	for i := range 3 {
		dialogue(t, s, attempt(">", "220", fmt.Sprintf("EHLO x%d", i), "250")...)
	}
	if s.Count() != 3 || s.Sessions() != 3 || len(s.Messages()) != 0 {
		t.Errorf("%d messages, %d sessions, %d kept", s.Count(), s.Sessions(), len(s.Messages()))
	}
	idle, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = idle.Close() }()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Dial(t.Context()); err == nil {
		t.Error("a closed server takes connections")
	}
	unix := serve(t, Options{})
	if err := unix.Listen("unix", t.TempDir()+"/s"); err != nil {
		t.Fatal(err)
	}
	dialogue(t, unix, attempt(">", "220", "EHLO x", "250")...)
}

// FuzzCommand: no line makes the server panic or hang.
func FuzzCommand(f *testing.F) {
	for _, l := range []string{"XCLIENT ADDR=1.2.3.4", "XCLIENT NAME=+4", "MAIL FROM:<\"a\\\">\"@b> SIZE=1", "AUTH PLAIN =", "EHLO", "RCPT TO:", "XCLIENT =", "XFORWARD X=Y", "DATA"} {
		f.Add(l)
	}
	f.Fuzz(func(t *testing.T, line string) {
		client, server := net.Pipe()
		s := New(Options{XFORWARD: []string{"NAME"}, Users: map[string]string{"a": "b"}})
		done := make(chan bool)
		go func() { defer close(done); s.Serve(server) }()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		_, _ = io.WriteString(client, "EHLO x\r\n"+line+"\r\nMAIL FROM:<>\r\nRCPT TO:<x@y>\r\n"+line+"\r\n.\r\nQUIT\r\n")
		_ = client.Close()
		<-done
	})
}

// TestPROXY: a server that wants a header takes the client from it, by either version, and closes where there is none.
func TestPROXY(t *testing.T) {
	v2 := func(family byte, body string) string {
		return proxySignature + "\x21" + string([]byte{family, 0, byte(len(body))}) + body
	}
	for name, c := range map[string]struct{ header, addr, port string }{
		"version 1, IPv4":       {"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\n", "192.0.2.1", "4711"},
		"version 1, IPv6":       {"PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n", "2001:db8::1", "4711"},
		"version 2, IPv4":       {v2(0x11, "\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x00\x19"), "192.0.2.1", "4711"},
		"version 2 with a TLV":  {v2(0x11, "\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x00\x19\x04\x00\x01x"), "192.0.2.1", "4711"},
		"version 2, LOCAL":      {proxySignature + "\x20\x00\x00\x00", "", ""},
		"version 2, too short":  {v2(0x21, "\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x00\x19"), "", ""},
		"no header":             {"EHLO client.example.net\r\n", "", ""},
		"version 1, UNKNOWN":    {"PROXY UNKNOWN\r\n", "", ""},
		"version 1, no address": {"PROXY TCP4 here there 4711 25\r\n", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, Options{PROXY: true})
			conn, err := s.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				_, _ = io.WriteString(conn, c.header+"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n.\r\nQUIT\r\n")
			}()
			_, _ = io.Copy(io.Discard, conn)
			got := s.Messages()
			switch {
			case c.addr == "" && len(got) != 0:
				t.Errorf("taken: %+v", got)
			case c.addr != "" && len(got) != 1:
				t.Errorf("%d messages", len(got))
			case c.addr != "":
				if from := got[0].Client; from.Addr != c.addr || from.Port != c.port {
					t.Errorf("from %+v", from)
				}
			}
		})
	}
}

// TestOtherPrograms: what sets each kind of server apart from Postfix as it is today.
func TestOtherPrograms(t *testing.T) {
	dialogue(t, serve(t, Haraka()), ">", "220", "EHLO x", "250", "XCLIENT NAME=a.example.net ADDR=[UNAVAILABLE]", "501 5.5.4 No valid IP address found",
		"XCLIENT ADDR=192.0.2.1", "220", "EHLO y", "250", "XCLIENT ADDR=192.0.2.2", "550 5.7.0")
	dialogue(t, serve(t, Postfix22()), ">", "220", "EHLO x", "250", "XCLIENT ADDR=192.0.2.1 HELO=two+20words", "250 Ok",
		"MAIL FROM:<>", "250", "RCPT TO:<a@example.org>", "250", "DATA", "354", ".", "250 Ok: queued as")
	s := serve(t, Dovecot())
	dialogue(t, s, ">", "220", "LHLO x", "250", "XCLIENT ADDR=192.0.2.1 PORT=4711", "220", "LHLO y", "250", "XCLIENT ADDR=192.0.2.2 PORT=[UNAVAILABLE]", "220", "LHLO z", "250",
		"MAIL FROM:<>", "250", "RCPT TO:<a@example.org>", "250", "DATA", "354", ".", "250 2.0.0")
	if got := s.Messages()[0].Client; got.Port != "4711" || got.Addr != "192.0.2.2" {
		t.Errorf("Dovecot forgets a port: %+v", got)
	}
	dialogue(t, serve(t, Options{MessageLimit: 1}), ">", "220", "EHLO x", "250", "MAIL FROM:<>", "250", "RCPT TO:<a@example.org>", "250", "DATA", "354", ".", "250",
		"MAIL FROM:<>", "421 too many messages", ">", "EOF")
}
