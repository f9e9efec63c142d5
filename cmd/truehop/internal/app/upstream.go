package app

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/pop3"
	upstream "github.com/truehop/truehop/fetch/sasl"
)

// Upstream opens an authenticated session with an account's upstream. log, if not nil, gets what is
// odd about the server, and at debug level the dialogue without secrets.
func Upstream(ctx context.Context, a *config.Account, log *slog.Logger) (fetch.Mailbox, error) {
	return connect(ctx, a, log, nil)
}

// Examine is Upstream that calls secured when TLS has begun and the certificate is good.
func Examine(ctx context.Context, a *config.Account, secured func(tls.ConnectionState)) (fetch.Mailbox, error) {
	return explained(a)(logIn(ctx, a, nil, nil, secured))
}

// connect is Upstream that calls outOfStep, if not nil, where the server does not bear commands that are sent together.
func connect(ctx context.Context, a *config.Account, log *slog.Logger, outOfStep func(hungUp bool)) (fetch.Mailbox, error) {
	return explained(a)(logIn(ctx, a, log, outOfStep, nil))
}

// explained adds to the error of a login what to do about it.
func explained(a *config.Account) func(fetch.Mailbox, error) (fetch.Mailbox, error) {
	return func(mailbox fetch.Mailbox, err error) (fetch.Mailbox, error) {
		var refused *fetch.Error
		if errors.As(err, &refused) && refused.Kind == fetch.Auth && refused.Advice == "" {
			refused.Advice = loginHint(a)
		}
		if errors.As(err, &refused) && refused.Kind == fetch.TLS {
			refused.Advice = cmp.Or(tlsHint(err, "accounts."+a.Name, a.Host), refused.Advice)
		}
		return mailbox, err
	}
}

// logIn is connect without its hint.
func logIn(ctx context.Context, a *config.Account, log *slog.Logger, outOfStep func(hungUp bool), secured func(tls.ConnectionState)) (fetch.Mailbox, error) {
	if log != nil {
		log = log.With("account", a.Name)
	}
	proof, err := Prove(ctx, a)
	if err != nil {
		return nil, err
	}
	secure, err := UpstreamTLS(a)
	if err != nil {
		return nil, err
	}
	if secured != nil {
		verify := secure.VerifyConnection
		secure.VerifyConnection = func(state tls.ConnectionState) error {
			if verify != nil {
				if err := verify(state); err != nil {
					return err
				}
			}
			secured(state)
			return nil
		}
	}
	return logInBy(ctx, a, proof, secure, log, outOfStep)
}

// logInBy logs in by what is shown. An access token that the server refuses is renewed once: it may have ended before its
// time, or the clocks differ.
func logInBy(ctx context.Context, a *config.Account, proof *Proof, secure *tls.Config, log *slog.Logger, outOfStep func(hungUp bool)) (fetch.Mailbox, error) {
	if err := proof.fetch(ctx); err != nil {
		return nil, err
	}
	mailbox, err := open(ctx, a, proof.Credentials, secure, log, outOfStep)
	if fetch.KindOf(err) != fetch.Auth {
		return mailbox, err
	}
	again, cause := proof.renewed(ctx)
	switch {
	case cause != nil:
		return nil, cause
	case !again:
		return nil, err
	}
	return open(ctx, a, proof.Credentials, secure, log, outOfStep)
}

// open connects and authenticates. A POP3 server that hangs up at CAPA is connected to once more, and not asked for it.
func open(ctx context.Context, a *config.Account, credentials upstream.Credentials, secure *tls.Config, log *slog.Logger, outOfStep func(hungUp bool)) (fetch.Mailbox, error) {
	mailbox, err := openOnce(ctx, a, credentials, secure, log, outOfStep, false)
	if errors.Is(err, pop3.ErrHungUpAtCAPA) {
		return openOnce(ctx, a, credentials, secure, log, outOfStep, true)
	}
	return mailbox, err
}

func openOnce(ctx context.Context, a *config.Account, credentials upstream.Credentials, secure *tls.Config, log *slog.Logger, outOfStep func(hungUp bool), noCAPA bool) (fetch.Mailbox, error) {
	conn, err := reach(ctx, a, log)
	if err != nil {
		return nil, err
	}
	if a.TLS == config.ImplicitTLS {
		if conn, err = handshake(ctx, conn, secure, cmp.Or(a.ConnectTimeout, connectTime)); err != nil {
			refused := &fetch.Error{Kind: handshakeKind(err), Op: "TLS with " + a.Addr(), Err: err}
			var plain tls.RecordHeaderError
			if errors.As(err, &plain) {
				refused.Advice = fmt.Sprintf("port %d does not speak TLS from the start; for STARTTLS set accounts.%s.tls: starttls and its port", a.Port, a.Name)
			}
			return nil, refused
		}
	}
	if a.TLS == config.StartTLS && len(a.ConnectCommand) == 0 {
		if conn, err = greeted(ctx, conn, a, cmp.Or(a.ConnectTimeout, connectTime)); err != nil {
			return nil, err
		}
	}
	if a.Protocol == config.POP3 {
		o := POP3Options(a, credentials, secure, log)
		o.OutOfStep, o.NoCAPA = outOfStep, noCAPA
		return opened(pop3.New(ctx, conn, o))
	}
	o := IMAPOptions(a, credentials, secure, log)
	o.OutOfStep = outOfStep
	return opened(imap.New(ctx, conn, o))
}

// handshakeKind tells a server that went away, or says nothing, from one that cannot be trusted.
func handshakeKind(err error) fetch.Kind {
	var network net.Error
	silent := errors.As(err, &network) && network.Timeout()
	gone := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	if silent || gone || errors.Is(err, context.Canceled) {
		return fetch.Unreachable
	}
	return fetch.TLS
}

// greeted waits for the first octet of the greeting, and returns a connection that begins with it. A server that waits for TLS says
// nothing, and its port need not be waited for as long as one that is busy. It closes the connection when it fails.
func greeted(ctx context.Context, conn net.Conn, a *config.Account, limit time.Duration) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	first := make([]byte, 1)
	err := conn.SetReadDeadline(time.Now().Add(limit))
	if err == nil {
		_, err = io.ReadFull(conn, first)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	if err == nil {
		return &startedConn{Conn: conn, early: first}, nil
	}
	_ = conn.Close() // the error of the read is the one that says something
	e := &fetch.Error{Kind: fetch.Unreachable, Op: "greeting", Err: err}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e.Err = fmt.Errorf("%s says nothing within %v", a.Addr(), limit)
		e.Advice = fmt.Sprintf("the port may want TLS from the start: set accounts.%s.tls: implicit, or its port to the one for STARTTLS", a.Name)
	}
	return nil, e
}

// UpstreamTLS says how TLS with an account's upstream is made.
func UpstreamTLS(a *config.Account) (*tls.Config, error) {
	c, err := tlsConfig("accounts."+a.Name, cmp.Or(a.TLSServerName, a.Host), a.TLSCAFile, a.TLSMinVersion)
	if err != nil {
		return nil, err
	}
	if len(a.TLSPins) > 0 {
		// VerifyConnection takes the place of the check against the system's authorities, of which a self-made certificate
		// knows nothing; with authorities of its own the configuration asks for both.
		c.InsecureSkipVerify = c.RootCAs == nil
		c.VerifyConnection = func(state tls.ConnectionState) error { return fits(state.PeerCertificates, a.TLSPins) }
	}
	own, err := a.Certificate()
	if err != nil {
		return nil, err
	}
	if own != nil {
		c.Certificates = []tls.Certificate{*own}
	}
	return c, nil
}

// protected reports whether the connection is under TLS from the start, or made by a program that sees to it.
func protected(a *config.Account) bool {
	if a.TLS == config.NoTLS {
		return len(a.ConnectCommand) > 0
	}
	return a.TLS == config.ImplicitTLS
}

// IMAPOptions says how to speak with an IMAP upstream.
func IMAPOptions(a *config.Account, credentials upstream.Credentials, secure *tls.Config, log *slog.Logger) imap.Options {
	return imap.Options{
		Credentials: credentials, MaxSize: int64(a.MaxSize), Marks: a.MarkDelivered, Logger: log,
		PlainExpunge: a.PlainExpunge, CreateFolders: a.CreateFolders,
		Secure: protected(a), StartTLS: a.TLS == config.StartTLS, TLS: secure, Timeouts: fetch.Timeouts{Idle: a.Timeout},
		OneByOne: a.Pipelining == config.NoPipelining,
	}
}

// POP3Options says how to speak with a POP3 upstream.
func POP3Options(a *config.Account, credentials upstream.Credentials, secure *tls.Config, log *slog.Logger) pop3.Options {
	return pop3.Options{
		Credentials: credentials, MaxSize: int64(a.MaxSize), Logger: log,
		Secure: protected(a), StartTLS: a.TLS == config.StartTLS, TLS: secure, Timeouts: fetch.Timeouts{Idle: a.Timeout},
		OneByOne: a.Pipelining == config.NoPipelining,
	}
}

// opened keeps a nil client of a concrete type from becoming a Mailbox that is not nil.
func opened[M fetch.Mailbox](m M, err error) (fetch.Mailbox, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}
