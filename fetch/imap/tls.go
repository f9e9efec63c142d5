package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/truehop/truehop/fetch"
)

// upgrade starts TLS after the OK to STARTTLS. What has arrived in plaintext after
// that line would be taken as if it came under TLS (response injection): fail.
// Everything the server said before is forgotten.
func (g *guard) upgrade(ctx context.Context, config *tls.Config) error {
	if n := g.br.Buffered(); n > 0 {
		return tlsError("STARTTLS", fmt.Sprintf("%d octets of plaintext after the reply", n))
	}
	t := tls.Client(g.raw, config)
	if err := g.handshake(ctx, t); err != nil {
		return err
	}
	g.br = bufio.NewReaderSize(readerFunc(g.receive), 32<<10)
	g.lex = lexer{limit: g.lex.limit, uidOf: g.lex.uidOf}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conn = t
	g.notes = notes{arrived: g.notes.arrived}
	return nil
}

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

// connectionState describes the connection under TLS, nil without.
func (g *guard) connectionState() *tls.ConnectionState {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	state := t.ConnectionState()
	return &state
}

// handshakeError distinguishes a peer that cannot be trusted from one that went away.
func handshakeError(err error) error {
	e := &fetch.Error{Kind: fetch.TLS, Op: "TLS handshake", Err: err}
	var (
		record  tls.RecordHeaderError
		unknown x509.UnknownAuthorityError
		network net.Error
	)
	switch {
	case errors.As(err, &record):
		e.Advice = "this port does not speak TLS; is it one for STARTTLS?"
	case errors.As(err, &unknown):
		e.Advice = "the certificate's authority is not trusted here"
	case errors.As(err, &network) && network.Timeout():
		e.Kind = fetch.Unreachable
	}
	return e
}
