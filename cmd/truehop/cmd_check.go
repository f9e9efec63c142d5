package main

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

func (p *program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "Check the configuration, the spool, every upstream and the MTA",
		Long: `check reads the configuration, looks whether spool_dir can be used, logs in to each upstream
and counts what is there, looks in the headers of the last messages for their clients, and asks the MTA what it offers: is XCLIENT offered, with which attributes,
and may a second XCLIENT follow in the same session. It changes nothing
anywhere; after a login that went well, the next pass over the account does not wait because of one that was refused.`,
		ValidArgsFunction: p.completeAccounts,
		RunE:              func(c *cobra.Command, args []string) error { return p.check(c.Context(), args) },
	}
}

// check prints what works and what does not, all of it, and ends with the worst.
func (p *program) check(ctx context.Context, names []string) error {
	cfg, err := p.readConfig()
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names)
	if err != nil {
		return err
	}
	out := ui.Check{W: p.stdout}
	out.Configuration(cfg)
	code := checked(out, checkSpool(out, cfg))
	for _, a := range accounts {
		code = worse(code, checkUpstream(ctx, out, a, app.NewPresenter(cfg, a).Policy, cfg.StateDir))
	}
	for _, target := range cfg.Targets() {
		code = worse(code, checkTarget(ctx, out, target, accountsOf(cfg, accounts, target)))
	}
	return ended(code)
}

// checked prints what went wrong, if anything did, and returns the exit code for it.
func checked(out ui.Check, err error) int {
	if err != nil {
		out.Failed(err)
	}
	return exitCode(err)
}

// checkSpool looks whether messages above 1 MiB find a place. Root checks for the user that the state belongs to.
func checkSpool(out ui.Check, cfg *config.Config) error {
	user := os.Geteuid()
	if info, err := os.Stat(cfg.StateDir); err == nil && user == 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			user = int(st.Uid)
		}
	}
	out.Spool(cfg.SpoolDir, ledger.UserName(user))
	if err := transfer.CheckSpool(cfg.SpoolDir, user); err != nil {
		return err
	}
	var largest int64
	for _, a := range cfg.Accounts {
		largest = max(largest, int64(a.MaxSize))
	}
	return transfer.CheckRoom(cfg.SpoolDir, largest)
}

// checkUpstream logs in, counts what is in each folder, and finds out whether what the account asks for can be done there. It
// returns the exit code.
func checkUpstream(ctx context.Context, out ui.Check, a *config.Account, policy received.Policy, stateDir string) int {
	out.Upstream(a)
	if a.OAuth.Provider != "" {
		tokens, err := app.Tokens(a)
		if err != nil {
			return checked(out, err)
		}
		status, err := tokens.Status()
		if err != nil {
			return checked(out, err)
		}
		out.Token(status)
	}
	mailbox, err := app.Upstream(ctx, a, nil)
	if err != nil {
		return checked(out, err)
	}
	defer mailbox.Abort()
	disposals := []fetch.Disposal{a.OnDelivered, a.OnRefused.Disposal}
	if a.DeleteAfter > 0 {
		disposals = append(disposals, fetch.Disposal{Action: fetch.Delete})
	}
	slices.SortFunc(disposals, func(x, y fetch.Disposal) int { return cmp.Compare(x.String(), y.String()) })
	disposals = slices.Compact(disposals)
	code, told := checked(out, app.ForgetRefusal(ctx, stateDir, a.Name)), map[string]bool{}
	clients := sample{policy: policy}
	folders, missing, _, err := a.Selection().ChooseFrom(ctx, mailbox)
	if err != nil {
		return checked(out, err)
	}
	for _, why := range missing {
		code = worse(code, checked(out, why))
	}
	for _, folder := range folders {
		listing, err := mailbox.Open(ctx, folder)
		if err != nil {
			code = worse(code, checked(out, err))
			if fetch.EndsSession(err) {
				return code
			}
			continue
		}
		out.Folder(folder, listing)
		if err := trySearch(ctx, mailbox, a); err != nil && !told[err.Error()] {
			told[err.Error()] = true
			if code = worse(code, checked(out, err)); fetch.EndsSession(err) {
				return code
			}
		}
		if err := clients.take(ctx, mailbox, listing.Refs); err != nil {
			code = worse(code, checked(out, err))
			if fetch.EndsSession(err) {
				return code
			}
		}
		surveyor, ok := mailbox.(fetch.Surveyor)
		if !ok {
			continue
		}
		obstacles, err := surveyor.Obstacles(ctx, disposals)
		for _, obstacle := range obstacles {
			if !told[obstacle.Error()] {
				told[obstacle.Error()] = true
				code = worse(code, checked(out, obstacle))
			}
		}
		if err != nil {
			return worse(code, checked(out, err))
		}
	}
	if watcher, ok := mailbox.(interface{ CanWatch() bool }); ok && a.Idle && !watcher.CanWatch() {
		out.NoIdle()
	}
	out.Clients(&clients.outcomes)
	if clients.looked {
		// Not by Close: to many a POP3 server what was retrieved in a session that ends well is fetched, and gone.
		return worse(code, checked(out, mailbox.Leave(ctx)))
	}
	return worse(code, checked(out, mailbox.Close(ctx)))
}

// What check looks at of a folder: so many of its last messages, none that the server says is larger.
const (
	sampled       = 5
	sampledOctets = 256 << 10
)

// latest returns the last messages that are worth a look, the newest first. sizes are those that the listing does not have.
func latest(refs []fetch.Ref, sizes map[fetch.Ref]int64) []fetch.Ref {
	var last []fetch.Ref
	for _, ref := range slices.Backward(refs) {
		if max(ref.Size, sizes[ref]) <= sampledOctets && len(last) < sampled {
			last = append(last, ref)
		}
	}
	return last
}

// sample looks for the clients of an account's last messages.
type sample struct {
	policy   received.Policy
	outcomes ui.Outcomes
	looked   bool
}

// take looks at the last messages of the open folder. What goes away meanwhile is left out.
func (s *sample) take(ctx context.Context, mailbox fetch.Mailbox, refs []fetch.Ref) error {
	refs = refs[max(0, len(refs)-4*sampled):]
	var sizes map[fetch.Ref]int64
	if sizer, ok := mailbox.(fetch.Sizer); ok && len(refs) > 0 {
		var err error
		if sizes, err = sizer.Sizes(ctx, refs); fetch.EndsSession(err) {
			return err
		}
	}
	last := latest(refs, sizes)
	if len(last) == 0 {
		return nil
	}
	s.looked = true
	var head bytes.Buffer
	return mailbox.Retrieve(ctx, last, func(m fetch.Message) error {
		if m.Err != nil {
			return nil
		}
		head.Reset()
		_, err := io.Copy(&head, io.LimitReader(m.Body, maxExplained+1))
		if err == nil {
			_, err = io.Copy(io.Discard, m.Body)
		}
		if err != nil && fetch.KindOf(err) != fetch.TooLarge {
			return err
		}
		s.outcomes.Count(m.Ref.UID, received.ReadChain(head.Bytes()).Boundary(s.policy))
		return nil
	})
}

// trySearch has the server search the open folder as a pass does, if the account has a search.
func trySearch(ctx context.Context, mailbox fetch.Mailbox, a *config.Account) error {
	searcher, ok := mailbox.(fetch.Searcher)
	if !ok || len(a.Search.Search) == 0 {
		return nil
	}
	_, err := searcher.Search(ctx, a.Search.On(time.Now()))
	return err
}

// probeTime bounds each step of the dialogue with the MTA in check.
const probeTime = 10 * time.Second

// accountsOf returns those of the accounts whose mail a target takes.
func accountsOf(cfg *config.Config, accounts []*config.Account, target *config.Target) []*config.Account {
	return slices.DeleteFunc(slices.Clone(accounts), func(a *config.Account) bool { return cfg.Target(a) != target })
}

// checkTarget tries the listeners of a target that the accounts need, and returns the exit code. Nobody is presented to a filter
// that no account wants.
func checkTarget(ctx context.Context, out ui.Check, target *config.Target, accounts []*config.Account) int {
	filtered := func(a *config.Account) bool { return a.Filter }
	code := exitOK
	if slices.ContainsFunc(accounts, filtered) {
		code = checked(out, checkMTA(ctx, out, target, accounts))
	}
	if slices.ContainsFunc(accounts, func(a *config.Account) bool { return !filtered(a) }) {
		code = worse(code, checked(out, checkPlain(ctx, out, target)))
	}
	return code
}

// checkPlain finds out whether the listener without rules about clients answers.
func checkPlain(ctx context.Context, out ui.Check, target *config.Target) error {
	out.Plain(target)
	dial, options := app.Plain(target)
	found, err := inject.Probe(ctx, dial, options, inject.Client{ESMTP: true}) // presented to nobody: XCLIENT is off
	if err == nil {
		out.Listener(found)
	}
	return err
}

// checkMTA finds out whether the MTA can be shown the true clients, and how fast. Where XCLIENT is required
// and not offered, the probe fails.
func checkMTA(ctx context.Context, out ui.Check, target *config.Target, accounts []*config.Account) error {
	out.MTA(target)
	dial, options, err := app.MTA(target)
	if err != nil {
		return err
	}
	// A listener that waits for something else is silent: nobody wants to look at that for RFC 5321's five minutes.
	options.Timeouts.Connect, options.Timeouts.Greeting, options.Timeouts.Command = probeTime, probeTime, probeTime
	clients := probedClients(target, accounts)
	found, err := inject.Probe(ctx, dial, options, clients...)
	if err != nil {
		return err
	}
	out.Capabilities(found, target)
	for _, p := range found.Presented {
		if p.Err != nil {
			return p.Err
		}
	}
	return nil
}

// probedClients are the clients that check presents: one with an address of IPv4, one of IPv6, the stand-ins, and one with
// no address where an account has that presented. Filters behind an MTA can die of the last.
func probedClients(in *config.Target, accounts []*config.Account) []inject.Client {
	var clients []inject.Client
	documentation := netip.MustParseAddr("192.0.2.1")
	for documentation == in.UnknownClientAddress.Addr || documentation == in.InternalClientAddress.Addr {
		documentation = documentation.Next()
	}
	for _, a := range []netip.Addr{documentation, netip.MustParseAddr("2001:db8::1"), in.UnknownClientAddress.Addr, in.InternalClientAddress.Addr} {
		clients = append(clients, inject.Client{Addr: a, ESMTP: true})
	}
	for _, a := range accounts {
		if slices.Contains([]transfer.NoClient{a.OnUnknownClient, a.OnInternal, a.OnStale}, transfer.PresentUnavailable) {
			return append(clients, inject.Client{ESMTP: true})
		}
	}
	return clients
}
