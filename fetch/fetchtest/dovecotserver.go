package fetchtest

import (
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// StartDovecotServer starts a Dovecot as StartDovecot does, for tests of the whole program. Folders are below prefix.
func StartDovecotServer(t testing.TB, o DovecotOptions, prefix string) *Server {
	t.Helper()
	d := StartDovecot(t, o)
	version, err := exec.Command(dovecotBinary(t), "--version").Output()
	must(t, err)
	number, _, _ := strings.Cut(string(version), " ")
	to := func(addr string) dialer {
		return func() (io.ReadWriteCloser, error) { return net.Dial("tcp", addr) }
	}
	return newServer(t, Server{Version: strings.TrimSpace(number), User: d.User, Password: d.Password, Prefix: prefix}, to(d.IMAPAddr), to(d.POP3Addr))
}
