package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Lock makes this process the only one that works on account, until unlock is
// called or the process ends. If it is taken, the error is of Kind [Busy] and
// names the holder. Any other failure is an error too: without the lock no account is worked on.
// The lock is the kernel's (flock); the content of the file only says who holds it.
func (l *Ledger) Lock(account string) (unlock func() error, err error) {
	if account == "" || len(account) > maxAccount || strings.ContainsAny(account, "/\x00") || account[0] == '.' {
		return nil, &Error{Kind: Invalid, Op: "account name " + strconv.Quote(cut(account)) + " cannot name a lock"}
	}
	if l.readOnly {
		return nil, &Error{Kind: Permission, Op: "is open for reading only", Path: l.dir}
	}
	dir := filepath.Join(l.dir, lockName)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, failed("cannot be created", dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, failed("cannot be opened", dir, err)
	}
	defer root.Close()
	path := filepath.Join(dir, account)
	// Go opens with O_CLOEXEC: no child keeps the lock.
	f, err := root.OpenFile(account, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, failed("cannot be opened", path, err)
	}
	if err := take(f, path); err != nil {
		_ = f.Close()
		return nil, err
	}
	return sync.OnceValue(func() error { return failed("cannot be released", path, f.Close()) }), nil
}

// take locks f and writes our process id and host name into it.
func take(f *os.File, path string) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &Error{Kind: Busy, Op: "account is locked", Path: path, Holder: holder(f)}
	}
	if err != nil {
		return failed("cannot be locked", path, err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	// The content is for people only: if the disk is too full for it, the lock holds all the same.
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintf(f, "%d %s\n", os.Getpid(), host)
	}
	return nil
}

// holder reads who holds the lock, as "pid 4711 on mail.example.org".
func holder(f *os.File) string {
	line, err := io.ReadAll(io.LimitReader(f, 300))
	if err != nil {
		return "another process"
	}
	fields := strings.Fields(string(line))
	if len(fields) != 2 {
		return "another process"
	}
	pid, err := strconv.ParseUint(fields[0], 10, 32)
	if err != nil {
		return "another process"
	}
	host := strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, fields[1])
	return "pid " + strconv.FormatUint(pid, 10) + " on " + host
}
