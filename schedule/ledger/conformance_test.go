package ledger_test

import (
	"context"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/ledger/ledgertest"
)

// TestConformance holds SQLite to what every home of the record promises.
func TestConformance(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) func() (ledgertest.Home, error) {
		dir := t.TempDir()
		return func() (ledgertest.Home, error) { return ledger.Open(context.Background(), dir) }
	})
}
