package ui

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/oauth"
	"github.com/truehop/truehop/inject"
)

// Check writes what the command check finds, as it finds it.
type Check struct{ W io.Writer }

// Configuration says that it is good, and what is odd about it.
func (c Check) Configuration(cfg *config.Config) {
	fmt.Fprintf(c.W, "configuration %s: good, %s\n", cfg.Path, count(len(cfg.Accounts), "account"))
	for _, w := range cfg.Warnings {
		fmt.Fprintf(c.W, "  warning: %s\n", w)
	}
}

// Failed says what does not work and what to do about it.
func (c Check) Failed(err error) {
	fmt.Fprintf(c.W, "  FAILED: %s\n", lines(err.Error()))
	if h := Hint(err); h != "" {
		fmt.Fprintf(c.W, "  %s\n", lines(h))
	}
}

// Spool begins the part about the spool directory.
func (c Check) Spool(dir, user string) { fmt.Fprintf(c.W, "spool: %s, for %s\n", dir, user) }

// Upstream begins the part about an account.
func (c Check) Upstream(a *config.Account) {
	fmt.Fprintf(c.W, "%s: %s at %s, TLS %s, user %s\n", a.Name, a.Protocol, a.Addr(), a.TLS, a.User)
	if needs, page := a.Needs(); needs != "" {
		fmt.Fprintf(c.W, "  %s\n", needs)
		if page != "" {
			fmt.Fprintf(c.W, "  see %s\n", page)
		}
	}
}

// Token says how long an account's access token lasts.
func (c Check) Token(s oauth.Status) { fmt.Fprintf(c.W, "  %s\n", tokenText(s)) }

// Folder says what is in a folder; "" is the only one of a POP3 mailbox.
func (c Check) Folder(name string, l *fetch.Listing) {
	what, rights := "mailbox", ""
	if name != "" {
		what = "folder " + fetch.Sanitize(name)
	}
	if l.ReadOnly {
		rights = ", read-only: nothing can be deleted, moved or flagged"
	}
	fmt.Fprintf(c.W, "  %s: %s%s\n", what, count(len(l.Refs), "message"), rights)
	if l.MarkError != nil {
		fmt.Fprintf(c.W, "  mark_delivered has no effect here: %s\n", lines(l.MarkError.Error()))
	}
	if l.Unlisted > 0 {
		fmt.Fprintf(c.W, "  the server counts %d more and does not list them: they are out of reach\n", l.Unlisted)
	}
	if l.Expire == "0" {
		fmt.Fprintln(c.W, "  EXPIRE 0: the server deletes what was retrieved in a session that ends with QUIT; truehop says that only where all of it was delivered")
	} else if l.Expire != "" && l.Expire != "NEVER" {
		fmt.Fprintf(c.W, "  EXPIRE: the server deletes messages after %s days, delivered or not\n", l.Expire)
	}
	if l.LoginDelay > 0 {
		fmt.Fprintf(c.W, "  LOGIN-DELAY: the server wants %v between two logins\n", l.LoginDelay)
	}
	if l.NoUIDs {
		fmt.Fprintln(c.W, "  no UIDL: messages are known by their content, and those that stay there are downloaded at each pass")
	}
}

// Clients says of how many of the last messages the client is known, and what they have in common.
func (c Check) Clients(o *Outcomes) {
	messages, found := o.total()
	if messages == 0 {
		return
	}
	fmt.Fprintf(c.W, "  clients: known of %d of the last %s\n", found, count(messages, "message"))
	for _, finding := range o.Findings() {
		fmt.Fprintf(c.W, "  warning: %s\n", fetch.Printable(finding))
	}
}

// NoIdle says that the server cannot announce new mail.
func (c Check) NoIdle() {
	fmt.Fprintln(c.W, "  no IDLE: serve asks for new mail every minute")
}

// MTA begins the part about a target.
func (c Check) MTA(in *config.Target) {
	how := "XCLIENT " + in.XClient.String()
	if in.Carrier != inject.XCLIENT {
		how = "carrier " + in.Carrier.String()
	}
	fmt.Fprintf(c.W, "%s: %s at %s, %s\n", mtaName(in), in.Protocol, in.Address, how)
}

// Plain begins the part about the listener of a target that no client is presented to.
func (c Check) Plain(in *config.Target) {
	fmt.Fprintf(c.W, "%s, without clients: at %s\n", mtaName(in), in.Plain)
}

// mtaName is what an MTA is called where there may be several.
func mtaName(in *config.Target) string {
	if in.Section() == "inject" {
		return "MTA"
	}
	return "MTA " + in.Name
}

// Listener says what the listener offers.
func (c Check) Listener(found inject.Capabilities) {
	fmt.Fprintf(c.W, "  greeting: %s\n", replyText(found.Greeting))
	fmt.Fprintf(c.W, "  extensions: %s\n", strings.Join(found.Extensions, ", "))
}

// Capabilities says whether the MTA can be shown the true clients, and how fast.
func (c Check) Capabilities(found inject.Capabilities, in *config.Target) {
	c.Listener(found)
	switch in.Carrier {
	case inject.XFORWARD:
		fmt.Fprintf(c.W, "  XFORWARD: offered, attributes %s\n", fetch.Sanitize(strings.Join(found.XFORWARD, " ")))
		fmt.Fprintln(c.W, "  the MTA's log and content filters see the client; its access rules see this host")
		return
	case inject.PROXYv1, inject.PROXYv2:
		fmt.Fprintln(c.W, "  PROXY: the MTA answered behind the header; whether it took the address from it is to be seen in its log")
		fmt.Fprintln(c.W, "  it is told the client's address and HELO, looks up the name, and gets a connection for every message")
		return
	}
	if len(found.XCLIENT) == 0 {
		fmt.Fprintln(c.W, "  XCLIENT: not offered")
		return
	}
	fmt.Fprintf(c.W, "  XCLIENT: offered, attributes %s\n", fetch.Sanitize(strings.Join(found.XCLIENT, " ")))
	if in.XClient == inject.Off {
		fmt.Fprintf(c.W, "  but %s.xclient is off: the MTA takes every message for local mail\n", in.Section())
		return
	}
	if len(found.Presented) == 0 {
		return
	}
	for _, p := range found.Presented {
		fmt.Fprintf(c.W, "  presented %s: %s\n", clientText(p.Client, in), replyText(p.Reply))
	}
	if found.OneClient {
		fmt.Fprintln(c.W, "  a second XCLIENT in the session: not tried, this server may keep what it was told of the client before;")
		fmt.Fprintln(c.W, "  every message gets a connection of its own, and no attribute of it reaches another")
		return
	}
	// Does one session serve many messages, and if not, what is to be written where?
	barred := slices.ContainsFunc(found.Presented, func(p inject.Presentation) bool { return !p.Reset && p.Err == nil })
	switch {
	case !barred:
		fmt.Fprintln(c.W, "  a second XCLIENT in the session: allowed, one session carries many messages")
		return
	case found.Presented[0].Reset:
		fmt.Fprintln(c.W, "  a second XCLIENT in the session: allowed, but not after each of these clients")
	default:
		fmt.Fprintln(c.W, "  a second XCLIENT in the session: not allowed, every message needs a connection of its own")
	}
	if in.Address.Network == "unix" {
		fmt.Fprintln(c.W, "  for fewer connections add to the listener in master.cf: -o smtpd_authorized_xclient_hosts=static:all")
	} else {
		fmt.Fprintln(c.W, "  a listener on a UNIX socket may allow it: see examples/postfix")
	}
}

// clientText says which client check presented.
func clientText(client inject.Client, in *config.Target) string {
	switch client.Addr {
	case in.UnknownClientAddress.Addr:
		return client.Addr.String() + ", for clients that are not known"
	case in.InternalClientAddress.Addr:
		return client.Addr.String() + ", for mail that began at the upstream"
	case netip.Addr{}:
		return "[UNAVAILABLE]"
	}
	return client.Addr.String()
}
