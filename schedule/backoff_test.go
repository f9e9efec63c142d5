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
	down, away := errors.New("no connection"), errors.New("no database")
	for _, c := range []struct {
		name   string
		errs   []error // of the passes in their order; nil behind them
		starts []int   // seconds
	}{
		{"once", []error{away}, []int{3600, 3610, 7210}},
		{"for long", []error{away, away, away, away, away, away}, []int{3600, 3610, 3630, 3670, 3730, 3790, 3850, 7450}},
		{"before the upstream fails", []error{away, down, nil, away}, []int{3600, 3610, 7210, 10810, 10820}},
		{"after the upstream has failed", []error{down, away, down, nil}, []int{3600, 7200, 7210, 10810}},
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
