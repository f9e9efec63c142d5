package ledger

import (
	"maps"
	"testing"
	"time"
)

// TestOverviews: what a monitor is told of several accounts is what the ledger holds of each, in all its folders.
func TestOverviews(t *testing.T) {
	l := open(t, t.TempDir())
	at := time.UnixMilli(1_700_000_000_000)
	make := func(account, folder, uid string, s State, first time.Time, change func(*Record)) Record {
		r := record(uid, s)
		r.Account, r.Folder, r.First = account, folder, first
		if change != nil {
			change(&r)
		}
		return r
	}
	put(t, l,
		make("work", "INBOX", "1", Delivered, at.Add(-9*time.Hour), nil),
		make("work", "INBOX", "2", Deferred, at.Add(-2*time.Hour), nil),
		make("work", "Lists", "3", Doubt, at.Add(-3*time.Hour), nil),
		make("work", "Lists", "4", Held, at.Add(-8*time.Hour), nil),
		make("work", "Lists", "5", Deferred, at.Add(-7*time.Hour), func(r *Record) { r.Absent = true }),
		make("club", "INBOX", "1", Delivered, at, nil),
		make("gone", "INBOX", "1", Held, at, nil))
	pass := Pass{Began: at, Ended: at.Add(time.Second), OK: true}
	if err := l.PassEnded(t.Context(), "work", pass); err != nil {
		t.Fatal(err)
	}
	all := must[[]Overview](t)(l.Overviews(t.Context(), []string{"work", "new", "club"}))
	if len(all) != 3 || all[0].Account != "work" || all[1].Account != "new" || all[2].Account != "club" {
		t.Fatalf("overviews of %+v", all)
	}
	work, fresh, club := all[0], all[1], all[2]
	if want := (map[State]int{Delivered: 1, Deferred: 2, Doubt: 1, Held: 1}); !maps.Equal(work.Counts, want) {
		t.Errorf("work has %v, want %v", work.Counts, want)
	}
	if want := at.Add(-3 * time.Hour); !work.Oldest.Equal(want) {
		t.Errorf("the oldest that waits is of %v, want %v", work.Oldest, want)
	}
	if !work.Success.Equal(pass.Ended) || !work.Last.OK {
		t.Errorf("last pass %+v, success %v", work.Last, work.Success)
	}
	if len(fresh.Counts) != 0 || !fresh.Oldest.IsZero() || !fresh.Last.Began.IsZero() {
		t.Errorf("of an account without records: %+v", fresh)
	}
	if len(club.Counts) != 1 || club.Counts[Delivered] != 1 || !club.Oldest.IsZero() {
		t.Errorf("of club: %+v", club)
	}
}
