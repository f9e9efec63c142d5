//go:build linux

package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDirectories(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) error
		kind Kind // Unclassified means that it opens
		says string
	}{
		{"missing", func(_ *testing.T, dir string) error { return os.Remove(dir) }, Unclassified, ""},
		{"world-writable", func(_ *testing.T, dir string) error { return os.Chmod(dir, 0o707) }, Permission, "written by others"},
		{"sticky and world-writable", func(_ *testing.T, dir string) error {
			return os.Chmod(dir, 0o777|fs.ModeSticky)
		}, Permission, "written by others"},
		{"group-writable", func(_ *testing.T, dir string) error { return os.Chmod(dir, 0o770) }, Permission, "written by others"},
		{"readable by all", func(_ *testing.T, dir string) error { return os.Chmod(dir, 0o755) }, Unclassified, ""},
		{"another owner", func(t *testing.T, dir string) error {
			needRoot(t)
			return os.Chown(dir, 12345, 12345)
		}, Permission, "another user"},
		{"unwritable", func(t *testing.T, dir string) error {
			if os.Geteuid() == 0 {
				t.Skip("root may write everywhere; see TestReadOnlyFileSystem")
			}
			return os.Chmod(dir, 0o500)
		}, Permission, "cannot be written"},
		{"a file", func(_ *testing.T, dir string) error {
			return errors.Join(os.Remove(dir), os.WriteFile(dir, []byte("x"), 0o600))
		}, IO, "not a directory"},
		{"our symbolic link", func(_ *testing.T, dir string) error {
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir))
		}, Unclassified, ""},
		{"another's symbolic link", func(t *testing.T, dir string) error {
			needRoot(t)
			return errors.Join(os.Rename(dir, dir+".real"), os.Symlink(dir+".real", dir), os.Lchown(dir, 12345, 12345))
		}, Permission, "another user's symbolic link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := errors.Join(os.Mkdir(dir, 0o700), c.make(t, dir)); err != nil {
				t.Fatal(err)
			}
			l, err := Open(t.Context(), dir)
			if err == nil {
				err = l.Close()
			}
			if KindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("Open: %v (%v), want Kind %v and %q", err, KindOf(err), c.kind, c.says)
			}
			if err != nil {
				if _, err := os.Lstat(filepath.Join(dir, fileName)); err == nil {
					t.Error("a ledger was made in a directory that was refused")
				}
			}
		})
	}
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

func TestNetworkFileSystems(t *testing.T) {
	for magic, want := range map[int64]string{
		0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "CIFS", 0x517b: "CIFS", 0x5346414f: "AFS", 0xc36400: "Ceph",
		unix.EXT4_SUPER_MAGIC: "", unix.TMPFS_MAGIC: "", unix.BTRFS_SUPER_MAGIC: "", unix.XFS_SUPER_MAGIC: "",
		-0xacb2be: "CIFS", // 0xff534d42 where Statfs_t.Type has 32 bits
	} {
		err := checkFS("/mnt", magic)
		if want == "" {
			if err != nil {
				t.Errorf("file system %#x: %v, want none", magic, err)
			}
			continue
		}
		if KindOf(err) != Network || !strings.Contains(err.Error(), "/mnt: is on "+want) {
			t.Errorf("file system %#x: %v, want Kind network and %q", magic, err, want)
		}
	}
}

// Nobody else may read what is created, whatever the umask.
func TestModes(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "a", "state")
	l := open(t, dir)
	put(t, l, record("1", Delivered))
	unlock := must[func() error](t)(l.Lock("work"))
	defer unlock()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		seen++
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || seen < 7 {
		t.Errorf("saw %d files, want ledger.db, -wal, -shm, ledger.reserve, lock, lock/work and the directory (%v)", seen, err)
	}
}

func TestLockNames(t *testing.T) {
	l := open(t, t.TempDir())
	for _, name := range []string{"", ".", "..", "../x", "a/b", "a\x00b", ".hidden", strings.Repeat("a", maxAccount+1)} {
		if _, err := l.Lock(name); KindOf(err) != Invalid {
			t.Errorf("Lock(%q) = %v, want Kind invalid", name, err)
		}
	}
	for _, name := range []string{"work", "me@example.org", "Büro 2", "-rf", "a..b"} {
		unlock, err := l.Lock(name)
		if err != nil {
			t.Errorf("Lock(%q) = %v", name, err)
			continue
		}
		if err := errors.Join(unlock(), unlock()); err != nil {
			t.Errorf("unlocking %q twice: %v", name, err)
		}
	}
}

func TestLockInOneProcess(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	unlock := must[func() error](t)(l.Lock("work"))
	_, err := l.Lock("work")
	var e *Error
	if !errors.As(err, &e) || e.Kind != Busy || !strings.HasPrefix(e.Holder, "pid "+strconv.Itoa(os.Getpid())+" on ") {
		t.Errorf("locked twice: %v, want Kind busy by this process", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	must[func() error](t)(l.Lock("work"))
}

// What the file says is no lock, and is not trusted when it is shown.
func TestLockFileContent(t *testing.T) {
	for content, want := range map[string]string{
		"":                                   "another process",
		"1 localhost\n":                      "pid 1 on localhost",
		"12 evil\x1b[2Jhost\n":               "pid 12 on evil?[2Jhost",
		"12 \u202ehost":                      "pid 12 on ?host",
		"-1 host":                            "another process",
		"1 two words":                        "another process",
		strings.Repeat("9", 400) + " x":      "another process",
		"99999999999999999999999999999 host": "another process",
	} {
		dir := t.TempDir()
		l := open(t, dir)
		path := filepath.Join(dir, lockName, "work")
		if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		f := must[*os.File](t)(os.Open(path))
		if got := holder(f); got != want {
			t.Errorf("holder(%q) = %q, want %q", content, got, want)
		}
		_ = f.Close()
		if _, err := l.Lock("work"); err != nil {
			t.Errorf("the file says %q, nobody holds it: %v", content, err)
		}
	}
}

func TestLockRefused(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	locks := filepath.Join(dir, lockName)
	if err := os.WriteFile(locks, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Lock("work"); err == nil {
		t.Error("locked without a lock directory")
	}
	target := filepath.Join(dir, "target")
	if err := errors.Join(os.Remove(locks), os.Mkdir(locks, 0o700), os.WriteFile(target, []byte("precious"), 0o600),
		os.Symlink(target, filepath.Join(locks, "work"))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Lock("work"); err == nil {
		t.Error("followed a symbolic link")
	}
	if got := must[[]byte](t)(os.ReadFile(target)); string(got) != "precious" {
		t.Errorf("the link's target now holds %q", got)
	}
}

// A lock that cannot be had for another reason than a holder (ENOLCK, here EBADF) is no lock.
func TestLockThatFails(t *testing.T) {
	f := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "work")))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := take(f, f.Name()); err == nil || KindOf(err) == Busy {
		t.Errorf("flock failed, and take says %v", err)
	}
}

func TestOpenReadOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if _, err := OpenReadOnly(t.Context(), dir); KindOf(err) != NotFound {
		t.Errorf("no directory: %v, want Kind not-found", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(t.Context(), dir); KindOf(err) != NotFound {
		t.Errorf("no ledger: %v, want Kind not-found", err)
	}
	if left := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(left) != 0 {
		t.Errorf("OpenReadOnly created %v", left)
	}

	l := open(t, dir)
	put(t, l, record("1", Delivered))
	ro := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	if got := list(t, ro, Filter{}); len(got) != 1 {
		t.Errorf("the reader sees %d records, want 1", len(got))
	}
	put(t, l, record("2", Held))
	if got := list(t, ro, Filter{}); len(got) != 2 {
		t.Errorf("after another write the reader sees %d records, want 2", len(got))
	}
	if err := ro.Put(t.Context(), record("3", Held)); KindOf(err) != Permission {
		t.Errorf("Put = %v, want Kind permission", err)
	}
	if _, err := ro.Lock("work"); KindOf(err) != Permission {
		t.Errorf("Lock = %v, want Kind permission", err)
	}
	if err := errors.Join(ro.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	ro = must[*Ledger](t)(OpenReadOnly(t.Context(), dir)) // no writer, no WAL
	if got := list(t, ro, Filter{}); len(got) != 2 {
		t.Errorf("without a writer the reader sees %d records, want 2", len(got))
	}
	if err := ro.Close(); err != nil {
		t.Error(err)
	}
	put(t, open(t, dir), record("4", Held)) // what the reader left is no obstacle
}

// A reader finds what a killed writer left in the WAL.
func TestReadAfterCrash(t *testing.T) {
	live, crashed := t.TempDir(), t.TempDir()
	l := open(t, live)
	put(t, l, record("1", Delivered))
	copyLedger(t, live, crashed)
	ro := must[*Ledger](t)(OpenReadOnly(t.Context(), crashed))
	defer ro.Close()
	if got := list(t, ro, Filter{}); len(got) != 1 {
		t.Errorf("the reader sees %d records, want 1", len(got))
	}
}

// Several that come first at once make one ledger, and leave no other file.
func TestCreatedOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName+".new"), []byte("left by a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			l, err := Open(t.Context(), dir)
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			if err := errors.Join(l.Put(t.Context(), record(strconv.Itoa(i), Delivered)), l.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := list(t, open(t, dir), Filter{}); len(got) != 6 {
		t.Errorf("%d records of 6", len(got))
	}
	if _, err := os.Lstat(filepath.Join(dir, fileName+".new")); err == nil {
		t.Error("ledger.db.new was left behind")
	}
}

// A name in a directory is durable when the directory is: the ledger's is, before Open returns and anybody
// relies on a record. A ledger whose name may vanish at a power cut is not opened.
func TestDirectoryOfANewLedgerIsDurable(t *testing.T) {
	dir := t.TempDir()
	var synced []string
	l := opening(t, dir, func(f *os.File) error {
		if _, err := os.Lstat(filepath.Join(dir, fileName)); err != nil {
			t.Errorf("the directory is synced before the ledger has its name: %v", err)
		}
		synced = append(synced, f.Name())
		return f.Sync()
	})
	if err := errors.Join(l.open(t.Context(), true), l.Close()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(synced, []string{dir}) {
		t.Errorf("synced were %q, want %q", synced, dir)
	}

	l = opening(t, t.TempDir(), func(*os.File) error { return syscall.EIO })
	defer l.inUse.Close()
	if err := l.open(t.Context(), true); KindOf(err) != IO || !errors.Is(err, syscall.EIO) {
		t.Errorf("with a directory that cannot be synced: %v, want Kind io", err)
	}
}

// opening is a ledger that Open is about to create in dir, with this fsync of a directory.
func opening(t *testing.T, dir string, fsync func(*os.File) error) *Ledger {
	t.Helper()
	inUse, alone, err := useDir(t.Context(), dir)
	if err != nil || !alone {
		t.Fatal(alone, err)
	}
	return &Ledger{dir: dir, inUse: inUse, fsync: fsync}
}

// TestCheckDir: whether a user could keep a ledger in a directory is told without creating anything.
func TestCheckDir(t *testing.T) {
	const stranger = 54321
	us := os.Geteuid()
	for _, c := range []struct {
		name string
		make func(dir string) error
		user int
		says string
	}{
		{"ours", func(dir string) error { return os.Mkdir(dir, 0o700) }, us, ""},
		{"missing", func(string) error { return nil }, us, ""},
		{"missing, and another user's to create", func(string) error { return nil }, stranger, "may not create it"},
		{"another user's", func(dir string) error { return os.Mkdir(dir, 0o700) }, stranger, "#54321"},
		{"written by others", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) }, us, "can be written by others"},
		{"a file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, us, "is not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := c.make(dir); err != nil {
				t.Fatal(err)
			}
			_, before := os.Lstat(dir)
			err := CheckDir(dir, c.user)
			var e *Error
			told := errors.As(err, &e) && e.Kind == Permission && e.Advice != ""
			switch {
			case c.says == "" && err != nil, c.says != "" && !told:
				t.Errorf("%v", err)
			case told && !strings.Contains(err.Error()+e.Advice, c.says):
				t.Errorf("%v (%s); want it to say %q", err, e.Advice, c.says)
			}
			if _, after := os.Lstat(dir); (before == nil) != (after == nil) {
				t.Error("it created the directory")
			}
		})
	}
}

// TestPassRemembersHintAndExit: what to do about a failed pass, and its exit code, come back; what an older version wrote is the error alone.
func TestPassRemembersHintAndExit(t *testing.T) {
	for _, want := range []Pass{
		{Error: "x", Hint: "y", Exit: 69}, {Error: "x"}, {}, {Error: "x", Exit: 75}, {Error: strings.Repeat("e", 500), Hint: strings.Repeat("h", 500), Exit: 1},
	} {
		var got Pass
		got.setFailure(want.failure())
		if got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	var old Pass
	if old.setFailure("the MTA is gone"); old != (Pass{Error: "the MTA is gone"}) {
		t.Errorf("%+v", old)
	}
}
