package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/schedule/ledger"
)

// CheckSpool reports why a message above 1 MiB could not be spooled in dir by the user with this
// id, or nil. A missing directory is fine: it is created when a pass begins.
func CheckSpool(dir string, user int) error {
	link, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unusableDir(dir, "cannot be read", "spool_dir must be a directory of the user that runs truehop: "+dir, err)
	}
	name := ledger.UserName(user)
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return unusableDir(dir, "is a symbolic link to nowhere", "rm "+dir, err)
	case link.Mode()&fs.ModeSymlink != 0 && !ownedBy(link, user) && !ownedBy(link, 0):
		return unusableDir(dir, "is another user's symbolic link", fmt.Sprintf("chown -h %s %s", name, dir), nil)
	case !info.IsDir():
		return unusableDir(dir, "is not a directory", "move it away: "+dir, nil)
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0:
		return unusableDir(dir, "can be written by others", "chmod 0700 "+dir, nil)
	case info.Mode().Perm()&0o022 != 0:
		return writable(dir, info, user) // like /var/tmp, whoever owns it
	case !ownedBy(info, user):
		return unusableDir(dir, "belongs to "+ledger.UserName(owner(info)), fmt.Sprintf("chown %s %s", name, dir), nil)
	}
	return writable(dir, info, user)
}

// CheckRoom reports that the file system of dir, or of its nearest parent that exists, has less than size octets free.
func CheckRoom(dir string, size int64) error {
	var st unix.Statfs_t
	at := filepath.Clean(dir)
	for {
		err := unix.Statfs(at, &st)
		if err == nil {
			break
		}
		if parent := filepath.Dir(at); errors.Is(err, fs.ErrNotExist) && parent != at {
			at = parent
			continue
		}
		return unusableDir(dir, "cannot be looked at", "spool_dir must be a directory of the user that runs truehop: "+dir, err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < size {
		return &ledger.Error{Kind: ledger.Full, Op: fmt.Sprintf("spool_dir has %d octets free, and max_size is %d", free, size), Path: dir,
			Advice: "free some space, or set spool_dir to a directory with more, or max_size to less"}
	}
	return nil
}

// writable reports why user cannot create a file in dir, or nil. What another user may do is judged by
// the mode alone.
func writable(dir string, info fs.FileInfo, user int) error {
	const op = "cannot be written"
	hint := "chmod 0700 " + dir
	if user == os.Geteuid() {
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return unusableDir(dir, op, hint, err)
		}
		return nil
	}
	want := fs.FileMode(0o003)
	if ownedBy(info, user) {
		want = 0o300
	}
	if info.Mode().Perm()&want != want {
		return unusableDir(dir, op, hint, nil)
	}
	return nil
}

func unusableDir(dir, op, hint string, err error) error {
	return &ledger.Error{Kind: ledger.Permission, Op: "spool_dir " + op, Path: dir, Advice: hint, Err: err}
}

func ownedBy(info fs.FileInfo, user int) bool { return owner(info) == user }

// owner returns the id of the user that a file belongs to, or -1.
func owner(info fs.FileInfo) int {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(st.Uid)
}
