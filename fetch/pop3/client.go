// Package pop3 is a POP3 client (RFC 1939) that implements [fetch.Mailbox]:
// CAPA and RESP-CODES (RFC 2449), STLS (RFC 2595), AUTH (RFC 5034), UTF8 and LANG (RFC 6856), PIPELINING.
// It streams messages octet by octet as they are and holds none in memory. It does not trust
// the server: neither sizes nor message numbers, counts or line ends.
package pop3

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/sasl"
)

// Options say how to open a session. The zero value of each field but
// Credentials is usable.
type Options struct {
	// Credentials prove the user. By default AUTH is preferred to USER.
	Credentials sasl.Credentials
	// Secure says that the connection is already as good as under TLS.
	Secure bool
	// StartTLS asks for STLS, which is then required; TLS configures it and
	// must have ServerName set.
	StartTLS bool
	TLS      *tls.Config
	// MaxSize is the largest message to download, in octets; 0 means no limit.
	MaxSize int64
	// MaxMessages bounds a listing; 0 means 200,000.
	MaxMessages int
	// NoCAPA spares a server that hangs up at CAPA (see [ErrHungUpAtCAPA]) that command.
	NoCAPA bool
	// OneByOne sends no command before the last is answered, whatever the server announces.
	OneByOne bool
	// OutOfStep, if not nil, is called when the replies to commands that were sent together do not fit: the next session should be OneByOne. hungUp
	// says that the connection ended at the first of them, which may have another cause.
	OutOfStep func(hungUp bool)
	// Timeouts bound how long the server may take.
	Timeouts Timeouts
	// Logger gets what is odd but harmless at Warn and the dialogue at Debug,
	// without secrets and without messages. Nil means no log.
	Logger *slog.Logger
}

// Timeouts bound how long the server may take.
type Timeouts = fetch.Timeouts

var _ fetch.Mailbox = (*Client)(nil)

// Client is one authenticated session. See [fetch.Mailbox] for its contract. After
// an error of a sink, as after a lost connection, only Abort is allowed: what was
// asked of the server is still under way.
type Client struct {
	w       *wire
	opts    Options
	secure  bool
	ended   bool
	banner  string
	caps    map[string]string // nil: the server has no CAPA
	index   []entry           // of the listing, by ascending number
	deleted map[uint32]bool   // numbers marked by DELE in this session

	mechanism string   // what proved the user
	refused   []string // what the server refused before
}

// Mechanism returns the mechanism or command that proved the user, "" if none was needed, and those that the server refused before.
func (c *Client) Mechanism() (used string, refused []string) { return c.mechanism, c.refused }

// New reads the greeting, asks for CAPA and, if Options say so, STLS, and authenticates. It owns
// conn from then on and closes it on failure. Errors are [*fetch.Error] or the
// context's.
//
// Nothing that proves the user is sent unless the connection is secure, STLS has
// made it so, or Credentials.AllowPlaintext is set.
func New(ctx context.Context, conn net.Conn, opts Options) (*Client, error) {
	opts.Timeouts = opts.Timeouts.WithDefaults()
	if opts.MaxMessages <= 0 {
		opts.MaxMessages = 200_000
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		w:       newWire(conn, opts.Timeouts, opts.Logger),
		opts:    opts,
		secure:  opts.Secure,
		deleted: map[uint32]bool{},
	}
	if err := c.run(ctx, func() error { return c.login(ctx) }); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// login is the dialogue up to the transaction state (RFC 1939 section 5).
func (c *Client) login(ctx context.Context) error {
	// Implicit TLS is completed first, so that its errors are not taken for the greeting's.
	if t, ok := c.w.raw.(*tls.Conn); ok {
		err := t.SetDeadline(time.Now().Add(c.opts.Timeouts.Idle))
		if err == nil {
			err = t.HandshakeContext(ctx)
		}
		if err != nil {
			return c.w.lost("TLS handshake", err)
		}
	}
	greeting, err := c.w.reply("greeting")
	if err != nil {
		return err
	}
	if !greeting.ok {
		return greeting.failure("greeting", fetch.Refused)
	}
	c.banner = greeting.text
	if err := c.capa(); err != nil {
		return err
	}
	if c.opts.StartTLS && !c.secure {
		if err := c.startTLS(ctx); err != nil {
			return err
		}
		// RFC 2595 section 4: what was said before TLS may be an attacker's.
		c.caps = nil
		if err := c.capa(); err != nil {
			return err
		}
	}
	if !c.secure && !c.opts.Credentials.AllowPlaintext {
		return &fetch.Error{Kind: fetch.TLS, Op: "authentication", Advice: "use TLS, or allow plaintext for this account",
			Err: errors.New("the connection is not encrypted")}
	}
	// RFC 6856, where the server offers it. UTF8 (section 2) has messages handed over as they are: else the server
	// makes a downgraded copy of one with UTF-8 in its header, or refuses to hand it over. It is allowed before
	// the login and behind STLS only. LANG (section 3) has the server speak English, by whose words a refusal is told
	// apart from a server that is busy. A refusal of either changes nothing.
	for _, command := range []string{"UTF8", "LANG en"} {
		if name, _, _ := strings.Cut(command, " "); !c.has(name) {
			continue
		}
		if _, err := c.w.command(command); err != nil {
			return err
		}
	}
	if err := c.authenticate(ctx); err != nil {
		return err
	}
	// RFC 2449 section 3: some capabilities show only after authentication. The
	// round trip is spent only where it may bring something.
	if c.caps != nil && !(c.has("UIDL") && c.has("PIPELINING")) {
		return c.capa()
	}
	return nil
}

// maxCapabilities bounds a reply to CAPA, in lines.
const maxCapabilities = 200

// ErrHungUpAtCAPA is the cause of an error of [New] where the server has ended the connection instead of a reply to CAPA. A few old ones do that at
// any command that they do not know.
var ErrHungUpAtCAPA = errors.New("the server hung up instead of a reply")

// capa asks what the server can do. A server without CAPA is not an error.
func (c *Client) capa() error {
	if c.opts.NoCAPA {
		return nil
	}
	r, err := c.w.command("CAPA")
	var lost *fetch.Error
	if fetch.HungUp(err) && errors.As(err, &lost) {
		lost.Err = fmt.Errorf("%w: %w", ErrHungUpAtCAPA, lost.Err)
	}
	if err != nil || !r.ok {
		return err
	}
	caps := map[string]string{}
	for lines := 0; ; lines++ {
		line, end, err := c.w.listLine("CAPA")
		if err != nil {
			return err
		}
		if end {
			break
		}
		if lines == maxCapabilities { // of lines: the same one may come without end
			return protocolError("CAPA", "capabilities without end", nil)
		}
		name, args, _ := strings.Cut(string(line), " ")
		caps[strings.ToUpper(name)] = args
	}
	c.caps = caps
	return nil
}

func (c *Client) has(capability string) bool {
	_, ok := c.caps[capability]
	return ok
}

// pipelines reports whether commands may be sent together.
func (c *Client) pipelines() bool { return c.has("PIPELINING") && !c.opts.OneByOne }

// startTLS is RFC 2595 section 4.
func (c *Client) startTLS(ctx context.Context) error {
	if c.caps != nil && !c.has("STLS") {
		return &fetch.Error{Kind: fetch.TLS, Op: "STLS", Err: errors.New("the server does not offer it"),
			Advice: "use implicit TLS (port 995) if the server has it"}
	}
	if c.opts.TLS == nil {
		return &fetch.Error{Kind: fetch.TLS, Op: "STLS", Err: errors.New("no TLS configuration")}
	}
	r, err := c.w.command("STLS")
	if err != nil {
		return err
	}
	if !r.ok {
		return r.failure("STLS", fetch.TLS)
	}
	// What has arrived in plaintext after that reply would be taken as if it came under TLS (response injection).
	if n := c.w.br.Buffered(); n > 0 {
		return &fetch.Error{Kind: fetch.TLS, Op: "STLS", Advice: "someone may be tampering with the connection",
			Err: fmt.Errorf("%d octets of plaintext after the reply to STLS", n)}
	}
	c.w.clock.restart()
	t := tls.Client(c.w.clock, c.opts.TLS)
	if err := t.HandshakeContext(ctx); err != nil {
		return c.w.lost("TLS handshake", err)
	}
	c.w.conn, c.w.br = t, bufio.NewReaderSize(t, bufferSize)
	c.secure = true
	return nil
}

// run does one exchange. It closes the connection when ctx ends, and it is the one place that
// decides whether the session goes on.
func (c *Client) run(ctx context.Context, exchange func() error) error {
	if c.ended {
		return &fetch.Error{Kind: fetch.Unreachable, Op: "session", Err: errors.New("the session has ended")}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.w.ctx = ctx
	stop := context.AfterFunc(ctx, c.Abort)
	err := exchange()
	if fetch.IsOutOfStep(err) && c.opts.OutOfStep != nil {
		c.opts.OutOfStep(fetch.HungUp(err))
	}
	if !stop() || fetch.EndsSession(err) {
		c.ended = true
		c.Abort()
	}
	return err
}

// Settle implements [fetch.Mailbox]. POP3 knows Keep, which does nothing, and
// Delete; the others are of Kind Unsupported.
func (c *Client) Settle(ctx context.Context, d fetch.Disposal, refs []fetch.Ref) ([]fetch.Failure, error) {
	switch d.Action {
	case fetch.Keep:
		return nil, nil
	case fetch.Delete:
	default:
		return nil, &fetch.Error{Kind: fetch.Unsupported, Op: "settle", Advice: "use IMAP",
			Err: errors.New("POP3 has neither flags nor folders")}
	}
	var failures []fetch.Failure
	err := c.run(ctx, func() error {
		ask := make([]fetch.Ref, 0, len(refs))
		for _, ref := range refs {
			switch {
			case !c.listed(ref):
				failures = append(failures, fetch.Failure{Ref: ref, Err: notListed("DELE")})
			case !c.deleted[ref.Seq]:
				ask = append(ask, ref)
			}
		}
		return c.pipeline("DELE", ask, func(ref fetch.Ref, r reply, _ bool) error {
			if r.ok {
				c.deleted[ref.Seq] = true
			} else {
				failures = append(failures, fetch.Failure{Ref: ref, Err: r.messageFailure("DELE")})
			}
			return nil
		})
	})
	return failures, err
}

// Close implements [fetch.Mailbox]: QUIT, upon which the server deletes (RFC 1939
// section 6). A refusal means that some messages may not have been deleted. Where there are none to delete, it means nothing.
func (c *Client) Close(ctx context.Context) error {
	lost := c.ended
	err := c.run(ctx, func() error {
		if len(c.deleted) == 0 {
			c.w.hurry(farewellPatience)
		}
		r, err := c.w.command("QUIT")
		if err != nil {
			return err
		}
		if !r.ok {
			return r.judged("QUIT", "", fetch.Refused)
		}
		return nil
	})
	if err == nil {
		// The reply is what counts; a failing close changes nothing.
		_ = c.w.conn.Close()
	}
	c.ended = true
	c.Abort()
	var said *fetch.Error
	harmless := !lost && len(c.deleted) == 0 && errors.As(err, &said)
	if harmless && said.Kind != fetch.Protocol { // octets without a place may be the rest of a message
		c.w.log.LogAttrs(ctx, slog.LevelInfo, "odd end of the session", slog.String("error", said.Error()))
		return nil
	}
	return err
}

// Leave implements [fetch.Mailbox]: no QUIT, so that the server does not enter the UPDATE state
// (RFC 1939 section 6). It deletes nothing then, not even what counts as fetched to it
// once it was retrieved.
func (c *Client) Leave(ctx context.Context) error {
	err := c.run(ctx, func() error {
		c.w.hangUp()
		return ctx.Err()
	})
	c.ended = true
	c.Abort()
	return err
}

// Abort implements [fetch.Mailbox]. It closes what lies under TLS, whose own end might block.
func (c *Client) Abort() {
	c.w.close.Do(func() {
		if t, ok := c.w.raw.(*tls.Conn); ok {
			_ = t.NetConn().Close()
			return
		}
		_ = c.w.raw.Close()
	})
}

// listed reports whether the listing has this very message under its number. A
// number alone names nothing: after another listing it may be another message.
func (c *Client) listed(ref fetch.Ref) bool {
	i, ok := slices.BinarySearchFunc(c.index, ref.Seq, func(e entry, number uint32) int { return cmp.Compare(e.number, number) })
	return ok && c.index[i].uid == ref.UID
}

func notListed(op string) *fetch.Error {
	return &fetch.Error{Kind: fetch.Gone, Op: op, Err: errors.New("not in the listing")}
}

// protocolError is a breach of the protocol, with the octets that show it.
func protocolError(op, why string, octets []byte) *fetch.Error {
	return &fetch.Error{Kind: fetch.Protocol, Op: op, Text: fetch.Sanitize(string(octets)), Err: fmt.Errorf("pop3: %s", why)}
}
