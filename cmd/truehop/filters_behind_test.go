//go:build linux

package main

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/examples/mailtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// startSieve starts rspamd and, as what Postfix delivers to, a Dovecot that files as spam what rspamd's score says.
func startSieve(t *testing.T, dir string, _ mailtest.Key) {
	runRspamd(t, dir, map[string]string{
		"milter_headers.conf": "use = [\"x-spamd-result\", \"authentication-results\"];\nskip_local = false;\nskip_authenticated = false;\n",
		"rbl.conf":            "rbls { test { symbol = \"TEST_BL\"; rbl = \"bl.example\"; checks = [\"from\"]; } }\n",
		"rbl_group.conf":      "symbols { TEST_BL { weight = 7.0; } }\n",
	})
	for _, sub := range []string{"mail", "run", "sieve"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(filepath.Join(dir, "mail"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	fileIn(t, dir, "sieve/spam.sieve", `require ["spamtestplus", "relational", "comparator-i;ascii-numeric", "fileinto", "mailbox"];
if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "40" { fileinto :create "Junk"; }
`)
	conf := fileIn(t, dir, "dovecot.conf", strings.ReplaceAll(`base_dir = {dir}/run
log_path = /dev/stderr
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_location = maildir:{dir}/mail
postmaster_address = postmaster@example.org
passdb {
  driver = static
  args = nopassword=yes
}
userdb {
  driver = static
  args = uid=65534 gid=65534 home={dir}/mail allow_all_users=yes
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = 2424
  }
}
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve_before = {dir}/sieve/spam.sieve
  sieve_extensions = +spamtest +spamtestplus
  sieve_spamtest_status_type = score
  sieve_spamtest_status_header = X-Spamd-Result: default: [[:alnum:]]+ \[(-?[[:digit:]]+\.[[:digit:]]+) /
  sieve_spamtest_max_value = 15
}
`, "{dir}", dir))
	startFilter(t, "127.0.0.1:2424", "dovecot", "-F", "-c", conf)
}

// startAmavis starts amavis with SpamAssassin in it, behind Postfix's queue. It asks no name server but the test's.
func startAmavis(t *testing.T, dir string, _ mailtest.Key) {
	spamAssassin(t, dir)
	for _, sub := range []string{"home", "tmp", "var"} {
		path := filepath.Join(dir, sub)
		if err := os.Mkdir(path, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	conf := fileIn(t, dir, "etc/amavis.conf", strings.ReplaceAll(`use strict;
$MYHOME = '{dir}/home'; $TEMPBASE = '{dir}/tmp'; $QUARANTINEDIR = undef; $helpers_home = '{dir}/home';
$db_home = '{dir}/var'; $lock_file = '{dir}/var/lock'; $pid_file = '{dir}/var/pid'; $unix_socketname = undef; $enable_db = 0; $enable_zmq = 0;
$daemon_user = 'nobody'; $daemon_group = 'nogroup'; $max_servers = 2;
$mydomain = 'example.org'; $myhostname = 'mx.example.org'; @local_domains_maps = (['.example.org']); @mynetworks = qw(127.0.0.0/8 [::1]);
$inet_socket_port = 10024; $inet_socket_bind = '127.0.0.1'; @inet_acl = qw(127.0.0.1);
$forward_method = 'smtp:[127.0.0.1]:10025'; $notify_method = $forward_method;
$do_syslog = 0; $LOGFILE = '{dir}/var/log'; $log_level = 2;
@bypass_virus_checks_maps = (1); @bypass_spam_checks_maps = (0); @bypass_banned_checks_maps = (1); @bypass_header_checks_maps = (1);
$sa_siteconfigpath = '{dir}/conf'; $sa_local_tests_only = 0; $sa_spawned = 0;
$sa_tag_level_deflt = -999; $sa_tag2_level_deflt = 5; $sa_kill_level_deflt = 999; $final_spam_destiny = D_PASS;
$enable_dkim_verification = 1; $enable_dkim_signing = 0; @dkim_signature_options_bysender_maps = ();
1;
`, "{dir}", dir))
	t.Cleanup(func() {
		if log, err := os.ReadFile(filepath.Join(dir, "var/log")); t.Failed() {
			t.Logf("%s, %v", log, err)
		}
	})
	startFilter(t, "127.0.0.1:10024", "amavisd", "-c", conf, "foreground")
	conn, err := net.Dial("tcp", "127.0.0.1:10024")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// It listens long before it has read the rules.
	if greeting, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "220 ") {
		t.Fatalf("amavis says %q, %v", greeting, err)
	}
}

// sent counts what Postfix has handed to a filter behind its queue.
func (f filter) sent(postfix *injecttest.Postfix) int {
	if f.passed == nil {
		return 0
	}
	return len(f.passed.FindAllString(postfix.Log(), -1))
}

// await waits until a filter behind the queue has passed on that many messages. It may take longer for them than Postfix would.
func (f filter) await(t *testing.T, postfix *injecttest.Postfix, want int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); f.passed != nil && f.sent(postfix) < want; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) { // it hangs
			t.Fatalf("%d messages came back from the filter, want %d\n%s", f.sent(postfix), want, postfix.Log())
		}
	}
}

// arrival is a message as it was delivered; folder is " junk" if it was put aside.
type arrival struct{ text, folder string }

// arrivals are all messages that were delivered so far.
func (f filter) arrivals(t *testing.T, postfix *injecttest.Postfix, dir string) []arrival {
	t.Helper()
	var all []arrival
	for _, text := range postfix.Mail() {
		all = append(all, arrival{text, ""})
	}
	if f.maildir == "" {
		return all
	}
	for _, text := range inFolder(t, filepath.Join(dir, f.maildir)) {
		all = append(all, arrival{text, ""})
	}
	for _, text := range inFolder(t, filepath.Join(dir, f.maildir, ".Junk")) {
		all = append(all, arrival{text, " junk"})
	}
	return all
}

// inFolder are the messages in a Maildir that have not been read yet.
func inFolder(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}
