package importer

import (
	"cmp"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Fetchmail reads a fetchmailrc.
func Fetchmail(file string, text []byte, o Options) (*Plan, error) {
	rc, err := parseFetchmail(file, text)
	if err != nil {
		return nil, err
	}
	f := &fetchmail{Plan: &Plan{Program: "fetchmail", options: o, file: file}, globals: rc.globals}
	for _, o := range []struct{ name, text string }{
		{"logfile", "the log goes to standard error, or to the journal under systemd; redirect it, or see the key log"},
		{"syslog", "the log goes to standard error, or to the journal under systemd, which hands it to syslog"},
		{"postmaster", "mail whose recipient cannot be found is held and shown by truehop status; nobody gets it unasked"},
		{"bouncemail", "truehop never sends a bounce: what the MTA refuses stays upstream, and truehop status shows it (on_refused)"},
		{"spambounce", "truehop never sends a bounce (on_refused)"},
		{"softbounce", "what the MTA refuses stays upstream, is not offered again and wants a person; see on_refused for other ways"},
		{"invisible", "truehop adds no Received field; the MTA's own names the true client"},
	} {
		if g, ok := f.globals[o.name]; ok {
			f.note(g.place, "", "set %s: %s", o.name, o.text)
		}
	}
	for _, e := range rc.withDefaults() {
		if err := f.entry(e); err != nil {
			return nil, err
		}
	}
	if len(f.Accounts) == 0 {
		return nil, wrong(file, place{}, "no mailbox in it that truehop can fetch from")
	}
	f.note(place{}, "", "fetchmail completes and rewrites addresses in the header; truehop changes no octet of a message")
	return f.Plan, nil
}

// fetchmail turns what a fetchmailrc says into a plan.
type fetchmail struct {
	*Plan
	globals map[string]given
}

// entry makes an account of each user of a server.
func (f *fetchmail) entry(e *fetchmailEntry) error {
	if e.skip {
		f.note(e.place, "", "skip %s is not carried over: write poll in its place if it is to be fetched", show(e.name))
		return nil
	}
	protocol, refusal := "imap", ""
	switch p := strings.ToLower(e.options["protocol"].text()); p {
	case "imap":
	case "pop3", "apop", "sdps":
		protocol = "pop3"
	case "", "auto":
		if port, _ := fetchmailPort(e); port == 110 || port == 995 {
			protocol = "pop3"
		}
	case "etrn", "odmr":
		refusal = p + " has the server deliver by SMTP, where the client is not lost on the way; leave it to your MTA"
	default:
		refusal = "truehop speaks IMAP and POP3, not " + show(p)
	}
	if refusal != "" {
		f.note(e.options["protocol"].place, "", "%s is not carried over: %s", show(e.name), refusal)
		return nil
	}
	for _, u := range e.users {
		name := e.name
		if len(e.users) > 1 {
			name += "-" + u.remoteName(f.options.User)
		}
		a, err := f.addAccount(u.place, name)
		if err != nil {
			return err
		}
		f.server(a, e, u, protocol)
		f.user(a, e, u, protocol)
		f.tell(a, e, u)
		if err := f.seen(a, e, u, protocol); err != nil {
			return err
		}
	}
	return nil
}

// remoteName is the login, by default the name of the user whose file it is.
func (u *fetchmailUser) remoteName(user string) string {
	switch {
	case u.remote != "":
		return u.remote
	case len(u.locals) > 0:
		return u.locals[0].local
	}
	return user
}

// fetchmailPort returns the port that port or service gives.
func fetchmailPort(e *fetchmailEntry) (port int, known bool) {
	for _, key := range []string{"port", "service"} {
		text := e.options[key].text()
		if n, err := strconv.Atoi(text); err == nil {
			return n, true
		}
		if i := slices.Index([]string{"imap", "imap2", "imap4", "imaps", "pop3", "pop-3", "pop3s"}, text); i >= 0 {
			return []int{143, 143, 143, 993, 110, 110, 995}[i], true
		}
	}
	return 0, false
}

// server says where the mailbox is and how it is reached.
func (f *fetchmail) server(a *Account, e *fetchmailEntry, u *fetchmailUser, protocol string) {
	host := e.options["via"].text()
	if host == "" {
		host = e.name
	}
	a.set("protocol", protocol)
	a.set("host", strings.TrimSuffix(host, "."))
	port, known := fetchmailPort(e)
	if known {
		a.set("port", port)
	} else if g, ok := e.options["service"]; ok {
		f.note(g.place, a.Name, "service %s is no port that truehop knows; set port", show(g.text()))
	}
	if g := e.options["protocol"]; g.text() == "" || strings.EqualFold(g.text(), "auto") {
		f.note(e.place, a.Name, "fetchmail finds out the protocol, truehop is told: %s was written; change protocol if it is another", protocol)
	}
	f.tls(a, e, u)
	if g, ok := e.options["plugin"]; ok {
		number := ""
		if known {
			number = strconv.Itoa(port)
		} else if strings.Contains(g.text(), "%p") {
			f.note(g.place, a.Name, "plugin: name the port in connect_command in place of %%p")
		}
		words := command(g.text())
		for i := range words {
			words[i] = strings.NewReplacer("%h", host, "%p", number).Replace(words[i])
		}
		a.set("connect_command", words)
	}
	timeout := 300
	if g, ok := e.options["timeout"]; ok {
		timeout, _ = strconv.Atoi(g.text())
	}
	if timeout >= 1 && timeout <= 3600 {
		a.set("timeout", seconds(timeout))
	}
	if n, err := strconv.Atoi(f.globals["daemon"].text()); err == nil && n > 0 {
		interval := 1
		if i, err := strconv.Atoi(e.options["interval"].text()); err == nil && i > 0 {
			interval = i
		}
		a.set("schedule", "@every "+seconds(min(n, 1<<30)*min(interval, 1<<20)))
	} else if g, ok := e.options["interval"]; ok {
		f.note(g.place, a.Name, "interval %s: set schedule, such as @every 30m", show(g.text()))
	}
	auth := strings.ToLower(e.options["auth"].text())
	if strings.EqualFold(e.options["protocol"].text(), "apop") {
		auth = "apop"
	}
	switch auth {
	case "", "any", "password":
	case "cram", "cram-md5":
		a.set("auth", "cram-md5")
	case "apop", "external":
		a.set("auth", auth)
	case "ssh", "implicit":
		f.note(e.options["auth"].place, a.Name, "auth %s: truehop logs in with user and password, unless the server greets with PREAUTH", auth)
	default:
		f.note(e.options["auth"].place, a.Name, "auth %s is not spoken; truehop takes the strongest mechanism that the server offers and it knows", show(auth))
	}
}

// tls says how the connection is protected.
func (f *fetchmail) tls(a *Account, e *fetchmailEntry, u *fetchmailUser) {
	port, _ := fetchmailPort(e)
	ssl, sslGiven := u.options["ssl"]
	proto, protoGiven := u.options["sslproto"]
	implicit := sslGiven && !ssl.off
	_, plugged := e.options["plugin"]
	switch {
	case implicit:
		a.set("tls", "implicit")
	case plugged:
		a.set("tls", "none")
		return
	case protoGiven && proto.text() == "":
		a.set("tls", "none")
		a.set("allow_plaintext", true)
		f.note(proto.place, a.Name, "sslproto '' shows password and mail to everybody on the way, and so does tls: none")
		return
	case port == 993 || port == 995: // fetchmail would hang there
		a.set("tls", "implicit")
	default:
		a.set("tls", "starttls")
		f.note(u.place, a.Name, "without ssl fetchmail goes on in the clear where the server offers no TLS; tls: starttls does not")
	}
	if g, ok := u.options["sslcertck"]; ok && g.off {
		f.note(g.place, a.Name, "no sslcertck is not carried over: the certificate must be right; truehop check shows its sum for tls_pins if it is not")
	}
	f.path(a, u, "sslcertfile", "tls_ca_file")
	f.path(a, u, "sslcert", "tls_cert_file")
	f.path(a, u, "sslkey", "tls_key_file")
	if g, ok := u.options["sslcommonname"]; ok {
		a.set("tls_server_name", g.text())
	}
	if g, ok := u.options["sslcertpath"]; ok {
		f.note(g.place, a.Name, "sslcertpath: name one file with all authorities in tls_ca_file")
	}
	switch strings.ToLower(strings.TrimSuffix(proto.text(), "+")) {
	case "", "auto", "ssl23", "tls", "tls1.2":
	case "tls1.3":
		a.set("tls_min_version", "1.3")
	default:
		f.note(proto.place, a.Name, "sslproto %s: truehop speaks TLS 1.2 and later", show(proto.text()))
	}
	if g, ok := u.options["sslfingerprint"]; ok {
		if pin, ok := sha256Pin(strings.TrimPrefix(g.text(), "{SHA256}")); ok {
			a.set("tls_pins", []string{pin})
		} else {
			f.note(g.place, a.Name, "sslfingerprint is not a SHA-256 sum; truehop check shows the sums for tls_pins")
		}
	}
}

// path carries a file over. One that is not absolute lies below the home directory.
func (f *fetchmail) path(a *Account, u *fetchmailUser, from, to string) {
	if g, ok := u.options[from]; ok {
		a.set(to, f.expand(g.text()))
	}
}

// expand makes a path absolute, from the home directory on.
func (p *Plan) expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = rest
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.options.Home, path)
	}
	return path
}

// sha256Pin returns a pin for 64 hexadecimal digits, with colons or without.
func sha256Pin(text string) (string, bool) {
	digits := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
	if len(digits) != 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", false
	}
	return "sha256:" + digits, true
}

// command makes words of a command line. What needs a shell gets one, and so does a program that has to be searched for.
func command(line string) []string {
	words := strings.Fields(line)
	if len(words) == 0 || !filepath.IsAbs(words[0]) || strings.ContainsAny(line, "\"'`\\$&|;<>()*?[]{}~#\n") {
		return []string{"/bin/sh", "-c", line}
	}
	return words
}

// user says who logs in, what is fetched, where it goes and what becomes of it upstream.
func (f *fetchmail) user(a *Account, e *fetchmailEntry, u *fetchmailUser, protocol string) {
	login := u.remoteName(f.options.User)
	a.set("user", login)
	password, ok := u.options["password"]
	value := password.text()
	if !ok {
		value = f.netrc(login, e.name, e.options["via"].text())
	}
	f.password(a, u.place, value)
	if folders, ok := u.options["folder"]; ok {
		if protocol == "imap" {
			a.set("folders", folders.values)
		} else {
			f.note(folders.place, a.Name, "folder: POP3 has none")
		}
	}
	kept := u.on("keep")
	moved, moves := u.options["moveto"]
	switch {
	case moves && protocol == "imap":
		a.set("on_delivered", "move:"+moved.text())
	case !kept:
		a.set("on_delivered", "delete")
	case protocol == "imap":
		a.set("on_delivered", "seen")
	default:
		a.set("on_delivered", "keep")
	}
	if protocol == "imap" && u.onlyUnread() {
		a.set("search", "unseen")
	}
	if u.on("fetchall") && kept {
		f.note(u.options["fetchall"].place, a.Name, "fetchall with keep fetches the same mail again and again; truehop delivers each message once, and none that fetchmail has fetched")
	}
	limit, _ := strconv.Atoi(u.options["limit"].text())
	a.set("max_size", octets(limit))
	if limit > 0 {
		f.note(u.options["limit"].place, a.Name, "limit: larger messages stay upstream, held, and truehop status shows them")
	}
	if n, _ := strconv.Atoi(u.options["fetchlimit"].text()); n > 0 {
		a.set("max_messages", min(n, 1_000_000))
	}
	if u.on("idle") || u.on("forceidle") {
		a.set("idle", true)
	}
	mta := f.mta(a, e, u)
	if u.wildcard || len(u.locals) > 1 {
		f.multidrop(a, e, u)
		return
	}
	domain := cmp.Or(u.options["smtpaddress"].text(), mta)
	if domain == "" || strings.Contains(domain, ":") || isLoopback(domain) {
		domain = "localhost"
	}
	switch name := u.options["smtpname"].text(); {
	case name != "":
		f.recipients(a, u.place, []string{name}, "")
	case len(u.locals) == 1 && strings.Contains(u.locals[0].local, "@"):
		f.recipients(a, u.place, []string{u.locals[0].local}, "")
	case len(u.locals) == 1:
		f.recipients(a, u.place, []string{u.locals[0].local + "@" + domain}, "")
	default:
		f.recipients(a, u.place, nil, "the user whose file it is")
	}
}

// onlyUnread reports whether, with IMAP, what has the flag \Seen is left: without keep and with fetchall what was fetched is gone,
// so that all that is there is new.
func (u *fetchmailUser) onlyUnread() bool { return u.on("keep") || !u.on("fetchall") }

// on reports whether a flag is set.
func (u *fetchmailUser) on(flag string) bool {
	g, ok := u.options[flag]
	return ok && !g.off
}

// mta chooses the MTA that takes the mail, and returns its host.
func (f *fetchmail) mta(a *Account, e *fetchmailEntry, u *fetchmailUser) (host string) {
	hosts := u.options["smtphost"]
	for _, key := range []string{"mda", "bsmtp"} {
		if g, ok := u.options[key]; ok {
			f.note(g.place, a.Name, "%s is not carried over: truehop hands mail to an MTA, whose rules are to judge it; let the MTA call the program (Postfix: mailbox_command)", key)
		}
	}
	if len(hosts.values) > 1 {
		f.note(hosts.place, a.Name, "smtphost: the first is used; truehop does not look for others")
	}
	address := hosts.text()
	if !strings.HasPrefix(address, "/") {
		address, _, _ = strings.Cut(address, "/") // the port follows
	}
	host = address
	lmtp := u.on("lmtp")
	local := address == "" || strings.EqualFold(address, "localhost") || isLoopback(address)
	var keys []setting
	switch {
	case strings.HasPrefix(address, "/"):
		host = ""
		keys = []setting{{"address", "unix:" + address}}
	case local && !lmtp && !strings.Contains(hosts.text(), "/"):
		host = ""
		keys = []setting{{"address", listener}}
		f.note(hosts.place, "", "mail goes to the listener %s, not to port 25: add it to the MTA as README.md says, and run truehop check", listener)
	default:
		words := strings.Split(hosts.text(), "/")
		port := "25"
		for _, w := range words[1:] {
			if _, err := strconv.Atoi(w); err == nil {
				port = w
			}
		}
		if address == "" {
			address = "localhost"
		}
		keys = []setting{{"address", net.JoinHostPort(address, port)}}
		if slices.Contains(words, "starttls") {
			keys = append(keys, setting{"tls", "starttls"})
		} else if slices.Contains(words, "tls") {
			keys = append(keys, setting{"tls", "implicit"})
		}
		f.note(hosts.place, a.Name, "smtphost: the MTA must let this host say XCLIENT (smtpd_authorized_xclient_hosts), and nobody else; truehop check asks it")
	}
	if lmtp {
		keys = append(keys, setting{"protocol", "lmtp"})
		f.note(u.options["lmtp"].place, a.Name, "lmtp reaches a delivery agent, which asks no rules about clients; SMTP to the MTA is what truehop is for")
	}
	secret := ""
	if g, ok := e.options["esmtpname"]; ok {
		secret = e.options["esmtppassword"].text()
		keys = append(keys, setting{"user", g.text()})
	}
	if t := f.target(keys, secret); t != f.Targets[0] {
		a.set("inject", t.Name)
	}
	return host
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// multidrop says how the recipients are found in a mailbox that holds the mail of many.
func (f *fetchmail) multidrop(a *Account, e *fetchmailEntry, u *fetchmailUser) {
	if f.options.Recipient != "" {
		f.recipients(a, u.place, nil, "")
		f.note(u.place, a.Name, "this mailbox is for several recipients; as you told, all of its mail goes to one")
		return
	}
	envelope := e.options["envelope"]
	field := strings.ToLower(strings.TrimSuffix(envelope.text(), ":"))
	switch {
	case envelope.off:
		field = "received-for"
		f.note(envelope.place, a.Name, "no envelope: truehop takes no recipient from To and Cc, which the sender writes; set recipient_from to the field in which the upstream records the recipient")
	case field == "" || field == "received":
		field = "received-for"
	case !slices.Contains(recipientFields(), field):
		f.note(envelope.place, a.Name, "envelope %s: truehop knows the fields %s; x-original-to was written", show(envelope.text()), strings.Join(recipientFields(), ", "))
		field = "x-original-to"
	}
	a.set("recipient_from", field)
	if envelope.skip > 0 {
		f.note(envelope.place, a.Name, "envelope %d: truehop takes the topmost field that the upstream itself wrote, and counts none", envelope.skip)
	}
	domains := e.options["localdomains"].values
	if len(domains) == 0 {
		domains = aliasDomains(append(slices.Clone(e.options["aka"].values), e.name))
		f.note(u.place, a.Name, "recipient_domains were made of aka and the name of the server: put there the domains whose mail the mailbox holds")
	}
	a.set("recipient_domains", domains)
	if g, ok := e.options["qvirtual"]; ok {
		a.set("recipient_strip_prefix", g.text())
	}
	for _, m := range u.locals {
		if m.remote != m.local {
			f.note(u.place, a.Name, "the mapping %s=%s belongs into the MTA (Postfix: virtual_alias_maps)", show(m.remote), show(m.local))
		}
	}
	if !u.wildcard {
		f.note(u.place, a.Name, "the list of local names is not carried over: the MTA knows who exists, and mail for others is held")
	}
}

// recipientFields are those that truehop finds an envelope recipient in.
func recipientFields() []string {
	return []string{"delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "received-for"}
}

// aliasDomains makes mail domains of host names: these themselves and what stands behind their first label.
func aliasDomains(hosts []string) []string {
	var domains []string
	for _, h := range hosts {
		_, parent, _ := strings.Cut(h, ".")
		for _, d := range []string{h, parent} {
			if strings.Contains(d, ".") && !slices.Contains(domains, d) {
				domains = append(domains, d)
			}
		}
	}
	if len(domains) == 0 {
		return []string{"example.org"}
	}
	return domains
}
