package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/truehop/truehop/schedule/ledger"
)

// owner is the user for whom import writes: whoever runs the service must be able to read its files.
type owner struct {
	uid, gid int
	groups   []int
}

// importOwner returns the user with this name, or else the one that root is asked to write for by the owner of the state
// directory; without root that is ourselves.
func importOwner(name, stateDir string) (owner, error) {
	self := owner{uid: os.Geteuid(), gid: os.Getegid()}
	if name == "" {
		id := stateUser(stateDir)
		if id == self.uid {
			return self, nil
		}
		return ownerOf(user.LookupId(strconv.Itoa(id)))
	}
	o, err := ownerOf(user.Lookup(name))
	if err != nil || o.uid == self.uid {
		return o, err
	}
	if self.uid != 0 {
		return o, unfit("only root can write files for %s; run it as that user", name)
	}
	// A directory that is there tells now whether the ledger can be kept, before anything is written.
	if _, err := os.Stat(stateDir); err == nil {
		return o, ledger.CheckDir(stateDir, o.uid)
	}
	return o, nil
}

// ownerOf takes what is needed from a user of the system.
func ownerOf(u *user.User, err error) (o owner, _ error) {
	if err != nil {
		return o, unfit("whom to write for is not known: %w", err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		ids = []string{u.Gid}
	}
	for _, id := range ids {
		n, err := strconv.Atoi(id)
		if err != nil {
			return o, err
		}
		o.groups = append(o.groups, n)
	}
	uid, errU := strconv.Atoi(u.Uid)
	gid, errG := strconv.Atoi(u.Gid)
	o.uid, o.gid = uid, gid
	return o, errors.Join(errU, errG)
}

// other reports whether the files are for somebody else than who runs the program.
func (o owner) other() bool { return o.uid != os.Geteuid() }

// take gives an open file to the owner: by its descriptor, since what a name leads to may have changed.
func (o owner) take(f *os.File) error {
	if !o.other() {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

// mkdir makes a directory for the owner alone, unless it is there. Those above it are everybody's to search.
func (o owner) mkdir(path string) error {
	return o.in(filepath.Dir(path), func() error {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err := os.Mkdir(path, 0o700)
		switch {
		case errors.Is(err, fs.ErrExist):
			return nil
		case err != nil, !o.other():
			return err
		}
		d, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
		if err != nil {
			return err
		}
		return errors.Join(o.take(d), d.Close())
	})
}

// in has f write to a directory, by its name: as root where nobody else decides what the name leads to, and with the rights of the
// owner elsewhere. Root would follow the links that the owner sets there, also those set while it writes.
func (o owner) in(dir string, f func() error) error {
	if !o.other() || onlyRootAlters(dir) {
		return f()
	}
	err := o.do(f)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s may not write to %s: %w", ledger.UserName(o.uid), dir, fs.ErrPermission)
	}
	return err
}

// maxLinks bounds the symbolic links in a path, as Linux does.
const maxLinks = 40

// onlyRootAlters reports whether root alone can alter where a path leads, which must be absolute, and what is in the directory at its end. Each
// directory on the way is looked at before what is in it, so that no answer is out of date by the time of the next.
func onlyRootAlters(path string) bool {
	if !filepath.IsAbs(path) {
		return false
	}
	at, rest := "/", strings.Split(path, "/")
	for links := 0; ; {
		info, err := os.Lstat(at)
		if err != nil {
			return false
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 {
			return false
		}
		others := info.Mode().Perm()&0o022 != 0
		switch {
		case len(rest) == 0:
			return !others
		case others && info.Mode()&fs.ModeSticky == 0:
			return false
		}
		next := filepath.Join(at, rest[0]) // resolves "..": there is no link in at
		rest = rest[1:]
		info, err = os.Lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return !others
		case err != nil:
			return false
		case info.IsDir():
			at = next
		case info.Mode().Type() != fs.ModeSymlink, others, links == maxLinks:
			return false
		default:
			links++
			to, err := os.Readlink(next)
			if err != nil {
				return false
			}
			if filepath.IsAbs(to) {
				at = "/"
			}
			rest = append(strings.Split(to, "/"), rest...)
		}
	}
}

// do has f run with the rights of the owner and no others. The real user stays root, which is the way back.
func (o owner) do(f func() error) (err error) {
	if !o.other() {
		return f()
	}
	before, err := syscall.Getgroups()
	if err != nil {
		return err
	}
	defer func() {
		for _, back := range []error{syscall.Setreuid(-1, 0), syscall.Setregid(-1, 0), syscall.Setgroups(before)} {
			if back != nil {
				err = errors.Join(err, fmt.Errorf("cannot become root again: %w", back))
			}
		}
	}()
	if err := errors.Join(syscall.Setgroups(o.groups), syscall.Setregid(-1, o.gid), syscall.Setreuid(-1, o.uid)); err != nil {
		return fmt.Errorf("cannot become %s: %w", ledger.UserName(o.uid), err)
	}
	return f()
}
