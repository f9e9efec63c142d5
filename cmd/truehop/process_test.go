package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built is the program as users have it, built once for all tests that need a process of
// its own: one that can be killed.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "truehop-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "truehop")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

// process is one run of the program.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

// command readies a run of the program.
func command(t testing.TB, ctx context.Context, args ...string) *process {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(ctx, path, args...)}
	p.Cmd.Stdout, p.Cmd.Stderr = &p.stdout, &p.stderr
	return p
}

// start begins the program.
func (p *process) start(t testing.TB) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the program's end and returns the exit code, -1 if a signal ended it.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	err := p.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// must runs the program and wants this exit code.
func must(t testing.TB, want int, args ...string) *process {
	t.Helper()
	p := command(t, t.Context(), args...)
	p.start(t)
	if got := p.wait(t); got != want {
		t.Fatalf("truehop %v ended with %d, want %d\n%s%s", args, got, want, &p.stdout, &p.stderr)
	}
	return p
}
