package schedule

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// journal notes what happens to accounts, as offsets from its begin.
type journal struct {
	mu    sync.Mutex
	begin time.Time
	lines []string
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%v ", time.Since(j.begin))+fmt.Sprintf(format, args...))
}

// pass is a pass that takes the given time, and three seconds more to end when it is told to.
func (j *journal) pass(takes time.Duration) Pass {
	return func(ctx context.Context, account string) error {
		j.note("%s begins", account)
		select {
		case <-time.After(takes):
			j.note("%s is done", account)
		case <-ctx.Done():
			time.Sleep(3 * time.Second)
			j.note("%s is cut short", account)
		}
		return ctx.Err()
	}
}

// TestUpdateTouchesOnlyWhatItNames: accounts come, change and go while others are in the middle of a pass, which goes on.
func TestUpdateTouchesOnlyWhatItNames(t *testing.T) {
	const long = 20 * time.Second
	for _, c := range []struct {
		name   string
		update Update // ten seconds after the begin, when a and b are in a pass
		want   []string
	}{
		{"one comes", Update{Accounts: []Account{{Name: "c", AtStart: true}}},
			[]string{"0s a begins", "0s b begins", "10s c begins", "20s a is done", "20s b is done", "30s c is done"}},
		{"one goes", Update{Gone: []string{"b"}},
			[]string{"0s a begins", "0s b begins", "13s b is cut short", "20s a is done"}},
		{"one changes: its pass ends first", Update{Accounts: []Account{{Name: "b", AtStart: true}}},
			[]string{"0s a begins", "0s b begins", "13s b is cut short", "13s b begins", "20s a is done", "33s b is done"}},
		{"one goes that was never there", Update{Gone: []string{"x"}},
			[]string{"0s a begins", "0s b begins", "20s a is done", "20s b is done"}},
		{"one goes and comes in the same moment", Update{Gone: []string{"b"}, Accounts: []Account{{Name: "b", AtStart: true}}},
			[]string{"0s a begins", "0s b begins", "13s b is cut short", "13s b begins", "20s a is done", "33s b is done"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journal{begin: time.Now()}
				updates := make(chan Update)
				l := &Loop{Pass: j.pass(long), Updates: updates, Accounts: []Account{{Name: "a", AtStart: true}, {Name: "b", AtStart: true}}}
				after(10*time.Second, func() { updates <- c.update })
				runFor(t, l, time.Hour)
				slices.SortStableFunc(j.lines, func(a, b string) int {
					at := func(line string) time.Duration {
						offset, _, _ := strings.Cut(line, " ")
						d, err := time.ParseDuration(offset)
						if err != nil {
							t.Fatal(err)
						}
						return d
					}
					if d := at(a) - at(b); d != 0 {
						return int(d)
					}
					_, a, _ = strings.Cut(a, " ")
					_, b, _ = strings.Cut(b, " ")
					if a[0] == b[0] {
						return 0 // one after the other
					}
					return strings.Compare(a, b)
				})
				if !slices.Equal(j.lines, c.want) {
					t.Errorf("saw\n%s\nwant\n%s", strings.Join(j.lines, "\n"), strings.Join(c.want, "\n"))
				}
			})
		})
	}
}

// TestUpdatesInARow: an account that changes again while its former self still ends has one owner at a time, and none is left over.
func TestUpdatesInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{begin: time.Now()}
		updates := make(chan Update)
		l := &Loop{Pass: j.pass(time.Minute), Updates: updates, Accounts: []Account{{Name: "a", AtStart: true}}}
		after(10*time.Second, func() {
			for range 3 {
				updates <- Update{Accounts: []Account{{Name: "a", AtStart: true}}}
			}
			close(updates)
		})
		runFor(t, l, time.Hour)
		want := []string{"0s a begins", "13s a is cut short", "13s a begins", "1m13s a is done"}
		if !slices.Equal(j.lines, want) {
			t.Errorf("saw\n%s\nwant\n%s", strings.Join(j.lines, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestUpdateOfParallel: more passes at a time begin at once, fewer from the next on.
func TestUpdateOfParallel(t *testing.T) {
	for _, c := range []struct{ before, after, most, total int }{{1, 3, 3, 4}, {3, 1, 3, 4}} {
		t.Run(fmt.Sprint(c.before, " to ", c.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				updates := make(chan Update, 1)
				l := &Loop{Pass: d.pass(time.Minute, nil), Updates: updates, Parallel: c.before}
				for _, name := range strings.Fields("a b c d") {
					l.Accounts = append(l.Accounts, Account{Name: name, AtStart: true})
				}
				after(10*time.Second, func() { updates <- Update{Parallel: c.after} })
				runFor(t, l, time.Hour)
				if d.most != c.most || len(d.starts) != c.total {
					t.Errorf("%d passes, at most %d at a time; want %d, %d: %v", len(d.starts), d.most, c.total, c.most, d.starts)
				}
			})
		})
	}
}

// TestHungPassesGiveTheirSlotsUp: where as many accounts hang as may have a pass at a time, the others wait five minutes once,
// and no longer.
func TestHungPassesGiveTheirSlotsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		good := d.pass(time.Second, nil)
		l := &Loop{Parallel: 2, Pass: func(ctx context.Context, account string) error {
			if strings.HasPrefix(account, "hung") {
				<-ctx.Done()
				return ctx.Err()
			}
			return good(ctx, account)
		}}
		l.Accounts = []Account{{Name: "hung1", AtStart: true}, {Name: "hung2", AtStart: true}, {Name: "good", Spec: every(t, time.Minute)}}
		runFor(t, l, 8*time.Minute+30*time.Second)
		d.want(t, 5*time.Minute, 6*time.Minute, 7*time.Minute, 8*time.Minute)
	})
}

// TestTurns: the goroutine of each account shows that it lives, at least every minute but during a pass, and says when it has gone.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		late := begin // by when the next turn has to come, zero in a pass
		var passes, gone int
		l := &Loop{Parallel: 1, Pass: func(context.Context, string) error { time.Sleep(10 * time.Minute); return nil }}
		l.Accounts = []Account{{Name: "a", Spec: every(t, 20*time.Minute)}}
		l.OnTurn = func(_ string, within time.Duration) {
			if !late.IsZero() && time.Now().After(late) {
				t.Errorf("a turn %v late", time.Since(late))
			}
			late = time.Now().Add(within)
			switch {
			case within < 0:
				gone++
			case within == 0:
				passes++
				late = time.Time{}
			case within > recheck:
				t.Errorf("the next turn comes within %v", within)
			}
		}
		runFor(t, l, 65*time.Minute)
		if passes != 3 || gone != 1 {
			t.Errorf("%d passes and %d times gone, want 3 and 1", passes, gone)
		}
	})
}
