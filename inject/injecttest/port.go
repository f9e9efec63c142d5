//go:build unix

package injecttest

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Port returns an address of 127.0.0.1 with a port that no other test gets until this one ends, in this process or another:
// a socket is bound to it that does not listen. A server that sets SO_REUSEADDR, as most do, can listen there; until one does,
// connections are refused. It is for servers that can be given neither port 0 nor a socket.
//
// A port that is merely found free is not enough: Postfix listens with SO_REUSEPORT, and two of them that were given the
// same port take connections in turn, without an error.
func Port(t TB) string {
	t.Helper()
	addr, err := port(t)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return addr
}

func port(t TB) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	unix.CloseOnExec(fd)
	for _, option := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
			return "", err
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port), nil
}
