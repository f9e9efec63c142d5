package injecttest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// conn is one dialogue.
type conn struct {
	s   *Server
	id  int
	raw net.Conn
	r   *bufio.Reader
	w   *bufio.Writer

	client  Client
	user    string
	tls     bool
	hello   string
	xclient bool // presented by XCLIENT
	inMail  bool
	message Message
	serial  int
	atDot   *Fault // of this message's dot
	failed  bool   // a chunk of this message

	errors, junk int // since the last accepted message

	dead bool // answers 503 to everything
	over bool
}

const (
	maxLine = 4096
	// readSize is more than a client gathers into one write: on a pipe, which holds nothing,
	// the server would otherwise reply to the first half while the client writes the second.
	readSize = 128 << 10
)

func (c *conn) serve() {
	if c.s.o.PROXY && !c.proxied() {
		return
	}
	c.reply(Greeting, "220 "+c.s.o.Hostname+" ESMTP injecttest")
	for !c.over {
		// Replies go out only when nothing more is waiting to be read, as RFC 2920
		// section 3.2 asks of servers.
		if c.r.Buffered() == 0 {
			c.flush()
		}
		if idle := c.s.o.Idle; idle > 0 {
			_ = c.raw.SetReadDeadline(time.Now().Add(idle))
		}
		line, err := c.r.ReadSlice('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.say("421 4.4.2 " + c.s.o.Hostname + " Error: timeout exceeded")
		}
		if err != nil {
			break
		}
		if c.s.o.Idle > 0 {
			_ = c.raw.SetReadDeadline(time.Time{})
		}
		if len(line) > maxLine {
			return
		}
		text := strings.TrimRight(string(line), "\r\n")
		c.s.record("C: " + text)
		if limit := c.s.o.ErrorLimit; limit > 0 && c.errors >= limit {
			c.say("421 4.7.0 " + c.s.o.Hostname + " Error: too many errors")
			break
		}
		c.command(text)
	}
	c.flush()
}

func (c *conn) write(s string) bool {
	_, err := c.w.WriteString(s)
	return err == nil
}

// say writes a reply. It returns whether that is a positive one.
func (c *conn) say(text string) bool {
	for line := range strings.SplitSeq(text, "\r\n") {
		c.s.record("S: " + line)
	}
	if !positive(text) {
		c.erred()
	}
	return c.write(text+"\r\n") && positive(text)
}

// erred counts an error of the client.
func (c *conn) erred() {
	c.errors++
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.errors = max(c.s.errors, c.errors)
}

// positive reports whether a reply lets the command go on (RFC 5321 section 4.2.1).
func positive(reply string) bool { return reply[0] == '2' || reply[0] == '3' }

func (c *conn) flush() {
	if c.w.Flush() != nil {
		c.over = true
	}
}

func (c *conn) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	verb = upper(verb)
	if c.dead && verb != "QUIT" {
		c.say("503 5.7.0 Error: access denied for " + c.client.Name + "[" + c.client.Addr + "]")
		return
	}
	if slices.Contains([]string{"EHLO", "LHLO", "HELO", "RSET", "NOOP"}, verb) {
		if c.junk++; c.s.o.JunkLimit > 0 && c.junk > c.s.o.JunkLimit {
			c.erred()
		}
	}
	switch verb {
	case "EHLO", "LHLO", "HELO":
		c.greet(verb, rest)
	case "STARTTLS":
		c.startTLS()
	case "AUTH":
		c.auth(rest)
	case "XCLIENT":
		c.present(rest)
	case "XFORWARD":
		c.forward(rest)
	case "MAIL":
		c.mail(rest)
	case "RCPT":
		c.rcpt(rest)
	case "DATA":
		c.data()
	case "BDAT":
		c.bdat(rest)
	case "RSET":
		c.inMail = false
		c.reply(RSET, "250 2.0.0 Ok")
	case "NOOP":
		c.say("250 2.0.0 Ok")
	case "QUIT":
		c.say("221 2.0.0 Bye")
		c.over = true
	default:
		c.say("502 5.5.2 Error: command not recognized")
	}
}

// authorised reports whether the client as it is now may use XCLIENT.
func (c *conn) authorised() bool {
	if c.s.o.Once && c.client.Addr != "127.0.0.1" {
		return false
	}
	if c.s.o.NeedsAuth && c.user != "" {
		return false
	}
	return len(c.s.o.XCLIENT) > 0
}

func (c *conn) greet(verb, name string) {
	stage := EHLO
	switch {
	case verb == "HELO":
		stage = HELO
	case c.xclient:
		stage = EHLO2
	}
	if verb == "EHLO" && c.s.o.NoEHLO {
		c.say("502 5.5.2 Error: command not recognized")
		return
	}
	if (verb == "LHLO") != c.s.o.LMTP {
		c.say("502 5.5.1 wrong greeting for this protocol")
		return
	}
	refused := slices.ContainsFunc(c.s.o.Rules.BadHELO, func(bad string) bool { return strings.EqualFold(bad, name) })
	if refused && c.xclient {
		c.reply(stage, "554 5.7.1 <"+name+">: Helo command rejected")
		return
	}
	c.hello, c.inMail = name, false
	c.client.HELO, c.client.Proto = name, "ESMTP"
	if verb == "HELO" {
		c.client.Proto = "SMTP"
		c.reply(stage, "250 "+c.s.o.Hostname)
		return
	}
	lines := []string{c.s.o.Hostname}
	for _, k := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES"} {
		if c.s.offers(k) {
			lines = append(lines, k)
		}
	}
	if c.s.offers("SIZE") {
		lines = append(lines, "SIZE "+strconv.FormatInt(c.s.o.SizeLimit, 10))
	}
	if c.authorised() {
		lines = append(lines, "XCLIENT "+strings.Join(c.s.o.XCLIENT, " "))
	}
	if len(c.s.o.XFORWARD) > 0 {
		lines = append(lines, "XFORWARD "+strings.Join(c.s.o.XFORWARD, " "))
	}
	if c.s.o.TLS != nil && !c.tls {
		lines = append(lines, "STARTTLS")
	}
	if len(c.s.o.Users) > 0 {
		lines = append(lines, "AUTH PLAIN")
	}
	c.reply(stage, "250-"+strings.Join(lines[:len(lines)-1], "\r\n250-")+"\r\n250 "+lines[len(lines)-1])
}

func (c *conn) startTLS() {
	if c.s.o.TLS == nil || c.tls {
		c.say("502 5.5.1 STARTTLS not offered")
		return
	}
	if !c.reply(STARTTLS, "220 2.0.0 Ready to start TLS") {
		return
	}
	c.flush()
	conn := tls.Server(c.raw, c.s.o.TLS)
	if conn.Handshake() != nil {
		c.over = true
		return
	}
	c.tls, c.hello = true, ""
	c.r, c.w = bufio.NewReaderSize(conn, readSize), bufio.NewWriter(conn)
}

// auth takes AUTH PLAIN (RFC 4616) with an initial response.
func (c *conn) auth(rest string) {
	mech, initial, _ := strings.Cut(rest, " ")
	raw, err := base64.StdEncoding.DecodeString(initial)
	parts := strings.Split(string(raw), "\x00")
	if upper(mech) != "PLAIN" || err != nil || len(parts) != 3 {
		c.say("504 5.5.4 mechanism not supported")
		return
	}
	if pass, ok := c.s.o.Users[parts[1]]; !ok || pass != parts[2] {
		c.say("535 5.7.8 authentication failed")
		return
	}
	if c.reply(AUTH, "235 2.7.0 authentication successful") {
		c.user = parts[1]
	}
}

func (c *conn) mail(rest string) {
	path, params, ok := path(rest, "FROM:")
	size := int64(0) // RFC 1870
	for _, p := range strings.Fields(params) {
		if v, declared := strings.CutPrefix(upper(p), "SIZE="); declared {
			size, _ = strconv.ParseInt(v, 10, 64)
			break
		}
	}
	switch {
	case !ok:
		c.reply(MAIL, "501 5.5.4 Syntax: MAIL FROM:<address>")
		return
	case c.hello == "" || c.inMail:
		c.reply(MAIL, "503 5.5.1 Error: bad sequence")
		return
	case c.s.o.MessageLimit > 0 && c.serial >= c.s.o.MessageLimit:
		c.reply(MAIL, "421 too many messages in this connection")
		c.over = true
		return
	case c.s.o.NeedsAuth && c.user == "":
		c.reply(MAIL, "530 5.7.0 Authentication required.")
		return
	case c.s.o.SizeLimit > 0 && size > c.s.o.SizeLimit:
		c.reply(MAIL, "552 5.3.4 Message size exceeds fixed limit")
		return
	}
	if c.reply(MAIL, "250 2.1.0 Ok") {
		c.inMail, c.failed = true, false
		c.message = Message{Client: c.client, Hello: c.hello, From: path, FromParams: params, TLS: c.tls, User: c.user}
	}
}

// path splits "FROM:<path> params".
func path(s, prefix string) (path, params string, ok bool) {
	if len(s) < len(prefix) || upper(s[:len(prefix)]) != prefix {
		return "", "", false
	}
	s = strings.TrimLeft(s[len(prefix):], " ")
	if !strings.HasPrefix(s, "<") {
		return "", "", false
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '>' && !quoted:
			return s[1:i], strings.TrimSpace(s[i+1:]), true
		}
	}
	return "", "", false
}

func (c *conn) rcpt(rest string) {
	to, params, ok := path(rest, "TO:")
	switch {
	case !c.inMail:
		c.reply(RCPT, "503 5.5.1 Error: need MAIL command")
		return
	case !ok || to == "":
		c.reply(RCPT, "501 5.5.4 Syntax: RCPT TO:<address>")
		return
	}
	v := c.recipient(to)
	if v == "" {
		v = "250 2.1.5 Ok"
	}
	if c.reply(RCPT, v) {
		c.message.To = append(c.message.To, to)
		c.message.ToParams = append(c.message.ToParams, params)
	}
}

func (c *conn) data() {
	switch {
	case !c.inMail:
		c.reply(DATA, "503 5.5.1 Error: need RCPT command")
		return
	case len(c.message.To) == 0:
		c.reply(DATA, "554 5.5.1 Error: no valid recipients")
		return
	}
	if !c.reply(DATA, "354 End data with <CR><LF>.<CR><LF>") {
		return
	}
	if c.over || !c.readContent() {
		c.over = true
		return
	}
	c.finish()
}

// finish judges a message that is complete.
func (c *conn) finish() {
	c.inMail = false
	if c.s.o.SizeLimit > 0 && int64(c.message.Octets) > c.s.o.SizeLimit {
		c.verdict("552 5.3.4 Error: message file too big", false)
		return
	}
	c.serial++
	c.message.QueueID = fmt.Sprintf("%X%04X", c.id, c.serial)
	c.message.Time = time.Now()
	c.verdict(fmt.Sprintf(c.s.o.Queued, c.message.QueueID), true)
}

// verdict replies to the dot, once for each recipient with LMTP.
func (c *conn) verdict(text string, accept bool) {
	n := 1
	if c.s.o.LMTP {
		n = len(c.message.To)
	}
	kept := false
	for i := range n {
		if c.over {
			return
		}
		f := c.atDot
		if i > 0 {
			f = c.s.fault(DOT)
		}
		takes := f == nil || f.Accept || strings.HasPrefix(f.Reply, "2")
		if !takes && f.Reply == "" {
			takes = f.Then == GoOn
		}
		if takes && accept && !kept {
			kept = true
			c.s.keep(c.message)
			c.errors, c.junk = 0, 0
		}
		if f == nil {
			c.say(text)
		} else if !f.Early {
			c.misbehave(f, text)
		}
	}
}

// readContent reads up to the final dot: CRLF "." CRLF and nothing else.
func (c *conn) readContent() bool {
	c.flush()
	c.atDot = c.s.fault(DOT)
	if f := c.atDot; f != nil && f.Early {
		if _, err := c.r.Peek(1); err != nil {
			return false
		}
		c.misbehave(f, f.Reply)
		c.flush()
		if f.Said != nil {
			f.Said()
		}
		if c.over {
			return false
		}
	}
	var data []byte
	if !c.s.o.Discard {
		data = make([]byte, 0, 4096)
	}
	m := &c.message
	atStart := true // of a line that begins behind CRLF
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return false
		}
		if err != nil && line[len(line)-1] == '\r' && c.r.UnreadByte() == nil { // its LF may follow
			line = line[:len(line)-1]
		}
		if atStart && line[0] == '.' {
			if string(line) == ".\r\n" {
				break
			}
			line = line[1:]
		}
		m.Octets += len(line)
		atStart = bytes.HasSuffix(line, []byte("\r\n"))
		m.Bare = m.Bare || bare(line)
		if !c.s.o.Discard {
			data = append(data, line...)
		}
	}
	m.Data = data
	c.s.record("C: (" + strconv.Itoa(m.Octets) + " octets of content)")
	c.s.record("C: .")
	return true
}

// bare reports whether a line, or content, holds a CR or LF on its own.
func bare(data []byte) bool {
	pairs := bytes.Count(data, []byte("\r\n"))
	return bytes.Count(data, []byte("\r")) != pairs || bytes.Count(data, []byte("\n")) != pairs
}
