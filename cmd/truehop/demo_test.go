package main

import (
	"bufio"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestDemo runs the demo as the README tells to, and it says what stands there; it verifies itself what arrived.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	p := command(t, t.Context(), "demo")
	p.Env = append(os.Environ(), "TMPDIR="+dir)
	p.start(t)
	if code := p.wait(t); code != exitOK {
		t.Fatalf("the demo ended with %d\n%s%s", code, &p.stdout, &p.stderr)
	}
	if want := demoInReadme(t); p.stdout.String() != want {
		t.Errorf("the README shows\n%s\nthe demo says\n%s", want, &p.stdout)
	}
	if p.stderr.Len() > 0 {
		t.Errorf("standard error: %s", &p.stderr)
	}
	nothingLeft(t, dir)
}

// demoInReadme is what the README shows of the demo.
func demoInReadme(t *testing.T) string {
	t.Helper()
	shown := blocks(readText(t, readmes[0]), "text")
	if len(shown) != 1 {
		t.Fatalf("%d blocks of text in the README, want 1", len(shown))
	}
	for line := range strings.Lines(shown[0]) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	return shown[0]
}

// TestDemoServe leaves the demo's servers running, does word for word what it says to try, and ends it.
func TestDemoServe(t *testing.T) {
	dir := t.TempDir()
	p := command(t, t.Context(), "demo", "--serve")
	p.Env, p.Stdout = append(os.Environ(), "TMPDIR="+dir), nil
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	lines := bufio.NewScanner(out)
	for _, try := range []struct {
		command string
		code    int
		want    string
	}{
		{"check", exitOK, "run has all that it needs"},
		{"explain", exitOK, "client 203.0.113.25"},
		{"run", exitPerson, ""},
		{"status", exitPerson, "550 5.7.1 Client host rejected"},
	} {
		args := suggested(t, lines)
		if args[0] != try.command {
			t.Fatalf("the demo suggests %q, want %s", args, try.command)
		}
		ran := must(t, try.code, args...)
		if !strings.Contains(ran.stdout.String(), try.want) {
			t.Errorf("%q does not say %q:\n%s", args, try.want, &ran.stdout)
		}
	}
	if made, err := os.ReadDir(dir); err != nil || len(made) == 0 {
		t.Errorf("the demo made nothing in $TMPDIR: %v", err)
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != exitOK {
		t.Errorf("it ended with %d:\n%s", code, &p.stderr)
	}
	nothingLeft(t, dir)
}

// suggested reads on to the next command line that the demo suggests, and returns its arguments.
func suggested(t *testing.T, lines *bufio.Scanner) []string {
	t.Helper()
	for lines.Scan() {
		if command, ok := strings.CutPrefix(lines.Text(), "#   truehop "); ok {
			return strings.Fields(command)
		}
	}
	t.Fatalf("the demo suggests nothing more: %v", lines.Err())
	return nil
}

// nothingLeft wants a directory to be empty.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		t.Errorf("%s is left behind", f.Name())
	}
}
