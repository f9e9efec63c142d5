//go:build linux

package main

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/examples/mailtest"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// standIns lets the filters be tried with other addresses than the default ones.
var standIns = flag.String("standins", "192.0.0.8,198.18.0.8", "addresses that stand for an unknown client and for internal mail")

// filter is a program behind Postfix, or a rule of Postfix's own, that judges clients.
type filter struct {
	name string
	// programs must be installed.
	programs []string
	// carrier is how clients are presented, XCLIENT if "". program is what listens, Postfix's smtpd if "".
	carrier, program string
	// options are the listener's.
	options []string
	// start readies the filter; dir is for its files.
	start func(t *testing.T, dir string, key mailtest.Key)
	// maildir is where in dir messages are delivered, if that is not Postfix's own mailbox.
	maildir string
	// passed is in Postfix's log for each message that a filter behind the queue has passed on.
	passed *regexp.Regexp
	// want is what becomes of each message, by filterMails: the record's state and reply code, and what
	// the filter says in the header of a delivered message.
	want map[string]string
}

// exempt are the rules of examples/postfix for the stand-ins.
const exempt = "check_client_access cidr:{etc}/standins"

// everything is what becomes of all messages where nothing judges them.
func everything(s string, but map[string]string) map[string]string {
	want := map[string]string{}
	for _, m := range filterMails() {
		want[m.name] = s
	}
	for name, s := range but {
		want[name] = s
	}
	return want
}

func filters() []filter {
	const delivered, held, refused = "delivered 250", "held 550", "refused 550"
	policy := func(service string) []string {
		return []string{"smtpd_recipient_restrictions=reject_unauth_destination, check_client_access cidr:{etc}/internal, check_policy_service " + service}
	}
	// The forged mails fail SPF. Good mail of an unknown or stale client does so too, as its own client is not shown: it is held.
	spf := everything(delivered, map[string]string{"forged": refused, "unknown forged": held, "unknown own": held, "unknown good": held, "stale good": held})
	dmarc := everything(delivered, map[string]string{"list": delivered + " dkim=pass", "IPv6 good": delivered + " dkim=pass", "list again": delivered + " dkim=pass",
		"unknown good": delivered + " dkim=pass dmarc=pass", "stale good": delivered + " dkim=pass dmarc=pass", "internal good": delivered})
	for name, want := range map[string]string{"forged": refused, "unknown forged": held, "unknown own": held, "listed": delivered + " dmarc=none", "no reverse DNS": delivered + " dmarc=none"} {
		dmarc[name] = want
	}
	for _, name := range []string{"list", "IPv6 good", "list again"} {
		dmarc[name] += " dmarc=none"
	}
	// rspamd says as much as opendkim and opendmarc, and 554.
	verdicts := maps.Clone(dmarc)
	for name, want := range map[string]string{"forged": "refused 554", "unknown forged": "held 554", "unknown own": "held 554", "listed": delivered + " dkim=none dmarc=none", "no reverse DNS": delivered + " dkim=none dmarc=none"} {
		verdicts[name] = want
	}
	// SpamAssassin scores. What counts is that it neither trusts a stand-in nor scores it as impossible, as it does with the ranges for
	// documentation that the other clients here have.
	spam := map[string]string{
		"listed": delivered + " RCVD_ILLEGAL_IP SPF_PASS", "forged": delivered + " RCVD_ILLEGAL_IP SPF_FAIL", "list": delivered + " DKIM_VALID RCVD_ILLEGAL_IP SPF_PASS",
		"unknown forged": delivered + " SPF_FAIL", "no reverse DNS": delivered + " RCVD_ILLEGAL_IP", "internal good": delivered, "unknown own": delivered + " SPF_FAIL",
		"unknown good": delivered + " DKIM_VALID SPF_FAIL", "stale good": delivered + " DKIM_VALID RCVD_ILLEGAL_IP SPF_FAIL",
		"IPv6 good": delivered + " DKIM_VALID SPF_PASS", "list again": delivered + " DKIM_VALID RCVD_ILLEGAL_IP SPF_PASS",
	}
	// policyd-weight asks whether name, HELO and sender fit together: nothing fits a stand-in.
	weight := everything(delivered, map[string]string{"unknown forged": held, "unknown own": held, "unknown good": held, "stale good": held, "no reverse DNS": refused})
	// Behind postscreen, which looks at lists, the same policy service as above asks for SPF.
	// Without a banner before the greeting it waits for the lists and for nothing else, at most greet_wait.
	screened := maps.Clone(spf)
	screened["listed"] = refused
	// Spam goes into a folder. So does good mail whose client is not shown, under the score that only a client without a name has.
	sieved := maps.Clone(verdicts)
	for _, name := range []string{"listed", "no reverse DNS", "unknown good", "stale good"} {
		sieved[name] += " junk"
	}
	// amavis has SpamAssassin look at all that is in the queue, and checks signatures itself. No table keeps internal mail from it.
	scanned := maps.Clone(spam)
	for name, found := range scanned {
		scanned[name] = strings.Replace(found, " DKIM_VALID", " dkim=pass DKIM_VALID", 1)
	}
	scanned["internal good"] += " SPF_FAIL"
	return []filter{
		{name: "block list", options: []string{"smtpd_client_restrictions=reject_rbl_client bl.example"}, want: everything(delivered, map[string]string{"listed": "refused 554"})},
		{name: "names", options: []string{"smtpd_client_restrictions=" + exempt + ", reject_unknown_client_hostname", "unknown_client_reject_code=550"},
			want: everything(delivered, map[string]string{"no reverse DNS": refused})},
		{name: "names without rules for the stand-ins", options: []string{"smtpd_client_restrictions=reject_unknown_client_hostname", "unknown_client_reject_code=550"},
			want: everything(delivered, map[string]string{"no reverse DNS": refused, "unknown forged": held, "unknown own": held, "unknown good": held, "stale good": held, "internal good": held})},
		{name: "HELO", options: []string{"smtpd_helo_required=yes", "smtpd_helo_restrictions=reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname, reject_unknown_helo_hostname", "unknown_hostname_reject_code=550"},
			want: everything(delivered, map[string]string{"no reverse DNS": refused})},
		{name: "postgrey", programs: []string{"postgrey"}, options: policy("inet:127.0.0.1:10023"),
			start: func(t *testing.T, dir string, _ mailtest.Key) {
				startFilter(t, "127.0.0.1:10023", "postgrey", "--inet=127.0.0.1:10023", "--dbdir="+dir, "--user=nobody", "--group=nogroup", "--delay=300")
			}, want: everything("deferred 450", map[string]string{"internal good": delivered})},
		{name: "policyd-spf (Python)", programs: []string{"policyd-spf"}, options: policy("unix:private/spf-python"), want: spf},
		{name: "policyd-spf (Perl)", programs: []string{"postfix-policyd-spf-perl"}, options: policy("unix:private/spf-perl"), want: spf},
		{name: "opendkim and opendmarc", programs: []string{"opendkim", "opendmarc"},
			options: []string{"smtpd_milters=inet:127.0.0.1:8891, inet:127.0.0.1:8893", "smtpd_milter_maps=cidr:{etc}/milters"},
			start:   startOpenDMARC, want: dmarc},
		{name: "rspamd", programs: []string{"rspamd"},
			options: []string{"smtpd_milters=inet:127.0.0.1:11332", "smtpd_milter_maps=cidr:{etc}/milters"},
			start:   startRspamd, want: verdicts},
		{name: "SpamAssassin", programs: []string{"spamd", "spamass-milter"},
			options: []string{"smtpd_milters=inet:127.0.0.1:7830", "smtpd_milter_maps=cidr:{etc}/milters"},
			start:   startSpamAssassin, want: spam},
		{name: "policyd-weight", programs: []string{"policyd-weight"}, options: policy("inet:127.0.0.1:12525"),
			start: startPolicydWeight, want: weight},
		{name: "postscreen", programs: []string{"policyd-spf"}, carrier: "proxy-v2", program: "postscreen",
			options: []string{"postscreen_upstream_proxy_protocol=haproxy", "postscreen_greet_banner=", "postscreen_greet_wait=60s", "postscreen_access_list=permit_mynetworks, cidr:{etc}/screened",
				"postscreen_dnsbl_sites=bl.example", "postscreen_dnsbl_action=enforce", "smtpd_service_name=passed"}, want: screened},
		{name: "Sieve spamtest on rspamd", programs: []string{"rspamd", "dovecot"},
			options: []string{"smtpd_milters=inet:127.0.0.1:11332", "smtpd_milter_maps=cidr:{etc}/milters", "content_filter=lmtp:inet:127.0.0.1:2424"},
			start:   startSieve, maildir: "mail", want: sieved},
		{name: "amavis", programs: []string{"amavisd"},
			options: []string{"content_filter=amavis:inet:127.0.0.1:10024"}, start: startAmavis, passed: regexp.MustCompile(`:10024, .*status=sent`), want: scanned},
	}
}

// fileIn writes a configuration of a filter's.
func fileIn(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// startFilter starts a filter. What it says is shown where the test fails.
func startFilter(t *testing.T, addr string, argv ...string) {
	t.Helper()
	said := &mailtest.Log{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s says:\n%s", argv[0], said)
		}
	})
	mailtest.StartFilter(t, said, addr, argv...)
}

func startOpenDMARC(t *testing.T, dir string, key mailtest.Key) {
	private := fileIn(t, dir, "key.pem", string(key.PEM()))
	opendkim := fileIn(t, dir, "opendkim.conf", "Mode sv\nDomain example.org\nSelector s1\nKeyFile "+private+
		"\nAuthservID mx.example.org\nSocket inet:8891@127.0.0.1\nNameservers 127.0.0.1\nRequireSafeKeys no\nSyslog no\n")
	startFilter(t, "127.0.0.1:8891", "opendkim", "-f", "-x", opendkim)
	opendmarc := fileIn(t, dir, "opendmarc.conf", "Socket inet:8893@127.0.0.1\nAuthservID mx.example.org\nTrustedAuthservIDs mx.example.org\n"+
		"RejectFailures true\nSPFSelfValidate true\nSPFIgnoreResults true\nIgnoreHosts "+fileIn(t, dir, "ignore", "127.0.0.1\n")+"\nSyslog no\n")
	startFilter(t, "127.0.0.1:8893", "opendmarc", "-f", "-c", opendmarc)
}

func startRspamd(t *testing.T, dir string, _ mailtest.Key) { runRspamd(t, dir, nil) }

// runRspamd starts rspamd with files of its configuration besides those that every test has, or in their place.
func runRspamd(t *testing.T, dir string, local map[string]string) {
	files := map[string]string{
		"options.inc":           "dns { nameserver = [\"127.0.0.1\"]; timeout = 1s; }\ndisable_hyperscan = true;\nurl_tld = \"" + fileIn(t, dir, "tld", "com\n") + "\";\n",
		"worker-proxy.inc":      "bind_socket = \"127.0.0.1:11332\";\nmilter = yes;\ntimeout = 60s;\nupstream \"local\" { default = yes; self_scan = yes; }\ncount = 1;\n",
		"worker-normal.inc":     "enabled = false;\n",
		"worker-controller.inc": "enabled = false;\n",
		"worker-fuzzy.inc":      "enabled = false;\n",
		"milter_headers.conf":   "use = [\"authentication-results\"];\nskip_local = false;\nskip_authenticated = false;\n",
		"dmarc.conf":            "actions { quarantine = \"add header\"; reject = \"reject\"; }\n",
		"redis.conf":            "enabled = false;\n",
		"greylist.conf":         "enabled = false;\n",
		"rbl.conf":              "enabled = false;\n",
		"surbl.conf":            "enabled = false;\n",
		"fuzzy_check.conf":      "enabled = false;\n",
		"bayes_expiry.conf":     "enabled = false;\n",
	}
	maps.Copy(files, local)
	for name, text := range files {
		fileIn(t, dir, "local.d/"+name, text)
	}
	startFilter(t, "127.0.0.1:11332", "rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf",
		"--var", "LOCAL_CONFDIR="+dir, "--var", "DBDIR="+dir, "--var", "RUNDIR="+dir, "--var", "LOGDIR="+dir)
}

// spamAssassin writes its configuration: rules that ask nobody but the name server of the test.
func spamAssassin(t *testing.T, dir string) {
	fileIn(t, dir, "conf/local.cf", "report_safe 0\nuse_bayes 0\nuse_razor2 0\nuse_pyzor 0\ndns_server 127.0.0.1\ndns_available yes\nclear_headers\nadd_header all Status _YESNO_, score=_SCORE_ tests=_TESTSSCORES(,)_\n")
	fileIn(t, dir, "conf/init.pre", "loadplugin Mail::SpamAssassin::Plugin::SPF\nloadplugin Mail::SpamAssassin::Plugin::DKIM\nloadplugin Mail::SpamAssassin::Plugin::Check\nloadplugin Mail::SpamAssassin::Plugin::HeaderEval\n"+
		"loadplugin Mail::SpamAssassin::Plugin::RelayEval\nloadplugin Mail::SpamAssassin::Plugin::BodyEval\nloadplugin Mail::SpamAssassin::Plugin::MIMEEval\n")
}

func startSpamAssassin(t *testing.T, dir string, _ mailtest.Key) {
	spamAssassin(t, dir)
	startFilter(t, "127.0.0.1:783", "spamd", "--siteconfigpath="+dir+"/conf", "-i", "127.0.0.1", "-p", "783", "-u", "nobody", "-x", "-m", "1", "-H", dir)
	startFilter(t, "127.0.0.1:7830", "spamass-milter", "-p", "inet:7830@127.0.0.1", "-r", "-1", "--", "-d", "127.0.0.1", "-p", "783")
}

func startPolicydWeight(t *testing.T, dir string, _ mailtest.Key) {
	said := &mailtest.Log{}
	mailtest.Syslog(t, said) // by UDP it would wait a quarter of a second with each line for somebody to say that nobody listens
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(said)
		}
	})
	conf := fileIn(t, dir, "policyd-weight.conf", "$TCP_PORT = 12525;\n$BIND_ADDRESS = '127.0.0.1';\n$LOCKPATH = '"+dir+"/lock/';\n$SPATH = $LOCKPATH.'/polw.sock';\n$PIDFILE = '"+dir+"/pid';\n$USER = 'nobody';\n$GROUP = 'nogroup';\n1;\n")
	startFilter(t, "127.0.0.1:12525", "policyd-weight", "-D", "-f", conf, "start")
}

// filterMail is a message of one kind: who it says it is from, what the upstream wrote above it, who signed it.
type filterMail struct{ name, sender, received, signed string }

func filterMails() []filterMail {
	now := time.Now()
	line := func(from string, at time.Time) string {
		return fmt.Sprintf("Received: from %s\r\n\tby mx.upstream.example (Postfix) with ESMTPS id 4XyZ; %s\r\n", from, at.Format(time.RFC1123Z))
	}
	recent, old := now.Add(-time.Hour), now.AddDate(0, 0, -60)
	list := line("mail.lists.example (mail.lists.example [192.0.2.25])", recent)
	return []filterMail{
		{"listed", "win@spammer.example", line("mail.spammer.example (mail.spammer.example [198.51.100.7])", recent), ""},
		{"forged", "alerts@bank.example", line("host66.dialup.example (host66.dialup.example [203.0.113.66])", recent), ""},
		{"list", "list@lists.example", list, "lists.example"},
		{"unknown forged", "alerts@bank.example", "", ""},
		{"no reverse DNS", "bob@small.example", line("host.invalid (unknown [203.0.113.99])", recent), ""},
		{"internal good", "carol@upstream.example", fmt.Sprintf("Received: by mx.upstream.example (Postfix, from userid 1000)\r\n\tid 4XyZ; %s\r\n", recent.Format(time.RFC1123Z)), ""},
		{"unknown own", "boss@example.org", "", ""},
		{"unknown good", "alice@author.example", "", "author.example"},
		{"stale good", "alice@author.example", line("mail.author.example (mail.author.example [192.0.2.30])", old), "author.example"},
		{"IPv6 good", "list@lists.example", line("mail6.lists.example (mail6.lists.example [IPv6:2001:4860::25])", recent), "lists.example"},
		{"list again", "list@lists.example", list, "lists.example"},
	}
}

// filterZone is what the name server of the tests knows.
func filterZone(t *testing.T, key mailtest.Key) mailtest.Zone {
	return mailtest.Zone{TXT: map[string]string{
		"spammer.example": "v=spf1 ip4:198.51.100.7 -all", "bank.example": "v=spf1 ip4:192.0.2.10 -all", "author.example": "v=spf1 ip4:192.0.2.30 -all",
		"lists.example": "v=spf1 ip4:192.0.2.25 ip6:2001:4860::25 -all", "upstream.example": "v=spf1 ip4:192.0.2.200 -all", "example.org": "v=spf1 ip4:192.0.2.220 -all",
		"_dmarc.bank.example": "v=DMARC1; p=reject", "_dmarc.author.example": "v=DMARC1; p=reject", "_dmarc.upstream.example": "v=DMARC1; p=reject", "_dmarc.example.org": "v=DMARC1; p=reject",
		mailtest.Selector + "._domainkey.lists.example": key.Record(t), mailtest.Selector + "._domainkey.author.example": key.Record(t),
	}, Addrs: map[string]string{
		"mail.spammer.example": "198.51.100.7", "host66.dialup.example": "203.0.113.66", "mail.lists.example": "192.0.2.25", "mail6.lists.example": "2001:4860::25",
		"mail.author.example": "192.0.2.30", "mail.bank.example": "192.0.2.10", "7.100.51.198.bl.example": "127.0.0.2", "small.example": "192.0.2.40",
		"spammer.example": "198.51.100.7", "bank.example": "192.0.2.10", "lists.example": "192.0.2.25", "author.example": "192.0.2.30", "upstream.example": "192.0.2.200", "example.org": "192.0.2.220",
	}}
}

// TestFilters: what judges clients behind Postfix bears every kind of message. None of them dies or breaks, no forgery
// passes, signatures survive, the messages before and after in a session change nothing, and good mail whose
// client cannot be shown is delivered or held.
func TestFilters(t *testing.T) {
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(programPath, path)
	if !mailtest.Alone(t, "-standins="+*standIns) {
		return
	}
	key := mailtest.NewKey(t)
	filterZone(t, key).Serve(t)

	unknown, internal, _ := strings.Cut(*standIns, ",")
	o := injecttest.PostfixOptions{
		Main: []string{"policyd-spf_time_limit = 3600", "milter_protocol = 6"},
		Files: map[string]string{
			"standins": unknown + " OK\n" + internal + " OK\n", "internal": internal + " OK\n", "screened": internal + " permit\n", "milters": internal + " DISABLE\n",
			"policyd-spf.conf": "debugLevel = 1\nTestOnly = 1\nHELO_reject = Fail\nMail_From_reject = Fail\nPermError_reject = False\nTempError_Defer = False\nskip_addresses = 127.0.0.0/8,::ffff:127.0.0.0/104,::1\n",
		},
		Master: []string{
			"spf-python unix - n n - 0 spawn user=nobody argv=/usr/bin/policyd-spf {etc}/policyd-spf.conf",
			"spf-perl unix - n n - 0 spawn user=nobody argv=/usr/sbin/postfix-policyd-spf-perl",
			// What postscreen hands the connection to when it has found nothing, and asks.
			"passed pass - - n - - smtpd\n  -o {smtpd_recipient_restrictions=reject_unauth_destination, check_client_access cidr:{etc}/internal, check_policy_service unix:private/spf-python}",
			"dnsblog unix - - n - 0 dnsblog",
			"tlsproxy unix - - n - 0 tlsproxy",
			"lmtp unix - - n - - lmtp",
			// To amavis, and back from it.
			"amavis unix - - n - 2 lmtp\n  -o lmtp_send_xforward_command=yes",
			"127.0.0.1:10025 inet n - n - - smtpd\n  -o smtpd_authorized_xforward_hosts=127.0.0.0/8",
		},
	}
	for _, f := range filters() {
		o.Listeners = append(o.Listeners, injecttest.Listener{Name: f.name, Program: f.program, Options: append([]string{"smtpd_authorized_xclient_hosts=static:all", "smtpd_error_sleep_time=0", "smtpd_hard_error_limit=1000"}, f.options...)})
	}
	postfix := injecttest.StartPostfix(t, o)
	for _, f := range filters() {
		t.Run(f.name, func(t *testing.T) {
			for _, program := range f.programs {
				if _, err := exec.LookPath(program); err != nil {
					skip := t.Skip
					if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
						skip = t.Fatal
					}
					skip(err)
				}
			}
			dir, err := os.MkdirTemp("", "filter")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if f.start != nil {
				f.start(t, dir, key)
			}
			mails := filterMails()
			for _, order := range []string{"forwards", "backwards"} {
				got := throughFilter(t, postfix, f, dir, f.name+" "+order, mails, key)
				for _, m := range mails {
					if got[m.name] != f.want[m.name] {
						t.Errorf("%s, %s: %s, want %s", order, m.name, got[m.name], f.want[m.name])
					}
				}
				slices.Reverse(mails)
			}
			if t.Failed() {
				t.Log(postfix.Log())
			}
		})
	}
	if t.Failed() {
		return
	}
	if bad := regexp.MustCompile(`(?m)^.*(warning|fatal|panic): .*$`).FindAllString(postfix.Log(), -1); len(bad) > 0 {
		t.Errorf("Postfix complains:\n%s", strings.Join(bad, "\n"))
	}
}

// throughFilter fetches the messages in that order and injects them in one session, where the carrier has sessions. It returns
// what became of each.
func throughFilter(t *testing.T, postfix *injecttest.Postfix, f filter, filterDir, id string, mails []filterMail, key mailtest.Key) map[string]string {
	t.Helper()
	_, addr := postfix.Addr(f.name)
	carrier := cmp.Or(f.carrier, "xclient")
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	store, ca := fakeserver.NewStore(), fakeserver.NewCA()
	for _, m := range mails {
		content := fmt.Sprintf("From: %s\r\nSubject: %s, %s\r\nDate: %s\r\nMessage-ID: <%d@%s>\r\n\r\nbody\r\n", m.sender, m.name, id, time.Now().Format(time.RFC1123Z), time.Now().UnixNano(), "example.net")
		if m.signed != "" {
			content = key.Sign(t, m.signed, content)
		}
		store.Add("INBOX", []byte("Return-Path: <"+m.sender+">\r\n"+m.received+content))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}}
	upstream := fakeserver.Serve(listener, (&fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: secure, Implicit: true}).Serve)
	defer upstream.Close()
	_, port, _ := net.SplitHostPort(upstream.Addr())
	unknown, internal, _ := strings.Cut(*standIns, ",")
	config := write("truehop.yaml", fmt.Sprintf(`state_dir: %s
resolver: {server: "127.0.0.1"}
inject: {address: %q, carrier: %s, connections: 1, unknown_client_address: %s, internal_client_address: %s}
accounts:
  work: {host: 127.0.0.1, port: %s, tls_ca_file: %s, user: u, password_file: %s, recipients: [user@example.org], mx: [mx.upstream.example], stale_after: 30d, on_stale: present}
`, filepath.Join(dir, "state"), addr, carrier, unknown, internal, port, write("ca.pem", string(ca.PEM())), write("password", "p\n")))
	sent := f.sent(postfix)
	p := command(t, t.Context(), "run", "--config", config)
	p.start(t)
	if code := p.wait(t); code != exitOK && code != exitPerson && code != exitLater {
		t.Fatalf("truehop ended with %d\n%s%s", code, &p.stdout, &p.stderr)
	}
	results := map[string]string{}
	for line := range strings.Lines(must(t, exitOK, "history", "--json", "--config", config).stdout.String()) {
		var r struct {
			UID, State string
			Code       int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(r.UID)
		if err != nil || n < 1 || n > len(mails) {
			t.Fatalf("%v in %s", err, line)
		}
		results[mails[n-1].name] = fmt.Sprintf("%s %d", r.State, r.Code)
	}
	f.await(t, postfix, sent+len(mails))
	for _, a := range f.arrivals(t, postfix, filterDir) {
		head, _, _ := strings.Cut(a.text, "\n\n")
		for _, m := range mails {
			if strings.Contains(head, "\nSubject: "+m.name+", "+id+"\n") {
				results[m.name] += findings(head, m.signed) + a.folder
			}
		}
	}
	return results
}

// spamStatus is SpamAssassin's field.
func spamStatus(head string) string {
	return regexp.MustCompile(`(?m)^X-Spam-Status: .*(\n[ \t].*)*`).FindString(head)
}

// findings are the results that this host's filters wrote into a header, and signatures that were not there before.
func findings(head, signed string) string {
	var found []string
	for _, method := range []string{"dkim", "dmarc"} {
		for _, field := range regexp.MustCompile(`(?m)^Authentication-Results: [^;]*;(.*(\n[ \t].*)*)`).FindAllString(head, -1) {
			if result := regexp.MustCompile(`\b` + method + `=[a-z]+`).FindString(field); result != "" && !slices.Contains(found, result) {
				found = append(found, result)
			}
		}
	}
	found = append(found, regexp.MustCompile(`ALL_TRUSTED|NO_RELAYS|RCVD_ILLEGAL_IP|SPF_FAIL|SPF_PASS|DKIM_VALID\b`).FindAllString(spamStatus(head), -1)...)
	if n := strings.Count(head, "DKIM-Signature:"); n > 1 || n == 1 && signed == "" {
		found = append(found, "signed here")
	}
	if len(found) == 0 {
		return ""
	}
	return " " + strings.Join(found, " ")
}
