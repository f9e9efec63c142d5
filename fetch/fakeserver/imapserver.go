package fakeserver

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// IMAP is an IMAP4rev1 server over a [Store] (RFC 3501; UIDPLUS, MOVE, ESEARCH, IDLE,
// SASL-IR, ID, UNSELECT). It serves messages byte-exact. Its fields are not changed
// while it serves.
type IMAP struct {
	Store          *Store
	User, Password string
	// Token is accepted by AUTHENTICATE XOAUTH2 and OAUTHBEARER, or any that ValidToken reports to be good; neither means
	// that they are not offered.
	Token      string
	ValidToken func(token string) bool
	// TLS offers STARTTLS, before which nobody can log in, or with Implicit speaks TLS
	// from the first octet.
	TLS      *tls.Config
	Implicit bool
	// Without names capabilities that the server lacks, in upper case.
	Without []string
	// Capabilities are announced besides its own.
	Capabilities []string
	// QuietCapabilities leaves them out of the greeting and of the reply to a login.
	QuietCapabilities bool

	// AutoExpunge removes messages as soon as they are marked \Deleted, as Gmail does by default.
	AutoExpunge bool
	// LateExpunge tells of what UID EXPUNGE and UID MOVE removed in reply to the next command
	// only, as Exchange may.
	LateExpunge bool
	// Vanished tells of removed messages by VANISHED (RFC 7162 section 3.2.10) in place of EXPUNGE.
	Vanished bool
	// Attributes are those of folders, by their names, besides what LIST says of them otherwise.
	Attributes map[string]string
	// NoKeywords keeps system flags only, and says so in PERMANENTFLAGS.
	NoKeywords bool
	// Spare, if not nil, names messages that UID EXPUNGE, UID MOVE and UID COPY pass over,
	// answering OK.
	Spare func(uid uint32) bool

	// Reply, if not nil, is called for each command and, with verb "greeting", once before
	// the first. UID is part of the verb. If ok, raw is sent as it is instead
	// of what the server would say; "%T" in it stands for the tag.
	Reply func(verb, args string) (raw string, ok bool)
	// Counter, if not nil, returns what is said for UIDNEXT, and where CONDSTORE is announced for HIGHESTMODSEQ, in
	// place of the truth; 0 is not said.
	Counter func(name string, truth uint64) uint64
	// Before returns what is sent, as it is, before the server's own reply.
	Before func(verb, args string) string
	// Body returns what stands for "{size}CRLF" and the message in a FETCH response, if ok.
	Body func(m Message) (raw string, ok bool)
	// AfterSTARTTLS is sent in plaintext in one write with the OK to STARTTLS.
	AfterSTARTTLS string
	// Wrap makes of each connection another, below TLS.
	Wrap func(net.Conn) net.Conn
}

// imapSession is one connection.
type imapSession struct {
	*IMAP
	conn     net.Conn
	r        *bufio.Reader
	w        *bufio.Writer
	tls      bool
	in       bool
	tag      string
	folder   string // "" if none is selected
	readOnly bool
	uids     []uint32 // by sequence number less one
}

// Serve speaks to one client and closes the connection.
func (i *IMAP) Serve(conn net.Conn) {
	if i.Wrap != nil {
		conn = i.Wrap(conn)
	}
	s := &imapSession{IMAP: i}
	defer func() { _ = s.conn.Close() }()
	s.use(conn)
	if i.Implicit {
		s.use(tls.Server(conn, i.TLS))
		s.tls = true
	}
	if raw, ok := s.override("greeting", ""); ok {
		s.write(raw)
	} else {
		s.say("* OK %sfetchtest ready", s.capabilityCode())
	}
	for s.command() {
	}
	_ = s.w.Flush()
}

func (s *imapSession) use(conn net.Conn) {
	s.conn, s.r, s.w = conn, bufio.NewReaderSize(conn, 64<<10), bufio.NewWriterSize(conn, 64<<10)
}

func (s *imapSession) override(verb, args string) (string, bool) {
	if s.Reply == nil {
		return "", false
	}
	raw, ok := s.Reply(verb, args)
	return strings.ReplaceAll(raw, "%T", s.tag), ok
}

// write and say cannot fail: the next read will.
func (s *imapSession) write(raw string) { _, _ = s.w.WriteString(raw) }

func (s *imapSession) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.w, format+"\r\n", args...)
}

// done ends a command: "OK", "NO" or "BAD" and text.
func (s *imapSession) done(text string) { s.say("%s %s", s.tag, text) }

// line reads one line, after sending what is due if there is none yet.
func (s *imapSession) line() (string, bool) {
	if s.r.Buffered() == 0 && s.w.Flush() != nil {
		return "", false
	}
	line, err := s.r.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") {
		return "", false
	}
	return line[:len(line)-2], true
}

// request reads one command with its literals, which become quoted strings.
func (s *imapSession) request() (string, bool) {
	var whole strings.Builder
	for {
		line, ok := s.line()
		if !ok {
			return "", false
		}
		text, digits, found := strings.Cut(line, "{") // "{12}" or "{12+}"
		digits, closed := strings.CutSuffix(digits, "}")
		size, err := strconv.Atoi(strings.TrimSuffix(digits, "+"))
		// A client's literals are names and passwords: larger ones are not taken for any.
		if !found || !closed || err != nil || size < 0 || size > 64<<10 {
			whole.WriteString(line)
			return whole.String(), true
		}
		whole.WriteString(text)
		if !strings.HasSuffix(line, "+}") {
			s.say("+ go on")
			if s.w.Flush() != nil {
				return "", false
			}
		}
		octets := make([]byte, size)
		if _, err := io.ReadFull(s.r, octets); err != nil {
			return "", false
		}
		whole.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(string(octets)) + `"`)
	}
}

// command serves one command and tells whether to go on.
func (s *imapSession) command() bool {
	line, ok := s.request()
	if !ok {
		return false
	}
	tag, rest, _ := strings.Cut(line, " ")
	verb, args, _ := strings.Cut(rest, " ")
	verb = strings.ToUpper(verb)
	if verb == "UID" {
		var sub string
		sub, args, _ = strings.Cut(args, " ")
		verb += " " + strings.ToUpper(sub)
	}
	s.tag = tag
	if raw, ok := s.override(verb, args); ok {
		s.write(raw)
		return true
	}
	if s.Before != nil {
		s.write(strings.ReplaceAll(s.Before(verb, args), "%T", tag))
	}
	switch {
	case verb == "LOGOUT":
		s.say("* BYE see you")
		s.done("OK bye")
		return false
	case verb == "STARTTLS":
		return s.startTLS()
	case verb == "AUTHENTICATE":
		return s.authenticate(words(args))
	case verb == "IDLE":
		return s.idle()
	case verb == "CAPABILITY":
		s.say("* CAPABILITY %s", s.capabilities())
		s.done("OK")
	case verb == "NOOP":
		s.sync()
		s.done("OK")
	case verb == "ID" && s.has("ID"):
		s.say(`* ID ("name" "fetchtest")`)
		s.done("OK")
	case verb == "LOGIN":
		w := words(args)
		if s.loginDisabled() || len(w) != 2 {
			s.done("NO [PRIVACYREQUIRED] not without TLS")
			break
		}
		s.login(w[0] == s.User && w[1] == s.Password)
	case !s.in:
		s.done("BAD not now")
	case slices.Contains([]string{"LIST", "CREATE", "STATUS"}, verb):
		s.folders(verb, words(args))
	case verb == "SELECT" || verb == "EXAMINE":
		s.selectFolder(words(args), verb == "EXAMINE")
	case s.folder == "":
		s.done("BAD no folder is selected")
	default:
		s.selected(verb, args)
	}
	return true
}

func (s *imapSession) has(capability string) bool { return !slices.Contains(s.Without, capability) }

func (s *imapSession) loginDisabled() bool { return s.TLS != nil && !s.tls }

func (s *imapSession) capabilities() string {
	caps := []string{"IMAP4rev1"}
	for _, name := range []string{"SASL-IR", "ID", "IDLE", "UNSELECT", "UIDPLUS", "MOVE", "ESEARCH", "LITERAL+"} {
		if s.has(name) {
			caps = append(caps, name)
		}
	}
	switch {
	case s.loginDisabled():
		caps = append(caps, "STARTTLS", "LOGINDISABLED")
	case !s.in:
		caps = append(caps, "AUTH=PLAIN")
		for _, mechanism := range bearerMechanisms() {
			if s.tokens().offered() {
				caps = append(caps, "AUTH="+mechanism)
			}
		}
	}
	return strings.Join(append(caps, s.Capabilities...), " ")
}

func (s *imapSession) capabilityCode() string {
	if s.QuietCapabilities {
		return ""
	}
	return "[CAPABILITY " + s.capabilities() + "] "
}

func (s *imapSession) startTLS() bool {
	if s.TLS == nil || s.tls {
		s.done("BAD not offered")
		return true
	}
	s.done("OK begin")
	s.write(s.AfterSTARTTLS)
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

func (s *imapSession) authenticate(args []string) bool {
	if len(args) == 0 || s.loginDisabled() {
		s.done("NO [PRIVACYREQUIRED] not without TLS")
		return true
	}
	mechanism := strings.ToUpper(args[0])
	if mechanism != "PLAIN" && !s.tokens().offers(mechanism) {
		s.done("NO unknown mechanism")
		return true
	}
	if len(args) == 1 {
		s.say("+ ")
		line, ok := s.line()
		if !ok {
			return false
		}
		args = append(args, line)
	}
	response, err := base64.StdEncoding.DecodeString(args[1])
	switch {
	case err != nil:
		s.done("BAD cancelled or not base64")
	case mechanism == "PLAIN":
		s.login(string(response) == "\x00"+s.User+"\x00"+s.Password)
	case s.tokens().takes(mechanism, s.User, string(response)):
		s.login(true)
	default:
		s.say("+ %s", tokenRefused())
		if _, ok := s.line(); !ok {
			return false
		}
		s.login(false)
	}
	return true
}

func (i *IMAP) tokens() tokens { return tokens{i.Token, i.ValidToken} }

func (s *imapSession) login(ok bool) {
	if !ok {
		s.done("NO [AUTHENTICATIONFAILED] wrong user or password")
		return
	}
	s.in = true
	s.done("OK " + s.capabilityCode() + "logged in")
}

// idle tells of changes until the client says DONE (RFC 2177).
func (s *imapSession) idle() bool {
	if !s.in || !s.has("IDLE") {
		s.done("BAD not now")
		return true
	}
	changed := s.Store.Changed()
	s.say("+ idling")
	s.sync()
	if s.w.Flush() != nil {
		return false
	}
	said := make(chan bool)
	go func() {
		line, ok := s.r.ReadString('\n')
		said <- ok == nil && strings.EqualFold(line, "DONE\r\n")
	}()
	for {
		select {
		case ok := <-said:
			s.done("OK")
			return ok
		case <-changed:
			changed = s.Store.Changed()
			s.sync()
			if s.w.Flush() != nil {
				_ = s.conn.Close() // ends the reader
			}
		}
	}
}

// words splits arguments into atoms and quoted strings.
func words(args string) []string {
	var list []string
	for args = strings.TrimLeft(args, " "); args != ""; args = strings.TrimLeft(args, " ") {
		if args[0] != '"' {
			word, rest, _ := strings.Cut(args, " ")
			list, args = append(list, word), rest
			continue
		}
		var word strings.Builder
		n := 1
		for ; n < len(args) && args[n] != '"'; n++ {
			if args[n] == '\\' && n+1 < len(args) {
				n++
			}
			word.WriteByte(args[n])
		}
		list, args = append(list, word.String()), args[min(n+1, len(args)):]
	}
	return list
}
