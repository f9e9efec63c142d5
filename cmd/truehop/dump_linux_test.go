package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestDumpHoldsNoSecret: whoever looks at the program while it is logged in, by its arguments, its environment, the dump that it
// writes at SIGQUIT, its log at debug level or its state, does not find the password. It leaves no core file, though all was set for one.
func TestDumpHoldsNoSecret(t *testing.T) {
	const canary = "canary-4711-of-the-password"
	store := fakeserver.NewStore()
	store.Add("INBOX", scriptMail(1))
	loggedIn, over := make(chan struct{}), make(chan struct{})
	var once sync.Once
	ca := fakeserver.NewCA()
	upstream := &fakeserver.POP3{
		Store: store, User: "u", Password: canary, Implicit: true, TLS: &tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}},
		Reply: func(verb, _ string) (string, bool) {
			if verb == "UIDL" {
				once.Do(func() { close(loggedIn) })
				<-over
			}
			return "", false
		},
	}
	host, port, err := net.SplitHostPort(fetchtest.Listen(t, upstream.Serve).Addr())
	if err != nil {
		t.Fatal(err)
	}
	var end sync.Once
	release := func() { end.Do(func() { close(over) }) }
	t.Cleanup(release)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	text := fmt.Sprintf("state_dir: %s\nlog: {level: debug}\ninject: {address: \"127.0.0.1:1\"}\naccounts:\n  work:\n    protocol: pop3\n    host: %s\n    port: %s\n    tls_ca_file: %s\n    user: u\n    password: %s\n    recipients: [alice@example.net]\n    mx: [mx.example.net]\n",
		state, host, port, filepath.Join(dir, "ca.pem"), canary)
	for path, data := range map[string][]byte{filepath.Join(dir, "truehop.yaml"): []byte(text), filepath.Join(dir, "ca.pem"): ca.PEM()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx := limited(t, 5*time.Minute) // for a login that never came
	p := command(t, ctx, "run", "--config", filepath.Join(dir, "truehop.yaml"))
	p.Dir, p.Env = dir, append(os.Environ(), "GOTRACEBACK=crash")
	allowCores(t)
	p.start(t)
	select {
	case <-loggedIn:
	case <-ctx.Done():
		t.Fatal("nobody logged in")
	}
	found := map[string]string{}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.Process.Pid))
	if err != nil || !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%v, it may write a core file:\n%s", err, limits)
	}
	for _, name := range []string{"cmdline", "environ"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.Process.Pid, name))
		if err != nil || len(data) == 0 {
			t.Errorf("%s: %d octets, %v", name, len(data), err)
		}
		found[name] = string(data)
	}
	if err := p.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	p.wait(t)
	release()
	if status, ok := p.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.CoreDump() {
		t.Errorf("it ended with %v, want a signal and no core file", p.ProcessState)
	}
	found["what it says"] = p.stderr.String() + p.stdout.String()
	if said := found["what it says"]; !strings.Contains(said, "goroutine ") || !strings.Contains(said, "level=DEBUG") {
		t.Errorf("it has no dump, or no log at debug level: this proves nothing\n%s", said)
	}
	err = filepath.WalkDir(state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		found[path] = string(data)
		return err
	})
	if err != nil || len(found) < 4 {
		t.Errorf("looked at %d places: %v", len(found), err)
	}
	for where, data := range found {
		for _, secret := range []string{canary, base64.StdEncoding.EncodeToString([]byte("\x00u\x00" + canary)), base64.StdEncoding.EncodeToString([]byte(canary))} {
			if strings.Contains(data, secret) {
				t.Errorf("%s holds the password", where)
			}
		}
	}
}

// allowCores lets the processes that this one starts write core files, until the test ends.
func allowCores(t *testing.T) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &before); err != nil {
			t.Error(err)
		}
	})
	for _, allowed := range []unix.Rlimit{{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, {Cur: before.Max, Max: before.Max}} {
		if unix.Setrlimit(unix.RLIMIT_CORE, &allowed) == nil {
			return
		}
	}
}
