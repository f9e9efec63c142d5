package ledger

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// open opens a ledger in dir and closes it at the end of the test.
func open(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// must returns v, or fails the test.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func key(uid string) Key {
	return Key{Account: "work", Folder: "INBOX", Validity: 7, UID: uid, Hash: sha256.Sum256([]byte(uid))}
}

func record(uid string, s State) Record {
	at := time.UnixMilli(1_700_000_000_123)
	return Record{
		Key: key(uid), State: s, Size: 4321, Token: "tok-" + uid, Attempts: 2, Doubts: 1,
		First: at, Last: at.Add(time.Minute), Next: at.Add(time.Hour),
		Client: "192.0.2.1", HELO: "mx.example.org", Sender: "a@example.org", Recipients: "b@example.net",
		Code: 250, Reply: "2.0.0 Ok: queued as 4Xyz", QueueID: "4Xyz", Why: "accepted",
	}
}

func put(t testing.TB, l *Ledger, rs ...Record) {
	t.Helper()
	if err := l.PutAll(t.Context(), rs); err != nil {
		t.Fatalf("PutAll: %v", err)
	}
}

func list(t testing.TB, l *Ledger, f Filter) []Record {
	t.Helper()
	return must[[]Record](t)(l.List(t.Context(), f))
}

func TestRoundTrip(t *testing.T) {
	odd := record("odd", Doubt)
	odd.UID = "\x00\xff'; DROP TABLE record; --"
	odd.Sender, odd.Reply = "\xff\x00\"", "250 \u202e%s%n"
	plain := record("plain", Deferred)
	zero := Record{Key: Key{Account: "work"}, State: Adopted}
	most := record("most", Refused)
	most.Account, most.Folder = strings.Repeat("a", maxAccount), strings.Repeat("f", maxFolder)
	most.Validity, most.UID, most.Size = 1<<32-1, strings.Repeat("u", maxUID), 1<<62
	most.Absent, most.Listed = true, 1<<61
	odd.Disposed = true
	parted := record("parted", PartlyRefused)
	parted.Ran = 77 * time.Hour
	parted.Verdicts = []Verdict{{`"a b"@example.net`, Delivered, "250 2.0.0 <ok>"}, {"jürgen@example.net", Refused, "550 no\u202e"}, {"", Held, ""}}

	gone := record("gone", Lost)
	gone.Acknowledged = gone.Last.Add(time.Hour)

	for name, want := range map[string]Record{"plain": plain, "lost": gone, "hostile octets": odd, "zero fields": zero, "largest": most, "recipients apart": parted} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			put(t, l, want)
			if err := l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			l = open(t, dir)
			got := list(t, l, Filter{})
			if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Fatalf("after reopening:\n got %+v\nwant %+v", got, want)
			}
			byHash := must[[]Record](t)(l.ByHash(t.Context(), want.Account, want.Folder, want.Hash))
			if !reflect.DeepEqual(byHash, got) {
				t.Errorf("ByHash = %+v, want %+v", byHash, got)
			}
			briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), want.Account, want.Folder, want.Validity))
			brief := Brief{UID: want.UID, Hash: want.Hash, State: want.State, Disposed: want.Disposed, Absent: want.Absent,
				Attempts: want.Attempts, Doubts: want.Doubts, Next: want.Next, Token: want.Token, First: want.First, Ran: want.Ran, Size: want.Size, Listed: want.Listed}
			if want := map[string][]Brief{want.UID: {brief}}; !reflect.DeepEqual(briefs, want) {
				t.Errorf("Briefs = %+v, want %+v", briefs, want)
			}
		})
	}
}

func TestPutReplacesByKey(t *testing.T) {
	l := open(t, t.TempDir())
	put(t, l, record("1", Sending))
	done := record("1", Delivered)
	done.Attempts, done.Reply = 3, "250 again"
	put(t, l, done)
	if got := list(t, l, Filter{}); !reflect.DeepEqual(got, []Record{done}) {
		t.Fatalf("got %+v, want only %+v", got, done)
	}
}

// Two messages may share a UID (RFC 1939 section 7), and one content may be there
// under several UIDs and generations.
func TestIdentity(t *testing.T) {
	l := open(t, t.TempDir())
	a, b := record("1", Delivered), record("1", Deferred)
	b.Hash = sha256.Sum256([]byte("other content"))
	c := a
	c.Validity = 8
	d := a
	d.Folder = "Junk"
	put(t, l, a, b, c, d)
	briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	if len(briefs) != 1 || len(briefs["1"]) != 2 {
		t.Errorf("Briefs = %+v, want two records under UID 1", briefs)
	}
	if got := must[[]Record](t)(l.ByHash(t.Context(), "work", "INBOX", a.Hash)); len(got) != 2 {
		t.Errorf("ByHash = %d records, want the one of each generation: %+v", len(got), got)
	}
	gs := must[[]Generation](t)(l.Generations(t.Context(), "work", "INBOX"))
	if want := []Generation{{7, 2}, {8, 1}}; !reflect.DeepEqual(gs, want) {
		t.Errorf("Generations = %v, want %v", gs, want)
	}
	if got := must[map[string][]Brief](t)(l.Briefs(t.Context(), "home", "INBOX", 7)); len(got) != 0 {
		t.Errorf("another account sees %v", got)
	}
}

func TestFlags(t *testing.T) {
	l := open(t, t.TempDir())
	put(t, l, record("1", Delivered), record("2", Delivered))
	unknown := key("3")
	elsewhere := key("1")
	elsewhere.Account = "home"
	ctx := t.Context()
	if err := l.SetDisposed(ctx, []Key{key("1"), unknown, elsewhere}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetAbsent(ctx, []Key{key("1"), key("2")}, true); err != nil {
		t.Fatal(err)
	}
	if err := l.SetAbsent(ctx, []Key{key("2")}, false); err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{}
	for _, r := range list(t, l, Filter{Account: "work"}) {
		flags[r.UID] = fmt.Sprintf("disposed %v absent %v", r.Disposed, r.Absent)
	}
	if flags["1"] != "disposed true absent true" || flags["2"] != "disposed false absent false" || len(flags) != 2 {
		t.Errorf("flags are %v", flags)
	}
	// What was disposed of and has gone is no matter of a pass any more.
	briefs := must[map[string][]Brief](t)(l.Briefs(ctx, "work", "INBOX", 7))
	if len(briefs) != 1 || len(briefs["2"]) != 1 {
		t.Errorf("Briefs = %+v, want that of UID 2 alone", briefs)
	}
}

func TestListFilters(t *testing.T) {
	l := open(t, t.TempDir())
	base := time.UnixMilli(1_700_000_000_000)
	for i, s := range []State{Delivered, Deferred, Held, Doubt, Delivered} {
		r := record(strconv.Itoa(i), s)
		r.Last = base.Add(time.Duration(i) * time.Hour)
		r.Disposed, r.Absent = i == 0, i == 1
		if i == 4 {
			r.Account = "home"
		}
		put(t, l, r)
	}
	for _, c := range []struct {
		name string
		f    Filter
		want string // UIDs in order
	}{
		{"all, newest first", Filter{}, "4 3 2 1 0"},
		{"account", Filter{Account: "work"}, "3 2 1 0"},
		{"account without records", Filter{Account: "nobody"}, ""},
		{"states", Filter{States: []State{Held, Doubt}}, "3 2"},
		{"UID", Filter{UID: "1"}, "1"},
		{"token", Filter{Token: "tok-2"}, "2"},
		{"upstream: not disposed of, not gone", Filter{Upstream: true}, "4 3 2"},
		{"limit", Filter{Limit: 2}, "4 3"},
		{"together", Filter{Account: "work", States: []State{Delivered, Doubt}, UID: "3"}, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, r := range list(t, l, c.f) {
				got = append(got, r.UID)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
	counts := must[map[State]int](t)(l.Counts(t.Context(), "work"))
	if want := (map[State]int{Delivered: 1, Deferred: 1, Held: 1, Doubt: 1}); !reflect.DeepEqual(counts, want) {
		t.Errorf("Counts(work) = %v, want %v", counts, want)
	}
	if all := must[map[State]int](t)(l.Counts(t.Context(), "")); all[Delivered] != 2 {
		t.Errorf("Counts of all accounts = %v, want 2 delivered", all)
	}
}

func TestRemove(t *testing.T) {
	l := open(t, t.TempDir())
	other := record("1", Delivered)
	other.Hash = sha256.Sum256([]byte("other content"))
	put(t, l, record("1", Delivered), other, record("2", Held))
	elsewhere := key("2")
	elsewhere.Validity++
	if err := l.Remove(t.Context(), []Key{key("1"), key("3"), elsewhere}); err != nil {
		t.Fatal(err)
	}
	briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	if len(briefs) != 2 || len(briefs["1"]) != 1 || briefs["1"][0].Hash != other.Hash {
		t.Errorf("left are %+v, want 2 and the other content of 1", briefs)
	}
}

func TestPasses(t *testing.T) {
	l := open(t, t.TempDir())
	ctx := t.Context()
	at := time.UnixMilli(1_700_000_000_000)
	check := func(step string, want Pass, success time.Time) {
		t.Helper()
		got, gotSuccess, err := l.LastPass(ctx, "work")
		if err != nil || got != want || !gotSuccess.Equal(success) {
			t.Errorf("%s: LastPass = %+v, %v, %v\nwant %+v, %v", step, got, gotSuccess, err, want, success)
		}
	}
	check("new", Pass{}, time.Time{})

	began := Pass{Began: at}
	if err := l.PassBegan(ctx, "work", Pass{Began: at, OK: true, Ended: at}); err != nil {
		t.Fatal(err)
	}
	check("began", began, time.Time{})

	stopped := Pass{Began: at, Ended: at.Add(time.Second), Error: "too many new messages"}
	if err := l.PassEnded(ctx, "work", stopped); err != nil {
		t.Fatal(err)
	}
	check("failed", stopped, time.Time{})

	good := Pass{Began: at, Ended: at.Add(time.Minute), OK: true, Listed: 9, Delivered: 5, Deferred: 1, Refused: 1, Held: 1, InDoubt: 1}
	if err := l.PassEnded(ctx, "work", good); err != nil {
		t.Fatal(err)
	}
	check("succeeded", good, good.Ended)

	if err := l.PassEnded(ctx, "work", stopped); err != nil {
		t.Fatal(err)
	}
	check("failed again, the last success stays", stopped, good.Ended)
	if other, success, err := l.LastPass(ctx, "home"); err != nil || other != (Pass{}) || !success.IsZero() {
		t.Errorf("an account without passes has %+v, %v, %v", other, success, err)
	}
}

func TestInvalid(t *testing.T) {
	l := open(t, t.TempDir())
	good := record("good", Delivered)
	for name, spoil := range map[string]func(*Record){
		"no account":     func(r *Record) { r.Account = "" },
		"long account":   func(r *Record) { r.Account = strings.Repeat("a", maxAccount+1) },
		"long folder":    func(r *Record) { r.Folder = strings.Repeat("f", maxFolder+1) },
		"long UID":       func(r *Record) { r.UID = strings.Repeat("u", maxUID+1) },
		"no state":       func(r *Record) { r.State = "" },
		"unknown state":  func(r *Record) { r.State = "gone" },
		"state in upper": func(r *Record) { r.State = "DELIVERED" },
	} {
		bad := record("bad", Delivered)
		spoil(&bad)
		if err := l.PutAll(t.Context(), []Record{good, bad}); KindOf(err) != Invalid {
			t.Errorf("%s: error %v, want Kind invalid", name, err)
		}
	}
	if got := list(t, l, Filter{}); len(got) != 0 {
		t.Errorf("refused writes left %d records", len(got))
	}
}

func TestTextIsCut(t *testing.T) {
	l := open(t, t.TempDir())
	r := record("1", Refused)
	r.Reply = strings.Repeat("x", 1<<20)
	put(t, l, r)
	if got := list(t, l, Filter{})[0].Reply; len(got) != maxText {
		t.Errorf("%d octets of the reply were kept, want %d", len(got), maxText)
	}
}

func TestCanceled(t *testing.T) {
	l := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Put(ctx, record("1", Delivered)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if _, err := l.Briefs(ctx, "work", "INBOX", 7); !errors.Is(err, context.Canceled) {
		t.Errorf("Briefs = %v, want context.Canceled", err)
	}
	if got := list(t, l, Filter{}); len(got) != 0 {
		t.Errorf("a canceled Put left %v", got)
	}
}

func TestClosed(t *testing.T) {
	l := open(t, t.TempDir())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(t.Context(), record("1", Delivered)); KindOf(err) != Closed {
		t.Errorf("Put after Close = %v, want Kind closed", err)
	}
	if _, err := l.List(t.Context(), Filter{}); KindOf(err) != Closed {
		t.Errorf("List after Close = %v, want Kind closed", err)
	}
}

// Nothing expires by wall clock, whatever the times say.
func TestClockJumps(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for i, year := range []int{1970, 2016, 2026, 2036, 2100} {
		r := record(strconv.Itoa(i), Delivered)
		r.First = time.Date(year, 1, 1, 0, 0, 1, 0, time.UTC)
		r.Last, r.Next = r.First, r.First.AddDate(10, 0, 0)
		put(t, l, r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := must[map[string][]Brief](t)(open(t, dir).Briefs(t.Context(), "work", "INBOX", 7)); len(got) != 5 {
		t.Errorf("%d of 5 records are left", len(got))
	}
}

// TestReplace: a record takes the place of others in one transaction, so that neither both nor none is ever there.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	old, unread := record("old", Deferred), record("unread", Deferred)
	put(t, l, old, unread, record("other", Held))
	before := l.writer.commits
	now := record("now", Sending)
	if err := l.Replace(t.Context(), now, []Key{old.Key, unread.Key, key("never there")}); err != nil {
		t.Fatal(err)
	}
	if got := l.writer.commits - before; got != 1 {
		t.Errorf("%d transactions, want 1", got)
	}
	uids := func() (got []string) {
		for _, r := range list(t, l, Filter{}) {
			got = append(got, r.UID+" "+string(r.State))
		}
		slices.Sort(got)
		return got
	}
	if got := strings.Join(uids(), ", "); got != "now sending, other held" {
		t.Errorf("the ledger has %s", got)
	}
	if err := l.Replace(t.Context(), record("x", "odd"), []Key{now.Key}); KindOf(err) != Invalid || len(uids()) != 2 {
		t.Errorf("a record that cannot be stored: %v, %v", err, uids())
	}
	if err := l.Replace(t.Context(), record("now", Delivered), []Key{}); err != nil || strings.Join(uids(), ", ") != "now delivered, other held" {
		t.Errorf("%v, %v", err, uids())
	}
}
