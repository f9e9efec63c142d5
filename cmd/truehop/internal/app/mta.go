package app

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/inject"
)

// pools are the sessions with the listeners of one target. Targets share none, whatever their addresses.
type pools struct {
	target *config.Target
	// authorities is what the file of its authorities held.
	authorities []byte
	traced      bool
	mta         *inject.Pool
	// plain is the way to its listener plain, nil where there is none.
	plain *inject.Pool
	// users are the passes that use them.
	users sync.WaitGroup
}

// openPools readies the ways to all targets; it connects to nobody. Those to targets that were the same before, as
// were the authorities that may vouch for them, are taken over.
func openPools(cfg *config.Config, o Options, before map[string]*pools) (map[string]*pools, error) {
	all := map[string]*pools{}
	for _, in := range cfg.Targets() {
		trusted := authorities(in) // read before they are put in force: of two changes close together none is missed
		old := before[in.Name]
		same := old != nil && old.target.Same(in)
		isReread := same && old.target != in // else accounts of a table have changed alone, and no file is looked at
		if isReread {
			same = bytes.Equal(old.authorities, trusted)
		}
		if same && o.Trace == nil && !old.traced {
			all[in.Name] = old
			continue
		}
		dial, options, err := MTA(in)
		if err != nil {
			for _, p := range all {
				if p != before[p.target.Name] {
					err = errors.Join(err, p.close(context.Background())) // idle
				}
			}
			return nil, err
		}
		options.Trace = o.Trace
		if o.Reset != nil {
			options.OnReset = func() { o.Reset(in.Name) }
		}
		p := &pools{target: in, authorities: trusted, traced: o.Trace != nil, mta: inject.NewPool(reporting(dial, in.Name, o.Session), options)}
		if in.Plain != (config.Endpoint{}) {
			dial, options := Plain(in)
			p.plain = inject.NewPool(reporting(dial, in.Name, o.Session), options)
		}
		all[in.Name] = p
	}
	return all, nil
}

// authorities returns what the file of a target's authorities holds, nil where there is none or it cannot be read, which [MTA] tells.
func authorities(in *config.Target) []byte {
	if in.TLS == config.NoTLS || in.TLSCAFile == "" {
		return nil
	}
	held, err := os.ReadFile(in.TLSCAFile)
	if err != nil {
		return nil
	}
	return held
}

// reporting is dial that reports each connection.
func reporting(dial inject.Dialer, target string, report func(target string)) inject.Dialer {
	if report == nil {
		return dial
	}
	return func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		if err == nil {
			report(target)
		}
		return conn, err
	}
}

// close ends the sessions.
func (p *pools) close(ctx context.Context) error {
	err := p.mta.Close(ctx)
	if p.plain != nil {
		err = errors.Join(err, p.plain.Close(ctx))
	}
	return err
}

// MTA returns the way to a target and how to speak there.
func MTA(in *config.Target) (inject.Dialer, inject.Options, error) {
	o := dialogue(in)
	o.TLSHint = func(err error) string { return tlsHint(err, in.Section(), cmp.Or(in.TLSServerName, in.Address.Host())) }
	plain := dialEndpoint(in.Address)
	if in.TLS == config.NoTLS {
		return plain, o, nil
	}
	secure, err := tlsConfig(in.Section(), cmp.Or(in.TLSServerName, in.Address.Host()), in.TLSCAFile, config.TLS12)
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
// before proves nothing any more. Nor does it prove anything of another target at the same address. No name holds a
// colon, and every address does.
func Target(in *config.Target) string {
	way := fmt.Sprintf("%s %s %s xclient:%s", in.Address, in.Protocol, in.Carrier, in.XClient)
	if in.Name == config.MainTarget {
		return way
	}
	return in.Name + " " + way
}

// Plain returns the way to a target's listener plain and how to speak there. Where accounts have all their mail go there, it
// takes as much as the other does.
func Plain(in *config.Target) (inject.Dialer, inject.Options) {
	return dialEndpoint(in.Plain), inject.Options{XCLIENT: inject.Off, Hello: in.Hello, DSN: inject.DSNNever, Connections: in.Connections}
}

// dialogue is how to speak with the MTA, but for TLS.
func dialogue(in *config.Target) inject.Options {
	o := inject.Options{
		Dialect: in.Protocol, XCLIENT: in.XClient, Carrier: in.Carrier, DSN: in.DSN, EightBit: in.EightBit, NUL: in.NUL,
		Hello: in.Hello, Connections: in.Connections, Chunking: in.Chunking,
		Never: neverPresented(in),
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

// neverPresented are the networks that a target is never shown, beside the special ones.
func neverPresented(in *config.Target) []netip.Prefix {
	return append(ownAddresses(), in.NeverPresent...)
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
		conn, err := d.DialContext(ctx, e.Network, e.Address)
		if err != nil {
			return nil, &dialError{err, listenerHint(err, e)}
		}
		return conn, nil
	}
}
