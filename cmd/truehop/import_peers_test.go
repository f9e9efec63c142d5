package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// predecessor is another mail retriever: its program, how it is called, and its configuration.
type predecessor struct {
	name, program, kind string
	addr                func(*fetchtest.Dovecot) string
	// rc is the name of its file below the home directory; in config HOST, PORT, USER, PASSWORD, CA, HOME and LMTP, the port
	// of a server for local delivery, are replaced.
	rc, config string
	args       []string
}

func predecessors() []predecessor {
	imap := func(d *fetchtest.Dovecot) string { return d.IMAPSAddr }
	pop3 := func(d *fetchtest.Dovecot) string { return d.POP3SAddr }
	fetchmail := `poll HOST protocol %s port PORT
  user "USER" there with password "PASSWORD" is alice here
  options ssl sslcertfile "CA" %s mda "cat >>HOME/fetched"
`
	getmail := `[options]
read_all = false
[retriever]
type = %s
server = HOST
port = PORT
username = USER
password = PASSWORD
ca_certs = CA
[destination]
type = MDA_lmtp
host = 127.0.0.1
port = LMTP
override = alice@example.org
`
	return []predecessor{
		{"fetchmail with POP3", "fetchmail", "fetchmailrc", pop3, ".fetchmailrc", fmt.Sprintf(fetchmail, "pop3", "keep"), []string{"-f", "HOME/.fetchmailrc", "--nodetach", "--pidfile", "HOME/fetchmail.pid"}},
		{"fetchmail with IMAP", "fetchmail", "fetchmailrc", imap, ".fetchmailrc", fmt.Sprintf(fetchmail, "imap", "keep"), []string{"-f", "HOME/.fetchmailrc", "--nodetach", "--pidfile", "HOME/fetchmail.pid"}},
		{"getmail with POP3", "getmail", "getmailrc", pop3, ".getmail/getmailrc", fmt.Sprintf(getmail, "SimplePOP3SSLRetriever"), []string{"--getmaildir", "HOME/.getmail"}},
		{"getmail with IMAP", "getmail", "getmailrc", imap, ".getmail/getmailrc", fmt.Sprintf(getmail, "SimpleIMAPSSLRetriever"), []string{"--getmaildir", "HOME/.getmail"}},
		{"mpop", "mpop", "mpoprc", pop3, ".mpoprc", "defaults\ntls on\ntls_starttls off\ntls_trust_file CA\n\naccount work\nhost HOST\nport PORT\nuser USER\npassword \"PASSWORD\"\nkeep on\ndelivery maildir HOME/Mail\n", []string{"-C", "HOME/.mpoprc", "-a"}},
		{"mbsync", "mbsync", "mbsyncrc", imap, ".mbsyncrc", "IMAPAccount work\nHost HOST\nPort PORT\nUser USER\nPass \"PASSWORD\"\nSSLType IMAPS\nCertificateFile CA\n\nIMAPStore far\nAccount work\n\nMaildirStore near\nInbox HOME/Mail/\n\nChannel work\nFar :far:\nNear :near:\nSync Pull\n", []string{"-c", "HOME/.mbsyncrc", "-a"}},
	}
}

// TestImportDeliversWhatThePredecessorHadNotFetched: the real program fetches ten messages and keeps them upstream. After the
// import, truehop delivers the ten that came since, and none of the others, however often both are repeated.
func TestImportDeliversWhatThePredecessorHadNotFetched(t *testing.T) {
	if _, err := built(); err != nil { // before HOME is another, where the compiler would have no cache
		t.Fatal(err)
	}
	for _, p := range predecessors() {
		t.Run(p.name, func(t *testing.T) {
			dovecot := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
			for n := range 10 {
				dovecot.Deliver(clientMail(n + 1))
			}
			home, rc := p.fetch(t, dovecot)
			for n := range 10 {
				dovecot.Deliver(clientMail(n + 11))
			}
			mta := injecttest.New(injecttest.Options{})
			addr, err := mta.Start()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { mta.Close() })
			t.Setenv("HOME", home)
			t.Setenv("TRUEHOP_INJECT__ADDRESS", net.JoinHostPort("127.0.0.1", portOf(addr)))
			t.Setenv("TRUEHOP_INJECT__PROTOCOL", "smtp")
			t.Setenv("TRUEHOP_STATE_DIR", filepath.Join(home, "state"))
			config := filepath.Join(home, "etc", "truehop.yaml")
			importAgain := []string{"import", p.kind, rc, "--config", config, "--recipient", "alice@example.org"}
			must(t, exitOK, importAgain...)
			must(t, exitOK, append(importAgain, "--force")...) // what was done is no hindrance
			for range 2 {
				must(t, exitOK, "run", "--config", config)
			}
			must(t, exitUsage, importAgain...) // a configuration that is there is not replaced
			must(t, exitOK, append(importAgain, "--force")...)
			must(t, exitOK, "run", "--config", config)
			wantOnlyTheLater(t, mta)
			if got := dovecot.Count(); got != 20 {
				t.Errorf("%d messages are left upstream, want all 20", got)
			}
		})
	}
}

// fetch runs the program once, and returns its home directory and its file.
func (p predecessor) fetch(t *testing.T, dovecot *fetchtest.Dovecot) (home, rc string) {
	t.Helper()
	program, err := exec.LookPath(p.program)
	if err != nil {
		skip := t.Skipf
		if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
			skip = t.Fatalf
		}
		skip("needs %s, which is not installed", p.program)
	}
	home = t.TempDir()
	for _, dir := range []string{"Mail/cur", "Mail/new", "Mail/tmp", ".getmail", ".mbsync"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	agent := injecttest.New(injecttest.Options{LMTP: true}) // as root, getmail delivers to nothing else
	agentAddr, err := agent.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { agent.Close() })
	_, port, err := net.SplitHostPort(p.addr(dovecot))
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("LMTP", portOf(agentAddr), "HOST", "localhost", "PORT", port, "USER", dovecot.User, "PASSWORD", dovecot.Password, "CA", dovecot.CAFile, "HOME", home)
	rc = filepath.Join(home, p.rc)
	if err := os.WriteFile(rc, []byte(fill.Replace(p.config)), 0o600); err != nil {
		t.Fatal(err)
	}
	args := slices.Clone(p.args)
	for i := range args {
		args[i] = fill.Replace(args[i])
	}
	theirs := exec.Command(program, args...)
	theirs.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	if out, err := theirs.CombinedOutput(); err != nil {
		t.Fatalf("%s failed: %v\n%s", p.program, err, out)
	}
	return home, rc
}

// wantOnlyTheLater holds what the MTA has against the ten messages that came after the program had fetched. None is labelled as
// a possible second copy.
func wantOnlyTheLater(t *testing.T, mta *injecttest.Server) {
	t.Helper()
	var subjects, want []string
	for n := range 10 {
		want = append(want, fmt.Sprintf("number %d", n+11))
	}
	for _, m := range mta.Messages() {
		_, rest, _ := strings.Cut(string(m.Data), "Subject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		subjects = append(subjects, subject)
		if strings.Contains(string(m.Data), "Truehop-Redelivery") {
			t.Errorf("%s is labelled as a possible second copy", subject)
		}
	}
	slices.Sort(subjects)
	if !slices.Equal(subjects, want) {
		t.Errorf("delivered were %q, want %q", subjects, want)
	}
}

func portOf(addr net.Addr) string {
	_, port, _ := net.SplitHostPort(addr.String())
	return port
}
