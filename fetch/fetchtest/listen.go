package fetchtest

import (
	"net"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
)

// Listen serves at a free port of 127.0.0.1 until the test ends.
func Listen(t testing.TB, serve func(net.Conn)) *fakeserver.Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := fakeserver.Serve(listener, serve)
	t.Cleanup(s.Close)
	return s
}

// Dial connects to addr and closes the connection when the test ends.
func Dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
