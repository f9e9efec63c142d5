//go:build linux

package filters

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/truehop/truehop/examples/mailtest"
)

func recipes() []recipe {
	spf := recipe{
		dir: "spf", tables: []string{"spf/truehop_spf"}, further: "FIU",
		before: "all delivered", after: "A, C, D, F, I delivered; B refused 550; U held 550", findings: receivedSPF,
	}
	python, perl := spf, spf
	python.filter, python.programs = "policyd-spf (Python)", []string{"policyd-spf"}
	python.master, perl.master = []string{"spf/master.cf"}, []string{"spf/master.cf.perl"}
	python.start = func(w *world) { w.install("spf/policyd-spf.conf", "/etc/postfix-policyd-spf-python/policyd-spf.conf") }
	perl.filter, perl.programs, perl.variant = "policyd-spf (Perl)", []string{"postfix-policyd-spf-perl"}, "perl"
	greylisted := recipe{
		dir: "postgrey", filter: "postgrey", programs: []string{"postgrey"}, tables: []string{"postgrey/truehop_postgrey"}, further: "IU",
		start: startPostgrey, account: []string{"    retry_min: 1s"}, then: comeBack,
		before: "all delivered", after: "A, B, C, D, U deferred 450; I delivered",
	}
	exempt := greylisted
	exempt.filter, exempt.variant, exempt.listener, exempt.after, exempt.then = "postgrey, listener exempt", "exempt", "postgrey/listener.exempt", "all delivered", nil
	screened := recipe{
		dir: "postscreen", filter: "postscreen, by the PROXY protocol", tables: []string{"postscreen/truehop_screened"}, further: "IU",
		port25: "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd", master: []string{"postscreen/master.cf"}, inject: "postscreen/truehop.yaml", then: checkMTA,
		before: "all delivered", after: "A, B refused 550; C, D, I, U delivered",
	}
	balanced := screened
	balanced.filter, balanced.variant, balanced.programs = "postscreen, behind haproxy", "haproxy", []string{"haproxy"}
	balanced.port25, balanced.master = "smtpd pass - - n - - smtpd", []string{"postscreen/master.cf", "postscreen/master.cf.haproxy"}
	balanced.inject, balanced.start, balanced.then = "postscreen/truehop.yaml.haproxy", startHAProxy, checkHAProxy
	rules := recipe{
		dir: "access-rules", filter: "Postfix's own rules: names, a block list, tables of clients and HELO, our own domain as sender",
		tables: []string{"access-rules/truehop_clients", "access-rules/truehop_helo", "access-rules/truehop_senders"}, further: "EHIKLU",
		before: "all delivered", after: "A, B, E, H refused 554; C, I, L, U delivered; D refused 550; K held 554",
	}
	milder := rules
	milder.filter, milder.variant, milder.instead = "the same with `reject_unknown_reverse_client_hostname`", "reverse", [2]string{"reject_unknown_client_hostname", "reject_unknown_reverse_client_hostname"}
	return []recipe{
		rules,
		milder,
		python,
		perl,
		greylisted,
		exempt,
		{
			dir: "dkim-dmarc", filter: "opendkim (sign and verify) and opendmarc", programs: []string{"opendkim", "opendmarc"}, further: "EFIU",
			start: startOpenDMARC, findings: authenticationResults,
			before: "A, B, C, D, F, I, U delivered; E delivered with a forged result and our signature", after: "A, D delivered dmarc=none; B, E refused 550; C, F, U delivered dmarc=pass; I delivered",
		},
		{
			dir: "rspamd", filter: "rspamd", programs: []string{"rspamd"}, further: "EFIU",
			start: startRspamd, findings: spamHeader,
			before: "all delivered", after: "A delivered as spam; B, E refused 554; C, D, F, I, U delivered",
		},
		{
			dir: "policyd-weight", filter: "policyd-weight", programs: []string{"policyd-weight"}, tables: []string{"policyd-weight/truehop_weight"}, further: "FIU",
			start: startPolicydWeight, before: "all delivered", after: "A, B, D refused 550; C, F, I, U delivered",
		},
		screened,
		balanced,
		{
			dir: "spamtest", filter: "Sieve's spamtest on rspamd's score", programs: []string{"rspamd", "dovecot", "sievec"}, further: "EFIU",
			start: startSpamtest, findings: inJunk,
			before: "all delivered", after: "A delivered into Junk; B, E refused 554; C, D, F, I, U delivered",
		},
		{
			dir: "spamassassin", filter: "SpamAssassin by spamass-milter", programs: []string{"spamd", "spamc", "spamass-milter"}, further: "IU",
			start: startSpamAssassin, findings: scanned,
			before: "A, B, C, D, I, U delivered unscanned", after: "A, C, D, U delivered; B delivered as spam; I delivered unscanned",
		},
		{
			dir: "amavis", filter: "amavis, behind the queue", programs: []string{"amavisd"}, further: "IUX", tables: []string{"amavis/truehop_amavis"}, master: []string{"amavis/master.cf"},
			start: startAmavis, passed: regexp.MustCompile(`relay=127\.0\.0\.1\[127\.0\.0\.1\]:1002[45], .*status=sent`), findings: sameRules,
			own: []string{"recipient_bcc_maps = inline:{archived@example.org=archive@example.org}"}, then: copied,
			before: "A, C, D, I, U, X delivered; B delivered as spam", after: "A, C, D, U, X delivered; B delivered as spam; I delivered unscanned",
		},
		{
			dir: "intact", filter: "none: signed mail with bare addresses and no Date", programs: []string{"opendkim"}, further: "S",
			start: startOpenDKIM, findings: signatures,
			before: "A, B, C, D delivered; S delivered with a broken signature", after: "all delivered",
		},
	}
}

// receivedSPF holds what the filter wrote on top of delivered mail: the client that it judged.
func receivedSPF(w *world, o outcome) {
	client := regexp.MustCompile(`(?m)^Received-SPF: .*(\n[ \t].*)*client-ip=192\.0\.2\.25\b`)
	if got, want := client.MatchString(o.delivered["C"]), o.by == "truehop"; got != want {
		w.t.Errorf("by %s: Received-SPF with the client of C: %v\n%s", o.by, got, o.delivered["C"])
	}
}

// startPostgrey starts it as its service does.
func startPostgrey(w *world) { w.postgrey("") }

func (w *world) postgrey(option string) {
	script := `set -e; . "$0"; exec postgrey $POSTGREY_OPTS --dbdir="$1" $2`
	db := filepath.Join(w.dir, "postgrey")
	if err := os.MkdirAll(db, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.open()
	w.give(db, "postgrey")
	w.stopFilter = mailtest.StartFilter(w.t, w.log, "127.0.0.1:10023", "sh", "-c", script, "postgrey/postgrey.default", db, option)
}

// comeBack has truehop try again until all is delivered. It does not wait for the five minutes: another postgrey is content with a second.
func comeBack(w *world) outcome {
	w.stopFilter()
	w.postgrey("--delay=1")
	var o outcome
	for end := time.Now().Add(time.Minute); ; {
		before := o.log
		o = w.byTruehop("    retry_min: 1s")
		o.log = before + o.log
		if w.cell(o) == "all delivered" {
			return o
		}
		if time.Now().After(end) { // it hangs
			w.t.Fatalf("%s\n%s", w.cell(o), o.log)
		}
	}
}

// startOpenDMARC starts both where their files say.
func startOpenDMARC(w *world) {
	startOpenDKIM(w)
	w.installMilter("opendmarc")
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:8893", "opendmarc", "-f")
}

// installMilter shows a file of the recipe dkim-dmarc, and makes the directory for its process id.
func (w *world) installMilter(name string) {
	w.t.Helper()
	w.install("dkim-dmarc/"+name+".conf", "/etc/"+name+".conf")
	dir := "/run/" + name
	mailtest.Directory(w.t, dir)
	w.give(dir, name)
}

func startOpenDKIM(w *world) {
	w.installMilter("opendkim")
	mailtest.Directory(w.t, "/etc/dkimkeys")
	const private = "/etc/dkimkeys/mine.private"
	if err := os.WriteFile(private, w.key.PEM(), 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.give(private, "opendkim")
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:8891", "opendkim", "-f")
}

// authenticationResults adds what the header of a delivered message says in the name of this host.
func authenticationResults(w *world, o outcome) {
	for name, message := range o.delivered {
		head, _, _ := strings.Cut(message, "\n\n")
		head = regexp.MustCompile(`\n[ \t]+`).ReplaceAllString(head, " ")
		if strings.Contains(head, "dkim=pass header.d=example.org; dmarc=pass") {
			o.of[name] += " with a forged result"
		}
		if regexp.MustCompile(`(?m)^DKIM-Signature: .*d=example\.org;`).MatchString(head) {
			o.of[name] += " and our signature"
		}
		if result := regexp.MustCompile(`(?m)^Authentication-Results: mx\.example\.org; (dmarc=\w+)`).FindStringSubmatch(head); result != nil {
			o.of[name] += " " + result[1]
		}
	}
}

// startRspamd starts it with what Debian has in /etc/rspamd and the recipe's files. It learns nothing and asks nobody but the test's name server.
func startRspamd(w *world) {
	files, err := filepath.Glob("rspamd/local.d/*.conf")
	if err != nil || len(files) == 0 {
		w.t.Fatal(files, err)
	}
	w.open()
	if err := os.Mkdir(filepath.Join(w.dir, "local.d"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	for _, path := range files {
		w.file("local.d/"+filepath.Base(path), read(w.t, path))
	}
	for name, text := range map[string]string{
		"options.inc":           "dns { nameserver = [\"127.0.0.1\"]; }\ndisable_hyperscan = true;\nurl_tld = \"" + w.file("local.d/tld", "com\n") + "\";\n", // whole, they take a minute
		"worker-proxy.inc":      "bind_socket = \"127.0.0.1:11332\";\nupstream \"local\" { default = yes; self_scan = yes; }\n",
		"worker-normal.inc":     "enabled = false;\n",
		"worker-controller.inc": "enabled = false;\n",
		"worker-fuzzy.inc":      "enabled = false;\n",
		"redis.conf":            "enabled = false;\n",
		"fuzzy_check.conf":      "enabled = false;\n",
		"logging.inc":           "type = \"console\";\n",
	} {
		w.file("local.d/"+name, text)
	}
	state := filepath.Join(w.dir, "rspamd")
	if err := os.Mkdir(state, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.give(state, "_rspamd")
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:11332", "rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf",
		"--var", "LOCAL_CONFDIR="+w.dir, "--var", "DBDIR="+state, "--var", "RUNDIR="+state, "--var", "LOGDIR="+state)
}

// spamHeader adds what a rule of the mailbox goes by.
func spamHeader(_ *world, o outcome) {
	for name, message := range o.delivered {
		head, _, _ := strings.Cut(message, "\n\n")
		if strings.Contains(head, "\nX-Spam: Yes") {
			o.of[name] += " as spam"
		}
	}
}

// startPolicydWeight starts it with the recipe's file, apart from the number of its process, which it would leave in /run.
func startPolicydWeight(w *world) {
	w.open()
	mailtest.Directory(w.t, "/run/policyd-weight")
	w.give("/run/policyd-weight", "polw")
	config := w.file("policyd-weight.conf", read(w.t, "policyd-weight/policyd-weight.conf")+"$PIDFILE = '"+filepath.Join(w.dir, "pid")+"';\n1;\n")
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:12525", "policyd-weight", "-D", "-f", config, "start")
}

// signatures tells of each delivered message whether what it was signed with still holds, and that truehop changes nothing.
func signatures(w *world, o outcome) {
	for _, m := range w.mails {
		message := strings.ReplaceAll(o.delivered[m.name], "\n", "\r\n")
		verified, err := dkim.Verify(strings.NewReader(message))
		if err != nil || len(verified) != strings.Count(m.text, "DKIM-Signature: ") {
			w.t.Errorf("%s has %d signatures, %v", m.name, len(verified), err)
		}
		for _, v := range verified {
			if v.Err != nil {
				o.of[m.name] += " with a broken signature"
			}
		}
		if whole := strings.HasSuffix(message, m.text); o.by == "truehop" && !whole {
			w.t.Errorf("%s is not what it was:\n%q", m.name, message)
		}
	}
	if o.by != "fetchmail" {
		return
	}
	for _, added := range []string{"\nTo: me@127.0.0.1, bob@127.0.0.1\n", "\nDate: ", "\nMessage-Id: "} {
		if !strings.Contains(o.delivered["S"], added) {
			w.t.Errorf("by fetchmail, S has no %q:\n%s", added, o.delivered["S"])
		}
	}
}
