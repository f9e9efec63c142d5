// Package imap is an IMAP4rev1 client that implements [fetch.Mailbox] over go-imap:
// ESEARCH (RFC 4731), UIDPLUS (RFC 4315), MOVE (RFC 6851), IDLE (RFC 2177), each
// where the server offers it. The library parses. The guard between it and the connection keeps
// deadlines and bounds, as the library's own do not hold.
package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/sasl"
)

// Options say how to open a session. The zero value of each field but
// Credentials is usable.
type Options struct {
	// Credentials prove the user.
	Credentials sasl.Credentials
	// Secure says that the connection is already under TLS, or as good as that.
	Secure bool
	// StartTLS asks for STARTTLS, which is then required; TLS configures it and
	// must have ServerName set.
	StartTLS bool
	TLS      *tls.Config
	// MaxSize is the largest message to download, in octets; 0 means no limit.
	MaxSize int64
	// MaxMessages bounds a listing; 0 means 1,000,000.
	MaxMessages int
	// Marks has each listing say which messages carry [fetch.DeliveredKeyword].
	Marks bool
	// PlainExpunge allows EXPUNGE where the server has no UIDPLUS, if nothing is marked \Deleted but what is to go.
	PlainExpunge bool
	// CreateFolders has the target of Move created where it does not exist.
	CreateFolders bool
	// OneByOne opens a folder by one command at a time.
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
	opts   Options
	g      *guard
	lib    *imapclient.Client
	secure bool
	caps   map[string]bool // in upper case
	box    *box            // the open folder, nil if there is none
	silent bool            // IDLE is refused, or announces nothing

	// unannounced is how many times mail was found that IDLE had not announced, since it has announced some.
	unannounced int

	identified bool // the server was told who its client is

	mechanism string   // what proved the user, "" after PREAUTH
	refused   []string // what the server refused before

	mu    sync.Mutex // held by the method that runs
	ended bool
}

// New reads the greeting, asks for CAPABILITY and STARTTLS where they are needed, and
// authenticates. It owns conn from then on and closes it on failure. Errors are
// [*fetch.Error] or the context's.
//
// Nothing that proves the user is sent unless the connection is secure, STARTTLS has
// made it so, or Credentials.AllowPlaintext is set.
func New(ctx context.Context, conn net.Conn, opts Options) (*Client, error) {
	opts.Timeouts = opts.Timeouts.WithDefaults()
	if opts.MaxMessages <= 0 {
		opts.MaxMessages = 1_000_000
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		opts:   opts,
		g:      newGuard(conn, opts),
		secure: opts.Secure,
	}
	if err := c.run(ctx, 0, func() error { return c.login(ctx) }); err != nil {
		c.Abort()
		return nil, err
	}
	return c, nil
}

// Mechanism returns the mechanism or command that proved the user, "" if none was needed, and those that the server refused before.
func (c *Client) Mechanism() (used string, refused []string) { return c.mechanism, c.refused }

// Has reports whether the server offers a capability, "MOVE" for one, in upper case.
func (c *Client) Has(name string) bool {
	if c.caps[name] {
		return true
	}
	if !c.caps["IMAP4REV2"] {
		return false
	}
	switch name { // RFC 9051 appendix E: they are part of IMAP4rev2
	case "UIDPLUS", "MOVE", "ESEARCH", "IDLE", "SASL-IR":
		return true
	}
	return false
}

// run makes one call. It closes the connection when ctx ends, and it is the one place that
// decides whether the session goes on. messages is the number of messages that the call is
// about: it bounds how much the server may send.
func (c *Client) run(ctx context.Context, messages int, call func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return &fetch.Error{Kind: fetch.Unreachable, Op: "session", Err: errors.New("the session has ended")}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.g.fail(errAborted) })
	c.g.begin(messages)
	err := call()
	c.g.end()
	if fetch.IsOutOfStep(err) && c.opts.OutOfStep != nil {
		c.opts.OutOfStep(fetch.HungUp(err))
	}
	if !stop() {
		err = ctx.Err()
	}
	if c.g.why() != nil || fetch.EndsSession(err) {
		c.finish()
	}
	return err
}

// finish ends the session and waits for the library's goroutine. No literal may
// be open then: the goroutine would wait for its reader.
func (c *Client) finish() {
	c.ended = true
	c.g.fail(errAborted)
	if c.lib != nil {
		_ = c.lib.Close() // why is known
	}
}

// Close implements [fetch.Mailbox]. What Settle did was final when it returned, so nobody waits for the answer to LOGOUT.
func (c *Client) Close(ctx context.Context) error {
	err := c.run(ctx, 0, func() error {
		c.lib.Logout()
		c.g.hangUp()
		return nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish()
	return err
}

// Leave implements [fetch.Mailbox]. In IMAP nothing waits for the end of a session, so Leave is Close.
func (c *Client) Leave(ctx context.Context) error { return c.Close(ctx) }

// Abort implements [fetch.Mailbox].
func (c *Client) Abort() {
	c.g.fail(errAborted)
	// A method that is running finishes by itself.
	if c.mu.TryLock() {
		defer c.mu.Unlock()
		c.finish()
	}
}
