package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"
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
