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
