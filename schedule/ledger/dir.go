package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepareDir creates dir with mode 0700 if it does not exist, and refuses one that
// cannot be trusted or written.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed("cannot be created", dir, err)
	}
	link, err := os.Lstat(dir)
	if err != nil {
		return failed("cannot be read", dir, err)
	}
	// systemd makes /var/lib/NAME a link to /var/lib/private/NAME where a unit has DynamicUser=.
	if link.Mode()&fs.ModeSymlink != 0 && !trusted(link) {
		return &Error{Kind: Permission, Op: "is another user's symbolic link", Path: dir, Advice: hintOwner}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return failed("cannot be read", dir, err)
	}
	switch {
	case !info.IsDir():
		return &Error{Kind: Permission, Op: "is not a directory", Path: dir, Advice: hintOwner}
	case !trusted(info):
		e := &Error{Kind: Permission, Op: "belongs to another user", Path: dir, Advice: hintOwner}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			e.Owner = UserName(int(st.Uid))
			e.Op += ", " + e.Owner
		}
		return e
	case info.Mode().Perm()&0o022 != 0:
		return &Error{Kind: Permission, Op: "can be written by others", Path: dir, Advice: hintOwner}
	}
	if err := unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return failed("cannot be written", dir, err)
	}
	return refuseNetworkFS(dir)
}

// CheckDir reports why the user with this id could not keep a ledger in dir, or nil. It creates nothing: where dir is missing, the
// directory that it would be created in decides. What another user than our own may do is judged by owner and mode alone.
func CheckDir(dir string, id int) error {
	info, err := os.Stat(dir)
	at := filepath.Clean(dir)
	for errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	if err != nil {
		return failed("cannot be read", dir, err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	owner := int(st.Uid)
	may := info.Mode().Perm()&0o003 == 0o003
	switch {
	case id == os.Geteuid():
		may = unix.Access(at, unix.W_OK|unix.X_OK) == nil
	case owner == id:
		may = info.Mode().Perm()&0o300 == 0o300
	}
	switch {
	case !info.IsDir():
		return &Error{Kind: Permission, Op: at + " is not a directory", Path: dir, Advice: hintOwner}
	case at != filepath.Clean(dir):
		if may {
			return nil
		}
		return &Error{Kind: Permission, Op: UserName(id) + " may not create it in " + at, Path: dir,
			Advice: fmt.Sprintf("install -d -m 0700 -o %s %s", UserName(id), dir)}
	case owner != id && owner != 0:
		return &Error{Kind: Permission, Op: "belongs to " + UserName(owner), Path: dir, Advice: fmt.Sprintf("chown %s %s", UserName(id), dir)}
	case info.Mode().Perm()&0o022 != 0:
		return &Error{Kind: Permission, Op: "can be written by others", Path: dir, Advice: "chmod 0700 " + dir}
	case !may:
		return &Error{Kind: Permission, Op: UserName(id) + " cannot write it", Path: dir, Advice: fmt.Sprintf("chown %s %s", UserName(id), dir)}
	}
	return nil
}

// trusted says whether a file belongs to us or to root.
func trusted(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	return st.Uid == 0 || int(st.Uid) == os.Geteuid()
}

// UserName returns the name of the user with this id, or #ID, as sudo(8) takes it.
func UserName(id int) string {
	u, err := user.LookupId(strconv.Itoa(id))
	if err != nil {
		return "#" + strconv.Itoa(id)
	}
	return u.Username
}

// inspect looks at the files without opening them, since closing a file would drop
// the POSIX locks that SQLite holds on it elsewhere in this process. It returns
// the sizes of the database and the WAL in octets. No ledger is Kind NotFound;
// traces of one that is gone, or an empty one, are Kind Corrupt.
func inspect(dir string) (size, wal int64, err error) {
	path := filepath.Join(dir, fileName)
	sizes := make(map[string]int64, 4)
	for _, name := range []string{fileName, fileName + "-wal", fileName + "-shm", reserveName} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, 0, failed("cannot be read", filepath.Join(dir, name), err)
		}
		if !info.Mode().IsRegular() {
			return 0, 0, &Error{Kind: Permission, Op: "is not a regular file",
				Path: filepath.Join(dir, name), Advice: hintOwner}
		}
		sizes[name] = info.Size()
	}
	size, found := sizes[fileName]
	switch {
	case !found && len(sizes) > 0:
		return 0, 0, &Error{Kind: Corrupt, Op: "is gone, though other files say that it was there",
			Path: path, Advice: hintCorrupt}
	case !found:
		return 0, 0, &Error{Kind: NotFound, Op: "does not exist yet", Path: path}
	case size == 0:
		return 0, 0, &Error{Kind: Corrupt, Op: "is empty: what it recorded is lost", Path: path, Advice: hintCorrupt}
	}
	return size, sizes[fileName+"-wal"], nil
}
