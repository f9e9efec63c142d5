package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestImportFollowsNoLinkOfTheOwner: a symbolic link that the owner has set in a directory of their own leads root nowhere. What it
// points to is root's, and neither gets a file nor changes hands.
func TestImportFollowsNoLinkOfTheOwner(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct {
		link, state string // below the home directory
		config      string
	}{
		"above the state directory":          {"local", "local/truehop", "etc/truehop.yaml"},
		"in place of the state directory":    {"state", "state", "etc/truehop.yaml"},
		"in place of the secrets' directory": {"etc/secrets", "state", "etc/truehop.yaml"},
		"above the configuration":            {"etc", "state", "etc/truehop.yaml"},
		"far above the configuration":        {"etc", "state", "etc/truehop/truehop.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			w, roots := newImportWorldFor(t, -1), t.TempDir()
			link := filepath.Join(w.home, c.link)
			if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(roots, link),
				os.Lchown(link, nobody, nobody), os.Chown(filepath.Dir(link), nobody, nobody), os.Chown(w.home, nobody, nobody), os.Chmod(roots, 0o755)); err != nil {
				t.Fatal(err)
			}
			t.Setenv("TRUEHOP_STATE_DIR", filepath.Join(w.home, c.state))
			p := command(t, t.Context(), "import", "--config", filepath.Join(w.home, c.config), "--owner", "nobody", "fetchmailrc", w.rc)
			p.start(t)
			if code := p.wait(t); code != exitCannotWrite && code != exitConfig {
				t.Errorf("it ended with %d and said\n%s%s", code, &p.stdout, &p.stderr)
			}
			if left, err := os.ReadDir(roots); err != nil || len(left) > 0 {
				t.Errorf("it wrote %v (%v)", left, err)
			}
			if of, err := ownerOfFile(roots); err != nil || of != 0 {
				t.Errorf("it gave the directory to %d (%v)", of, err)
			}
		})
	}
}

// TestImportBelowTheOwner: in a directory of the owner's, all that import makes is the owner's, up to the first directory made.
func TestImportBelowTheOwner(t *testing.T) {
	needRoot(t)
	w := newImportWorldFor(t, -1)
	if err := os.Chown(w.home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TRUEHOP_STATE_DIR", filepath.Join(w.home, "local", "state"))
	must(t, exitOK, "import", "--config", w.config, "--owner", "nobody", "fetchmailrc", w.rc)
	const want = ".\netc\netc/secrets\netc/secrets/pop.example.net\netc/truehop.yaml\nlocal\nlocal/state\n"
	if got := w.owned(t, nobody); !strings.HasPrefix(got, want) {
		t.Errorf("the owner's are\n%s\nwant\n%s", got, want)
	}
}

// TestOnlyRootAlters: root writes by name where nobody else decides what the name leads to.
func TestOnlyRootAlters(t *testing.T) {
	needRoot(t)
	base := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(base), 0o755), os.Chmod(base, 0o755)); err != nil {
		t.Fatal(err)
	}
	if onlyRootAlters("usr") {
		t.Error("it takes a relative path for one from the top")
	}
	for name, c := range map[string]struct {
		mode os.FileMode
		user int
		link string // what the name "link" in the directory points to
		path string
		want bool
	}{
		"root's":                              {0o755, 0, "", "dir", true},
		"root's, missing at the end":          {0o755, 0, "", "dir/a/b", true},
		"another's":                           {0o755, nobody, "", "dir", false},
		"missing in another's":                {0o755, nobody, "", "dir/a", false},
		"the group may write":                 {0o775, 0, "", "dir", false},
		"everybody may write":                 {0o777, 0, "", "dir/a", false},
		"sticky, at the end":                  {0o777 | os.ModeSticky, 0, "", "dir", false},
		"sticky, missing in it":               {0o777 | os.ModeSticky, 0, "", "dir/a", false},
		"sticky, with a directory of root's":  {0o777 | os.ModeSticky, 0, "", "dir/inner", true},
		"sticky, with a link":                 {0o777 | os.ModeSticky, 0, "inner", "dir/link", false},
		"root's link":                         {0o755, 0, "inner", "dir/link/a", true},
		"root's link upwards":                 {0o755, 0, "../dir/./inner", "dir/link", true},
		"root's link from the top":            {0o755, 0, "/", "dir/link/no-such-directory", true},
		"root's link to what others may fill": {0o755, 0, os.TempDir(), "dir/link/a", false},
		"another's link":                      {0o755, nobody, "inner", "dir/link/a", false},
		"a link to itself":                    {0o755, 0, "link", "dir/link", false},
		"a file in the middle":                {0o755, 0, "", "dir/file/a", false},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := os.MkdirTemp(base, "")
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(at, "dir")
			if err := errors.Join(os.Chmod(at, 0o755), os.MkdirAll(filepath.Join(dir, "inner"), 0o755), os.WriteFile(filepath.Join(dir, "file"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			if c.link != "" {
				if err := os.Symlink(c.link, filepath.Join(dir, "link")); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Chown(dir, c.user, c.user), os.Chmod(dir, c.mode)); err != nil {
				t.Fatal(err)
			}
			if got := onlyRootAlters(filepath.Join(at, c.path)); got != c.want {
				t.Errorf("it says %v", got)
			}
		})
	}
}

// ownerOfFile is the user whose a file is.
func ownerOfFile(path string) (uid uint32, err error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Uid, nil
}
