package fakeserver

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// POP3 is a POP3 server over the inbox of a [Store] (RFC 1939, 2449, 2595, 5034). It
// stuffs dots byte-exact: only CRLF ends a line, and a message without a CRLF at its end gets
// one, as it must. Its fields are not changed while it serves.
type POP3 struct {
	Store          *Store
	User, Password string
	// Token is accepted by AUTH XOAUTH2 and OAUTHBEARER, or any that ValidToken reports to be good; neither means that
	// they are not offered.
	Token      string
	ValidToken func(token string) bool
	// TLS offers STLS, or with Implicit speaks TLS from the first octet.
	TLS      *tls.Config
	Implicit bool
	// What the server lacks. Without PIPELINING it drops a client that sends
	// a command before it has the reply to the last.
	NoCAPA, NoUIDL, NoPipelining bool
	// Capabilities are announced besides its own.
	Capabilities []string

	// Reply, if not nil, is called for each command, with the verb "greeting" at the start, and with
	// "hangup" when the client leaves without QUIT. If ok, raw is sent as it is instead of the
	// server's own words.
	Reply func(verb, arg string) (raw string, ok bool)
	// AfterSTLS is sent in plaintext in one write with the +OK to STLS.
	AfterSTLS string
	// Terminator is sent after each message instead of ".\r\n".
	Terminator string
	// Unstuffed leaves dots as they are.
	Unstuffed bool
	// Size is what LIST says of a message instead of the truth.
	Size func(Message) int64
	// Once removes at QUIT what was retrieved in the session, as RFC 1939 section 8 allows and
	// EXPIRE 0 announces.
	Once bool
	// Exclusive lets one session at a time open the mailbox; others are told [IN-USE].
	Exclusive bool
	// Wrap makes of each connection another, below TLS.
	Wrap func(net.Conn) net.Conn
}

// pop3Session is one connection.
type pop3Session struct {
	*POP3
	conn    net.Conn
	r       *bufio.Reader
	w       *bufio.Writer
	tls     bool
	user    string
	in      bool
	drop    []Message // the maildrop; a message's number is its index plus one
	deleted map[int]bool
	read    map[int]bool // by RETR
}

// Serve speaks to one client and closes the connection.
func (p *POP3) Serve(conn net.Conn) {
	if p.Wrap != nil {
		conn = p.Wrap(conn)
	}
	s := &pop3Session{POP3: p, deleted: map[int]bool{}, read: map[int]bool{}}
	defer func() {
		if s.in && s.Exclusive {
			s.Store.inUse.Store(false)
		}
		_ = s.conn.Close()
	}()
	s.use(conn)
	if p.Implicit {
		s.use(tls.Server(conn, p.TLS))
		s.tls = true
	}
	if raw, ok := s.override("greeting", ""); ok {
		s.write(raw)
	} else {
		s.say("+OK fetchtest ready")
	}
	for s.command() {
	}
	_ = s.w.Flush()
}

func (s *pop3Session) use(conn net.Conn) {
	s.conn, s.r, s.w = conn, bufio.NewReaderSize(conn, 16<<10), bufio.NewWriterSize(conn, 64<<10)
}

func (s *pop3Session) override(verb, arg string) (string, bool) {
	if s.Reply == nil {
		return "", false
	}
	return s.Reply(verb, arg)
}

// write and say cannot fail: the next read will.
func (s *pop3Session) write(raw string) { _, _ = s.w.WriteString(raw) }

func (s *pop3Session) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.w, format+"\r\n", args...)
}

// line reads one line, after sending what is due if there is none yet.
func (s *pop3Session) line() (string, bool) {
	if s.r.Buffered() == 0 && s.w.Flush() != nil {
		return "", false
	}
	line, err := s.r.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") {
		return "", false
	}
	return line[:len(line)-2], true
}

// command serves one command and tells whether to go on.
func (s *pop3Session) command() bool {
	line, ok := s.line()
	if !ok {
		if raw, ok := s.override("hangup", ""); ok {
			s.write(raw)
		}
		return false
	}
	if s.NoPipelining && s.r.Buffered() > 0 {
		s.say("-ERR too fast")
		return false
	}
	verb, arg, _ := strings.Cut(line, " ")
	verb = strings.ToUpper(verb)
	if raw, ok := s.override(verb, arg); ok {
		s.write(raw)
		return true
	}
	switch verb {
	case "QUIT":
		// The update state: now deletions happen.
		var uids []uint32
		for n := range s.deleted {
			uids = append(uids, s.drop[n-1].UID)
		}
		for n := range s.read {
			if s.Once {
				uids = append(uids, s.drop[n-1].UID)
			}
		}
		s.Store.Remove("", uids...)
		s.say("+OK bye")
		return false
	case "CAPA":
		s.capa()
	case "STLS":
		return s.stls()
	case "USER":
		s.user = arg
		s.say("+OK")
	case "PASS":
		s.login(s.user == s.User && arg == s.Password)
	case "AUTH":
		return s.auth(arg)
	default:
		if !s.in {
			s.say("-ERR not now")
			return true
		}
		s.transaction(verb, arg)
	}
	return true
}

func (s *pop3Session) capa() {
	if s.NoCAPA {
		s.say("-ERR unknown command")
		return
	}
	caps := append([]string{"USER", "RESP-CODES", "AUTH-RESP-CODE", "TOP"}, s.Capabilities...)
	if !s.NoUIDL {
		caps = append(caps, "UIDL")
	}
	if !s.NoPipelining {
		caps = append(caps, "PIPELINING")
	}
	if s.TLS != nil && !s.tls {
		caps = append(caps, "STLS")
	}
	mechanisms := "SASL PLAIN"
	if s.tokens().offered() {
		mechanisms += " " + strings.Join(bearerMechanisms(), " ")
	}
	s.say("+OK\r\n%s\r\n.", strings.Join(append(caps, mechanisms), "\r\n"))
}

func (s *pop3Session) stls() bool {
	if s.TLS == nil || s.tls {
		s.say("-ERR not offered")
		return true
	}
	s.say("+OK begin")
	s.write(s.AfterSTLS)
	if s.w.Flush() != nil {
		return false
	}
	conn := tls.Server(s.conn, s.TLS)
	if conn.Handshake() != nil {
		return false
	}
	s.use(conn)
	s.tls = true
	return true
}

func (s *pop3Session) auth(arg string) bool {
	mechanism, initial, inline := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	if mechanism != "PLAIN" && !s.tokens().offers(mechanism) {
		s.say("-ERR unknown mechanism")
		return true
	}
	if !inline {
		s.say("+ ")
		line, ok := s.line()
		if !ok {
			return false
		}
		initial = line
	}
	response, err := base64.StdEncoding.DecodeString(initial)
	if err != nil {
		s.say("-ERR cancelled or not base64")
		return true
	}
	if mechanism == "PLAIN" {
		s.login(string(response) == "\x00"+s.User+"\x00"+s.Password)
		return true
	}
	if s.tokens().takes(mechanism, s.User, string(response)) {
		s.login(true)
		return true
	}
	s.say("+ %s", tokenRefused())
	if _, ok := s.line(); !ok {
		return false
	}
	s.login(false)
	return true
}

func (p *POP3) tokens() tokens { return tokens{p.Token, p.ValidToken} }

func (s *pop3Session) login(ok bool) {
	if !ok {
		s.say("-ERR [AUTH] authentication failed")
		return
	}
	if s.Exclusive && !s.Store.inUse.CompareAndSwap(false, true) {
		s.say("-ERR [IN-USE] another session has the mailbox open")
		return
	}
	s.in, s.drop = true, s.Store.List("")
	s.say("+OK logged in")
}

func (s *pop3Session) transaction(verb, arg string) {
	switch verb {
	case "NOOP":
		s.say("+OK")
	case "RSET":
		clear(s.deleted)
		s.say("+OK")
	case "STAT":
		octets, count := int64(0), 0
		s.each(func(_ int, m Message) { octets, count = octets+m.Size, count+1 })
		s.say("+OK %d %d", count, octets)
	case "UIDL":
		if s.NoUIDL {
			s.say("-ERR unknown command")
			return
		}
		s.scan(arg, func(m Message) string { return m.UIDL })
	case "LIST":
		s.scan(arg, func(m Message) string {
			if s.Size != nil {
				return strconv.FormatInt(s.Size(m), 10)
			}
			return strconv.FormatInt(m.Size, 10)
		})
	case "RETR", "TOP", "DELE":
		s.message(verb, arg)
	default:
		s.say("-ERR unknown command")
	}
}

func (s *pop3Session) each(f func(number int, m Message)) {
	for i, m := range s.drop {
		if !s.deleted[i+1] {
			f(i+1, m)
		}
	}
}

func (s *pop3Session) scan(arg string, show func(Message) string) {
	if arg != "" {
		if n, ok := s.number(arg); ok {
			s.say("+OK %d %s", n, show(s.drop[n-1]))
		} else {
			s.say("-ERR no such message")
		}
		return
	}
	s.write("+OK\r\n")
	s.each(func(n int, m Message) {
		s.write(strconv.Itoa(n) + " " + show(m) + "\r\n")
	})
	s.write(".\r\n")
}

func (s *pop3Session) number(arg string) (int, bool) {
	n, err := strconv.Atoi(arg)
	return n, err == nil && n > 0 && n <= len(s.drop) && !s.deleted[n]
}

func (s *pop3Session) message(verb, arg string) {
	arg, lines, _ := strings.Cut(arg, " ")
	n, ok := s.number(arg)
	if !ok {
		s.say("-ERR no such message")
		return
	}
	if verb == "DELE" {
		s.deleted[n] = true
		s.say("+OK deleted")
		return
	}
	m, ok := s.Store.Get("", s.drop[n-1].UID)
	if !ok {
		s.say("-ERR no such message: expunged by another session")
		return
	}
	octets := m.Open()
	if verb == "RETR" {
		s.read[n] = true
	}
	if verb == "TOP" { // the header and the first lines of the body
		left, _ := strconv.Atoi(lines)
		header, body, _ := bytes.Cut(m.Raw(), []byte("\r\n\r\n"))
		cut := 0
		for ; left > 0 && cut < len(body); left-- {
			line, _, _ := bytes.Cut(body[cut:], []byte("\r\n"))
			cut = min(cut+len(line)+2, len(body))
		}
		octets = io.MultiReader(bytes.NewReader(header), strings.NewReader("\r\n\r\n"), bytes.NewReader(body[:cut]))
	}
	s.write("+OK " + strconv.FormatInt(m.Size, 10) + " octets\r\n")
	d := &stuffer{w: s.w, tail: [2]byte{'\r', '\n'}, off: s.Unstuffed}
	_, _ = io.Copy(d, octets) // a client that went away shows at the next read
	if d.tail != [2]byte{'\r', '\n'} {
		s.write("\r\n")
	}
	s.write(cmp.Or(s.Terminator, ".\r\n"))
}

// stuffer doubles the dots that start a line.
type stuffer struct {
	w    *bufio.Writer
	tail [2]byte // the last two octets, CRLF at the beginning
	off  bool
}

func (d *stuffer) Write(p []byte) (int, error) {
	rest := p
	for len(rest) > 0 {
		if d.tail == [2]byte{'\r', '\n'} && rest[0] == '.' && !d.off {
			if err := d.w.WriteByte('.'); err != nil {
				return 0, err
			}
		}
		// Up to and with the next LF before a dot: the next turn looks at the dot.
		run := len(rest)
		if i := bytes.Index(rest, []byte("\n.")); i >= 0 {
			run = i + 1
		}
		if _, err := d.w.Write(rest[:run]); err != nil {
			return 0, err
		}
		if run == 1 {
			d.tail[0], d.tail[1] = d.tail[1], rest[0]
		} else {
			d.tail = [2]byte{rest[run-2], rest[run-1]}
		}
		rest = rest[run:]
	}
	return len(p), nil
}
