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
	"time"
)

// programPath is set in the environment of a test that runs in a process of its own to the path of the program that the first has built.
const programPath = "TEST_TRUEHOP"

// built is the program as users have it, and as a release is built, once for all tests that need a process of its own: one that can be killed.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(programPath); path != "" {
		return path, nil
	}
	dir, err := builtIn()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "truehop")
	build := exec.Command("go", "build", "-trimpath", "-tags=timetzdata", "-ldflags=-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, nil
})

// builtIn is the directory that it is built in, removed at the end of all tests.
var builtIn = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "truehop-test-") })

// tests are all tests of the package.
type tests struct{ *testing.M }

// Run runs them, and removes what was built.
func (t tests) Run() int {
	code := t.M.Run()
	if dir, err := builtIn(); err == nil {
		_ = os.RemoveAll(dir)
	}
	return code
}

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

// limited is the context of a run of the program that may take so long from now on, when the program has been built.
func limited(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	if _, err := built(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
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
