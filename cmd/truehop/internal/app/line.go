package app

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// reach makes the connection to an account's upstream, without TLS: by a program, through a proxy, or directly.
// Errors are [*fetch.Error], [*config.SecretError] or the context's.
func reach(ctx context.Context, a *config.Account, log *slog.Logger) (net.Conn, error) {
	if len(a.ConnectCommand) > 0 {
		conn, err := startCommand(a.ConnectCommand, a.CommandEnv(), log)
		if err != nil {
			return nil, &fetch.Error{Kind: fetch.Unreachable, Op: "connect_command", Err: err}
		}
		return conn, nil
	}
	return reachBy(ctx, a, Way(a))
}

// tcpDialer makes TCP connections, also for package proxy.
type tcpDialer interface {
	proxy.Dialer
	proxy.ContextDialer
}

// reachBy makes a TCP connection to an account's upstream, through its proxy if it has one, in the time that the account allows.
func reachBy(ctx context.Context, a *config.Account, way tcpDialer) (net.Conn, error) {
	limit := cmp.Or(a.ConnectTimeout, connectTime)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no connection within %v (connect_timeout)", limit))
	defer cancel()
	if a.Proxy == (config.Proxy{}) {
		conn, err := way.DialContext(ctx, "tcp", a.Addr())
		if err != nil {
			return nil, unreachable(ctx, a, "connect to "+a.Addr(), err)
		}
		return conn, nil
	}
	password, err := a.ProxyPassword()
	if err != nil {
		return nil, err
	}
	connect := socks5
	if a.Proxy.Scheme == "http" {
		connect = httpConnect
	}
	conn, err := connect(ctx, way, a, password) // the proxy looks up the upstream's name
	if err == nil {
		return conn, nil
	}
	op := fmt.Sprintf("connect to %s through %s", a.Addr(), a.Proxy)
	var answered *fetch.Error
	if !errors.As(err, &answered) {
		return nil, unreachable(ctx, a, op, err)
	}
	answered.Op = op
	return nil, answered
}

// OnFamily dials on one family of addresses, whatever network it is asked for.
type OnFamily struct {
	net.Dialer
	// Network is tcp, tcp4 or tcp6.
	Network string
}

// Way is how TCP connections for an account are made: to its upstream, or to the proxy on the way there.
func Way(a *config.Account) OnFamily {
	w := OnFamily{net.Dialer{KeepAlive: keepAlive, Timeout: a.ConnectTimeout}, "tcp"}
	switch a.AddressFamily {
	case config.IPv4Only:
		w.Network = "tcp4"
	case config.IPv6Only:
		w.Network = "tcp6"
	}
	if a.SourceAddress.IsValid() {
		w.LocalAddr = &net.TCPAddr{IP: a.SourceAddress.AsSlice(), Zone: a.SourceAddress.Zone()}
	}
	return w
}

// Dial completes [proxy.Dialer]; the proxy's client uses DialContext.
func (w OnFamily) Dial(network, addr string) (net.Conn, error) {
	return w.DialContext(context.Background(), network, addr)
}

// DialContext connects to addr.
func (w OnFamily) DialContext(ctx context.Context, _, addr string) (net.Conn, error) {
	return w.Dialer.DialContext(ctx, w.Network, addr)
}

// unreachable is the error of a connection that was not made. Where our own limit ended it, that is the reason.
func unreachable(ctx context.Context, a *config.Account, op string, err error) error {
	// A deadline of the connection is ours, and the context's, which ends in the same moment.
	if deadline, ok := ctx.Deadline(); ok && errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(deadline) {
		<-ctx.Done()
	}
	if cause := context.Cause(ctx); ctx.Err() != nil {
		if errors.Is(cause, context.Canceled) {
			return cause
		}
		err = cause
	}
	return &fetch.Error{Kind: fetch.Unreachable, Op: op, Err: err, Advice: upstreamHint(err, a)}
}

// socks5 is RFC 1928, and RFC 1929 where the proxy wants a user.
func socks5(ctx context.Context, way tcpDialer, a *config.Account, password config.Secret) (net.Conn, error) {
	var login *proxy.Auth
	if a.Proxy.User != "" {
		login = &proxy.Auth{User: a.Proxy.User, Password: password.Reveal()}
	}
	through, err := proxy.SOCKS5("tcp", a.Proxy.Address, login, way)
	if err != nil {
		return nil, err
	}
	dialer, ok := through.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("this SOCKS5 client cannot be interrupted")
	}
	conn, err := dialer.DialContext(ctx, "tcp", a.Addr())
	if err != nil && strings.Contains(err.Error(), "username/password") { // the package has no error of its own for it
		return nil, proxyLogin(a, err.Error())
	}
	return conn, err
}

// proxyLogin is the error of a proxy that refuses its user. It wants a person.
func proxyLogin(a *config.Account, text string) *fetch.Error {
	return &fetch.Error{Kind: fetch.Auth, Text: fetch.Sanitize(text),
		Advice: fmt.Sprintf("correct the user in accounts.%s.proxy, or proxy_password_file", a.Name)}
}

// maxProxyReply bounds the head of a proxy's answer, in octets.
const maxProxyReply = 16 << 10

// httpConnect is CONNECT of RFC 9110 section 9.3.6.
func httpConnect(ctx context.Context, way tcpDialer, a *config.Account, password config.Secret) (_ net.Conn, err error) {
	conn, err := way.DialContext(ctx, "tcp", a.Proxy.Address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if !stop() && err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			_ = conn.Close()
		}
	}()
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: a.Addr()}, Host: a.Addr(), Header: http.Header{}}
	if a.Proxy.User != "" {
		login := a.Proxy.User + ":" + password.Reveal()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(login))) // RFC 7617
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	head := &io.LimitedReader{R: conn, N: maxProxyReply}
	read := bufio.NewReader(head)
	reply, err := http.ReadResponse(read, request)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the proxy's answer is none of HTTP: %w", err)
	case reply.StatusCode == http.StatusProxyAuthRequired:
		return nil, proxyLogin(a, reply.Status)
	case reply.StatusCode/100 != 2:
		return nil, &fetch.Error{Kind: fetch.Unreachable, Text: fetch.Sanitize(reply.Status)}
	}
	// What the upstream said already lies behind the head.
	early, _ := read.Peek(read.Buffered())
	return &startedConn{Conn: conn, early: early}, nil
}

// startedConn is a connection of which some octets were read already.
type startedConn struct {
	net.Conn
	early []byte
}

func (c *startedConn) Read(p []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.early)
	c.early = c.early[n:]
	return n, nil
}

// CloseWrite closes this side's half, where the connection has halves: without it a server does not notice that the session is over
// as long as truehop waits for it to notice.
func (c *startedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// fits reports whether the first of the certificates, which is the server's, is one of the pins or has its key.
func fits(presented []*x509.Certificate, pins []config.Pin) error {
	if len(presented) == 0 {
		return errors.New("the server shows no certificate")
	}
	certificate := config.Pin(sha256.Sum256(presented[0].Raw))
	key := config.Pin(sha256.Sum256(presented[0].RawSubjectPublicKeyInfo))
	if slices.Contains(pins, certificate) || slices.Contains(pins, key) {
		return nil
	}
	return &tls.CertificateVerificationError{UnverifiedCertificates: presented, Err: &pinError{certificate: certificate, key: key}}
}

// pinError says that a server's certificate is none of the pins.
type pinError struct{ certificate, key config.Pin }

func (e *pinError) Error() string {
	return fmt.Sprintf("the certificate fits none of tls_pins: it is %s, its key %s", e.certificate, e.key)
}
