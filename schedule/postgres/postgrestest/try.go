package postgrestest

import (
	"context"
	"testing"
)

// Try executes a statement by the role that url names, takes back what it did, and returns why it failed.
func Try(t testing.TB, url, sql string) error {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(context.Background(), sql)
	return err
}
