package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/transfer"
)

// checker looks for what no single value shows: missing keys, keys that
// contradict each other, settings that are allowed but unwise.
type checker struct {
	*report
	// row says that it is an account in a table.
	row bool
}

func check(c *Config, r *report) {
	k := checker{report: r}
	if c.StateDir == "" {
		k.wrong("state_dir", "neither set nor to be had from the environment ($HOME is missing); set it")
	} else {
		k.absolute("state_dir", c.StateDir)
		if c.SpoolDir != c.defaultSpool() { // else it is told already
			k.absolute("spool_dir", c.SpoolDir)
		}
	}
	k.state(c)
	k.monitoring(c)
	k.trouble(c)
	k.table(c)
	for _, t := range c.Targets() {
		k.target(t.path(), t)
	}
	if s := c.Resolver.Server; s != "" {
		_, notAddr := netip.ParseAddr(s)
		_, notAddrPort := netip.ParseAddrPort(s)
		if notAddr != nil && notAddrPort != nil {
			k.wrong("resolver/server", "want the address of a name server, such as 192.0.2.53 or [2001:db8::53]:5353%s", got(s))
		}
	}
	if len(c.Accounts) == 0 && c.AccountsFrom == "" {
		k.wrong("accounts", "no account is configured; add one: accounts: {NAME: {host: …, user: …, password_file: …, recipients: […]}}")
	}
	for _, name := range c.Names() {
		k.account(c.Accounts[name], c)
	}
	for _, t := range c.Targets() {
		if c.AccountsFrom == "" && t.named && !slices.ContainsFunc(c.Names(), func(name string) bool { return c.Accounts[name].Inject == t.Name }) {
			k.warn(t.path(), "no account chooses this target")
		}
	}
	for _, d := range doubles(slices.Collect(maps.Values(c.Accounts))) {
		k.wrong("accounts/"+d.account.Name, "%s", d.why())
	}
}

// account checks one account by itself.
func (k checker) account(a *Account, c *Config) {
	at := "accounts/" + a.Name
	k.upstream(at, a)
	k.line(at, a)
	k.login(at, a)
	k.folders(at, a)
	k.envelope(at, a)
	k.multidrop(at, a)
	k.boundary(at, a)
	k.pacing(at, a)
	k.choice(at, a, c)
}

// monitoring checks where a monitor is answered.
func (k checker) monitoring(c *Config) {
	local := c.Metrics.Network != "tcp" || c.Metrics.Loopback()
	switch {
	case !local && !c.MetricsPublic:
		k.wrong("metrics", "%s can be reached by other hosts, without a password; name a loopback address such as 127.0.0.1:9917 or a UNIX socket, or say metrics_public: true", c.Metrics)
	case local && c.MetricsPublic:
		k.warn("metrics_public", "has no effect: metrics names no address that other hosts reach; remove it")
	}
	k.absolute("metrics_file", c.MetricsFile)
	if f := c.MetricsFile; f != "" && filepath.Ext(f) != ".prom" {
		k.wrong("metrics_file", "want a name that ends in .prom, got %s; node_exporter reads no other", show(f))
	}
}

// trouble checks whom and how the postmaster is written to.
func (k checker) trouble(c *Config) {
	if c.TroubleMail == "" {
		return
	}
	if why := mailbox(c.TroubleMail); why != "" {
		k.wrong("trouble_mail", "%s is no address: %s", show(c.TroubleMail), why)
	}
	for _, t := range c.Targets() {
		chosen := c.AccountsFrom != "" || slices.ContainsFunc(c.Names(), func(name string) bool { return c.Target(c.Accounts[name]) == t })
		if chosen && t.Plain == (Endpoint{}) && !k.bad[t.path()+"/plain"] {
			k.wrong("trouble_mail", "needs a listener that asks no rules about clients; set %s.plain", t.Section())
		}
	}
}

func (k checker) absolute(path, value string) {
	if value == "" || filepath.IsAbs(value) {
		return
	}
	found := got(value)
	if secretive(path) {
		found = ""
	}
	k.wrong(path, "want an absolute path%s (~ and variables are not expanded)", found)
}

// choice checks which target takes an account's mail, and what needs that target's second listener.
func (k checker) choice(at string, a *Account, c *Config) {
	in := c.Target(a)
	if in == nil {
		var names []string
		for _, t := range c.Targets() {
			names = append(names, t.Name)
		}
		if a.Inject == "" {
			k.wrong(at+"/inject", "is missing: there are several targets below inject, and none is called %s; choose one of %s", MainTarget, strings.Join(names, ", "))
		} else {
			k.wrong(at+"/inject", "there is no target %s below inject; there are: %s", show(a.Inject), strings.Join(names, ", "))
		}
		return
	}
	missing := in.Plain == Endpoint{} && !k.bad[in.path()+"/plain"]
	if !a.Filter && missing {
		k.wrong(at+"/filter", "false needs a listener that asks no rules about clients; set %s.plain", in.Section())
	}
	if a.OnRefused.Quarantine != "" && missing {
		k.wrong(at+"/on_refused", "quarantine needs a listener that asks no rules about clients; set %s.plain", in.Section())
	}
	for key, rule := range map[string]transfer.NoClient{"on_unknown_client": a.OnUnknownClient, "on_internal": a.OnInternal, "on_stale": a.OnStale} {
		if rule == transfer.SendPlain && missing {
			k.wrong(at+"/"+key, "plain needs a listener that asks no rules about clients; set %s.plain", in.Section())
		}
	}
	if a.OnStale == transfer.SendPlain && a.StaleAfter == 0 {
		k.wrong(at+"/on_stale", "has no effect with stale_after: 0; set stale_after, for instance to 30d")
	}
}

// target checks how mail gets into an MTA. Its keys are at section.
func (k checker) target(section string, in *Target) {
	at := section + "/"
	if in.Hello != "" && !heloName(in.Hello) {
		k.wrong(at+"hello", "want a host name or an address literal such as [192.0.2.1], got %s", show(in.Hello))
	}
	if in.Protocol == inject.LMTP {
		// RFC 2033 section 5.
		if _, port, err := splitHostPort(in.Address.Address); err == nil && port == 25 {
			k.wrong(at+"address", "LMTP is not spoken on port 25; name the port of the LMTP server, or set protocol: smtp")
		}
		k.warn(at+"protocol", "lmtp reaches a delivery agent: the MTA's rules for clients are never asked")
	}
	// Each of these lets somebody pass as a client that he is not.
	switch {
	case in.Carrier == inject.XFORWARD:
		k.warn(at+"carrier", "xforward: the MTA's rules see truehop itself, which may relay and passes all client rules; only its log names the client")
	case in.Carrier != inject.XCLIENT && in.Address.Loopback():
		// That includes addresses of mynetworks, which may relay.
		k.warn(at+"address", "every user of this host can connect to %s and present any client by PROXY, this host among them; let that listener relay for nobody (reject_unauth_destination and a mynetworks= of its own, in Postfix)", in.Address)
	case in.Carrier != inject.XCLIENT: // PROXY carries the address, and XCLIENT is not used
	case in.XClient == inject.Off:
		k.warn(at+"xclient", "off: the MTA takes every message as coming from truehop itself, which may relay and passes all client rules")
	case in.XClient == inject.IfAvailable:
		k.warn(at+"xclient", "if-available: if the MTA stops offering XCLIENT, mail passes all client rules unnoticed; prefer required")
	case in.Address.Loopback():
		k.warn(at+"address", "every user of this host can connect to %s and present any client by XCLIENT; prefer a UNIX socket (examples/postfix)", in.Address)
	}
	// A network never to be presented that holds one of these would have such mail held.
	for key, a := range map[string]Address{"unknown_client_address": in.UnknownClientAddress, "internal_client_address": in.InternalClientAddress} {
		if why := transfer.WhyNotStandIn(a.Addr, in.NeverPresent); why != "" && !k.bad[at+key] {
			k.wrong(at+key, "%s is %s", a, why)
		}
	}
	if in.UnknownClientAddress == in.InternalClientAddress {
		k.wrong(at+"internal_client_address", "is the same as unknown_client_address; give another one, so that the MTA can tell them apart")
	}
	k.absolute(at+"tls_ca_file", in.TLSCAFile)
	for key, v := range map[string]string{"tls_ca_file": in.TLSCAFile, "tls_server_name": in.TLSServerName} {
		if v != "" && in.TLS == NoTLS {
			k.wrong(at+key, "has no effect with tls: none; remove it or set tls: starttls")
		}
	}
	byPROXY := in.Carrier != inject.XCLIENT && in.Carrier != inject.XFORWARD
	if byPROXY && in.User != "" { // AUTH comes behind the header
		k.wrong(at+"user", "with carrier: %s each client that is presented would count as a user who has logged in, and might relay; remove it, and let the MTA know truehop by its address", in.Carrier)
	}
	if in.User != "" || len(in.sources()) > 0 {
		k.credentials(section, &in.Credentials, nil, nil)
	}
	if k.bad[at+"address"] {
		return
	}
	if in.Address.Network == "unix" && in.TLS != NoTLS {
		k.wrong(at+"tls", "%s makes no sense on a UNIX socket; remove it, or give address as HOST:PORT", in.TLS)
	}
	switch clear := in.Address.Network == "tcp" && !in.Address.Loopback() && in.TLS == NoTLS; {
	case clear && in.User != "":
		k.wrong(at+"user", "the password would go to %s in the clear; set tls: starttls", in.Address)
	case clear:
		k.warn(at+"tls", "none: mail goes to %s unencrypted; prefer starttls", in.Address)
	}
}

// credentials checks for a user and exactly one source of a password, or of instead, which keys gives.
func (k checker) credentials(at string, c *Credentials, keys, instead []string) {
	sources := slices.Concat(c.sources(), instead)
	keys = slices.Concat(passwordKeys(), keys)
	switch {
	case c.User == "":
		k.wrong(at+"/user", "is missing; give the login name")
	case len(c.User) > 255:
		k.wrong(at+"/user", "has more than 255 octets")
	}
	switch {
	case len(sources) == 0 && k.row:
		k.wrong(at+"/secret", "there is no password; truehop accounts set --secret reads one, or defaults: in a file names a source for all")
	case len(sources) == 0 && !slices.ContainsFunc(keys, func(key string) bool { return k.bad[at+"/"+key] }):
		k.wrong(at+"/password_file", "there is no password; give one of %s", strings.Join(keys, ", "))
	case len(sources) > 1:
		k.wrong(at+"/"+sources[1], "%s are both given; keep one", strings.Join(sources[:2], " and "))
	}
	k.absolute(at+"/password_file", c.PasswordFile)
	k.program(at+"/password_command", c.PasswordCommand)
	k.credentialName(at+"/password_credential", c.PasswordCredential)
	if strings.ContainsFunc(c.InlinePassword.Reveal(), func(r rune) bool { return r == 0 || r == '\r' || r == '\n' }) {
		k.wrong(at+"/password", "holds a line break or NUL")
	}
}

// credentialName checks the name of a systemd credential.
func (k checker) credentialName(at, name string) {
	if strings.ContainsAny(name, "/:") || strings.HasPrefix(name, ".") || len(name) > 255 {
		// It is not repeated: it may be the password itself.
		k.wrong(at, "is no name of a credential; that is the part before the colon in LoadCredential=NAME:PATH")
	}
}

// program checks a command that prints a secret.
func (k checker) program(at string, argv []string) {
	if len(argv) > 0 && !filepath.IsAbs(argv[0]) {
		k.wrong(at, "name the program by its full path, as in [/usr/bin/pass, show, mail]; there is no shell and no search")
	}
}

// overlap reports which folder two accounts for one mailbox would both fetch from, "" if none is known from the configuration alone: what
// a special use stands for, and what two different patterns have in common, only the server knows.
func overlap(a, b *Account) string {
	s, other := a.Selection(), b.Selection()
	if a.Protocol == POP3 {
		s = fetch.Selection{"INBOX"}
	}
	if b.Protocol == POP3 {
		other = fetch.Selection{"INBOX"}
	}
	for _, item := range s {
		switch {
		case strings.HasPrefix(item, "!"):
		case fetch.Selection{item}.Fixed():
			if strings.EqualFold(item, "INBOX") {
				item = "INBOX"
			}
			if other.Takes(item) {
				return item
			}
		case slices.Contains(other, item):
			return item
		}
	}
	return ""
}

// double is an account for a mailbox that another one fetches from already.
type double struct {
	account *Account
	other   string
	folder  string
}

// why says what would come of it.
func (d double) why() string {
	return fmt.Sprintf("fetches %s of %s at %s, as account %s does: every message would be delivered twice; remove one",
		d.folder, show(d.account.User), d.account.Host, d.other)
}

// doubles finds accounts for one mailbox: each would deliver what the other did, and know nothing of it. Of two, the one
// from a table is to blame, else the later one by name. POP3 shows the inbox.
func doubles(accounts []*Account) (found []double) {
	slices.SortFunc(accounts, func(a, b *Account) int {
		if a.InTable != b.InTable {
			if b.InTable {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	seen := map[string][]*Account{}
	for _, a := range accounts {
		if a.Host == "" || a.User == "" {
			continue
		}
		box := a.Mailbox()
		folder := ""
		i := slices.IndexFunc(seen[box], func(other *Account) bool {
			folder = cmp.Or(overlap(a, other), overlap(other, a))
			return folder != ""
		})
		if i >= 0 {
			found = append(found, double{a, seen[box][i].Name, folder})
			continue
		}
		seen[box] = append(seen[box], a)
	}
	return found
}

// hostName reports whether s is a host name of ASCII labels, a trailing dot allowed.
func hostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool {
				return !letterOrDigit(r) && r != '-' && r != '_'
			}) {
			return false
		}
	}
	return true
}

// letterOrDigit reports whether r is one in ASCII.
func letterOrDigit(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	}
	return false
}

// heloName reports whether s can stand after EHLO (RFC 5321 section 4.1.1.1).
func heloName(s string) bool {
	if lit, ok := strings.CutPrefix(s, "["); ok {
		lit = strings.TrimPrefix(strings.TrimSuffix(lit, "]"), "IPv6:")
		_, err := netip.ParseAddr(lit)
		return err == nil && strings.HasSuffix(s, "]")
	}
	_, err := netip.ParseAddr(s)
	return err != nil && hostName(s)
}

// splitHostPort reads HOST:PORT with a numeric port.
func splitHostPort(s string) (string, int, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.Contains(s, "@") {
		return "", 0, fmt.Errorf("want unix:/PATH or HOST:PORT%s", got(s))
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 {
		return "", 0, fmt.Errorf("%s is no port; want 1 to 65535", show(port))
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostName(host) {
		return "", 0, fmt.Errorf("%s is no host name", show(host))
	}
	return host, n, nil
}
