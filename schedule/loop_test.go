package schedule

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// diary notes when passes started, as offsets from its begin.
type diary struct {
	mu      sync.Mutex
	begin   time.Time
	starts  []time.Duration
	running int
	most    int
}

func newDiary() *diary { return &diary{begin: time.Now()} }

// pass is a Pass that takes the given time and returns err.
func (d *diary) pass(takes time.Duration, err func(n int) error) Pass {
	return func(ctx context.Context, _ string) error {
		d.mu.Lock()
		d.starts = append(d.starts, time.Since(d.begin))
		n := len(d.starts)
		d.running++
		d.most = max(d.most, d.running)
		d.mu.Unlock()
		time.Sleep(takes)
		d.mu.Lock()
		d.running--
		d.mu.Unlock()
		if err == nil {
			return nil
		}
		return err(n)
	}
}

// want fails the test unless passes started at these offsets, and no others.
func (d *diary) want(t *testing.T, starts ...time.Duration) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.starts, starts) {
		t.Errorf("passes started after %v, want %v", d.starts, starts)
	}
}

// runFor runs l for the given time and waits for its end. In a bubble that also
// proves that no goroutine is left.
func runFor(t *testing.T, l *Loop, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	after(d, cancel)
	if err := l.Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// after calls f after that time. It stands for time.AfterFunc and context.WithTimeout in a bubble where many timers are due at the same moment:
// under the detector of races, a function that a timer calls then ended the process about once in 250 runs (Go 1.26).
func after(d time.Duration, f func()) {
	go func() {
		time.Sleep(d)
		f()
	}()
}

func every(t testing.TB, d time.Duration) Spec { return mustParse(t, "@every "+d.String()) }

func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		l := &Loop{Pass: d.pass(time.Second, nil), Accounts: []Account{{Name: "a", Spec: every(t, 10*time.Minute)}}}
		runFor(t, l, 35*time.Minute)
		d.want(t, 10*time.Minute, 20*time.Minute, 30*time.Minute)
	})
}

func TestAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		l := &Loop{Pass: d.pass(0, nil), Accounts: []Account{{Name: "a", Spec: every(t, time.Hour), AtStart: true}}}
		runFor(t, l, 61*time.Minute)
		d.want(t, 0, time.Hour)
	})
}

func TestCronFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // bubbles begin at midnight UTC 2000-01-01
		d := newDiary()
		l := &Loop{Pass: d.pass(0, nil), Accounts: []Account{{Name: "a", Spec: mustParse(t, "TZ=UTC 15,45 1 * * *")}}}
		runFor(t, l, 25*time.Hour+30*time.Minute)
		d.want(t, 75*time.Minute, 105*time.Minute, 25*time.Hour+15*time.Minute)
	})
}

// A pass longer than its interval is neither overlapped nor made up for.
func TestNoOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		l := &Loop{Pass: d.pass(25*time.Minute, nil), Accounts: []Account{{Name: "a", Spec: mustParse(t, "TZ=UTC */10 * * * *")}}}
		runFor(t, l, 65*time.Minute)
		d.want(t, 10*time.Minute, 40*time.Minute)
		if d.most != 1 {
			t.Errorf("%d passes over one account at once", d.most)
		}
	})
}

func TestParallel(t *testing.T) {
	for _, c := range []struct {
		parallel, most int
		end            time.Duration
	}{{0, 5, time.Minute}, {1, 1, 5 * time.Minute}, {2, 2, 3 * time.Minute}} {
		t.Run(fmt.Sprint(c.parallel), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				var last time.Duration
				l := &Loop{Pass: d.pass(time.Minute, nil), Parallel: c.parallel}
				l.OnEnd = func(string, time.Duration, error) {
					d.mu.Lock()
					defer d.mu.Unlock()
					last = time.Since(d.begin)
				}
				for _, name := range strings.Fields("a b c d e") {
					l.Accounts = append(l.Accounts, Account{Name: name, AtStart: true})
				}
				runFor(t, l, time.Hour)
				if d.most != c.most || last != c.end || len(d.starts) != 5 {
					t.Errorf("%d passes, at most %d at once, done after %v; want 5, %d, %v", len(d.starts), d.most, last, c.most, c.end)
				}
			})
		})
	}
}

// An account that hangs does not delay the others.
func TestHungAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		good := d.pass(0, nil)
		l := &Loop{Parallel: 2, Pass: func(ctx context.Context, account string) error {
			if account == "hung" {
				<-ctx.Done()
				return ctx.Err()
			}
			return good(ctx, account)
		}}
		l.Accounts = []Account{{Name: "hung", AtStart: true}, {Name: "good", Spec: every(t, 10*time.Minute)}}
		runFor(t, l, 25*time.Minute)
		d.want(t, 10*time.Minute, 20*time.Minute)
	})
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		l := &Loop{Pass: d.pass(0, nil), Accounts: []Account{{Name: "a", Spec: mustParse(t, "TZ=UTC 0 * * * *"), Jitter: 5 * time.Minute}}}
		runFor(t, l, 50*time.Hour+30*time.Minute)
		if len(d.starts) != 50 {
			t.Fatalf("%d passes in 50.5 hours, want 50: %v", len(d.starts), d.starts)
		}
		delays := make(map[time.Duration]bool)
		for i, at := range d.starts {
			late := at - time.Duration(i+1)*time.Hour
			if late < 0 || late >= 5*time.Minute {
				t.Errorf("pass %d is %v late, want less than 5m", i, late)
			}
			delays[late] = true
		}
		if len(delays) < 10 {
			t.Errorf("only %d different delays in 50 passes", len(delays))
		}
	})
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		wake := make(chan struct{}, 1)
		poke := func() {
			select {
			case wake <- struct{}{}:
			default:
			}
		}
		l := &Loop{Pass: d.pass(3*time.Second, nil), Accounts: []Account{{Name: "a", Spec: every(t, time.Hour), Wake: wake}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(time.Minute)
		poke()
		time.Sleep(time.Second) // during the pass: one more directly after it
		for range 100 {
			poke()
		}
		time.Sleep(30 * time.Minute)
		close(wake) // a closed channel wakes nobody
		time.Sleep(50 * time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		second := time.Minute + 3*time.Second
		d.want(t, time.Minute, second, second+time.Hour)
	})
}

// TestStreamOfMail: a few passes follow each other directly, and then they keep MinInterval until it has been quiet that long.
func TestStreamOfMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		wake := make(chan struct{}, 1)
		l := &Loop{Pass: d.pass(time.Second, nil), Accounts: []Account{{Name: "a", Spec: every(t, 24*time.Hour), Wake: wake}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		for range 40 { // seconds
			select {
			case wake <- struct{}{}:
			default:
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		seconds := func(n ...int) (at []time.Duration) {
			for _, s := range n {
				at = append(at, time.Duration(s)*time.Second)
			}
			return at
		}
		d.want(t, seconds(0, 1, 2, 3, 13, 23, 33, 43)...)
	})
}

// The wall clock is set while the loop sleeps.
func TestClockStep(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, c := range []struct {
		name string
		step time.Duration
		want []time.Duration
	}{
		// Seen within a minute; one pass, not one for each that was missed.
		{"ten years on", 10 * year, []time.Duration{10 * time.Minute, 16 * time.Minute, 26 * time.Minute, 36 * time.Minute}},
		{"suspended for eight hours", 8 * time.Hour, []time.Duration{10 * time.Minute, 16 * time.Minute, 26 * time.Minute, 36 * time.Minute}},
		{"ten years back", -10 * year, []time.Duration{10 * time.Minute, 26 * time.Minute, 36 * time.Minute}},
		{"a minute back", -time.Minute, []time.Duration{10 * time.Minute, 21 * time.Minute, 31 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				at := d.begin.Add(15*time.Minute + 30*time.Second)
				l := &Loop{Pass: d.pass(0, nil), Accounts: []Account{{Name: "a", Spec: every(t, 10*time.Minute)}}}
				l.Now = func() time.Time {
					if time.Now().Before(at) {
						return time.Now()
					}
					return time.Now().Add(c.step)
				}
				runFor(t, l, 40*time.Minute)
				d.want(t, c.want...)
			})
		})
	}
}

func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		good := d.pass(0, nil)
		var errs []error
		l := &Loop{Pass: func(ctx context.Context, account string) error {
			if account == "bad" {
				panic("index out of range")
			}
			return good(ctx, account)
		}}
		l.Accounts = []Account{{Name: "bad", Spec: every(t, time.Minute)}, {Name: "good", Spec: every(t, 7*time.Minute)}}
		l.OnEnd = func(account string, _ time.Duration, err error) {
			if account == "bad" {
				errs = append(errs, err)
			}
		}
		runFor(t, l, 15*time.Minute)
		d.want(t, 7*time.Minute, 14*time.Minute)
		if len(errs) != 4 { // after 1, 2, 4 and 8 minutes
			t.Fatalf("the account that panics ran %d times, want 4", len(errs))
		}
		var p *PanicError
		if !errors.As(errs[0], &p) || p.Value != "index out of range" || !strings.Contains(string(p.Stack), "TestPanic") ||
			p.Error() != "panic: index out of range" {
			t.Errorf("error %#v, want a PanicError with the value and the stack", errs[0])
		}
	})
}

// A pass in progress ends before Run returns, and none begins any more.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ended := 0
		l := &Loop{Parallel: 1, Pass: func(ctx context.Context, _ string) error {
			<-ctx.Done()
			time.Sleep(20 * time.Second) // waits for the reply to the dot
			ended++
			return ctx.Err()
		}}
		l.Accounts = []Account{{Name: "a", AtStart: true}, {Name: "b", AtStart: true}, {Name: "c", Spec: every(t, 10*time.Second)}}
		runFor(t, l, time.Minute)
		if took := time.Since(begun); ended != 1 || took != 80*time.Second {
			t.Errorf("%d passes ended before Run did, after %v; want 1 after 1m20s", ended, took)
		}
	})
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var log []string
		note := func(format string, args ...any) {
			log = append(log, fmt.Sprintf("%v ", time.Since(begin))+fmt.Sprintf(format, args...))
		}
		runs := 0
		l := &Loop{
			Pass: func(_ context.Context, a string) error {
				note("start %s", a)
				time.Sleep(2 * time.Second)
				if runs++; runs == 2 {
					return errors.New("down")
				}
				return nil
			},
			Accounts: []Account{{Name: "a", Spec: every(t, 30*time.Second)}},
			OnEnd:    func(a string, took time.Duration, err error) { note("end %s %v %v", a, took, err) },
			OnNext:   func(a string, at time.Time) { note("next %s %v", a, at.Sub(begin)) },
		}
		runFor(t, l, 65*time.Second)
		want := []string{
			"0s next a 30s",
			"30s start a", "32s end a 2s <nil>", "32s next a 1m0s",
			"1m0s start a", "1m2s end a 2s down", "1m2s next a 2m2s", // the back-off counts from the end
		}
		if !reflect.DeepEqual(log, want) {
			t.Errorf("hooks saw\n%s\nwant\n%s", strings.Join(log, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestMessageIsDueBeforeTheSchedule: what was deferred does not wait for the account's next turn. A pass that comes before it
// is due changes nothing. Such passes are a minute apart at least, the back-off is kept, and a pass that fails forgets nothing.
func TestMessageIsDueBeforeTheSchedule(t *testing.T) {
	fails := func(int) error { return errors.New("down") }
	for _, c := range []struct {
		name   string
		spec   string
		due    []time.Duration // after each pass; 0 for none
		err    func(int) error
		starts []time.Duration
	}{
		{"before the next turn", "@every 10m", []time.Duration{5 * time.Minute}, nil, []time.Duration{0, 5 * time.Minute, 15 * time.Minute}},
		{"after the next turn", "@every 10m", []time.Duration{12 * time.Minute, 12 * time.Minute}, nil,
			[]time.Duration{0, 10 * time.Minute, 12 * time.Minute}},
		{"without a schedule", "", []time.Duration{5 * time.Minute}, nil, []time.Duration{0, 5 * time.Minute}},
		{"at once", "@every 10m", []time.Duration{time.Second}, nil, []time.Duration{0, time.Minute, 11 * time.Minute}},
		{"one after the other", "@every 10m", []time.Duration{10 * time.Second, 61 * time.Second, 62 * time.Second, 5 * time.Minute}, nil,
			[]time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute, 5 * time.Minute, 15 * time.Minute}},
		{"in the past, for the pass failed", "@every 10m", []time.Duration{30 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second}, fails,
			[]time.Duration{0, time.Minute, 3 * time.Minute, 7 * time.Minute, 15 * time.Minute}},
		{"during the back-off", "@every 10m", []time.Duration{30 * time.Second}, fails, []time.Duration{0, time.Minute, 11 * time.Minute}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				passes := 0
				l := &Loop{
					Pass: d.pass(0, c.err), Accounts: []Account{{Name: "a", AtStart: true}},
					Due: func(account string) time.Time {
						if passes++; account != "a" || passes > len(c.due) {
							return time.Time{}
						}
						return d.begin.Add(c.due[passes-1])
					},
				}
				if c.spec != "" {
					l.Accounts[0].Spec = mustParse(t, c.spec)
				}
				runFor(t, l, 16*time.Minute)
				d.want(t, c.starts...)
			})
		})
	}
}

func TestNeverByClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		var next []time.Time
		l := &Loop{Pass: d.pass(0, nil), Accounts: []Account{{Name: "a", AtStart: true}},
			OnNext: func(_ string, at time.Time) { next = append(next, at) }}
		runFor(t, l, 1000*time.Hour)
		d.want(t, 0)
		if len(next) != 1 || !next[0].IsZero() {
			t.Errorf("OnNext told %v, want the zero time once", next)
		}
	})
}

// After ten thousand passes no goroutine is left: the bubble would fail.
func TestManyPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		l := &Loop{Pass: d.pass(time.Second, nil), Accounts: []Account{{Name: "a", Spec: every(t, time.Minute)}}}
		runFor(t, l, 10_000*time.Minute+30*time.Second)
		if len(d.starts) != 10_000 {
			t.Errorf("%d passes, want 10000", len(d.starts))
		}
	})
}

func TestRunRefuses(t *testing.T) {
	pass := func(context.Context, string) error { return nil }
	if err := (&Loop{Accounts: []Account{{Name: "a"}}}).Run(t.Context()); err == nil {
		t.Error("a loop without a pass runs")
	}
	if err := (&Loop{Pass: pass, Accounts: []Account{{Name: "a"}, {Name: "a"}}}).Run(t.Context()); err == nil {
		t.Error("a loop with an account twice runs")
	}
	if err := (&Loop{Pass: pass}).Run(t.Context()); err != nil {
		t.Errorf("a loop without accounts: %v, want nil at once", err)
	}
}
