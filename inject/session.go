package inject

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// outSize is how much output is gathered into one write.
	outSize = 32 << 10
	// lineSize is enough for the commands of one write as they usually are. Sessions may
	// serve one message each, and the buffer be most of what that costs in memory.
	lineSize = 1 << 10
)

// Session is one dialogue with an MTA. It is used by one goroutine at a time.
type Session struct {
	id       uint64
	o        *Options
	conn     net.Conn
	in       *replyReader
	out      []byte
	scratch  []byte    // for reading content
	chunk    []byte    // content that waits to be sent by BDAT
	acked    bool      // we have written since we read: that acknowledged what we had read
	armed    time.Time // the deadline set, zero if not known
	greeting Reply
	ext      extensions

	// open says that a mail transaction was begun which RSET must end.
	open bool
	// told is the client that a PROXY header presented, for as long as the connection lasts.
	told *Client
	// announced is the message whose XCLIENT went out behind the last dot; its reply is due.
	announced *Message
	// spent says that nothing but QUIT may follow.
	spent bool
	// broken says that not even QUIT may follow.
	broken bool
	// quit says that QUIT went out behind the last dot.
	quit bool
	// onSpent, if not nil, is called when it turns out that this session serves no
	// other message.
	onSpent func()
	// err is the first failure to write a command that could not be put in a line.
	err error

	mu        sync.Mutex
	sealed    bool // the dot may be on the wire
	cancelled bool
}

// Open dials and brings a session to where a client can be presented: greeting, EHLO,
// STARTTLS and AUTH as the options say. The error is an *[Error]. Where a PROXY header is to
// present the client, only a [Pool] can: such a session delivers nothing.
func Open(ctx context.Context, dial Dialer, o Options) (*Session, error) {
	s, err := open(ctx, dial, o.withDefaults(), 1, nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// open is Open for a session of a pool; c is the client that a PROXY header presents.
func open(ctx context.Context, dial Dialer, o *Options, id uint64, c *Client) (*Session, *Error) {
	if err := context.Cause(ctx); err != nil {
		return nil, &Error{Kind: Aborted, Op: stageConnect, Err: err}
	}
	dctx, cancel := context.WithTimeout(ctx, o.Timeouts.Connect)
	conn, err := dial(dctx)
	cancel()
	if err != nil {
		return nil, dialError(ctx, err)
	}
	s := &Session{id: id, o: o, conn: conn, in: newReplyReader(conn), out: make([]byte, 0, lineSize)}
	stop := s.watch(ctx)
	defer stop()
	if e := s.begin(c); e != nil {
		if ctx.Err() != nil {
			e = &Error{Kind: Aborted, Op: e.Op, Err: context.Cause(ctx)}
		}
		s.farewell(e)
		return nil, e
	}
	return s, nil
}

// dialError classifies what a Dialer returned, which may have failed within TLS.
func dialError(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return &Error{Kind: Aborted, Op: stageConnect, Err: context.Cause(ctx)}
	}
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	if errors.As(err, &cert) || errors.As(err, &record) {
		return &Error{Kind: TLS, Op: stageConnect, Err: err}
	}
	return &Error{Kind: Unreachable, Op: stageConnect, Err: err}
}

// farewell ends a session that failed: politely where the server still listens.
func (s *Session) farewell(e *Error) {
	if e.Reply.Code != 0 && e.Reply.Code != 421 && e.Kind != Protocol {
		s.Close()
		return
	}
	s.Abort()
}

// begin holds the dialogue up to the point where a client can be presented.
func (s *Session) begin(c *Client) *Error {
	name := s.o.Hello
	if c != nil {
		if e := s.proxy(*c); e != nil {
			return e
		}
		if say, _ := sayHELO(c.HELO); say != "" {
			name = say
		}
	}
	if e := s.greet(); e != nil {
		return e
	}
	if e := s.firstHello(name); e != nil {
		return e
	}
	if s.o.StartTLS == StartTLS {
		if e := s.startTLS(); e != nil {
			return e
		}
		if e := s.hello(name); e != nil {
			return e
		}
	}
	if s.o.Auth != nil {
		return s.authenticate()
	}
	return nil
}

// greet reads the greeting (RFC 5321 section 3.1).
func (s *Session) greet() *Error {
	reply, _, err := s.read(s.o.Timeouts.Greeting)
	if err != nil {
		return classify(stageGreeting, err)
	}
	s.greeting = reply
	if reply.Code != 220 {
		return s.turnedAway(stageGreeting, reply)
	}
	return nil
}

// hello sends EHLO or LHLO and notes what is offered. Nothing of an earlier EHLO is kept.
func (s *Session) hello(name string) *Error {
	verb := "EHLO "
	if s.o.LMTP {
		verb = "LHLO "
	}
	s.ext = extensions{}
	reply, lines, err := s.command(s.o.Timeouts.Command, verb+name)
	if err != nil {
		return classify(stageEHLO, err)
	}
	if reply.Code != 250 {
		return s.turnedAway(stageEHLO, reply)
	}
	s.ext = parseExtensions(lines)
	return nil
}

// firstHello is hello that falls back to HELO where the server knows of no EHLO (RFC 5321
// section 3.2). Such a server offers nothing, XCLIENT neither.
func (s *Session) firstHello(name string) *Error {
	e := s.hello(name)
	if e == nil || s.o.LMTP || e.Reply.Code != 500 && e.Reply.Code != 502 {
		return e
	}
	reply, _, err := s.command(s.o.Timeouts.Command, stageHELO+" "+name)
	if err != nil {
		return classify(stageHELO, err)
	}
	if reply.Code != 250 {
		return s.turnedAway(stageHELO, reply)
	}
	return nil
}

// turnedAway is for a refusal before any client was presented. A 5xx then says
// nothing about a message: the MTA does not want us, which a person must look into.
func (s *Session) turnedAway(op string, reply Reply) *Error {
	switch reply.class() {
	case 4:
		return &Error{Kind: Unreachable, Op: op, Reply: reply, Text: "the MTA takes no mail now"}
	case 5:
		return &Error{Kind: Misconfigured, Op: op, Reply: reply, Text: "the MTA refuses this host",
			Hint: "allow this host to connect to the listener, before any client is presented"}
	}
	return &Error{Kind: Protocol, Op: op, Reply: reply, Text: "unexpected reply"}
}

// startTLS upgrades the connection (RFC 3207). What the server said before is forgotten; what
// it sends behind its 220 in the clear is an attack or a fault, and ends the session.
func (s *Session) startTLS() *Error {
	const op = "STARTTLS"
	if !s.ext.startTLS {
		return &Error{Kind: TLS, Op: op, Text: "not offered"}
	}
	reply, _, err := s.command(s.o.Timeouts.Command, op)
	if err != nil {
		return classify(op, err)
	}
	if reply.Code != 220 {
		return &Error{Kind: TLS, Op: op, Reply: reply}
	}
	if s.in.r.Buffered() > 0 {
		return &Error{Kind: TLS, Op: op, Text: "plaintext behind the reply to STARTTLS"}
	}
	config := s.o.TLSConfig
	if config == nil {
		return &Error{Kind: TLS, Op: op, Text: "no TLS configuration"}
	}
	conn := tls.Client(s.conn, config)
	s.arm(s.o.Timeouts.Command)
	if err := conn.Handshake(); err != nil {
		return &Error{Kind: TLS, Op: op, Err: err}
	}
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	s.in = newReplyReader(conn)
	return nil
}

// authenticate holds the exchange of RFC 4954.
func (s *Session) authenticate() *Error {
	const op = "AUTH"
	if !s.confidential() {
		return &Error{Kind: Auth, Op: op, Text: "credentials are not sent without TLS", Hint: "use STARTTLS, implicit TLS or a UNIX socket"}
	}
	client, err := s.o.Auth()
	if err != nil {
		return &Error{Kind: Auth, Op: op, Err: err}
	}
	mech, initial, err := client.Start()
	if err != nil {
		return &Error{Kind: Auth, Op: op, Err: err}
	}
	if !slices.Contains(s.ext.auth, strings.ToUpper(mech)) {
		return &Error{Kind: Auth, Op: op, Text: "mechanism " + sanitize(mech) + " not offered"}
	}
	line := op + " " + mech
	if initial != nil {
		line += " " + encodeSASL(initial)
	}
	reply, said, err := s.secret(op+" "+mech+" ***", line)
	for rounds := 0; err == nil && reply.Code == 334 && rounds < 16; rounds++ {
		var answer []byte
		challenge, derr := base64.StdEncoding.DecodeString(said[0])
		if derr == nil {
			answer, derr = client.Next(challenge)
		}
		if derr != nil {
			_, _, _ = s.command(s.o.Timeouts.Command, "*") // cancels the exchange (RFC 4954 section 4)
			return &Error{Kind: Auth, Op: op, Err: derr}
		}
		reply, said, err = s.secret("***", base64.StdEncoding.EncodeToString(answer))
	}
	switch {
	case err != nil:
		return classify(op, err)
	case reply.Code == 235:
		return nil
	case reply.class() == 4:
		return &Error{Kind: Unreachable, Op: op, Reply: reply, Text: "temporary authentication failure"}
	}
	return &Error{Kind: Auth, Op: op, Reply: reply}
}

// encodeSASL encodes an initial response; an empty one is "=" (RFC 4954 section 4).
func encodeSASL(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

// confidential reports whether nobody else can read what is sent.
func (s *Session) confidential() bool {
	if _, ok := s.conn.(*tls.Conn); ok {
		return true
	}
	switch a := s.conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UDPAddr:
		return false
	}
	return true // a UNIX socket, or a pipe within the process
}

// put adds one command line to the next write.
func (s *Session) put(line string) { s.putSecret(line, line) }

func (s *Session) putSecret(shown, line string) {
	// The last line of defence: all arguments were checked where they came from.
	if strings.ContainsAny(line, "\r\n\x00") && s.err == nil {
		s.err = fmt.Errorf("command %.8q would not fit in a line", line)
		return
	}
	s.trace("C: ", shown)
	s.out = append(append(s.out, line...), '\r', '\n')
}

// append adds content to the output, and writes whenever that is full.
func (s *Session) append(p []byte) error {
	for len(p) > 0 {
		n := copy(s.out[len(s.out):cap(s.out)], p)
		s.out = s.out[:len(s.out)+n]
		p = p[n:]
		if len(s.out) < cap(s.out) {
			continue
		}
		if _, err := s.flush(s.o.Timeouts.Block); err != nil {
			return err
		}
	}
	return nil
}

// flush writes what put gathered, and returns how much of it left.
func (s *Session) flush(d time.Duration) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.arm(d)
	n, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	s.acked = true
	return n, err
}

// read reads one reply within d.
func (s *Session) read(d time.Duration) (Reply, []string, error) {
	if !s.acked && s.in.r.Buffered() == 0 {
		quickAck(s.conn)
	}
	s.acked = false
	s.arm(d)
	reply, lines, err := s.in.read()
	if err == nil && s.o.Trace != nil {
		for i, l := range lines {
			sep := "-"
			if i == len(lines)-1 {
				sep = " "
			}
			s.trace("S: ", strconv.Itoa(reply.Code)+sep+l)
		}
	}
	return reply, lines, err
}

// command sends one line and reads its reply.
func (s *Session) command(d time.Duration, line string) (Reply, []string, error) {
	return s.exchange(d, line, line)
}

// secret is command for a line that only stands as shown in traces.
func (s *Session) secret(shown, line string) (Reply, []string, error) {
	return s.exchange(s.o.Timeouts.Command, shown, line)
}

func (s *Session) exchange(d time.Duration, shown, line string) (Reply, []string, error) {
	if err := s.inStep(); err != nil {
		return Reply{}, nil, err
	}
	s.putSecret(shown, line)
	if _, err := s.flush(d); err != nil {
		return s.lastWords(err)
	}
	return s.read(d)
}

// lastWords reads what the server said before the connection failed with err: a
// 421 or 552 may be waiting. Without any it returns err.
func (s *Session) lastWords(err error) (Reply, []string, error) {
	if s.err != nil || errors.Is(err, net.ErrClosed) {
		return Reply{}, nil, err
	}
	s.broken = true
	reply, lines, rerr := s.read(time.Second)
	if rerr != nil {
		return Reply{}, nil, err
	}
	return reply, lines, nil
}

// errUnasked: a reply too many would be counted for the next command.
var errUnasked = fmt.Errorf("%w: a reply that nobody asked for", errMalformed)

// inStep reports an error if a reply has been read that nobody asked for.
func (s *Session) inStep() error {
	if s.in.r.Buffered() > 0 {
		return errUnasked
	}
	return nil
}

// quiet is inStep that looks beyond what has been read. It costs system calls: it is for
// where a wrong reply would otherwise be believed.
func (s *Session) quiet() error {
	if err := s.inStep(); err != nil {
		return err
	}
	s.mu.Lock()
	s.armed = time.Time{} // pending sets a deadline of its own
	s.mu.Unlock()
	waiting, err := s.pending()
	if err == nil && waiting {
		err = errUnasked
	}
	return err
}

// trace shows a line, with who said it in front.
func (s *Session) trace(who, line string) {
	if s.o.Trace != nil {
		s.o.Trace(s.id, sanitize(who+line))
	}
}

// Reusable reports whether another message can be delivered on this session.
func (s *Session) Reusable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.broken && !s.spent && !s.cancelled
}

// Close says QUIT if the session allows it and closes the connection.
func (s *Session) Close() {
	if !s.broken && s.announced == nil {
		if !s.quit {
			s.put("QUIT")
			_, err := s.flush(s.o.Timeouts.Quit)
			s.broken = err != nil
		}
		if !s.broken {
			_, _, _ = s.read(s.o.Timeouts.Quit)
		}
	}
	s.Abort()
}

// Abort closes the connection at once.
func (s *Session) Abort() {
	s.broken = true
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = hardClose(s.conn)
}

// hardClose closes a connection without TLS's farewell, for which a peer that does not
// read could keep us waiting.
func hardClose(conn net.Conn) error {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	return conn.Close()
}
