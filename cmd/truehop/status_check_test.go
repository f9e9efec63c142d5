package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestHealth: what a monitor is told. One refused message does not make it fail for ever.
func TestHealth(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	text, young, old := "the MTA | is gone", now.Add(-time.Minute), now.Add(-2*time.Hour)
	message := func(state ledger.State, age time.Duration) []ui.MessageStatus {
		return []ui.MessageStatus{{State: state, Changed: now.Add(-age)}}
	}
	for _, c := range []struct {
		name string
		s    ui.AccountStatus
		want health
		says string
	}{
		{"well", ui.AccountStatus{LastSuccess: &young}, healthOK, "accounts 1, deferred 0, for a person 0 | accounts=1"},
		{"no pass", ui.AccountStatus{}, healthCritical, "work: no good pass yet;"},
		{"old", ui.AccountStatus{LastSuccess: &old}, healthCritical, "no good pass for 2h0m0s;"},
		{"old, and why", ui.AccountStatus{LastSuccess: &old, Error: &text}, healthCritical, "for 2h0m0s, the MTA / is gone;"},
		{"failed once", ui.AccountStatus{LastSuccess: &young, Error: &text}, healthWarning, "last pass failed, the MTA"},
		{"login refused", ui.AccountStatus{LastSuccess: &young, LoginRefused: &ui.LoginStatus{Reason: "no"}}, healthWarning, "login refused: no"},
		{"deferred", ui.AccountStatus{LastSuccess: &young, Open: message(ledger.Deferred, 0)}, healthOK, "deferred 1"},
		{"refused just now", ui.AccountStatus{LastSuccess: &young, Open: message(ledger.Refused, time.Hour)}, healthWarning, "truehop status work"},
		{"refused long ago", ui.AccountStatus{LastSuccess: &young, Open: message(ledger.Refused, 25*time.Hour)}, healthOK, "for a person 1"},
		{"lost just now", ui.AccountStatus{LastSuccess: &young, Open: message(ledger.Lost, 0)}, healthWarning, "truehop status work"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Account = "work"
			got, line := judgeHealth([]*ui.AccountStatus{&c.s}, time.Hour, now)
			if got != c.want || !strings.Contains(line, c.says) || strings.Count(line, "|") != 1 {
				t.Errorf("%v: %s; want %v, %q", got, line, c.want, c.says)
			}
		})
	}
}

// TestEvery: at once, then in the interval, until the signal or an error.
func TestEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		times := 0
		if err := every(ctx, 2*time.Second, func() error { times++; return nil }); err != nil || times != 3 {
			t.Errorf("%d times, %v; want 3", times, err)
		}
		broken := errors.New("broken")
		if err := every(t.Context(), time.Second, func() error { return broken }); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}
