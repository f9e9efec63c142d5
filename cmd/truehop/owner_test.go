package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// TestCheckSpoolThatIsNotThere: check finds a spool directory that run could not create, and does not create it.
func TestCheckSpoolThatIsNotThere(t *testing.T) {
	needRoot(t)
	k := newKillTrial(t)
	k.mta = k.startMTA(t, func(int64) bool { return false })
	k.start(t, "imap", "")
	state, spool := filepath.Join(k.dir, "state"), filepath.Join(k.dir, "nothere")
	if err := errors.Join(os.MkdirAll(state, 0o700), os.Chown(state, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRUEHOP_SPOOL_DIR", spool)
	p := must(t, exitCannotWrite, "check", "--config", k.config)
	if said := p.stdout.String(); !strings.Contains(said, "FAILED  spool: "+spool) || !strings.Contains(said, "spool_dir cannot be created") || !strings.Contains(said, "create it for nobody") {
		t.Errorf("it says\n%s", said)
	}
	if _, err := os.Lstat(spool); err == nil {
		t.Error("check created it")
	}
}

// TestRootImportsForTheService: what root imports belongs to the user of the state directory, or to --owner, and that user can run by it.
func TestRootImportsForTheService(t *testing.T) {
	needRoot(t)
	const service = "nobody"
	for _, c := range []struct {
		name  string
		state int // whose the state directory is, -1 where there is none
		args  []string
	}{
		{"the state directory's owner", nobody, nil},
		{"a user by name, no state directory yet", -1, []string{"--owner", service}},
		{"a user by name, who has the state directory", nobody, []string{"--owner", service}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newImportWorldFor(t, c.state)
			p := command(t, t.Context(), append([]string{"import", "--config", w.config, "fetchmailrc", w.rc}, c.args...)...)
			p.start(t)
			if code := p.wait(t); code != exitOK || !strings.Contains(p.stdout.String(), "2 messages recorded") || !strings.Contains(p.stdout.String(), "Next: sudo -u nobody truehop check") {
				t.Fatalf("it ended with %d and said\n%s%s", code, &p.stdout, &p.stderr)
			}
			if got, want := w.owned(t, nobody), "etc/secrets\netc/secrets/pop.example.net\netc/truehop.yaml\nstate"; !strings.HasPrefix(got, want+"\n") || !strings.Contains(got, "\nstate/ledger.db") {
				t.Errorf("the service's are\n%s\nwant\n%s", got, want)
			}
			if of := w.owned(t, 0); strings.Contains(of, "state/") {
				t.Errorf("root's are\n%s", of)
			}
			status := command(t, t.Context(), "status", "--config", w.config)
			status.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
			status.start(t)
			if code := status.wait(t); code != exitOK || !strings.Contains(status.stdout.String(), "pop.example.net") {
				t.Errorf("status for the service ended with %d and said\n%s%s", code, &status.stdout, &status.stderr)
			}
			// Again: nothing is there that is in its way.
			must(t, exitOK, append([]string{"import", "--force", "--config", w.config, "fetchmailrc", w.rc}, c.args...)...)
		})
	}
}

// TestImportOwnerRefused: whom files cannot be written for has none written.
func TestImportOwnerRefused(t *testing.T) {
	needRoot(t)
	const daemon = 1
	for name, c := range map[string]struct {
		state, by int // whose the state directory is, and who imports
		owner     string
		code      int
		says      string
	}{
		"the state is a third user's": {daemon, 0, "nobody", exitCannotWrite, "belongs to daemon"},
		"there is no such user":       {-1, 0, "no-such-user", exitUsage, "no-such-user"},
		"only root can give":          {-1, nobody, "daemon", exitUsage, "only root"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newImportWorldFor(t, c.state)
			if err := errors.Join(os.Chown(w.rc, c.by, c.by), os.Chown(filepath.Join(w.home, ".fetchids"), c.by, c.by)); err != nil {
				t.Fatal(err)
			}
			p := command(t, t.Context(), "import", "--config", w.config, "--owner", c.owner, "fetchmailrc", w.rc)
			p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.by), Gid: uint32(c.by)}}
			p.start(t)
			if code := p.wait(t); code != c.code || !strings.Contains(p.stderr.String(), c.says) {
				t.Errorf("it ended with %d and said\n%s%s", code, &p.stdout, &p.stderr)
			}
			if _, err := os.Lstat(filepath.Dir(w.config)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it wrote\n%s", w.files(t))
			}
		})
	}
}

// newImportWorldFor is an importWorld that all users can search, with a state directory of this user; none for -1.
func newImportWorldFor(t *testing.T, user int) *importWorld {
	t.Helper()
	path, err := built() // before HOME is another, below which Go would have an empty cache
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	w := newImportWorld(t)
	for dir := w.home; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if user >= 0 {
		state := filepath.Join(w.home, "state")
		if err := errors.Join(os.Mkdir(state, 0o700), os.Chown(state, user, user)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// owned are the files and directories below the home directory that belong to a user.
func (w *importWorld) owned(t *testing.T, user uint32) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(w.home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid == user {
			rel, _ := filepath.Rel(w.home, path)
			all = append(all, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}
