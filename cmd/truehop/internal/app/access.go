package app

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/truehop/truehop/schedule/ledger"
)

// Right is what somebody wants of a file, as one digit of its mode.
type Right fs.FileMode

// The rights.
const (
	MayRead   Right = 4
	MayWrite  Right = 2
	MaySearch Right = 1
)

// AccessError says that a user may not use a file.
type AccessError struct {
	// Path is the file, At what is in the way: the file itself, or a directory above it.
	Path, At string
	// User is the name of the user.
	User  string
	right Right
	dir   bool // it is a directory that is in the way
}

// Error says who may not do what.
func (e *AccessError) Error() string {
	if e.At != e.Path {
		return fmt.Sprintf("%s: %s may not search the directory %s", e.Path, e.User, e.At)
	}
	verb := "read"
	if e.right&MayWrite != 0 {
		verb = "write"
	}
	return fmt.Sprintf("%s: %s may not %s it", e.Path, e.User, verb)
}

// Hint says what to do about it.
func (e *AccessError) Hint() string {
	if e.At != e.Path {
		return fmt.Sprintf("give %s the right to search it, as by chmod go+x %s or chgrp", e.User, e.At)
	}
	if e.right&MayWrite != 0 {
		return fmt.Sprintf("add %s to the group of the file", e.User)
	}
	if e.dir { // not by chown: root believes no file below a directory of somebody else's
		return fmt.Sprintf("give %s the right to read it, as by chmod go+rx %s or chgrp", e.User, e.At)
	}
	return fmt.Sprintf("chown %s %s", e.User, e.Path)
}

// Access returns an [*AccessError] if the user with this id may not use a file so, by the modes of the file and of the directories above it.
// Access lists are not read. What cannot be looked at is somebody else's to report.
func Access(path string, id int, right Right) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil || id == 0 {
		return nil
	}
	var groups []int
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		names, err := u.GroupIds()
		if err != nil {
			names = []string{u.Gid}
		}
		for _, name := range names {
			if gid, err := strconv.Atoi(name); err == nil {
				groups = append(groups, gid)
			}
		}
	}
	for at, want := path, right; ; at, want = filepath.Dir(at), MaySearch {
		info, err := os.Stat(at)
		if err != nil {
			return nil
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if ok && !permits(info.Mode(), int(st.Uid), int(st.Gid), id, groups, want) {
			return &AccessError{Path: path, At: at, User: ledger.UserName(id), right: right, dir: info.IsDir()}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// permits reports whether the mode of a file that belongs to owner and group lets a user with these groups use it so: the first
// class that the user is in decides.
func permits(mode fs.FileMode, owner, group, id int, groups []int, want Right) bool {
	have := mode.Perm()
	switch {
	case owner == id:
		have >>= 6
	case slices.Contains(groups, group):
		have >>= 3
	}
	return Right(have)&want == want
}
