package fetchtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestStartDovecot(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{})
	d.Deliver([]byte("Subject: one\r\n\r\nbody\r\n"))
	d.Deliver([]byte("Subject: two\r\n\r\nbody\r\n"))
	d.Create("Archive/2026")
	c, err := tls.Dial("tcp", d.IMAPSAddr, &tls.Config{RootCAs: d.CA, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := imapDialogue(t, c, d, "Archive/2026"); !strings.Contains(got, "* 2 EXISTS") || !strings.Contains(got, "a3 OK") {
		t.Errorf("SELECT INBOX and the folder say:\n%s", got)
	}
	if n := d.Count(); n != 1 {
		t.Errorf("%d messages are left, want 1", n)
	}
	if m := d.Messages("archive"); len(m) != 0 {
		t.Errorf("a folder that is not there has %d messages", len(m))
	}
}

func imapDialogue(t *testing.T, c net.Conn, d *Dovecot, folder string) string {
	t.Helper()
	fmt.Fprintf(c, "a1 LOGIN %q %q\r\na2 SELECT INBOX\r\nb UID STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc UID EXPUNGE 1\r\na3 SELECT %q\r\na4 LOGOUT\r\n", d.User, d.Password, folder)
	var said strings.Builder
	for lines := bufio.NewScanner(c); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
	}
	return said.String()
}
