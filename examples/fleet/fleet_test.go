package fleet

import (
	"context"
	"crypto/sha256"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/ledger/ledgertest"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// database is set up as README.md says, in parts: roles, the schema that truehop_owner makes, and the roles' rights to it.
func database(t *testing.T) string {
	t.Helper()
	at := postgrestest.New(t)
	roles := read(t, "roles.sql")
	postgrestest.Exec(t, at, roles)
	owner, err := postgres.OpenAccounts(t.Context(), postgres.Options{URL: as(t, at, "truehop_owner")}, false)
	if err != nil {
		t.Fatal(err)
	}
	owner.Close()
	postgrestest.Exec(t, as(t, at, "truehop_owner"), read(t, "partitions.sql"))
	postgrestest.Exec(t, at, roles)
	return at
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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

// atWork opens the record as a node does, and locks the account work, until the test ends.
func atWork(t *testing.T, at string) *postgres.Ledger {
	t.Helper()
	l, err := postgres.Open(t.Context(), postgres.Options{URL: as(t, at, "truehop_node")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	unlock, err := l.Lock("work")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unlock(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestNodeRole: truehop_node can do all that the record asks for, and everything that serve does with the accounts.
func TestNodeRole(t *testing.T) {
	at := database(t)
	node := as(t, at, "truehop_node")
	ledgertest.Run(t, func(t *testing.T) func() (ledgertest.Home, error) {
		postgrestest.Empty(t, at)
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

// TestRetentionKeepsIdentity: retention.sql takes out what people read, and nothing by which a message is known.
func TestRetentionKeepsIdentity(t *testing.T) {
	at := database(t)
	l := atWork(t, at)
	old := time.Now().AddDate(-1, 0, 0)
	record := func(uid string, state ledger.State, last time.Time) ledger.Record {
		return ledger.Record{Key: ledger.Key{Account: "work", Folder: "INBOX", Validity: 1, UID: uid, Hash: sha256.Sum256([]byte(uid))}, State: state, Size: 42,
			First: last, Last: last, Sender: "joe@example.com", Recipients: "ann@example.org", Reply: "250 Ok", Heading: ledger.Heading{Subject: "hello"}}
	}
	for _, r := range []ledger.Record{record("1", ledger.Delivered, old), record("2", ledger.Delivered, time.Now()), record("3", ledger.Held, old)} {
		if err := l.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	before, err := l.Briefs(t.Context(), "work", "INBOX", 1)
	if err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, as(t, at, "truehop_owner"), read(t, "retention.sql"))
	after, err := l.Briefs(t.Context(), "work", "INBOX", 1)
	if err != nil || !reflect.DeepEqual(before, after) || len(after) != 3 {
		t.Errorf("known are %v, and were %v: %v", after, before, err)
	}
	for uid, want := range map[string]string{"1": "", "2": "joe@example.com", "3": "joe@example.com"} {
		found, err := l.ByHash(t.Context(), "work", "INBOX", sha256.Sum256([]byte(uid)))
		if err != nil || len(found) != 1 || found[0].UID != uid || found[0].Size != 42 || found[0].Sender != want {
			t.Errorf("message %s is known as %+v: %v", uid, found, err)
		}
	}
}

// TestPartitionsAreForANewRecord: a record in use is left as it is.
func TestPartitionsAreForANewRecord(t *testing.T) {
	at := database(t)
	postgrestest.Exec(t, at, "INSERT INTO truehop.mailbox (account, folder, validity) VALUES ('work', 'INBOX', 1)")
	l := atWork(t, at)
	if err := l.Put(t.Context(), ledger.Record{Key: ledger.Key{Account: "work", Folder: "INBOX", Validity: 1, UID: "1"}, State: ledger.Delivered, First: time.Now(), Last: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := postgrestest.Try(t, as(t, at, "truehop_owner"), read(t, "partitions.sql")); err == nil || !strings.Contains(err.Error(), "the record is in use") {
		t.Errorf("it ends with %v", err)
	}
}

// TestCompose: every file that the containers are given is here, but for the secrets, and both nodes are the same.
func TestCompose(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Image       string
			Volumes     []string
			Secrets     []string
			Environment map[string]string
			Command     []string
		}
		Secrets map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	if len(compose.Services) != 4 || !reflect.DeepEqual(compose.Services["node1"], compose.Services["node2"]) {
		t.Errorf("services %+v", compose.Services)
	}
	for name, s := range compose.Services {
		for _, v := range s.Volumes {
			file, _, _ := strings.Cut(v, ":")
			if local, ok := strings.CutPrefix(file, "./"); ok {
				read(t, local)
			}
		}
		for _, secret := range s.Secrets {
			if compose.Secrets[secret].File == "" {
				t.Errorf("%s: there is no secret %s", name, secret)
			}
		}
	}
	if p := compose.Services["prepare"]; !slices.Equal(p.Command, []string{"accounts", "prepare"}) || !strings.Contains(p.Environment["TRUEHOP_STATE"], "truehop_owner") ||
		p.Environment["TRUEHOP_INJECT__ADDRESS"] == "" {
		t.Errorf("the tables are made by %+v", p)
	}
}

// TestServerTakesItsConfiguration: PostgreSQL reads the settings and the lines for it, and lets nobody in from elsewhere without TLS.
func TestServerTakesItsConfiguration(t *testing.T) {
	server := postgrestest.Start(t)
	at := server.New(t)
	for line := range strings.Lines(read(t, "postgresql.conf")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if !postgrestest.Ask[bool](t, at, `SELECT count(*) = 1 FROM pg_settings WHERE name = $1 AND CASE vartype WHEN 'enum' THEN $2 = ANY (enumvals)
			WHEN 'bool' THEN $2 IN ('on', 'off') WHEN 'string' THEN true ELSE substr(vartype || $2, length(vartype) + 1)::numeric BETWEEN min_val::numeric AND max_val::numeric END`, name, strings.Trim(value, "'")) {
			t.Errorf("there is no such setting, or no such value: %s", line)
		}
	}
	// The view reads the file anew; the server goes on by what it read before.
	if err := os.WriteFile(filepath.Join(server.Dir, "data/pg_hba.conf"), []byte(read(t, "pg_hba.conf")), 0o600); err != nil {
		t.Fatal(err)
	}
	if wrong := postgrestest.Ask[string](t, at, `SELECT coalesce(string_agg(line_number || ': ' || error, '; '), '') FROM pg_hba_file_rules
		WHERE error NOT LIKE '%SSL is disabled'`); wrong != "" {
		t.Errorf("pg_hba.conf: %s", wrong)
	}
	if open := postgrestest.Ask[int](t, at, "SELECT count(*) FROM pg_hba_file_rules WHERE type NOT IN ('local', 'hostssl') AND auth_method <> 'reject' OR auth_method = 'trust'"); open > 0 {
		t.Errorf("%d lines let somebody in without TLS or password", open)
	}
	users := postgrestest.Ask[string](t, at, "SELECT string_agg(DISTINCT u, ' ' ORDER BY u) FROM pg_hba_file_rules, unnest(user_name) u")
	for user := range strings.FieldsSeq(users) {
		known := slices.Contains([]string{"all", "postgres", "replicator"}, user) || strings.Contains(read(t, "roles.sql"), "'"+user+"'")
		if !known {
			t.Errorf("nobody makes the role %s", user)
		}
	}
}
