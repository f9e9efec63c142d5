package ledger

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// At a power cut the disk holds any of the pages written since the last fsync and not the others.
// Whichever they are, no verdict that Put returned for is lost and none is invented.
func TestPowerCut(t *testing.T) {
	live, before := t.TempDir(), t.TempDir()
	l := open(t, live)
	const writes = 12
	for i := range writes - 1 {
		put(t, l, record(strconv.Itoa(i), Delivered))
	}
	copyLedger(t, live, before)
	// The last transaction turns one verdict of them into another.
	put(t, l, record("0", Refused), record("last", Sending))
	t.Run("commit", func(t *testing.T) { cutCommit(t, before, live, writes) })

	copyLedger(t, live, before)
	if _, err := l.writer.tx.conn.ExecContext(t.Context(), "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		t.Fatal(err)
	}
	t.Run("checkpoint", func(t *testing.T) { cutCheckpoint(t, before, live, writes) })
}

// cutCommit drops parts of the frames of the last transaction.
func cutCommit(t *testing.T, before, after string, writes int) {
	random := rand.New(rand.NewPCG(8, 1))
	old, whole := walOf(t, before), walOf(t, after)
	from := 0
	for from < len(old) && from < len(whole) && old[from] == whole[from] {
		from++
	}
	if from == len(whole) {
		t.Fatal("the last transaction wrote nothing: this proves nothing")
	}
	ended := map[bool]int{}
	for round := range 60 {
		wal := bytes.Clone(whole)
		for at := from &^ 511; at < len(wal) && round > 0; at += 512 {
			if random.IntN(8) == 0 {
				sector := wal[at:min(at+512, len(wal))]
				clear(sector)
				if at < len(old) {
					copy(sector, old[at:])
				}
			}
		}
		ended[recovered(t, before, wal, nil, writes)]++
	}
	if ended[true] == 0 || ended[false] == 0 {
		t.Errorf("the last transaction was there and not there %v times, want some of both", ended)
	}
}

// cutCheckpoint writes some of the pages of a checkpoint into the database, whose WAL is still whole.
func cutCheckpoint(t *testing.T, before, after string, writes int) {
	random := rand.New(rand.NewPCG(8, 2))
	wal, old, whole := walOf(t, before), readFile(t, before, fileName), readFile(t, after, fileName)
	if bytes.Equal(old, whole) {
		t.Fatal("the checkpoint wrote nothing: this proves nothing")
	}
	for range 30 {
		db := bytes.Clone(whole)
		for at := 0; at < len(db); at += 512 {
			if random.IntN(2) == 0 {
				sector := db[at:min(at+512, len(db))]
				clear(sector)
				if at < len(old) {
					copy(sector, old[at:])
				}
			}
		}
		if !recovered(t, before, wal, db, writes) {
			t.Error("a cut checkpoint undid the last transaction")
		}
	}
}

// recovered opens what the disk holds after the cut and says whether the last transaction is there.
func recovered(t *testing.T, from string, wal, db []byte, writes int) bool {
	t.Helper()
	dir := t.TempDir()
	copyLedger(t, from, dir)
	writeFile(t, dir, fileName+"-wal", wal)
	if db != nil {
		writeFile(t, dir, fileName, db)
	}
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatalf("opening after the cut: %v", err)
	}
	defer l.Close()
	briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	_, last := briefs["last"]
	for i := range writes - 1 {
		want := Delivered
		if last && i == 0 {
			want = Refused
		}
		if b := briefs[strconv.Itoa(i)]; len(b) != 1 || b[0].State != want {
			t.Errorf("message %d is %+v, want %s", i, b, want)
		}
	}
	return last
}

func walOf(t *testing.T, dir string) []byte { return readFile(t, dir, fileName+"-wal") }

func readFile(t *testing.T, dir, name string) []byte {
	t.Helper()
	return must[[]byte](t)(os.ReadFile(filepath.Join(dir, name)))
}

func writeFile(t *testing.T, dir, name string, octets []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), octets, 0o600); err != nil {
		t.Fatal(err)
	}
}
