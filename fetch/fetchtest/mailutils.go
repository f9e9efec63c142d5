package fetchtest

import "testing"

// mailutilsConfig has PAM ask for the password, as the package does. A lock whose process is gone holds nobody up: imap4d
// crashes now and then, and leaves its own.
const mailutilsConfig = `auth {
  authentication clear;
  authentication generic:system:pam;
  authorization clear;
  authorization system;
};
mailbox {
  mail-spool /var/mail;
  mailbox-type mbox;
};
locking {
  pid-check yes;
};
logging {
  syslog no;
};
`

// StartMailutils starts imap4d and pop3d of GNU Mailutils, by connection, with the inbox in an mbox.
func StartMailutils(t testing.TB) *Server {
	t.Helper()
	u := unpack(t, "mailutils")
	u.write(t, "/etc/mailutils.conf", mailutilsConfig)
	for _, service := range []string{"gnu-imap4d", "gnu-pop3d"} {
		u.write(t, "/etc/pam.d/"+service, "@include common-auth\n@include common-account\n")
	}
	s := newServer(t, Server{Version: u.version, User: unpackedUser, Password: unpackedPassword},
		u.inetd("imap4d", "--inetd", "--config-file=/etc/mailutils.conf"),
		u.inetd("pop3d", "--inetd", "--config-file=/etc/mailutils.conf"))
	s.Owner = mailutilsOwner{s.Owner, mbox{u.dir + "/var/mail/" + unpackedUser, unpackedUID}}
	s.Crashes = u.crashes
	return s
}

// mailutilsOwner has mail for the inbox delivered to its file: imap4d refuses to append to it.
type mailutilsOwner struct {
	Owner
	inbox mbox
}

func (o mailutilsOwner) Deliver(t testing.TB, folder string, messages ...[]byte) {
	t.Helper()
	if folder == "INBOX" {
		o.inbox.Deliver(t, folder, messages...)
		return
	}
	o.Owner.Deliver(t, folder, messages...)
}
