package ledger

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reserveSize is the space set aside, in octets. A verdict changes about four
// pages of 4 KiB, so it serves some sixty of them, more if they are grouped.
const reserveSize = 1 << 20

// A verdict must find room even if the disk fills up while the MTA takes the
// message. Two things make sure of that. First, the WAL gets its space when the ledger is
// opened: twice what it grows to between checkpoints. Second, where the file system cannot
// allocate that, or checkpoints fail because the database cannot grow, there is the reserve.

const (
	// walPages is the length in pages of 4 KiB at which the WAL is checkpointed.
	walPages = 256
	// walSize is the space the WAL holds on to, in octets.
	walSize = 2 << 20
)

// reserve is a file that only takes up space. When a verdict finds the disk
// full it is removed, and the write is tried once more: what the MTA has
// accepted can be recorded though the disk filled up meanwhile. Until the space
// can be taken again, no delivery begins.
type reserve struct {
	path  string
	spent bool
	// allocate gives a file its space, or says that the file system cannot; fsync makes sure of what was written instead.
	allocate func(*os.File, int64) error
	fsync    func(*os.File) error
}

func newReserve(path string) *reserve {
	return &reserve{path: path, allocate: allocate, fsync: (*os.File).Sync}
}

// restore takes the space unless it is taken.
func (r *reserve) restore() error {
	info, err := os.Lstat(r.path)
	if err == nil && info.Size() >= reserveSize {
		r.spent = false
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = r.allocate(f, reserveSize)
	if errors.Is(err, errors.ErrUnsupported) {
		if _, err = f.WriteAt(make([]byte, reserveSize), 0); err == nil {
			err = r.fsync(f)
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(r.path)
		return err
	}
	r.spent = false
	return nil
}

// tryWrite writes into the space that is taken, which fails only where the disk does. Without that space it tells nothing.
func (r *reserve) tryWrite() error {
	f, err := os.OpenFile(r.path, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	_, err = f.WriteAt([]byte{0}, 0)
	return errors.Join(err, f.Close())
}

// release gives the space back.
func (r *reserve) release() {
	_ = os.Remove(r.path)
	r.spent = true
}
