package inject

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strings"
)

// state is what may be said next on a session. The states are ordered: where two reasons ask for
// different ones, the later one counts.
type state uint8

const (
	// idle: no mail transaction is open, anything may follow.
	idle state = iota
	// inMail: a mail transaction is open, RSET must end it before another message.
	inMail
	// pipelined: the next message's XCLIENT is sent, its reply is due.
	pipelined
	// leaving: the last message is done, only QUIT may follow.
	leaving
	// quitSent: QUIT is sent, its reply is due.
	quitSent
	// broken: nothing may follow, and no reply can be believed.
	broken
)

// Session is one dialogue with an MTA. It is used by one goroutine at a time.
type Session struct {
	o        *Options
	w        *wire
	scratch  []byte // for reading content
	chunk    []byte // content that waits to be sent by BDAT
	greeting Reply
	ext      extensions

	state  state
	strain strain
	// introduced says that XCLIENT has presented a client.
	introduced bool
	// loginDue says that AUTH is to follow XCLIENT and its EHLO.
	loginDue bool
	// proxied is the client that a PROXY header presented for this connection, nil if none did.
	proxied *Client
	// pipelined is the message whose XCLIENT was sent with the last dot, in the state pipelined.
	pipelined *Message
	// onLast, if not nil, is called when it turns out that the current message is the session's last.
	onLast func()
	// onEnd, if not nil, is called once, when the session is over.
	onEnd func()
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

// open is Open for a session of a pool; c is the client that a PROXY header is to present.
func open(ctx context.Context, dial Dialer, o *Options, id uint64, c *Client) (*Session, *Error) {
	if err := context.Cause(ctx); err != nil {
		return nil, &Error{Kind: Aborted, Op: stageConnect, Err: err}
	}
	dctx, cancel := context.WithTimeout(ctx, o.Timeouts.Connect)
	conn, err := dial(dctx)
	cancel()
	if err != nil {
		var cert *tls.CertificateVerificationError
		var record tls.RecordHeaderError
		var alert *net.OpError
		switch {
		case ctx.Err() != nil:
			return nil, &Error{Kind: Aborted, Op: stageConnect, Err: context.Cause(ctx)}
		case errors.As(err, &cert), errors.As(err, &record), errors.As(err, &alert) && alert.Op == "remote error":
			return nil, &Error{Kind: TLS, Op: stageConnect, Err: err, Advice: o.hint(err)}
		}
		return nil, &Error{Kind: Unreachable, Op: stageConnect, Err: err}
	}
	s := &Session{o: o, w: &wire{id: id, o: o, conn: conn, in: newReplyReader(conn), out: make([]byte, 0, lineSize)}}
	stop := s.w.watch(ctx)
	defer stop()
	e := s.begin(c)
	if e == nil {
		return s, nil
	}
	if ctx.Err() != nil {
		e = &Error{Kind: Aborted, Op: e.Op, Err: context.Cause(ctx)}
	}
	switch {
	case e.Reply.Code == 0, e.Reply.Code == 421, e.Kind == Protocol: // the server does not wait for QUIT
		s.Abort()
	default:
		s.Close()
	}
	return nil, e
}

// begin holds the dialogue up to the point where a client can be presented: PROXY header, greeting,
// EHLO, STARTTLS, AUTH.
func (s *Session) begin(c *Client) *Error {
	name := s.o.Hello
	if c != nil && s.o.Carrier.byProxy() {
		if e := s.proxy(*c); e != nil {
			return e
		}
		if name, _ = sayHELO(c.HELO); name == "" {
			name = literal(c.Addr)
		}
	}

	// The greeting (RFC 5321 section 3.1).
	reply, _, err := s.w.read(s.o.Timeouts.Greeting)
	switch {
	case err != nil:
		e := classify(stageGreeting, err)
		if e.Kind == Unreachable && !s.o.Carrier.byProxy() {
			e.Advice = "a listener that waits for a PROXY header is silent, too: it needs carrier: proxy-v1 or proxy-v2"
			if _, secure := s.w.conn.(*tls.Conn); !secure {
				e.Advice += "; and one that waits for TLS: it needs tls: implicit"
			}
		}
		return e
	case s.proxied != nil && noProxyHeader(reply):
		return proxyNotTaken(reply)
	case reply.Code != 220:
		return hostRefused(stageGreeting, reply)
	}
	s.greeting = reply

	// EHLO, or HELO where the server knows of no EHLO (RFC 5321 section 3.2). Such a server
	// offers nothing, XCLIENT neither.
	if e := s.hello(name); e != nil {
		unknown := e.Reply.Code == 500 || e.Reply.Code == 502
		switch {
		case s.proxied != nil && noProxyHeader(e.Reply): // the reply is to the header
			return proxyNotTaken(e.Reply)
		case s.proxied != nil && errors.Is(e, errUnsolicited): // or came before EHLO was said
			return proxyNotTaken(Reply{})
		case !unknown:
			return e
		case s.o.Dialect == LMTP:
			return otherDialect(stageEHLO, e.Reply, SMTP)
		}
		reply, _, err := s.w.command(s.o.Timeouts.Command, "HELO "+name)
		switch {
		case err != nil:
			return classify(stageHELO, err)
		case reply.Code == 500, reply.Code == 502:
			return otherDialect(stageHELO, reply, LMTP)
		case reply.Code != 250:
			return hostRefused(stageHELO, reply)
		}
	}

	if s.o.StartTLS == StartTLS {
		if e := s.startTLS(name); e != nil {
			return e
		}
	}
	if s.o.Auth == nil {
		return nil
	}
	// Postfix drops the login at XCLIENT, and a client that logs in after it would have the rights to relay. Dovecot's
	// submission server takes XCLIENT only before AUTH, and no mail without.
	if s.o.Carrier == XCLIENT && s.o.XCLIENT != Off && foreign(s.ext.xclient) {
		s.loginDue = true
		return nil
	}
	return s.authenticate()
}

// startTLS upgrades the connection (RFC 3207). The EHLO after it replaces what the server offered before.
func (s *Session) startTLS(name string) *Error {
	const op = "STARTTLS"
	switch {
	case !s.ext.startTLS:
		return &Error{Kind: TLS, Op: op, Text: "not offered"}
	case s.o.TLSConfig == nil:
		return &Error{Kind: TLS, Op: op, Text: "no TLS configuration"}
	}
	reply, _, err := s.w.command(s.o.Timeouts.Command, op)
	switch {
	case err != nil:
		return classify(op, err)
	case reply.Code != 220:
		return &Error{Kind: TLS, Op: op, Reply: reply}
	}
	if s.w.in.r.Buffered() > 0 { // an attack, or a fault
		err := errors.New("plaintext after the reply to STARTTLS")
		return &Error{Kind: TLS, Op: op, Err: err, Advice: s.o.hint(err)}
	}
	conn := tls.Client(s.w.conn, s.o.TLSConfig)
	s.w.arm(s.o.Timeouts.Command)
	if err := conn.Handshake(); err != nil {
		return &Error{Kind: TLS, Op: op, Err: err, Advice: s.o.hint(err)}
	}
	s.w.mu.Lock()
	s.w.conn = conn
	s.w.mu.Unlock()
	s.w.in = newReplyReader(conn)
	return s.hello(name)
}

// hello sends EHLO or LHLO and notes what is offered. Nothing of an earlier EHLO is kept.
func (s *Session) hello(name string) *Error {
	verb := "EHLO "
	if s.o.Dialect == LMTP {
		verb = "LHLO "
	}
	reply, lines, err := s.w.command(s.o.Timeouts.Command, verb+name)
	if err != nil {
		return classify(stageEHLO, err)
	}
	if reply.Code != 250 {
		return hostRefused(stageEHLO, reply)
	}
	s.ext = parseExtensions(lines)
	return nil
}

// hostRefused is the error for a reply that refuses this host, before any client was presented. A
// 5xx then says nothing about the message: a person must look into it.
func hostRefused(op string, reply Reply) *Error {
	switch reply.class() {
	case 4:
		return &Error{Kind: Unreachable, Op: op, Reply: reply, Text: "the MTA takes no mail now"}
	case 5:
		return &Error{Kind: Misconfigured, Op: op, Reply: reply, Text: "the MTA refuses this host",
			Advice: "allow this host to connect to the listener, before any client is presented"}
	}
	return &Error{Kind: Protocol, Op: op, Reply: reply, Text: "unexpected reply"}
}

// otherDialect is the error for a listener that does not know our greeting: it may speak d (RFC 2033 section 4.1).
func otherDialect(op string, reply Reply, d Dialect) *Error {
	return &Error{Kind: Misconfigured, Op: op, Reply: reply, Text: "the listener does not know this greeting",
		Advice: "if it speaks " + strings.ToUpper(d.String()) + ", set protocol: " + d.String()}
}

// authenticate holds the exchange of RFC 4954.
func (s *Session) authenticate() *Error {
	const op = "AUTH"
	// Only the peer may read what is sent: under TLS, on this host, or by a pipe within the process.
	_, confidential := s.w.conn.(*tls.Conn)
	switch a := s.w.conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		confidential = confidential || a.IP.IsLoopback()
	case *net.UDPAddr:
	default:
		confidential = true
	}
	if !confidential {
		return &Error{Kind: Auth, Op: op, Text: "credentials are not sent without TLS", Advice: "use STARTTLS, implicit TLS or a UNIX socket"}
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
	switch {
	case initial == nil:
	case len(initial) == 0: // RFC 4954 section 4
		line += " ="
	default:
		line += " " + base64.StdEncoding.EncodeToString(initial)
	}
	reply, said, err := s.w.secret(s.o.Timeouts.Command, op+" "+mech+" ***", line)
	for rounds := 0; err == nil && reply.Code == 334 && rounds < 16; rounds++ {
		var answer []byte
		challenge, derr := base64.StdEncoding.DecodeString(said[0])
		if derr == nil {
			answer, derr = client.Next(challenge)
		}
		if derr != nil {
			_, _, _ = s.w.command(s.o.Timeouts.Command, "*") // cancels the exchange (RFC 4954 section 4)
			return &Error{Kind: Auth, Op: op, Err: derr}
		}
		reply, said, err = s.w.secret(s.o.Timeouts.Command, "***", base64.StdEncoding.EncodeToString(answer))
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

// Reusable reports whether another message can be delivered on this session.
func (s *Session) Reusable() bool {
	return s.state < leaving && s.w.err == nil && !s.w.cancelled.Load() && s.strain.bears(1)
}

// Close says QUIT if the session allows it and closes the connection.
func (s *Session) Close() {
	switch s.state {
	case idle, inMail, leaving:
		s.w.put("QUIT")
		_, _ = s.w.flush(s.o.Timeouts.Quit)
		fallthrough
	case quitSent:
		if s.w.err == nil {
			_, _, _ = s.w.read(s.o.Timeouts.Quit)
		}
	}
	s.Abort()
}

// Abort closes the connection at once.
func (s *Session) Abort() {
	s.state = broken
	s.w.close()
	if s.onEnd != nil {
		s.onEnd()
		s.onEnd = nil
	}
}
