package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// file is an open file whose owner and mode were taken from the descriptor, so
// that what was checked is what is read.
type file struct {
	*os.File
	path string
	mode fs.FileMode
}

// openChecked opens a regular file that only root and we can have written:
// owner, mode, symlink and directories above it. FIFOs and devices are refused unread.
func openChecked(path string) (*file, error) {
	link, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if link.Mode()&fs.ModeSymlink != 0 && !trusted(link) {
		return nil, fmt.Errorf("is a symbolic link of uid %d; name the file itself", uid(link)) // its owner could point it elsewhere
	}
	// O_NONBLOCK: a FIFO must not hang us before it is recognised.
	fd, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := fd.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = errors.New("is a directory; name the file in it")
	case !info.Mode().IsRegular():
		err = errors.New("is not a regular file")
	case !trusted(info) && os.Geteuid() == 0:
		// No word of chown: a service that runs as the owner could not read the file any more.
		err = fmt.Errorf("belongs to uid %d, and truehop, which runs as root, believes root's files only: run it as that user, as by sudo -u %s truehop check", uid(info), asUser(uid(info)))
	case !trusted(info):
		err = fmt.Errorf("belongs to uid %d, who is neither root nor the user truehop runs as (uid %d): chown it", uid(info), os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		err = fmt.Errorf("mode %04o lets others write it: chmod go-w %s", info.Mode().Perm(), strconv.Quote(path))
	default:
		err = checkParents(path)
	}
	if err != nil {
		fd.Close()
		return nil, err
	}
	return &file{File: fd, path: path, mode: info.Mode()}, nil
}

// asUser is a user as sudo -u takes it: by name, or by id where there is no name.
func asUser(id int) string {
	u, err := user.LookupId(strconv.Itoa(id))
	if err != nil {
		return fmt.Sprintf("'#%d'", id)
	}
	return u.Username
}

// checkParents refuses a file that others can replace: every directory above it
// must be closed to them, or sticky as /tmp is.
func checkParents(path string) error {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return err
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		open := info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0
		if open || !trusted(info) {
			return fmt.Errorf("others can replace it: directory %s has mode %04o and belongs to uid %d; chmod go-w it, or move the file",
				strconv.Quote(dir), info.Mode().Perm(), uid(info))
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// private returns an error if others can read the file.
func (f *file) private() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	k := keeping{mode: f.mode.Perm(), root: uid(info) == 0, mount: mountOf(f.File)}
	groups, err := os.Getgroups()
	group := -1
	if st, ok := info.Sys().(*syscall.Stat_t); ok && err == nil {
		group = int(st.Gid)
		k.ourGroup = slices.Contains(append(groups, os.Getegid()), group)
	}
	switch {
	case k.private():
		return nil
	case k.root && !k.ourGroup && k.mode&0o077 == 0o040 && os.Geteuid() == 0:
		// A group that we are not in may read a file of root's, and nobody else may. No word of chmod alone: a service whose group
		// that is could not read the file any more. And root does not know who is in it.
		name, member := groupName(group)
		return fmt.Errorf("mode %04o lets the group %s read it, and truehop runs as root, who is not in it: where the service is a user of that group, run it as that user, as by sudo -u %s truehop check; where it is root, chmod 600 %s",
			f.mode.Perm(), name, member, strconv.Quote(f.path))
	}
	return fmt.Errorf("mode %04o lets others read it: chmod 600 %s", f.mode.Perm(), strconv.Quote(f.path))
}

// groupName is a group's name, or its id where it has none, and the user who is called as the group is, as sudo -u takes it; USER if there is none.
func groupName(id int) (name, member string) {
	g, err := user.LookupGroupId(strconv.Itoa(id))
	if err != nil {
		return strconv.Itoa(id), "USER"
	}
	if _, err := user.Lookup(g.Name); err != nil {
		return g.Name, "USER"
	}
	return g.Name, g.Name
}

// keeping is how a file with a secret in it is kept.
type keeping struct {
	mode     fs.FileMode
	root     bool // it belongs to root
	ourGroup bool // its group is one of this process's
	mount    mount
}

// mount is what is known of the file system that a file is on.
type mount struct {
	point           string // "" if it was not found
	readOnly, tmpfs bool
}

// private reports whether only root and the user we run as can read the file, as far as that shows. Containers
// mount their secrets readable by all (Docker: 0444 of root on a tmpfs, or read-only) or by a group (Kubernetes:
// fsGroup): nobody else is in there.
func (k keeping) private() bool {
	switch others, group := k.mode&0o007 != 0, k.mode&0o070 != 0; {
	case !others && !group:
		return true
	case k.mode&0o022 != 0, !k.root:
		return false
	case !others:
		return k.ourGroup
	case k.mount.readOnly:
		return k.mount.point != "/"
	}
	// Those that every host has are no container's secrets.
	return k.mount.tmpfs && !slices.Contains([]string{"", "/", "/run", "/tmp", "/var/tmp", "/dev/shm"}, k.mount.point)
}

// mountPoint returns the highest directory above path on the same file system, "" if it cannot be told.
func mountPoint(path string) string {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return ""
	}
	device := func(path string) (uint64, bool) {
		info, err := os.Stat(path)
		if err != nil {
			return 0, false
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(st.Dev), true
	}
	on, ok := device(path)
	for ok && path != filepath.Dir(path) {
		var above uint64
		if above, ok = device(filepath.Dir(path)); !ok || above != on {
			break
		}
		path = filepath.Dir(path)
	}
	if !ok {
		return ""
	}
	return path
}

// read returns the whole file, if it has at most limit octets.
func (f *file) read(limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("is larger than %d octets", limit)
	}
	return data, err
}

// trusted reports whether the owner is root or the user we run as.
func trusted(info fs.FileInfo) bool {
	u := uid(info)
	return u == 0 || u == os.Geteuid()
}

func uid(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// owned reports whether path is a directory of ours.
func owned(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir() && uid(info) == os.Geteuid()
}
