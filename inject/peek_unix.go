//go:build unix

package inject

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// peek reports whether there is something to read, without reading or waiting for it.
func (w *wire) peek() (bool, error) {
	sc, ok := w.conn.(syscall.Conn)
	if !ok {
		return w.peekReader()
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false, err
	}
	_ = w.conn.SetReadDeadline(time.Time{}) // an old deadline would fail the call
	var one [1]byte
	var n int
	var rerr error
	if err := raw.Read(func(fd uintptr) bool {
		n, _, rerr = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}); err != nil {
		return false, err
	}
	switch {
	case errors.Is(rerr, syscall.EAGAIN), errors.Is(rerr, syscall.EINTR):
		return false, nil
	case rerr != nil:
		return false, rerr
	case n == 0:
		return false, io.EOF
	}
	return true, nil
}
