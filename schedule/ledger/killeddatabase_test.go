//go:build linux

package ledger_test

import (
	"flag"
	"testing"

	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// databaseStride is how far apart the steps are at which a pass is killed that has its record in a database. The ways of the pass are
// those of the other record; here it is about what a killed client leaves there.
var databaseStride = flag.Int64("database.stride", 17, "kill a pass with its record in PostgreSQL at every n-th step")

// TestPassKilledWithItsRecordInADatabase is [TestPassKilledAtEachStep], and [TestPassKilledWhileACommitIsHeld], on PostgreSQL.
func TestPassKilledWithItsRecordInADatabase(t *testing.T) {
	url := postgrestest.New(t)
	record, err := postgres.Open(t.Context(), postgres.Options{URL: url}) // makes the schema
	if err != nil {
		t.Fatal(err)
	}
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
	fresh := func() *killWorld {
		postgrestest.Empty(t, url)
		w := newKillWorld(t, 0)
		w.database = url
		return w
	}
	killAtEach(t, "step", 1, *databaseStride, fresh)
	// How many steps a pass has differs from run to run, so these strides may miss a place: each that only a database has gets some of its own.
	for kind, at := range map[string]struct {
		first int64
		where string
	}{"commit": {3, "commit"}, "read": {1, "database read"}} {
		if killed := killAtEach(t, kind, at.first, *databaseStride, fresh); killed[at.where] == 0 {
			t.Errorf("nothing was killed at %s: are its steps counted?", at.where)
		}
	}
}
