package transfer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
)

// The peers of the simulation speak their protocols over pipes, so that the real clients are under test.

// What an upstream's words say to the connection they go out on.
const (
	cutHere  = "\x00CUT\x00"  // ends the connection
	dropThis = "\x00DROP\x00" // leaves out this FETCH response
	refuseIt = "\x00NO\x00"   // leaves it out with all that follows, and ends the command with NO
)

// upstreamConn is the upstream's end of a connection.
type upstreamConn struct {
	net.Conn
	h *poisoned
	// refusing says that what is written is left out up to the end of the command.
	refusing bool
}

// fetchEnd is the reply that ends a FETCH of the fake server.
var fetchEnd = regexp.MustCompile(`(?m)^(\S+) OK\r\n`)

func (c *upstreamConn) Write(p []byte) (int, error) {
	length := len(p)
	if c.h.draw(upstreamLost, 60, c.h.count(upstreamLost, 0)) {
		_ = c.Close()
		return 0, net.ErrClosed
	}
	var before []byte
	for !c.refusing {
		at := bytes.IndexByte(p, 0)
		if at < 0 {
			break
		}
		start := bytes.LastIndex(p[:at], []byte("\r\n* ")) + 2
		if start == 1 {
			start = 0
		}
		switch rest := p[at:]; {
		case bytes.HasPrefix(rest, []byte(dropThis)):
			end := bytes.Index(rest, []byte(")\r\n")) + 3
			p = append(bytes.Clone(p[:start]), rest[end:]...)
		case bytes.HasPrefix(rest, []byte(refuseIt)):
			before = bytes.Clone(p[:start])
			c.refusing, p = true, rest
		default:
			_, _ = c.Conn.Write(p[:at])
			_ = c.Close()
			return 0, net.ErrClosed
		}
	}
	if c.refusing {
		end := fetchEnd.FindSubmatchIndex(p)
		if c.refusing = end == nil; c.refusing {
			p = before
		} else {
			p = append(fmt.Appendf(before, "%s NO it did not work\r\n", p[end[2]:end[3]]), p[end[1]:]...)
		}
	}
	if len(p) == 0 {
		return length, nil // a pipe would hand over nothing, which looks odd to its reader
	}
	if _, err := c.Conn.Write(p); err != nil {
		return 0, err
	}
	return length, nil
}

// dialUpstream opens a session with the mailbox.
func (h *poisoned) dialUpstream(ctx context.Context) (fetch.Mailbox, error) {
	if h.isDead() || h.draw(upstreamDown, 25, h.count(upstreamDown, 0)) {
		return nil, &fetch.Error{Kind: fetch.Unreachable, Op: "connect", Err: errors.New("connection refused")}
	}
	h.mu.Lock()
	later := !h.pop3 && h.sessions > 0
	h.sessions++
	h.mu.Unlock()
	if later && h.draw(validityInPass, 40, h.count(validityInPass, 0)) {
		validity, _ := h.store.Validity("")
		h.store.SetValidity("", validity+1)
	}
	client, server := net.Pipe()
	conn := h.track(client)
	who := sasl.Credentials{User: "u", Password: "correct horse"}
	if h.pop3 {
		s := &fakeserver.POP3{Store: h.store, User: "u", Password: "correct horse", Once: h.once, Reply: h.pop3Reply}
		h.peers.Go(func() { s.Serve(&upstreamConn{Conn: server, h: h}) })
		return mailbox(pop3.New(ctx, conn, pop3.Options{Credentials: who, Secure: true}))
	}
	s := &fakeserver.IMAP{Store: h.store, User: "u", Password: "correct horse", Reply: h.imapReply, Body: h.imapBody, Counter: h.counter}
	if h.number("condstore")%2 == 0 {
		s.Capabilities = []string{"CONDSTORE"}
	}
	h.peers.Go(func() { s.Serve(&upstreamConn{Conn: server, h: h}) })
	return mailbox(imap.New(ctx, conn, imap.Options{Credentials: who, Secure: true}))
}

// counter is what the upstream says for UIDNEXT and HIGHESTMODSEQ: in some histories it lies, by a number that stands still, falls
// or leaps.
func (h *poisoned) counter(name string, truth uint64) uint64 {
	f := map[string]fault{"UIDNEXT": liesOfNext, "HIGHESTMODSEQ": liesOfModSeq}[name]
	kind := h.number("liar "+name) % 12
	if kind > 3 || !h.draw(f, 2, h.count(f, 0)) {
		return truth
	}
	return []uint64{0, 3, truth / 2, truth + 5}[kind]
}

// mailbox keeps a nil client from becoming a Mailbox that is not nil.
func mailbox[M fetch.Mailbox](m M, err error) (fetch.Mailbox, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}

// subjectOf is the number of a message.
func subjectOf(raw []byte) int {
	_, rest, _ := bytes.Cut(raw, []byte("Subject: number "))
	line, _, _ := bytes.Cut(rest, []byte("\r\n"))
	n, _ := strconv.Atoi(string(line))
	return n
}

func (h *poisoned) pop3Reply(verb, arg string) (string, bool) {
	switch verb {
	case "PASS":
		if h.draw(loginBusy, 25, h.count(loginBusy, 0)) {
			return "-ERR [IN-USE] try again later\r\n", true
		}
	case "RETR":
		list := h.store.List("")
		number, err := strconv.Atoi(arg)
		if err != nil || number < 1 || number > len(list) {
			return "", false
		}
		raw := list[number-1].Raw()
		switch n := subjectOf(raw); h.fateOf(n) {
		case closesSession:
			h.happened(closesSession, n)
			return "+OK\r\n" + string(raw[:len(raw)/2]) + cutHere, true
		case refusesRetrieval, neverHandedOut:
			h.happened(h.fateOf(n), n)
			return "-ERR it did not work\r\n", true
		}
	}
	return "", false
}

func (h *poisoned) imapReply(verb, args string) (string, bool) {
	switch verb {
	case "LOGIN", "AUTHENTICATE":
		if h.draw(loginBusy, 25, h.count(loginBusy, 0)) {
			return "%T NO [UNAVAILABLE] try again later\r\n", true
		}
	case "UID SEARCH":
		if strings.Contains(args, ":*") {
			h.mu.Lock()
			h.counts[askedForNewOnly]++
			h.mu.Unlock()
		}
	case "UID FETCH":
		set, items, _ := strings.Cut(args, " ")
		if h.bye && strings.Contains(items, "BODY.PEEK[]") && setSize(set) > 1 {
			h.happened(byeOnLargeSets, 0)
			return "* BYE this is too much\r\n" + cutHere, true
		}
	}
	return "", false
}

// setSize is the number of UIDs that a sequence set covers.
func setSize(set string) int {
	size := 0
	for part := range strings.SplitSeq(set, ",") {
		low, high, ranged := strings.Cut(part, ":")
		size++
		if ranged {
			l, _ := strconv.Atoi(low)
			u, _ := strconv.Atoi(high)
			size += u - l
		}
	}
	return size
}

// imapBody is what stands for the literal in a FETCH response.
func (h *poisoned) imapBody(m fakeserver.Message) (string, bool) {
	raw := m.Raw()
	n := subjectOf(raw)
	f := h.fateOf(n)
	said := ""
	switch f {
	case closesSession:
		said = fmt.Sprintf("{%d}\r\n%s%s", len(raw), raw[:len(raw)/2], cutHere)
	case wrongLiteral:
		said = fmt.Sprintf("{%d}\r\n%s", len(raw)+9, raw)
	case refusesRetrieval:
		said = refuseIt
	case neverHandedOut:
		said = dropThis
	default:
		return "", false
	}
	h.happened(f, n)
	return said, true
}

// dialMTA opens a connection to the MTA.
func (h *poisoned) dialMTA(context.Context) (net.Conn, error) {
	if h.isDead() || h.draw(mtaDown, 30, h.count(mtaDown, 0)) {
		return nil, errors.New("connection refused")
	}
	client, server := net.Pipe()
	h.peers.Go(func() {
		defer server.Close()
		(&poisonedMTA{h: h, conn: server, r: bufio.NewReaderSize(server, 128<<10), w: bufio.NewWriter(server)}).serve()
	})
	return h.track(client), nil
}

// poisonedMTA is one session of an MTA in which each message has its fate.
type poisonedMTA struct {
	h    *poisoned
	conn net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	// message is the number of the client that was presented.
	message    int
	recipients []string
}

func (m *poisonedMTA) say(line string) { _, _ = m.w.WriteString(line + "\r\n") }

func (m *poisonedMTA) serve() {
	defer m.w.Flush()
	if m.h.draw(busyGreeting, 30, m.h.count(busyGreeting, 0)) {
		m.say("421 4.3.2 too busy")
		return
	}
	m.say("220 mx.example.org ESMTP")
	for {
		if m.r.Buffered() == 0 && m.w.Flush() != nil {
			return
		}
		line, err := m.r.ReadString('\n')
		if err != nil || !m.command(strings.TrimRight(line, "\r\n")) {
			return
		}
	}
}

// command serves one command and reports whether the session goes on.
func (m *poisonedMTA) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	fate := m.h.fateOf(m.message)
	switch verb {
	case "EHLO":
		if m.message > 0 && fate == closesAtEHLO {
			m.h.happened(fate, m.message)
			return false
		}
		m.say("250-mx.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT")
	case "XCLIENT":
		if _, addr, found := strings.Cut(rest, "ADDR=203.0.113."); found {
			addr, _, _ = strings.Cut(addr, " ")
			m.message, _ = strconv.Atoi(addr)
		}
		if fate = m.h.fateOf(m.message); fate == closesAtXCLIENT {
			m.h.happened(fate, m.message)
			return false
		}
		m.say("220 mx.example.org ESMTP")
	case "MAIL":
		m.recipients = nil
		if fate == authRequired {
			m.h.happened(fate, m.message)
			m.say("530 5.7.0 authentication required")
			return true
		}
		m.say("250 2.1.0 Ok")
	case "RCPT":
		m.say(m.rcpt(strings.Trim(strings.TrimPrefix(rest, "TO:"), "<>"), fate))
	case "DATA":
		if len(m.recipients) == 0 {
			m.say("554 5.5.1 no valid recipients")
			return true
		}
		m.say("354 go ahead")
		return m.data(fate)
	case "QUIT":
		m.say("221 2.0.0 Bye")
		return false
	default:
		m.say("250 2.0.0 Ok")
	}
	return true
}

// rcpt judges one recipient.
func (m *poisonedMTA) rcpt(to string, fate fault) string {
	h, n := m.h, m.message
	reply := map[fault]string{
		mailboxFull: "452 4.2.2 mailbox full", unknownUser: "550 5.1.1 no such user", refusedAtRcpt: "554 5.7.1 client listed",
	}[fate]
	switch {
	case reply != "":
		h.happened(fate, n)
		return reply
	case fate == partlyRefused && strings.HasPrefix(to, "bob"):
		h.happened(fate, n)
		return "554 5.7.1 not for bob"
	case h.draw(greylisted, 12, n, h.count(greylisted, n)):
		return "450 4.7.1 greylisted"
	case h.draw(storageFull, 60, n, h.count(storageFull, n)):
		return "452 4.3.1 insufficient storage"
	}
	m.recipients = append(m.recipients, to)
	return "250 2.1.5 Ok"
}

// data reads a message and gives its verdict.
func (m *poisonedMTA) data(fate fault) bool {
	if m.w.Flush() != nil {
		return false
	}
	var raw bytes.Buffer
	for {
		line, err := m.r.ReadBytes('\n')
		if err != nil {
			return false
		}
		if string(line) == ".\r\n" {
			break
		}
		raw.Write(bytes.TrimPrefix(line, []byte(".")))
	}
	h, n := m.h, m.message
	if got := subjectOf(raw.Bytes()); got != n {
		h.fail("message %d came as that of client %d", got, n)
	}
	switch fate {
	case deferredForEver:
		h.happened(fate, n)
		m.say("451 4.3.0 try again")
		return true
	case refusedAtDot:
		h.happened(fate, n)
		m.say("554 5.7.1 content rejected")
		return true
	}
	again := h.count(tempDot, n)
	switch {
	case h.draw(tempDotTaken, 25, n, again):
		h.accept(n, m.recipients, raw.Bytes())
		m.say("451 4.3.0 try again")
		return true
	case h.draw(tempDot, 25, n, again):
		m.say("451 4.3.0 try again")
		return true
	case h.draw(replyLost, 40, n, again):
		return false
	case h.draw(replyLostTaken, 25, n, again):
		h.accept(n, m.recipients, raw.Bytes())
		return false
	case h.draw(silentDot, 40, n, again):
		_, _ = io.Copy(io.Discard, m.r)
		return false
	case h.draw(silentDotTaken, 25, n, again):
		h.accept(n, m.recipients, raw.Bytes())
		_, _ = io.Copy(io.Discard, m.r)
		return false
	}
	h.accept(n, m.recipients, raw.Bytes())
	m.say("250 2.0.0 Ok: queued as Q")
	return true
}
