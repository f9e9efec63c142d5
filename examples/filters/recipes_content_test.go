//go:build linux

package filters

import (
	"errors"
	"io"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/truehop/truehop/examples/mailtest"
)

// checkMTA asks truehop what it thinks of the listener.
func checkMTA(w *world) outcome {
	out, err := exec.Command(os.Getenv(truehop), "check", "--verbose", "--config", filepath.Join(w.dir, "truehop.yaml")).CombinedOutput()
	if err != nil {
		w.t.Errorf("truehop check: %v\n%s", err, out)
	}
	return outcome{log: string(out)}
}

// startHAProxy starts it with the recipe's lines behind some of the test's, which have it log to its standard output.
func startHAProxy(w *world) {
	global := w.file("haproxy.cfg", "global\n  log stdout format raw local0\n  user haproxy\n  group haproxy\n")
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:10031", "haproxy", "-db", "-f", global, "-f", "postscreen/haproxy.cfg")
}

// checkHAProxy asks truehop what it thinks of the MTA behind haproxy, and holds that haproxy talks to truehop's host only.
func checkHAProxy(w *world) outcome {
	stranger := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	said := ""
	conn, err := stranger.DialContext(w.t.Context(), "tcp", "127.0.0.1:10031")
	if err == nil {
		defer conn.Close()
		_, _ = io.WriteString(conn, "PROXY TCP4 192.0.2.25 127.0.0.1 25 25\r\n") // it may be gone already
		var all []byte
		all, err = io.ReadAll(conn)
		said = string(all)
	}
	if said != "" || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		w.t.Errorf("a stranger is told %q, %v", said, err)
	}
	return checkMTA(w)
}

// startSpamtest starts rspamd, and a Dovecot with the recipe's files in their places.
func startSpamtest(w *world) {
	startRspamd(w)
	const scripts = "/etc/dovecot/sieve"
	mailtest.Directory(w.t, scripts)
	script := filepath.Join(scripts, "spam.sieve")
	if err := os.WriteFile(script, []byte(read(w.t, "spamtest/spam.sieve")), 0o644); err != nil {
		w.t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "dc") // the paths of its sockets must be short
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { os.RemoveAll(run) })
	w.maildir = filepath.Join(w.dir, "mail")
	if err := os.Mkdir(w.maildir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.give(w.maildir, "nobody")
	recipe, err := filepath.Abs("spamtest/95-spamtest.conf")
	if err != nil {
		w.t.Fatal(err)
	}
	config := w.file("local.d/dovecot.conf", strings.NewReplacer("{run}", run, "{mail}", w.maildir, "{recipe}", recipe).Replace(`base_dir = {run}
log_path = /dev/stderr
protocols =
ssl = no
first_valid_uid = 1
mail_location = maildir:{mail}
postmaster_address = postmaster@example.org
passdb {
  driver = static
  args = nopassword=yes
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home={mail} allow_all_users=yes
}
!include {recipe}
`))
	if out, err := exec.Command("sievec", "-c", config, script).CombinedOutput(); err != nil {
		w.t.Fatalf("sievec: %v\n%s", err, out)
	}
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:24", "dovecot", "-F", "-c", config)
}

// inJunk adds which messages were put aside.
func inJunk(w *world, o outcome) {
	for name, message := range o.delivered {
		if slices.Contains(w.folder(junk), message) {
			o.of[name] += " into Junk"
		}
	}
}

// startSpamAssassin starts spamd with all of Debian's rules and the recipe's file, and the milter as its service does. It asks nobody but the
// test's name server.
func startSpamAssassin(w *world) {
	w.open()
	home := filepath.Join(w.dir, "spamd")
	if err := os.Mkdir(home, 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.give(home, "nobody")
	w.install("spamassassin/local.cf", "/etc/spamassassin/local.cf")
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:783", "spamd", "-i", "127.0.0.1", "-u", "nobody", "-x", "-m", "1", "-H", home, "--syslog=stderr")
	script := `set -e; . "$0"; exec spamass-milter -p "$SOCKET" $OPTIONS`
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:7830", "sh", "-c", script, "spamassassin/spamass-milter.default")
}

// scanned adds what SpamAssassin has written into the header. Then it has SpamAssassin look at what was delivered, by whomever: that
// knows fetchmail's Received fields, and finds the client behind them.
func scanned(w *world, o outcome) {
	field := regexp.MustCompile(`(?m)^X-Spam-.*\n([ \t].*\n)*`)
	status := regexp.MustCompile(`(?m)^X-Spam-Status: (\w+)`)
	for name, message := range o.delivered {
		head, body, _ := strings.Cut(message, "\n\n")
		switch verdict := status.FindStringSubmatch(head); {
		case verdict == nil:
			o.of[name] += " unscanned"
		case verdict[1] == "Yes":
			o.of[name] += " as spam"
		}
		if !strings.Contains("ABCD", name) {
			continue // it has no client that both could find
		}
		cmd := exec.Command("spamc", "-d", "127.0.0.1", "--tests")
		cmd.Stdin = strings.NewReader(field.ReplaceAllString(head+"\n", "") + "\n" + body)
		out, err := cmd.Output()
		if err != nil {
			w.t.Fatal(err)
		}
		hits := strings.TrimSpace(string(out))
		if first, again := w.hits[name]; again && hits != first {
			w.t.Errorf("SpamAssassin says of %s by %s\n%s, but the other way\n%s", name, o.by, hits, first)
		}
		if !regexp.MustCompile(`SPF_|RDNS_NONE`).MatchString(hits) {
			w.t.Errorf("SpamAssassin has found no client of %s by %s: %s", name, o.by, hits)
		}
		w.hits[name] = hits
	}
}

// startAmavis starts it with what Debian has in /etc/amavis, and the recipe's file.
func startAmavis(w *world) {
	w.install("amavis/50-user", "/etc/amavis/conf.d/50-user")
	for _, dir := range []string{"/run/amavis", "/var/lib/amavis"} {
		mailtest.Directory(w.t, dir)
		w.give(dir, "amavis")
	}
	for _, dir := range []string{"/var/lib/amavis/tmp", "/var/lib/amavis/db", "/var/lib/amavis/virusmails"} {
		if err := os.Mkdir(dir, 0o750); err != nil {
			w.t.Fatal(err)
		}
		w.give(dir, "amavis")
	}
	mailtest.StartFilter(w.t, w.log, "127.0.0.1:10024", "amavisd", "foreground")
}

// copied sends a message of which Postfix makes a copy for an archive, and holds that it makes one, though it has the message twice: before the
// filter and behind it.
func copied(w *world) outcome {
	before := w.logs()
	if err := smtp.SendMail("127.0.0.1:25", nil, "bob@small.example", []string{"archived@example.org"}, []byte(text("bob@small.example", "Z for the archive"))); err != nil {
		w.t.Fatal(err)
	}
	w.await(before, 1)
	copies := 0
	for _, message := range w.postfix.Mail() {
		if strings.Contains(message, "\nX-Original-To: archive@example.org\n") {
			copies++
		}
	}
	if copies != 1 {
		w.t.Errorf("the archive has %d copies of a message", copies)
	}
	return outcome{log: w.since(before)}
}

// sameRules adds what amavis has written into the header, and holds that SpamAssassin in it finds the same in A, B, C and D by both
// ways, and that X is marked.
func sameRules(w *world, o outcome) {
	status := regexp.MustCompile(`(?m)^X-Spam-Status: (Yes|No), .*(\n[ \t].*)*`)
	for name, message := range o.delivered {
		head, _, _ := strings.Cut(message, "\n\n")
		verdict := status.FindStringSubmatch(head)
		if alert := strings.Contains(head, "\nX-Amavis-Alert: BANNED, "); alert != (name == "X") {
			w.t.Errorf("%s by %s: marked for its attachment: %v", name, o.by, alert)
		}
		switch {
		case verdict == nil:
			o.of[name] += " unscanned"
			continue
		case verdict[1] == "Yes":
			o.of[name] += " as spam"
		}
		if !strings.Contains("ABCD", name) {
			continue // it has no client that both could find
		}
		hits := strings.Join(regexp.MustCompile(`\w+=-?[\d.]+`).FindAllString(verdict[0], -1), " ")
		if first, again := w.hits[name]; again && hits != first {
			w.t.Errorf("SpamAssassin says of %s by %s\n%s, but the other way\n%s", name, o.by, hits, first)
		}
		if !regexp.MustCompile(`SPF_|RDNS_NONE`).MatchString(hits) {
			w.t.Errorf("SpamAssassin has found no client of %s by %s: %s", name, o.by, hits)
		}
		w.hits[name] = hits
	}
}
