package fetchtest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
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

	"github.com/truehop/truehop/fetch/fakeserver"
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
	// Introspection, if not "", is where access tokens are asked about (RFC 7662): XOAUTH2 and OAUTHBEARER
	// are offered then. The answer names the user as username.
	Introspection string
	// Config is appended to the configuration. It must leave login_greeting alone.
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

	t   testing.TB
	dir string
	// token is in the greeting, by which this server is known from others.
	token     string
	uid       int
	delivered int
}

// StartDovecot starts a Dovecot for this test alone. Where Dovecot 2.3 is not
// installed the test is skipped, or fails if TRUEHOP_REQUIRE_SERVERS is 1.
func StartDovecot(t testing.TB, o DovecotOptions) *Dovecot {
	t.Helper()
	return startDovecot(t, o, listenLocal, true)
}

func startDovecot(t testing.TB, o DovecotOptions, listen func() (net.Listener, error), handOver bool) *Dovecot {
	t.Helper()
	binary := dovecotBinary(t)
	d := &Dovecot{t: t, User: "alice@example.org", Password: "correct horse", token: rand.Text()}
	// The directories are short: a UNIX socket's name has at most 107 octets, which t.TempDir may exceed alone.
	parent := os.TempDir()
	if len(parent) > 40 {
		parent = "/tmp"
	}
	dir, err := os.MkdirTemp(parent, "dc")
	d.check(err)
	d.dir, d.Log = dir, filepath.Join(dir, "log")
	t.Cleanup(func() { os.RemoveAll(dir) })
	d.check(os.Chmod(dir, 0o755))
	d.uid = os.Getuid()
	if d.uid == 0 {
		d.uid = 65534 // nobody; Dovecot refuses to open mail as root
	}
	d.Create("INBOX")
	home := filepath.Join(dir, "home") // for mail that Config has elsewhere
	d.check(os.Mkdir(home, 0o700))
	d.check(os.Chown(home, d.uid, -1))
	d.check(os.WriteFile(filepath.Join(dir, "users"),
		fmt.Appendf(nil, "%s:{PLAIN}%s::::::\n", d.User, d.Password), 0o644))
	ca := fakeserver.NewCA()
	certPEM, keyPEM := ca.ServerPEM("localhost", "127.0.0.1")
	d.CA, d.CAFile = ca.Pool(), filepath.Join(dir, "ca.pem")
	d.check(os.WriteFile(d.CAFile, ca.PEM(), 0o644))
	d.check(os.WriteFile(filepath.Join(dir, "cert.pem"), certPEM, 0o644))
	d.check(os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600))
	var failures error
	for attempt := range 5 {
		// Where it cannot inherit sockets, another process may take a port before it does.
		err := d.start(binary, o, listen, handOver && attempt == 0)
		if err == nil {
			return d
		}
		failures = errors.Join(failures, err)
	}
	log, _ := os.ReadFile(d.Log)
	t.Fatalf("dovecot does not start: %v\n%s", failures, log)
	return nil
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

func (d *Dovecot) check(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatalf("dovecot: %v", err)
	}
}

// start starts the server once. If handOver, it inherits its sockets, open, and no other process can come
// between (sd_listen_fds(3)); else it opens them itself.
func (d *Dovecot) start(binary string, o DovecotOptions, listen func() (net.Listener, error), handOver bool) error {
	var sockets []net.Listener
	defer func() {
		for _, l := range sockets {
			_ = l.Close()
		}
	}()
	for _, addr := range d.addrs() {
		l, err := listen()
		if err != nil {
			return err
		}
		sockets = append(sockets, l)
		*addr = l.Addr().String()
	}
	conf := filepath.Join(d.dir, "dovecot.conf")
	out, err := os.Create(filepath.Join(d.dir, "out"))
	if err != nil {
		return err
	}
	defer out.Close()
	// A master that was killed has left its process id in run.
	introspection := fmt.Sprintf(dovecotIntrospection, o.Introspection)
	if err := errors.Join(os.RemoveAll(filepath.Join(d.dir, "run")), os.WriteFile(conf, []byte(d.config(o)), 0o644),
		os.WriteFile(filepath.Join(d.dir, "oauth2.conf"), []byte(introspection), 0o644)); err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@"`, binary, "-F", "-c", conf)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(sockets)))
	if !handOver {
		cmd.Env = os.Environ()
	}
	for _, l := range sockets {
		if !handOver {
			_ = l.Close()
			continue
		}
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			return err
		}
		defer file.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	m := &master{cmd: cmd}
	if err := d.await(m); err != nil {
		m.stop()
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%w\n%s", err, said)
	}
	d.t.Cleanup(m.stop)
	return nil
}

func (d *Dovecot) addrs() [4]*string {
	return [...]*string{&d.IMAPAddr, &d.IMAPSAddr, &d.POP3Addr, &d.POP3SAddr}
}

func listenLocal() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// await returns when this server, and no other, has greeted at all four ports, and lives.
func (d *Dovecot) await(m *master) error {
	const patience = time.Minute
	began := time.Now()
	for _, addr := range d.addrs() {
		for {
			// A stranger may say nothing for ever, and this server nothing in a second on a busy machine.
			said, err := d.greeting(*addr, max(time.Since(began), time.Second))
			if strings.Contains(said, d.token) {
				break
			}
			if err == nil {
				return fmt.Errorf("another server answers at %s: %q", *addr, said)
			}
			if !m.alive() {
				return errors.New("it ended at once")
			}
			if time.Since(began) > patience {
				return fmt.Errorf("no greeting at %s in %v: %w", *addr, patience, err)
			}
			time.Sleep(5 * time.Millisecond) // it may be refused at once
		}
	}
	if !m.alive() {
		return errors.New("it ended at once")
	}
	return nil
}

// greeting reads the first line that is said at one of the ports, but waits no longer than that.
func (d *Dovecot) greeting(addr string, wait time.Duration) (string, error) {
	conn, err := net.DialTimeout("tcp", addr, wait)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return "", err
	}
	if addr == d.IMAPSAddr || addr == d.POP3SAddr {
		conn = tls.Client(conn, &tls.Config{RootCAs: d.CA, ServerName: "localhost"})
	}
	return bufio.NewReader(io.LimitReader(conn, 1000)).ReadString('\n')
}

// master is Dovecot's first process. It leads a process group, in which all its children are.
type master struct {
	cmd *exec.Cmd
	// reaped says that the system may give its process id, and that of the group, to others.
	reaped bool
}

func (m *master) alive() bool {
	if m.reaped {
		return false
	}
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(m.cmd.Process.Pid, &status, syscall.WNOHANG, nil)
	m.reaped = pid == m.cmd.Process.Pid
	return pid == 0 || errors.Is(err, syscall.EINTR)
}

// stop kills the group. Nothing of theirs is wanted any more, and a polite end takes up to 6 s.
func (m *master) stop() {
	if m.reaped {
		_ = m.cmd.Process.Release()
		return
	}
	_ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL)
	_ = m.cmd.Wait() // it says that the process was killed
}

// config returns the configuration. As root, Dovecot runs under the users its
// package made, and mail belongs to nobody; otherwise all of it runs as the caller,
// where chroot is not allowed.
func (d *Dovecot) config(o DovecotOptions) string {
	if o.Mechanisms == nil {
		o.Mechanisms = []string{"plain", "login", "scram-sha-256"}
	}
	byToken := ""
	if o.Introspection != "" {
		o.Mechanisms = append(slices.Clone(o.Mechanisms), "xoauth2", "oauthbearer")
		byToken = fmt.Sprintf(dovecotByToken, d.dir)
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
		port(d.IMAPAddr), port(d.IMAPSAddr), port(d.POP3Addr), port(d.POP3SAddr), d.token) + byToken + rootless + o.Config + "\n"
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
login_greeting = Dovecot %[9]s ready.
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

const dovecotByToken = `passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = %[1]s/oauth2.conf
}
`

const dovecotIntrospection = `introspection_mode = post
introspection_url = %s
username_attribute = username
active_attribute = active
active_value = true
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
	if name == "" || strings.EqualFold(name, "INBOX") {
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
