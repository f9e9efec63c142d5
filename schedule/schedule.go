// Package schedule decides when passes over accounts run: by the clock, at once
// when woken, later after failures, and never two at a time over one account. It
// knows nothing about mail.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// MinInterval is the shortest time between the starts of two passes over an account.
const MinInterval = 10 * time.Second

const (
	// maxInterval bounds "@every".
	maxInterval = 366 * 24 * time.Hour
	// maxSpec bounds the text of a spec, in octets.
	maxSpec = 256
)

// Spec says at what times passes run. The zero Spec says never.
type Spec struct {
	text  string
	every time.Duration
	cron  *cron.SpecSchedule
}

// Parse reads a spec: the five fields of crontab(5) (minute, hour, day of month, month,
// day of week, Sunday being 0), one of @hourly, @daily, @weekly, @monthly, @yearly, or
// "@every" with a duration of 10 seconds to 366 days, such as "@every 5m". The fields
// may follow "TZ=Area/City"; else they are in local time.
func Parse(spec string) (Spec, error) {
	if len(spec) > maxSpec {
		return Spec{}, fmt.Errorf("is longer than %d octets", maxSpec)
	}
	spec = strings.Join(strings.Fields(spec), " ")
	// Package cron panics at "TZ=" without anything behind it (parser.go:96 slices at the index of a space that may be missing).
	if strings.HasPrefix(spec, "TZ=") || strings.HasPrefix(spec, "CRON_TZ=") {
		head, rest, _ := strings.Cut(spec, " ")
		switch _, zone, _ := strings.Cut(head, "="); {
		case zone == "":
			return Spec{}, fmt.Errorf("%q: no time zone after \"TZ=\"", spec)
		case rest == "":
			return Spec{}, fmt.Errorf("%q: nothing after the time zone", spec)
		}
	}
	if d, ok := strings.CutPrefix(spec, "@every"); ok {
		d = strings.TrimSpace(d)
		every, err := time.ParseDuration(d)
		if err != nil {
			return Spec{}, fmt.Errorf("%q: %q is no duration such as 5m or 1h30m", spec, d)
		}
		if every < MinInterval || every > maxInterval {
			return Spec{}, fmt.Errorf("%q: %v is not between %v and %v", spec, every, MinInterval, maxInterval)
		}
		return Spec{text: spec, every: every}, nil
	}
	parsed, err := cron.ParseStandard(spec)
	if err != nil {
		return Spec{}, fmt.Errorf("%q: %w", spec, err)
	}
	fields, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Spec{}, fmt.Errorf("%q: \"@every\" cannot have a time zone", spec)
	}
	s := Spec{text: spec, cron: fields}
	// Package cron searches five years. Any start will do that has a leap day in
	// the five years after it.
	if s.Next(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Spec{}, fmt.Errorf("%q: no such date ever comes", spec)
	}
	return s, nil
}

// String returns the text that the spec was parsed from, "" for the zero Spec.
func (s Spec) String() string { return s.text }

// MarshalText returns the text that the spec was parsed from.
func (s Spec) MarshalText() ([]byte, error) { return []byte(s.text), nil }

// UnmarshalText reads what [Parse] does.
func (s *Spec) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return fmt.Errorf("%w; want five fields (minute hour day month weekday) or @every 5m", err)
	}
	*s = parsed
	return nil
}

// Next returns the first time after t, or the zero time if there is none within five
// years. For "@every" it is t plus the interval.
//
// Where a time of day does not exist because clocks are put forward, the pass
// runs as much later as they are put; where it comes twice because they are put
// back, it runs once. Specs that name neighbouring hours follow the hours as they pass.
func (s Spec) Next(t time.Time) time.Time {
	switch {
	case s.every > 0:
		return t.Add(s.every)
	case s.cron == nil:
		return time.Time{}
	}
	loc := s.cron.Location
	if loc == time.Local {
		loc = t.Location()
	}
	// Where the spec names two neighbouring hours, an hour too many or too few makes
	// no difference, and passes follow the hours as they go by.
	hours := uint32(s.cron.Hour & (1<<24 - 1))
	if hours&(hours<<1|hours>>23) != 0 {
		return s.cron.Next(t)
	}
	// Compute in the time that a clock on the wall shows: there all days have 24 hours.
	wall := *s.cron
	wall.Location = time.UTC
	for shown := wall.Next(shownAt(t, loc)); !shown.IsZero(); shown = wall.Next(shown) {
		// A time that comes twice is past when it comes again.
		if at := instant(shown, loc); at.After(t) {
			return at.In(t.Location())
		}
	}
	return time.Time{}
}

// shownAt returns what a clock in loc shows at t, as if it were UTC.
func shownAt(t time.Time, loc *time.Location) time.Time {
	_, offset := t.In(loc).Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant returns the time at which a clock in loc first shows shown. If the clock
// skips it because it is put forward, instant returns when it would have shown it
// otherwise.
func instant(shown time.Time, loc *time.Location) time.Time {
	// time.Date does not say which it returns if there are two, or none.
	some := time.Date(shown.Year(), shown.Month(), shown.Day(),
		shown.Hour(), shown.Minute(), shown.Second(), 0, loc)
	_, before := some.Add(-4 * time.Hour).Zone()
	first := shown.Add(-time.Duration(before) * time.Second)
	if !shownAt(first, loc).Equal(shown) && shownAt(some, loc).Equal(shown) {
		return some
	}
	return first
}
