package ui

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestJournalPriorities: journald gets the level of a line as a priority in front of it (sd-daemon(3)).
func TestJournalPriorities(t *testing.T) {
	for level, want := range map[slog.Level]string{slog.LevelDebug: "<7>", slog.LevelInfo: "<6>", slog.LevelWarn: "<4>", slog.LevelError: "<3>"} {
		var b strings.Builder
		log := NewLog(&b, config.Log{Format: config.JournalFormat, Level: slog.LevelDebug}, false)
		log.Log(t.Context(), level, "level=ERROR")
		if got := b.String(); got != want+"msg=\"level=ERROR\"\n" {
			t.Errorf("at %v it writes %q", level, got)
		}
	}
}

// TestPassLevels: what level the end of a pass is logged at, so that cron is silent when nothing happened.
func TestPassLevels(t *testing.T) {
	for name, c := range map[string]struct {
		summary transfer.Summary
		err     error
		want    string
	}{
		"nothing new":  {transfer.Summary{Listed: 9, Known: 9}, nil, "level=DEBUG msg=pass account=work listed=9\n"},
		"mail":         {transfer.Summary{Delivered: 1}, nil, "level=INFO msg=pass account=work delivered=1\n"},
		"an error":     {transfer.Summary{}, &transfer.Error{Op: "list", Text: "renumbered", Advice: "look"}, `level=ERROR msg="pass failed" account=work error="list: renumbered" hint=look` + "\n"},
		"another one":  {transfer.Summary{}, errors.New("x"), `level=ERROR msg="pass failed" account=work `},
		"lost mail":    {transfer.Summary{Lost: 1}, nil, "level=INFO msg=pass account=work "},
		"settled late": {transfer.Summary{Settled: 1}, nil, "level=INFO msg=pass account=work "},
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			NewLog(&b, config.Log{Level: slog.LevelDebug}, false).Pass("work", PassEnd{Summary: c.summary, Err: c.err})
			if !strings.Contains(b.String(), c.want) {
				t.Errorf("it logs %q, want %q", b.String(), c.want)
			}
		})
	}
}
