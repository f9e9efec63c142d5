package transfer_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// countingConn counts what is sent to the database: each time is a round trip.
type countingConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.sent.Add(1)
	return c.Conn.Write(p)
}

// countRows has a sequence count the rows that are written to the record, but for leases.
const countRows = `CREATE SEQUENCE public.rows MINVALUE 0 START 0;
SELECT setval('public.rows', 0);
CREATE FUNCTION public.count_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM nextval(''public.rows''); RETURN NULL; END';
DO $$ DECLARE name text; BEGIN
	FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'truehop'::regnamespace AND relkind = 'r' AND relname <> 'lease' LOOP
		EXECUTE format('CREATE TRIGGER count_row AFTER INSERT OR UPDATE OR DELETE ON truehop.%I FOR EACH ROW EXECUTE FUNCTION public.count_row()', name);
	END LOOP;
END $$`

// TestPassWithNothingNewWritesOneRow: what most passes cost the database that all machines share.
func TestPassWithNothingNewWritesOneRow(t *testing.T) {
	url := postgrestest.New(t)
	var sent atomic.Int64
	record, err := postgres.Open(t.Context(), postgres.Options{URL: url, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return countingConn{conn, &sent}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	if _, err := record.Lock("work"); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, url, countRows)
	w := newWorld(t)
	w.pass.Ledger = record
	w.add(1)
	pass := func() (rows, trips int64) {
		before := sent.Load()
		postgrestest.Exec(t, url, "SELECT setval('public.rows', 0)")
		ctx := t.Context()
		last, _, err := record.LastPass(ctx, "work")
		if err == nil {
			err = record.PassBegan(ctx, "work", ledger.Pass{Began: w.clock})
		}
		if err != nil {
			t.Fatal(err)
		}
		w.pass.Last = last.Began
		w.run()
		if err := record.PassEnded(ctx, "work", ledger.Pass{Began: w.clock, Ended: w.clock, OK: true}); err != nil {
			t.Fatal(err)
		}
		return postgrestest.Ask[int64](t, url, "SELECT last_value FROM public.rows"), sent.Load() - before
	}
	rows, trips := pass()
	t.Logf("with one message: %d rows, %d round trips", rows, trips)
	if rows < 3 {
		t.Errorf("a delivery writes %d rows: are they counted?", rows)
	}
	pass() // statements are prepared
	rows, trips = pass()
	t.Logf("with nothing new: %d rows, %d round trips", rows, trips)
	if rows > 1 {
		t.Errorf("a pass with nothing new writes %d rows, want 1", rows)
	}
	if trips > 10 {
		t.Errorf("a pass with nothing new takes %d round trips, want 10 at most", trips)
	}
}
