package imap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/truehop/truehop/fetch"
)

var (
	errSilent  = fmt.Errorf("silence: %w", os.ErrDeadlineExceeded)
	errSlow    = fmt.Errorf("too slow: %w", os.ErrDeadlineExceeded)
	errAborted = errors.New("aborted")
	// errLibrary means that the library closed the connection, having said why.
	errLibrary = errors.New("response not understood")
)

// brokenError is a cause that is the server's breach of the protocol or of our bounds.
type brokenError struct{ why string }

func (e *brokenError) Error() string { return e.why }

// guard is the connection that the library gets. It keeps all deadlines, passes on only
// what [lexer] accepts within the bounds, and takes notes of responses that the library
// drops. Whatever goes wrong, the library sees io.EOF, the only error that it handles
// without a retry or a race; the guard keeps the cause.
type guard struct {
	raw  net.Conn
	conn net.Conn // raw, or TLS over it
	t    Timeouts
	log  *slog.Logger
	once sync.Once // closes raw

	// The reading side. The library reads from one goroutine at a time.
	br      *bufio.Reader
	lex     lexer
	line    []byte
	list    listLine
	out     []byte // passed, but not read yet
	literal int64  // octets of the literal that are yet to come
	drop    bool   // the literal is not for the library
	prompts prompts
	secured bool   // the connection is as secure as it will be
	offered string // the capabilities before the login, as the library should see them
	inside  bool   // what is written next is a literal, no command
	hold    hold
	// expunges lets one EXPUNGE through.
	expunges atomic.Bool

	mu      sync.Mutex
	cause   error
	active  bool      // a call is under way: the server must answer
	reading time.Time // since when the read under way waits, zero if there is none
	waited  time.Duration
	octets  int64
	control int64                   // octets that are no message and may still come in this call
	lines   int64                   // that may still come in this call
	secret  bool                    // what is said now is not for the log
	echoes  func(words string) bool // while it is so: whether words hold the secret
	notes   notes
}

// notes are what the server said beside its answers.
type notes struct {
	bye      string          // the text of BYE, not sanitised
	prose    string          // the last line that is no response, likewise
	caps     map[string]bool // the last capabilities it announced, in upper case
	asked    []question      // the SEARCH commands under way, in their order
	searches int             // how many of those that have ended had a response
	sized    bool            // the search for large messages has ended, and had a response
	expunged int             // EXPUNGE responses
	prefix   string          // of the user's folders, by NAMESPACE
	listing  bool            // LIST is under way
	folders  []fetch.Folder  // what it has said, with names as the server sends them
	messages int64           // what the last STATUS said, -1 for nothing
	faulty   bool            // OK was said with a fault in it, as Exchange does when it cannot reach the mailbox
	access   access          // what was said of the right to change the folder
	validity uint32          // the last UIDVALIDITY
	unstable bool            // UIDNOTSTICKY (RFC 4315 section 2)
	next     uint32          // the last UIDNEXT, 0 for none
	modseq   uint64          // the last HIGHESTMODSEQ, 0 for none
	count    uint32          // EXISTS less EXPUNGE
	counted  bool            // there was an EXISTS
	awaited  string          // the tag of the command under way to which a continuation may come, in upper case
	bodies   bool            // whole messages are asked for
	alone    uint32          // the UID of the only one, 0 if there are more
	arrived  chan struct{}   // holds one token if count rose
	opening  bool            // the next SEARCH command asks for the listing
	selected string          // the tag of SELECT while that is under way
	early    bool            // a SEARCH was answered meanwhile: of another folder, perhaps
	answered bool            // it has ended, and had a response
	listed   uint32          // count when that came, or when it was to come
	intact   bool            // no message has been expunged since
	view     *view           // nil if it is not certain what sequence numbers mean
	copied   []uidRange      // the sources of all COPYUIDs in this call (RFC 4315 section 3)
}

func newGuard(conn net.Conn, o Options) *guard {
	g := &guard{raw: conn, conn: conn, t: o.Timeouts, log: o.Logger}
	g.lines, g.control = maxLines, maxControl // up to the first call, too
	g.lex.limit = maxBody
	if o.MaxSize > 0 {
		g.lex.limit = min(o.MaxSize+largeSlack, maxBody)
	}
	g.lex.uidOf, g.lex.asked, g.lex.bodies = g.uidOf, g.asksFor, g.asksForBodies
	// Before the library takes over it is a line that is no response which tells that the server does not speak IMAP; and where messages
	// come, it may be the rest of one that is longer than it was said to be.
	g.lex.prose = func() bool { return g.secured && !g.asksForBodies() }
	g.notes.arrived = make(chan struct{}, 1)
	g.br = bufio.NewReaderSize(readerFunc(g.receive), 32<<10)
	return g
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// begin starts the clock of one call: until end, silence is an error. messages is
// how many the call is about.
func (g *guard) begin(messages int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active, g.waited, g.octets = true, 0, 0
	g.notes.copied, g.notes.bodies = nil, false
	g.lines = maxLines + lineAllowance*int64(messages)
	g.control = maxControl + allowance*int64(messages)
	if !g.reading.IsZero() {
		g.reading = time.Now()
		_ = g.conn.SetReadDeadline(g.deadline())
	}
}

// end stops it: the server may be silent as long as nothing is asked of it.
func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active = false
	_ = g.conn.SetReadDeadline(time.Time{})
}

// deadline is the one place that says how long a read may wait. g.mu is held.
func (g *guard) deadline() time.Time {
	return time.Now().Add(min(g.t.Idle, g.left()))
}

// left is how long the server may still take for this call. g.mu is held.
func (g *guard) left() time.Duration {
	return g.t.Command + time.Duration(g.octets/g.t.MinRate)*time.Second - g.waited
}

// receive reads from the connection.
func (g *guard) receive(p []byte) (int, error) {
	g.mu.Lock()
	if g.cause != nil {
		g.mu.Unlock()
		return 0, io.EOF
	}
	if g.active {
		_ = g.conn.SetReadDeadline(g.deadline())
	}
	g.reading = time.Now()
	g.mu.Unlock()

	n, err := g.conn.Read(p)

	g.mu.Lock()
	if g.active {
		g.waited += time.Since(g.reading)
	}
	slow := g.left() <= 0
	g.octets += int64(n)
	g.reading = time.Time{}
	g.mu.Unlock()

	switch {
	case n > 0:
		return n, nil // a lasting error comes again
	case errors.Is(err, os.ErrDeadlineExceeded) && slow:
		g.fail(errSlow)
	case errors.Is(err, os.ErrDeadlineExceeded):
		g.fail(errSilent)
	case errors.Is(err, io.EOF):
		g.fail(io.ErrUnexpectedEOF) // io.EOF would mean a complete message
	case err != nil:
		g.fail(err)
	}
	return 0, io.EOF
}

// fail ends the connection for a reason, of which the first counts.
func (g *guard) fail(cause error) {
	g.mu.Lock()
	if g.cause == nil {
		g.cause = cause
	}
	g.mu.Unlock()
	g.once.Do(func() {
		// Under TLS the TCP connection is closed: sending close_notify might block.
		if t, ok := g.raw.(*tls.Conn); ok {
			_ = t.NetConn().Close()
			return
		}
		_ = g.raw.Close()
	})
}

// hangUpPatience is how long a server may take to accept the end of the session.
const hangUpPatience = 5 * time.Second

// hangUp ends this side's half of the connection, in order: the server reads all that was sent, then the end of TLS, and then
// that of TCP. It waits for no answer.
func (g *guard) hangUp() {
	layers := []net.Conn{g.conn, g.raw}
	if t, ok := g.raw.(*tls.Conn); ok {
		layers = append(layers, t.NetConn())
	}
	for _, layer := range layers {
		_ = layer.SetWriteDeadline(time.Now().Add(hangUpPatience))
		if c, ok := layer.(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite() // the session is over in any case
		}
	}
}

// why returns what ended the connection, nil if it stands.
func (g *guard) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cause
}

// Read implements net.Conn. Its only error is io.EOF. It never returns octets of
// two lines or literals together: what follows a literal is not in the library's
// buffer while somebody reads that literal.
func (g *guard) Read(p []byte) (int, error) {
	for {
		if g.why() != nil {
			return 0, io.EOF
		}
		if len(g.out) > 0 {
			n := copy(p, g.out)
			g.out = g.out[n:]
			return n, nil
		}
		if g.literal > 0 {
			n, err := g.br.Read(p[:min(int64(len(p)), g.literal)])
			g.literal -= int64(n)
			if err != nil {
				return 0, io.EOF
			}
			g.lex.line = n > 0 && p[n-1] == '\n'
			if !g.drop && n > 0 {
				return n, nil
			}
			if g.list.on {
				g.list.name = append(g.list.name, p[:n]...)
			}
			continue
		}
		line, err := g.nextLine()
		if err != nil {
			g.fail(err)
			return 0, io.EOF
		}
		g.literal = max(g.lex.literal, 0)
		g.out = line
	}
}

// nextLine reads and judges one line. It returns what the library gets of it, valid until the next.
func (g *guard) nextLine() ([]byte, error) {
	line, err := g.readLine()
	if err != nil {
		return nil, err
	}
	first := !g.lex.partial
	if err := g.lex.next(line); err != nil {
		return nil, g.broken(err.Error(), line)
	}
	g.drop, g.lex.line = !g.lex.body, false
	g.mu.Lock()
	g.lines--
	switch {
	case g.lex.kind == search:
		g.control -= int64(len(line)) / searchCost
	case g.lex.body:
		g.control -= int64(len(line))
	default:
		g.control -= int64(len(line)) + max(g.lex.literal, 0)
	}
	flood := g.lines < 0 || g.control < 0
	g.mu.Unlock()
	if flood {
		return nil, &brokenError{"responses without end"}
	}
	g.trace("S", line)
	if first {
		g.note()
		g.addCapabilities()
	}
	if f, complete := g.list.gather(g.lex.name, g.lex.text, first, g.lex.literal >= 0); complete {
		g.mu.Lock()
		if g.notes.listing {
			g.notes.folders = append(g.notes.folders, f)
		}
		g.mu.Unlock()
	}
	if g.lex.kind == continuation {
		return g.continued(), nil
	}
	return g.lex.pass, nil
}

// broken is a breach of the protocol with the line in which it is, unless that may hold a secret.
func (g *guard) broken(why string, line []byte) *brokenError {
	g.mu.Lock()
	defer g.mu.Unlock()
	text := fetch.Sanitize(string(bytes.TrimRight(line, "\r\n")))
	if g.secret || text == "" {
		return &brokenError{why}
	}
	return &brokenError{why + ": " + strconv.Quote(text)}
}

// readLine reads one line of bounded length.
func (g *guard) readLine() ([]byte, error) {
	g.line = g.line[:0]
	if cap(g.line) > 2*maxLine {
		g.line = nil // a long list of UIDs is past
	}
	for {
		fragment, err := g.br.ReadSlice('\n')
		g.line = append(g.line, fragment...)
		if len(g.line) > maxLine {
			_, response := cutWord(g.line[:64])
			name, _ := cutWord(response)
			if !strings.HasSuffix(strings.ToUpper(string(name)), "SEARCH") || len(g.line) > maxSearchLine {
				return nil, g.broken("line without end", g.line)
			}
		}
		switch {
		case err == nil:
			return g.line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, io.ErrUnexpectedEOF // receive knows better
		}
	}
}

// Write implements net.Conn. The library sends one command per call, or the lines
// of an exchange.
func (g *guard) Write(p []byte) (int, error) {
	if cause := g.why(); cause != nil { // also of what is kept back: nothing but this error ends a command once the library's reader has gone
		return 0, cause
	}
	inside := g.inside
	g.inside = bytes.HasSuffix(p, []byte("}\r\n"))
	g.await(p, inside)
	if !inside { // a password may read "x close"
		// Nothing here sends these two, but for plainExpunge the first; the library's Move would, were it ever called wrongly.
		switch _, command := cutWord(bytes.ToUpper(bytes.TrimSpace(p))); string(command) {
		case "EXPUNGE", "CLOSE":
			if g.expunges.CompareAndSwap(true, false) && string(command) == "EXPUNGE" {
				break
			}
			g.fail(&brokenError{"EXPUNGE and CLOSE delete what is not ours"})
			return 0, g.why()
		}
		switch tag, command := cutWord(p); {
		case bytes.HasPrefix(command, []byte("SELECT ")):
			g.amend(func(n *notes) { n.selected, n.early = string(tag), false })
		case bytes.HasPrefix(command, []byte("UID SEARCH ")): // the response to one search must be told from another's
			g.amend(func(n *notes) {
				n.asked = append(n.asked, question{tag: string(tag), listing: n.opening, large: bytes.Contains(command, []byte(" LARGER "))})
				n.opening = false
			})
		}
	}
	line := p
	if string(p) == "=\r\n" {
		// The library sends an empty SASL response so, which is right for an
		// initial one only (RFC 9051 section 6.2.2).
		line = p[1:]
	}
	g.trace("C", line)
	if now := g.hold.add(line); len(now) > 0 {
		if err := g.write(now); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// write writes what leaves for the server.
func (g *guard) write(p []byte) error {
	g.mu.Lock()
	_ = g.conn.SetWriteDeadline(time.Now().Add(g.t.Idle))
	g.mu.Unlock()
	_, err := g.conn.Write(p)
	if err != nil {
		g.fail(err)
	}
	return err
}

// Close implements net.Conn for the library, which closes when it cannot parse.
func (g *guard) Close() error {
	g.fail(errLibrary)
	return nil
}

// LocalAddr implements net.Conn.
func (g *guard) LocalAddr() net.Addr { return g.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (g *guard) RemoteAddr() net.Addr { return g.raw.RemoteAddr() }

// SetDeadline implements net.Conn. It does nothing, as do the other two: the library
// sets deadlines that cut a long message short and none where a server is silent.
func (g *guard) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (g *guard) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (g *guard) SetWriteDeadline(time.Time) error { return nil }

// trace logs a line, unless it may hold a secret.
func (g *guard) trace(who string, line []byte) {
	ctx := context.Background()
	if !g.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	text := string(bytes.TrimRight(line[:min(len(line), 1000)], "\r\n"))
	g.mu.Lock()
	secret := g.secret
	g.mu.Unlock()
	if secret {
		text = "(not shown during authentication)"
	}
	g.log.LogAttrs(ctx, slog.LevelDebug, "imap", slog.String(who, fetch.Sanitize(text)))
}

// authenticating keeps what is said out of the log until it is called with nil. echoes reports whether words hold the secret. The
// capabilities are forgotten: the next list counts, as others may be offered after it (RFC 9051 section 6.1.1).
func (g *guard) authenticating(echoes func(words string) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.secret, g.echoes = echoes != nil, echoes
	if g.secret {
		g.notes.caps = nil
	}
}

// addCapabilities adds the capabilities to the reply that accepts the user, where it has none. The library would ask for them
// by itself; but the server may have sent them on a line of their own, and else it is the client that asks.
func (g *guard) addCapabilities() {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := &g.lex
	accepts := x.kind == tagged && string(x.name) == "OK"
	if !accepts || !g.secret {
		return
	}
	head := len(x.tag) + len(" OK ")
	if bytes.HasPrefix(x.pass[head:], []byte("[CAPABILITY ")) {
		return
	}
	list := g.offered
	if len(g.notes.caps) > 0 {
		list = libraryCapabilities(g.notes.caps)
	}
	x.pass = slices.Insert(x.pass, head, []byte("[CAPABILITY "+list+"] ")...)
}
