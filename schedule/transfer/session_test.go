package transfer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
)

// listingOf makes a listing of words "UID/SIZE", numbered from one.
func listingOf(reusable bool, words string) *fetch.Listing {
	l := &fetch.Listing{Reusable: reusable}
	for i, w := range strings.Fields(words) {
		ref := fetch.Ref{Seq: uint32(i + 1)}
		uid, size, _ := strings.Cut(w, "/")
		ref.UID = strings.TrimSuffix(uid, "none")
		if _, err := fmt.Sscan(size, &ref.Size); err != nil {
			panic(err)
		}
		l.Refs = append(l.Refs, ref)
	}
	return l
}

func TestRematch(t *testing.T) {
	const none = "nothing"
	for name, c := range map[string]struct {
		first, now string
		asked      []int  // by their numbers in the first listing
		want       string // pairs FIRST>NOW of numbers
	}{
		"nothing happened":                {"a/1 b/2 c/3", "a/1 b/2 c/3", []int{1, 2}, "1>1 2>2 3>3"},
		"new mail at the end":             {"a/1 b/2", "a/1 b/2 c/3 d/4", nil, "1>1 2>2"},
		"an empty mailbox":                {"", "a/1", nil, ""},
		"deleted without QUIT":            {"a/1 b/2 c/3", "b/2", []int{1, 3}, "2>1"},
		"all deleted without QUIT":        {"a/1 b/2", "", []int{1, 2}, ""},
		"one gone by another hand":        {"a/1 b/2 c/3", "a/1 c/3", []int{1, 3}, none},
		"the last gone by another hand":   {"a/1 b/2 c/3", "a/1 b/2", []int{1, 2}, none},
		"all gone by another hand":        {"a/1 b/2", "", []int{1}, none},
		"given to another in its place":   {"a/1 b/2", "a/5 b/2", []int{1}, none},
		"given to another at the end":     {"a/1 b/2", "b/2 a/1", []int{2}, none},
		"positions that move up":          {"1/10 2/20 3/30", "1/20 2/30 3/10", []int{1, 3}, none},
		"another order":                   {"a/1 b/2 c/3", "a/1 c/3 b/2", nil, none},
		"new mail in front":               {"a/1 b/2", "n/9 a/1 b/2", nil, none},
		"the exact size, now known":       {"a/1 b/2", "a/101 b/2", nil, "1>1 2>2"},
		"another size than was retrieved": {"a/1 b/2", "a/102 b/2", nil, none},
		"sizes unknown":                   {"a/-1 b/-1", "a/-1 b/-1", nil, "1>1 2>2"},
		"one UID for two":                 {"t/5 t/5 c/3", "t/5 t/5 c/3", []int{1}, "1>1 2>2 3>3"},
		"one UID for two, the first gone": {"t/5 t/5 c/3", "t/5 c/3", []int{1}, none},
		"one UID for two, the last gone":  {"t/5 t/5 c/3", "t/5 c/3", []int{2}, "1>1 3>2"},
		"without UIDs":                    {"none/1 none/2", "none/1 none/2", []int{1}, ""},
		"one without a UID":               {"a/1 none/2 c/3", "a/1 none/2 c/3", []int{1}, "1>1 3>3"},
		"one without a UID, and gone":     {"a/1 none/2 c/3", "a/1 c/3", []int{2}, "1>1 3>2"},
	} {
		t.Run(name, func(t *testing.T) {
			first, now := listingOf(true, c.first), listingOf(true, c.now)
			asked, real := map[fetch.Ref]bool{}, map[fetch.Ref]int64{}
			for _, ref := range first.Refs {
				asked[ref] = slices.Contains(c.asked, int(ref.Seq))
				if ref.UID == "a" {
					real[ref] = 101
				}
			}
			if got := pairs(rematch(first, now, asked, real)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestRematchWhereUIDsLast: with IMAP the UIDs alone tell, under the same UIDVALIDITY.
func TestRematchWhereUIDsLast(t *testing.T) {
	first, now := listingOf(false, "1/-1 2/-1 3/-1"), listingOf(false, "1/-1 3/-1 7/-1")
	if got := pairs(rematch(first, now, nil, nil)); got != "1>1 3>2" {
		t.Errorf("got %q, want the first and the third", got)
	}
	now.Validity = 2
	if got := pairs(rematch(first, now, nil, nil)); got != "nothing" {
		t.Errorf("under another UIDVALIDITY got %q", got)
	}
}

// pairs writes a match as the tables have it.
func pairs(again map[fetch.Ref]fetch.Ref) string {
	if again == nil {
		return "nothing"
	}
	var out []string
	for _, ref := range slices.SortedFunc(maps.Keys(again), func(a, b fetch.Ref) int { return int(a.Seq) - int(b.Seq) }) {
		out = append(out, fmt.Sprintf("%d>%d", ref.Seq, again[ref].Seq))
	}
	return strings.Join(out, " ")
}
