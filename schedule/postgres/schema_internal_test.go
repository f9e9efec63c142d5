package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestVersionOfASchemaThatIsBeingMade: its table is in the catalog, and its name is not known yet.
func TestVersionOfASchemaThatIsBeingMade(t *testing.T) {
	for code, fails := range map[string]bool{"42P01": false, "42501": true} {
		db := &answers{nil, &pgconn.PgError{Code: code}}
		if version, err := versionOf(t.Context(), db); version != 0 || (err != nil) != fails {
			t.Errorf("%s: version %d, %v", code, version, err)
		}
	}
}

// answers are those to queries, in their order: an error, or true.
type answers []error

func (a *answers) QueryRow(context.Context, string, ...any) pgx.Row {
	next := saidRow{(*a)[0]}
	*a = (*a)[1:]
	return next
}

type saidRow struct{ err error }

func (r saidRow) Scan(to ...any) error {
	if yes, ok := to[0].(*bool); ok {
		*yes = true
	}
	return r.err
}
