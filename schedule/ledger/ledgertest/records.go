package ledgertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

func (s suite) roundTrip(t *testing.T) {
	odd := record("odd", ledger.Doubt)
	odd.UID = "\x00\xff'; DROP TABLE record; --"
	odd.Sender, odd.Reply = "\xff\x00\"", "250 \u202e%s%n"
	plain := record("plain", ledger.Deferred)
	zero := ledger.Record{Key: ledger.Key{Account: "work"}, State: ledger.Adopted}
	most := record("most", ledger.Refused)
	most.Account, most.Folder = strings.Repeat("a", maxAccount), strings.Repeat("f", maxFolder)
	most.Validity, most.UID, most.Size = 1<<32-1, strings.Repeat("u", maxUID), 1<<62
	most.Absent, most.Listed = true, 1<<61
	odd.Disposed = true
	parted := record("parted", ledger.PartlyRefused)
	parted.Ran = 77 * time.Hour
	parted.Verdicts = []ledger.Verdict{
		{Address: `"a b"@example.net`, State: ledger.Delivered, Reply: "250 2.0.0 <ok>"},
		{Address: "jürgen@example.net", State: ledger.Refused, Reply: "550 no\u202e"},
		{State: ledger.Held},
	}

	gone := record("gone", ledger.Lost)
	gone.Acknowledged = gone.Last.Add(time.Hour)

	for name, want := range map[string]ledger.Record{"plain": plain, "lost": gone, "hostile octets": odd, "zero fields": zero, "largest": most, "recipients apart": parted} {
		t.Run(name, func(t *testing.T) {
			place := s.fresh(t)
			l := place.open(t)
			put(t, l, want)
			l.end(t)
			l = place.open(t)
			got := list(t, l, ledger.Filter{})
			if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
				t.Fatalf("after reopening:\n got %+v\nwant %+v", got, want)
			}
			byHash := must[[]ledger.Record](t)(l.ByHash(t.Context(), want.Account, want.Folder, want.Hash))
			if !reflect.DeepEqual(byHash, got) {
				t.Errorf("ByHash = %+v, want %+v", byHash, got)
			}
			briefs := must[map[string][]ledger.Brief](t)(l.Briefs(t.Context(), want.Account, want.Folder, want.Validity))
			brief := ledger.Brief{UID: want.UID, Hash: want.Hash, State: want.State, Disposed: want.Disposed, Absent: want.Absent,
				Attempts: want.Attempts, Doubts: want.Doubts, Next: want.Next, Token: want.Token, First: want.First, Ran: want.Ran, Size: want.Size, Listed: want.Listed}
			if want := map[string][]ledger.Brief{want.UID: {brief}}; !reflect.DeepEqual(briefs, want) {
				t.Errorf("Briefs = %+v, want %+v", briefs, want)
			}
		})
	}
}

func (s suite) putReplacesByKey(t *testing.T) {
	l := s.fresh(t).open(t)
	put(t, l, record("1", ledger.Sending))
	done := record("1", ledger.Delivered)
	done.Attempts, done.Reply = 3, "250 again"
	put(t, l, done)
	if got := list(t, l, ledger.Filter{}); !reflect.DeepEqual(got, []ledger.Record{done}) {
		t.Fatalf("got %+v, want only %+v", got, done)
	}
}

// Two messages may share a UID (RFC 1939 section 7), and one content may be there
// under several UIDs and generations.
func (s suite) identity(t *testing.T) {
	l := s.fresh(t).open(t)
	a, b := record("1", ledger.Delivered), record("1", ledger.Deferred)
	b.Hash = sha256.Sum256([]byte("other content"))
	c := a
	c.Validity = 8
	d := a
	d.Folder = "Junk"
	put(t, l, a, b, c, d)
	briefs := must[map[string][]ledger.Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	if len(briefs) != 1 || len(briefs["1"]) != 2 {
		t.Errorf("Briefs = %+v, want two records under UID 1", briefs)
	}
	if got := must[[]ledger.Record](t)(l.ByHash(t.Context(), "work", "INBOX", a.Hash)); len(got) != 2 {
		t.Errorf("ByHash = %d records, want the one of each generation: %+v", len(got), got)
	}
	emptied := a
	emptied.Validity = 9
	put(t, l, emptied)
	if err := l.Remove(t.Context(), []ledger.Key{emptied.Key}); err != nil {
		t.Fatal(err)
	}
	gs := must[[]uint32](t)(l.Generations(t.Context(), "work", "INBOX"))
	if want := []uint32{7, 8}; !slices.Equal(gs, want) {
		t.Errorf("Generations = %v, want %v: those with records", gs, want)
	}
	if got := must[map[string][]ledger.Brief](t)(l.Briefs(t.Context(), "home", "INBOX", 7)); len(got) != 0 {
		t.Errorf("another account sees %v", got)
	}
}

// atRestLeftOut: what the caller says is at rest, by all the records of a UID, is left out, and everything else is there as it is in Briefs.
func (s suite) atRestLeftOut(t *testing.T) {
	l := s.fresh(t).open(t)
	twin := record("2", ledger.Deferred)
	twin.Hash = sha256.Sum256([]byte("other content"))
	gone := record("5", ledger.Delivered)
	put(t, l, record("1", ledger.Delivered), record("2", ledger.Delivered), twin, record("3", ledger.Deferred), record("4", ledger.Delivered), gone)
	if err := l.SetDisposed(t.Context(), []ledger.Key{gone.Key}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetAbsent(t.Context(), []ledger.Key{gone.Key}, true); err != nil {
		t.Fatal(err)
	}
	want := must[map[string][]ledger.Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	for uid := range map[string]bool{"1": true, "4": true} {
		delete(want, uid)
	}
	seen := map[string]int{}
	got := must[map[string][]ledger.Brief](t)(l.BriefsBut(t.Context(), "work", "INBOX", 7, func(of []ledger.Brief) bool {
		seen[of[0].UID] += len(of)
		return len(of) == 1 && of[0].State.Final()
	}))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !reflect.DeepEqual(seen, map[string]int{"1": 1, "2": 2, "3": 1, "4": 1}) {
		t.Errorf("asked about %v", seen)
	}
	all := must[map[string][]ledger.Brief](t)(l.BriefsBut(t.Context(), "work", "INBOX", 7, func([]ledger.Brief) bool { return true }))
	if len(all) != 0 {
		t.Errorf("all is at rest, and got %+v", all)
	}
	removed := must[map[string][]ledger.Brief](t)(l.Removed(t.Context(), "work", "INBOX", 7, []string{"1", "5", "6"}))
	if of := removed["5"]; len(removed) != 1 || len(of) != 1 || of[0].Hash != gone.Hash || !of[0].Disposed || !of[0].Absent {
		t.Errorf("removed: %+v", removed)
	}
}

func (s suite) flags(t *testing.T) {
	l := s.fresh(t).open(t)
	put(t, l, record("1", ledger.Delivered), record("2", ledger.Delivered))
	unknown := key("3")
	elsewhere := key("1")
	elsewhere.Account = "home"
	ctx := t.Context()
	if err := l.SetDisposed(ctx, []ledger.Key{key("1"), unknown, elsewhere}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetAbsent(ctx, []ledger.Key{key("1"), key("2")}, true); err != nil {
		t.Fatal(err)
	}
	if err := l.SetAbsent(ctx, []ledger.Key{key("2")}, false); err != nil {
		t.Fatal(err)
	}
	flags := map[string]string{}
	for _, r := range list(t, l, ledger.Filter{Account: "work"}) {
		flags[r.UID] = fmt.Sprintf("disposed %v absent %v", r.Disposed, r.Absent)
	}
	if flags["1"] != "disposed true absent true" || flags["2"] != "disposed false absent false" || len(flags) != 2 {
		t.Errorf("flags are %v", flags)
	}
	// What was disposed of and has gone is no matter of a pass any more.
	briefs := must[map[string][]ledger.Brief](t)(l.Briefs(ctx, "work", "INBOX", 7))
	if len(briefs) != 1 || len(briefs["2"]) != 1 {
		t.Errorf("Briefs = %+v, want that of UID 2 alone", briefs)
	}
}

func (s suite) listFilters(t *testing.T) {
	l := s.fresh(t).open(t)
	base := time.UnixMilli(1_700_000_000_000)
	for i, s := range []ledger.State{ledger.Delivered, ledger.Deferred, ledger.Held, ledger.Doubt, ledger.Delivered} {
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
		f    ledger.Filter
		want string // UIDs in order
	}{
		{"all, newest first", ledger.Filter{}, "4 3 2 1 0"},
		{"account", ledger.Filter{Account: "work"}, "3 2 1 0"},
		{"account without records", ledger.Filter{Account: "nobody"}, ""},
		{"states", ledger.Filter{States: []ledger.State{ledger.Held, ledger.Doubt}}, "3 2"},
		{"UID", ledger.Filter{UID: "1"}, "1"},
		{"tokens", ledger.Filter{Tokens: []string{"tok-2", "tok-0", "tok-9"}}, "2 0"},
		{"tokens of an account", ledger.Filter{Account: "home", Tokens: []string{"tok-2", "tok-4", "it's \xff"}}, "4"},
		{"upstream: not disposed of, not gone", ledger.Filter{Upstream: true}, "4 3 2"},
		{"limit", ledger.Filter{Limit: 2}, "4 3"},
		{"together", ledger.Filter{Account: "work", States: []ledger.State{ledger.Delivered, ledger.Doubt}, UID: "3"}, "3"},
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
	counts := must[map[ledger.State]int](t)(l.Counts(t.Context(), "work"))
	if want := (map[ledger.State]int{ledger.Delivered: 1, ledger.Deferred: 1, ledger.Held: 1, ledger.Doubt: 1}); !reflect.DeepEqual(counts, want) {
		t.Errorf("Counts(work) = %v, want %v", counts, want)
	}
	if all := must[map[ledger.State]int](t)(l.Counts(t.Context(), "")); all[ledger.Delivered] != 2 {
		t.Errorf("Counts of all accounts = %v, want 2 delivered", all)
	}
}

func (s suite) remove(t *testing.T) {
	l := s.fresh(t).open(t)
	other := record("1", ledger.Delivered)
	other.Hash = sha256.Sum256([]byte("other content"))
	put(t, l, record("1", ledger.Delivered), other, record("2", ledger.Held))
	elsewhere := key("2")
	elsewhere.Validity++
	if err := l.Remove(t.Context(), []ledger.Key{key("1"), key("3"), elsewhere}); err != nil {
		t.Fatal(err)
	}
	briefs := must[map[string][]ledger.Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	if len(briefs) != 2 || len(briefs["1"]) != 1 || briefs["1"][0].Hash != other.Hash {
		t.Errorf("left are %+v, want 2 and the other content of 1", briefs)
	}
}

func (s suite) invalid(t *testing.T) {
	l := s.fresh(t).open(t)
	good := record("good", ledger.Delivered)
	for name, spoil := range map[string]func(*ledger.Record){
		"no account":     func(r *ledger.Record) { r.Account = "" },
		"long account":   func(r *ledger.Record) { r.Account = strings.Repeat("a", maxAccount+1) },
		"long folder":    func(r *ledger.Record) { r.Folder = strings.Repeat("f", maxFolder+1) },
		"long UID":       func(r *ledger.Record) { r.UID = strings.Repeat("u", maxUID+1) },
		"no state":       func(r *ledger.Record) { r.State = "" },
		"unknown state":  func(r *ledger.Record) { r.State = "gone" },
		"state in upper": func(r *ledger.Record) { r.State = "DELIVERED" },
	} {
		bad := record("bad", ledger.Delivered)
		spoil(&bad)
		if err := l.PutAll(t.Context(), []ledger.Record{good, bad}); ledger.KindOf(err) != ledger.Invalid {
			t.Errorf("%s: error %v, want Kind invalid", name, err)
		}
	}
	if got := list(t, l, ledger.Filter{}); len(got) != 0 {
		t.Errorf("refused writes left %d records", len(got))
	}
}

func (s suite) textIsCut(t *testing.T) {
	l := s.fresh(t).open(t)
	r := record("1", ledger.Refused)
	r.Reply = strings.Repeat("x", 1<<20)
	put(t, l, r)
	if got := list(t, l, ledger.Filter{})[0].Reply; len(got) != maxText {
		t.Errorf("%d octets of the reply were kept, want %d", len(got), maxText)
	}
}

// Recipients decide who gets a message at the next attempt, however many they are.
func (s suite) recipientsAreNotCut(t *testing.T) {
	l := s.fresh(t).open(t)
	r := record("1", ledger.Deferred)
	r.Recipients = string(bytes.Repeat([]byte("someone@example.net "), 500))
	put(t, l, r)
	if got := list(t, l, ledger.Filter{}); got[0].Recipients != r.Recipients {
		t.Errorf("of %d octets of recipients %d are left", len(r.Recipients), len(got[0].Recipients))
	}
}

func (s suite) canceled(t *testing.T) {
	l := s.fresh(t).open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Put(ctx, record("1", ledger.Delivered)); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v, want context.Canceled", err)
	}
	if _, err := l.Briefs(ctx, "work", "INBOX", 7); !errors.Is(err, context.Canceled) {
		t.Errorf("Briefs = %v, want context.Canceled", err)
	}
	if got := list(t, l, ledger.Filter{}); len(got) != 0 {
		t.Errorf("a canceled Put left %v", got)
	}
}

func (s suite) closed(t *testing.T) {
	l := s.fresh(t).open(t)
	l.end(t)
	if err := l.Put(t.Context(), record("1", ledger.Delivered)); ledger.KindOf(err) != ledger.Closed {
		t.Errorf("Put after Close = %v, want Kind closed", err)
	}
	if _, err := l.List(t.Context(), ledger.Filter{}); ledger.KindOf(err) != ledger.Closed {
		t.Errorf("List after Close = %v, want Kind closed", err)
	}
}

// Nothing expires by wall clock, whatever the times say.
func (s suite) clockJumps(t *testing.T) {
	place := s.fresh(t)
	l := place.open(t)
	for i, year := range []int{1970, 2016, 2026, 2036, 2100} {
		r := record(strconv.Itoa(i), ledger.Delivered)
		r.First = time.Date(year, 1, 1, 0, 0, 1, 0, time.UTC)
		r.Last, r.Next = r.First, r.First.AddDate(10, 0, 0)
		put(t, l, r)
	}
	l.end(t)
	if got := must[map[string][]ledger.Brief](t)(place.open(t).Briefs(t.Context(), "work", "INBOX", 7)); len(got) != 5 {
		t.Errorf("%d of 5 records are left", len(got))
	}
}

// headingIsKept: what names a message is there when the ledger is opened again, and takes no more room than other text.
func (s suite) headingIsKept(t *testing.T) {
	place := s.fresh(t)
	l := place.open(t)
	named, long := record("1", ledger.Delivered), record("2", ledger.Delivered)
	named.Heading = heading()
	long.Heading = ledger.Heading{From: strings.Repeat("f", 2*maxText), Subject: strings.Repeat("s", 2*maxText), MessageID: strings.Repeat("m", 2*maxText)}
	put(t, l, named, long)
	l.end(t)
	l = place.open(t)
	if got := list(t, l, ledger.Filter{UID: "1"})[0].Heading; got != heading() {
		t.Errorf("the ledger has %+v", got)
	}
	if found := list(t, l, ledger.Filter{MessageID: heading().MessageID}); len(found) != 1 || found[0].UID != "1" {
		t.Errorf("by its Message-ID is found %+v", found)
	}
	if found := list(t, l, ledger.Filter{MessageID: "another"}); len(found) != 0 {
		t.Errorf("by another Message-ID is found %+v", found)
	}
	got := list(t, l, ledger.Filter{UID: "2"})[0].Heading
	if len(got.From) != maxText || len(got.Subject) != maxText || len(got.MessageID) != maxText || !got.Date.IsZero() {
		t.Errorf("of a long one the ledger has %+v", got)
	}
	named.Heading = ledger.Heading{}
	put(t, l, named)
	if got := list(t, l, ledger.Filter{UID: "1"})[0].Heading; got != (ledger.Heading{}) {
		t.Errorf("written anew, it is %+v", got)
	}
}

// breaksAreKept: the sessions that ended at a message are counted in its record, and the plan sees that there were any.
func (s suite) breaksAreKept(t *testing.T) {
	l := s.fresh(t).open(t)
	broken, sound := record("1", ledger.Deferred), record("2", ledger.Deferred)
	broken.Breaks, broken.Charges, broken.Octets = 3, 2, 1<<40
	put(t, l, broken, sound)
	if rs := list(t, l, ledger.Filter{UID: "1"}); len(rs) != 1 || rs[0].Breaks != 3 || rs[0].Charges != 2 || rs[0].Octets != 1<<40 {
		t.Errorf("the ledger holds %+v", rs)
	}
	briefs := must[map[string][]ledger.Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	if !briefs["1"][0].Suspect || briefs["2"][0].Suspect {
		t.Errorf("in brief it holds %+v", briefs)
	}
}

// changeOfWhatHasNoRecord leaves no mailbox behind, which would count as a folder that mail was fetched from.
func (s suite) changeOfWhatHasNoRecord(t *testing.T) {
	l := s.fresh(t).open(t)
	keys := []ledger.Key{{Account: "work", Folder: "Never", UID: "1", Validity: 7}}
	for name, err := range map[string]error{
		"SetDisposed": l.SetDisposed(t.Context(), keys), "SetAbsent": l.SetAbsent(t.Context(), keys, true),
		"SetListed": l.SetListed(t.Context(), keys[0], 9), "Remove": l.Remove(t.Context(), keys),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if folders, err := l.Folders(t.Context(), "work"); err != nil || len(folders) != 0 {
		t.Errorf("folders %q, %v", folders, err)
	}
}

// Writers and readers at once: each sees a moment, and nothing is lost.
func (s suite) concurrent(t *testing.T) {
	l := s.fresh(t).open(t)
	const workers, each = 4, 40
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range each {
				r := record(fmt.Sprintf("%d-%d", w, i), ledger.Sending)
				err := l.Put(t.Context(), r)
				if err == nil {
					r.State = ledger.Delivered
					err = l.Put(t.Context(), r)
				}
				if err == nil && i%2 == 0 {
					err = l.SetDisposed(t.Context(), []ledger.Key{r.Key})
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		all.Go(func() {
			for last := 0; last < workers*each; {
				briefs, err := l.Briefs(t.Context(), "work", "INBOX", 7)
				if err != nil || len(briefs) < last {
					t.Errorf("%d records after %d: %v", len(briefs), last, err)
					return
				}
				last = len(briefs)
			}
		})
	}
	all.Wait()
	disposed := 0
	for uid, b := range must[map[string][]ledger.Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7)) {
		if b[0].State != ledger.Delivered {
			t.Errorf("%s is %s", uid, b[0].State)
		}
		if b[0].Disposed {
			disposed++
		}
	}
	if disposed != workers*each/2 {
		t.Errorf("%d disposed, want %d", disposed, workers*each/2)
	}
}
