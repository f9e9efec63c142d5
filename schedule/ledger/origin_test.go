package ledger

import (
	"os"
	"path/filepath"
	"testing"
)

// wantTrust wants the ledger to be believed so far about a folder.
func wantTrust(t *testing.T, l *Ledger, folder string, want Trust) {
	t.Helper()
	if got := must[Trust](t)(l.Trust(t.Context(), "work", folder)); got != want {
		t.Errorf("folder %q: trust %d, want %d", folder, got, want)
	}
}

func caughtUp(t *testing.T, l *Ledger, folder string) {
	t.Helper()
	if err := l.CaughtUp(t.Context(), "work", folder); err != nil {
		t.Fatal(err)
	}
}

func closed(t *testing.T, l *Ledger) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredLedgerIsNoticed restores a backup in the ways in which people do. Each folder is in question until a pass
// has seen all of it.
func TestRestoredLedgerIsNoticed(t *testing.T) {
	for name, restore := range map[string]func(dir, backup string) error{
		"under the name that the ledger had": func(dir, backup string) error {
			octets, err := os.ReadFile(filepath.Join(backup, fileName))
			if err != nil {
				return err
			}
			if err := os.Remove(filepath.Join(dir, fileName)); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, fileName), octets, 0o600)
		},
		"renamed over it, as rsync does": func(dir, backup string) error {
			return os.Rename(filepath.Join(backup, fileName), filepath.Join(dir, fileName))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, backup := t.TempDir(), t.TempDir()
			l := open(t, dir)
			wantTrust(t, l, "INBOX", Unseen)
			caughtUp(t, l, "INBOX")
			closed(t, l)
			l = open(t, dir) // its own file is no restore
			wantTrust(t, l, "INBOX", Complete)
			wantTrust(t, l, "Archive", Unseen)
			closed(t, l)

			copyLedger(t, dir, backup)
			if err := restore(dir, backup); err != nil {
				t.Fatal(err)
			}
			l = open(t, dir)
			wantTrust(t, l, "INBOX", Outdated)
			wantTrust(t, l, "Archive", Outdated)
			caughtUp(t, l, "INBOX")
			closed(t, l)
			l = open(t, dir)
			wantTrust(t, l, "INBOX", Complete)
			wantTrust(t, l, "Archive", Outdated)
		})
	}
}

func TestSameFile(t *testing.T) {
	for _, c := range []struct {
		name    string
		was, is identity
		same    bool
	}{
		{name: "the same", was: identity{7, 100}, is: identity{7, 100}, same: true},
		{name: "another inode", was: identity{7, 100}, is: identity{8, 100}},
		{name: "an inode that was given again", was: identity{7, 100}, is: identity{7, 200}},
		{name: "a birth that is not told", was: identity{7, 100}, is: identity{7, 0}, same: true},
	} {
		if c.was.sameFile(c.is) != c.same || c.is.sameFile(c.was) != c.same {
			t.Errorf("%s: want %v, whichever is asked", c.name, c.same)
		}
	}
}

// TestFolderOfAnOlderLedgerWasSeen: an upgrade makes no mail look delivered before.
func TestFolderOfAnOlderLedgerWasSeen(t *testing.T) {
	l := open(t, version1(t, record("1", Delivered)))
	wantTrust(t, l, "INBOX", Complete)
	wantTrust(t, l, "Archive", Unseen)
}
