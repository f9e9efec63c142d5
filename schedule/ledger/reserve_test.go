package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReserve: the space is taken once, by writing where the file system cannot allocate it; what fails leaves no file that looks
// like the reserve.
func TestReserve(t *testing.T) {
	unsupported := func(*os.File, int64) error { return unix.EOPNOTSUPP }
	full := func(*os.File, int64) error { return unix.ENOSPC }
	unclosable := func(f *os.File, size int64) error { return errors.Join(allocate(f, size), f.Close()) }
	broken := func(*os.File) error { return unix.EIO }
	for name, c := range map[string]struct {
		before   int64 // the file's size, -1 for none
		allocate func(*os.File, int64) error
		fsync    func(*os.File) error
		want     error
		synced   int
		kept     bool // the file that was there
	}{
		"allocated":                    {before: -1, allocate: allocate},
		"half of it was there":         {before: reserveSize / 2, allocate: allocate},
		"it was there":                 {before: reserveSize, allocate: full, kept: true},
		"no room":                      {before: -1, allocate: full, want: unix.ENOSPC},
		"half of it, no room":          {before: reserveSize / 2, allocate: full, want: unix.ENOSPC},
		"the file cannot be closed":    {before: -1, allocate: unclosable, want: os.ErrClosed},
		"written":                      {before: -1, allocate: unsupported, synced: 1},
		"written, and the disk failed": {before: -1, allocate: unsupported, fsync: broken, want: unix.EIO, synced: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReserve(filepath.Join(t.TempDir(), reserveName))
			synced := 0
			r.spent, r.allocate = true, c.allocate
			r.fsync = func(f *os.File) error {
				synced++
				if c.fsync != nil {
					return c.fsync(f)
				}
				return f.Sync()
			}
			if c.before >= 0 {
				if err := os.WriteFile(r.path, make([]byte, c.before), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			old, _ := os.Stat(r.path)
			if err := r.restore(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || synced != c.synced {
				t.Errorf("got %v after %d fsyncs, want %v after %d", err, synced, c.want, c.synced)
			}
			info, err := os.Stat(r.path)
			switch {
			case r.spent != (c.want != nil):
				t.Errorf("the space counts as spent: %v", r.spent)
			case c.want != nil && !errors.Is(err, os.ErrNotExist):
				t.Errorf("a file is left: %v, %v", info, err)
			case c.want == nil && (err != nil || info.Size() != reserveSize):
				t.Errorf("the file is %v, %v", info, err)
			case c.kept && info.ModTime() != old.ModTime():
				t.Error("the file was written again")
			}
			var st unix.Stat_t
			if taken := unix.Stat(r.path, &st) == nil && st.Blocks*512 >= reserveSize; taken != (c.want == nil) {
				t.Errorf("%d octets of the disk are taken", st.Blocks*512)
			}
		})
	}
}
