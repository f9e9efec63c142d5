package ui

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
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

// TestStackOfADefect: who mends a defect finds the stack in the log at debug level; nobody else sees it.
func TestStackOfADefect(t *testing.T) {
	e := transfer.Event{Kind: transfer.Verdict, Account: "work", State: string(ledger.Held), Why: "cannot be read: a defect of truehop",
		Defect: &transfer.Defect{Stack: "goroutine 7:\nreceived.cutField"}}
	e.Ref.UID = "42"
	for level, want := range map[slog.Level]string{
		slog.LevelDebug: `level=DEBUG msg=panic account=work uid=42 stack="goroutine 7:\nreceived.cutField"` + "\n", slog.LevelInfo: "",
	} {
		var b strings.Builder
		NewLog(&b, config.Log{Level: level}, false).Event(e)
		said := b.String()
		if !strings.Contains(said, want) || strings.Contains(said, "panic") != (want != "") {
			t.Errorf("at %v it logs %q", level, said)
		}
		if !strings.Contains(said, `level=WARN msg=held account=work uid=42`) || !strings.Contains(said, `why="cannot be read: a defect of truehop"`) {
			t.Errorf("at %v it warns %q", level, said)
		}
	}
}

// TestNotCounted: that messages are not counted is a warning, with what to do about it; that they are again is none.
func TestNotCounted(t *testing.T) {
	var b strings.Builder
	log := NewLog(&b, config.Log{Format: config.TextFormat}, false)
	log.NotCounted(&ledger.Error{Kind: ledger.Slow, Op: "cannot be read", Advice: "see what keeps it busy"})
	log.NotCounted(nil)
	const warning = `level=WARN msg="messages not counted" error="ledger: cannot be read" hint="see what keeps it busy"`
	warned := strings.Contains(b.String(), warning)
	if !warned || !strings.Contains(b.String(), `level=INFO msg="messages not counted" why="they can be counted again"`) {
		t.Errorf("it logs %q", b.String())
	}
}

// TestSharingSaysWhatToDo: a service that cannot see the others logs one line, with what to do about it.
func TestSharingSaysWhatToDo(t *testing.T) {
	var b strings.Builder
	log := NewLog(&b, config.Log{Format: config.TextFormat}, false)
	log.Sharing(errors.Join(&ledger.Error{Kind: ledger.Away, Op: "cannot be reached", Advice: "see that it runs"}, errors.New("another")))
	if got := b.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `msg=sharing error="ledger: cannot be reached; another" hint="see that it runs"`) {
		t.Errorf("it logs %q", got)
	}
}
