package schedule

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestFirst: an account that comes from another loop has its first pass when it is due there, at once where that has passed, and no later than by
// its own spec.
func TestFirst(t *testing.T) {
	const minute = time.Minute
	for name, c := range map[string]struct {
		first time.Duration
		want  []time.Duration
	}{
		"in a while":             {40 * time.Second, []time.Duration{40 * time.Second, 100 * time.Second, 160 * time.Second}},
		"now":                    {0, []time.Duration{0, minute, 2 * minute}},
		"it has passed":          {-time.Hour, []time.Duration{0, minute, 2 * minute}},
		"later than by the spec": {time.Hour, []time.Duration{minute, 2 * minute}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDiary()
				l := &Loop{Pass: d.pass(0, nil), Accounts: []Account{{Name: "a", Spec: every(t, minute), First: time.Now().Add(c.first)}}}
				runFor(t, l, 165*time.Second)
				d.want(t, c.want...)
			})
		})
	}
}
