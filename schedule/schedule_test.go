package schedule

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests must not depend on the machine's zones
)

func mustParse(t testing.TB, spec string) Spec {
	t.Helper()
	s, err := Parse(spec)
	if err != nil {
		t.Fatalf("Parse(%q): %v", spec, err)
	}
	return s
}

func TestParse(t *testing.T) {
	for _, spec := range []string{
		"*/5 * * * *", "0 7-19 * * mon-fri", "@hourly", "@daily", "@every 10s", "@every 8784h",
		"TZ=Europe/Berlin 30 2 * * *", "CRON_TZ=UTC @daily", "0 0 29 2 *", "  0\t4 * * *  ", "@every\t5m",
	} {
		if _, err := Parse(spec); err != nil {
			t.Errorf("Parse(%q): %v", spec, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"", "empty spec"},
		{"   ", "empty spec"},
		{"* * * *", "expected exactly 5 fields, found 4"},
		{"0 * * * * *", "expected exactly 5 fields, found 6"},
		{"60 * * * *", "end of range (60) above maximum (59)"},
		{"* * * * 7", "end of range (7) above maximum (6)"},
		{"0 25 * * *", "above maximum"},
		{"*/0 * * * *", "step of range should be a positive number"},
		{"30 2 30 2 *", "no such date ever comes"},
		{", * * * *", "no such date ever comes"},
		{"@sometimes", "unrecognized descriptor"},
		{"@every", `"" is no duration`},
		{"@every 5", `"5" is no duration`},
		{"@every 500ms", "500ms is not between 10s"},
		{"@every 0s", "0s is not between"},
		{"@every -5m", "-5m0s is not between"},
		{"@every 9999h", "is not between"},
		{"TZ=", "no time zone"},
		{"TZ= * * * * *", "no time zone"},
		{"TZ=0", "nothing after the time zone"},
		{"CRON_TZ=UTC", "nothing after the time zone"},
		{"TZ=Europe/Nowhere 0 0 * * *", "bad location"},
		{"TZ=../../../etc/passwd 0 0 * * *", "bad location"},
		{"TZ=UTC @every 5m", "cannot have a time zone"},
		{strings.Repeat("1,", 4000) + "1 * * * *", "longer than"},
	} {
		_, err := Parse(c.spec)
		if err == nil {
			t.Errorf("Parse(%.40q) succeeded, want an error with %q", c.spec, c.want)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("Parse(%.40q): %v, want an error with %q", c.spec, err, c.want)
		}
	}
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ name, spec, from, want string }{
		{"plain", "*/5 * * * *", "2026-03-01T10:02:30Z", "2026-03-01T10:05:00Z"},
		{"strictly after", "*/5 * * * *", "2026-03-01T10:05:00Z", "2026-03-01T10:10:00Z"},
		{"every", "@every 90s", "2026-03-01T10:05:00Z", "2026-03-01T10:06:30Z"},
		{"zone", "TZ=Europe/Berlin 0 9 * * *", "2026-01-10T08:30:00Z", "2026-01-11T08:00:00Z"},
		{"leap day", "0 0 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},

		// Berlin puts clocks forward on 29 March 2026 at 01:00 UTC, back on 25 October at 01:00 UTC.
		{"in the gap, an hour later", "TZ=Europe/Berlin 30 2 * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z"},
		{"the day after the gap", "TZ=Europe/Berlin 30 2 * * *", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"},
		{"after the gap", "TZ=Europe/Berlin 30 4 * * *", "2026-03-29T00:00:00Z", "2026-03-29T02:30:00Z"},
		{"before the gap", "TZ=Europe/Berlin 30 1 * * *", "2026-03-29T00:00:00Z", "2026-03-29T00:30:00Z"},
		{"twice, the first time", "TZ=Europe/Berlin 30 2 * * *", "2026-10-24T23:00:00Z", "2026-10-25T00:30:00Z"},
		{"twice, not again", "TZ=Europe/Berlin 30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"just after the repeated hour", "TZ=Europe/Berlin 0 3 * * *", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"},
		{"hourly in the repeated hour", "TZ=Europe/Berlin 0 * * * *", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		{"hourly over the gap", "TZ=Europe/Berlin 0 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
		{"half an hour forward", "TZ=Australia/Lord_Howe 15 2 * * *", "2026-10-03T15:00:00Z", "2026-10-03T15:45:00Z"},
		{"no midnight", "TZ=America/Sao_Paulo 0 0 4 11 *", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, err := time.Parse(time.RFC3339, c.from)
			if err != nil {
				t.Fatal(err)
			}
			if got := mustParse(t, c.spec).Next(from).UTC().Format(time.RFC3339); got != c.want {
				t.Errorf("%s after %s: %s, want %s", c.spec, c.from, got, c.want)
			}
		})
	}
	if got := (Spec{}).Next(time.Now()); !got.IsZero() {
		t.Errorf("the zero Spec runs at %v, want never", got)
	}
}

// Local specs follow the zone of the time they are asked with.
func TestNextLocal(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 10, 25, 2, 30, 0, 0, berlin)
	got := mustParse(t, "30 2 * * *").Next(from)
	if want := time.Date(2026, 10, 26, 2, 30, 0, 0, berlin); !got.Equal(want) || got.Location() != berlin {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Over three years a daily spec runs once on every day, whatever clocks do.
func TestNextDailyIsDaily(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "UTC"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"30 2", "15 0", "45 1", "0 3"} {
			s := mustParse(t, "TZ="+zone+" "+at+" * * *")
			now := time.Date(2020, 1, 1, 0, 0, 0, 0, loc)
			for day := range 1100 {
				now = s.Next(now)
				if want := time.Date(2020, 1, 1+day, 12, 0, 0, 0, loc); now.In(loc).YearDay() != want.YearDay() {
					t.Fatalf("%s: run %d is at %v, want one on %v", s, day, now.In(loc), want.Format(time.DateOnly))
				}
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "TZ=", "TZ=0", "CRON_TZ=UTC", "@every -5m", "30 2 30 2 *", "TZ=Europe/Berlin 30 2 * * *", "@every 1h", "TZ=America/Sao_Paulo 0 0 * * 0", ",,, , , , ,", "1-2-3/4/5 * * * *"} {
		f.Add(s, int64(1_774_746_000))
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		from := time.Unix(unix%(1<<34), 0).UTC()
		at := s.Next(from)
		if !at.IsZero() && !at.After(from) {
			t.Errorf("%q: Next(%v) = %v, not after it", text, from, at)
		}
		again, err := Parse(s.String())
		if err != nil || !again.Next(from).Equal(at) {
			t.Errorf("%q reads back as %q with another meaning (%v)", text, s, err)
		}
	})
}

// TestSpecText: a spec is read from its text, and one that is none is refused with the forms that there are.
func TestSpecText(t *testing.T) {
	for _, text := range []string{"*/5 * * * *", "@every 5m", "TZ=Europe/Berlin 30 2 * * *"} {
		var s Spec
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != text {
			t.Errorf("%q is read as %q, %v", text, s, err)
		}
		if back, err := s.MarshalText(); err != nil || string(back) != text {
			t.Errorf("%q is written as %q, %v", text, back, err)
		}
	}
	s := mustParse(t, "@every 5m")
	err := s.UnmarshalText([]byte("every day"))
	if err == nil || s.String() != "@every 5m" || !strings.Contains(err.Error(), `"every day": expected exactly 5 fields`) || !strings.Contains(err.Error(), "want five fields (minute hour day month weekday) or @every 5m") {
		t.Errorf("a wrong spec is read as %q, %v; want the old one left alone and the forms named", s, err)
	}
}
