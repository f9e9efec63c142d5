package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestRefusalHoldsUntilItsTime: until then nobody logs in, unless something was changed or the clock says nothing.
func TestRefusalHoldsUntilItsTime(t *testing.T) {
	last := time.Date(2026, 11, 26, 15, 0, 0, 0, time.UTC)
	r := ledger.Refusal{Times: 1, Last: last, Next: last.Add(15 * time.Minute), Basis: "as it was"}
	for _, c := range []struct {
		name  string
		r     ledger.Refusal
		now   time.Time
		basis string
		want  bool
	}{
		{"never refused", ledger.Refusal{}, last, "", false},
		{"at once", r, last, "as it was", true},
		{"a moment before", r, r.Next.Add(-1), "as it was", true},
		{"at its time", r, r.Next, "as it was", false},
		{"later", r, r.Next.Add(time.Hour), "as it was", false},
		{"credentials changed", r, last, "another", false},
		{"clock set back", r, last.Add(-time.Second), "as it was", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := holds(c.r, c.now, c.basis); got != c.want {
				t.Errorf("holds: %v, want %v", got, c.want)
			}
		})
	}
}

// TestRefusalsGrowApart: each in a row doubles the time to the next, up to half a day; after a change they begin anew.
func TestRefusalsGrowApart(t *testing.T) {
	last := time.Date(2026, 11, 26, 15, 0, 0, 0, time.UTC)
	told := func(times int) ledger.Refusal {
		return ledger.Refusal{Times: times, Last: last, Next: last.Add(time.Minute), Told: true, Basis: "as it was", Reason: "old"}
	}
	for _, c := range []struct {
		name          string
		r             ledger.Refusal
		began         time.Duration // after last; the login takes a second
		before, after string
		times         int
		wait          time.Duration
	}{
		{"the first", ledger.Refusal{}, time.Hour, "as it was", "as it was", 1, 15 * time.Minute},
		{"the second", told(1), time.Hour, "as it was", "as it was", 2, 30 * time.Minute},
		{"the third", told(2), time.Hour, "as it was", "as it was", 3, time.Hour},
		{"the sixth", told(5), time.Hour, "as it was", "as it was", 6, 8 * time.Hour},
		{"the seventh", told(6), time.Hour, "as it was", "as it was", 7, 12 * time.Hour},
		{"the thousandth", told(999), time.Hour, "as it was", "as it was", 1000, 12 * time.Hour},
		{"after a change", told(5), time.Hour, "another", "another", 1, 15 * time.Minute},
		{"by a token that was renewed", told(2), time.Hour, "as it was", "another", 3, time.Hour},
		{"after a change, at the same time", told(5), -time.Millisecond, "another", "another", 1, 15 * time.Minute},
		{"clock set back", told(1), -time.Hour, "as it was", "as it was", 2, 30 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := attempt{began: last.Add(c.began), ended: last.Add(c.began + time.Second), before: c.before, after: c.after, reason: "new"}
			want := ledger.Refusal{Times: c.times, Last: at.ended, Next: at.ended.Add(c.wait), Basis: c.after, Reason: "new"}
			if got := refusedAgain(c.r, at); got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
	t.Run("beside another", func(t *testing.T) {
		at := attempt{began: last.Add(-time.Millisecond), ended: last.Add(time.Second), before: "as it was", after: "as it was", reason: "new"}
		if got := refusedAgain(told(1), at); got != told(1) {
			t.Errorf("it counted for itself: %+v", got)
		}
	})
}

// refusedMeanwhile is a record in which a refusal is noted at the moment that somebody asks for it.
type refusedMeanwhile struct {
	Ledger
	clock *time.Time
	basis string
}

func (l refusedMeanwhile) Refusal(context.Context, string) (ledger.Refusal, error) {
	*l.clock = l.clock.Add(time.Second)
	return ledger.Refusal{Times: 1, Last: *l.clock, Next: l.clock.Add(time.Minute), Basis: l.basis}, nil
}

// TestLoginWaitsForARefusalOfThisMoment: what a watcher has just met with is no sign of a clock that was set back.
func TestLoginWaitsForARefusalOfThisMoment(t *testing.T) {
	clock := time.Date(2026, 11, 26, 15, 0, 0, 0, time.UTC)
	account := &config.Account{Name: "work"}
	a := &App{ledger: refusedMeanwhile{clock: &clock, basis: account.LoginBasis("")},
		current: setup{cfg: &config.Config{}, opts: Options{Now: func() time.Time { return clock }}}}
	var waits *RefusedError
	if err := a.loginWaits(t.Context(), account); !errors.As(err, &waits) {
		t.Errorf("the login does not wait: %v", err)
	}
}
