package app

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/inject"
)

// MTA returns the way to the MTA and how to speak there.
func MTA(cfg *config.Config) (inject.Dialer, inject.Options, error) {
	in := &cfg.Inject
	o := dialogue(in)
	o.TLSHint = func(err error) string { return tlsHint(err, "inject", cmp.Or(in.TLSServerName, in.Address.Host())) }
	plain := dialEndpoint(in.Address)
	if in.TLS == config.NoTLS {
		return plain, o, nil
	}
	secure, err := tlsConfig("inject", cmp.Or(in.TLSServerName, in.Address.Host()), in.TLSCAFile, config.TLS12)
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
		conn, err = handshake(ctx, conn, secure, connectTime)
		if err != nil {
			return nil, &inject.Error{Kind: inject.TLS, Op: "connect", Text: "TLS with " + in.Address.String(), Err: err}
		}
		return conn, nil
	}, o, nil
}

// Target names the MTA and the way in which it is shown clients: where one of them changes, what it made of clients
// before proves nothing any more.
func Target(in *config.Inject) string {
	return fmt.Sprintf("%s %s %s xclient:%s", in.Address, in.Protocol, in.Carrier, in.XClient)
}

// Plain returns the way to inject.plain and how to speak there.
func Plain(in *config.Inject) (inject.Dialer, inject.Options) {
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
	return func(ctx context.Context) (net.Conn, error) { return dial(ctx, e.Network, e.Address) }
}
