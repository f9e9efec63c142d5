package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestCheckPresentsNobodyUnasked: a client without an address, of which filters behind an MTA can die, is presented only
// where a run would do it too. The stand-ins, and a client with an address of IPv6, are presented always.
func TestCheckPresentsNobodyUnasked(t *testing.T) {
	for keys, want := range map[string]bool{
		"": false, ", on_unknown_client: skip": false, ", on_unknown_client: unavailable": true,
		", submission: unavailable": false, ", on_internal: unavailable": true, ", stale_after: 30d": false, ", stale_after: 30d, on_stale: unavailable": true,
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
		if err := checkMTA(t.Context(), ui.Check{W: &out}, cfg.Inject["main"], slices.Collect(maps.Values(cfg.Accounts))); err != nil {
			t.Errorf("{%s}: %v\n%s", keys, err, &out)
		}
		if !strings.Contains(out.String(), "one session carries many messages") {
			t.Errorf("{%s}: it does not say how many messages a session carries:\n%s", keys, &out)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		told := strings.Join(s.Transcript(), "\n") + "\n"
		for _, addr := range []string{"192.0.2.1", "IPV6:2001:db8::1", "192.0.0.8", "198.18.0.8"} {
			if !strings.Contains(told, " ADDR="+addr+"\n") {
				t.Errorf("{%s}: %s was not presented:\n%s", keys, addr, told)
			}
		}
		if got := strings.Contains(told, " ADDR=[UNAVAILABLE]"); got != want {
			t.Errorf("{%s}: an unknown client was presented: %v, want %v", keys, got, want)
		}
	}
}

// TestCheckFindsAnMTAWithoutIPv6: mail of clients with such an address would be deferred.
func TestCheckFindsAnMTAWithoutIPv6(t *testing.T) {
	s := injecttest.New(injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Nth: 2, Reply: "501 5.5.4 Bad ADDR syntax: IPV6:2001:db8::1"}}})
	addr, err := s.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text := fmt.Sprintf("state_dir: %s\ninject: {address: %q}\naccounts:\n  work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org]}\n", t.TempDir(), addr.String())
	cfg, err := config.Parse("truehop.yaml", []byte(text), configOptions())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	err = checkMTA(t.Context(), ui.Check{W: &out}, cfg.Inject["main"], slices.Collect(maps.Values(cfg.Accounts)))
	if err == nil || exitCode(err) != exitConfig || !strings.Contains(err.Error(), "inet_protocols=all") {
		t.Errorf("%v, exit %d; want the configuration at fault, and what helps", err, exitCode(err))
	}
	for _, part := range []string{"presented 2001:db8::1: 501", "presented 192.0.0.8, for clients that are not known: 220", "presented 198.18.0.8, for mail that began at the upstream: 220"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing in\n%s", part, &out)
		}
	}
}
