package app

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
