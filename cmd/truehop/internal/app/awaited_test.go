package app

import (
	"context"
	"errors"
	"testing"

	"github.com/truehop/truehop/inject"
)

// injectorFunc injects as the function does.
type injectorFunc func(m *inject.Message, done func(inject.Receipt)) error

func (f injectorFunc) Submit(_ context.Context, m *inject.Message, done func(inject.Receipt)) error {
	return f(m, done)
}

// TestAwaited: a message counts from its dot until its verdict, and once, however often it comes to its dot; what sends no dot
// does not count.
func TestAwaited(t *testing.T) {
	full := errors.New("disk full")
	for name, test := range map[string]struct {
		dots      int
		beforeDot func(context.Context) error
		refusal   error
		want      int
	}{
		"a dot":                       {1, func(context.Context) error { return nil }, nil, 1},
		"a dot on a stale session":    {2, func(context.Context) error { return nil }, nil, 1},
		"refused before the dot":      {0, func(context.Context) error { return nil }, nil, 0},
		"a dot that must not be sent": {1, func(context.Context) error { return full }, full, 0},
		"a dry run":                   {0, nil, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := &App{}
			got, done, receipts := -1, false, 0
			to := awaiting{injectorFunc(func(m *inject.Message, verdict func(inject.Receipt)) error {
				for range test.dots {
					if err := m.BeforeDot(t.Context()); !errors.Is(err, test.refusal) {
						t.Errorf("before the dot: %v, want %v", err, test.refusal)
					}
				}
				if dry := m.BeforeDot == nil; dry != (test.beforeDot == nil) {
					t.Errorf("it is made a dry run: %v", dry)
				}
				got = a.Awaited()
				verdict(inject.Receipt{})
				return nil
			}), &a.awaited, func(inject.Receipt) { receipts++ }}
			err := to.Submit(t.Context(), &inject.Message{BeforeDot: test.beforeDot}, func(inject.Receipt) { done = true })
			if err != nil || !done {
				t.Errorf("no verdict: %v", err)
			}
			if counts := receipts == 1; counts == (test.beforeDot == nil) {
				t.Errorf("%d receipts are counted", receipts)
			}
			if left := a.Awaited(); got != test.want || left != 0 {
				t.Errorf("counted %d and %d after the verdict, want %d and 0", got, left, test.want)
			}
		})
	}
}
