package app

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// failed is the error of a connection that the system refuses in this way.
func failed(cause error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: cause} }

// TestListenerHints: an MTA that cannot be reached comes with what to do about it.
func TestListenerHints(t *testing.T) {
	socket := config.Endpoint{Network: "unix", Address: "/run/mta"}
	port := config.Endpoint{Network: "tcp", Address: "mta.example.org:10027"}
	noHost := &net.DNSError{Err: "no such host", IsNotFound: true}
	for name, c := range map[string]struct {
		at    config.Endpoint
		cause error
		want  string
	}{
		"no socket":          {socket, syscall.ENOENT, "master.cf"},
		"not for our user":   {socket, syscall.EACCES, "usermod -aG postdrop " + ledger.UserName(os.Geteuid())},
		"nobody at a socket": {socket, syscall.ECONNREFUSED, "nobody listens at /run/mta"},
		"nobody at a port":   {port, syscall.ECONNREFUSED, "nobody listens at mta.example.org:10027"},
		"no such host":       {port, noHost, "correct the host's name in inject"},
		"no name server":     {port, &net.DNSError{Err: "server misbehaving", IsTemporary: true}, ""},
		"a firewall":         {port, syscall.EPERM, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := listenerHint(failed(c.cause), c.at)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("the hint is %q, want one with %q", got, c.want)
			}
		})
	}
}

// TestSocketClosedNamesTheUser: root, who checks for a service, is told to whom the socket is to be opened.
func TestSocketClosedNamesTheUser(t *testing.T) {
	err := SocketClosed(config.Endpoint{Network: "unix", Address: "/run/mta"}, "mailer", syscall.EACCES)
	if hint := ui.Hint(err); !strings.Contains(hint, "mailer may not open /run/mta") || !strings.Contains(hint, "usermod -aG postdrop mailer") {
		t.Errorf("the hint is %q", hint)
	}
}

// TestListenerHintIsTold: the hint comes with the error of a session, whose words stay as they are.
func TestListenerHintIsTold(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "mta")
	_, err := inject.Open(context.Background(), dialEndpoint(config.Endpoint{Network: "unix", Address: missing}), inject.Options{})
	if err == nil || !strings.Contains(err.Error(), missing+": connect: "+syscall.ENOENT.Error()) || !strings.Contains(ui.Hint(err), "listener") {
		t.Errorf("error %v, hint %q", err, ui.Hint(err))
	}
	if inject.KindOf(err) != inject.Unreachable {
		t.Errorf("the error counts as %v", inject.KindOf(err))
	}
}

// TestUpstreamHints: an upstream that cannot be reached comes with the key to look at.
func TestUpstreamHints(t *testing.T) {
	noHost := &net.DNSError{Err: "no such host", IsNotFound: true}
	plain := config.Account{Name: "work", Host: "imap.example.org", Port: 993}
	four := plain
	four.AddressFamily = config.IPv4Only
	behind := plain
	behind.Proxy = config.Proxy{Scheme: "socks5", Address: "proxy.example.org:1080"}
	for name, c := range map[string]struct {
		account config.Account
		cause   error
		want    string
	}{
		"no such host":               {plain, noHost, "correct accounts.work.host"},
		"no such host in one family": {four, noHost, "accounts.work.address_family: any"},
		"no such proxy":              {behind, noHost, "correct accounts.work.proxy"},
		"nobody listens":             {plain, syscall.ECONNREFUSED, "correct accounts.work.port"},
		"no proxy listens":           {behind, syscall.ECONNREFUSED, "correct accounts.work.proxy"},
		"no IPv6 here":               {plain, syscall.ENETUNREACH, "accounts.work.address_family"},
		"the name server is away":    {plain, &net.DNSError{Err: "server misbehaving", IsTemporary: true}, ""},
		"it took too long":           {plain, os.ErrDeadlineExceeded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := upstreamHint(failed(c.cause), &c.account)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("the hint is %q, want one with %q", got, c.want)
			}
		})
	}
}

// TestUpstreamHintIsTold: the hint comes with the error of a connection to a port where nobody listens.
func TestUpstreamHintIsTold(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	a := &config.Account{Name: "work", Host: "127.0.0.1", Port: port}
	if _, err = reach(context.Background(), a, nil); fetch.KindOf(err) != fetch.Unreachable || !strings.Contains(ui.Hint(err), "accounts.work.port") {
		t.Errorf("error %v, hint %q", err, ui.Hint(err))
	}
}
