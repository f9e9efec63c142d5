package ledger

import "testing"

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
