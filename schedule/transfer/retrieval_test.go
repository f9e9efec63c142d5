package transfer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

func TestRetrievalInSets(t *testing.T) {
	refs := listingOf(false, "a/1 b/1 c/1 d/1 e/1").Refs
	for size, want := range map[int]string{0: "a b c d e", 1: "a|b|c|d|e", 2: "a b|c d|e", 5: "a b c d e", 6: "a b c d e"} {
		r := newRetrieval(&plan{retrieve: refs}, size, maxSuspects)
		var got []string
		for set := r.next(); len(set) > 0; set = r.next() {
			got = append(got, uids(set))
			r.succeeded()
		}
		if strings.Join(got, "|") != want {
			t.Errorf("by %d: %q, want %q", size, got, want)
		}
	}
}

// server is one that a plan is tried against: for each set, by the UIDs in it, what comes of it and how it ends.
type server struct {
	// closes are the messages at which it closes; silent those without a body of which an octet comes.
	closes string
	// limit closes on sets that are larger, refuses are the messages for which it refuses the set, busy says how.
	limit   int
	refuses string
	busy    bool
}

// play asks it for everything, as the pipeline does, and returns the sets, with ! where the session broke, ~ where the set
// was refused, and [] around a set that wanted a fresh session.
func (s server) play(t *testing.T, r *retrieval) (sets []string, came []string) {
	t.Helper()
	for {
		more, alone := r.more()
		if !more {
			return sets, came
		}
		set := r.next()
		shown := uids(set)
		if alone {
			shown = "[" + shown + "]"
		}
		broke, refused := s.limit > 0 && len(set) > s.limit, false
		for _, ref := range set {
			if broke {
				break
			}
			if refused = strings.Contains(s.refuses, ref.UID); refused {
				break
			}
			first := r.arrived(ref)
			if broke = strings.Contains(s.closes, ref.UID); !broke {
				r.came(first)
				came = append(came, first.UID)
			}
		}
		switch {
		case broke:
			shown += "!"
			r.broke()
			r.restart(slices.Concat(r.left, r.suspects), nil)
		case refused:
			shown += "~"
			if _, everything := r.refused(s.busy); everything {
				return append(sets, shown, "everything is refused"), came
			}
		default:
			r.succeeded()
		}
		sets = append(sets, shown)
		if len(sets) > 60 {
			t.Fatalf("no end: %q", sets)
		}
	}
}

// TestRetrievalGoesRoundSuspects: what comes before and behind a message that breaks sessions comes first, in sets that
// shrink; the suspects come last, each alone.
func TestRetrievalGoesRoundSuspects(t *testing.T) {
	for _, c := range []struct {
		name, listing, known string
		size, tries          int
		server               server
		sets, came           string
	}{
		{"one closes", "a b c d e f g h", "", 8, 5, server{closes: "c"}, "a b c d e f g h!|d e f g|h|[c]!", "abdefgh"},
		{"two close", "a b c d e f g h", "", 8, 5, server{closes: "ce"}, "a b c d e f g h!|d e f g!|f g|h|[c]!|[e]!", "abdfgh"},
		{"the first closes", "a b c d", "", 8, 5, server{closes: "a"}, "a b c d!|b c|d|[a]!", "bcd"},
		{"the only one closes", "a", "", 8, 5, server{closes: "a"}, "a!|[a]!", ""},
		{"sets that are too large", "a b c d e f g h", "", 8, 5, server{limit: 3}, "a b c d e f g h!|b c d e!|c d|e f|g h|[a]|[b]", "cdefghab"},
		{"a known suspect is last", "b c d", "a", 8, 5, server{closes: "a"}, "b c d|[a]!", "bcd"},
		{"known suspects that come are asked for one by one", "", "a b", 8, 5, server{}, "[a]|[b]", "ab"},
		{"only so many suspects", "", "a b c d", 8, 3, server{closes: "abcd"}, "[a]!|[b]!|[c]!", ""},
		{"one is refused", "a b c d e f g h", "", 8, 5, server{refuses: "f"}, "a b c d e f g h~|f~|g|h", "abcdegh"},
		{"the first is refused", "a b c d e f g h", "", 8, 5, server{refuses: "a", busy: true}, "a b c d e f g h~|a b c d~|a b~|a~|b|c d|e f g h", "bcdefgh"},
		{"sets grow again, to half of what broke", "a b c d e f g h i j k l", "", 8, 5, server{closes: "a", refuses: "b"},
			"a b c d e f g h!|b c d e~|b c~|b~|c|d e|f g h i|j k l|[a]!", "cdefghijkl"},
		{"a busy server refuses everything", "a b c d e f g h", "", 1, 5, server{refuses: "abcdefgh", busy: true}, "a~|b~|c~|everything is refused", ""},
		{"all are refused without a reason", "a b c d e f g h", "", 1, 5, server{refuses: "abcdefgh"}, "a~|b~|c~|d~|e~|f~|g~|h~", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := func(names string) []fetch.Ref {
				if names == "" {
					return nil
				}
				return listingOf(false, strings.ReplaceAll(names, " ", "/1 ")+"/1").Refs
			}
			sets, came := c.server.play(t, newRetrieval(&plan{retrieve: list(c.listing), suspects: list(c.known)}, c.size, c.tries))
			if got := strings.Join(sets, "|"); got != c.sets {
				t.Errorf("asked for %q\nwant      %q", got, c.sets)
			}
			if got := strings.Join(came, ""); got != c.came {
				t.Errorf("%q came, want %q", got, c.came)
			}
		})
	}
}

// TestRetrievalSuspectsWhatWasUnderWay: servers may send in another order than they were asked in.
func TestRetrievalSuspectsWhatWasUnderWay(t *testing.T) {
	refs := listingOf(false, "a/1 b/1 c/1").Refs
	r := newRetrieval(&plan{retrieve: refs}, 0, maxSuspects)
	r.next()
	r.came(r.arrived(refs[2]))
	r.arrived(refs[1])
	if got := r.broke(); got == nil || got.UID != "b" {
		t.Errorf("%v is suspected, want b", got)
	}
	r.restart(refs, nil)
	r.next()
	r.came(r.arrived(refs[0]))
	if got := r.broke(); got != nil {
		t.Errorf("%v is suspected, and everything came", got)
	}
}

// TestRetrievalRestarts: what came in a session that broke is not asked for again, the rest is, by the names of the
// next session, and counts as the messages of the first listing.
func TestRetrievalRestarts(t *testing.T) {
	first := listingOf(true, "a/1 b/1 c/1 d/1")
	for _, c := range []struct {
		name  string
		came  []int  // of the first set of two, by their numbers in the first listing
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
			r := newRetrieval(&plan{retrieve: first.Refs}, 2, maxSuspects)
			r.next()
			for _, n := range c.came {
				got := r.arrived(first.Refs[n-1])
				if got != first.Refs[n-1] {
					t.Errorf("in the first session %v is called %v", first.Refs[n-1], got)
				}
				r.came(got)
			}
			r.giveBack()
			now := listingOf(true, c.now)
			again := map[fetch.Ref]fetch.Ref{}
			for from, to := range c.again {
				again[first.Refs[from-1]] = now.Refs[to-1]
			}
			r.restart(now.Refs, again)
			var got []string
			for set := r.next(); len(set) > 0; set = r.next() {
				for _, ref := range set {
					was := r.arrived(ref)
					got = append(got, fmt.Sprintf("%d>%d", ref.Seq, was.Seq))
					r.came(was)
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
	r := newRetrieval(&plan{retrieve: first.Refs}, 1, maxSuspects)
	r.came(r.arrived(r.next()[0]))
	r.restart(second.Refs, map[fetch.Ref]fetch.Ref{first.Refs[1]: second.Refs[0], first.Refs[2]: second.Refs[1]})
	r.came(r.arrived(r.next()[0]))
	r.restart(third.Refs, map[fetch.Ref]fetch.Ref{first.Refs[2]: third.Refs[0]})
	set := r.next()
	if len(set) != 1 || set[0] != third.Refs[0] || r.arrived(set[0]) != first.Refs[2] {
		t.Fatalf("asked for %v, want the last message", set)
	}
	r.came(first.Refs[2])
	if rest := r.next(); len(rest) > 0 {
		t.Errorf("and then for %v", rest)
	}
}

// TestBreakageIsChargedByDeeds says which breaks count against a message.
func TestBreakageIsChargedByDeeds(t *testing.T) {
	lost := &fetch.Error{Kind: fetch.Unreachable, Op: "RETR", Err: errors.New("EOF")}
	ref := fetch.Ref{Folder: "INBOX", UID: "a", Size: 99}
	since := func(d time.Duration) time.Time { return noon.Add(-d) }
	for _, c := range []struct {
		name           string
		last           ledger.Record
		b              breakage
		others, lonely bool
		want           ledger.State
		charges        int
	}{
		{"in a set", ledger.Record{}, breakage{}, true, false, ledger.Deferred, 0},
		{"alone, others came", ledger.Record{}, breakage{alone: true}, true, false, ledger.Deferred, 1},
		{"alone, none other came", ledger.Record{Breaks: 9, First: since(48 * time.Hour)}, breakage{alone: true}, false, false, ledger.Deferred, 0},
		{"alone the third time, others came", ledger.Record{Breaks: 4, Charges: 2, First: since(time.Hour)}, breakage{alone: true}, true, false, ledger.Held, 3},
		{"in a set the third time", ledger.Record{Breaks: 4, Charges: 2}, breakage{}, true, false, ledger.Deferred, 2},
		{"further than ever before", ledger.Record{Breaks: 4, Charges: 2, Octets: 10}, breakage{alone: true, octets: 11}, true, false, ledger.Deferred, 2},
		{"as far as before", ledger.Record{Breaks: 4, Charges: 2, Octets: 10}, breakage{alone: true, octets: 10}, true, false, ledger.Held, 3},
		{"the only message, tried often for a day", ledger.Record{Breaks: 4, First: since(25 * time.Hour)}, breakage{alone: true}, false, true, ledger.Held, 0},
		{"the only message, tried often for an hour", ledger.Record{Breaks: 99, First: since(time.Hour)}, breakage{alone: true}, false, true, ledger.Deferred, 0},
		{"the only message, tried four times in a day", ledger.Record{Breaks: 3, First: since(25 * time.Hour)}, breakage{alone: true}, false, true, ledger.Deferred, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.last.Key = folderKey{account: "work", name: "INBOX"}.key("a", noHash)
			c.b.ref, c.b.cause = ref, lost
			b := c.b.after(c.last, Retry{Min: time.Minute, Max: time.Hour}, noon)
			if b.record.State != ledger.Deferred || b.record.Breaks != c.last.Breaks+1 || b.record.Charges != c.last.Charges || b.record.Key != c.last.Key {
				t.Errorf("at once it is %+v", b.record)
			}
			rec, changed := b.sentence(c.others, c.lonely)
			if rec.State != c.want || rec.Charges != c.charges {
				t.Errorf("it is %s with %d charges, want %s with %d", rec.State, rec.Charges, c.want, c.charges)
			}
			if differs := rec.State != b.record.State || rec.Charges != b.record.Charges; changed != differs {
				t.Errorf("changed is %v, and it differs: %v", changed, differs)
			}
			if !strings.Contains(rec.Why, "the server ended the session at this message") {
				t.Errorf("a person is told %q", rec.Why)
			}
		})
	}
}

// TestBreakageIsDueSoonAtFirst: the first time that a session ends others may be to blame; later the tries are spaced.
func TestBreakageIsDueSoonAtFirst(t *testing.T) {
	for _, c := range []struct {
		kind   fetch.Kind
		breaks int
		wait   time.Duration
		why    string
	}{
		{fetch.Unreachable, 0, 0, "ended the session"},
		{fetch.Unreachable, 1, time.Minute, "ended the session"},
		{fetch.Protocol, 2, 2 * time.Minute, "ended the session"},
		{fetch.Unreachable, 9, time.Hour, "ended the session"},
		{fetch.Gone, 0, time.Minute, "does not hand it over"},
		{fetch.Incomplete, 1, 2 * time.Minute, "does not hand it over"},
	} {
		b := breakage{cause: &fetch.Error{Kind: c.kind, Op: "RETR"}}.after(ledger.Record{Breaks: c.breaks, Absent: true}, Retry{Min: time.Minute, Max: time.Hour}, noon)
		if !b.record.Next.Equal(noon.Add(c.wait)) || b.record.Absent || !b.record.First.Equal(noon) {
			t.Errorf("%v after %d: %+v, want it due in %v", c.kind, c.breaks+1, b.record, c.wait)
		}
		if !strings.Contains(b.record.Why, c.why) {
			t.Errorf("%v: a person is told %q", c.kind, b.record.Why)
		}
	}
}

// TestRetrievalAsksForNewMailFirst: what was tried before comes in sets of its own, also when a session has ended.
func TestRetrievalAsksForNewMailFirst(t *testing.T) {
	refs := listingOf(false, "a/1 b/1 c/1 d/1 e/1").Refs
	r := newRetrieval(&plan{retrieve: []fetch.Ref{refs[1], refs[2], refs[4]}, retries: []fetch.Ref{refs[0], refs[3]}}, 2, maxSuspects)
	var got []string
	for set := r.next(); len(set) > 0; set = r.next() {
		got = append(got, uids(set))
		if len(got) == 2 {
			r.giveBack()
			continue
		}
		r.succeeded()
	}
	if want := "b c|e|e|a d"; strings.Join(got, "|") != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// TestStarvedRetriesComeInSetsOfTheirOwn: within a set the server has its own order, and what comes first may stop the pass.
// So what an earlier pass did not come to does not share a set with what that pass has tried.
func TestStarvedRetriesComeInSetsOfTheirOwn(t *testing.T) {
	refs := listingOf(false, "1/1 2/1 3/1 4/1 5/1").Refs
	p := &plan{retrieve: refs[:1], retries: []fetch.Ref{refs[4], refs[2], refs[1], refs[3]}, starved: map[fetch.Ref]bool{refs[4]: true, refs[2]: true}}
	r := newRetrieval(p, 0, maxSuspects)
	var got []string
	for set := r.next(); len(set) > 0; set = r.next() {
		got = append(got, uids(set))
		r.succeeded()
	}
	if want := "1|5 3|2 4"; strings.Join(got, "|") != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// TestStarvedSuspectsComeBeforeRetries: what retries meet may stop every pass before its end. A suspect that an earlier
// pass did not come to is asked for before them, alone, and never before new mail; others wait for the end.
func TestStarvedSuspectsComeBeforeRetries(t *testing.T) {
	refs := listingOf(false, "new/1 retry/1 starved/1 other/1").Refs
	p := &plan{retrieve: refs[:1], retries: refs[1:2], suspects: refs[2:], starved: map[fetch.Ref]bool{refs[2]: true}}
	r := newRetrieval(p, 2, maxSuspects)
	var got []string
	for set := r.next(); len(set) > 0; set = r.next() {
		got = append(got, fmt.Sprintf("%s %t", uids(set), r.alone))
		r.succeeded()
	}
	if want := "new false|starved true|retry false|other true"; strings.Join(got, "|") != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// TestRefusalsBetweenMessagesThatCome: however many single messages the server refuses, it does not refuse everything as long as others
// come between them.
func TestRefusalsBetweenMessagesThatCome(t *testing.T) {
	for _, busy := range []bool{true, false} {
		listing := listingOf(false, strings.Repeat("a/1 ", 3*maxRefused))
		r := newRetrieval(&plan{retrieve: listing.Refs}, 1, maxSuspects)
		for n := 0; ; n++ {
			set := r.next()
			if len(set) == 0 {
				break
			}
			if n%2 == 0 {
				r.came(r.arrived(set[0]))
				r.succeeded()
			} else if _, everything := r.refused(busy); everything {
				t.Fatalf("busy %t: after %d messages everything counts as refused", busy, n)
			}
		}
	}
}
