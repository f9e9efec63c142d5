package ledger

import (
	"testing"
	"time"
)

// TestTick: what counts as time, and what does not, by what a wall clock shows at each pass.
func TestTick(t *testing.T) {
	const day = 24 * time.Hour
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
			dir := t.TempDir()
			l := open(t, dir)
			start := time.UnixMilli(1_700_000_000_123)
			var ran time.Duration
			for i, at := range c.times {
				before := ran
				ran = must[time.Duration](t)(l.Tick(t.Context(), "work", start.Add(at)))
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
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			last := start.Add(c.times[len(c.times)-1])
			if again := must[time.Duration](t)(open(t, dir).Tick(t.Context(), "work", last)); again != c.want {
				t.Errorf("after reopening it shows %v", again)
			}
		})
	}
	if _, err := open(t, t.TempDir()).Tick(t.Context(), "", time.Now()); KindOf(err) != Invalid {
		t.Errorf("without an account: %v", err)
	}
}
