package schedule

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackOff(t *testing.T) {
	down, locked := errors.New("no connection"), errors.New("wrong password")
	for _, c := range []struct {
		name   string
		err    func(n int) error
		run    time.Duration
		starts []int // minutes
	}{
		{"soft", func(int) error { return down }, 130 * time.Minute, []int{1, 2, 4, 8, 16, 32, 62, 92, 122}},
		{"hard", func(int) error { return locked }, 1700 * time.Minute, []int{1, 16, 46, 106, 226, 466, 946, 1666}},
		{"reset by success", func(n int) error {
			if n == 4 {
				return nil
			}
			return down
		}, 13 * time.Minute, []int{1, 2, 4, 8, 9, 10, 12}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				l := &Loop{Pass: d.pass(0, c.err), Hard: func(err error) bool { return errors.Is(err, locked) },
					Accounts: []Account{{Name: "a", Spec: every(t, time.Minute)}}}
				runFor(t, l, c.run)
				var want []time.Duration
				for _, m := range c.starts {
					want = append(want, time.Duration(m)*time.Minute)
				}
				d.want(t, want...)
			})
		})
	}
}

// TestFailureThatIsNotTheAccounts is made up for soon, whatever the spec says, and counts neither as the account's failure nor against what
// its failures have put off.
func TestFailureThatIsNotTheAccounts(t *testing.T) {
	down, away, locked := errors.New("no connection"), errors.New("no database"), errors.New("wrong password")
	for _, c := range []struct {
		name   string
		errs   []error // of the passes in their order; nil behind them
		starts []int   // seconds
	}{
		{"once", []error{away}, []int{3600, 3610, 7210}},
		{"for long", []error{away, away, away, away, away, away}, []int{3600, 3610, 3630, 3670, 3730, 3790, 3850, 7450}},
		{"before the upstream fails", []error{away, down, nil, away}, []int{3600, 3610, 7210, 10810, 10820}},
		{"after the upstream has failed", []error{down, away, down, nil}, []int{3600, 7200, 7210, 10810}},
		{"while credentials stand refused", []error{errors.Join(locked, away), nil}, []int{3600, 7200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				pass := func(n int) error { // n begins at 1
					if n > len(c.errs) {
						return nil
					}
					return c.errs[n-1]
				}
				l := &Loop{Pass: d.pass(0, pass), Ours: func(err error) bool { return errors.Is(err, away) },
					Hard:     func(err error) bool { return errors.Is(err, locked) },
					Accounts: []Account{{Name: "a", Spec: every(t, time.Hour)}}}
				runFor(t, l, time.Duration(c.starts[len(c.starts)-1]+1)*time.Second)
				var want []time.Duration
				for _, s := range c.starts {
					want = append(want, time.Duration(s)*time.Second)
				}
				d.want(t, want...)
			})
		})
	}
}

func TestWakeDuringBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDiary()
		wake := make(chan struct{}, 1)
		l := &Loop{Pass: d.pass(0, func(int) error { return errors.New("wrong password") }), Hard: func(error) bool { return true },
			Accounts: []Account{{Name: "a", Spec: every(t, time.Minute), Wake: wake}}}
		after(5*time.Minute, func() { wake <- struct{}{} })
		runFor(t, l, 34*time.Minute)
		d.want(t, time.Minute, 5*time.Minute)
	})
}

// TestMadeUpThoughTheClockIsSetBack: what is to be made up for soon does not wait for its turn of the day because the clock was
// set back meanwhile, nor does the first pass of an account that comes from another loop.
func TestMadeUpThoughTheClockIsSetBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		first  time.Duration // 0 for a pass at the start, which fails
		step   time.Duration // after 15 seconds
		starts []int         // seconds
	}{
		{"it failed", 0, -2 * time.Minute, []int{0, 10, 30}},
		{"it failed, three hours", 0, -3 * time.Hour, []int{0, 10, 30}},
		{"it comes", 40 * time.Second, -time.Minute, []int{100, 110}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				away := errors.New("no database")
				a := Account{Name: "a", Spec: every(t, 24*time.Hour), AtStart: c.first == 0}
				if !a.AtStart {
					a.First = d.begin.Add(c.first)
				}
				l := &Loop{Accounts: []Account{a}, Ours: func(err error) bool { return errors.Is(err, away) }}
				l.Now = func() time.Time {
					if time.Since(d.begin) < 15*time.Second {
						return time.Now()
					}
					return time.Now().Add(c.step)
				}
				l.Pass = d.pass(0, func(n int) error {
					if n < len(c.starts) {
						return away
					}
					return nil
				})
				runFor(t, l, time.Hour)
				var want []time.Duration
				for _, s := range c.starts {
					want = append(want, time.Duration(s)*time.Second)
				}
				d.want(t, want...)
			})
		})
	}
}
