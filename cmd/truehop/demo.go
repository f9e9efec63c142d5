package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/transfer"
)

func (p *program) demoCommand() *cobra.Command {
	var serve bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole path on embedded servers; needs nothing installed",
		Long: `demo starts mailboxes in the shapes of several providers (IMAP and POP3, with TLS) and an
MTA with XCLIENT and access rules, all inside this process and on loopback ports, and makes two
passes with the real program: the second settles what was deferred and delivers nothing again.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.demo(c.Context(), serve) },
	}
	c.Flags().BoolVar(&serve, "serve", false, "leave the servers running and print a configuration for them")
	return c
}

const (
	demoPassword  = "demo-password"
	demoRecipient = "postmaster@mail.test"
)

// demoAccounts are the demo's upstreams: who they look like, and what is spoken with them.
func demoAccounts() []struct{ name, protocol, tls, provider, extra string } {
	return []struct{ name, protocol, tls, provider, extra string }{
		{"gmail", "imap", "implicit", "gmail", "    on_delivered: move:Fetched\n    folders: [INBOX]\n"},
		{"outlook", "imap", "starttls", "outlook", "    on_delivered: seen\n"},
		{"yahoo", "pop3", "implicit", "yahoo", "    on_delivered: delete\n"},
		{"fastmail", "imap", "implicit", "fastmail", "    on_delivered: flag:$Fetched\n"},
		{"postfix", "pop3", "starttls", "", "    on_delivered: delete\n    mx: [mx.mail.example]\n    internal: [store.mail.example]\n"},
		{"exim", "imap", "implicit", "", "    on_delivered: keep\n    mx: [mx.host.example]\n"},
	}
}

// demoWorld is the demo's servers and files.
type demoWorld struct {
	dir     string
	config  string
	stores  map[string]*fakeserver.Store
	servers []*fakeserver.Server
	mta     *injecttest.Server
	dns     *demoDNS
}

func (p *program) demo(ctx context.Context, serve bool) (err error) {
	w, err := startDemo(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if serve {
		return p.demoServe(ctx, w)
	}
	cfg, err := config.Load(w.config, configOptions())
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d mailboxes at six kinds of provider, %d messages, one MTA with access rules.\nWithout XCLIENT it would see 127.0.0.1 as the client of every one of them.\n\n",
		len(w.stores), len(demoMails()))
	fmt.Fprintln(p.stdout, "First pass")
	if err := p.demoPass(ctx, cfg, w, 0); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "\nSecond pass, ten minutes later: what was deferred is tried again, the rest is known")
	if err := p.demoPass(ctx, cfg, w, 10*time.Minute); err != nil {
		return err
	}
	return p.demoVerify(w)
}

// demoPass makes one real pass over all accounts and prints a row for each message.
func (p *program) demoPass(ctx context.Context, cfg *config.Config, w *demoWorld, later time.Duration) error {
	e, err := openEngine(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	e.now = func() time.Time { return time.Now().Add(later) }
	rows := &demoRows{upstream: map[string]string{}}
	e.observe = rows.add
	for _, name := range cfg.Names() {
		if _, err := e.pass(ctx, cfg.Accounts[name], passOptions{}); err != nil {
			return errors.Join(fmt.Errorf("account %s: %w", name, err), e.close(ctx))
		}
	}
	rows.print(p, w)
	return e.close(ctx)
}

// demoRows collects what a pass did.
type demoRows struct {
	verdicts []transfer.Event
	upstream map[string]string
}

func (r *demoRows) add(e transfer.Event) {
	switch e.Kind {
	case transfer.Verdict:
		r.verdicts = append(r.verdicts, e)
	case transfer.Settled:
		r.upstream[e.Token] = disposalText(e.Disposal)
	}
}

func (r *demoRows) print(p *program, w *demoWorld) {
	slices.SortStableFunc(r.verdicts, func(a, b transfer.Event) int { return strings.Compare(a.Account+a.Ref.UID, b.Account+b.Ref.UID) })
	t := newTable(p.stdout, "MAILBOX", "MESSAGE", "CLIENT", "NAME", "HELO", "THE MTA SAYS", "UPSTREAM")
	for _, e := range r.verdicts {
		shown := e.Receipt.Presented
		upstream := r.upstream[e.Token]
		if upstream == "" {
			upstream = "kept"
		}
		said := replyText(e.Receipt.Reply)
		if e.Receipt.Reply.Code == 0 {
			said = "not asked, " + reason("", e.Why)
		}
		t.row(e.Account, w.what(e), presented(e.Receipt), orUnknown(shown.Name), orUnknown(shown.HELO),
			e.State+": "+cut(said, 84), upstream)
	}
	t.flush()
}

// what returns the demo's own description of a message.
func (w *demoWorld) what(e transfer.Event) string {
	n := 0
	for _, m := range demoMails() {
		if m.account == e.Account {
			if n++; uint32(n) == e.Ref.Seq {
				return m.what
			}
		}
	}
	return "?"
}

// demoVerify makes the demo a check: every message that should have arrived did, once.
func (p *program) demoVerify(w *demoWorld) error {
	got := map[string]int{}
	for _, m := range w.mta.Messages() {
		got[subject(m.Data)]++
	}
	want := []string{"a newsletter", "an invoice", "a reply", "a list post", "a client never seen before", "over IPv6", "an order"}
	for _, s := range want {
		if got[s] != 1 {
			return fmt.Errorf("the demo failed: %q arrived %d times", s, got[s])
		}
		delete(got, s)
	}
	if len(got) > 0 {
		return fmt.Errorf("the demo failed: these should not have been taken: %v", got)
	}
	fmt.Fprintf(p.stdout, "\nThe MTA took %d messages, each once; what it refused, or was not asked about, stays upstream, recorded, and nobody got a bounce.\n", len(want))
	return nil
}

// subject finds the Subject field of a demo message.
func subject(data []byte) string {
	for line := range strings.Lines(string(data)) {
		if s, ok := strings.CutPrefix(line, "Subject: "); ok {
			return strings.TrimSpace(s)
		}
	}
	return ""
}

// demoServe leaves the servers running until a signal.
func (p *program) demoServe(ctx context.Context, w *demoWorld) error {
	text, err := os.ReadFile(w.config)
	if err != nil {
		return err
	}
	sample := filepath.Join(w.dir, "message.eml")
	if err := os.WriteFile(sample, demoMails()[0].raw(), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "# %s\n%s\n", w.config, text)
	fmt.Fprintf(p.stdout, `# The servers run until you press Ctrl-C. In another terminal:
#   truehop check   --config %[1]s
#   truehop explain --provider gmail -- %[2]s
#   truehop run     --config %[1]s
#   truehop status  --config %[1]s
`, w.config, sample)
	<-ctx.Done()
	p.caught.Store(0) // being told to end is how it ends
	return nil
}

// startDemo starts all servers and writes the configuration for them.
func startDemo(ctx context.Context) (w *demoWorld, err error) {
	w = &demoWorld{stores: map[string]*fakeserver.Store{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "truehop-demo-"); err != nil {
		return w, err
	}
	ca := fakeserver.NewCA()
	if w.dns, err = startDemoDNS(ctx, demoNames()); err != nil {
		return w, err
	}
	w.mta = newDemoMTA()
	if _, err := w.mta.Start(); err != nil {
		return w, err
	}
	addrs, err := w.startUpstreams(&tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}})
	if err != nil {
		return w, err
	}
	return w, w.write(ca, addrs)
}

// newDemoMTA is an MTA that takes mail for its one user, by rules about the client.
func newDemoMTA() *injecttest.Server {
	return injecttest.New(injecttest.Options{
		Hostname: "mail.test", SizeLimit: 64 << 10, Recipients: []string{demoRecipient},
		Rules: injecttest.Rules{
			Listed:    []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			NoReverse: "550",
			Greylist:  true,
			Known:     []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("198.51.100.24/32")},
		},
	})
}

// startUpstreams fills the mailboxes and serves them.
func (w *demoWorld) startUpstreams(secure *tls.Config) (map[string]string, error) {
	addrs := map[string]string{}
	for _, a := range demoAccounts() {
		store := fakeserver.NewStore()
		store.Create("Fetched")
		for _, m := range demoMails() {
			if m.account == a.name {
				store.Add("INBOX", m.raw())
			}
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		serve := (&fakeserver.IMAP{Store: store, User: a.name, Password: demoPassword, TLS: secure, Implicit: a.tls == "implicit"}).Serve
		if a.protocol == "pop3" {
			serve = (&fakeserver.POP3{Store: store, User: a.name, Password: demoPassword, TLS: secure, Implicit: a.tls == "implicit"}).Serve
		}
		server := fakeserver.Serve(listener, serve)
		w.servers = append(w.servers, server)
		w.stores[a.name] = store
		addrs[a.name] = server.Addr()
	}
	return addrs, nil
}

// write puts the configuration and the files that it names into the demo's directory.
func (w *demoWorld) write(ca *fakeserver.CA, addrs map[string]string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "state_dir: %s\nlog:\n  format: text\ninject:\n  address: %s\nresolver:\n  server: %s\ndefaults:\n  password_file: %s\n  tls_ca_file: %s\n  recipients: [%s]\naccounts:\n",
		filepath.Join(w.dir, "state"), w.mta.Addr(), w.dns.addr(), filepath.Join(w.dir, "password"), filepath.Join(w.dir, "ca.pem"), demoRecipient)
	for _, a := range demoAccounts() {
		host, port, err := net.SplitHostPort(addrs[a.name])
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  %s:\n    protocol: %s\n    host: %s\n    port: %s\n    tls: %s\n    user: %s\n%s", a.name, a.protocol, host, port, a.tls, a.name, a.extra)
		if a.provider != "" {
			fmt.Fprintf(&b, "    provider: %s\n", a.provider)
		}
	}
	w.config = filepath.Join(w.dir, "truehop.yaml")
	return errors.Join(
		os.WriteFile(w.config, []byte(b.String()), 0o600),
		os.WriteFile(filepath.Join(w.dir, "password"), []byte(demoPassword+"\n"), 0o600),
		os.WriteFile(filepath.Join(w.dir, "ca.pem"), ca.PEM(), 0o600),
	)
}

func (w *demoWorld) close() error {
	var err error
	for _, s := range w.servers {
		s.Close()
	}
	if w.mta != nil {
		err = w.mta.Close()
	}
	if w.dns != nil {
		w.dns.close()
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// demoNames is what the demo's DNS knows. 198.51.100.99 and 192.0.2.66 have no name on purpose.
func demoNames() map[netip.Addr]string {
	return map[netip.Addr]string{
		netip.MustParseAddr("203.0.113.25"):   "news.example.org",
		netip.MustParseAddr("198.51.100.24"):  "mx1.example.net",
		netip.MustParseAddr("203.0.113.77"):   "out1.example.com",
		netip.MustParseAddr("203.0.113.78"):   "out2.example.com",
		netip.MustParseAddr("203.0.113.130"):  "shop.example.com",
		netip.MustParseAddr("2001:db8:25::6"): "six.example.org",
	}
}
