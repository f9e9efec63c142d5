//go:build unix

package injecttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Names of the listeners that every [Postfix] has.
const (
	// ListenUnix is a UNIX socket in public/ that lets everybody present any client.
	ListenUnix = "unix"
	// ListenOnce is a TCP port that lets 127.0.0.0/8 use XCLIENT: once in each session.
	ListenOnce = "once"
	// ListenAll is a TCP port that lets everybody present any client (static:all).
	ListenAll = "all"
	// ListenMaster is the TCP port of a service of [PostfixOptions.Master].
	ListenMaster = "master"
)

// PostfixOptions add to the configuration of [StartPostfix].
type PostfixOptions struct {
	// Main are settings for main.cf, each one or more of "name = value". The last of a name holds.
	Main []string
	// Listeners are further smtpd listeners on TCP.
	Listeners []Listener
	// Master are lines for master.cf. In them {addr} stands for the address of
	// [ListenMaster], a free port of 127.0.0.1.
	Master []string
	// Files are written below the configuration directory, names to contents. In
	// them and in all lines {etc} stands for that directory.
	Files map[string]string
}

// Listener is an smtpd, or another program, on a free port of 127.0.0.1.
type Listener struct {
	Name string
	// Program is "smtpd" if "".
	Program string
	// Options are "name=value" pairs for this listener.
	Options []string
}

// Postfix is a running instance of Postfix that shares nothing with the system's. It
// takes mail for example.org, delivers all of it into one place, and sends nothing anywhere.
type Postfix struct {
	// Dir is the directory of everything.
	Dir string

	t      TB
	ports  map[string]string
	free   func() (string, error)
	master *master
	marks  atomic.Int64
}

// TB is what is needed of a testing.TB. Package testing itself must not get into the
// programs that use this package for a demonstration.
type TB interface {
	Helper()
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// StartPostfix starts an instance and stops it when the test ends. Without Postfix, or without the
// right to run it, the test is skipped, or fails if TRUEHOP_REQUIRE_SERVERS=1.
func StartPostfix(t TB, o PostfixOptions) *Postfix {
	t.Helper()
	return startPostfix(t, o, func() (string, error) { return port(t) })
}

func startPostfix(t TB, o PostfixOptions, free func() (string, error)) *Postfix {
	t.Helper()
	lacking := ""
	if _, err := exec.LookPath("postfix"); err != nil {
		lacking = "no program postfix in PATH"
	} else if os.Geteuid() != 0 {
		lacking = "Postfix can only be started by root"
	}
	if lacking != "" && os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		t.Fatalf("TRUEHOP_REQUIRE_SERVERS=1, but %s", lacking)
	}
	if lacking != "" {
		t.Skipf("needs Postfix: %s", lacking)
	}
	// Not t.TempDir: Postfix needs to search it as another user, and the path of a
	// UNIX socket must be short.
	dir, err := os.MkdirTemp("", "pf")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("removing Postfix's directory: %v", err)
		}
	})
	p := &Postfix{Dir: dir, t: t, ports: map[string]string{}, free: free}
	t.Cleanup(p.stop)
	var failures error
	for range 5 {
		// Anew, with other ports: one that was free may no longer be when master wants it.
		if err := p.configure(o); err != nil {
			t.Fatalf("configuring Postfix: %v", err)
		}
		err := p.start()
		if err == nil {
			return p
		}
		failures = errors.Join(failures, err)
	}
	t.Fatalf("starting Postfix: %v\n%s", failures, p.Log())
	return nil
}

// postfixMain has the shortest service_throttle_time: a reload that meets postlogd at its start kills it, and master then waits
// that long, a minute by default, in which nothing that logs goes on.
const postfixMain = `compatibility_level = 3.6
queue_directory = {dir}/q
data_directory = {dir}/data
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
myhostname = mx.example.org
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = loopback-only
inet_protocols = all
mynetworks = 127.0.0.0/8 [::1]/128
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_authorized_xclient_hosts =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
default_transport = discard:
relay_transport = discard:
virtual_transport = virtual
virtual_mailbox_domains = example.org
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = static:user/
virtual_mailbox_limit = 0
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
message_size_limit = 0
mailbox_size_limit = 0
default_process_limit = 50
service_throttle_time = 1s
`

const postfixMaster = `pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

func (p *Postfix) configure(o PostfixOptions) error {
	if err := p.makeDirs(); err != nil {
		return err
	}
	etc := filepath.Join(p.Dir, "etc")
	listeners := append([]Listener{
		{Name: ListenOnce, Options: []string{"smtpd_authorized_xclient_hosts=127.0.0.0/8", "smtpd_authorized_xforward_hosts=127.0.0.0/8"}},
		{Name: ListenAll, Options: []string{"smtpd_authorized_xclient_hosts=static:all"}},
	}, o.Listeners...)
	master := postfixMaster
	clear(p.ports)
	for _, l := range listeners {
		addr, err := p.nextPort()
		if err != nil {
			return err
		}
		p.ports[l.Name] = addr
		program := cmp.Or(l.Program, "smtpd")
		limit := "-"
		if program == "postscreen" {
			limit = "1"
		}
		master += addr + " inet n - n - " + limit + " " + program + "\n"
		for _, option := range l.Options {
			master += "  -o {" + option + "}\n"
		}
	}
	var err error
	if p.ports[ListenMaster], err = p.nextPort(); err != nil {
		return err
	}
	// The last of all: master opens them in this order. See start.
	master += strings.ReplaceAll(strings.Join(o.Master, "\n"), "{addr}", p.ports[ListenMaster]) +
		"\ninjectsmtpd unix n - n - - smtpd\n  -o smtpd_authorized_xclient_hosts=static:all\n"
	fill := strings.NewReplacer("{dir}", p.Dir, "{etc}", etc, "{uid}", nobody, "{gid}", nobody)
	files := map[string]string{
		"main.cf":   mainCF(o.Main),
		"master.cf": master,
	}
	for name, content := range o.Files {
		files[name] = content
	}
	// Postfix waits until a configuration file is two seconds old.
	old := time.Now().Add(-time.Hour)
	for name, content := range files {
		path := filepath.Join(etc, name)
		if err := errors.Join(os.WriteFile(path, []byte(fill.Replace(content)), 0o644), os.Chtimes(path, old, old)); err != nil {
			return err
		}
	}
	return nil
}

// mainCF adds settings to postfixMain, each of which replaces an earlier one of its name. Every daemon logs a warning about
// a name that is there twice. So does postlogd, by its own socket, before it reads from it: where others have filled
// that by then, as on a busy machine, it waits for itself, and all others for it.
func mainCF(settings []string) string {
	var names []string
	lines := map[string]string{}
	name := ""
	for line := range strings.Lines(postfixMain + strings.Join(settings, "\n") + "\n") {
		switch {
		case strings.TrimSpace(line) == "", strings.HasPrefix(strings.TrimSpace(line), "#"):
		case strings.HasPrefix(line, " "), strings.HasPrefix(line, "\t"): // goes on
			lines[name] += line
		default:
			before, _, _ := strings.Cut(line, "=")
			if name = strings.TrimSpace(before); lines[name] == "" {
				names = append(names, name)
			}
			lines[name] = line
		}
	}
	var b strings.Builder
	for _, name := range names {
		b.WriteString(lines[name])
	}
	return b.String()
}

// nobody is the user and group that owns delivered mail.
const nobody = "65534"

// makeDirs makes what postfix-files(5) lists.
func (p *Postfix) makeDirs() error {
	owner, err := user.Lookup("postfix")
	if err != nil {
		return err
	}
	group, err := user.LookupGroup("postdrop")
	if err != nil {
		return err
	}
	for _, d := range []struct {
		path     string
		mode     fs.FileMode
		uid, gid string
	}{
		{"", 0o755, "0", "0"},
		{"etc", 0o755, "0", "0"},
		{"data", 0o700, owner.Uid, "0"},
		{"mail", 0o755, nobody, nobody},
		{"q", 0o755, "0", "0"},
		{"q/pid", 0o755, "0", "0"},
		{"q/maildrop", 0o730, owner.Uid, group.Gid},
		{"q/public", 0o710, owner.Uid, group.Gid},
		{"q/private", 0o700, owner.Uid, "0"},
	} {
		if err := p.makeDir(d.path, d.mode, d.uid, d.gid); err != nil {
			return err
		}
	}
	for _, q := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace"} {
		if err := p.makeDir("q/"+q, 0o700, owner.Uid, "0"); err != nil {
			return err
		}
	}
	return nil
}

func (p *Postfix) makeDir(path string, mode fs.FileMode, uid, gid string) error {
	path = filepath.Join(p.Dir, path)
	u, uerr := strconv.Atoi(uid)
	g, gerr := strconv.Atoi(gid)
	return errors.Join(uerr, gerr, os.MkdirAll(path, mode), os.Chown(path, u, g), os.Chmod(path, mode))
}

// nextPort returns a port that no listener has yet.
func (p *Postfix) nextPort() (string, error) {
	for {
		addr, err := p.free()
		if err != nil || !slices.Contains(slices.Collect(maps.Values(p.ports)), addr) {
			return addr, err
		}
	}
}

// await polls until done: what it waits for happens in another program.
func (p *Postfix) await(what string, done func() bool) error {
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("waited two minutes for %s", what)
		}
	}
	return nil
}

// stop ends all processes of the instance.
func (p *Postfix) stop() {
	if p.master == nil {
		return
	}
	p.master.kill()
	if err := p.await("its processes to end", func() bool { return len(p.Processes("")) == 0 }); err != nil {
		p.t.Errorf("stopping Postfix: %v", err)
	}
	p.master.reap() // last, for until then nobody else can have a group of its id
}

// Addr returns where a listener is: "unix", path or "tcp", "host:port".
func (p *Postfix) Addr(listener string) (network, addr string) {
	if listener == ListenUnix {
		return "unix", filepath.Join(p.Dir, "q/public/injectsmtpd")
	}
	return "tcp", p.ports[listener]
}

// Dialer returns an inject.Dialer for a listener.
func (p *Postfix) Dialer(listener string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		network, addr := p.Addr(listener)
		return d.DialContext(ctx, network, addr)
	}
}

// Log returns what the instance has logged so far. Its daemons leave their lines to postlogd, which
// may be behind: once a line of our own has come through, so have all before it.
func (p *Postfix) Log() string {
	mark := fmt.Sprintf("injecttest: mark %d\n", p.marks.Add(1))
	read := func() string {
		text, err := os.ReadFile(filepath.Join(p.Dir, "log"))
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	if p.master == nil || p.tellPostlogd(mark) != nil {
		return read()
	}
	if err := p.await("its log", func() bool { return strings.Contains(read(), mark) }); err != nil {
		p.t.Errorf("%v", err)
	}
	return regexp.MustCompile(`injecttest: mark \d+\n`).ReplaceAllString(read(), "")
}

func (p *Postfix) tellPostlogd(line string) error {
	conn, err := net.Dial("unixgram", filepath.Join(p.Dir, "q/public/postlog"))
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(strings.TrimSuffix(line, "\n")))
	return errors.Join(err, conn.Close())
}

// Mail waits until the queue is empty and returns the messages delivered since the start, in
// no particular order, as they are in the mailbox: with LF.
func (p *Postfix) Mail() []string {
	p.t.Helper()
	next := time.Now().Add(time.Second)
	if err := p.await("the queue to become empty", func() bool {
		if time.Now().After(next) {
			// Have the queue manager look into the queue, and master start it. One that was ended
			// while it had a message in hand, by a reload, is otherwise not missed for minutes.
			if conn, err := net.Dial("unix", filepath.Join(p.Dir, "q/public/qmgr")); err == nil {
				_, _ = conn.Write([]byte("I")) // QMGR_REQ_SCAN_INCOMING
				_ = conn.Close()
			}
			next = time.Now().Add(time.Second)
		}
		return p.idle()
	}); err != nil {
		p.t.Fatalf("%v\n%s", err, p.Log())
	}
	var mail []string
	files, _ := filepath.Glob(filepath.Join(p.Dir, "mail/user/new/*"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			p.t.Fatalf("%v", err)
		}
		mail = append(mail, string(text))
	}
	return mail
}

// idle reports whether no message is in the queue. What a cleanup that was killed has left there is none.
func (p *Postfix) idle() bool {
	for _, q := range []string{"maildrop", "incoming", "active", "deferred"} {
		busy := false
		_ = filepath.WalkDir(filepath.Join(p.Dir, "q", q), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !p.abandoned(path) {
				busy = true
			}
			return nil
		})
		if busy {
			return false
		}
	}
	return true
}

// abandoned reports whether a queue file is the beginning of a message that no cleanup will complete: Postfix lets its
// owner execute a file once the message is whole, and leaves alone for a day what never became whole (mail_open_ok.c).
func (p *Postfix) abandoned(path string) bool {
	for _, pid := range p.Processes("") {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		open, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false // who knows
		}
		for _, fd := range open {
			if name, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && name == path {
				return false
			}
		}
	}
	info, err := os.Stat(path) // last: it is made executable before it is closed
	return err == nil && info.Mode()&0o100 == 0
}

// Processes returns the process ids of the instance's daemons of that name, such as
// "cleanup", or of all if daemon is "".
func (p *Postfix) Processes(daemon string) []int {
	if p.master == nil || p.master.reaped {
		return nil
	}
	group := strconv.Itoa(p.master.cmd.Process.Pid)
	var pids []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // has ended
		}
		// pid (comm) state ppid pgrp ..., see proc_pid_stat(5)
		pid, rest, _ := strings.Cut(string(text), " (")
		name, rest, _ := strings.Cut(rest, ") ")
		fields := strings.Fields(rest)
		switch {
		case len(fields) < 3, fields[0] == "Z", fields[2] != group:
			continue
		case daemon != "" && name != daemon:
			continue
		}
		if n, err := strconv.Atoi(pid); err == nil {
			pids = append(pids, n)
		}
	}
	slices.Sort(pids)
	return pids
}
