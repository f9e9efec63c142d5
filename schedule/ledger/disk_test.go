//go:build linux

package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/schedule/ledger"
)

const (
	database = "ledger.db"
	wal      = "ledger.db-wal"
)

func openAt(t *testing.T, dir string) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// numbered is the n-th of some records in different states, with all that a pass decides by, some of it zero in each.
func numbered(n int) ledger.Record {
	r := ledger.Record{
		Key:   ledger.Key{Account: "work", Folder: "INBOX", Validity: 7, UID: strconv.Itoa(n), Hash: [32]byte{0: byte(n), 1: 0xa5, 31: 0x5a}},
		State: []ledger.State{ledger.Delivered, ledger.Refused, ledger.Deferred, ledger.Sending, ledger.Adopted, ledger.PartlyRefused}[n%6],
		Token: fmt.Sprintf("token-%d", n), Size: 1234, Attempts: 3, Doubts: 1, Disposed: n&1 != 0, Absent: n&2 != 0,
		First: time.UnixMilli(1_790_000_000_000), Last: time.UnixMilli(1_790_000_100_000), Next: time.UnixMilli(1_790_000_200_000),
		Recipients: "alice@example.net bob@example.net", Why: "because",
	}
	if n%3 != 0 {
		r.Listed, r.Ran, r.Judged, r.Octets, r.Breaks, r.Charges = 1240, 127*time.Millisecond, 5, 300, 2, 1
		r.DotSent, r.Fingerprint, r.Acknowledged = true, ledger.Fingerprint{1, 2, 3}, r.Last
	}
	if r.State == ledger.PartlyRefused {
		r.Verdicts = []ledger.Verdict{{Address: "alice@example.net", State: ledger.Delivered}, {Address: "bob@example.net", State: ledger.Refused, Reply: "554"}}
	}
	return r
}

// decisive are the parts of a record that a pass decides by.
func decisive(r ledger.Record) string {
	return fmt.Sprintf("%s %s %d: %+v, %v to %s, last %v, acknowledged %v, sessions %d %d %d", r.Account, r.Folder, r.Validity, briefOf(r),
		r.Verdicts, r.Recipients, r.Last, r.Acknowledged, r.Breaks, r.Charges, r.Octets)
}

// briefOf is what a pass is to see of a record.
func briefOf(r ledger.Record) ledger.Brief {
	return ledger.Brief{UID: r.UID, Hash: r.Hash, State: r.State, Disposed: r.Disposed, Absent: r.Absent, Attempts: r.Attempts, Doubts: r.Doubts,
		Next: r.Next, Token: r.Token, First: r.First, Ran: r.Ran, Size: r.Size, Listed: r.Listed, Suspect: r.Breaks > 0, DotSent: r.DotSent,
		Judged: r.Judged, Fingerprint: r.Fingerprint}
}

// everyOctet calls each for every octet that is used, and for some of those in the empty parts of pages.
func everyOctet(file []byte, each func(at int)) (called int) {
	const empty = 48
	for at := 0; at < len(file); at += stride {
		from, to := max(at-empty, 0), min(at+empty, len(file))
		if len(bytes.Trim(file[from:to], "\x00")) == 0 && at%97 != 0 {
			continue
		}
		called++
		each(at)
	}
	return called
}

// inRows returns for each octet of a database whether it is in the row of one of these records, or next to it.
func inRows(t *testing.T, file []byte, records []ledger.Record) []bool {
	t.Helper()
	const before, behind = 64, 160 // what a row has in front of the hash, and behind it
	in := make([]bool, len(file))
	for _, r := range records {
		at := bytes.Index(file, append(r.Hash[:], r.State...)) // the indexes have no state
		if at < 0 {
			t.Fatalf("the row of %s is not found: this proves nothing", r.UID)
		}
		for i := max(at-before, 0); i < min(at+behind, len(file)); i++ {
			in[i] = true
		}
	}
	return in
}

// TestEveryOctetOfTheDatabaseFlipped: a damaged octet is noticed, or means nothing. In the rows of records each bit of it is
// flipped, and the octet zeroed: SQLite tells 0 from 1, and both from other numbers, by single bits.
func TestEveryOctetOfTheDatabaseFlipped(t *testing.T) {
	dir := t.TempDir()
	l := openAt(t, dir)
	var want []string
	var records []ledger.Record
	for n := range 6 {
		records = append(records, numbered(n))
		want = append(want, decisive(numbered(n)))
	}
	if err := l.PutAll(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, database)
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tried, noticed := 0, 0
	try := func(what string, from, to int, damage func(byte) byte) {
		bad := bytes.Clone(octets)
		for at := from; at < min(to, len(bad)); at++ {
			bad[at] = damage(bad[at])
		}
		if bytes.Equal(bad, octets) {
			return
		}
		tried++
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := recorded(t.Context(), dir)
		switch k := ledger.KindOf(err); {
		case err == nil && !slices.Equal(got, want):
			t.Errorf("octet %d %s: without an error the ledger says what it should not:%s", from, what, difference(got, want))
		case err != nil && slices.Contains([]ledger.Kind{ledger.Unclassified, ledger.NotFound, ledger.Busy, ledger.Slow}, k):
			t.Errorf("octet %d %s: %v (%v) does not say that it is damaged", from, what, err, k)
		case err != nil:
			noticed++
		}
	}
	flip := func(at, bit int) {
		try(fmt.Sprintf("with bit %d flipped", bit), at, at+1, func(b byte) byte { return b ^ 1<<bit })
	}
	zero := func(byte) byte { return 0 }
	rows := inRows(t, octets, records)
	everyOctet(octets, func(at int) {
		if !rows[at] {
			flip(at, at%8)
			return
		}
		for bit := range 8 {
			flip(at, bit)
		}
		try("zeroed", at, at+1, zero)
	})
	const sector = 512
	for at := 0; at < len(octets); at += sector {
		try("and its sector zeroed", at, at+sector, zero)
	}
	t.Logf("%d times damaged, %d noticed", tried, noticed)
	if noticed < tried/5 {
		t.Errorf("of %d damages only %d were noticed: does the ledger hold anything?", tried, noticed)
	}
}

// difference names what only one of two lists holds.
func difference(got, want []string) (text string) {
	for _, s := range got {
		if !slices.Contains(want, s) {
			text += "\n\t+ " + s
		}
	}
	for _, s := range want {
		if !slices.Contains(got, s) {
			text += "\n\t- " + s
		}
	}
	return text
}

// recorded opens the ledger and returns what decides of all its records, each by the two ways of asking for it.
func recorded(ctx context.Context, dir string) (all []string, err error) {
	l, err := ledger.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	records, err := l.List(ctx, ledger.Filter{})
	if err != nil {
		return nil, err
	}
	briefs, err := l.Briefs(ctx, "work", "INBOX", 7)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		all = append(all, decisive(r))
		settled := r.Disposed && r.Absent // of no use to a pass
		if seen := slices.Contains(briefs[r.UID], briefOf(r)); seen == settled {
			all = append(all, fmt.Sprintf("of %s a pass sees %+v", r.UID, briefs[r.UID]))
		}
		byHash, err := l.ByHash(ctx, "work", "INBOX", r.Hash)
		if err != nil {
			return nil, err
		}
		if len(byHash) != 1 || decisive(byHash[0]) != decisive(r) {
			all = append(all, fmt.Sprintf("%s is not found by its content", r.UID))
		}
	}
	slices.Sort(all)
	return all, nil
}

// TestEveryOctetOfTheLogFlipped: damage in the write-ahead log of a process that died ends it where it is, as a write
// that was cut off would. What stands before it is whole, and nothing behind it counts.
func TestEveryOctetOfTheLogFlipped(t *testing.T) {
	live, dir := t.TempDir(), t.TempDir()
	l := openAt(t, live)
	defer l.Close()
	const writes = 6
	prefixes := [][]string{nil}
	for n := range writes {
		if err := l.Put(t.Context(), numbered(n)); err != nil {
			t.Fatal(err)
		}
		next := append(slices.Clone(prefixes[n]), decisive(numbered(n)))
		slices.Sort(next)
		prefixes = append(prefixes, next)
	}
	files := map[string][]byte{}
	for _, name := range []string{database, wal, "ledger.reserve"} {
		octets, err := os.ReadFile(filepath.Join(live, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = octets
	}
	reached := map[int]int{}
	try := func(what string, log []byte) {
		for name, octets := range files {
			if name == wal {
				octets = log
			}
			if err := os.WriteFile(filepath.Join(dir, name), octets, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := recorded(t.Context(), dir)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		n := slices.IndexFunc(prefixes, func(p []string) bool { return slices.Equal(p, got) })
		if n < 0 {
			t.Errorf("%s: the ledger holds %q, which it never did", what, got)
		}
		reached[n]++
	}
	log := files[wal]
	try("sound", log)
	if reached[writes] != 1 {
		t.Fatal("the sound log does not hold all writes: this proves nothing")
	}
	flipped := everyOctet(log, func(at int) {
		bad := bytes.Clone(log)
		bad[at] ^= 1 << (at % 8)
		try(fmt.Sprintf("octet %d flipped", at), bad)
	})
	const header, frame = 32, 24 + 4096 // https://sqlite.org/fileformat2.html#walformat
	used := len(bytes.TrimRight(log, "\x00"))
	for end := header; end <= used; end += frame {
		for _, length := range []int{end - 1, end, end + 1, end + 23, end + 24, end + 25, end + 2000} {
			try(fmt.Sprintf("cut after %d octets", length), log[:min(length, len(log))])
		}
	}
	t.Logf("%d octets flipped; so many ended with so many writes: %v", flipped, reached)
	for n := range writes {
		if reached[n] == 0 {
			t.Errorf("no damage ended the log behind write %d", n)
		}
	}
}

var (
	brokenCall = flag.String("broken.call", "", "write to a ledger while this system call fails")
	brokenDir  = flag.String("broken.dir", "", "where that ledger is")
)

// TestDiskThatFailsAWrite: EIO from fsync or write is told at every attempt, and what was acknowledged before is there.
func TestDiskThatFailsAWrite(t *testing.T) {
	// What SQLite uses; the test itself writes with write(2).
	calls := map[string][]uint32{
		"fsync": {unix.SYS_FSYNC, unix.SYS_FDATASYNC},
		"write": {unix.SYS_PWRITE64},
	}
	if *brokenCall != "" {
		writeToBrokenDisk(t, calls[*brokenCall])
		return
	}
	for call := range calls {
		t.Run(call, func(t *testing.T) {
			dir := t.TempDir()
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), self, "-test.run=^TestDiskThatFailsAWrite$", "-broken.call="+call, "-broken.dir="+dir).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got, err := recorded(t.Context(), dir)
			if err != nil || !slices.Contains(got, decisive(numbered(0))) {
				t.Errorf("what was acknowledged before the disk failed: %q, %v", got, err)
			}
		})
	}
}

// writeToBrokenDisk is the process whose system calls fail from some moment on.
func writeToBrokenDisk(t *testing.T, calls []uint32) {
	l := openAt(t, *brokenDir)
	if err := l.Put(t.Context(), numbered(0)); err != nil {
		t.Fatal(err)
	}
	if err := failCalls(calls); err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 4; n++ {
		err := l.Put(t.Context(), numbered(n))
		if k := ledger.KindOf(err); k != ledger.IO {
			t.Errorf("write %d to a disk that fails: %v (%v)", n, err, k)
		}
	}
}

// failCalls makes system calls fail with EIO in all threads of this process, for ever (seccomp(2)).
func failCalls(calls []uint32) error {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}} // the call's number
	for i, nr := range calls {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(calls) - i), K: nr})
	}
	program = append(program,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EIO)})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return errno
	}
	return nil
}
