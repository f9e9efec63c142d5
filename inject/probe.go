package inject

import (
	"context"
	"crypto/tls"
	"net/netip"
)

// Capabilities are what [Probe] found out about a listener.
type Capabilities struct {
	// Greeting is the first reply.
	Greeting Reply
	// Extensions are the lines of the EHLO reply, sanitised.
	Extensions []string
	// XCLIENT and XFORWARD are the attributes offered, nil where the verb is not.
	XCLIENT, XFORWARD []string
	// AUTH are the mechanisms offered.
	AUTH []string
	// TLS is the protocol version in use, "" for none. STARTTLS says that it is offered.
	TLS      string
	STARTTLS bool
	// Pipelining, DSN, EightBit, UTF8 and Chunking say what else is offered.
	Pipelining, DSN, EightBit, UTF8, Chunking bool
	// SizeLimit is the largest message that the MTA takes, in octets; 0 if it states no limit.
	SizeLimit int64
	// Foreign is the result of XCLIENT with an address of a network that the MTA cannot know
	// (192.0.2.1), Unknown, if that was asked for, with everything unavailable.
	Foreign, Unknown Presentation
}

// Presentation is the result of one XCLIENT.
type Presentation struct {
	// Reply is the MTA's reply to XCLIENT, or to the EHLO after it if that was refused.
	Reply Reply
	// Reset says that XCLIENT was offered again: a session serves many messages.
	Reset bool
}

// Probe looks at a listener without sending mail. It uses up to two connections. A PROXY header,
// where one is wanted, presents 192.0.2.1. With unknown it presents an unknown client as well: filters
// behind an MTA can die of that, so it is for those who will do it anyway. The error is an *[Error]; what
// had been found out until then is returned with it.
func Probe(ctx context.Context, dial Dialer, o Options, unknown bool) (Capabilities, error) {
	var c Capabilities
	foreign := Client{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 1}), ESMTP: true}
	s, e := open(ctx, dial, o.withDefaults(), 1, &foreign)
	if e != nil {
		return c, e
	}
	c.Greeting = s.greeting
	for _, line := range s.ext.lines {
		c.Extensions = append(c.Extensions, sanitize(line))
	}
	c.XCLIENT, c.XFORWARD, c.AUTH = s.ext.xclient, s.ext.xforward, s.ext.auth
	c.STARTTLS, c.Pipelining, c.DSN = s.ext.startTLS, s.ext.pipelining, s.ext.dsn
	c.EightBit, c.UTF8, c.Chunking = s.ext.eightBit, s.ext.utf8, s.ext.chunking
	c.SizeLimit = s.ext.sizeLimit
	if conn, ok := s.w.conn.(*tls.Conn); ok {
		c.TLS = tls.VersionName(conn.ConnectionState().Version)
	}
	if e := s.offersXCLIENT(); e != nil || o.Carrier != XCLIENT || o.XCLIENT == Off {
		s.Close()
		if o.Carrier == XCLIENT && o.XCLIENT == Required {
			return c, e
		}
		return c, nil
	}
	if c.Foreign, e = s.present(ctx, foreign); e != nil {
		return c, e
	}
	if !unknown {
		return c, nil
	}
	if s, e = open(ctx, dial, o.withDefaults(), 2, nil); e != nil {
		return c, e
	}
	if c.Unknown, e = s.present(ctx, Client{ESMTP: true}); e != nil {
		return c, e
	}
	return c, nil
}

// present presents client, notes whether another could be presented, and ends the session. A
// refusal of that client is a result, not an error.
func (s *Session) present(ctx context.Context, client Client) (Presentation, *Error) {
	stop := s.w.watch(ctx)
	defer stop()
	defer s.Close()
	t := newTransaction(&Message{}, client, nil)
	t.s = s
	e := t.present()
	if e == nil {
		return Presentation{Reply: t.introduced, Reset: !t.last}, nil
	}
	t.leave(e)
	return Presentation{Reply: e.reply}, e.err
}
