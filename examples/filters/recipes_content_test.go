//go:build linux

package filters

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/truehop/truehop/examples/mailtest"
)

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
