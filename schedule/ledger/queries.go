package ledger

import (
	"context"
	"database/sql"
	"sync"
)

// queriesKept bounds the queries that stay prepared. A pass uses a few, and asks one of them for each message that has no lasting
// UID: to parse it took most of the time.
const queriesKept = 16

// queries are the prepared ones, by their text. The zero value has none. They are closed with their database.
type queries struct {
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

// ask runs a query, prepared from the last time where it is among those.
func (q *queries) ask(ctx context.Context, db *sql.DB, query string, args ...any) (*sql.Rows, error) {
	stmt, err := q.prepare(ctx, db, query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil:
		return db.QueryContext(ctx, query, args...)
	}
	return stmt.QueryContext(ctx, args...)
}

// prepare returns nil for a query that there is no room for.
func (q *queries) prepare(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if stmt, ok := q.prepared[query]; ok || len(q.prepared) == queriesKept {
		return stmt, nil
	}
	stmt, err := db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if q.prepared == nil {
		q.prepared = make(map[string]*sql.Stmt)
	}
	q.prepared[query] = stmt
	return stmt, nil
}
