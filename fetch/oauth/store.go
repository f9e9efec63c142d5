package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxFile bounds a token file. As much is reserved before a token is asked for.
	maxFile = 64 << 10
	// lockTime is how long another process may take to refresh a token, lockPause how often it is looked whether it has.
	lockTime  = 3 * requestTime
	lockPause = 50 * time.Millisecond
	// lateness is how far a clock may be wrong.
	lateness = 5 * time.Minute
	// usualLifetime is that of a token whose end the server does not tell.
	usualLifetime = time.Hour
)

// token is what the file holds.
type token struct {
	Access  string    `json:"access_token"`
	Refresh string    `json:"refresh_token,omitempty"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
	// Client and Authority are whom it was issued to, and who did.
	Client    string `json:"client_id"`
	Authority string `json:"authority"`
}

// usable reports whether the access token can be used for a while. It is renewed some minutes ahead of its end; one of
// the future was stored by a wrong clock, which says nothing about its end either.
func (t *token) usable(now time.Time) bool {
	ahead := min(lateness, t.Expires.Sub(t.Issued)/4)
	return t.Access != "" && now.Before(t.Expires.Add(-ahead)) && t.Issued.Before(now.Add(lateness))
}

// store is a token file. Beside it lie a lock file and, while it is written, another.
type store struct {
	path  string
	fsync func(*os.File) error // tests watch it
}

func newStore(path string) store { return store{path, (*os.File).Sync} }

var errNoToken = errors.New("there is no token yet")

// read reads the file. Others must not be able to read or write it.
func (s store) read() (token, error) {
	var t token
	f, err := os.OpenFile(s.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return t, errNoToken
	}
	if err != nil {
		return t, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return t, err
	case !info.Mode().IsRegular():
		return t, fmt.Errorf("%s is not a regular file", s.path)
	case info.Mode().Perm()&0o077 != 0:
		return t, fmt.Errorf("mode %04o lets others read the token: chmod 600 %s", info.Mode().Perm(), s.path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return t, err
	}
	if len(text) > maxFile || json.Unmarshal(text, &t) != nil {
		return token{}, fmt.Errorf("%s is not a token file of truehop's", s.path) // the decoder's words might quote it
	}
	return t, nil
}

// lock makes this the only one who refreshes the token, in this process and in others, until unlock is called. The lock is
// the kernel's (flock): it ends with the process.
func (s store) lock(ctx context.Context) (unlock func(), err error) {
	dir, name := filepath.Split(s.path)
	if err := s.prepareDir(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "."+name+".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := s.handOver(f); err != nil {
		_ = f.Close()
		return nil, err
	}
	for waited := time.Duration(0); ; waited += lockPause {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return func() { _ = f.Close() }, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK):
			_ = f.Close()
			return nil, fmt.Errorf("lock the token: %w", err)
		case waited >= lockTime:
			_ = f.Close()
			return nil, errors.New("another process has been renewing the token for too long")
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		}
	}
}

// prepareDir makes the directory of the file, for nobody else to look into.
func (s store) prepareDir() error {
	dir := filepath.Dir(s.path)
	_, err := os.Lstat(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// What has its name by now may be a link of the owner's, to a directory that is not to be given away.
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return newStore(dir).handOver(f)
}

// handOver gives what root has made to the owner of the directory that it is in: who fetches the mail has to read it.
func (s store) handOver(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(s.path))
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	if info, err = f.Stat(); err != nil {
		return err
	}
	// Nor a file of root's that the owner of the directory has linked there.
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok, st.Uid == owner.Uid:
		return nil
	case info.Mode().IsRegular() && st.Nlink > 1:
		return fmt.Errorf("%s has another name elsewhere: remove it", f.Name())
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}

// draft is a token file in the making.
type draft struct {
	store store
	f     *os.File
}

// begin makes room for a token. It is done before a token is asked for: a refresh token that the server has replaced
// and for which there is no room would be lost.
func (s store) begin() (*draft, error) {
	if err := s.prepareDir(); err != nil {
		return nil, err
	}
	dir, name := filepath.Split(s.path)
	f, err := os.CreateTemp(dir, "."+name+".*.new") // of mode 0600
	if err != nil {
		return nil, err
	}
	d := &draft{store: s, f: f}
	err = s.handOver(f)
	if err == nil {
		_, err = f.Write(make([]byte, maxFile))
	}
	if err == nil {
		err = s.fsync(f)
	}
	if err != nil {
		d.abandon()
		return nil, err
	}
	return d, nil
}

// abandon removes the draft. After commit it does nothing.
func (d *draft) abandon() {
	if d.f == nil {
		return
	}
	_ = d.f.Close()
	_ = os.Remove(d.f.Name())
	d.f = nil
}

// commit puts t in the place of the file, durably: before or after, never between.
func (d *draft) commit(t token) error {
	defer d.abandon()
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return fmt.Errorf("the token has more than %d octets", maxFile)
	}
	if _, err := d.f.WriteAt(append(text, '\n'), 0); err != nil {
		return err
	}
	if err := d.f.Truncate(int64(len(text)) + 1); err != nil {
		return err
	}
	if err := d.store.fsync(d.f); err != nil {
		return err
	}
	if err := os.Rename(d.f.Name(), d.store.path); err != nil {
		return err
	}
	_ = d.f.Close() // what counts is on disk
	d.f = nil
	dir, err := os.Open(filepath.Dir(d.store.path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return d.store.fsync(dir)
}
