package demo

import (
	"os"
	"path/filepath"
	"testing"
)

// TestVerifyMissesMail: the demo's check fails where nothing has arrived.
func TestVerifyMissesMail(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	w, err := Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := w.Verify(); err == nil || n != 0 {
		t.Errorf("without a pass %d messages arrived, and the check says %v", n, err)
	}
	for _, path := range []string{w.Config, w.Sample} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(w.Config)); !os.IsNotExist(err) {
		t.Errorf("the demo's directory is left behind: %v", err)
	}
}

// TestDescribe: each message has a description of its own, by its number in its mailbox.
func TestDescribe(t *testing.T) {
	w, seen := &World{}, map[string]bool{}
	for _, a := range accounts() {
		for n := uint32(1); w.Describe(a.name, n) != "?"; n++ {
			seen[w.Describe(a.name, n)] = true
		}
	}
	if len(seen) != w.Messages() {
		t.Errorf("%d descriptions for %d messages", len(seen), w.Messages())
	}
	if got := w.Describe("nobody", 1); got != "?" {
		t.Errorf("a message of nobody's is described as %q", got)
	}
}
