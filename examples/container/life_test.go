//go:build linux

package container

import (
	"bytes"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/examples/mailtest"
)

// live goes through a container's life: check, a pass, the service ended by SIGTERM, and a new container with the same state.
func (e engine) live(t *testing.T, i image, w *mailtest.Mail, probe []string) {
	t.Helper()
	if out, err := e.run(t, i, "/usr/bin/truehop", "check"); err != nil {
		t.Fatalf("check: %v\n%s", err, out)
	}
	if out, err := e.run(t, i, probe...); err == nil || !strings.HasPrefix(out, "CRITICAL: work: no good pass yet") {
		t.Errorf("%q before the first pass: %v\n%s", probe, err, out)
	}
	w.Arrive(2)
	if out, err := e.run(t, i, "/usr/bin/truehop", "run"); err != nil {
		t.Fatalf("run: %v\n%s", err, out)
	}
	service := e.command(t, i, slices.Concat(i.entrypoint, i.cmd)...)
	var log bytes.Buffer
	service.Stdout, service.Stderr = &log, &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	w.Await()
	// The MTA has the message a moment before its verdict is recorded.
	for until := time.Now().Add(time.Minute); ; {
		out, err := e.run(t, i, probe...)
		if err == nil && strings.HasPrefix(out, "OK: accounts 1, deferred 0, for a person 0") {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%q beside the service: %v\n%s", probe, err, out)
		}
	}
	if e.probe != "" {
		e.healthy(t)
	}
	if err := errors.Join(service.Process.Signal(syscall.SIGTERM), service.Wait()); err != nil {
		t.Errorf("the service ended with %v\n%s", err, &log)
	}
	w.Delivered()
	w.Arrive(1)
	if out, err := e.run(t, i, "/usr/bin/truehop", "run"); err != nil {
		t.Errorf("run: %v\n%s", err, out)
	}
	w.Delivered()
	e.env["TRUEHOP_STATE_DIR"] = "/elsewhere"
	var exit *exec.ExitError
	if out, err := e.run(t, i, "/usr/bin/truehop", "run"); !errors.As(err, &exit) || exit.ExitCode() != 73 || !strings.Contains(out, "read-only") {
		t.Errorf("the root can be written: %v\n%s", err, out)
	}
}
