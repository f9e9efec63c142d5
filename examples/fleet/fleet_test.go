package fleet

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/ledger/ledgertest"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// database is one with the roles of roles.sql, and the schema that truehop_owner has made.
func database(t *testing.T) string {
	t.Helper()
	at := postgrestest.New(t)
	roles, err := os.ReadFile("roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, at, string(roles))
	owner, err := postgres.Open(t.Context(), postgres.Options{URL: as(t, at, "truehop_owner")})
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, at, string(roles))
	return at
}

// as is the same database by a role.
func as(t *testing.T, at, role string) string {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(role)
	return u.String()
}

// TestNodeRole: truehop_node can do all that the record asks for, and everything that serve does with the accounts.
func TestNodeRole(t *testing.T) {
	at := database(t)
	node := as(t, at, "truehop_node")
	ledgertest.Run(t, func(t *testing.T) func() (ledgertest.Home, error) {
		postgrestest.Exec(t, at, `DELETE FROM truehop.record; DELETE FROM truehop.mailbox; DELETE FROM truehop.pass; DELETE FROM truehop.login;
			DELETE FROM truehop.told; DELETE FROM truehop.judged; DELETE FROM truehop.caught_up; DELETE FROM truehop.lease;
			SELECT setval('truehop.judgement', 0)`)
		return func() (ledgertest.Home, error) {
			return postgres.Open(context.Background(), postgres.Options{URL: node, Connections: 3})
		}
	})
	accounts, err := postgres.OpenAccounts(t.Context(), postgres.Options{URL: node}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer accounts.Close()
	postgrestest.Exec(t, at, "INSERT INTO truehop.account (name) VALUES ('work')")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := 0
	err = accounts.Listen(ctx, 0, func([]string) error {
		began++
		if rows, err := accounts.List(ctx); err != nil || len(rows) != 1 {
			t.Errorf("rows %v, %v", rows, err)
		}
		cancel()
		return nil
	})
	if began != 1 {
		t.Errorf("it cannot listen: %v", err)
	}
}

// TestRolesCanDoNoMore: what is not a role's business is refused by the database, and what is, is not.
func TestRolesCanDoNoMore(t *testing.T) {
	at := database(t)
	postgrestest.Exec(t, at, "INSERT INTO truehop.account (name, secret) VALUES ('work', 'sealed')")
	for _, c := range []struct {
		role, sql string
		may       bool
	}{
		{"truehop_node", "SELECT secret FROM truehop.account", true},
		{"truehop_node", "INSERT INTO truehop.account (name) VALUES ('x')", false},
		{"truehop_node", "UPDATE truehop.account SET enabled = false", false},
		{"truehop_node", "DELETE FROM truehop.account", false},
		{"truehop_node", "UPDATE truehop.format SET version = 99", false},
		{"truehop_node", "TRUNCATE truehop.record", false},
		{"truehop_node", "DROP TABLE truehop.record", false},
		{"truehop_node", "ALTER TABLE truehop.lease DROP COLUMN epoch", false},
		{"truehop_node", "CREATE OR REPLACE FUNCTION truehop.fence(accounts text[], epochs bigint[]) RETURNS void LANGUAGE sql AS ''", false},
		{"truehop_node", "CREATE TABLE truehop.x ()", false},
		{"truehop_node", "CREATE TABLE public.x ()", false},
		{"truehop_node", "CREATE SCHEMA x", false},
		{"truehop_node", "DROP SCHEMA truehop CASCADE", false},
		{"truehop_admin", "INSERT INTO truehop.account (name) VALUES ('admin')", true},
		{"truehop_admin", "SELECT secret FROM truehop.account", true},
		{"truehop_admin", "SELECT * FROM truehop.record", false},
		{"truehop_panel", "INSERT INTO truehop.account (name, secret) VALUES ('panel', 'sealed')", true},
		{"truehop_panel", "UPDATE truehop.account SET settings = '{}', secret = 'sealed' WHERE name = 'panel'", true},
		{"truehop_panel", "SELECT name, settings, enabled, changed FROM truehop.account", true},
		{"truehop_panel", "DELETE FROM truehop.account WHERE name = 'panel'", true},
		{"truehop_panel", "SELECT secret FROM truehop.account", false},
		{"truehop_panel", "DELETE FROM truehop.account WHERE name = 'panel' RETURNING secret", false},
		{"truehop_panel", "SELECT * FROM truehop.record", false},
		{"truehop_panel", "DROP TABLE truehop.account", false},
	} {
		err := postgrestest.Try(t, as(t, at, c.role), c.sql)
		refused := err != nil && strings.Contains(err.Error(), "SQLSTATE 42501") // insufficient_privilege
		if c.may && err != nil {
			t.Errorf("%s cannot: %s: %v", c.role, c.sql, err)
		}
		if !c.may && !refused {
			t.Errorf("%s: %s gives %v, want that it may not", c.role, c.sql, err)
		}
	}
}
