package fetchtest

import (
	"io"
	"log"
	"net"
	"runtime/debug"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"
)

// StartGoIMAP starts the server of go-imap with its store in memory.
func StartGoIMAP(t testing.TB) *Server {
	t.Helper()
	s := Server{User: "alice", Password: "correct horse", Version: "unknown"}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, module := range build.Deps {
			if module.Path == "github.com/emersion/go-imap/v2" {
				s.Version = module.Version
			}
		}
	}
	user := imapmemserver.NewUser(s.User, s.Password)
	must(t, user.Create("INBOX", nil))
	memory := imapmemserver.New()
	memory.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return memory.NewSession(), nil, nil
		},
		Caps:         imap.CapSet{imap.CapIMAP4rev1: {}, imap.CapIMAP4rev2: {}},
		InsecureAuth: true,                       // TLS is before it
		Logger:       log.New(io.Discard, "", 0), // it tells of each connection that is cut
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until Close
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return newServer(t, s, func() (io.ReadWriteCloser, error) { return net.Dial("tcp", listener.Addr().String()) }, nil)
}
