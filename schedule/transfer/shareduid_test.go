package transfer

import (
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// Messages that share a UID need no look only if every one of them is surely a record's that wants nothing more.
func TestSharedAndDone(t *testing.T) {
	record := func(text string, listed int64) ledger.Brief {
		return ledger.Brief{UID: "twin", State: ledger.Delivered, Hash: hashOf(text), Listed: listed}
	}
	for name, c := range map[string]struct {
		change func(records []ledger.Brief, rules *listingRules) []ledger.Brief
		want   bool
	}{
		"as recorded":        {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { return r }, true},
		"one held":           {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[0].State = ledger.Held; return r }, true},
		"one deferred":       {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[0].State = ledger.Deferred; return r }, false},
		"one lost":           {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[0].State = ledger.Lost; return r }, false},
		"one never read":     {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[0].Hash = noHash; return r }, false},
		"one had gone":       {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[0].Absent = true; return r }, false},
		"one deleted":        {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[0].Disposed = true; return r }, false},
		"a record more":      {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { return append(r, record("c", 30)) }, false},
		"a record less":      {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { return r[:1] }, false},
		"another size":       {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[1].Listed = 21; return r }, false},
		"a size twice":       {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[1].Listed = 10; return r }, false},
		"a size unknown":     {func(r []ledger.Brief, _ *listingRules) []ledger.Brief { r[1].Listed = 0; return r }, false},
		"a pass that failed": {func(r []ledger.Brief, rules *listingRules) []ledger.Brief { rules.failed = true; return r }, false},
		"a day later":        {func(r []ledger.Brief, rules *listingRules) []ledger.Brief { rules.now = noon.Add(lookPeriod); return r }, false},
		"the first pass":     {func(r []ledger.Brief, rules *listingRules) []ledger.Brief { rules.lastPass = time.Time{}; return r }, false},
		"to be deleted": {func(r []ledger.Brief, rules *listingRules) []ledger.Brief {
			rules.disposal.onDelivered = fetch.Disposal{Action: fetch.Delete}
			return r
		}, false},
		"to be deleted later": {func(r []ledger.Brief, rules *listingRules) []ledger.Brief {
			rules.disposal.deleteAfter, rules.account = time.Hour, time.Hour
			return r
		}, false},
	} {
		rules := listingRules{now: noon, lastPass: noon.Add(-time.Hour)}
		records := c.change([]ledger.Brief{record("a", 10), record("b", 20)}, &rules)
		refs := []fetch.Ref{{UID: "twin", Seq: 1, Size: 20}, {UID: "single", Seq: 2, Size: 20}, {UID: "twin", Seq: 3, Size: 10}, {Seq: 4, Size: 5}, {Seq: 5, Size: 5}}
		listed := uidCounts{"twin": {listed: 2}, "single": {listed: 1}, "": {listed: 2}}
		got := sharedAndDone(refs, listed, map[string][]ledger.Brief{"twin": records, "single": {record("d", 20)}}, rules)
		if got["twin"] != c.want || got["single"] || got[""] {
			t.Errorf("%s: %v, want %t", name, got, c.want)
		}
	}
}
