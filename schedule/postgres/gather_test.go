package postgres

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestNextGroupWaitsForThoseWhoComeBack: at most half of what the last group took, and only right after it.
func TestNextGroupWaitsForThoseWhoComeBack(t *testing.T) {
	end := time.UnixMilli(1_700_000_000_000)
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for name, c := range map[string]struct {
		pace  pace
		since time.Duration
		have  int
		want  time.Duration
	}{
		"no group before":                    {pace{}, 0, 1, 0},
		"two of four are back":               {pace{took: ms(4), until: end, callers: 4}, ms(1), 2, ms(2)},
		"all are back":                       {pace{took: ms(4), until: end, callers: 4}, ms(1), 4, 0},
		"one caller alone":                   {pace{took: ms(4), until: end, callers: 1}, ms(1), 1, 0},
		"nobody came for as long as it took": {pace{took: ms(4), until: end, callers: 4}, ms(5), 1, 0},
		"a group that took very long":        {pace{took: time.Second, until: end, callers: 4}, ms(1), 2, gatherLimit},
		"it was in vain of late":             {pace{took: ms(4), until: end, callers: 4, idle: 1}, ms(1), 2, 0},
	} {
		idle := c.pace.idle
		if got := c.pace.wait(end.Add(c.since), c.have); got != c.want || c.pace.idle != max(idle-1, 0) {
			t.Errorf("%s: it waits %v, and then for %d groups for nothing; want %v", name, got, c.pace.idle, c.want)
		}
	}
	for name, c := range map[string]struct {
		before, after int
		waited        time.Duration
		vain          bool
	}{
		"as many again, for half the time":    {2, 4, ms(2), false},
		"one more in four, for half the time": {4, 5, ms(2), true},
		"one more in four, at once":           {4, 5, ms(0), false},
		"nobody":                              {2, 2, ms(2), true},
	} {
		p := pace{took: ms(4)}
		if p.gained(c.before, c.after, c.waited); (p.idle > 0) != c.vain {
			t.Errorf("%s: it was in vain: %v, want %v", name, p.idle > 0, c.vain)
		}
	}
}

// TestGroupWaitsUntilAllAreBack, and no longer.
func TestGroupWaitsUntilAllAreBack(t *testing.T) {
	for name, c := range map[string]struct {
		come []time.Duration // after the first
		want time.Duration
		idle int
	}{
		"all come":     {[]time.Duration{time.Millisecond, 2 * time.Millisecond}, 2 * time.Millisecond, 0},
		"one is late":  {[]time.Duration{time.Millisecond, 9 * time.Millisecond}, 4 * time.Millisecond, 0},
		"nobody comes": {nil, 4 * time.Millisecond, gatherIdle},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writer{wake: make(chan struct{}, 1), quit: make(chan struct{})}
				w.pace = pace{took: 8 * time.Millisecond, until: time.Now(), callers: 3}
				w.enqueue(&write{})
				for _, after := range c.come {
					time.AfterFunc(after, func() { w.enqueue(&write{}); w.enqueue(&write{patient: true}) })
				}
				<-w.wake
				began := time.Now()
				w.gather()
				if waited := time.Since(began); waited != c.want || w.pace.idle != c.idle {
					t.Errorf("it waited %v, and next for %d groups for nothing; want %v, %d", waited, w.pace.idle, c.want, c.idle)
				}
				time.Sleep(company)
			})
		})
	}
}
