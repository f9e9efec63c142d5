package imap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/truehop/truehop/fetch"
)

// handshake makes TLS within one idle time.
func (g *guard) handshake(ctx context.Context, t *tls.Conn) error {
	if err := t.SetDeadline(time.Now().Add(g.t.Idle)); err != nil {
		return handshakeError(err)
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return handshakeError(err)
	}
	if err := t.SetDeadline(time.Time{}); err != nil {
		return handshakeError(err)
	}
	return nil
}

// handshakeError distinguishes a peer that cannot be trusted from one that went away.
func handshakeError(err error) error {
	e := &fetch.Error{Kind: fetch.TLS, Op: "TLS handshake", Err: err}
	var (
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		network net.Error
	)
	closed := []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE} // by the peer
	switch {
	case errors.As(err, &record):
		e.Advice = "this port does not speak TLS; is it one for STARTTLS?"
	case errors.As(err, &unknown):
		e.Advice = "the certificate's authority is not trusted here"
	case errors.As(err, &network) && network.Timeout(), slices.ContainsFunc(closed, func(end error) bool { return errors.Is(err, end) }):
		e.Kind = fetch.Unreachable
	}
	return e
}
