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

// accountsOf returns those of the accounts whose mail a target takes: those whose clients it judges, and those without a filter. Nobody is
// presented to a filter that no account wants.
func accountsOf(cfg *config.Config, accounts []*config.Account, target *config.Target) (filtered, unfiltered []*config.Account) {
	for _, a := range accounts {
		switch {
		case cfg.Target(a) != target:
		case a.Filter:
			filtered = append(filtered, a)
		default:
			unfiltered = append(unfiltered, a)
		}
	}
	return filtered, unfiltered
}

// checkPlain finds out whether the listener without rules about clients answers, and takes the accounts' mail.
func checkPlain(ctx context.Context, target *config.Target, accounts []*config.Account, user int) *checked {
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
	c.SizeLimit(found.SizeLimit, accounts)
	c.recipients(ctx, dial, options, inject.Client{}, accounts)
	return c
}

// checkMTA finds out whether the MTA can be shown the true clients, and how fast, and takes the accounts' mail. Where XCLIENT is
// required and not offered, the probe fails.
func checkMTA(ctx context.Context, target *config.Target, accounts []*config.Account, user int) *checked {
	c := &checked{Checked: ui.CheckMTA(target)}
	c.fail(reachable(user, target.Address))
	dial, options, err := app.MTA(target)
	if err != nil {
		c.fail(err)
		return c
	}
	impatient(&options)
	clients := probedClients(target, accounts)
	found, err := inject.Probe(ctx, dial, options, clients...)
	if err != nil {
		c.fail(err)
		return c
	}
	c.Capabilities(found, target)
	if found.TLS != "" {
		c.Secured(found.TLS, found.NotAfter, time.Now())
	}
	c.SizeLimit(found.SizeLimit, accounts)
	for _, p := range found.Presented {
		if p.Err != nil {
			c.fail(p.Err)
			return c
		}
	}
	// The MTA's rules about clients have the least against a stand-in, which lists do not know, with a name.
	const name = "client.example.org"
	harmless := inject.Client{Addr: target.InternalClientAddress.Addr, Name: name, ReverseName: name, HELO: name, ESMTP: true}
	c.recipients(ctx, dial, options, harmless, accounts)
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

// recipients asks the MTA at RCPT whether it takes mail for the accounts' recipients.
func (c *checked) recipients(ctx context.Context, dial inject.Dialer, o inject.Options, client inject.Client, accounts []*config.Account) {
	of := map[string]string{} // the account of each recipient
	var all []string
	for _, a := range accounts {
		for _, to := range a.Recipients {
			if of[to] == "" {
				of[to] = a.Name
				all = append(all, to)
			}
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
			switch {
			case r.Stage == "RCPT" && r.Reply.Code/100 == 2:
				taken++
			case r.Reply.Code/100 == 5 && transfer.RefusesRecipient(r.Reply):
				c.fail(&inject.Error{Kind: inject.Misconfigured, Op: "RCPT", Text: "the MTA takes no mail for " + r.Address, Reply: r.Reply,
					Advice: "correct accounts." + of[r.Address] + ".recipients, or have the MTA take mail for it"})
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
