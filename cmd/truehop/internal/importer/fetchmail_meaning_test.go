package importer

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// meaning is what an option of fetchmail becomes.
type meaning struct {
	option string
	// carried are the lines of the configuration that are there because of it, with | between them.
	carried string
	// told is a part of what the report says of it. What is neither carried nor told truehop does anyhow, or it asks for
	// nothing that truehop does.
	told string
}

// meanings are the options, by the file in which they stand.
func meanings() map[string][]meaning {
	const user = "user u is a here pass p ssl"
	return map[string][]meaning{
		"%s poll h proto imap " + user: {
			{"set daemon 90", `schedule: "@every 90s"`, ""},
			{"set logfile x", "", "redirect it"}, {"set syslog", "", "which hands it to syslog"}, {"set no syslog", "", ""}, {"set pidfile x", "", "no such file"},
			{"set idfile x", "", ""}, // where POP3 has it, see TestPlaceOfTheRecord
			{"set postmaster x", "", "held"}, {"set bouncemail", "", "never sends a bounce"}, {"set no bouncemail", "", "never sends a bounce"}, {"set spambounce", "", "never sends a bounce"},
			{"set no spambounce", "", ""}, {"set softbounce", "", "stays upstream"}, {"set no softbounce", "", "stays upstream"}, {"set invisible", "", "no Received field"}, {"set no invisible", "", ""},
			{"set showdots", "", ""}, {"set no showdots", "", ""}, {"set properties x", "", "no meaning"},
			{"defaults timeout 20", "timeout: 20s", ""}, {"defaults user x smtpname y@z", "recipients: [y@z]", ""},
			{"skip g proto imap", "", "write poll in its place"}, {"poll g proto etrn", "", "leave it to your MTA"}, {"poll g proto odmr", "", "leave it to your MTA"},
			{"poll g proto pop2", "", "truehop speaks IMAP and POP3"}, {"poll g proto rpop", "", "truehop speaks IMAP and POP3"}, {"poll g proto kpop", "", "truehop speaks IMAP and POP3"},
		},
		"poll h %s " + user: { // whose protocol fetchmail finds out
			{"proto imap", "", ""}, {"proto auto", "", ""}, {"port 995", "protocol: pop3|port: 995", "pop3 was written"},
			{"proto pop3", "protocol: pop3", ""}, {"proto apop", "protocol: pop3|auth: apop", ""}, {"proto sdps", "protocol: pop3", "recipient_from"},
		},
		"poll h proto imap %s " + user: {
			{"via x", "host: x", ""}, {"aka x.example", "", ""}, {"localdomains x.example", "", ""}, {"local x.example", "", ""}, {"service imaps", "port: 993", ""}, {"service 993", "port: 993", ""},
			{"service nowhere", "", "no port that truehop knows"}, {"port 1993", "port: 1993", ""}, {"interval 2", "", "set schedule"}, {"timeout 20", "timeout: 20s", ""}, {"timeout 0", "", "an hour at most"},
			{"idletimeout 600", "idle_renewal: 10m", ""}, {"idletimeout 7200", "idle_renewal: 25m", ""},
			{"auth any", "", ""}, {"auth password", "", ""}, {"preauth cram-md5", "auth: cram-md5", ""}, {"preauthenticate cram", "auth: cram-md5", ""},
			{"auth gssapi", "", "not spoken"}, {"auth kerberos", "", "not spoken"}, {"auth kerberos_v5", "", "not spoken"}, {"auth otp", "", "not spoken"}, {"auth ntlm", "", "not spoken"}, {"auth msn", "", "not spoken"},
			{"auth ssh", "", "PREAUTH"}, {"auth implicit", "", "PREAUTH"},
			{"uidl", "", ""}, {"no uidl", "", ""}, {"dns", "", ""}, {"no dns", "", ""}, {"checkalias", "", ""}, {"no checkalias", "", ""}, {"tracepolls", "", "which account"}, {"no tracepolls", "", ""},
			{"interface x/1.2.3.4", "", "source_address"}, {"monitor x", "", "not asked"}, {"principal x", "", "Kerberos"}, {"bad-header accept", "", "the MTA judges"},
			{"plugin \"/usr/bin/nc %h %p\" port 993", "port: 993|connect_command: [/usr/bin/nc, h, \"993\"]", ""}, {"plugin \"nc %h %p\"", "connect_command: [/bin/sh, \"-c\", \"nc h 993\"]", ""},
			{"plugout x", "", "connect_command"},
			{"esmtpname x esmtppassword y", "", "asks for no login"}, {"esmtpname x", "", "asks for no login"}, {"esmtppassword y", "", "asks for no login"},
			{"envelope X-Original-To", "", ""}, {"no envelope", "", ""}, {"qvirtual q-", "", ""}, // these are for several recipients
		},
		"poll h proto imap %s " + user + " sslcert /c sslkey /k": {
			{"authenticate external", "auth: external", ""},
		},
		"poll h proto imap %s " + user + " smtphost mta.example": {
			{"esmtpname x esmtppassword y", "user: x|tls: starttls|password_file: /etc/truehop/secrets/inject-main", "without TLS"}, {"esmtpname x", "", "belong together"}, {"esmtppassword y", "", "belong together"},
		},
		"poll h proto imap %s " + user + " smtphost mta.example/tls": {
			{"esmtpname x esmtppassword y", "user: x|password_file: /etc/truehop/secrets/inject-main", ""},
		},
		"poll mail.example.net proto imap %s user u is a b here pass p ssl": {
			{"localdomains x.example y.example", "recipient_domains: [x.example, y.example, mail.example.net, example.net]", "each of them by its name"}, {"aka z.example.org", "recipient_domains: [z.example.org, example.org, mail.example.net, example.net]", ""},
			{"envelope X-Original-To", "recipient_from: x-original-to", ""}, {"envelope \"Delivered-To:\"", "recipient_from: delivered-to", ""}, {"envelope 1 Delivered-To", "recipient_from: delivered-to", "counts none"},
			{"envelope Received", "", ""}, {"envelope X-Other", "recipient_from: x-original-to", "truehop knows the fields"}, {"no envelope", "", "which the sender writes"}, {"noenvelope", "", "which the sender writes"},
			{"qvirtual q-", "recipient_strip_prefix: q-", ""},
		},
		"poll h proto imap " + user + " %s": {
			{"keep", "on_delivered: seen", ""}, {"nokeep", "", ""}, {"moveto Done", "on_delivered: move:Done", ""}, {"moveto Gel&APY-scht", "on_delivered: \"move:Gelöscht\"", ""},
			{"folder a b", "folders: [a, b]", ""}, {"folders Entw&APw-rfe", "folders: [\"Entwürfe\"]", ""},
			{"fetchall", "", ""}, {"fetchall keep", "on_delivered: seen", "delivers each message once"}, {"nofetchall", "", ""},
			{"flush", "", "delete_after"}, {"noflush", "", ""}, {"limit 50000", "max_size: 50000B", "held"}, {"limitflush", "", "never deleted"}, {"nolimitflush", "", ""}, {"warnings 3600", "", "truehop status"},
			{"fetchlimit 5", "max_messages: 5", ""}, {"idle", "idle: true", ""}, {"forceidle", "idle: true", ""}, {"noidle", "", ""}, {"noforceidle", "", ""},
			{"ssl", "", ""}, {"no ssl", "tls: starttls", "does not"}, {"sslproto tls1.2", "", ""}, {"sslproto tls1.3+", "tls_min_version: \"1.3\"", ""}, {"sslproto ssl3", "", "TLS 1.2 and later"}, {"no ssl sslproto ''", "tls: none|allow_plaintext: true", "to everybody"},
			{"sslcertck", "", ""}, {"no sslcertck", "", "tls_pins"}, {"sslcertfile x", "tls_ca_file: /srv/mail/x", ""}, {"sslcertpath x", "", "tls_ca_file"}, {"sslkey x sslcert y", "tls_cert_file: /srv/mail/y|tls_key_file: /srv/mail/x", ""}, {"sslkey /x sslcert /y", "tls_cert_file: /y|tls_key_file: /x", ""},
			{"sslcommonname x.example", "tls_server_name: x.example", ""}, {"sslfingerprint \"00:11\"", "", "tls_pins"},
			{"sslfingerprint \"{SHA256}" + strings.Repeat("AB:", 31) + "AB\"", "tls_pins: [sha256:" + strings.Repeat("ab", 32) + "]", ""},
			{"smtphost mta.example", "address: mta.example:25|recipients: [a@mta.example]", "smtpd_authorized_xclient_hosts"}, {"smtp mta.example/2525", "address: mta.example:2525|recipients: [a@mta.example]", "XCLIENT"}, {"smtphost localhost", "", ""},
			{"smtphost mta.example/tls", "address: mta.example:25|tls: implicit|recipients: [a@mta.example]", "XCLIENT"}, {"smtphost \"mta.example/starttls/servername=x.example\"", "address: mta.example:25|tls: starttls|tls_server_name: x.example|recipients: [a@mta.example]", "XCLIENT"},
			{"smtphost mta.example/notls", "address: mta.example:25|recipients: [a@mta.example]", "XCLIENT"}, {"smtphost \"mta.example/tlsproto=TLS1.3\"", "address: mta.example:25|recipients: [a@mta.example]", "tlsproto=TLS1.3.*XCLIENT"},
			{"smtphost mta.example other.example", "address: mta.example:25|recipients: [a@mta.example]", "does not look for others"}, {"smtphost /run/lmtp lmtp", "address: unix:/run/lmtp|protocol: lmtp", "asks no rules"},
			{"smtpaddress x.example", "recipients: [a@x.example]", ""}, {"smtpname b@y.example", "recipients: [b@y.example]", ""}, {"fetchdomains x", "", "ETRN"}, {"antispam 571 550", "", "on_refused"},
			{"mda x", "", "mailbox_command"}, {"bsmtp x", "", "mailbox_command"}, {"preconnect x", "", "ExecStartPre="}, {"postconnect x", "", "ExecStartPost="},
			{"rewrite", "", "changes no address"}, {"norewrite", "", ""}, {"forcecr", "", ""}, {"noforcecr", "", ""}, {"stripcr", "", "no octet"}, {"nostripcr", "", ""}, {"pass8bits", "", ""}, {"nopass8bits", "", ""},
			{"mimedecode", "", "no octet"}, {"nomimedecode", "", ""}, {"dropstatus", "", "stay"}, {"nodropstatus", "", ""}, {"dropdelivered", "", "renamed"}, {"nodropdelivered", "", ""},
			{"fetchsizelimit 5", "", "few commands"}, {"fastuidl 5", "", ""}, {"batchlimit 5", "", "truehop's affair"}, {"expunge 5", "", "by UID"}, {"properties x", "", "no meaning"}, {"pass q", "", ""},
		},
		"poll h proto pop3 " + user + " %s": {
			{"keep", "on_delivered: keep", ""}, {"folder a", "", "POP3 has none"}, {"moveto a", "", "POP3 has no folders"}, {"fetchall", "", ""}, {"fastuidl 0", "", ""},
		},
		"poll h proto imap user u pass p ssl %s": {
			{"is a", "recipients: [a@localhost]", ""}, {"to a here", "recipients: [a@localhost]", ""}, {"is a@b.example here", "recipients: [a@b.example]", ""}, {"smtpaddress x.example", "recipients: [me@x.example]", ""}, {"smtphost mta.example", "address: mta.example:25|recipients: [me@mta.example]", "XCLIENT"},
			{"is a@b.example smtpname c@d.example", "recipients: [a@b.example]", ""}, {"is x there", "user: x", ""},
			{"is a b", "recipient_from: received-for|recipient_domains: [example.org]", "the MTA knows who exists"}, {"is * here", "recipient_from: received-for|recipient_domains: [example.org]", "put there the domains"},
			{"is r=a s=b here", "recipient_from: received-for|recipient_domains: [example.org]", "virtual_alias_maps"},
		},
	}
}

// lineUp returns what an import makes of a file: the lines of the configuration, and those of the report without their places.
func lineUp(t *testing.T, kind, text string) (keys, notes []string) {
	t.Helper()
	plan, err := Read(kind, "rc", []byte(text), options(nil))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if _, err := config.Parse("rc", plan.YAML(), config.Options{Environ: []string{"HOME=/home/me"}}); err != nil {
		t.Errorf("%q: the configuration is refused: %v", text, err)
	}
	for line := range strings.Lines(string(plan.YAML())) {
		keys = append(keys, strings.TrimSpace(line))
	}
	for _, n := range plan.Notes {
		notes = append(notes, n.Text)
	}
	return keys, notes
}

// added are the lines that are not in base as well.
func added(lines, base []string) []string {
	base = slices.Clone(base)
	return slices.DeleteFunc(lines, func(line string) bool {
		i := slices.Index(base, line)
		if i >= 0 {
			base = slices.Delete(base, i, i+1)
		}
		return i >= 0
	})
}

// TestWhatBecomesOfEachOption: an option is carried over or told, and the configuration that comes of it is one.
func TestWhatBecomesOfEachOption(t *testing.T) {
	whatBecomes(t, "fetchmailrc", meanings())
}

// whatBecomes holds the meanings of options, by the file in which they stand, against what an import makes of them.
func whatBecomes(t *testing.T, kind string, files map[string][]meaning) {
	t.Helper()
	for _, file := range slices.Sorted(maps.Keys(files)) {
		keys, notes := lineUp(t, kind, strings.Replace(file, "%s", "", 1))
		for _, m := range files[file] {
			withKeys, withNotes := lineUp(t, kind, strings.Replace(file, "%s", m.option, 1))
			if carried := strings.Join(added(withKeys, keys), "|"); carried != m.carried {
				t.Errorf("%s is carried over as %q, want %q", m.option, carried, m.carried)
			}
			told := strings.Join(added(withNotes, notes), "|")
			silent := m.told == "" && told == ""
			if said := m.told != "" && regexp.MustCompile(m.told).MatchString(told); !said && !silent {
				t.Errorf("%s is told as %q, want %q", m.option, told, m.told)
			}
		}
	}
}

// TestEachOptionHasAMeaning: what stands in a form of the grammar is among the meanings.
func TestEachOptionHasAMeaning(t *testing.T) {
	of := func(text string) map[string]bool {
		rc, err := parseFetchmail("rc", []byte(text))
		if err != nil {
			return nil // another test's
		}
		names := map[string]bool{}
		note := func(options map[string]given) {
			for name, g := range options {
				names[name] = true
				names["no "+name] = names["no "+name] || g.off
			}
		}
		note(rc.globals)
		for _, e := range rc.entries {
			note(e.options)
			for _, u := range e.users {
				note(u.options)
			}
		}
		return names
	}
	known := map[string]bool{}
	for file, all := range meanings() {
		for _, m := range all {
			for name, there := range of(fmt.Sprintf(file, m.option)) {
				known[name] = known[name] || there
			}
		}
	}
	for _, f := range forms() {
		for name, there := range of(f.text) {
			if there && !known[name] {
				t.Errorf("nothing says what becomes of %s, as in %q", name, f.text)
				known[name] = true
			}
		}
	}
}

// TestPlaceOfTheRecord: a relative path begins where the file is, and a tilde is a name like any other, as for fetchmail.
func TestPlaceOfTheRecord(t *testing.T) {
	for idfile, want := range map[string]string{"ids": "/srv/mail/ids", "/var/ids": "/var/ids", "~/ids": "/srv/mail/~/ids"} {
		plan, err := Read("fetchmailrc", "rc", []byte("set idfile "+idfile+"\npoll h proto pop3 user u pass p ssl keep"), options(map[string]string{want: "u@h x\n"}))
		if err != nil || len(plan.Accounts[0].Known) != 1 || len(plan.Accounts[0].Known[0].UIDs) != 1 {
			t.Errorf("%s: %v, the record was looked for in %v", idfile, err, plan.Accounts[0].StateFiles)
		}
	}
}

// TestRecordOfAServerByAnotherName: with via fetchmail writes that host into its record, not the name behind poll.
func TestRecordOfAServerByAnotherName(t *testing.T) {
	plan, err := Read("fetchmailrc", "rc", []byte("poll label.example via pop.example.net proto pop3 user u pass p ssl keep"),
		options(map[string]string{"/home/me/.fetchids": "u@pop.example.net x\nu@label.example y\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if known := plan.Accounts[0].Known; len(known) != 1 || !slices.Equal(known[0].UIDs, []string{"x"}) {
		t.Errorf("fetched already: %v", known)
	}
}

// TestLoginWhereNoneIsNamed: fetchmail logs in with the name of the user whose file it is, whoever gets the mail.
func TestLoginWhereNoneIsNamed(t *testing.T) {
	for _, users := range []string{"is joe here", "to joe", "user joe here", "pass p is joe ann here"} {
		plan, err := Read("fetchmailrc", "rc", []byte("poll h proto pop3 "+users+" keep"), options(map[string]string{"/home/me/.fetchids": "me@h x\njoe@h y\n"}))
		if err != nil {
			t.Fatal(err)
		}
		if known := plan.Accounts[0].Known; !strings.Contains(string(plan.YAML()), "    user: me\n") || len(known) != 1 || !slices.Equal(known[0].UIDs, []string{"x"}) {
			t.Errorf("%s: fetched already %v, by\n%s", users, known, plan.YAML())
		}
	}
}

// TestProtocolThatFetchmailFindsOut: without proto, what fetchmail remembers of a mailbox tells that it is POP3. Where nothing tells, the
// note says what to do, for with the other protocol the record is not looked at.
func TestProtocolThatFetchmailFindsOut(t *testing.T) {
	const record = "u@h x\nu@h y\nv@other z\n"
	for _, c := range []struct {
		name, text, record string
		want               string
		known              int
		told               string
	}{
		{"remembered", "poll h user u pass p ssl keep", record, "pop3", 2, "pop3 was written, since /home/me/.fetchids has what it fetched that way"},
		{"remembered, auto", "poll h proto auto user u pass p ssl keep", record, "pop3", 2, "pop3 was written, since"},
		{"remembered of one user of two", "poll h user w pass p ssl user u pass p ssl", record, "pop3", 0, "pop3 was written, since"},
		{"remembered by the name behind via", "poll label via h user u pass p ssl", record, "pop3", 2, "pop3 was written, since"},
		{"remembered of others", "poll h user v pass p ssl", record, "imap", 0, "write proto pop3 into this file and import again"},
		{"no record", "poll h user u pass p ssl", "", "imap", 0, "write proto pop3 into this file and import again"},
		{"told by the port", "poll h port 143 user u pass p", record, "imap", 0, "write proto pop3 into this file and import again"},
		{"told by the other port", "poll h port 995 user u pass p ssl", "", "pop3", 0, "write proto imap into this file and import again"},
		{"told", "poll h proto imap user u pass p ssl", record, "imap", 0, ""},
	} {
		files := map[string]string{}
		if c.record != "" {
			files["/home/me/.fetchids"] = c.record
		}
		plan, err := Read("fetchmailrc", "rc", []byte(c.text), options(files))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		known := 0
		for _, k := range plan.Accounts[0].Known {
			known += len(k.UIDs)
		}
		report := string(plan.Report(""))
		told := strings.Contains(report, c.told)
		if c.told == "" {
			told = !strings.Contains(report, "finds out the protocol")
		}
		if !strings.Contains(string(plan.YAML()), "protocol: "+c.want+"\n") || known != c.known || !told {
			t.Errorf("%s: %d fetched already, want %d, protocol %s and told %q:\n%s%s", c.name, known, c.known, c.want, c.told, plan.YAML(), report)
		}
	}
	o := options(nil)
	o.ReadFile = func(path string) ([]byte, error) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	}
	if _, err := Read("fetchmailrc", "rc", []byte("poll h user u pass p ssl"), o); err == nil || !strings.Contains(err.Error(), "/home/me/.fetchids: cannot be read: permission denied") {
		t.Errorf("a record that is closed: %v", err)
	}
}
