package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

func TestPasswordOfPgpassCountsWhereNoOtherIsGiven(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(file, []byte("localhost:*:truehop:node:from-pgpass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{"": "from-pgpass", "from-a-file": "from-a-file"} {
		config, err := configure(Options{
			URL:      "postgres://node@/truehop?host=/run/postgresql&passfile=" + file,
			Password: func(context.Context) (string, error) { return given, nil },
		}, false)
		if err != nil {
			t.Fatal(err)
		}
		c := config.ConnConfig.Copy()
		if err := config.BeforeConnect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if c.Password != want {
			t.Errorf("with %q given the password is %q, want %q", given, c.Password, want)
		}
	}
}

// TestUnsafeNameOfADatabaseIsTheConfigurationsFault: and no defect of this program, which is what [ledger.Invalid] is for.
func TestUnsafeNameOfADatabaseIsTheConfigurationsFault(t *testing.T) {
	for _, name := range []string{
		"postgres://node@db.example.net/truehop?sslmode=disable",
		"postgres://node@db.example.net/truehop?sslmode=require",
		"postgres://node:secret@db.example.net/truehop",
		"service=no-such-section",
	} {
		if _, err := configure(Options{URL: name}, false); ledger.KindOf(err) != ledger.Misnamed {
			t.Errorf("%s: %v", name, err)
		}
	}
}
