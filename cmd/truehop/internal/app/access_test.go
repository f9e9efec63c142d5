package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestPermits: owner, group and others in this order; the first class that fits decides, even where it has less.
func TestPermits(t *testing.T) {
	for _, c := range []struct {
		mode         fs.FileMode
		owner, group int
		want         Right
		may          bool
	}{
		{0o600, 7, 70, MayRead, true},
		{0o600, 0, 70, MayRead, false},
		{0o640, 0, 70, MayRead, true},
		{0o640, 0, 0, MayRead, false},
		{0o644, 0, 0, MayRead, true},
		{0o604, 0, 70, MayRead, false},
		{0o066, 7, 70, MayRead, false},
		{0o660, 0, 70, MayWrite, true},
		{0o640, 0, 70, MayWrite, false},
		{0o711, 0, 0, MaySearch, true},
		{0o700, 0, 0, MaySearch, false},
		{0o666, 0, 0, MayRead | MayWrite, true},
	} {
		if got := permits(c.mode, c.owner, c.group, 7, []int{70, 71}, c.want); got != c.may {
			t.Errorf("mode %o of %d:%d permits %d: %v", c.mode, c.owner, c.group, c.want, got)
		}
	}
}

// TestAccessNamesWhatIsInTheWay: the file, or a directory above it.
func TestAccessNamesWhatIsInTheWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "closed")
	file := filepath.Join(dir, "secret")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	const stranger = 54321
	var denied *AccessError
	if err := Access(file, stranger, MayRead); !errors.As(err, &denied) || denied.At != file || !strings.Contains(denied.Hint(), "chown #54321 "+file) {
		t.Errorf("a file of another user's: %v", err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Access(file, stranger, MayRead); !errors.As(err, &denied) || denied.At != dir {
		t.Errorf("in a directory of another user's: %v", err)
	}
	if err := Access(file, os.Geteuid(), MayRead); err != nil {
		t.Errorf("its owner: %v", err)
	}
	if err := Access(file, 0, MayRead); err != nil {
		t.Errorf("root: %v", err)
	}
}

// TestSpoolThatCannotBeCreated: what run would fail at is found without creating anything.
func TestSpoolThatCannotBeCreated(t *testing.T) {
	const stranger = 54321
	for name, c := range map[string]struct {
		user   int
		parent fs.FileMode
		fails  bool
	}{
		"our own":                         {os.Geteuid(), 0o700, false},
		"another user's":                  {stranger, 0o755, true},
		"writable by all":                 {stranger, 0o777, false},
		"writable by all, not searchable": {stranger, 0o766, true},
		"root may create it, whose it be": {0, 0o700, false},
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			parent := filepath.Join(above, "parent")
			if err := errors.Join(os.Chmod(filepath.Dir(above), 0o755), os.Chmod(above, 0o755), os.Mkdir(parent, 0o700), os.Chmod(parent, c.parent)); err != nil {
				t.Fatal(err)
			}
			if err := Access(above, c.user, MaySearch); err != nil {
				t.Skip("temporary files are kept where others may not look: ", err)
			}
			spool := filepath.Join(parent, "not", "here")
			err := SpoolCreatable(spool, c.user)
			if (err != nil) != c.fails {
				t.Errorf("mode %o: %v", c.parent, err)
			}
			var bad *ledger.Error
			if c.fails && (!errors.As(err, &bad) || !strings.Contains(err.Error(), "spool_dir cannot be created") || !strings.Contains(bad.Advice, "create it for #54321")) {
				t.Errorf("it says %v", err)
			}
			if left, err := os.ReadDir(parent); len(left) > 0 || err != nil {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
