package postgres_test

import (
	"context"
	"testing"

	"github.com/truehop/truehop/schedule/ledger/ledgertest"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestConformance holds PostgreSQL to what every home of the record promises.
func TestConformance(t *testing.T) {
	url := postgrestest.New(t)
	open(t, url) // makes the schema
	ledgertest.Run(t, func(t *testing.T) func() (ledgertest.Home, error) {
		// A new schema for each test would take ten times as long.
		postgrestest.Empty(t, url)
		return func() (ledgertest.Home, error) {
			return postgres.Open(context.Background(), postgres.Options{URL: url, Connections: 3})
		}
	})
}
