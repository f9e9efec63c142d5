package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule"
)

// judgedOf is what the only target of a configuration is to take and judge.
func judgedOf(cfg *config.Config) load {
	judged, _ := loads(cfg, slices.Collect(maps.Values(cfg.Accounts)), cfg.Inject["main"])
	return judged
}

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
		found := checkMTA(t.Context(), cfg.Inject["main"], judgedOf(cfg), os.Geteuid())
		found.Print(&out, true)
		if found.code != exitOK {
			t.Errorf("{%s}: exit code %d\n%s", keys, found.code, &out)
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
	found := checkMTA(t.Context(), cfg.Inject["main"], judgedOf(cfg), os.Geteuid())
	found.Print(&out, true)
	if found.code != exitConfig || !strings.Contains(out.String(), "inet_protocols=all") {
		t.Errorf("exit %d; want the configuration at fault, and what helps\n%s", found.code, &out)
	}
	for _, part := range []string{"presented 2001:db8::1: 501", "presented 192.0.0.8, for clients that are not known: 220", "presented 198.18.0.8, for mail that began at the upstream: 220"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("%q is missing in\n%s", part, &out)
		}
	}
}

// TestCheckOfEachReceiver: check says what the way into the MTA is worth, and names the carrier where that is the mistake.
func TestCheckOfEachReceiver(t *testing.T) {
	notAProxy := []injecttest.Fault{{Stage: injecttest.EHLO, Reply: "502 5.5.2 Error: command not recognized"}}
	for name, c := range map[string]struct {
		server injecttest.Options
		inject string
		want   string
		hint   string
	}{
		"XFORWARD":                     {injecttest.Options{XFORWARD: []string{"NAME", "ADDR"}}, "carrier: xforward", "XFORWARD: offered, attributes NAME ADDR", ""},
		"XFORWARD not offered":         {injecttest.Options{}, "carrier: xforward", "carrier xforward", "smtpd_authorized_xforward_hosts"},
		"PROXY where none is expected": {injecttest.Options{Faults: notAProxy}, "carrier: proxy-v1", "carrier proxy-v1", "carrier: xclient"},
		"Dovecot": {injecttest.Options{LMTP: true, XCLIENT: []string{"ADDR", "PORT", "PROTO", "HELO", "LOGIN", "SESSION", "TTL", "TIMEOUT"}},
			"protocol: lmtp", "every message gets a connection of its own", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := injecttest.New(c.server)
			addr, err := s.Start()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			text := fmt.Sprintf("state_dir: %s\ninject: {address: %q, %s}\naccounts:\n  work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org]}\n",
				t.TempDir(), addr.String(), c.inject)
			cfg, err := config.Parse("truehop.yaml", []byte(text), configOptions())
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			found := checkMTA(t.Context(), cfg.Inject["main"], judgedOf(cfg), os.Geteuid())
			found.Print(&out, true)
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("it does not say %q:\n%s", c.want, &out)
			}
			if (found.code == exitOK) != (c.hint == "") || !strings.Contains(out.String(), c.hint) {
				t.Errorf("exit code %d, want the hint %q in\n%s", found.code, c.hint, &out)
			}
		})
	}
}

// TestCheckLooksAtAccountsTogether: as many parts as passes says are looked at at a time, no more, and the results come in order.
func TestCheckLooksAtAccountsTogether(t *testing.T) {
	const limit, parts = 3, 12
	var running, most atomic.Int32
	all := make(chan struct{}) // closed when as many have run as may
	full := sync.OnceFunc(func() { close(all) })
	var tasks []checking
	for n := range parts {
		tasks = append(tasks, checking{"", func() *checked {
			defer running.Add(-1)
			now := running.Add(1)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			}
			if now == limit {
				full()
			}
			<-all
			return &checked{code: n}
		}})
	}
	for n, done := range together(tasks, schedule.NewSlots(limit, 0, 0)) {
		if c := <-done; c.code != n {
			t.Errorf("the result of %d comes in place %d", c.code, n)
		}
	}
	if most.Load() != limit {
		t.Errorf("%d ran at a time, want %d", most.Load(), limit)
	}
}
