package ledgertest

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

func (s suite) passes(t *testing.T) {
	l := s.fresh(t).open(t)
	ctx := t.Context()
	at := time.UnixMilli(1_700_000_000_000)
	check := func(step string, want ledger.Pass, success time.Time) {
		t.Helper()
		got, gotSuccess, err := l.LastPass(ctx, "work")
		if err != nil || got != want || !gotSuccess.Equal(success) {
			t.Errorf("%s: LastPass = %+v, %v, %v\nwant %+v, %v", step, got, gotSuccess, err, want, success)
		}
	}
	check("new", ledger.Pass{}, time.Time{})

	began := ledger.Pass{Began: at}
	if err := l.PassBegan(ctx, "work", ledger.Pass{Began: at, OK: true, Ended: at}); err != nil {
		t.Fatal(err)
	}
	check("began", began, time.Time{})

	stopped := ledger.Pass{Began: at, Ended: at.Add(time.Second), Error: "too many new messages"}
	if err := l.PassEnded(ctx, "work", stopped); err != nil {
		t.Fatal(err)
	}
	check("failed", stopped, time.Time{})

	good := ledger.Pass{Began: at, Ended: at.Add(time.Minute), OK: true, Listed: 9, Delivered: 5, Deferred: 1, Refused: 1, Held: 1, InDoubt: 1}
	if err := l.PassEnded(ctx, "work", good); err != nil {
		t.Fatal(err)
	}
	check("succeeded", good, good.Ended)

	if err := l.PassEnded(ctx, "work", stopped); err != nil {
		t.Fatal(err)
	}
	check("failed again, the last success stays", stopped, good.Ended)
	if other, success, err := l.LastPass(ctx, "home"); err != nil || other != (ledger.Pass{}) || !success.IsZero() {
		t.Errorf("an account without passes has %+v, %v, %v", other, success, err)
	}
}

// toldOutlivesTheProcess: what was told of an account is known at the next start, for that account alone, until it is
// taken back.
func (s suite) toldOutlivesTheProcess(t *testing.T) {
	place := s.fresh(t)
	want := ledger.Told{What: "no route", Since: time.UnixMilli(1_800_000_000_000), At: time.UnixMilli(1_800_000_100_000), Times: 7}
	l := place.open(t)
	for _, told := range []ledger.Told{{What: "before", Times: 1}, want} {
		if err := l.SetTold(t.Context(), "work", told); err != nil {
			t.Fatal(err)
		}
	}
	l.end(t)
	l = place.open(t)
	if got, other := must[ledger.Told](t)(l.Told(t.Context(), "work")), must[ledger.Told](t)(l.Told(t.Context(), "home")); got != want || other != (ledger.Told{}) {
		t.Errorf("%+v of work, %+v of home", got, other)
	}
	if err := l.SetTold(t.Context(), "work", ledger.Told{}); err != nil {
		t.Fatal(err)
	}
	if got := must[ledger.Told](t)(l.Told(t.Context(), "work")); got != (ledger.Told{}) {
		t.Errorf("taken back, it is %+v", got)
	}
	if err := l.SetTold(t.Context(), "", want); ledger.KindOf(err) != ledger.Invalid {
		t.Errorf("no account: %v", err)
	}
}

// overviews: what a monitor is told of several accounts is what the ledger holds of each, in all its folders.
func (s suite) overviews(t *testing.T) {
	l := s.fresh(t).open(t)
	at := time.UnixMilli(1_700_000_000_000)
	make := func(account, folder, uid string, s ledger.State, first time.Time, change func(*ledger.Record)) ledger.Record {
		r := record(uid, s)
		r.Account, r.Folder, r.First = account, folder, first
		if change != nil {
			change(&r)
		}
		return r
	}
	put(t, l,
		make("work", "INBOX", "1", ledger.Delivered, at.Add(-9*time.Hour), nil),
		make("work", "INBOX", "2", ledger.Deferred, at.Add(-2*time.Hour), nil),
		make("work", "Lists", "3", ledger.Doubt, at.Add(-3*time.Hour), nil),
		make("work", "Lists", "4", ledger.Held, at.Add(-8*time.Hour), nil),
		make("work", "Lists", "5", ledger.Deferred, at.Add(-7*time.Hour), func(r *ledger.Record) { r.Absent = true }),
		make("work", "Lists", "6", ledger.Deferred, time.Time{}, nil), // as another agent may have left it
		make("club", "INBOX", "1", ledger.Delivered, at, nil),
		make("gone", "INBOX", "1", ledger.Held, at, nil))
	pass := ledger.Pass{Began: at, Ended: at.Add(time.Second), OK: true}
	if err := l.PassEnded(t.Context(), "work", pass); err != nil {
		t.Fatal(err)
	}
	all := must[[]ledger.Overview](t)(l.Overviews(t.Context(), []string{"work", "new", "club"}))
	if len(all) != 3 || all[0].Account != "work" || all[1].Account != "new" || all[2].Account != "club" {
		t.Fatalf("overviews of %+v", all)
	}
	work, fresh, club := all[0], all[1], all[2]
	counts := must[map[string]map[ledger.State]int](t)(l.CountsByAccount(t.Context(), []string{"work", "new", "club"}))
	want := map[string]map[ledger.State]int{
		"work": {ledger.Delivered: 1, ledger.Deferred: 3, ledger.Doubt: 1, ledger.Held: 1},
		"new":  {}, "club": {ledger.Delivered: 1},
	}
	if !reflect.DeepEqual(counts, want) {
		t.Errorf("counted are %v, want %v", counts, want)
	}
	if want := at.Add(-3 * time.Hour); !work.Oldest.Equal(want) {
		t.Errorf("the oldest that waits is of %v, want %v", work.Oldest, want)
	}
	if !work.Success.Equal(pass.Ended) || !work.Last.OK {
		t.Errorf("last pass %+v, success %v", work.Last, work.Success)
	}
	if !fresh.Oldest.IsZero() || !fresh.Last.Began.IsZero() {
		t.Errorf("of an account without records: %+v", fresh)
	}
	if !club.Oldest.IsZero() {
		t.Errorf("of club: %+v", club)
	}
}

// refusalOutlivesTheProcess: what was recorded is there when the ledger is opened again, for that account alone, until it
// is taken back.
func (s suite) refusalOutlivesTheProcess(t *testing.T) {
	place := s.fresh(t)
	now := time.UnixMilli(1_800_000_000_000)
	want := ledger.Refusal{Times: 3, Last: now, Next: now.Add(time.Hour), Told: true, Basis: "as it was", Reason: "LOGIN: no"}
	l := place.open(t)
	if err := l.SetRefusal(t.Context(), "work", ledger.Refusal{Times: 2, Last: now}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetRefusal(t.Context(), "work", want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l.end(t)
		l = place.open(t)
		if got, other := refusal(t, l, "work"), refusal(t, l, "home"); got != want || other != (ledger.Refusal{}) {
			t.Errorf("%+v of work, %+v of home", got, other)
		}
	}
	if err := l.SetRefusal(t.Context(), "work", ledger.Refusal{}); err != nil {
		t.Fatal(err)
	}
	if got := refusal(t, l, "work"); got != (ledger.Refusal{}) {
		t.Errorf("taken back, it is %+v", got)
	}
	if err := l.SetRefusal(t.Context(), "", want); ledger.KindOf(err) != ledger.Invalid {
		t.Errorf("no account: %v", err)
	}
	long := ledger.Refusal{Times: 1, Last: now, Next: now, Reason: strings.Repeat("x", 2*maxText)}
	if err := l.SetRefusal(t.Context(), "work", long); err != nil {
		t.Fatal(err)
	}
	if got := len(refusal(t, l, "work").Reason); got != maxText {
		t.Errorf("the reason has %d octets", got)
	}
}

// turns: per folder the latest first attempt and the latest repeated one, by the account's clock, and whether any is to follow.
func (s suite) turns(t *testing.T) {
	l := s.fresh(t).open(t)
	put := func(account, folder, uid string, s ledger.State, attempts int, ran time.Duration) ledger.Record {
		return ledger.Record{Key: ledger.Key{Account: account, Folder: folder, UID: uid}, State: s, Attempts: attempts, Ran: ran}
	}
	records := []ledger.Record{
		put("a", "INBOX", "1", ledger.Delivered, 1, 0),
		put("a", "Again", "1", ledger.Delivered, 1, 3*time.Second), put("a", "Again", "2", ledger.Delivered, 4, 2*time.Second), put("a", "Again", "3", ledger.Held, 2, time.Second),
		put("a", "Waits", "1", ledger.Deferred, 1, time.Second), put("a", "Waits", "2", ledger.Delivered, 1, 2*time.Second),
		put("a", "Adopted", "1", ledger.Adopted, 0, time.Hour),
		put("b", "INBOX", "1", ledger.Deferred, 2, time.Hour),
	}
	if err := l.PutAll(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	const ms = time.Millisecond
	want := map[string]ledger.Turn{"INBOX": {First: ms}, "Again": {First: 3*time.Second + ms, Again: 2*time.Second + ms}, "Waits": {First: 2*time.Second + ms, Waiting: true}}
	if got, err := l.Turns(t.Context(), "a"); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := l.Turns(t.Context(), "none"); err != nil || len(got) != 0 {
		t.Errorf("of an account without records: %v, %v", got, err)
	}
}

// tick: what counts as time, and what does not, by what a wall clock shows at each pass.
func (s suite) tick(t *testing.T) {
	const day = 24 * time.Hour
	place := s.fresh(t)
	l := place.open(t)
	last, want := map[string]time.Time{}, map[string]time.Duration{} // by account
	for _, c := range []struct {
		name  string
		times []time.Duration // since some moment
		want  time.Duration
	}{
		{"the first pass", []time.Duration{0}, 0},
		{"every five minutes", []time.Duration{0, 5 * time.Minute, 10 * time.Minute}, 10 * time.Minute},
		{"once a day", []time.Duration{0, day, 2 * day, 3 * day}, 3 * day},
		{"once a week", []time.Duration{0, 7 * day, 14 * day, 21 * day}, 3 * day},
		{"off for a year", []time.Duration{0, 365 * day, 365*day + time.Hour}, day + time.Hour},
		{"set back for good", []time.Duration{0, time.Hour, -300 * day, -300*day + time.Hour, -300*day + 2*time.Hour}, 3 * time.Hour},
		{"set back a little", []time.Duration{0, time.Hour, time.Hour - time.Second, 2 * time.Hour}, 2 * time.Hour},
		{"without its battery", []time.Duration{0, time.Hour, -9999 * day, time.Hour + 5*time.Minute, -9999 * day, time.Hour + 10*time.Minute}, time.Hour + 10*time.Minute},
		{"back for a while", []time.Duration{0, -9999 * day, -9999*day + time.Hour, time.Hour}, time.Hour},
		{"back for days", []time.Duration{0, -99 * day, -98 * day, -97 * day, 2*day + time.Hour, 3 * day}, 2*day + 23*time.Hour},
		{"set forward and back", []time.Duration{0, 9999 * day, time.Hour, 2 * time.Hour, 3 * time.Hour}, day + 2*time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer func(unlock func() error) { _ = unlock() }(must[func() error](t)(l.Lock(c.name)))
			start := time.UnixMilli(1_700_000_000_123)
			var ran time.Duration
			for i, at := range c.times {
				before := ran
				ran = must[time.Duration](t)(l.Tick(t.Context(), c.name, start.Add(at)))
				if ran < before {
					t.Errorf("pass %d: it went back from %v to %v", i, before, ran)
				}
				if must[time.Duration](t)(l.Tick(t.Context(), "home", start)) != 0 {
					t.Error("the clock of another account moves along")
				}
			}
			if ran != c.want {
				t.Errorf("it shows %v, want %v", ran, c.want)
			}
			last[c.name], want[c.name] = start.Add(c.times[len(c.times)-1]), c.want
		})
	}
	l.end(t)
	l = place.open(t)
	for account, at := range last {
		unlock := must[func() error](t)(l.Lock(account))
		if again := must[time.Duration](t)(l.Tick(t.Context(), account, at)); again != want[account] {
			t.Errorf("%s: after reopening it shows %v", account, again)
		}
		if err := unlock(); err != nil {
			t.Error(err)
		}
	}
	if _, err := l.Tick(t.Context(), "", time.Now()); ledger.KindOf(err) != ledger.Invalid {
		t.Errorf("without an account: %v", err)
	}
}

func (s suite) clockIsReadWithoutMovingIt(t *testing.T) {
	l := s.fresh(t).open(t)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	if ran := must[time.Duration](t)(l.Ran(t.Context(), "work")); ran != 0 {
		t.Errorf("before the first pass it ran for %v", ran)
	}
	for _, at := range []time.Time{now, now.Add(time.Hour)} {
		must[time.Duration](t)(l.Tick(t.Context(), "work", at))
	}
	if ran := must[time.Duration](t)(l.Ran(t.Context(), "work")); ran != time.Hour {
		t.Errorf("it ran for %v, want an hour", ran)
	}
}

// whatAPassEndedWith: the error of a pass, what to do about it, and its exit code come back, cut where they are too long.
func (s suite) whatAPassEndedWith(t *testing.T) {
	l := s.fresh(t).open(t)
	for _, want := range []ledger.Pass{
		{Error: "x", Hint: "y", Exit: 69}, {Error: "x"}, {}, {Error: "x", Exit: 75}, {Error: strings.Repeat("e", maxText), Hint: strings.Repeat("h", maxText), Exit: 1},
	} {
		for _, longer := range []string{"", "cut off"} {
			stored := want
			if len(want.Error) == maxText {
				stored.Error, stored.Hint = want.Error+longer, want.Hint+longer
			}
			if err := l.PassEnded(t.Context(), "work", stored); err != nil {
				t.Fatal(err)
			}
			if got, _, err := l.LastPass(t.Context(), "work"); err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		}
	}
}
