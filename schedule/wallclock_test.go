package schedule

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestDaylightSaving: on the nights on which clocks are changed a loop passes as often as on others: once for a time of day that
// comes twice or not at all, and by the hours as they go by for one that comes each hour.
func TestDaylightSaving(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	for _, c := range []struct {
		name, spec string
		from       time.Time
		want       []string // as a clock on the wall shows them
	}{
		{"back, at a time that comes twice", "30 2 * * *", time.Date(2026, time.October, 24, 12, 0, 0, 0, berlin),
			[]string{"25 02:30 CEST", "26 02:30 CET"}},
		{"forward, at a time that does not come", "30 2 * * *", time.Date(2026, time.March, 28, 12, 0, 0, 0, berlin),
			[]string{"29 03:30 CEST", "30 02:30 CEST"}},
		{"back, each hour", "0 * * * *", time.Date(2026, time.October, 25, 0, 30, 0, 0, berlin),
			[]string{"25 01:00 CEST", "25 02:00 CEST", "25 02:00 CET", "25 03:00 CET"}},
		{"forward, each hour", "0 * * * *", time.Date(2026, time.March, 29, 0, 30, 0, 0, berlin),
			[]string{"29 01:00 CET", "29 03:00 CEST", "29 04:00 CEST", "29 05:00 CEST"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				now := func() time.Time { return c.from.Add(time.Since(begin)) }
				ctx, cancel := context.WithCancel(t.Context())
				var got []string
				l := &Loop{Now: now, Accounts: []Account{{Name: "a", Spec: mustParse(t, "TZ=Europe/Berlin "+c.spec)}}}
				l.Pass = func(context.Context, string) error {
					got = append(got, now().In(berlin).Format("02 15:04 MST"))
					if len(got) == len(c.want) {
						cancel()
					}
					return nil
				}
				if err := l.Run(ctx); err != nil {
					t.Error(err)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("passes at %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestManyAccountsAfterSuspend: a machine that slept over many turns makes one pass over each account when it wakes, no more than so
// many at a time, and an account that hangs keeps none of the others from theirs.
func TestManyAccountsAfterSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const accounts, parallel = 100, 4
		begin := time.Now()
		wakes := begin.Add(90 * time.Second)
		var mu sync.Mutex
		passes, running, most := map[string]int{}, 0, 0
		l := &Loop{Parallel: parallel, Now: func() time.Time {
			if time.Now().Before(wakes) {
				return time.Now()
			}
			return time.Now().Add(10 * time.Hour)
		}}
		l.Pass = func(ctx context.Context, account string) error {
			mu.Lock()
			passes[account]++
			running++
			most = max(most, running)
			mu.Unlock()
			if account == "0" {
				<-ctx.Done()
			}
			time.Sleep(2 * time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}
		for n := range accounts {
			l.Accounts = append(l.Accounts, Account{Name: fmt.Sprint(n), Spec: every(t, 30*time.Minute)})
		}
		runFor(t, l, 10*time.Minute)
		for n := range accounts {
			if got := passes[fmt.Sprint(n)]; got != 1 {
				t.Errorf("%d passes over account %d", got, n)
			}
		}
		if most != parallel {
			t.Errorf("%d passes at a time, want %d", most, parallel)
		}
	})
}
