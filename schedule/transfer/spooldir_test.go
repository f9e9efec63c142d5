package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestCheckSpool: where a message above 1 MiB could not be spooled by this user, CheckSpool says why.
func TestCheckSpool(t *testing.T) {
	const nobody = 65534
	me := os.Geteuid()
	for _, c := range []struct {
		name string
		root bool // it takes root to set this up
		user int
		make func(dir string) error // dir exists, belongs to the test's user and has mode 0700
		says string                 // "" means that it can be used
	}{
		{"ours", false, me, func(string) error { return nil }, ""},
		{"missing", false, me, os.Remove, ""},
		{"readable by all", false, me, func(dir string) error { return os.Chmod(dir, 0o755) }, ""},
		{"sticky, writable by all", false, me, func(dir string) error { return os.Chmod(dir, 0o777|fs.ModeSticky) }, ""},
		{"writable by all", false, me, func(dir string) error { return os.Chmod(dir, 0o777) }, "can be written by others"},
		{"writable by the group", false, me, func(dir string) error { return os.Chmod(dir, 0o770) }, "can be written by others"},
		{"unwritable", false, me, func(dir string) error { return os.Chmod(dir, 0o500) }, "cannot be written"},
		{"unsearchable", false, me, func(dir string) error { return os.Chmod(dir, 0o600) }, "cannot be written"},
		{"a file", false, me, func(dir string) error {
			return errors.Join(os.Remove(dir), os.WriteFile(dir, nil, 0o600))
		}, "is not a directory"},
		{"below a file", false, me, func(dir string) error {
			return errors.Join(os.Remove(dir), os.Remove(filepath.Dir(dir)), os.WriteFile(filepath.Dir(dir), nil, 0o600))
		}, "cannot be read"},
		{"our symbolic link", false, me, func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}, ""},
		{"a symbolic link to nowhere", false, me, func(dir string) error {
			return errors.Join(os.Remove(dir), os.Symlink(dir+".real", dir))
		}, "is a symbolic link to nowhere"},
		{"another's", true, me, func(dir string) error { return os.Chown(dir, nobody, nobody) }, "belongs to nobody"},
		{"another's, writable by all, sticky", true, me, func(dir string) error {
			return errors.Join(os.Chown(dir, nobody, nobody), os.Chmod(dir, 0o777|fs.ModeSticky))
		}, ""},
		{"another's symbolic link", true, me, func(dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir), os.Lchown(dir, nobody, nobody))
		}, "is another user's symbolic link"},
		{"root's, for nobody", true, nobody, func(string) error { return nil }, "belongs to root"},
		{"nobody's, for nobody", true, nobody, func(dir string) error { return os.Chown(dir, nobody, nobody) }, ""},
		{"root's symbolic link, for nobody", true, nobody, func(dir string) error {
			return errors.Join(os.Chown(dir, nobody, nobody), os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}, ""},
		{"nobody's, unwritable, for nobody", true, nobody, func(dir string) error {
			return errors.Join(os.Chown(dir, nobody, nobody), os.Chmod(dir, 0o500))
		}, "cannot be written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			switch {
			case c.root && me != 0:
				t.Skip("only root can give files away")
			case c.says == "cannot be written" && c.user == 0:
				t.Skip("root may write everywhere")
			}
			dir := filepath.Join(t.TempDir(), "state", "spool")
			if err := errors.Join(os.MkdirAll(dir, 0o700), c.make(dir)); err != nil {
				t.Fatal(err)
			}
			err := CheckSpool(dir, c.user)
			var e *ledger.Error
			switch {
			case c.says == "" && err != nil:
				t.Errorf("it cannot be used: %v", err)
			case c.says == "":
			case !errors.As(err, &e) || !strings.Contains(e.Error(), c.says) || !strings.Contains(e.Advice, dir):
				t.Errorf("CheckSpool: %v, want %q and a hint", err, c.says)
			}
		})
	}
}

// TestCheckRoom: a spool that does not exist yet is judged by the file system that it is to be in.
func TestCheckRoom(t *testing.T) {
	dir := t.TempDir()
	for _, at := range []string{dir, filepath.Join(dir, "state", "spool")} {
		if err := CheckRoom(at, 1); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		err := CheckRoom(at, 1<<62)
		var e *ledger.Error
		if !errors.As(err, &e) || e.Kind != ledger.Full || !strings.Contains(e.Op, "octets free, and max_size is 4611686018427387904") || e.Path != at {
			t.Errorf("%s: %v, want that it is full", at, err)
		}
	}
}
