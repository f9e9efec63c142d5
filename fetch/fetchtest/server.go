package fetchtest

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
)

// Server is a real mail server with the mailbox of one user, for tests of the whole program. What its kind does not
// speak is nil.
type Server struct {
	// Version is what was started, as its package or module says it.
	Version        string
	IMAP, POP3     *Front
	User, Password string
	// CAFile vouches for both fronts.
	CAFile string
	// Prefix stands before the name of every folder but the inbox.
	Prefix string
	// Owner is the user with another program than the one that is tested.
	Owner Owner
	// Crashes is for a server known to crash. It waits for the end of all sessions, and returns how many crashed.
	Crashes func() int
}

// Owner puts mail into the mailbox and looks what is there.
type Owner interface {
	// Deliver adds messages to a folder.
	Deliver(t testing.TB, folder string, messages ...[]byte)
	// Create makes a folder.
	Create(t testing.TB, folder string)
	// Count returns how many messages the folder has.
	Count(t testing.TB, folder string) int
	// Flagged returns how many of them have the flag.
	Flagged(t testing.TB, folder, flag string) int
}

// dialer makes one connection with a server, without TLS.
type dialer func() (io.ReadWriteCloser, error)

// newServer puts TLS before a server. Its owner speaks IMAP if the server does.
func newServer(t testing.TB, s Server, imap, pop3 dialer) *Server {
	t.Helper()
	ca := fakeserver.NewCA()
	s.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(s.CAFile, ca.PEM(), 0o600))
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}}
	if imap != nil {
		s.IMAP = newFront(t, secure, imap)
		s.Owner = &imapOwner{dial: imap, user: s.User, password: s.Password, prefix: s.Prefix}
	}
	if pop3 != nil {
		s.POP3 = newFront(t, secure, pop3)
	}
	return &s
}
