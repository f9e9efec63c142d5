package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/transfer"
)

// probeTime bounds each step of the dialogue with the MTA in check.
const probeTime = 10 * time.Second

// load is what one of a target's listeners is to take: the accounts whose mail that is, and whom it goes to.
type load struct {
	accounts []*config.Account
	to       []addressee
}

// addressee is an address that mail is delivered to, and the key that says so.
type addressee struct{ address, key string }

// loads returns what the accounts have a target's listeners take: the one that judges clients, and the one that asks no rules about them.
// Nobody is presented to a filter that no account wants.
func loads(cfg *config.Config, accounts []*config.Account, target *config.Target) (judged, plain load) {
	written := false // whether there is an account that the postmaster may be written to about
	for _, a := range accounts {
		if cfg.Target(a) != target {
			continue
		}
		written = true
		if a.Filter {
			judged.accounts, judged.to = append(judged.accounts, a), append(judged.to, recipientsOf(a)...)
		}
		to := plainly(a)
		if len(to) > 0 || !a.Filter {
			plain.accounts, plain.to = append(plain.accounts, a), append(plain.to, to...)
		}
	}
	if written && cfg.TroubleMail != "" {
		plain.to = append(plain.to, addressee{cfg.TroubleMail, "trouble_mail"})
	}
	return judged, plain
}

// plainly are those whom an account may have mail go to by the listener without rules about clients.
func plainly(a *config.Account) (to []addressee) {
	rules := []transfer.NoClient{a.OnUnknownClient, a.OnInternal, a.OnStale}
	if !a.Filter || slices.Contains(rules, transfer.SendPlain) {
		to = recipientsOf(a)
	}
	if q := a.OnRefused.Quarantine; q != "" {
		to = append(to, addressee{q, "accounts." + a.Name + ".on_refused"})
	}
	return to
}

// recipientsOf are the recipients that an account names. Those of a multidrop mailbox stand in its messages.
func recipientsOf(a *config.Account) (to []addressee) {
	for _, r := range a.Recipients {
		to = append(to, addressee{r, "accounts." + a.Name + ".recipients"})
	}
	return to
}

// checkPlain finds out whether the listener without rules about clients answers, and takes the mail.
func checkPlain(ctx context.Context, target *config.Target, mail load, user int) *checked {
	c := &checked{Checked: ui.CheckPlain(target)}
	c.fail(reachable(user, target.Plain))
	dial, options := app.Plain(target)
	impatient(&options)
	found, err := inject.Probe(ctx, dial, options, inject.Client{ESMTP: true}) // presented to nobody: XCLIENT is off
	if err != nil {
		c.fail(err)
		return c
	}
	c.Listener(found)
	c.SizeLimit(found.SizeLimit, mail.accounts)
	c.recipients(ctx, dial, options, inject.Client{}, mail.to)
	return c
}

// checkMTA finds out whether the MTA can be shown the true clients, and how fast, and takes the mail. Where XCLIENT is
// required and not offered, the probe fails.
func checkMTA(ctx context.Context, target *config.Target, mail load, user int) *checked {
	c := &checked{Checked: ui.CheckMTA(target)}
	c.fail(reachable(user, target.Address))
	for _, f := range []config.NamedFile{{Key: "password_file", Path: target.PasswordFile}, {Key: "tls_ca_file", Path: target.TLSCAFile}} {
		c.fail(readable(user, target.Section()+"."+f.Key+" "+f.Path, f.Path))
	}
	dial, options, err := app.MTA(target)
	if err != nil {
		c.fail(err)
		return c
	}
	impatient(&options)
	clients := probedClients(target, mail.accounts)
	found, err := inject.Probe(ctx, dial, options, clients...)
	if err != nil {
		c.fail(err)
		return c
	}
	c.Capabilities(found, target)
	if found.TLS != "" {
		c.Secured(found.TLS, found.NotAfter, time.Now())
	}
	c.SizeLimit(found.SizeLimit, mail.accounts)
	for _, p := range found.Presented {
		if p.Err != nil {
			c.fail(p.Err)
			return c
		}
	}
	// The MTA's rules about clients have the least against a stand-in, which lists do not know, with a name.
	const name = "client.example.org"
	harmless := inject.Client{Addr: target.InternalClientAddress.Addr, Name: name, ReverseName: name, HELO: name, ESMTP: true}
	c.recipients(ctx, dial, options, harmless, mail.to)
	return c
}

// impatient shortens the limits of a dialogue. A listener that waits for something else is silent: nobody wants to look at that for
// RFC 5321's five minutes.
func impatient(o *inject.Options) {
	o.Timeouts.Connect, o.Timeouts.Greeting, o.Timeouts.Command = probeTime, probeTime, probeTime
	o.Connections = 1
}

// maxAsked is how many recipients are asked about in one transaction, less than any MTA allows (RFC 5321 section 4.5.3.1.8).
const maxAsked = 100

// recipients asks the MTA at RCPT whether it takes mail for these, shown this client; nobody is shown where that is the zero [inject.Client].
func (c *checked) recipients(ctx context.Context, dial inject.Dialer, o inject.Options, client inject.Client, to []addressee) {
	keys := map[string]string{} // the first that names each address
	var all []string
	for _, a := range to {
		if keys[a.address] == "" {
			keys[a.address] = a.key
			all = append(all, a.address)
		}
	}
	pool := inject.NewPool(dial, o)
	taken := 0
	for some := range slices.Chunk(all, maxAsked) {
		receipts := make(chan inject.Receipt, 1)
		if err := pool.Submit(ctx, &inject.Message{Client: client, To: some, DryRun: true, Size: -1}, func(r inject.Receipt) { receipts <- r }); err != nil {
			c.fail(err)
			break
		}
		receipt := <-receipts
		if receipt.Err != nil {
			c.fail(receipt.Err)
			break
		}
		for _, r := range receipt.Recipients {
			about := transfer.RefusesRecipient(r.Reply)
			if r.Stage == "RCPT" && client == (inject.Client{}) {
				about = true // it can be about no client, as where the MTA relays to nobody
			}
			switch {
			case r.Stage == "RCPT" && r.Reply.Code/100 == 2:
				taken++
			case r.Reply.Code/100 == 5 && about:
				c.fail(&inject.Error{Kind: inject.Misconfigured, Op: "RCPT", Text: "the MTA takes no mail for " + r.Address, Reply: r.Reply,
					Advice: "correct " + keys[r.Address] + ", or have the MTA take mail for it"})
			default:
				c.NotAsked(r.Address, r.Reply)
			}
		}
	}
	c.Recipients(taken)
	c.fail(pool.Close(ctx))
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
