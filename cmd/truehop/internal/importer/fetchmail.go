package importer

import (
	"cmp"
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
	f := &fetchmail{Plan: begin("fetchmail", file, o), globals: rc.globals}
	for _, o := range []struct{ name, text string }{
		{"logfile", "the log goes to standard error, or to the journal under systemd; redirect it, or see the key log"},
		{"syslog", "the log goes to standard error, or to the journal under systemd, which hands it to syslog"},
		{"postmaster", "mail whose recipient cannot be found is held and shown by truehop status; nobody gets it unasked"},
		{"pidfile", "no such file is written; systemctl status truehop shows the service"},
		{"properties", "has no meaning for truehop"},
		{"bouncemail", "truehop never sends a bounce: what the MTA refuses stays upstream, and truehop status shows it (on_refused)"},
		{"spambounce", "truehop never sends a bounce (on_refused)"},
		{"softbounce", "what the MTA refuses stays upstream, is not offered again and wants a person; see on_refused for other ways"},
		{"invisible", "truehop adds no Received field; the MTA's own names the true client"},
	} {
		g, ok := f.globals[o.name]
		asUsual := g.off && o.name != "bouncemail" && o.name != "softbounce" // for these two it is off that is unusual
		if ok && !asUsual {
			no := ""
			if g.off {
				no = "no "
			}
			f.note(g.place, "", "set %s%s: %s", no, o.name, o.text)
		}
	}
	for _, e := range rc.withDefaults() {
		if err := f.entry(e); err != nil {
			return nil, err
		}
	}
	if !f.added() {
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
	protocol, refusal, guess := "imap", "", ""
	switch p := strings.ToLower(e.options["protocol"].text()); p {
	case "imap":
	case "pop3", "apop", "sdps":
		protocol = "pop3"
	case "", "auto":
		var err error
		if protocol, guess, err = f.foundOut(e); err != nil {
			return err
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
		if guess != "" {
			f.note(e.place, a.Name, "fetchmail finds out the protocol, truehop is told: %s", guess)
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

// foundOut returns the protocol where fetchmail finds it out, and why it is taken for that. What was fetched by POP3 is in a record.
func (f *fetchmail) foundOut(e *fetchmailEntry) (protocol, why string, err error) {
	port, _ := fetchmailPort(e)
	switch port {
	case 110, 995:
		return "pop3", "pop3 was written, as the port is; if it is IMAP, write proto imap into this file and import again", nil
	case 143, 993:
		return "imap", "imap was written, as the port is; if it is POP3, write proto pop3 into this file and import again", nil
	}
	for _, u := range e.users {
		var record Account
		data, err := f.state(&record, f.records())
		if err != nil {
			return "", "", err
		}
		if len(fetchids(data, f.owner(e, u))) > 0 {
			return "pop3", "pop3 was written, since " + record.StateFiles[0] + " has what it fetched that way", nil
		}
	}
	return "imap", "imap was written; if it is POP3, write proto pop3 into this file and import again: what was fetched by POP3 is not looked for otherwise, and would come again", nil
}

// remoteName is the login, by default the name of the user whose file it is, and never a local name.
func (u *fetchmailUser) remoteName(user string) string { return cmp.Or(u.remote, user) }

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

// usualPort returns the port of a protocol where none is given.
func usualPort(protocol string, ssl bool) string {
	switch {
	case protocol == "imap" && ssl:
		return "993"
	case protocol == "imap":
		return "143"
	case ssl:
		return "995"
	}
	return "110"
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
	f.tls(a, e, u)
	if g, ok := e.options["plugin"]; ok {
		number := strconv.Itoa(port)
		if !known {
			number = usualPort(protocol, u.on("ssl"))
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
	} else {
		f.note(e.options["timeout"].place, a.Name, "timeout %d: truehop waits a second at least and an hour at most; timeout was left at its default", timeout)
	}
	if n, err := strconv.Atoi(e.options["idletimeout"].text()); err == nil {
		a.set("idle_renewal", seconds(min(max(n, 30), 1500)))
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
	clear := protoGiven && proto.text() == ""
	withoutTLS := clear || slices.Contains([]string{"ssh", "implicit"}, e.options["auth"].text())
	switch {
	case implicit:
		a.set("tls", "implicit")
	case plugged && withoutTLS: // as by ssh; a plugin may as well be no more than a proxy
		a.set("tls", "none")
		f.note(e.options["plugin"].place, a.Name, "tls: none, as fetchmail was told: what the plugin leads through has to keep password and mail secret")
		return
	case clear:
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

// path carries a file over.
func (f *fetchmail) path(a *Account, u *fetchmailUser, from, to string) {
	if g, ok := u.options[from]; ok {
		a.set(to, f.beside(g.text()))
	}
}

// beside makes a path absolute as fetchmail does, from the directory of its file on. A tilde means nothing to it.
func (f *fetchmail) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(f.options.Dir, path)
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
		value = f.netrc("", login, e.name, e.options["via"].text())
	}
	f.password(a, u.place, value)
	if folders, ok := u.options["folder"]; ok {
		if protocol == "imap" {
			names := make([]string, len(folders.values))
			for i, name := range folders.values {
				names[i] = folderName(name)
			}
			a.set("folders", names)
		} else {
			f.note(folders.place, a.Name, "folder: POP3 has none")
		}
	}
	kept := u.on("keep")
	moved, moves := u.options["moveto"]
	switch {
	case moves && protocol == "imap":
		a.set("on_delivered", "move:"+folderName(moved.text()))
	case !kept:
		a.set("on_delivered", "delete")
	case protocol == "imap":
		a.set("on_delivered", "seen")
	default:
		a.set("on_delivered", "keep")
	}
	if moves && protocol != "imap" {
		f.note(moved.place, a.Name, "moveto: POP3 has no folders")
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
	local := u.options["smtpname"].text()
	if len(u.locals) == 1 {
		if only := u.locals[0].local; local == "" || strings.Contains(only, "@") {
			local = only
		}
	}
	if local == "" && domain != "localhost" {
		local = f.options.User
	}
	switch {
	case local == "":
		f.recipients(a, u.place, nil, "the user whose file it is")
	case strings.Contains(local, "@"):
		f.recipients(a, u.place, []string{local}, "")
	default:
		f.recipients(a, u.place, []string{local + "@" + domain}, "")
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
