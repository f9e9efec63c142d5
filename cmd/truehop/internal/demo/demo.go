// Package demo is the world of the command demo: mailboxes in the shapes of several providers, an MTA with
// XCLIENT and access rules, and a DNS, all in this process and on loopback ports, and a configuration for them.
package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

const (
	password  = "demo-password"
	recipient = "postmaster@mail.test"
)

// accounts are the upstreams: who they look like, and what is spoken with them.
func accounts() []struct{ name, protocol, tls, provider, extra string } {
	return []struct{ name, protocol, tls, provider, extra string }{
		{"gmail", "imap", "implicit", "gmail", "    on_delivered: move:Fetched\n    folders: [INBOX]\n"},
		{"outlook", "imap", "starttls", "outlook", "    on_delivered: seen\n"},
		{"yahoo", "pop3", "implicit", "yahoo", "    on_delivered: delete\n"},
		{"fastmail", "imap", "implicit", "fastmail", "    on_delivered: flag:$Fetched\n"},
		{"postfix", "pop3", "starttls", "", "    on_delivered: delete\n    mx: [mx.mail.example]\n    internal: [store.mail.example]\n"},
		{"exim", "imap", "implicit", "", "    on_delivered: keep\n    mx: [mx.host.example]\n"},
	}
}

// World is the demo's servers and files.
type World struct {
	// Config is the path of the configuration, Sample that of one of the messages.
	Config, Sample string

	dir     string
	servers []*fakeserver.Server
	mta     *injecttest.Server
	dns     *DNS
}

// Start starts all servers and writes the configuration for them.
func Start(ctx context.Context) (w *World, err error) {
	w = &World{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "truehop-demo-"); err != nil {
		return w, err
	}
	ca := fakeserver.NewCA()
	// 198.51.100.99 and 192.0.2.66 have no name on purpose.
	if w.dns, err = StartDNS(ctx, map[netip.Addr]string{
		netip.MustParseAddr("203.0.113.25"):   "news.example.org",
		netip.MustParseAddr("198.51.100.24"):  "mx1.example.net",
		netip.MustParseAddr("203.0.113.77"):   "out1.example.com",
		netip.MustParseAddr("203.0.113.78"):   "out2.example.com",
		netip.MustParseAddr("203.0.113.130"):  "shop.example.com",
		netip.MustParseAddr("2001:db8:25::6"): "six.example.org",
	}); err != nil {
		return w, err
	}
	w.mta = injecttest.New(injecttest.Options{
		Hostname: "mail.test", SizeLimit: 64 << 10, Recipients: []string{recipient},
		Rules: injecttest.Rules{
			Listed:    []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			NoReverse: "550",
			Greylist:  true,
			Known:     []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.24/32")},
		},
	})
	if _, err := w.mta.Start(); err != nil {
		return w, err
	}
	addrs, err := w.startUpstreams(&tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}})
	if err != nil {
		return w, err
	}
	return w, w.write(ca, addrs)
}

// startUpstreams fills the mailboxes and serves them.
func (w *World) startUpstreams(secure *tls.Config) (map[string]string, error) {
	addrs := map[string]string{}
	for _, a := range accounts() {
		store := fakeserver.NewStore()
		store.Create("Fetched")
		for _, m := range mails() {
			if m.account == a.name {
				store.Add("INBOX", m.raw())
			}
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		serve := (&fakeserver.IMAP{Store: store, User: a.name, Password: password, TLS: secure, Implicit: a.tls == "implicit"}).Serve
		if a.protocol == "pop3" {
			serve = (&fakeserver.POP3{Store: store, User: a.name, Password: password, TLS: secure, Implicit: a.tls == "implicit"}).Serve
		}
		server := fakeserver.Serve(listener, serve)
		w.servers = append(w.servers, server)
		addrs[a.name] = server.Addr()
	}
	return addrs, nil
}

// write puts the configuration and the files that it names into the demo's directory.
func (w *World) write(ca *fakeserver.CA, addrs map[string]string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "state_dir: %s\nlog:\n  format: text\ninject:\n  address: %s\nresolver:\n  server: %s\ndefaults:\n  password_file: %s\n  tls_ca_file: %s\n  recipients: [%s]\naccounts:\n",
		filepath.Join(w.dir, "state"), w.mta.Addr(), w.dns.Addr(), filepath.Join(w.dir, "password"), filepath.Join(w.dir, "ca.pem"), recipient)
	for _, a := range accounts() {
		host, port, err := net.SplitHostPort(addrs[a.name])
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  %s:\n    protocol: %s\n    host: %s\n    port: %s\n    tls: %s\n    user: %s\n%s", a.name, a.protocol, host, port, a.tls, a.name, a.extra)
		if a.provider != "" {
			fmt.Fprintf(&b, "    provider: %s\n", a.provider)
		}
	}
	w.Config, w.Sample = filepath.Join(w.dir, "truehop.yaml"), filepath.Join(w.dir, "message.eml")
	return errors.Join(
		os.WriteFile(w.Config, []byte(b.String()), 0o600),
		os.WriteFile(w.Sample, mails()[0].raw(), 0o600),
		os.WriteFile(filepath.Join(w.dir, "password"), []byte(password+"\n"), 0o600),
		os.WriteFile(filepath.Join(w.dir, "ca.pem"), ca.PEM(), 0o600),
	)
}

// Close stops the servers and removes the files.
func (w *World) Close() error {
	var err error
	for _, s := range w.servers {
		s.Close()
	}
	if w.mta != nil {
		err = w.mta.Close()
	}
	if w.dns != nil {
		w.dns.Close()
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// Mailboxes is the number of mailboxes.
func (w *World) Mailboxes() int { return len(accounts()) }

// Messages is the number of messages in all mailboxes together.
func (w *World) Messages() int { return len(mails()) }

// Describe says in a few words what is special about the n-th message of an account, counted from 1.
func (w *World) Describe(account string, n uint32) string {
	for _, m := range mails() {
		if m.account != account {
			continue
		}
		if n--; n == 0 {
			return m.what
		}
	}
	return "?"
}

// Verify makes the demo a check: every message that should have arrived did, once. It returns their number.
func (w *World) Verify() (arrived int, err error) {
	got := map[string]int{}
	for _, m := range w.mta.Messages() {
		_, rest, _ := bytes.Cut(m.Data, []byte("\nSubject: "))
		subject, _, _ := bytes.Cut(rest, []byte("\r\n"))
		got[string(subject)]++
	}
	for _, m := range mails() {
		if !m.arrives {
			continue
		}
		if got[m.subject] != 1 {
			return 0, fmt.Errorf("the demo failed: %q arrived %d times", m.subject, got[m.subject])
		}
		delete(got, m.subject)
		arrived++
	}
	if len(got) > 0 {
		return 0, fmt.Errorf("the demo failed: these should not have been taken: %v", got)
	}
	return arrived, nil
}
