package fetchtest

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

const (
	cyrusUID, cyrusGID = 2002, 8

	cyrusServices = `START {
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r"
  idled cmd="idled"
}
SERVICES {
  imap cmd="imapd" listen="/run/cyrus/socket/imap" prefork=0
  pop3 cmd="pop3d" listen="/run/cyrus/socket/pop3" prefork=0
}
`
	cyrusConfig = `configdirectory: /var/lib/cyrus
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
defaultpartition: default
partition-default: /var/spool/cyrus/mail
idlesocket: /run/cyrus/socket/idle
altnamespace: no
unixhierarchysep: no
servername: localhost
autocreate_quota: 0
allowplaintext: yes
imapidlepoll: 1
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: /var/sasldb2
`
)

// StartCyrus starts Cyrus' master, with IMAP, POP3 and idled. All folders are below INBOX.
func StartCyrus(t testing.TB) *Server {
	t.Helper()
	u := unpack(t, "cyrus")
	u.write(t, "/etc/imapd.conf", cyrusConfig)
	u.write(t, "/etc/cyrus.conf", cyrusServices)
	u.own(t, cyrusUID, cyrusGID, "/run/cyrus", "/run/cyrus/socket", "/run/cyrus/proc", "/run/cyrus/lock",
		"/var/lib/cyrus", "/var/spool/cyrus", "/var/spool/cyrus/mail")
	password := u.command("sh", "-c", "saslpasswd2 -p -c -f /var/sasldb2 -u localhost alice && chmod 644 /var/sasldb2")
	password.Stdin = strings.NewReader(unpackedPassword)
	must(t, password.Run())
	must(t, u.start(u.command("/usr/sbin/cyrmaster", "-C", "/etc/imapd.conf", "-M", "/etc/cyrus.conf")))
	u.await(t, "/run/cyrus/socket/imap")
	u.await(t, "/run/cyrus/socket/pop3")
	return newServer(t, Server{Version: u.version, User: unpackedUser, Password: unpackedPassword, Prefix: "INBOX."},
		u.socket("/run/cyrus/socket/imap"), u.socket("/run/cyrus/socket/pop3"))
}

// socket returns what connects to a UNIX socket of the server.
func (u *unpacked) socket(name string) dialer {
	return func() (io.ReadWriteCloser, error) { return net.Dial("unix", filepath.Join(u.dir, name)) }
}
