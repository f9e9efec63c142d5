package ui

import (
	"fmt"
	"time"
)

// size is a number of octets in units of a thousand, with two digits at least.
func size(octets int64) string {
	if octets < 1000 {
		return fmt.Sprintf("%d B", octets)
	}
	value, unit := float64(octets), 0
	for value >= 999.5 && unit < 5 {
		value, unit = value/1000, unit+1
	}
	name := [...]string{"B", "kB", "MB", "GB", "TB", "PB"}[unit]
	if value < 9.95 {
		return fmt.Sprintf("%.1f %s", value, name)
	}
	return fmt.Sprintf("%.0f %s", value, name)
}

// shortDuration is a duration in its largest unit, rounded down: "12s", "3 min", "5h", "2 days".
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// cellTime is a time in a cell of a table, whose head has the zone: absolute, and how far from now.
func cellTime(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return hour(t, now) + ", " + distance(t, now)
}

// distance is how far a time is from now.
func distance(t, now time.Time) string {
	switch d := now.Sub(t); {
	case d >= time.Second:
		return shortDuration(d) + " ago"
	case d <= -time.Second:
		return "in " + shortDuration(-d)
	}
	return "now"
}

// hour is the time of a day for a sentence, with the date where that is not today.
func hour(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04")
	}
	return t.Format("2006-01-02 15:04")
}
