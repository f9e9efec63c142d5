package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// wakeName is the socket in the state directory on which a service is told to make a pass over an account.
	wakeName = "serve.sock"
	// wakeTime bounds one such request.
	wakeTime = 5 * time.Second
	// maxWake bounds its line: a word and an account's name.
	maxWake = 128
)

// The words of the request and of its replies. Each is a line.
const (
	wakeAsk     = "wake "
	wakeDone    = "woken"
	wakeUnknown = "no such account"
)

// WakeSocket is the socket of a running service.
type WakeSocket struct {
	listener *net.UnixListener
	close    func() error
}

// ListenWake makes the socket in the state directory dir. It is for the owner of dir and for root, whom the directory lets in.
func ListenWake(dir string) (*WakeSocket, error) {
	path, end, err := shortPath(dir)
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if errors.Is(err, syscall.EADDRINUSE) {
		if conn, dialled := net.DialTimeout("unix", path, wakeTime); dialled == nil {
			return nil, errors.Join(fmt.Errorf("%s: another service runs with this state directory", filepath.Join(dir, wakeName)), conn.Close(), end())
		}
		if err = os.Remove(path); err == nil { // of a service that was killed
			listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		}
	}
	if err != nil {
		return nil, errors.Join(err, end())
	}
	s := &WakeSocket{listener: listener, close: sync.OnceValue(func() error { return errors.Join(listener.Close(), end()) })}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// Serve has wake called with the name of each account that a pass is asked for, until ctx ends. wake reports whether there is
// such an account.
func (s *WakeSocket) Serve(ctx context.Context, wake func(account string) bool) error {
	stop := context.AfterFunc(ctx, func() { _ = s.close() })
	defer stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return errors.Join(err, s.close())
		}
		asking.Go(func() {
			defer func() { _ = conn.Close() }() // the reply is out, or nobody wants it
			_ = conn.SetDeadline(time.Now().Add(wakeTime))
			line, err := bufio.NewReader(io.LimitReader(conn, maxWake)).ReadString('\n')
			account, asked := strings.CutPrefix(strings.TrimSuffix(line, "\n"), wakeAsk)
			if err != nil || !asked {
				return
			}
			reply := wakeUnknown
			if wake(account) {
				reply = wakeDone
			}
			_, _ = io.WriteString(conn, reply+"\n")
		})
	}
}

// Wake asks the service that runs with the same state directory for a pass over an account, directly after the one that is under
// way. It returns false where no service runs, or none that has this account.
func (a *App) Wake(ctx context.Context, account string) (woken bool, err error) {
	path, end, err := shortPath(a.setup().cfg.StateDir)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, end()) }()
	ctx, cancel := context.WithTimeout(ctx, wakeTime)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(wakeTime)); err != nil {
		return false, err
	}
	if _, err := io.WriteString(conn, wakeAsk+account+"\n"); err != nil {
		return false, err
	}
	reply, err := bufio.NewReader(io.LimitReader(conn, maxWake)).ReadString('\n')
	if err != nil {
		return false, err
	}
	return reply == wakeDone+"\n", nil
}

// maxSocketPath is the longest path that an address of a UNIX socket holds on every system, see unix(7).
const maxSocketPath = 100

// shortPath returns the path of the socket in dir, by way of an open descriptor where it would be too long for an address. end
// must be called when the path is not needed any more.
func shortPath(dir string) (path string, end func() error, err error) {
	path = filepath.Join(dir, wakeName)
	if len(path) <= maxSocketPath {
		return path, func() error { return nil }, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join("/proc/self/fd", fmt.Sprint(d.Fd()), wakeName), sync.OnceValue(d.Close), nil
}
