package examples

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBenchmark runs the script with programs of which the outcome is known.
func TestBenchmark(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
			t.Fatal(err)
		}
		t.Skip("python3 is not installed")
	}
	dir := t.TempDir()
	truehop := filepath.Join(dir, "truehop") // writes a report as run does
	program := "#!/bin/sh\nwhile [ \"$1\" != --report ]; do shift; done\necho '{\"accounts\":[{\"delivered\":30},{\"delivered\":12}]}' > \"$2\"\n"
	if err := os.WriteFile(truehop, []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	bench := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), python, append([]string{"benchmark/benchmark"}, args...)...).CombinedOutput()
		return string(out), err
	}
	filled := filepath.Join(dir, "filled")
	out, err := bench("--runs", "2", "--json", "--before", "echo >> "+filled, "--", truehop, "run", "--quiet")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range lines {
		var r struct {
			Seconds, CPU, MB float64
			Exit, Delivered  int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Delivered != 42 || r.Exit != 0 || r.Seconds <= 0 || r.MB <= 0 {
			t.Errorf("%v: %s", err, line)
		}
	}
	if octets, err := os.ReadFile(filled); err != nil || len(octets) != 2 {
		t.Errorf("before each run: %q, %v", octets, err)
	}
	if out, err := bench("--runs", "3", "--", truehop, "run"); err != nil || strings.Count(out, "42 messages") != 4 || !strings.Contains(out, "median") {
		t.Errorf("for a person: %v: %s", err, out)
	}
	if out, err := bench("--runs", "1", "--", "sh", "-c", "exit 3"); err != nil || !strings.Contains(out, "exit code 3") || strings.Contains(out, "messages") {
		t.Errorf("another program: %v: %s", err, out)
	}
	if out, err := bench("--", filepath.Join(dir, "none")); err == nil || !strings.Contains(out, "No such file") {
		t.Errorf("no program: %v: %s", err, out)
	}
}
