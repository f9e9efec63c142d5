package oauth

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestTokenIsDurable: the room for a token is on disk before one is asked for, the token before it has the file's name, and the name
// before anybody uses it. Where the disk fails at one of them, that is an error, and until the name changes the old token is there.
func TestTokenIsDurable(t *testing.T) {
	const room, content, name = 0, 1, 2
	for _, c := range []struct {
		what   string
		fails  int // at which fsync; -1 is none
		stored string
	}{
		{"the disk is well", -1, "new"},
		{"no room", room, "old"},
		{"the content", content, "old"},
		{"the name", name, "new"},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "token")
			s := newStore(path)
			write := func(access string) error {
				d, err := s.begin()
				if err != nil {
					return err
				}
				return d.commit(token{Access: access})
			}
			if err := write("old"); err != nil {
				t.Fatal(err)
			}
			var synced []string
			s.fsync = func(f *os.File) error {
				info, err := f.Stat()
				if err != nil {
					t.Fatal(err)
				}
				stored, err := s.read()
				if err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("%d octets", info.Size())
				if info.IsDir() {
					what = "the directory"
				} else if text, _ := os.ReadFile(f.Name()); strings.Contains(string(text), `"new"`) {
					what = "the new token"
				}
				synced = append(synced, what+", stored is "+stored.Access)
				if len(synced)-1 == c.fails {
					return syscall.EIO
				}
				return nil
			}
			err := write("new")
			if failed := err != nil; failed != (c.fails >= 0) {
				t.Errorf("it ended with %v", err)
			}
			want := []string{"65536 octets, stored is old", "the new token, stored is old", "the directory, stored is new"}
			if c.fails >= 0 {
				want = want[:c.fails+1]
			}
			if !slices.Equal(synced, want) {
				t.Errorf("on disk were made, one after the other: %q, want %q", synced, want)
			}
			if stored, err := s.read(); err != nil || stored.Access != c.stored {
				t.Errorf("stored is %q: %v", stored.Access, err)
			}
			if left, err := filepath.Glob(filepath.Join(dir, ".*.new")); err != nil || len(left) > 0 {
				t.Errorf("left behind are %q: %v", left, err)
			}
		})
	}
}

// TestTokenThatIsTooLarge: what could not be read again does not replace what can.
func TestTokenThatIsTooLarge(t *testing.T) {
	s := newStore(filepath.Join(t.TempDir(), "token"))
	for _, c := range []struct {
		access string
		fails  bool
	}{{"old", false}, {strings.Repeat("x", maxFile), true}} {
		d, err := s.begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.commit(token{Access: c.access}); (err != nil) != c.fails {
			t.Errorf("%d octets: %v", len(c.access), err)
		}
	}
	if stored, err := s.read(); err != nil || stored.Access != "old" {
		t.Errorf("stored is %.10q: %v", stored.Access, err)
	}
}
