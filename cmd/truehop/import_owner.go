package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
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
		return o, usage("only root can write files for %s; run it as that user", name)
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
		return o, usage("whom to write for is not known: %w", err)
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

// take gives an open file to the owner.
func (o owner) take(f *os.File) error {
	if !o.other() {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

// mkdir makes a directory for the owner alone, unless it is there. Those above it are everybody's to search.
func (o owner) mkdir(path string) error {
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
	return os.Chown(path, o.uid, o.gid)
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
