package transfer

import (
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

func TestFromWhereOnAFolderIsListed(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	last := ledger.Listing{Validity: 7, Next: 11, Messages: 10, ModSeq: 100, Whole: now.Add(-2 * time.Hour), Due: time.Hour, Rules: "keep"}
	rules := sinceRules{now: now, account: 30 * time.Minute, rules: "keep"}
	for name, c := range map[string]struct {
		change func(*ledger.Listing, *sinceRules)
		whole  bool
	}{
		"all as it was":               {func(*ledger.Listing, *sinceRules) {}, false},
		"nothing is remembered":       {func(l *ledger.Listing, _ *sinceRules) { *l = ledger.Listing{} }, true},
		"another configuration":       {func(_ *ledger.Listing, r *sinceRules) { r.rules = "delete" }, true},
		"the last pass failed":        {func(_ *ledger.Listing, r *sinceRules) { r.failed = true }, true},
		"a person asks":               {func(_ *ledger.Listing, r *sinceRules) { r.asked = true }, true},
		"a message has no verdict":    {func(_ *ledger.Listing, r *sinceRules) { r.unfinished = true }, true},
		"a day ago":                   {func(l *ledger.Listing, _ *sinceRules) { l.Whole = now.Add(-24 * time.Hour) }, true},
		"nearly a day ago":            {func(l *ledger.Listing, _ *sinceRules) { l.Whole = now.Add(time.Second - 24*time.Hour) }, false},
		"an hour, without CONDSTORE":  {func(l *ledger.Listing, _ *sinceRules) { l.ModSeq, l.Whole = 0, now.Add(-time.Hour) }, true},
		"minutes, without CONDSTORE":  {func(l *ledger.Listing, _ *sinceRules) { l.ModSeq, l.Whole = 0, now.Add(-time.Minute) }, false},
		"the clock was set back":      {func(l *ledger.Listing, _ *sinceRules) { l.Whole = now.Add(time.Minute) }, true},
		"something is due":            {func(_ *ledger.Listing, r *sinceRules) { r.account = time.Hour }, true},
		"nothing is due by time ever": {func(l *ledger.Listing, r *sinceRules) { l.Due, r.account = 0, time.Hour }, false},
	} {
		l, r := last, rules
		c.change(&l, &r)
		want := fetch.Status{Validity: 7, Next: 11, Messages: 10, ModSeq: l.ModSeq}
		if c.whole {
			want = fetch.Status{}
		}
		if got := sinceLast(l, r); got != want {
			t.Errorf("%s: since %+v, want %+v", name, got, want)
		}
	}
}

func TestWhenTimeAloneMakesAMessageDue(t *testing.T) {
	hash := [32]byte{1}
	rules := disposalRules{onRefused: fetch.Disposal{Action: fetch.Delete}, deleteAfter: time.Hour}
	for name, c := range map[string]struct {
		due    time.Duration
		briefs []ledger.Brief
		want   time.Duration
	}{
		"nothing is known":                 {},
		"delivered":                        {0, []ledger.Brief{{State: ledger.Delivered, Hash: hash, Ran: time.Minute}}, 61 * time.Minute},
		"delivered, and flagged":           {0, []ledger.Brief{{State: ledger.Delivered, Hash: hash, Ran: time.Minute, Disposed: true}}, 61 * time.Minute},
		"in quarantine, later than others": {time.Hour, []ledger.Brief{{State: ledger.Quarantined, Hash: hash, Ran: time.Minute}}, time.Hour},
		"sooner than others":               {2 * time.Hour, []ledger.Brief{{State: ledger.Delivered, Hash: hash, Ran: time.Minute}}, 61 * time.Minute},
		"refused":                          {time.Hour, []ledger.Brief{{State: ledger.Refused, Hash: hash, Ran: time.Minute}}, time.Millisecond},
		"never read":                       {0, []ledger.Brief{{State: ledger.Delivered}}, 0},
		"gone":                             {0, []ledger.Brief{{State: ledger.Delivered, Hash: hash, Absent: true}}, 0},
		"held":                             {0, []ledger.Brief{{State: ledger.Held, Hash: hash}}, 0},
	} {
		if got := rules.soonest(c.due, c.briefs); got != c.want {
			t.Errorf("%s: due at %v, want %v", name, got, c.want)
		}
	}
	if got := (disposalRules{}).soonest(0, []ledger.Brief{{State: ledger.Delivered, Hash: hash}, {State: ledger.Refused, Hash: hash}}); got != 0 {
		t.Errorf("what is kept is due at %v", got)
	}
}

func TestWhatIsRememberedOfAVisit(t *testing.T) {
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	status := fetch.Status{Validity: 7, Next: 11, Messages: 10, ModSeq: 100}
	rules := afterRules{last: ledger.Listing{Whole: began.Add(-time.Hour), Due: 3 * time.Hour}, began: began, account: time.Hour, rules: "keep"}
	want := ledger.Listing{Validity: 7, Next: 11, Messages: 10, ModSeq: 100, Whole: began, Rules: "keep"}
	deletes := disposalRules{deleteAfter: time.Hour, onRefused: fetch.Disposal{Action: fetch.Delete}}
	earlier := want
	earlier.Whole = rules.last.Whole
	at := func(l ledger.Listing, due time.Duration) ledger.Listing { l.Due = due; return l }
	one := []fetch.Ref{{UID: "1"}}
	for name, c := range map[string]struct {
		status   fetch.Status
		plan     plan
		after    Summary
		disposal disposalRules
		want     ledger.Listing
	}{
		"a whole listing":                        {status, plan{}, Summary{Delivered: 1}, disposalRules{}, want},
		"a whole listing with something due":     {status, plan{due: 2 * time.Hour}, Summary{}, disposalRules{}, at(want, 2*time.Hour)},
		"a partial one":                          {status, plan{partial: true}, Summary{}, disposalRules{}, at(earlier, 3*time.Hour)},
		"a partial one with something due first": {status, plan{partial: true, due: 2 * time.Hour}, Summary{}, disposalRules{}, at(earlier, 2*time.Hour)},
		"delivered, to be deleted later":         {status, plan{}, Summary{Delivered: 1}, deletes, at(want, 2*time.Hour)},
		"in quarantine, to be deleted later":     {status, plan{due: 3 * time.Hour}, Summary{Quarantined: 1}, deletes, at(want, 2*time.Hour)},
		"nothing delivered":                      {status, plan{}, Summary{Deferred: 1}, deletes, want},
		"refused, to be disposed of":             {status, plan{}, Summary{Refused: 1}, deletes, at(want, time.Millisecond)},
		"refused, to be kept":                    {status, plan{}, Summary{Refused: 1}, disposalRules{}, want},
		"the server says nothing of the folder":  {fetch.Status{}, plan{}, Summary{}, disposalRules{}, ledger.Listing{}},
		"messages were removed":                  {status, plan{}, Summary{Settled: 1}, disposalRules{}, ledger.Listing{}},
		"messages could not be removed":          {status, plan{}, Summary{Unsettled: 1}, disposalRules{}, ledger.Listing{}},
		"a search left some out":                 {status, plan{counts: Counts{LeftOut: 1}}, Summary{}, disposalRules{}, ledger.Listing{}},
		"new mail under names that last":         {status, plan{lastingUIDs: true, retrieve: one}, Summary{Delivered: 1}, disposalRules{}, want},
		"new mail under names that do not":       {status, plan{retrieve: one}, Summary{Delivered: 1}, disposalRules{}, ledger.Listing{}},
		"mail that was tried again":              {status, plan{retries: one}, Summary{Delivered: 1}, disposalRules{}, ledger.Listing{}},
		"mail that may be other mail":            {status, plan{suspects: one}, Summary{}, disposalRules{}, ledger.Listing{}},
	} {
		r := rules
		r.disposal = c.disposal
		if got, certain := listingAfter(c.status, &c.plan, Summary{}, c.after, r); got != c.want || certain != (c.want != ledger.Listing{}) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, certain, c.want)
		}
	}
}

// TestRecordsOfWhatAPartialListingLeavesOut: their messages are upstream as before, and what is new is none of them.
func TestRecordsOfWhatAPartialListingLeavesOut(t *testing.T) {
	record := func(validity uint32, uid string, absent bool) ledger.Record {
		return ledger.Record{Key: ledger.Key{Validity: validity, UID: uid}, Absent: absent}
	}
	all := []ledger.Record{record(7, "1", false), record(7, "2", true), record(7, "9", false), record(6, "1", false)}
	p := &plan{listed: uidCounts{"9": {listed: 1}}}
	if got := p.notListedBefore(all, ledger.Key{Validity: 7}); len(got) != 4 {
		t.Errorf("of a whole listing: %v", got)
	}
	p.partial = true
	if got := p.notListedBefore(all, ledger.Key{Validity: 7}); len(got) != 3 || got[0].UID != "2" || got[1].UID != "9" || got[2].Validity != 6 {
		t.Errorf("of a partial listing: %v; want what is absent, listed, or of another UIDVALIDITY", got)
	}
}
