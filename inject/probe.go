package inject

import (
	"context"
	"crypto/tls"
	"time"
)

// Capabilities are what [Probe] found out about a listener.
type Capabilities struct {
	// Greeting is the first reply.
	Greeting Reply
	// Extensions are the lines of the EHLO reply, sanitised.
	Extensions []string
	// XCLIENT and XFORWARD are the attributes offered, nil where the verb is not.
	XCLIENT, XFORWARD []string
	// OneClient says that XCLIENT is not that of Postfix: an attribute may keep the value of the client before,
	// so that each message gets a connection of its own.
	OneClient bool
	// AUTH are the mechanisms offered.
	AUTH []string
	// TLS is the protocol version in use, "" for none; NotAfter is then the end of the server's certificate. STARTTLS says
	// that it is offered.
	TLS      string
	NotAfter time.Time
	STARTTLS bool
	// Pipelining, DSN, EightBit, UTF8 and Chunking say what else is offered.
	Pipelining, DSN, EightBit, UTF8, Chunking bool
	// SizeLimit is the largest message that the MTA takes, in octets; 0 if it states no limit.
	SizeLimit int64
	// Presented are the results of XCLIENT with each client, none where it is not said.
	Presented []Presentation
}

// Presentation is the result of one XCLIENT.
type Presentation struct {
	Client Client
	// Err is not nil where the MTA did not take the attributes.
	Err *Error
	// Reply is the MTA's reply to XCLIENT, or to the EHLO after it if that was refused.
	Reply Reply
	// Reset says that XCLIENT was offered again: a session serves many messages.
	Reset bool
}

// Probe looks at a listener without sending mail: how it takes each of clients, on a connection of its own. There must be
// one at least; a PROXY header, where one is wanted, presents the first. Filters behind an MTA can die of a client
// without an address, so that is for those who will present one anyway. The error is an *[Error]; what had
// been found out until then is returned with it.
func Probe(ctx context.Context, dial Dialer, o Options, clients ...Client) (Capabilities, error) {
	var c Capabilities
	s, e := open(ctx, dial, o.withDefaults(), 1, &clients[0])
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
		state := conn.ConnectionState()
		c.TLS = tls.VersionName(state.Version)
		if len(state.PeerCertificates) > 0 {
			c.NotAfter = state.PeerCertificates[0].NotAfter
		}
	}
	c.OneClient = s.ext.xclient != nil && !clearsAttributes(s.ext.xclient)
	if o.Carrier == XFORWARD && s.ext.xforward == nil {
		s.Close()
		return c, noXFORWARD()
	}
	if e := s.offersXCLIENT(); e != nil || o.Carrier != XCLIENT || o.XCLIENT == Off {
		s.Close()
		if o.Carrier == XCLIENT && o.XCLIENT == Required {
			return c, e
		}
		return c, nil
	}
	for i, client := range clients {
		if i > 0 {
			if s, e = open(ctx, dial, o.withDefaults(), uint64(i)+1, nil); e != nil {
				return c, e
			}
		}
		p := s.present(ctx, client)
		c.Presented = append(c.Presented, p)
		if p.Err != nil && p.Reply.Code == 0 {
			return c, p.Err // the connection's end
		}
	}
	return c, nil
}

// present presents client, notes whether another could be presented, and ends the session. A
// refusal of that client is a result, not an error.
func (s *Session) present(ctx context.Context, client Client) Presentation {
	stop := s.w.watch(ctx)
	defer stop()
	defer s.Close()
	t := newTransaction(&Message{}, client, nil)
	t.s = s
	e := t.present()
	if e == nil {
		return Presentation{Client: client, Reply: t.introduced, Reset: !t.last}
	}
	t.leave(e)
	p := Presentation{Client: client, Reply: e.reply, Err: e.err}
	if e.err != nil {
		p.Reply = e.err.Reply
	}
	return p
}
