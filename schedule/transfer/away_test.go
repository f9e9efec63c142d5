package transfer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// databaseWorld is a world whose record is in a database, and its server. The account is under lock.
func databaseWorld(t *testing.T) (*world, *postgres.Ledger, *postgrestest.Server) {
	t.Helper()
	server := postgrestest.Start(t)
	record, err := postgres.Open(t.Context(), postgres.Options{URL: server.New(t), Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = record.Close() })
	if _, err := record.Lock("work"); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.pass.Ledger = record
	return w, record, server
}

// unlabelled wants no message at the MTA to be called a possible redelivery.
func (w *world) unlabelled() {
	w.t.Helper()
	for _, m := range w.mta.taken {
		if strings.Contains(m.header, "Truehop-Redelivery") {
			w.t.Errorf("%s is labelled", m.subject())
		}
	}
}

// TestDatabaseAwayBeforeADot: nothing goes out that could not be recorded, the pass ends and says why, and the next one goes on
// where it stopped.
func TestDatabaseAwayBeforeADot(t *testing.T) {
	w, record, server := databaseWorld(t)
	for n := 1; n <= 5; n++ {
		w.add(n)
	}
	delivered := func() int {
		counts, err := record.Counts(t.Context(), "work")
		if err != nil {
			t.Fatal(err)
		}
		return counts[ledger.Delivered]
	}
	w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt == 3 {
			for delivered() < 2 { // the verdicts are on their way
			}
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		}
		return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250}}
	}
	if _, err := w.try(); ledger.KindOf(err) != ledger.Away {
		t.Errorf("the pass ends with %v; want that the database is away", err)
	}
	w.delivered(1, 2)
	if _, err := w.try(); ledger.KindOf(err) != ledger.Away {
		t.Errorf("without the database a pass ends with %v", err)
	}
	w.delivered(1, 2)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.delivered(1, 2, 3, 4, 5)
	w.unlabelled()
	w.left(0)
	if n := delivered(); n != 5 {
		t.Errorf("the record has %d messages delivered, want 5", n)
	}
}

// TestDatabaseAwayBehindADot: what the MTA has taken is recorded once the database is back, and does not come again.
func TestDatabaseAwayBehindADot(t *testing.T) {
	w, record, server := databaseWorld(t)
	w.add(1)
	back := make(chan error, 1)
	w.pass.MTA = behindDot{w.mta, func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
		go func() { back <- server.Start() }()
	}}
	if _, err := w.try(); err != nil && ledger.KindOf(err) != ledger.Away {
		t.Fatal(err)
	}
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	found, err := record.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil || len(found) != 1 || found[0].State != ledger.Delivered {
		t.Errorf("the record has %+v, %v; want that the message is delivered", found, err)
	}
	w.pass.MTA = w.mta
	w.run()
	w.delivered(1)
	w.unlabelled()
	w.left(0)
}

// behindDot does something between the MTA's taking a message and its reply.
type behindDot struct {
	*mta
	then func()
}

func (b behindDot) Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error {
	return b.mta.Submit(ctx, m, func(r inject.Receipt) {
		b.then()
		done(r)
	})
}
