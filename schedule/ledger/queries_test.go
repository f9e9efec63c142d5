package ledger

import (
	"database/sql"
	"strings"
	"testing"
)

// TestTokensAreLookedForAmongAnAccountsRecords: a stranger writes what is looked for, and a ledger of years holds a
// million records of others.
func TestTokensAreLookedForAmongAnAccountsRecords(t *testing.T) {
	l := open(t, t.TempDir())
	list(t, l, Filter{Account: "work", Tokens: []string{"tok-1", "tok-2"}, Limit: 1})
	list(t, l, Filter{Account: "work", Tokens: []string{"tok-3"}, Limit: 1})
	if got := len(l.queries.prepared); got != 1 {
		t.Errorf("%d queries, want one for any number of tokens", got)
	}
	for query := range l.queries.prepared {
		if plan := planOf(t, l, query); !strings.Contains(plan, "SEARCH record USING PRIMARY KEY (mailbox=?)") {
			t.Errorf("SQLite reads %s", plan)
		}
	}
}

// TestGenerationsCountNothing: each pass with a new message asks, and of a folder of a million records one of each
// generation is enough.
func TestGenerationsCountNothing(t *testing.T) {
	l := open(t, t.TempDir())
	if _, err := l.Generations(t.Context(), "work", "INBOX"); err != nil {
		t.Fatal(err)
	}
	if got := len(l.queries.prepared); got != 1 {
		t.Fatalf("%d queries, want one", got)
	}
	for query := range l.queries.prepared {
		plan := planOf(t, l, query)
		if !strings.Contains(plan, "EXISTS") && !strings.Contains(plan, "CORRELATED SCALAR SUBQUERY") {
			t.Errorf("SQLite reads %s", plan)
		}
	}
}

// TestMonitorSortsNoRecords: it asks every few seconds, of a ledger with a million records: what waits is found by the
// index of what is unfinished, and all others are counted in the order in which they are there.
func TestMonitorSortsNoRecords(t *testing.T) {
	l, of := open(t, t.TempDir()), []string{"work"}
	if _, err := l.Overviews(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	one := func() {
		t.Helper()
		if len(l.queries.prepared) != 1 {
			t.Fatalf("%d queries, want one", len(l.queries.prepared))
		}
	}
	one()
	for query := range l.queries.prepared {
		if plan := planOf(t, l, query); !strings.Contains(plan, "SCAN record USING INDEX record_unfinished") {
			t.Errorf("for what waits SQLite reads %s", plan)
		}
	}
	l = open(t, t.TempDir())
	if _, err := l.CountsByAccount(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	one()
	for query := range l.queries.prepared {
		if plan := planOf(t, l, query); strings.Contains(plan, "B-TREE") || !strings.Contains(plan, "SCAN record;") {
			t.Errorf("to count SQLite reads %s", plan)
		}
	}
}

// planOf returns how SQLite answers a query.
func planOf(t *testing.T, l *Ledger, query string) (plan string) {
	t.Helper()
	rows := must[*sql.Rows](t)(l.db.Query("EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...))
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan += detail + "; "
	}
	return plan
}

// TestQueriesStayPrepared: a query is parsed once for each text, and what there is no room for is answered all the same.
func TestQueriesStayPrepared(t *testing.T) {
	l := open(t, t.TempDir())
	put(t, l, record("1", Delivered), record("2", Delivered))
	hash := record("1", Delivered).Hash
	ask := func() {
		t.Helper()
		if got, err := l.ByHash(t.Context(), "work", "INBOX", hash); err != nil || len(got) == 0 {
			t.Errorf("ByHash = %v, %v, want the records", got, err)
		}
	}
	ask()
	first := len(l.queries.prepared)
	ask()
	if first != 1 || len(l.queries.prepared) != 1 {
		t.Errorf("%d queries are prepared after the first, %d after the second of the same text; want 1", first, len(l.queries.prepared))
	}
	for limit := range 2 * queriesKept {
		if got := list(t, l, Filter{Limit: limit + 1}); len(got) != min(limit+1, 2) {
			t.Errorf("%d records, want %d", len(got), min(limit+1, 2))
		}
	}
	if got := len(l.queries.prepared); got != queriesKept {
		t.Errorf("%d queries are prepared, want the bound of %d", got, queriesKept)
	}
	ask()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.ByHash(t.Context(), "work", "INBOX", hash); KindOf(err) != Closed {
		t.Errorf("of a closed ledger: %v, want Kind closed", err)
	}
}
