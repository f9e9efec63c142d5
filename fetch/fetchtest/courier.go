package fetchtest

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// courierLogin starts a Courier server with its settings in the environment, as its start script does.
const courierLogin = `set -a
. /etc/courier/"$0"
. /etc/courier/authdaemonrc
# how often IDLE looks, 60 s as it comes
IMAP_IDLE_TIMEOUT=1
TCPREMOTEIP=127.0.0.1 TCPREMOTEPORT=1 TCPLOCALIP=127.0.0.1 TCPLOCALPORT=1
exec "$@"
`

// StartCourier starts Courier's IMAP and POP3 servers, by connection, and the daemon that asks PAM for it. All
// folders are below INBOX.
func StartCourier(t testing.TB) *Server {
	t.Helper()
	u := unpack(t, "courier")
	for _, service := range []string{"imap", "pop3"} {
		u.write(t, "/etc/pam.d/"+service, "@include common-auth\n@include common-account\n")
	}
	u.own(t, 0, 0, "/run/courier/authdaemon")
	maildir := unpackedHome + "/Maildir"
	u.own(t, unpackedUID, unpackedUID, maildir, maildir+"/cur", maildir+"/new", maildir+"/tmp")
	daemon := u.command("sh", "-c", courierLogin, "imapd", "/usr/lib/courier/courier-authlib/authdaemond")
	must(t, u.start(daemon))
	u.await(t, "/run/courier/authdaemon/socket")
	libexec := "/usr/lib/courier/courier/"
	return newServer(t, Server{Version: u.version, User: unpackedUser, Password: unpackedPassword, Prefix: "INBOX."},
		u.inetd("sh", "-c", courierLogin, "imapd", libexec+"imaplogin", "/usr/bin/imapd", "Maildir"),
		u.inetd("sh", "-c", courierLogin, "pop3d", libexec+"courierpop3login", libexec+"courierpop3d", "Maildir"))
}

// await waits until a server has made that file.
func (u *unpacked) await(t testing.TB, name string) {
	t.Helper()
	for {
		if _, err := os.Stat(filepath.Join(u.dir, name)); err == nil {
			return
		}
		u.mu.Lock()
		lives := len(u.running) > 0
		u.mu.Unlock()
		if !lives {
			t.Fatalf("the server ended before it made %s", name)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
