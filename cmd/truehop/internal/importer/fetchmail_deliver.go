package importer

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

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
		keys = f.remote(a, hosts, cmp.Or(address, "localhost"))
		f.note(hosts.place, a.Name, "smtphost: the MTA must let this host say XCLIENT (smtpd_authorized_xclient_hosts), and nobody else; truehop check asks it")
	}
	if lmtp {
		keys = append(keys, setting{"protocol", "lmtp"})
		f.note(u.options["lmtp"].place, a.Name, "lmtp reaches a delivery agent, which asks no rules about clients; SMTP to the MTA is what truehop is for")
	}
	secret := ""
	name, named := e.options["esmtpname"]
	password, given := e.options["esmtppassword"]
	switch {
	case !named && !given:
	case keys[0].value == listener:
		f.note(cmp.Or(name.place, password.place), a.Name, "esmtpname, esmtppassword: the listener asks for no login")
	case !named, password.text() == "":
		f.note(cmp.Or(name.place, password.place), a.Name, "esmtpname and esmtppassword belong together; set user and password_file below inject, if the MTA asks for a login")
	default:
		secret = password.text()
		keys = append(keys, setting{"user", name.text()})
		secure := slices.ContainsFunc(keys, func(k setting) bool { return k.key == "tls" })
		if !secure && !local {
			keys = append(keys, setting{"tls", "starttls"})
			f.note(name.place, a.Name, "esmtppassword: fetchmail shows it to an MTA without TLS; tls: starttls does not")
		}
	}
	f.deliverTo(a, f.target(keys, secret))
	return host
}

// remote says how the MTA of a smtphost is reached: HOST[/PORT][/tls|/starttls|/notls][/servername=NAME][/tlsproto=VERSION].
func (f *fetchmail) remote(a *Account, hosts given, host string) []setting {
	port := "25"
	var secure []setting
	for _, word := range strings.Split(hosts.text(), "/")[1:] {
		_, err := strconv.Atoi(word)
		name, named := strings.CutPrefix(word, "servername=")
		switch {
		case err == nil:
			port = word
		case word == "tls":
			secure = append(secure, setting{"tls", "implicit"})
		case word == "starttls":
			secure = append(secure, setting{"tls", "starttls"})
		case word == "notls":
		case named:
			secure = append(secure, setting{"tls_server_name", name})
		default:
			f.note(hosts.place, a.Name, "smtphost: %s is not carried over; see the keys below inject that begin with tls", show(word))
		}
	}
	return append([]setting{{"address", net.JoinHostPort(host, port)}}, secure...)
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
	local := e.options["localdomains"]
	domains := slices.Clone(local.values)
	for _, d := range aliasDomains(append(slices.Clone(e.options["aka"].values), cmp.Or(e.options["via"].text(), e.name))) {
		if !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	if len(local.values) == 0 {
		f.note(u.place, a.Name, "recipient_domains were made of aka and the name of the server: put there the domains whose mail the mailbox holds")
	} else {
		f.note(local.place, a.Name, "localdomains: subdomains count with fetchmail; recipient_domains wants each of them by its name")
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
