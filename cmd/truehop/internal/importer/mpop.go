package importer

import (
	"bytes"
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// mpopAccount is an account of an mpoprc: the arguments of its commands.
type mpopAccount struct {
	place
	name     string
	commands map[string]iniValue
}

// Mpop reads an mpoprc.
func Mpop(file string, text []byte, o Options) (*Plan, error) {
	m := &mpop{begin("mpop", file, o)}
	accounts, err := m.parse(text)
	if err != nil {
		return nil, err
	}
	for i, c := range accounts {
		host := c.commands["host"].text
		mailbox := func(of *mpopAccount) string {
			return of.commands["user"].text + "@" + host + ":" + of.commands["port"].text
		}
		isSame := func(other *mpopAccount) bool {
			return other.commands["host"].text == host && mailbox(other) == mailbox(c)
		}
		if same := slices.IndexFunc(accounts[:i], isSame); same >= 0 && host != "" { // account default : freemail
			m.note(c.place, "", "account %s is %s again, and is not carried over", show(c.name), show(accounts[same].name))
			continue
		}
		if host == "" {
			m.note(c.place, "", "account %s has no host and is not carried over", show(c.name))
			continue // it only serves others
		}
		a, err := m.addAccount(c.place, c.name)
		if err != nil {
			return nil, err
		}
		a.set("protocol", "pop3")
		a.set("host", host)
		for _, step := range []func(*Account, *mpopAccount) error{m.server, m.login, m.fetched} {
			if err := step(a, c); err != nil {
				return nil, err
			}
		}
		m.usualTarget(a)
		if v, ok := c.commands["delivery"]; ok {
			method, _, _ := strings.Cut(v.text, " ")
			m.note(v.place, a.Name, "delivery %s is not carried over: truehop hands mail to an MTA at %s, whose rules are to judge it; let the MTA put it there (Postfix: mailbox_command, home_mailbox)", method, listener)
		}
		m.recipients(a, c.place, nil, "the user whose file it is")
		for _, o := range []struct{ command, text string }{
			{"filter", "let the MTA filter, it sees the true client now"}, {"killsize", "what is too large is held, never deleted"},
			{"received_header", "the MTA writes Received, with the true client"}, {"ntlmdomain", "NTLM is not spoken"},
			{"tls_crl_file", "revocation lists are not read"}, {"tls_priorities", "the ciphers are those of Go"}, {"tls_force_sslv3", "truehop speaks TLS 1.2 and later"},
			{"tls_min_dh_prime_bits", "the ciphers are those of Go"},
		} {
			if v, ok := c.commands[o.command]; ok && v.text != "" {
				m.note(v.place, a.Name, "%s: %s", o.command, o.text)
			}
		}
	}
	if !m.added() {
		return nil, wrong(file, place{}, "no account in it")
	}
	return m.Plan, nil
}

// mpop turns what an mpoprc says into a plan.
type mpop struct{ *Plan }

// parse reads commands line by line. Those of defaults hold for the accounts behind it.
func (m *mpop) parse(text []byte) ([]*mpopAccount, error) {
	commands := strings.Fields("host port source_ip proxy_host proxy_port socket timeout connect_timeout pipelining auth user password passwordeval " +
		"ntlmdomain tls tls_starttls tls_trust_file tls_crl_file tls_fingerprint tls_key_file tls_cert_file tls_certcheck tls_priorities " +
		"tls_host_override tls_min_dh_prime_bits tls_force_sslv3 tls_nocertcheck delivery uidls_file only_new keep killsize skipsize filter received_header")
	defaults := map[string]iniValue{}
	var accounts []*mpopAccount
	into := defaults
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		word := strings.TrimSpace(line)
		at := place{number, 1 + len(line) - len(strings.TrimLeft(line, " \t"))}
		if strings.IndexByte(word, 0) >= 0 || !utf8.ValidString(word) {
			return nil, wrong(m.file, at, "this line holds a NUL octet, or is not UTF-8")
		}
		if word == "" || word[0] == '#' {
			continue
		}
		command, argument := word, ""
		if i := strings.IndexAny(word, " \t"); i >= 0 {
			command, argument = word[:i], strings.TrimSpace(word[i:])
		}
		if unquoted, quoted := strings.CutPrefix(argument, `"`); quoted {
			var closed bool
			if argument, closed = strings.CutSuffix(unquoted, `"`); !closed {
				return nil, wrong(m.file, at, "the quote behind %s is not closed", show(command))
			}
		}
		switch {
		case command == "defaults":
			into = defaults
		case command == "account":
			name, parents, _ := strings.Cut(argument, ":")
			name = strings.TrimSpace(name)
			a := &mpopAccount{at, name, maps.Clone(defaults)}
			known := func(name string) int {
				return slices.IndexFunc(accounts, func(a *mpopAccount) bool { return a.name == name })
			}
			if name == "" || known(name) >= 0 {
				return nil, wrong(m.file, at, "the account has no name, or that of another: %s", show(name))
			}
			for parent := range strings.FieldsFuncSeq(parents, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
				i := known(parent)
				if i < 0 {
					return nil, wrong(m.file, at, "there is no account %s above", show(parent))
				}
				maps.Copy(a.commands, accounts[i].commands)
			}
			accounts, into = append(accounts, a), a.commands
		case command == "eval":
			m.note(at, "", "eval is not run: put there what the command prints, and import again, if the line matters")
		case !slices.Contains(commands, command):
			return nil, wrong(m.file, at, "unknown command %s", show(command))
		default:
			into[command] = iniValue{at, argument}
		}
	}
	return accounts, nil
}

// isOn reads a truth value; no argument is on.
func (m *mpop) isOn(c *mpopAccount, command string, otherwise bool) (bool, error) {
	v, ok := c.commands[command]
	if !ok {
		return otherwise, nil
	}
	switch v.text {
	case "", "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, wrong(m.file, v.place, "%s wants on or off, found %s", command, show(v.text))
}

// server says how the server is reached, and how the connection is protected.
func (m *mpop) server(a *Account, c *mpopAccount) error {
	for _, command := range []string{"port", "proxy_port", "timeout", "connect_timeout"} {
		v := c.commands[command]
		if v.text == "" || v.text == "off" {
			continue
		}
		n, err := strconv.Atoi(v.text)
		if err != nil || n < 1 || n > 1<<20 {
			return wrong(m.file, v.place, "%s wants a number, found %s", command, show(v.text))
		}
		switch command {
		case "port":
			a.set("port", n)
		case "timeout":
			a.set("timeout", seconds(min(n, 3600)))
		case "connect_timeout":
			a.set("connect_timeout", seconds(min(n, 600)))
		}
	}
	if proxy := c.commands["proxy_host"].text; proxy != "" {
		port := c.commands["proxy_port"].text
		if port == "" {
			port = "1080"
		}
		a.set("proxy", "socks5://"+net.JoinHostPort(proxy, port))
	}
	if ip := c.commands["source_ip"].text; ip != "" {
		a.set("source_address", ip)
	}
	if v := c.commands["pipelining"]; v.text == "off" {
		a.set("pipelining", "off")
	}
	if v := c.commands["socket"]; v.text != "" {
		m.note(v.place, a.Name, "socket: a program that connects to it can stand in connect_command, such as [/usr/bin/nc, -U, %s]", show(m.expand(v.text)))
	}
	on, err := m.isOn(c, "tls", false)
	if err != nil {
		return err
	}
	starttls, err := m.isOn(c, "tls_starttls", true)
	if err != nil {
		return err
	}
	switch {
	case on && !starttls:
		a.set("tls", "implicit")
	case on:
		a.set("tls", "starttls")
	default:
		a.set("tls", "starttls")
		m.note(c.place, a.Name, "without tls mpop shows the mail to everybody on the way; tls: starttls was written, which is refused where the server has no TLS")
	}
	check, err := m.isOn(c, "tls_certcheck", true)
	if err != nil {
		return err
	}
	_, never := c.commands["tls_nocertcheck"] // as older versions had it
	if !check || never {
		m.note(cmp.Or(c.commands["tls_certcheck"].place, c.commands["tls_nocertcheck"].place), a.Name, "tls_certcheck off is not carried over: the certificate must be right; truehop check shows its sum for tls_pins if it is not")
	}
	if file := c.commands["tls_trust_file"].text; file != "" && file != "system" {
		a.set("tls_ca_file", m.expand(file))
	}
	for _, file := range []struct{ theirs, ours string }{{"tls_cert_file", "tls_cert_file"}, {"tls_key_file", "tls_key_file"}} {
		if v := c.commands[file.theirs]; v.text != "" {
			a.set(file.ours, m.expand(v.text))
		}
	}
	if host := c.commands["tls_host_override"].text; host != "" {
		a.set("tls_server_name", host)
	}
	if v := c.commands["tls_fingerprint"]; v.text != "" {
		if pin, ok := sha256Pin(v.text); ok {
			a.set("tls_pins", []string{pin})
		} else {
			m.note(v.place, a.Name, "tls_fingerprint is not a SHA-256 sum; truehop check shows the sums for tls_pins")
		}
	}
	return nil
}

// login says who logs in.
func (m *mpop) login(a *Account, c *mpopAccount) error {
	auth := strings.ToLower(c.commands["auth"].text)
	switch auth {
	case "", "on", "off":
	case "user", "plain", "scram-sha-1", "scram-sha-256", "scram-sha-256-plus", "apop", "cram-md5", "login", "external", "oauthbearer", "xoauth2":
		a.set("auth", auth)
	default:
		m.note(c.commands["auth"].place, a.Name, "auth %s is not spoken; truehop takes the strongest mechanism that the server offers and it knows", show(auth))
	}
	user := c.commands["user"].text
	if user == "" {
		return wrong(m.file, c.place, "account %s has no user", show(c.name))
	}
	a.set("user", user)
	v, password := c.commands["passwordeval"], c.commands["password"].text
	switch {
	case password != "": // mpop evaluates nothing then
		m.password(a, c.place, password)
	case v.text != "" && slices.Contains([]string{"oauthbearer", "xoauth2"}, auth):
		a.set("token_command", command(v.text))
	case v.text != "":
		a.set("password_command", command(v.text))
	case auth == "external":
	default:
		m.password(a, c.place, m.netrc("", user, c.commands["host"].text))
	}
	return nil
}

// fetched says what is fetched, what becomes of it upstream, and what was fetched already.
func (m *mpop) fetched(a *Account, c *mpopAccount) error {
	keep, err := m.isOn(c, "keep", false)
	if err != nil {
		return err
	}
	onlyNew, err := m.isOn(c, "only_new", true)
	if err != nil {
		return err
	}
	a.set("on_delivered", "delete")
	if keep {
		a.set("on_delivered", "keep")
	}
	if !onlyNew && keep {
		m.note(c.commands["only_new"].place, a.Name, "only_new off fetches the same mail again and again; truehop delivers each message once")
	}
	size := 0
	for _, command := range []string{"killsize", "skipsize"} {
		v, ok := c.commands[command]
		if !ok || v.text == "off" {
			continue
		}
		n, ok := mpopSize(v.text)
		if !ok {
			return wrong(m.file, v.place, "%s wants a size, found %s", command, show(v.text))
		}
		if size == 0 || n < size {
			size = n
		}
	}
	a.set("max_size", octets(size))
	if size > 0 {
		m.note(c.place, a.Name, "larger messages stay upstream, held, and truehop status shows them")
	}
	a.Remembers = keep
	user, host := c.commands["user"].text, c.commands["host"].text
	file := c.commands["uidls_file"].text
	if file == "" {
		file = "~/.mpop_uidls/%U_at_%H"
	}
	file = strings.NewReplacer("%U", user, "%H", host).Replace(file)
	data, err := m.state(a, []string{m.expand(file)})
	if err != nil || data == nil {
		return err
	}
	a.Known = []Known{{UIDs: mpopUIDs(data, host, user)}}
	return nil
}

// mpopSize reads a number of octets, or of KiB behind k, or of MiB behind m.
func mpopSize(text string) (int, bool) {
	factor := 1
	if digits, ok := strings.CutSuffix(text, "k"); ok {
		text, factor = digits, 1<<10
	} else if digits, ok := strings.CutSuffix(text, "m"); ok {
		text, factor = digits, 1<<20
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<30 {
		return 0, false
	}
	return n * factor, true
}

// mpopUIDs reads those unique-ids of a file of mpop that belong to a user at a host. They stand on lines of their own behind a
// line that begins with a blank: a count, the host and the user.
func mpopUIDs(data []byte, host, user string) []string {
	var uids []string
	mine := false
	for line := range bytes.Lines(data) {
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case text == "", text[0] == '#':
		case text[0] == ' ':
			_, owner, _ := strings.Cut(strings.TrimSpace(text), " ")
			mine = owner == host+" "+user
		case mine && len(text) <= maxUID:
			uids = append(uids, text)
		}
	}
	return uids
}
