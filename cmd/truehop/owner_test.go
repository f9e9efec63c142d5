package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nobody owns the state directories of these tests.
const nobody = 65534

// TestRootOnStateOfAnother: run as root where the state is another user's, every command that writes it refuses
// before it creates anything, and says what to type. A spool directory of root's there would stop
// every message above 1 MiB from then on.
func TestRootOnStateOfAnother(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name string
		args []string
	}{
		{"run", []string{"run", "--quiet"}},
		{"dry run", []string{"run", "--dry-run", "work"}},
		{"serve", []string{"serve"}},
		{"retry", []string{"retry", "work", "--all"}},
		{"acknowledge", []string{"acknowledge", "work", "--all"}},
		{"forget", []string{"forget", "work", "it's"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKillTrial(t)
			k.mta = k.startMTA(t, func(int64) bool { return false })
			k.start(t, "imap", "")
			state := filepath.Join(k.dir, "state")
			if err := errors.Join(os.Mkdir(state, 0o700), os.Chown(state, nobody, nobody)); err != nil {
				t.Fatal(err)
			}
			args := append(c.args, "--config", k.config)
			p := must(t, exitCannotWrite, args...)
			if left, err := os.ReadDir(state); err != nil || len(left) > 0 {
				t.Errorf("it left %v in the directory (%v)", left, err)
			}
			typed := "sudo -u nobody truehop " + strings.ReplaceAll(strings.Join(args, " "), "it's", `'it'\''s'`)
			if said := p.stderr.String(); !strings.Contains(said, "belongs to another user, nobody\n") || !strings.Contains(said, typed+"\n") {
				t.Errorf("it does not say %q:\n%s", typed, said)
			}
			if k.mta.Count() > 0 {
				t.Error("mail was delivered")
			}
		})
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

// TestRunLooksAtTheSpoolFirst: where a message above 1 MiB could not be kept, run says so before it asks for any.
func TestRunLooksAtTheSpoolFirst(t *testing.T) {
	k := newKillTrial(t)
	k.mta = k.startMTA(t, func(int64) bool { return false })
	k.start(t, "imap", "")
	spool := filepath.Join(k.dir, "state", "spool")
	if err := errors.Join(os.MkdirAll(spool, 0o700), os.Chmod(filepath.Dir(spool), 0o700), os.Chmod(spool, 0o777)); err != nil {
		t.Fatal(err)
	}
	p := must(t, exitCannotWrite, "run", "--config", k.config)
	if said := p.stderr.String(); !strings.Contains(said, "spool_dir can be written by others") || !strings.Contains(said, "chmod 0700 "+spool) {
		t.Errorf("it says\n%s", said)
	}
	if k.mta.Count() > 0 {
		t.Error("mail was delivered")
	}
	if err := os.Chmod(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	must(t, exitOK, "run", "--config", k.config)
}

// TestCheckSpool: check finds a spool directory that messages above 1 MiB could not be put into.
func TestCheckSpool(t *testing.T) {
	needRoot(t)
	k := newKillTrial(t)
	k.mta = k.startMTA(t, func(int64) bool { return false })
	k.start(t, "imap", "")
	must(t, exitOK, "check", "--config", k.config)
	state, spool := filepath.Join(k.dir, "state"), filepath.Join(k.dir, "state", "spool")
	if _, err := os.Lstat(state); err == nil {
		t.Error("check created the state directory")
	}
	if err := errors.Join(os.MkdirAll(spool, 0o700), os.Chown(state, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	p := must(t, exitCannotWrite, "check", "--config", k.config)
	if said := p.stdout.String(); !strings.Contains(said, "spool: "+spool) || !strings.Contains(said, "FAILED") || !strings.Contains(said, "chown nobody "+spool) {
		t.Errorf("it says\n%s", said)
	}
	if err := os.Chown(spool, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	// The configuration, with its password, is root's alone: the user of the state could not run by it.
	p = must(t, exitCredentials, "check", "--config", k.config)
	if said := p.stdout.String(); !strings.Contains(said, "ok      spool: "+spool) || !strings.Contains(said, "nobody may not read it\n  chown nobody "+k.config) {
		t.Errorf("it says\n%s", said)
	}
}
