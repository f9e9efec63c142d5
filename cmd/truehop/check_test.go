package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestCheckPresentsNobodyUnasked: an unknown client, of which filters behind an MTA can die, is presented only
// where a run would do it too.
func TestCheckPresentsNobodyUnasked(t *testing.T) {
	for keys, want := range map[string]bool{
		"": false, ", on_unknown_client: skip": false, ", on_unknown_client: unavailable": true,
		", submission: unavailable": true, ", stale_after: 30d": false, ", stale_after: 30d, on_stale: unavailable": true,
	} {
		s := injecttest.New(injecttest.Options{Record: true})
		addr, err := s.Start()
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("state_dir: %s\ninject: {address: %q}\naccounts:\n  work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org]%s}\n",
			t.TempDir(), addr.String(), keys)
		cfg, err := config.Parse("truehop.yaml", []byte(text), configOptions())
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := checkMTA(t.Context(), ui.Check{W: &out}, cfg); err != nil {
			t.Errorf("{%s}: %v\n%s", keys, err, &out)
		}
		if !strings.Contains(out.String(), "one session carries many messages") {
			t.Errorf("{%s}: it does not say how many messages a session carries:\n%s", keys, &out)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(strings.Join(s.Transcript(), "\n"), " ADDR=[UNAVAILABLE]"); got != want {
			t.Errorf("{%s}: an unknown client was presented: %v, want %v", keys, got, want)
		}
	}
}
