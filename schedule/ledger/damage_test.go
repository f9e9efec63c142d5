package ledger

import (
	"bytes"
	"database/sql"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What is no sound ledger is refused, and left as it is.
func TestRefusedFiles(t *testing.T) {
	path := func(dir string) string { return filepath.Join(dir, fileName) }
	exec := func(t *testing.T, dir, query string) {
		db := must[*sql.DB](t)(connect(path(dir), "rwc", 1, 100))
		defer db.Close()
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string) error
		kind  Kind
		says  string
	}{
		{"emptied", func(_ *testing.T, dir string) error { return os.Truncate(path(dir), 0) }, Corrupt, "is empty"},
		{"empty from the first", func(_ *testing.T, dir string) error {
			return os.WriteFile(path(dir), nil, 0o600)
		}, Corrupt, "is empty"},
		{"gone, the reserve is there", func(_ *testing.T, dir string) error { return os.Remove(path(dir)) }, Corrupt, "is gone"},
		{"gone, the WAL is there", func(_ *testing.T, dir string) error {
			if err := os.Remove(filepath.Join(dir, reserveName)); err != nil {
				return err
			}
			return os.Rename(path(dir), path(dir)+"-wal")
		}, Corrupt, "is gone"},
		{"garbage", func(_ *testing.T, dir string) error {
			return os.WriteFile(path(dir), []byte(strings.Repeat("no ledger", 1000)), 0o600)
		}, Corrupt, "not a database"},
		{"cut short", func(_ *testing.T, dir string) error { return os.Truncate(path(dir), 8192) }, Corrupt, ""},
		{"cut inside the header", func(_ *testing.T, dir string) error { return os.Truncate(path(dir), 50) }, Corrupt, ""},
		{"another program's database", func(t *testing.T, dir string) error {
			if err := os.Remove(path(dir)); err != nil {
				return err
			}
			exec(t, dir, "CREATE TABLE moz_places (id)")
			return nil
		}, Corrupt, "not a ledger"},
		{"written by a newer truehop", func(t *testing.T, dir string) error {
			exec(t, dir, "PRAGMA user_version = "+strconv.Itoa(schemaVersion+1))
			return nil
		}, Version, "format " + strconv.Itoa(schemaVersion+1)},
		{"version 0", func(t *testing.T, dir string) error { exec(t, dir, "PRAGMA user_version = 0"); return nil }, Corrupt, "never was"},
		{"a symbolic link in its place", func(_ *testing.T, dir string) error {
			if err := os.Rename(path(dir), path(dir)+".moved"); err != nil {
				return err
			}
			return os.Symlink(path(dir)+".moved", path(dir))
		}, Permission, "not a regular file"},
		{"a symbolic link in the place of the WAL", func(_ *testing.T, dir string) error {
			return os.Symlink("/dev/null", path(dir)+"-wal")
		}, Permission, "not a regular file"},
		{"directory", func(_ *testing.T, dir string) error {
			if err := os.Remove(path(dir)); err != nil {
				return err
			}
			return os.Mkdir(path(dir), 0o700)
		}, Permission, "not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if !strings.Contains(c.name, "from the first") {
				l := open(t, dir)
				put(t, l, record("1", Delivered))
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.spoil(t, dir); err != nil {
				t.Fatal(err)
			}
			refused(t, dir, c.kind, c.says)
		})
	}
}

// refused wants an error of this kind that says so, and the file left as it was.
func refused(t *testing.T, dir string, kind Kind, says string) {
	t.Helper()
	path := filepath.Join(dir, fileName)
	before, _ := os.ReadFile(path)
	_, err := Open(t.Context(), dir)
	if KindOf(err) != kind || !strings.Contains(err.Error(), says) {
		t.Errorf("Open: %v (%v), want Kind %v and %q", err, KindOf(err), kind, says)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("Open changed the file that it refused")
	}
	// Reading only, damage that no query meets stays unnoticed.
	if _, err := OpenReadOnly(t.Context(), dir); KindOf(err) != kind && !strings.Contains(t.Name(), "cut_short") {
		t.Errorf("OpenReadOnly: %v, want Kind %v", err, kind)
	}
}

// The WAL is cut at any length, as a power cut may leave it. The ledger
// opens, and holds the first so many writes, whole.
func TestTornWAL(t *testing.T) {
	live := t.TempDir()
	l := open(t, live)
	const writes = 8
	for i := range writes {
		put(t, l, record(strconv.Itoa(i), Delivered))
	}
	whole := t.TempDir()
	copyLedger(t, live, whole)
	info, err := os.Stat(filepath.Join(whole, fileName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	most := -1
	for length := info.Size(); length >= 0; length -= 1373 {
		torn := t.TempDir()
		copyLedger(t, whole, torn)
		if err := os.Truncate(filepath.Join(torn, fileName+"-wal"), length); err != nil {
			t.Fatal(err)
		}
		l, err := Open(t.Context(), torn)
		if err != nil {
			t.Fatalf("WAL cut to %d octets: %v", length, err)
		}
		briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
		for i := range len(briefs) {
			if b := briefs[strconv.Itoa(i)]; len(b) != 1 || b[0].State != Delivered || b[0].Hash != key(strconv.Itoa(i)).Hash {
				t.Fatalf("WAL cut to %d octets: of %d records, %d is %+v", length, len(briefs), i, b)
			}
		}
		if length == info.Size() {
			most = len(briefs)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if most != writes {
		t.Errorf("the whole WAL gives %d records, want %d", most, writes)
	}
}

// Whatever octet is damaged, no record changes its meaning unnoticed.
func TestBitFlips(t *testing.T) {
	sound := t.TempDir()
	l := open(t, sound)
	var rs []Record
	for i := range 100 {
		rs = append(rs, record(strconv.Itoa(i), []State{Delivered, Adopted, Sending}[i%3]))
	}
	put(t, l, rs...)
	want := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	octets := must[[]byte](t)(os.ReadFile(filepath.Join(sound, fileName)))
	var flips []int
	for _, content := range [][]byte{rs[17].Hash[:], []byte("tok-17"), []byte("adopted"), []byte("sending"), []byte("INBOX")} {
		// The row comes last in the file or first; the index has the hash as well.
		flips = append(flips, bytes.Index(octets, content), bytes.LastIndex(octets, content))
	}
	if slices.Contains(flips, -1) {
		t.Fatal("the file does not hold what the test wants to damage")
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		flips = append(flips, random.IntN(len(octets)))
	}
	dir := t.TempDir()
	noticed := 0
	for _, at := range flips {
		bit := byte(1) << random.IntN(8)
		octets[at] ^= bit
		if err := os.WriteFile(filepath.Join(dir, fileName), octets, 0o600); err != nil {
			t.Fatal(err)
		}
		octets[at] ^= bit
		got, err := readBriefs(t, dir)
		if err != nil {
			noticed++
			if k := KindOf(err); k == Unclassified || k == NotFound || k == Busy || k == Slow {
				t.Errorf("octet %d ^ %#x: %v (%v)", at, bit, err, k)
			}
			continue
		}
		for uid, w := range want {
			if g := got[uid]; len(g) != 1 || g[0].State != w[0].State || g[0].Hash != w[0].Hash || g[0].Token != w[0].Token {
				t.Errorf("octet %d ^ %#x: %+v instead of %+v, without an error", at, bit, g, w)
			}
		}
		if len(got) != len(want) {
			t.Errorf("octet %d ^ %#x: %d UIDs instead of %d, without an error", at, bit, len(got), len(want))
		}
	}
	if noticed < 12 {
		t.Errorf("only %d of %d flips were noticed", noticed, len(flips))
	}
}

// Another state of the same length is as sound a row to SQLite: only the record's own checksum tells.
func TestChangedStateIsNoticed(t *testing.T) {
	for _, c := range []struct{ was, is State }{{Sending, Adopted}, {Adopted, Sending}, {Sending, Refused}, {Adopted, Refused}, {Refused, Adopted}} {
		t.Run(string(c.was)+" becomes "+string(c.is), func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			damaged := record("1", c.was)
			put(t, l, damaged)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			octets := readFile(t, dir, fileName)
			was, is := append(damaged.Hash[:], c.was...), append(damaged.Hash[:], c.is...) // as the row has them
			if n := bytes.Count(octets, was); n != 1 || len(c.was) != len(c.is) {
				t.Fatalf("%s is %d times in the file: this proves nothing", c.was, n)
			}
			writeFile(t, dir, fileName, bytes.Replace(octets, was, is, 1))
			l, err := Open(t.Context(), dir)
			if c.was.Final() != c.is.Final() && KindOf(err) == Corrupt {
				return // the index of what is unfinished tells, too
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if rs, err := l.List(t.Context(), Filter{}); KindOf(err) != Corrupt {
				t.Errorf("List: %+v, %v, want Kind corrupt", rs, err)
			}
			if briefs, err := l.Briefs(t.Context(), "work", "INBOX", 7); KindOf(err) != Corrupt {
				t.Errorf("Briefs: %+v, %v, want Kind corrupt", briefs, err)
			}
		})
	}
}

func readBriefs(t *testing.T, dir string) (map[string][]Brief, error) {
	l, err := Open(t.Context(), dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.Briefs(t.Context(), "work", "INBOX", 7)
}

// A large file is checked as a whole after a crash.
func TestCheckAfterCrash(t *testing.T) {
	live := t.TempDir()
	l := open(t, live)
	var rs []Record
	for i := range 2500 {
		r := record(strconv.Itoa(i), Delivered)
		long := strings.Repeat("x", maxText)
		r.Sender, r.Recipients, r.Reply, r.Why = long, long, long, long
		rs = append(rs, r)
	}
	put(t, l, rs...)
	put(t, l, record("last", Delivered)) // overwrites the WAL, which hid the damage
	crashed := t.TempDir()
	copyLedger(t, live, crashed)
	path := filepath.Join(crashed, fileName)
	f := must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0))
	defer f.Close()
	if info := must[os.FileInfo](t)(f.Stat()); info.Size() <= smallFile {
		t.Fatalf("the file has %d octets, too few to prove anything", info.Size())
	}
	if _, err := f.WriteAt([]byte("damage in the header of a page"), 500*4096); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), crashed); KindOf(err) != Corrupt {
		t.Errorf("damage in a large file after a crash: %v, want Kind corrupt", err)
	}
}
