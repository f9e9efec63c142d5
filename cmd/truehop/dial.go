package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/pop3"
	upstream "github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/rdns"
)

const (
	// connectTime bounds a TCP connection with all addresses of the host, and a handshake after it.
	connectTime = 30 * time.Second
	// keepAlive finds dead peers behind NAT boxes that forget idle connections.
	keepAlive = time.Minute
)

// configOptions is what the configuration depends on beside its file.
func configOptions() config.Options { return config.Options{Environ: os.Environ()} }

// readConfig loads the configuration.
func (p *program) readConfig() (*config.Config, error) {
	return config.Load(p.configPath, configOptions())
}

// tlsConfig returns a configuration that verifies host against the system's authorities, or
// against those in caFile alone, which the key below section names.
func tlsConfig(section, host, caFile string, oldest config.TLSVersion) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: uint16(oldest)}
	if caFile == "" {
		return c, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, &config.Error{Problems: []config.Problem{{Key: section + ".tls_ca_file", Text: err.Error()}}, Err: err}
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, &config.Error{Problems: []config.Problem{{Key: section + ".tls_ca_file", Text: caFile + " holds no certificate in PEM form"}}}
	}
	return c, nil
}

// upstreamTLS says how TLS with an account's upstream is made.
func upstreamTLS(a *config.Account) (*tls.Config, error) {
	return tlsConfig("accounts."+a.Name, cmp.Or(a.TLSServerName, a.Host), a.TLSCAFile, a.TLSMinVersion)
}

// dialUpstream opens an authenticated session with an account's upstream. log, if not nil, gets what is
// odd about the server, and at debug level the dialogue without secrets.
func dialUpstream(ctx context.Context, a *config.Account, log *slog.Logger) (fetch.Mailbox, error) {
	mailbox, err := logIn(ctx, a, log)
	var refused *fetch.Error
	if errors.As(err, &refused) && refused.Kind == fetch.Auth && refused.Hint == "" {
		refused.Hint = fmt.Sprintf("correct accounts.%s.user or the password; many providers want one made for programs, and %s switched on", a.Name, strings.ToUpper(a.Protocol.String()))
	}
	return mailbox, err
}

// logIn is dialUpstream without advice.
func logIn(ctx context.Context, a *config.Account, log *slog.Logger) (fetch.Mailbox, error) {
	if log != nil {
		log = log.With("account", a.Name)
	}
	password, err := a.Password(ctx)
	if err != nil {
		return nil, err
	}
	secure, err := upstreamTLS(a)
	if err != nil {
		return nil, err
	}
	conn, err := dialTCP(ctx, a.Addr())
	if err != nil {
		return nil, &fetch.Error{Kind: fetch.Unreachable, Op: "connect to " + a.Addr(), Err: err}
	}
	if a.TLS == config.ImplicitTLS {
		if conn, err = handshake(ctx, conn, secure); err != nil {
			return nil, &fetch.Error{Kind: fetch.TLS, Op: "TLS with " + a.Addr(), Err: err, Hint: tlsHint(err, a)}
		}
	}
	if a.Protocol == config.POP3 {
		return opened(pop3.New(ctx, conn, pop3Options(a, password, secure, log)))
	}
	return opened(imap.New(ctx, conn, imapOptions(a, password, secure, log)))
}

// imapOptions says how to speak with an IMAP upstream.
func imapOptions(a *config.Account, password config.Secret, secure *tls.Config, log *slog.Logger) imap.Options {
	return imap.Options{
		Credentials: credentials(a, password), MaxSize: int64(a.MaxSize), Logger: log,
		Secure: a.TLS == config.ImplicitTLS, StartTLS: a.TLS == config.StartTLS, TLS: secure,
	}
}

// pop3Options says how to speak with a POP3 upstream.
func pop3Options(a *config.Account, password config.Secret, secure *tls.Config, log *slog.Logger) pop3.Options {
	return pop3.Options{
		Credentials: credentials(a, password), MaxSize: int64(a.MaxSize), Logger: log,
		Secure: a.TLS == config.ImplicitTLS, StartTLS: a.TLS == config.StartTLS, TLS: secure,
	}
}

func credentials(a *config.Account, password config.Secret) upstream.Credentials {
	return upstream.Credentials{User: a.User, Password: password.Reveal(), Mechanism: a.Auth, AllowPlaintext: a.AllowPlaintext}
}

// opened keeps a nil client of a concrete type from becoming a Mailbox that is not nil.
func opened[M fetch.Mailbox](m M, err error) (fetch.Mailbox, error) {
	if err != nil {
		return nil, err
	}
	return m, nil
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTime, KeepAlive: keepAlive}
	return d.DialContext(ctx, "tcp", addr)
}

// handshake begins TLS. It closes the connection when it fails.
func handshake(ctx context.Context, conn net.Conn, c *tls.Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close() // the handshake's error is the one that says something
		return nil, err
	}
	return secure, nil
}

// tlsHint says what to do about a handshake that failed, where that can be told.
func tlsHint(err error, a *config.Account) string {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("if %s has an authority of its own, name its certificate: accounts.%s.tls_ca_file", a.Host, a.Name)
	case errors.As(err, &host):
		return fmt.Sprintf("set accounts.%s.host or tls_server_name to a name that the certificate carries", a.Name)
	case errors.As(err, &plain):
		return fmt.Sprintf("port %d does not speak TLS from the start; for STARTTLS set accounts.%s.tls: starttls and its port", a.Port, a.Name)
	}
	return ""
}

// mtaOptions returns the way to the MTA and how to speak there.
func mtaOptions(cfg *config.Config) (inject.Dialer, inject.Options, error) {
	in := &cfg.Inject
	o := dialogue(in)
	plain := dialEndpoint(in.Address)
	if in.TLS == config.NoTLS {
		return plain, o, nil
	}
	name := in.TLSServerName
	if name == "" {
		name = in.Address.Host()
	}
	secure, err := tlsConfig("inject", name, in.TLSCAFile, config.TLS12)
	if err != nil {
		return nil, o, err
	}
	if in.TLS == config.StartTLS {
		o.StartTLS, o.TLSConfig = inject.StartTLS, secure
		return plain, o, nil
	}
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := plain(ctx)
		if err != nil {
			return nil, err
		}
		conn, err = handshake(ctx, conn, secure)
		if err != nil {
			return nil, &inject.Error{Kind: inject.TLS, Op: "connect", Text: "TLS with " + in.Address.String(), Err: err}
		}
		return conn, nil
	}, o, nil
}

// plainOptions returns the way to inject.plain and how to speak there.
func plainOptions(in *config.Inject) (inject.Dialer, inject.Options) {
	return dialEndpoint(in.Plain), inject.Options{XCLIENT: inject.Off, Hello: in.Hello, DSN: inject.DSNNever, Connections: 1}
}

// dialogue is how to speak with the MTA, but for TLS.
func dialogue(in *config.Inject) inject.Options {
	o := inject.Options{
		Dialect: in.Protocol, XCLIENT: in.XClient, Carrier: in.Carrier, DSN: in.DSN, EightBit: in.EightBit, NUL: in.NUL,
		Hello: in.Hello, Connections: in.Connections, Chunking: in.Chunking,
		Never: append(ownAddresses(), in.NeverPresent...),
	}
	if in.User != "" {
		o.Auth = func() (sasl.Client, error) {
			password, err := in.Password(context.Background())
			if err != nil {
				return nil, err
			}
			return sasl.NewPlainClient("", in.User, password.Reveal()), nil
		}
	}
	return o
}

// ownAddresses are those of this host: mail that claims to come from one of them must not get the
// rights that the MTA gives its own host. Where they cannot be listed, those that are always
// special remain, and what the configuration names.
func ownAddresses() []netip.Prefix {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	return own
}

// dialEndpoint returns the way to a listener, without TLS.
func dialEndpoint(e config.Endpoint) inject.Dialer {
	return func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: connectTime, KeepAlive: keepAlive}
		return d.DialContext(ctx, e.Network, e.Address)
	}
}

// resolverOptions says who is asked for the names of clients.
func resolverOptions(c config.Resolver) rdns.Options {
	o := rdns.Options{Timeout: c.Timeout}
	if c.Server != "" {
		o.Lookup = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, dnsAddress(c.Server))
		}}
	}
	return o
}

// dnsAddress adds the port that the configuration may leave out.
func dnsAddress(server string) string {
	if _, _, err := net.SplitHostPort(server); err == nil {
		return server
	}
	return net.JoinHostPort(server, "53")
}
