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
	ledgertest.Run(t, func(t *testing.T) func() (ledgertest.Home, error) {
		postgrestest.Exec(t, url, "DROP SCHEMA IF EXISTS truehop CASCADE")
		return func() (ledgertest.Home, error) {
			return postgres.Open(context.Background(), postgres.Options{URL: url, Connections: 3})
		}
	})
}
