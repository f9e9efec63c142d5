package ui

import (
	"log/slog"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// A warning is what wants a person, or what may have been lost or come twice.
func TestLevelOfAVerdict(t *testing.T) {
	want := map[ledger.State]slog.Level{
		ledger.Delivered: slog.LevelInfo, ledger.Deferred: slog.LevelInfo, ledger.Quarantined: slog.LevelInfo, ledger.Adopted: slog.LevelInfo,
		ledger.Refused: slog.LevelWarn, ledger.PartlyRefused: slog.LevelWarn, ledger.Held: slog.LevelWarn, ledger.Lost: slog.LevelWarn,
		ledger.Doubt: slog.LevelWarn, ledger.Sending: slog.LevelWarn,
	}
	for _, state := range ledger.States() {
		level, ok := want[state]
		if got := verdictLevel(string(state)); !ok || got != level {
			t.Errorf("%s is logged at %v, want %v", state, got, level)
		}
	}
}
