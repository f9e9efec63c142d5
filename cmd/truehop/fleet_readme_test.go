package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestFleetReadmeMakesTheTables: the command that examples/fleet/README.md gives the owner of the tables makes them, with the environment
// that stands there and without a configuration.
func TestFleetReadmeMakesTheTables(t *testing.T) {
	database := postgrestest.New(t)
	made := 0
	for _, block := range blocks(readText(t, root+"/examples/fleet/README.md"), "console") {
		before, args, found := strings.Cut(strings.TrimSpace(block), " truehop accounts ")
		if !found || args != "prepare" {
			continue
		}
		made++
		p := command(t, t.Context(), "accounts", "prepare")
		p.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
		for _, m := range regexp.MustCompile(`(TRUEHOP_[A-Z_]+)='?([^ ']*)'?`).FindAllStringSubmatch(before, -1) {
			value := m[2]
			if m[1] == "TRUEHOP_STATE" {
				value = database
			}
			p.Env = append(p.Env, m[1]+"="+value)
		}
		p.start(t)
		if code := p.wait(t); code != exitOK {
			t.Fatalf("it ends with %d\n%s", code, &p.stderr)
		}
		if tables := postgrestest.Ask[int](t, database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'truehop' AND tablename IN ('account', 'record')"); tables != 2 {
			t.Errorf("%d of the tables account and record are there", tables)
		}
	}
	if made != 1 {
		t.Errorf("%d commands make the tables, want 1", made)
	}
}
