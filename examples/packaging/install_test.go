//go:build linux

package packaging

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/truehop/truehop/examples/mailtest"
)

// machine is this system as seen from a mount namespace of its own: what is written there is gone with it.
type machine struct {
	t    *testing.T
	root string
	pid  string
}

// machineMounts lays a file system in memory over this one, in which man-db does not index all manuals each time. The script holds the namespace until its input ends.
const machineMounts = `set -e
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" none "$0/root"
mount --rbind /dev "$0/root/dev"
mount --rbind /proc "$0/root/proc"
mount -t tmpfs -o mode=755 none "$0/root/run"
mount -t tmpfs -o mode=1777 none "$0/root/tmp"
rm -f "$0/root/var/lib/man-db/auto-update"
echo ready
exec cat >/dev/null
`

// newMachine makes one, or ends the test where that is not possible.
func newMachine(t *testing.T) *machine {
	t.Helper()
	for _, name := range []string{"unshare", "nsenter", "chroot"} {
		need(t, name)
	}
	if os.Geteuid() != 0 {
		missing(t, "installing needs root")
	}
	dir := t.TempDir()
	cmd := exec.Command("unshare", "--mount", "sh", "-c", machineMounts, dir)
	stdin, errIn := cmd.StdinPipe()
	stdout, errOut := cmd.StdoutPipe()
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(stdin.Close(), cmd.Wait()) })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		_ = errors.Join(stdin.Close(), cmd.Wait())
		missing(t, "this system allows no overlay in a mount namespace: "+said.String())
	}
	return &machine{t: t, root: filepath.Join(dir, "root"), pid: strconv.Itoa(cmd.Process.Pid)}
}

// command readies a program in the machine.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.t.Context(), "nsenter", append([]string{"--target", m.pid, "--mount", "chroot"}, args...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// sh runs a script in the machine and returns what it said.
func (m *machine) sh(script string, args ...string) string {
	m.t.Helper()
	out, err := m.command(append([]string{m.root, "sh", "-c", "set -e; cd /; " + script}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s %q: %v\n%s", script, args, err, out)
	}
	return string(out)
}

// put copies a file of this system into the machine's /tmp.
func (m *machine) put(path string) string {
	m.t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	to := "/tmp/" + filepath.Base(path)
	m.write(to, string(data))
	return to
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	cmd := m.command(m.root, "sh", "-c", `mkdir -p "$(dirname "$0")" && cat >"$0"`, path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v\n%s", path, err, out)
	}
}

// exists holds that these files are there, or, with a ! before their names, are not.
func (m *machine) exists(paths ...string) {
	m.t.Helper()
	for _, path := range paths {
		name, absent := strings.CutPrefix(path, "!")
		if m.command(m.root, "ls", "-d", name).Run() == nil == absent {
			m.t.Errorf("%s: there is such a file: %v", path, absent)
		}
	}
}

// truehop is the installed program, run by its user.
func (m *machine) truehop(args ...string) *exec.Cmd {
	return m.command(append([]string{"--userspec=truehop:truehop", m.root, "/usr/bin/truehop"}, args...)...)
}

// pass runs the installed program over the mailbox, into which n messages have come.
func (m *machine) pass(w *mailtest.Mail, n int) {
	m.t.Helper()
	w.Arrive(n)
	if out, err := m.truehop("run").CombinedOutput(); err != nil {
		m.t.Errorf("run: %v\n%s", err, out)
	}
	w.Delivered()
}

// configure writes what a person writes after the installation.
func (m *machine) configure(w *mailtest.Mail) {
	m.write("/etc/truehop/truehop.yaml", fmt.Sprintf(`inject:
  address: %s
accounts:
  work: {host: %s, port: %s, tls: none, allow_plaintext: true, user: %s, password_file: /etc/truehop/work.password,
    mx: [%s], recipients: [me@example.org], on_delivered: keep}
`, w.MTA(), w.Host, w.Port, mailtest.User, mailtest.MX))
	m.write("/etc/truehop/work.password", mailtest.Password+"\n")
	m.sh("chmod 600 /etc/truehop/work.password; chown truehop /etc/truehop/work.password")
}

// installed are files of the package in either format.
func installed() []string {
	return []string{"/usr/bin/truehop", "/usr/lib/systemd/system/truehop.service", "/usr/lib/systemd/system/truehop@.timer",
		"/usr/share/man/man1/truehop-run.1.gz", "/usr/share/man/man5/truehop.yaml.5.gz", "/usr/share/bash-completion/completions/truehop",
		"/usr/share/doc/truehop/examples/full.yaml", "/usr/share/doc/truehop/examples/postfix/master.cf.unix", "/usr/share/doc/truehop/copyright"}
}

// gone are the same files with the mark that they are not there.
func gone() []string {
	files := installed()
	for i := range files {
		files[i] = "!" + files[i]
	}
	return files
}

// TestDebianPackage: installed, upgraded while the service runs, removed, installed again and purged, it never delivers a
// message twice, and leaves what it says that it leaves.
func TestDebianPackage(t *testing.T) {
	need(t, "dpkg")
	need(t, "systemd-sysusers")
	old, upgrade := built(t, first).file(t, "*.deb"), built(t, next).file(t, "*.deb")
	m, w := newMachine(t), mailtest.Start(t, "tcp", "127.0.0.1:0")
	old, upgrade = m.put(old), m.put(upgrade)

	m.sh(`dpkg -i "$0"`, old)
	m.exists(installed()...)
	if got := m.sh("stat -c '%a %U %n' /etc/truehop /etc/truehop/cred /var/lib/truehop"); got !=
		"755 root /etc/truehop\n700 root /etc/truehop/cred\n700 truehop /var/lib/truehop\n" {
		t.Errorf("directories:\n%s", got)
	}
	if got := m.sh("id -nG truehop"); !slices.Contains(strings.Fields(got), "postdrop") {
		t.Errorf("the user's groups are %s", got)
	}
	if got := m.sh("systemd-analyze verify --man=no truehop.service truehop@work.service truehop@work.timer"); got != "" {
		t.Errorf("units: %s", got)
	}
	if got := m.sh("man -w truehop truehop-run truehop.yaml"); strings.Count(got, "\n") != 3 {
		t.Errorf("manual pages: %s", got)
	}
	m.configure(w)
	m.pass(w, 3)

	m.upgradeBeside(w, func() { m.sh(`dpkg -i "$0"`, upgrade) })
	if got := m.sh(`dpkg-query -W -f '${Version} ${Status}' truehop`); got != "1.1.0-1 install ok installed" {
		t.Errorf("after the upgrade: %s", got)
	}
	m.pass(w, 1)

	m.sh("dpkg -r truehop")
	m.exists(append(gone(), "/etc/truehop/truehop.yaml", "/etc/truehop/work.password", "/var/lib/truehop/ledger.db")...)
	m.sh(`dpkg -i "$0"`, upgrade)
	m.pass(w, 1)

	m.sh("mkdir -p /var/lib/truehop/tokens; echo secret >/var/lib/truehop/tokens/work")
	if said := m.sh("dpkg -P truehop 2>&1"); !strings.Contains(said, "the record of delivered mail is kept, /var/lib/truehop") {
		t.Errorf("purging said\n%s", said)
	}
	m.exists(append(gone(), "!/etc/truehop", "!/var/lib/truehop/tokens", "!/var/lib/truehop/spool", "/var/lib/truehop/ledger.db")...)
	m.sh(`dpkg -i "$0"`, upgrade)
	m.configure(w)
	m.pass(w, 1)

	m.sh("dpkg -r truehop; rm -r /var/lib/truehop; mkdir /var/lib/truehop; dpkg -P truehop")
	m.exists("!/etc/truehop", "!/var/lib/truehop")
}

// upgradeBeside upgrades while the service runs: it goes on undisturbed until it is told to end, and then ends cleanly.
func (m *machine) upgradeBeside(w *mailtest.Mail, upgrade func()) {
	m.t.Helper()
	service := m.truehop("serve")
	var log bytes.Buffer
	service.Stdout, service.Stderr = &log, &log
	if err := service.Start(); err != nil {
		m.t.Fatal(err)
	}
	w.Await()
	upgrade()
	w.Await()
	if err := errors.Join(service.Process.Signal(syscall.SIGTERM), service.Wait()); err != nil {
		m.t.Errorf("the service ended with %v\n%s", err, &log)
	}
	w.Delivered()
}

// manager stands for systemd in a machine: it writes down what it is told.
func (m *machine) manager() {
	m.sh("mkdir -p /run/systemd/system")
	m.sh("rm -f /usr/bin/systemctl /usr/sbin/policy-rc.d")
	m.write("/usr/bin/systemctl", "#!/bin/sh\necho \"$*\" >>/tmp/told\n")
	m.sh("chmod 755 /usr/bin/systemctl")
}

// told returns what the manager was told since.
func (m *machine) told() string { return m.sh("cat /tmp/told 2>/dev/null || true; rm -f /tmp/told") }

// TestPackagesTellSystemd: a first installation starts nothing, an upgrade restarts what runs, and a removal stops it.
func TestPackagesTellSystemd(t *testing.T) {
	for _, format := range []struct {
		tool, pattern, install, upgrade, remove, stop string
	}{
		{"dpkg", "*.deb", "dpkg -i", "dpkg -i", "dpkg -r truehop", "stop truehop.service truehop@*.timer"},
		{"rpm", "*.rpm", "rpm -i --nodeps --nosignature", "rpm -U --nodeps --nosignature", "rpm -e truehop", "stop truehop@*.timer"},
	} {
		t.Run(format.tool, func(t *testing.T) {
			need(t, format.tool)
			old, upgrade := built(t, first).file(t, format.pattern), built(t, next).file(t, format.pattern)
			m := newMachine(t)
			m.manager()
			m.sh(format.install+` "$0"`, m.put(old))
			m.exists(installed()...)
			if told := m.told(); strings.Contains(told, "start") || !strings.Contains(told, "daemon-reload") {
				t.Errorf("the installation told systemd\n%s", told)
			}
			m.sh(format.upgrade+` "$0"`, m.put(upgrade))
			if told := m.told(); !strings.Contains(told, "try-restart truehop.service") || strings.Contains(told, "stop") {
				t.Errorf("the upgrade told systemd\n%s", told)
			}
			m.exists(installed()...)
			m.sh("echo x >/etc/truehop/truehop.yaml; echo x >/var/lib/truehop/ledger.db")
			m.sh(format.remove)
			if told := m.told(); !strings.Contains(told, format.stop) || strings.Contains(told, "restart") {
				t.Errorf("the removal told systemd\n%s", told)
			}
			m.exists(append(gone(), "/etc/truehop/truehop.yaml", "/var/lib/truehop/ledger.db")...)
		})
	}
}
