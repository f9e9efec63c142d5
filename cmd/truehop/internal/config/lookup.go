package config

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// Targets returns the targets in the alphabetical order of their names.
func (c *Config) Targets() []*Target {
	var all []*Target
	for _, name := range c.TargetNames() {
		all = append(all, c.Inject[name])
	}
	return all
}

// TargetNames returns the targets' names in alphabetical order.
func (c *Config) TargetNames() []string { return slices.Sorted(maps.Keys(c.Inject)) }

// Target returns the target that takes an account's mail.
func (c *Config) Target(a *Account) *Target { return c.Inject[a.Inject] }

// Section is the path of the target's keys, as a person writes it.
func (t *Target) Section() string { return shown(t.path()) }

// path is the path of the target's keys in a [report].
func (t *Target) path() string {
	if !t.named {
		return injectKey
	}
	return join(injectKey, t.Name)
}

// Names returns the accounts' names in alphabetical order.
func (c *Config) Names() []string { return slices.Sorted(maps.Keys(c.Accounts)) }

// Selection is the folders to fetch from. Patterns do not choose where mail is moved to: it would come back.
func (a *Account) Selection() fetch.Selection {
	s := slices.Clone(fetch.Selection(a.Folders))
	if s.Fixed() {
		return s
	}
	for _, d := range []fetch.Disposal{a.OnDelivered, a.OnRefused.Disposal} {
		if d.Action == fetch.Move {
			s = append(s, "!"+d.Target)
		}
	}
	return s
}

// Addr returns host:port for [net.Dial].
func (a *Account) Addr() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// Upstream names the service that the account's mail comes from, for limits on connections with it: its host as it is configured, and its port. Not its
// addresses: a large provider has many that change, and its limits are on all of them together. With the port, for two behind tunnels on one host
// are two.
func (a *Account) Upstream() string { return strings.ToLower(a.Addr()) }

// Mailbox names the mailbox as USER at HOST, alike for all accounts that fetch from it. The four well-known ports of a host lead to one server;
// another port may lead to another, as with containers or a tunnel, and is in the name.
func (a *Account) Mailbox() string {
	host := strings.ToLower(strings.TrimSuffix(a.Host, "."))
	if !slices.ContainsFunc(wellKnownPorts(), func(w wellKnownPort) bool { return w.port == a.Port }) {
		host = net.JoinHostPort(host, strconv.Itoa(a.Port))
	}
	return a.User + " at " + host
}

// UserAtHost is Mailbox whatever the port: a tunnel to the same mailbox may have another at each start.
func (a *Account) UserAtHost() string {
	return a.User + " at " + strings.ToLower(strings.TrimSuffix(a.Host, "."))
}
