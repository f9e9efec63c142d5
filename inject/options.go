package inject

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
)

// Dialer makes one connection to the MTA: plain TCP, a UNIX socket or implicit TLS.
// This package never dials by itself.
type Dialer func(ctx context.Context) (net.Conn, error)

// Dialect is what is spoken with the MTA.
type Dialect uint8

const (
	// SMTP is RFC 5321.
	SMTP Dialect = iota
	// LMTP is RFC 2033: LHLO, and one verdict for each recipient.
	LMTP
)

// Mode says what to do about XCLIENT.
type Mode uint8

const (
	// Required sends nothing to an MTA that does not offer XCLIENT with ADDR.
	Required Mode = iota
	// IfAvailable goes without where XCLIENT is not offered: the MTA then takes this
	// host for the client.
	IfAvailable
	// Off never sends XCLIENT: the MTA takes this host for the client.
	Off
)

// Carrier is how the client is presented.
type Carrier uint8

const (
	// XCLIENT presents all of it, and the MTA's checks apply.
	XCLIENT Carrier = iota
	// XFORWARD changes what the MTA logs and its content filters see; its checks
	// and relay rights still go by this host's address
	// (https://www.postfix.org/XFORWARD_README.html).
	XFORWARD
	// PROXYv1 and PROXYv2 present the address and port on a connection of its own
	// for each message (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
	// The MTA looks the name up. An unknown client cannot be presented: such a message is withheld
	// as [Unsendable], because PROXY UNKNOWN and LOCAL stand for this host.
	PROXYv1
	PROXYv2
)

// DSN says what is asked of the MTA about delivery status notifications to the sender.
type DSN uint8

const (
	// DSNDefault asks nothing.
	DSNDefault DSN = iota
	// DSNNever asks it never to send one (RFC 3461 section 4.1), where it offers DSN.
	DSNNever
)

// EightBitPolicy says what to do with octets above 127 where 8BITMIME is not offered.
type EightBitPolicy uint8

const (
	// SendAnyway sends them as they are, with a note in the receipt. Nothing is re-encoded.
	SendAnyway EightBitPolicy = iota
	// RefuseEightBit withholds the message as [Unsendable] and sends nothing of it.
	RefuseEightBit
)

// NULPolicy says what to do with content that holds NUL, which RFC 5322 section 4 calls
// obsolete and some MTAs remove or refuse.
type NULPolicy uint8

const (
	// SendNUL sends it as it is.
	SendNUL NULPolicy = iota
	// RefuseNUL withholds the message as [Unsendable] and sends nothing of it.
	RefuseNUL
)

// TLSMode says whether a plain connection is upgraded.
type TLSMode uint8

const (
	// NoTLS leaves the connection as the Dialer made it.
	NoTLS TLSMode = iota
	// StartTLS upgrades it (RFC 3207) and sends nothing where that fails.
	StartTLS
)

// Options govern a [Pool] or [Session]. The zero value is fit for use.
type Options struct {
	// Dialect is SMTP or LMTP.
	Dialect Dialect
	// XCLIENT is the mode for Carrier XCLIENT.
	XCLIENT Mode
	// Carrier is how the client is presented.
	Carrier Carrier
	// Hello is our own name for the first EHLO, never for that of a client. "" means the host's name if it has
	// a domain, else an address literal of 127.0.0.1.
	Hello string
	// StartTLS upgrades a plain connection, with TLSConfig (which needs ServerName).
	StartTLS  TLSMode
	TLSConfig *tls.Config
	// TLSHint, if not nil, returns what to do about a handshake that failed, or "".
	TLSHint func(error) string
	// Auth, if not nil, makes the SASL client for one session (RFC 4954). It
	// is used only within TLS or on a connection that does not leave the host.
	Auth func() (sasl.Client, error)
	// DSN says whether the MTA may send delivery status notifications to the sender.
	DSN DSN
	// Chunking sends content by BDAT instead of DATA where CHUNKING (RFC 3030) and PIPELINING
	// are offered; never with LMTP, for which nothing says who answers a chunk. Line endings are
	// made the same; no dots are doubled. A message whose content fails is then
	// given up with RSET, and the session kept. Takes up to 256 KB more for each session.
	Chunking bool
	// EightBit and NUL are the policies for a [Message] with EightBit or NUL set.
	EightBit EightBitPolicy
	NUL      NULPolicy
	// Never are further addresses that must not be presented, see [Client.Safe].
	Never []netip.Prefix
	// Connections is how many messages a Pool has under way at a time. Where each
	// connection serves one message only, as many again may be open ahead of need.
	Connections Connections
	// Timeouts, where zero, are those of RFC 5321 section 4.5.3.2.
	Timeouts Timeouts
	// Trace, if not nil, gets each line of each dialogue, "C: " or "S: " first,
	// sanitised, without credentials and content. Sessions are numbered. It is
	// called from several goroutines.
	Trace func(session uint64, line string)
	// OnReset, if not nil, is called when XCLIENT has presented a client in a session in which it had presented another
	// one before. It is called from several goroutines.
	OnReset func()
}

// Timeouts bound each phase of a dialogue. Each holds for the whole of a reply
// or the whole of a write, however it trickles.
type Timeouts struct {
	// Connect bounds the Dialer, 30 s if zero.
	Connect time.Duration
	// Greeting bounds the wait for the first 220, 5 min.
	Greeting time.Duration
	// Command bounds the replies to EHLO, XCLIENT, MAIL, RCPT and RSET, 5 min.
	Command time.Duration
	// Data bounds the reply to DATA, 2 min.
	Data time.Duration
	// Block bounds each write of content, and the reply to a chunk that is not the last, 3 min.
	Block time.Duration
	// Dot bounds the reply to the final dot or last chunk, 10 min. A shorter time makes duplicates.
	Dot time.Duration
	// Quit bounds QUIT and its reply, 5 s.
	Quit time.Duration
	// Idle is how long a Pool keeps an unused session, 10 s.
	Idle time.Duration
	// Grace is how long the reply to a dot is still awaited after the context ended, 10 s.
	Grace time.Duration
}

// byProxy reports whether the client is presented before the greeting.
func (c Carrier) byProxy() bool { return c == PROXYv1 || c == PROXYv2 }

func (o Options) withDefaults() *Options {
	if o.Hello == "" {
		o.Hello = "[127.0.0.1]"
		// The host's name if it can pass for a domain (RFC 5321 section 4.1.1.1).
		host, err := os.Hostname()
		if name, ok := hostname(host); ok && err == nil && strings.Contains(name, ".") {
			o.Hello = host
		}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Timeouts.Connect, 30 * time.Second},
		{&o.Timeouts.Greeting, 5 * time.Minute},
		{&o.Timeouts.Command, 5 * time.Minute},
		{&o.Timeouts.Data, 2 * time.Minute},
		{&o.Timeouts.Block, 3 * time.Minute},
		{&o.Timeouts.Dot, 10 * time.Minute},
		{&o.Timeouts.Quit, 5 * time.Second},
		{&o.Timeouts.Idle, 10 * time.Second},
		{&o.Timeouts.Grace, 10 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return &o
}

// hint is TLSHint where there is one.
func (o *Options) hint(err error) string {
	if o.TLSHint == nil {
		return ""
	}
	return o.TLSHint(err)
}
