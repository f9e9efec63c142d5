package transfer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
)

func TestRetrievalInBatches(t *testing.T) {
	refs := listingOf(false, "a/1 b/1 c/1 d/1 e/1").Refs
	for size, want := range map[int]string{0: "a b c d e", 1: "a|b|c|d|e", 2: "a b|c d|e", 5: "a b c d e", 6: "a b c d e"} {
		r := newRetrieval(refs, size)
		var got []string
		for batch := r.next(); len(batch) > 0; batch = r.next() {
			got = append(got, uids(batch))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("by %d: %q, want %q", size, got, want)
		}
	}
}

// TestRetrievalRestarts: what came in a session that broke is not asked for again, the rest is, by the names of the
// next session, and counts as the messages of the first listing.
func TestRetrievalRestarts(t *testing.T) {
	first := listingOf(true, "a/1 b/1 c/1 d/1")
	for _, c := range []struct {
		name  string
		came  []int  // of the first batch of two, by their numbers in the first listing
		now   string // the next session's listing
		again map[int]int
		want  string // numbers there > numbers in the first listing
	}{
		{"all certain", []int{1, 2}, "b/1 c/1 d/1", map[int]int{2: 1, 3: 2, 4: 3}, "2>3 3>4"},
		{"one had not come", []int{1}, "b/1 c/1 d/1", map[int]int{2: 1, 3: 2, 4: 3}, "1>2 2>3 3>4"},
		{"none had come", nil, "a/1 b/1 c/1 d/1", map[int]int{1: 1, 2: 2, 3: 3, 4: 4}, "1>1 2>2 3>3 4>4"},
		{"nothing certain, the same names", []int{1, 2}, "a/1 b/1 c/1 d/1", nil, "3>3 4>4"},
		{"nothing certain, other names", []int{1, 2}, "x/1 y/1 z/1", nil, ""},
		{"nothing certain, one name is still there", []int{1, 2}, "x/1 y/1 c/1", nil, "3>3"},
		{"an empty mailbox", []int{1}, "", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRetrieval(first.Refs, 2)
			r.next()
			for _, n := range c.came {
				if got := r.arrived(first.Refs[n-1]); got != first.Refs[n-1] {
					t.Errorf("in the first session %v is called %v", first.Refs[n-1], got)
				}
			}
			now := listingOf(true, c.now)
			again := map[fetch.Ref]fetch.Ref{}
			for from, to := range c.again {
				again[first.Refs[from-1]] = now.Refs[to-1]
			}
			r.restart(now.Refs, again)
			var got []string
			for batch := r.next(); len(batch) > 0; batch = r.next() {
				for _, ref := range batch {
					got = append(got, fmt.Sprintf("%d>%d", ref.Seq, r.arrived(ref).Seq))
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestRetrievalRestartsTwice: a message keeps the name of the first listing through several sessions.
func TestRetrievalRestartsTwice(t *testing.T) {
	first, second, third := listingOf(true, "a/1 b/1 c/1"), listingOf(true, "b/1 c/1"), listingOf(true, "c/1")
	r := newRetrieval(first.Refs, 1)
	r.arrived(r.next()[0])
	r.restart(second.Refs, map[fetch.Ref]fetch.Ref{first.Refs[1]: second.Refs[0], first.Refs[2]: second.Refs[1]})
	r.arrived(r.next()[0])
	r.restart(third.Refs, map[fetch.Ref]fetch.Ref{first.Refs[2]: third.Refs[0]})
	batch := r.next()
	if len(batch) != 1 || batch[0] != third.Refs[0] || r.arrived(batch[0]) != first.Refs[2] {
		t.Errorf("asked for %v, want the last message", batch)
	}
	if rest := r.next(); len(rest) > 0 {
		t.Errorf("and then for %v", rest)
	}
}

func TestRetrievalGivesUpAfterManyBrokenSessions(t *testing.T) {
	r := newRetrieval(nil, 0)
	for n := range maxBroken {
		if !r.sessionBroke() {
			t.Fatalf("gives up after %d sessions", n+1)
		}
	}
	if r.sessionBroke() {
		t.Error("never gives up")
	}
}
