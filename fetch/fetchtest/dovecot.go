package fetchtest

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// DovecotOptions says what kind of Dovecot a test wants. The zero value is a server with
// everything on.
type DovecotOptions struct {
	// Mechanisms are the SASL mechanisms offered; nil means PLAIN, LOGIN and
	// SCRAM-SHA-256.
	Mechanisms []string
	// TLSOnly refuses credentials in plaintext (LOGINDISABLED). Dovecot exempts clients that
	// come from its own address: dial from 127.0.0.2.
	TLSOnly bool
	// Config is appended to the configuration.
	Config string
}

// Dovecot is a private Dovecot on 127.0.0.1 with one user and an empty maildir. It
// stops when the test ends.
type Dovecot struct {
	// IMAPAddr and POP3Addr offer STARTTLS and STLS, the other two speak TLS from the start.
	IMAPAddr, IMAPSAddr, POP3Addr, POP3SAddr string
	// CA and CAFile hold the authority that signed the certificate, which is
	// good for localhost and 127.0.0.1.
	CA     *x509.CertPool
	CAFile string
	// User and Password log in.
	User, Password string
	// Log is the file that Dovecot logs to.
	Log string

	t         testing.TB
	dir       string
	uid       int
	delivered int
}

// StartDovecot starts a Dovecot for this test alone. Where Dovecot 2.3 is not
// installed the test is skipped, or fails if TRUEHOP_REQUIRE_SERVERS is 1.
func StartDovecot(t testing.TB, o DovecotOptions) *Dovecot {
	t.Helper()
	binary := dovecotBinary(t)
	d := &Dovecot{t: t, User: "alice@example.org", Password: "correct horse"}
	d.prepare()
	for attempt := 1; ; attempt++ {
		err := d.start(binary, o)
		if err == nil {
			return d
		}
		if attempt == 3 { // another process may have taken a port meanwhile
			log, _ := os.ReadFile(d.Log)
			t.Fatalf("dovecot does not start: %v\n%s", err, log)
		}
	}
}

// dovecotBinary finds Dovecot or ends the test. Version 2.4 has another
// configuration language.
func dovecotBinary(t testing.TB) string {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		skip = t.Fatalf
	}
	for _, name := range []string{"dovecot", "/usr/sbin/dovecot", "/usr/local/sbin/dovecot"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		version, err := exec.Command(path, "--version").Output()
		if err != nil || !bytes.HasPrefix(version, []byte("2.3.")) {
			skip("needs dovecot 2.3, found %q (%v)", bytes.TrimSpace(version), err)
		}
		return path
	}
	skip("needs dovecot, which is not installed")
	return ""
}

// prepare makes the directories. They are short: a UNIX socket's name has at
// most 107 octets, which t.TempDir may exceed alone.
func (d *Dovecot) prepare() {
	d.t.Helper()
	parent := os.TempDir()
	if len(parent) > 40 {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "dc")
	d.check(err)
	d.dir, d.Log = dir, filepath.Join(dir, "log")
	d.t.Cleanup(func() { os.RemoveAll(dir) })
	d.check(os.Chmod(dir, 0o755))
	d.uid = os.Getuid()
	if d.uid == 0 {
		d.uid = 65534 // nobody; Dovecot refuses to open mail as root
	}
	d.Create("INBOX")
	d.check(os.WriteFile(filepath.Join(dir, "users"),
		fmt.Appendf(nil, "%s:{PLAIN}%s::::::\n", d.User, d.Password), 0o644))
	ca := NewCA()
	certPEM, keyPEM := ca.ServerPEM("localhost", "127.0.0.1")
	d.CA, d.CAFile = ca.Pool(), filepath.Join(dir, "ca.pem")
	d.check(os.WriteFile(d.CAFile, ca.PEM(), 0o644))
	d.check(os.WriteFile(filepath.Join(dir, "cert.pem"), certPEM, 0o644))
	d.check(os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600))
}

func (d *Dovecot) check(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("dovecot: %v", err)
	}
}

func (d *Dovecot) start(binary string, o DovecotOptions) error {
	if err := d.choosePorts(); err != nil {
		return err
	}
	conf := filepath.Join(d.dir, "dovecot.conf")
	if err := os.WriteFile(conf, []byte(d.config(o)), 0o644); err != nil {
		return err
	}
	master := exec.Command(binary, "-F", "-c", conf)
	var said bytes.Buffer
	master.Stdout, master.Stderr = &said, &said
	master.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := master.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- master.Wait() }()
	d.t.Cleanup(func() { stop(master.Process, ended) })
	return d.awaitListeners(ended, &said)
}

// choosePorts finds four ports that are free now.
func (d *Dovecot) choosePorts() error {
	for _, addr := range []*string{&d.IMAPAddr, &d.IMAPSAddr, &d.POP3Addr, &d.POP3SAddr} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close() // only when all four are chosen, so that they differ
		*addr = l.Addr().String()
	}
	return nil
}

// awaitListeners returns when all four ports accept connections. The master
// opens them before anything else it does that may take time.
func (d *Dovecot) awaitListeners(ended chan error, said *bytes.Buffer) error {
	deadline := time.After(20 * time.Second)
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	waiting := []string{d.IMAPAddr, d.IMAPSAddr, d.POP3Addr, d.POP3SAddr}
	for len(waiting) > 0 {
		if c, err := net.Dial("tcp", waiting[0]); err == nil {
			c.Close()
			waiting = waiting[1:]
			continue
		}
		select {
		case err := <-ended:
			ended <- err // for stop
			return fmt.Errorf("ended at once: %v: %s", err, said)
		case <-deadline:
			return errors.New("no connection after 20 s")
		case <-retry.C:
		}
	}
	return nil
}

// stop kills the master and its children, which share its process group. Nothing
// of theirs is wanted any more, and a polite end takes up to 6 s.
func stop(master *os.Process, ended <-chan error) {
	if err := syscall.Kill(-master.Pid, syscall.SIGKILL); err != nil {
		master.Kill()
	}
	<-ended
}

// config returns the configuration. As root, Dovecot runs under the users its
// package made, and mail belongs to nobody; otherwise all of it runs as the caller,
// where chroot is not allowed.
func (d *Dovecot) config(o DovecotOptions) string {
	if o.Mechanisms == nil {
		o.Mechanisms = []string{"plain", "login", "scram-sha-256"}
	}
	plaintext := "no"
	if o.TLSOnly {
		plaintext = "yes"
	}
	rootless := ""
	if me, err := user.Current(); os.Getuid() != 0 && err == nil {
		group, err := user.LookupGroupId(me.Gid)
		d.check(err)
		rootless = fmt.Sprintf(dovecotRootless, me.Username, group.Name)
	}
	return fmt.Sprintf(dovecotConfig, d.dir, plaintext, strings.Join(o.Mechanisms, " "), d.uid,
		port(d.IMAPAddr), port(d.IMAPSAddr), port(d.POP3Addr), port(d.POP3SAddr)) + rootless + o.Config + "\n"
}

const dovecotConfig = `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap pop3
listen = 127.0.0.1
first_valid_uid = 1
mail_location = maildir:%[1]s/mail
mail_max_userip_connections = 100
mail_fsync = never
disable_plaintext_auth = %[2]s
ssl = yes
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
auth_mechanisms = %[3]s
auth_failure_delay = 0
# without it, each wrong password makes the next login from here wait longer
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = static
  args = uid=%[4]d gid=%[4]d home=%[1]s/home
}
namespace inbox {
  inbox = yes
  separator = /
}
service imap-login {
  inet_listener imap {
    port = %[5]s
  }
  inet_listener imaps {
    port = %[6]s
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    port = %[7]s
  }
  inet_listener pop3s {
    port = %[8]s
    ssl = yes
  }
}
`

const dovecotRootless = `default_internal_user = %[1]s
default_internal_group = %[2]s
default_login_user = %[1]s
service anvil {
  chroot =
}
service imap-login {
  chroot =
}
service pop3-login {
  chroot =
}
service stats {
  chroot =
}
`

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// folder returns the maildir of a folder, which Dovecot stores as .Name beside the inbox.
func (d *Dovecot) folder(name string) string {
	if canonical(name) == "INBOX" {
		return filepath.Join(d.dir, "mail")
	}
	return filepath.Join(d.dir, "mail", "."+strings.ReplaceAll(name, "/", "."))
}

// Create makes a folder.
func (d *Dovecot) Create(name string) {
	d.t.Helper()
	dir := d.folder(name)
	for _, sub := range []string{"", "cur", "new", "tmp"} {
		d.check(os.MkdirAll(filepath.Join(dir, sub), 0o700))
		d.check(os.Chown(filepath.Join(dir, sub), d.uid, -1))
	}
}

// Deliver puts a message into the inbox as a delivery agent would. Its octets
// are served as they are if its lines end with CRLF.
func (d *Dovecot) Deliver(raw []byte) { d.t.Helper(); d.DeliverTo("INBOX", raw) }

// DeliverTo puts a message into a folder that exists.
func (d *Dovecot) DeliverTo(folder string, raw []byte) {
	d.t.Helper()
	d.delivered++
	// Dovecot orders new mail by the time in the name, then by the microseconds.
	name := fmt.Sprintf("1700000000.M%06dP1.test", d.delivered)
	tmp := filepath.Join(d.folder(folder), "tmp", name)
	d.check(os.WriteFile(tmp, raw, 0o600))
	d.check(os.Chown(tmp, d.uid, -1))
	d.check(os.Rename(tmp, filepath.Join(d.folder(folder), "new", name)))
}

// Count returns how many messages the inbox holds.
func (d *Dovecot) Count() int { d.t.Helper(); return len(d.files("INBOX")) }

// Messages returns the octets of a folder's messages in the order of delivery.
func (d *Dovecot) Messages(folder string) [][]byte {
	d.t.Helper()
	var all [][]byte
	for _, file := range d.files(folder) {
		raw, err := os.ReadFile(file)
		d.check(err)
		all = append(all, raw)
	}
	return all
}

// Flags returns the maildir flags of a folder's messages in the order of
// delivery: "S" seen, "T" deleted, "F" flagged, "a" to "z" keywords.
func (d *Dovecot) Flags(folder string) []string {
	d.t.Helper()
	var all []string
	for _, file := range d.files(folder) {
		_, flags, _ := strings.Cut(filepath.Base(file), ":2,")
		all = append(all, flags)
	}
	return all
}

func (d *Dovecot) files(folder string) []string {
	d.t.Helper()
	var files []string
	for _, sub := range []string{"cur", "new"} {
		found, err := filepath.Glob(filepath.Join(d.folder(folder), sub, "*"))
		d.check(err)
		files = append(files, found...)
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return files
}
