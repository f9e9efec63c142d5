package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/fetch"
	upstream "github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/transfer"
)

// generalWires are the keys of the top level, of the log and of the resolver.
func generalWires(p *wiringPlace) []wire {
	const text, json, journal = `time=`, `{"time":`, `<3>`
	shape := func(line string) string {
		for _, begin := range []string{text, json, journal} {
			if strings.HasPrefix(line, begin) {
				return begin
			}
		}
		return line
	}
	state := map[string]string{"state": "service=truehop"}
	table := map[string]string{"accounts_from": "postgres://nobody@/none"}
	unwatched := map[string]string{"accounts.NAME.idle": "false"} // a watcher that is told to end may have a slot for a moment
	return []wire{
		{key: "state_dir", wants: map[string]any{p.file("elsewhere"): nil}, at: func(*given) any {
			_, err := os.Stat(p.file("elsewhere/ledger.db"))
			return err
		}},
		{key: "state", wants: map[string]any{"postgres://truehop@localhost/truehop": "postgres://truehop@localhost/truehop"}, at: func(g *given) any { return g.state.URL }},
		{key: "lease", with: state, wants: map[string]any{"45s": 45 * time.Second}, at: func(g *given) any { return g.state.Term }},
		{key: "sending_wait", with: state, wants: map[string]any{"1h": time.Hour}, at: func(g *given) any { return g.state.DotOver }},
		{key: "state_password_file", with: state, wants: map[string]any{p.file("other.pass"): "other"}, at: func(g *given) any { return statePassword(g) }},
		{key: "state_password_command", with: state, wants: map[string]any{"[/bin/echo, printed]": "printed"}, at: func(g *given) any { return statePassword(g) }},
		{key: "state_password_credential", with: state, wants: map[string]any{"usual.pass": "usual"}, at: func(g *given) any { return statePassword(g) }},
		{key: "spool_dir", wants: map[string]any{p.file("spool"): p.file("spool")}, at: func(g *given) any { return g.pass.SpoolDir }},
		{key: "metrics", wants: map[string]any{"unix:" + p.file("metrics.sock"): http.StatusOK}, at: func(g *given) any { return scraped(g, p.file("metrics.sock")) }},
		{key: "metrics_public", wants: map[string]any{"false": "", "true": "0.0.0.0:9917"},
			also: map[string]map[string]string{"true": {"metrics": `"0.0.0.0:9917"`}}, at: func(g *given) any { return g.exposed.String() }},
		{key: "metrics_file", wants: map[string]any{p.file("run.prom"): true}, at: func(*given) any {
			err := os.Remove(p.file("run.prom"))
			return err == nil
		}},
		{key: "trouble_mail", with: map[string]string{"inject.plain": "unix:" + p.file("plain.sock"), "accounts.NAME.password_file": p.file("trouble.pass")},
			wants: map[string]any{"postmaster@example.org": "postmaster@example.org"}, at: func(g *given) any { return troubled(g, p) }},
		{key: "accounts_from", wants: map[string]any{"postgres://nobody@/none?host=" + p.dir: true}, at: func(g *given) any {
			_, err := app.WithAccounts(context.Background(), g.service.cfg) // who asks there finds no server
			return err != nil && strings.Contains(err.Error(), "database none at "+p.dir)
		}},
		{key: "accounts_key_file", with: table, wants: map[string]any{p.file("accounts.key"): nil}, at: func(g *given) any { _, err := g.service.cfg.AccountKeys(); return err }},
		{key: "accounts_key_credential", with: table, wants: map[string]any{"accounts.key": nil}, at: func(g *given) any { _, err := g.service.cfg.AccountKeys(); return err }},
		{key: "passes", wants: map[string]any{"7": [2]int{7, 8}}, at: func(g *given) any { return [2]int{g.loop.Parallel, g.state.Connections} }},
		{key: "passes_per_host", wants: map[string]any{"7": [2]any{7, "localhost:993"}}, at: func(g *given) any {
			return [2]any{g.loop.PerHost, g.loop.Accounts[0].Host}
		}},
		{key: "idle_connections", with: unwatched, wants: map[string]any{"7": 7}, at: func(g *given) any {
			return room(g.service.app.Idles(), func(n int) string { return fmt.Sprint(n) })
		}},
		{key: "idle_per_host", with: unwatched, wants: map[string]any{"7": 7}, at: func(g *given) any {
			return room(g.service.app.Idles(), func(int) string { return "localhost:993" })
		}},
		{key: "budget", wants: map[string]any{"3MiB": [3]any{int64(3 << 20), true, false}}, at: func(g *given) any {
			room := g.pass.Budget.TryAcquire(3 << 20)
			return [3]any{g.pass.BudgetSize, room, g.pass.Budget.TryAcquire(1)}
		}},
		{key: "log.level", wants: map[string]any{"debug": "DEBUG", "info": "INFO", "warn": "WARN", "error": "ERROR"}, at: func(g *given) any {
			for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
				if g.log.Enabled(context.Background(), level) {
					return level.String()
				}
			}
			return "none"
		}},
		{key: "log.format", wants: map[string]any{
			"auto": [2]string{text, journal}, "text": [2]string{text, text}, "json": [2]string{json, json}, "journal": [2]string{journal, journal},
		}, at: func(g *given) any { return [2]string{shape(g.lines[0]), shape(g.lines[1])} }},
		{key: "log.addresses", wants: map[string]any{"full": "<joe@example.com>", "domain": "<...@example.com>", "none": "-"}, at: func(g *given) any {
			_, rest, _ := strings.Cut(g.verdict, " sender=")
			shown, _, _ := strings.Cut(rest, " ")
			return shown
		}},
		{key: "resolver.server", wants: map[string]any{"127.0.0.5": "127.0.0.5:53", `"127.0.0.5:5353"`: "127.0.0.5:5353"}, at: func(g *given) any {
			r, ok := g.names.Lookup.(*net.Resolver)
			if !ok {
				return "the system's"
			}
			conn, err := r.Dial(context.Background(), "udp", "127.0.0.9:53")
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			return conn.RemoteAddr().String()
		}},
		{key: "resolver.timeout", wants: map[string]any{"7s": 7 * time.Second}, at: func(g *given) any { return g.names.Timeout }},
	}
}

// room is how many slots there are for the hosts named.
func room(slots *schedule.Slots, host func(n int) string) int {
	for n := 0; ; n++ {
		slot := slots.Ask(host(n))
		defer slot.Give()
		ctx, cancel := context.WithCancel(context.Background())
		if there := slot.Wait(ctx, func(time.Duration) { cancel() }); !there {
			return n
		}
		cancel()
	}
}

// troubled makes a pass whose password is gone, and returns who is written to about it, or what went wrong.
func troubled(g *given, p *wiringPlace) any {
	mta := injecttest.New(injecttest.Options{})
	if err := mta.Listen("unix", p.file("plain.sock")); err != nil {
		return err
	}
	secret, err := os.ReadFile(p.file("trouble.pass"))
	if err = errors.Join(err, os.Remove(p.file("trouble.pass")), os.RemoveAll(p.file("state/trouble"))); err != nil {
		return err
	}
	_, failed := g.service.app.Pass(context.Background(), g.service.account("work"), app.PassOptions{})
	if err := errors.Join(mta.Close(), os.WriteFile(p.file("trouble.pass"), secret, 0o600)); err != nil || failed == nil {
		return err
	}
	var to []string
	for _, m := range mta.Messages() {
		to = append(to, m.To...)
	}
	return strings.Join(to, " ")
}

// scraped asks the server of metrics on a socket, and returns its answer or what went wrong.
func scraped(g *given, socket string) any {
	exposer, err := g.service.expose(g.exposed)
	if exposer == nil {
		return err
	}
	defer func() { _ = exposer.Close() }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
	reply, err := client.Get("http://truehop/metrics")
	if err != nil {
		return err
	}
	_ = reply.Body.Close()
	return reply.StatusCode
}

// injectWires are the keys below inject.
func injectWires(p *wiringPlace) []wire {
	auth := func(g *given) any {
		if g.mta.Auth == nil {
			return nil
		}
		client, err := g.mta.Auth()
		if err != nil {
			return err.Error()
		}
		_, initial, err := client.Start()
		if err != nil {
			return err.Error()
		}
		return string(initial) // RFC 4616
	}
	me := map[string]string{"inject.user": "me"}
	usual := map[string]string{"inject.password_file": p.file("usual.pass")}
	tcp := map[string]string{"inject.address": p.tcp, "inject.tls_ca_file": p.file("ca.pem"), "inject.tls": "starttls"}
	clear := "tcp " + p.tcp
	return []wire{
		{key: "inject.address", wants: map[string]any{p.tcp: clear, "unix:" + p.socket: "unix " + p.socket}, at: func(g *given) any { return leads(g.toMTA) }},
		{key: "inject.plain", wants: map[string]any{p.tcp: [2]any{true, clear}, "unix:" + p.socket: [2]any{true, "unix " + p.socket}}, at: func(g *given) any {
			if g.pass.Plain == nil {
				return [2]any{false, nil}
			}
			return [2]any{true, leads(g.toPlain)}
		}},
		{key: "inject.protocol", wants: map[string]any{"smtp": inject.SMTP, "lmtp": inject.LMTP}, at: func(g *given) any { return g.mta.Dialect }},
		{key: "inject.xclient", wants: map[string]any{"required": inject.Required, "if-available": inject.IfAvailable, "off": inject.Off},
			at: func(g *given) any { return g.mta.XCLIENT }},
		{key: "inject.carrier", wants: map[string]any{"xclient": inject.XCLIENT, "xforward": inject.XFORWARD, "proxy-v1": inject.PROXYv1, "proxy-v2": inject.PROXYv2},
			at: func(g *given) any { return g.mta.Carrier }},
		{key: "inject.connections", wants: map[string]any{"1": [2]any{inject.Connections(1), true}, "7": [2]any{inject.Connections(7), false}}, at: func(g *given) any { return [2]any{g.mta.Connections, g.pass.Ordered} }},
		{key: "inject.hello", wants: map[string]any{"us.example.org": [2]string{"us.example.org", "us.example.org"}}, at: func(g *given) any { return [2]string{g.mta.Hello, g.plain.Hello} }},
		{key: "inject.tls", with: map[string]string{"inject.address": p.tcp}, wants: map[string]any{
			"none": [3]any{inject.NoTLS, false, clear}, "starttls": [3]any{inject.StartTLS, true, clear}, "implicit": [3]any{inject.NoTLS, false, "TLS"},
		}, at: func(g *given) any { return [3]any{g.mta.StartTLS, g.mta.TLSConfig != nil, leads(g.toMTA)} }},
		{key: "inject.tls_ca_file", with: map[string]string{"inject.address": p.tcp, "inject.tls": "starttls"}, wants: map[string]any{p.file("ca.pem"): true},
			at: func(g *given) any { return p.ca.Pool().Equal(secured(g.mta.TLSConfig).RootCAs) }},
		{key: "inject.tls_server_name", with: tcp, wants: map[string]any{"mx.example.org": "mx.example.org"}, at: func(g *given) any { return secured(g.mta.TLSConfig).ServerName }},
		{key: "inject.user", with: usual, instead: map[string]string{"inject.password_file": ""}, wants: map[string]any{"me": "\x00me\x00usual"}, at: auth},
		{key: "inject.password_file", with: me, instead: map[string]string{"inject.user": ""}, wants: map[string]any{p.file("other.pass"): "\x00me\x00other"}, at: auth},
		{key: "inject.password_command", with: me, instead: usual, wants: map[string]any{"[/bin/cat, " + p.file("other.pass") + "]": "\x00me\x00other"}, at: auth},
		{key: "inject.password_credential", with: me, instead: usual, wants: map[string]any{"other.pass": "\x00me\x00other"}, at: auth},
		{key: "inject.password", with: me, instead: usual, wants: map[string]any{`"other"`: "\x00me\x00other"}, at: auth},
		{key: "inject.never_present", wants: map[string]any{"[192.0.2.0/24]": true}, at: func(g *given) any {
			own := netip.MustParsePrefix("192.0.2.0/24")
			return slices.Contains(g.mta.Never, own) && slices.Contains(g.pass.Client.Never, own)
		}},
		{key: "inject.unknown_client_address", wants: map[string]any{"192.0.2.8": "192.0.2.8"}, at: func(g *given) any { return g.pass.Client.StandIns.Unknown.String() }},
		{key: "inject.internal_client_address", wants: map[string]any{"192.0.2.9": "192.0.2.9"}, at: func(g *given) any { return g.pass.Client.StandIns.Internal.String() }},
		{key: "inject.eight_bit", wants: map[string]any{"send": inject.SendAnyway, "refuse": inject.RefuseEightBit}, at: func(g *given) any { return g.mta.EightBit }},
		{key: "inject.nul", wants: map[string]any{"send": inject.SendNUL, "refuse": inject.RefuseNUL}, at: func(g *given) any { return g.mta.NUL }},
		{key: "inject.chunking", wants: map[string]any{"false": false, "true": true}, at: func(g *given) any { return g.mta.Chunking }},
		{key: "inject.dsn", wants: map[string]any{"never": inject.DSNNever, "default": inject.DSNDefault}, at: func(g *given) any { return g.mta.DSN }},
	}
}

// secured is c, or an empty one where there is none.
func secured(c *tls.Config) *tls.Config {
	if c == nil {
		return &tls.Config{}
	}
	return c
}

// upstreamWires are the keys of an account that say how to speak with its upstream.
func upstreamWires(p *wiringPlace) []wire {
	password := func(g *given) any { return same(g.imap.Credentials.Password, g.pop3.Credentials.Password) }
	noFile := map[string]string{"accounts.NAME.password_file": ""}
	usual := map[string]string{"accounts.NAME.password_file": p.file("usual.pass")}
	byToken := map[string]string{"accounts.NAME.password_file": "", "accounts.NAME.token_command": "[/bin/echo, token]"}
	type protection struct{ secure, startTLS bool }
	certificates := func(g *given) any { return same(len(g.imap.TLS.Certificates), len(g.pop3.TLS.Certificates)) }
	certificate := map[string]string{"accounts.NAME.tls_cert_file": p.file("own.pem")}
	key := map[string]string{"accounts.NAME.tls_key_file": p.file("own.key")}
	login := func(g *given) any {
		p.login.Store("nothing")
		if m, err := g.pass.Dial(context.Background()); err == nil {
			m.Abort()
		}
		return p.login.Load()
	}
	return []wire{
		{key: "accounts.NAME.protocol", wants: map[string]any{"imap": [2]any{fetch.Selection{"INBOX"}, true}, "pop3": [2]any{fetch.Selection{""}, false}}, at: func(g *given) any {
			return [2]any{g.pass.Folders, g.watched > 0}
		}},
		{key: "accounts.NAME.host", wants: map[string]any{"127.0.0.1": "127.0.0.1"}, at: func(g *given) any { return same(g.imap.TLS.ServerName, g.pop3.TLS.ServerName) }},
		{key: "accounts.NAME.port", wants: map[string]any{p.port: true}, at: func(g *given) any {
			before := p.reached.Load()
			if m, err := g.pass.Dial(context.Background()); err == nil {
				m.Abort()
			}
			return p.reached.Load() > before
		}},
		{key: "accounts.NAME.tls", with: map[string]string{"accounts.NAME.allow_plaintext": "true"}, wants: map[string]any{
			"implicit": protection{secure: true}, "starttls": protection{startTLS: true}, "none": protection{},
		}, at: func(g *given) any {
			return same(protection{g.imap.Secure, g.imap.StartTLS}, protection{g.pop3.Secure, g.pop3.StartTLS})
		}},
		{key: "accounts.NAME.tls_ca_file", wants: map[string]any{p.file("ca.pem"): true}, at: func(g *given) any {
			return same(p.ca.Pool().Equal(g.imap.TLS.RootCAs), p.ca.Pool().Equal(g.pop3.TLS.RootCAs))
		}},
		{key: "accounts.NAME.tls_server_name", wants: map[string]any{"mail.example.org": "mail.example.org"}, at: func(g *given) any { return same(g.imap.TLS.ServerName, g.pop3.TLS.ServerName) }},
		{key: "accounts.NAME.tls_min_version", wants: map[string]any{`"1.2"`: uint16(tls.VersionTLS12), `"1.3"`: uint16(tls.VersionTLS13)},
			at: func(g *given) any { return same(g.imap.TLS.MinVersion, g.pop3.TLS.MinVersion) }},
		{key: "accounts.NAME.tls_cert_file", with: key, instead: map[string]string{"accounts.NAME.tls_key_file": ""}, wants: map[string]any{p.file("own.pem"): 1}, at: certificates},
		{key: "accounts.NAME.tls_key_file", with: certificate, instead: map[string]string{"accounts.NAME.tls_cert_file": ""}, wants: map[string]any{p.file("own.key"): 1}, at: certificates},
		{key: "accounts.NAME.tls_pins", wants: map[string]any{"[sha256:" + strings.Repeat("ab", 32) + "]": true}, at: func(g *given) any {
			return same(g.imap.TLS.InsecureSkipVerify && g.imap.TLS.VerifyConnection != nil, g.pop3.TLS.InsecureSkipVerify && g.pop3.TLS.VerifyConnection != nil)
		}},
		{key: "accounts.NAME.proxy", wants: map[string]any{"http://" + p.proxy: " ", "http://joe@" + p.proxy: "joe "}, at: login},
		{key: "accounts.NAME.proxy_password_file", with: map[string]string{"accounts.NAME.proxy": "http://joe@" + p.proxy}, wants: map[string]any{p.file("other.pass"): "joe other"}, at: login},
		{key: "accounts.NAME.connect_command", wants: map[string]any{"[/bin/mkdir, " + p.file("connected") + "]": true}, at: func(g *given) any {
			if m, err := g.pass.Dial(context.Background()); err == nil {
				m.Abort()
			}
			return os.Remove(p.file("connected")) == nil
		}},
		{key: "accounts.NAME.source_address", wants: map[string]any{"127.0.0.7": "127.0.0.7:0"}, at: func(g *given) any {
			if g.way.LocalAddr == nil {
				return nil
			}
			return g.way.LocalAddr.String()
		}},
		{key: "accounts.NAME.address_family", wants: map[string]any{"any": "tcp", "ipv4": "tcp4", "ipv6": "tcp6"}, at: func(g *given) any { return g.way.Network }},
		{key: "accounts.NAME.connect_timeout", wants: map[string]any{"7s": 7 * time.Second}, at: func(g *given) any { return g.way.Timeout }},
		{key: "accounts.NAME.timeout", wants: map[string]any{"7s": 7 * time.Second}, at: func(g *given) any { return same(g.imap.Timeouts.Idle, g.pop3.Timeouts.Idle) }},
		{key: "accounts.NAME.user", wants: map[string]any{"ann": "ann"}, at: func(g *given) any { return same(g.imap.Credentials.User, g.pop3.Credentials.User) }},
		{key: "accounts.NAME.password_file", wants: map[string]any{p.file("other.pass"): "other"}, at: password},
		{key: "accounts.NAME.password_command", with: noFile, instead: usual, wants: map[string]any{"[/bin/cat, " + p.file("other.pass") + "]": "other"}, at: password},
		{key: "accounts.NAME.password_credential", with: noFile, instead: usual, wants: map[string]any{"other.pass": "other"}, at: password},
		{key: "accounts.NAME.password", with: noFile, instead: usual, wants: map[string]any{`"other"`: "other"}, at: password},
		{key: "accounts.NAME.auth", with: map[string]string{"accounts.NAME.protocol": "pop3"}, also: map[string]map[string]string{"xoauth2": byToken, "oauthbearer": byToken,
			"external": {"accounts.NAME.tls_cert_file": p.file("own.pem"), "accounts.NAME.tls_key_file": p.file("own.key")}},
			wants: map[string]any{"auto": upstream.Mechanism(""), "plain": upstream.Mechanism(upstream.Plain), "login": upstream.Mechanism(upstream.Login),
				"cram-md5": upstream.Mechanism(upstream.CRAMMD5), "scram-sha-1": upstream.Mechanism(upstream.SCRAMSHA1), "scram-sha-256": upstream.Mechanism(upstream.SCRAMSHA256),
				"scram-sha-1-plus": upstream.Mechanism(upstream.SCRAMSHA1Plus), "scram-sha-256-plus": upstream.Mechanism(upstream.SCRAMSHA256Plus),
				"user": upstream.Mechanism(upstream.User), "apop": upstream.Mechanism(upstream.APOP), "external": upstream.Mechanism(upstream.External),
				"xoauth2": upstream.Mechanism(upstream.XOAUTH2), "oauthbearer": upstream.Mechanism(upstream.OAuthBearer)},
			at: func(g *given) any { return same(g.imap.Credentials.Mechanism, g.pop3.Credentials.Mechanism) }},
		{key: "accounts.NAME.allow_plaintext", wants: map[string]any{"false": false, "true": true},
			at: func(g *given) any { return same(g.imap.Credentials.AllowPlaintext, g.pop3.Credentials.AllowPlaintext) }},
		{key: "accounts.NAME.pipelining", wants: map[string]any{"auto": false, "off": true}, at: func(g *given) any { return same(g.imap.OneByOne, g.pop3.OneByOne) }},
		{key: "accounts.NAME.folders", wants: map[string]any{
			"[A, B]": fetch.Selection{"A", "B"}, `[INBOX, "Lists/*", '\Junk', all, "!Trash"]`: fetch.Selection{"INBOX", "Lists/*", `\Junk`, "all", "!Trash"},
		}, at: func(g *given) any { return g.pass.Folders }},
		{key: "accounts.NAME.search", wants: map[string]any{
			"unseen":                     fetch.Search{{Key: fetch.Seen, Not: true}},
			`larger 3KiB not from "a b"`: fetch.Search{{Key: fetch.Larger, Size: 3 << 10}, {Key: fetch.From, Text: "a b", Not: true}},
		}, at: func(g *given) any { return g.pass.Search }},
		{key: "accounts.NAME.max_messages", wants: map[string]any{"0": 0, "7": 7}, at: func(g *given) any { return g.pass.Limit.Messages }},
		{key: "accounts.NAME.max_bytes", wants: map[string]any{"0": int64(0), "3MiB": int64(3 << 20)}, at: func(g *given) any { return g.pass.Limit.Octets }},
		{key: "accounts.NAME.max_size", wants: map[string]any{"3MiB": int64(3 << 20)}, at: func(g *given) any { return same(g.imap.MaxSize, g.pop3.MaxSize) }},
		{key: "accounts.NAME.schedule", wants: map[string]any{`"@every 7m"`: "@every 7m"}, at: func(g *given) any { return g.loop.Accounts[0].Spec.String() }},
		{key: "accounts.NAME.idle_renewal", wants: map[string]any{"5m": 5 * time.Minute}, at: func(g *given) any { return g.renewal }},
		{key: "accounts.NAME.idle", wants: map[string]any{"true": true, "false": false}, at: func(g *given) any { return g.watched > 0 }},
	}
}

// accountWires are the keys of an account that say what becomes of its mail.
func accountWires() []wire {
	plain := map[string]string{"inject.plain": "127.0.0.1:26", "accounts.NAME.stale_after": "30d"}
	mx := map[string]string{"accounts.NAME.mx": "[mx.example.net]"}
	multidrop := map[string]string{"accounts.NAME.recipients": "", "accounts.NAME.recipient_from": "received-for", "accounts.NAME.recipient_domains": "[example.org]"}
	providers := map[string]any{}
	for _, name := range received.Profiles() {
		providers[name] = name
	}
	noClient := map[string]any{"present": transfer.PresentStandIn, "plain": transfer.SendPlain, "hold": transfer.Hold, "skip": transfer.Skip, "unavailable": transfer.PresentUnavailable}
	refused := func(g *given) any { return [2]any{g.pass.OnRefused, g.pass.Quarantine} }
	targets := map[string]string{"inject.main.hello": "main.example.org", "inject.other.hello": "other.example.org"}
	return []wire{
		{key: "accounts.NAME.inject", with: targets, wants: map[string]any{"other": [2]any{"other.example.org", true}},
			at: func(g *given) any { return [2]any{g.mta.Hello, strings.HasPrefix(g.pass.Target, "other ")} }},
		{key: "accounts.NAME.filter", with: plain, wants: map[string]any{"true": false, "false": true}, at: func(g *given) any { return g.pass.Client.Unfiltered }},
		{key: "accounts.NAME.recipients", wants: map[string]any{"[a@example.org, b@example.org]": []string{"a@example.org", "b@example.org"}}, at: func(g *given) any { return g.pass.Recipients }},
		{key: "accounts.NAME.recipient_from", with: map[string]string{"accounts.NAME.recipients": "", "accounts.NAME.recipient_domains": "[example.org]"},
			instead: map[string]string{"accounts.NAME.recipients": "[joe@example.org]", "accounts.NAME.recipient_domains": ""},
			wants: map[string]any{"delivered-to": "delivered-to", "x-original-to": "x-original-to", "envelope-to": "envelope-to",
				"x-envelope-to": "x-envelope-to", "x-delivered-to": "x-delivered-to", "received-for": "received-for"},
			at: func(g *given) any { return string(g.pass.Recipient.From) }},
		{key: "accounts.NAME.recipient_domains", with: multidrop, wants: map[string]any{"[example.com, example.net]": []string{"example.com", "example.net"}}, at: func(g *given) any { return g.pass.Recipient.Domains }},
		{key: "accounts.NAME.recipient_strip_prefix", with: multidrop, wants: map[string]any{"example.org-": "example.org-"}, at: func(g *given) any { return g.pass.Recipient.StripPrefix }},
		{key: "accounts.NAME.sender", wants: map[string]any{"bounces@example.org": "bounces@example.org"}, at: func(g *given) any { return g.pass.Sender }},
		{key: "accounts.NAME.provider", wants: providers, at: func(g *given) any { return g.pass.Policy.Provider }},
		{key: "accounts.NAME.mx", wants: map[string]any{"[a.example.net, b.example.net]": []string{"a.example.net", "b.example.net"}}, at: func(g *given) any { return g.pass.Policy.MX }},
		{key: "accounts.NAME.internal", with: mx, wants: map[string]any{"[.example.net]": []string{".example.net"}}, at: func(g *given) any { return g.pass.Policy.Internal }},
		{key: "accounts.NAME.internal_nets", with: mx, wants: map[string]any{"[192.0.2.0/24]": []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, at: func(g *given) any { return g.pass.Policy.InternalNets }},
		{key: "accounts.NAME.gateways", wants: map[string]any{"[proofpoint, 192.0.2.0/24]": []string{"proofpoint", "192.0.2.0/24"}}, at: func(g *given) any { return g.pass.Policy.Gateways }},
		{key: "accounts.NAME.edge", with: mx, wants: map[string]any{"true": true, "false": false}, at: func(g *given) any { return g.pass.Policy.Edge }},
		{key: "accounts.NAME.hops", wants: map[string]any{"0": 0, "3": 3}, at: func(g *given) any { return g.pass.Policy.Hops }},
		{key: "accounts.NAME.on_delivered", wants: map[string]any{"keep": fetch.Disposal{Action: fetch.Keep}, "delete": fetch.Disposal{Action: fetch.Delete}, "seen": fetch.Disposal{Action: fetch.Flag},
			"flag:$Done": fetch.Disposal{Action: fetch.Flag, Target: "$Done"}, "move:Done": fetch.Disposal{Action: fetch.Move, Target: "Done"}}, at: func(g *given) any { return g.pass.OnDelivered }},
		{key: "accounts.NAME.delete_after", wants: map[string]any{"0": time.Duration(0), "7d": 7 * 24 * time.Hour}, at: func(g *given) any { return g.pass.DeleteAfter }},
		{key: "accounts.NAME.plain_expunge", wants: map[string]any{"false": false, "true": true}, at: func(g *given) any { return g.imap.PlainExpunge }},
		{key: "accounts.NAME.create_folders", wants: map[string]any{"false": false, "true": true}, at: func(g *given) any { return g.imap.CreateFolders }},
		{key: "accounts.NAME.mark_delivered", wants: map[string]any{"false": [2]bool{false, false}, "true": [2]bool{true, true}}, at: func(g *given) any {
			return [2]bool{g.pass.MarkDelivered, g.imap.Marks}
		}},
		{key: "accounts.NAME.on_refused", with: plain, wants: map[string]any{"keep": [2]any{fetch.Disposal{Action: fetch.Keep}, ""}, "delete": [2]any{fetch.Disposal{Action: fetch.Delete}, ""},
			"move:Spam": [2]any{fetch.Disposal{Action: fetch.Move, Target: "Spam"}, ""}, "quarantine:spam@example.org": [2]any{fetch.Disposal{Action: fetch.Keep}, "spam@example.org"}}, at: refused},
		{key: "accounts.NAME.refused_grace", wants: map[string]any{"0": time.Duration(0), "7d": 7 * 24 * time.Hour}, at: func(g *given) any { return g.pass.RefusedGrace }},
		{key: "accounts.NAME.on_unknown_client", with: plain, wants: noClient, at: func(g *given) any { return g.pass.Client.Unknown }},
		{key: "accounts.NAME.on_internal", with: plain, wants: noClient, at: func(g *given) any { return g.pass.Client.Internal }},
		{key: "accounts.NAME.stale_after", wants: map[string]any{"0": time.Duration(0), "30d": 30 * 24 * time.Hour}, at: func(g *given) any { return g.pass.Client.StaleAfter }},
		{key: "accounts.NAME.on_stale", with: plain, wants: noClient, at: func(g *given) any { return g.pass.Client.Stale }},
		{key: "accounts.NAME.submission", wants: map[string]any{"client": transfer.SubmissionClient, "relay": transfer.SubmissionRelay, "unavailable": transfer.SubmissionUnavailable}, at: func(g *given) any { return g.pass.Client.Submission }},
		{key: "accounts.NAME.client_name", wants: map[string]any{"recorded": transfer.RecordedName, "lookup": transfer.LookedUpName}, at: func(g *given) any { return g.pass.Client.Name }},
		{key: "accounts.NAME.retry_min", wants: map[string]any{"7m": 7 * time.Minute}, at: func(g *given) any { return g.pass.Retry.Min }},
		{key: "accounts.NAME.retry_max", wants: map[string]any{"7h": 7 * time.Hour}, at: func(g *given) any { return g.pass.Retry.Max }},
		{key: "accounts.NAME.give_up_after", wants: map[string]any{"0": time.Duration(0), "7d": 7 * 24 * time.Hour}, at: func(g *given) any { return g.pass.Retry.GiveUp }},
		{key: "accounts.NAME.first_run", wants: map[string]any{"ask": transfer.FirstRun{}, "deliver": transfer.FirstRun{Action: transfer.DeliverAll}, "adopt": transfer.FirstRun{Action: transfer.AdoptAll},
			"newest 5": transfer.FirstRun{Action: transfer.DeliverNewest, Newest: 5}, "newest 6": transfer.FirstRun{Action: transfer.DeliverNewest, Newest: 6},
			"since 2026-01-31": transfer.FirstRun{Action: transfer.DeliverSince, Since: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}}, at: func(g *given) any { return g.pass.Flood.First }},
		{key: "accounts.NAME.flood_limit", wants: map[string]any{"0": 0, "7": 7}, at: func(g *given) any { return g.pass.Flood.Limit }},
	}
}

// statePassword is the password that the database is told.
func statePassword(g *given) any {
	password, err := g.state.Password(context.Background())
	if err != nil {
		return err
	}
	return password
}
