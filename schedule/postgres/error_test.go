package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/truehop/truehop/schedule/ledger"
)

func TestRefusalSaysWhatToDo(t *testing.T) {
	for code, want := range map[string]struct {
		kind ledger.Kind
		hint string
	}{
		"28P01": {ledger.Permission, "password"},
		"28000": {ledger.Permission, "pg_hba.conf"},
		"42501": {ledger.Permission, "truehop accounts prepare"},
		"42P01": {ledger.NotFound, "truehop accounts prepare"},
		// Were it NotFound, status and check would take a misspelt name for a record that has yet to begin.
		"3D000": {ledger.IO, "name of the database"},
		// Were they Busy, truehop run would take it that another process is at work on the account, and nobody would be told.
		"57014": {ledger.Slow, "statement_timeout"},
		"25P04": {ledger.Slow, "transaction_timeout"},
		"55P03": {ledger.Slow, "lock_timeout"},
		"53300": {ledger.Away, "max_connections"},
		"57P01": {ledger.Away, "runs and can be reached"},
	} {
		var e *ledger.Error
		err := failed("cannot be read", "database truehop at /run/postgresql", &pgconn.PgError{Severity: "FATAL", Code: code, Message: "no"})
		if !errors.As(err, &e) {
			t.Errorf("%s: %v is no error of a ledger", code, err)
			continue
		}
		if e.Kind != want.kind || !strings.Contains(e.Hint(), want.hint) {
			t.Errorf("%s: kind %v with the hint %q; want %v and %q in it", code, e.Kind, e.Hint(), want.kind, want.hint)
		}
	}
}
