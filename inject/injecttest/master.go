//go:build unix

package injecttest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// start runs master itself. The command postfix would first spend seconds on making
// directories and, where the limit is high, on closing descriptors that nobody opened.
func (p *Postfix) start() error {
	daemons, err := exec.Command("postconf", "-dh", "daemon_directory").Output()
	if err != nil {
		return err
	}
	out, err := os.Create(filepath.Join(p.Dir, "out"))
	if err != nil {
		return err
	}
	defer out.Close()
	program := filepath.Join(strings.TrimSpace(string(daemons)), "master")
	cmd := exec.Command("sh", "-c", `ulimit -n 1024; exec "$0" -c "$1"`, program, filepath.Join(p.Dir, "etc"))
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	m := &master{cmd: cmd}
	// master opens all sockets before it serves any, and ends if it cannot. A socket below Dir is nobody
	// else's; this one is the last, so if it answers, all the ports are this master's too.
	err = p.await("the last of its sockets", func() bool {
		conn, err := p.Dialer(ListenUnix)(context.Background())
		if err != nil {
			return !m.alive()
		}
		return conn.Close() == nil
	})
	if err == nil && !m.alive() {
		err = errors.New("master ended at once")
	}
	if err != nil {
		m.kill()
		m.reap()
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%w: %s", err, said)
	}
	p.master = m
	return nil
}

// master is Postfix's first process. It makes itself the leader of a process group, in which all its
// daemons are.
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

// kill kills the group, those too that a test has suspended.
func (m *master) kill() {
	if m.reaped {
		return
	}
	_ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL)
	_ = m.cmd.Process.Kill() // before it has made its group
}

// reap gives the process id back to the system.
func (m *master) reap() {
	if m.reaped {
		_ = m.cmd.Process.Release()
		return
	}
	m.reaped = true
	_ = m.cmd.Wait() // it says that the process was killed
}
