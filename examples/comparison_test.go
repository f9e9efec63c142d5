package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject/injecttest"
)

// What fetchmail hands on: its own field below the local MTA's, and the provider's below that. The message comes from sender.example.com, 93.1.2.7.
const (
	byFetchmail = `Received: from localhost (localhost [127.0.0.1])
	by mx.example.org (Postfix) with ESMTP id 4XyZ1
	for <joe@example.org>; Thu, 26 Nov 2026 12:00:10 +0000 (UTC)
Received: from imap.provider.example [45.10.100.5]
	by mx.example.org with IMAP (fetchmail-6.4.37)
	for <joe@example.org> (single-drop); Thu, 26 Nov 2026 12:00:09 +0000 (UTC)
`
	byStore = `Received: from mx1.provider.example (mx1.provider.example [45.10.100.7])
	by store.provider.example (Postfix) with ESMTP id 4XyZ2
	for <joe@provider.example>; Thu, 26 Nov 2026 12:00:08 +0000 (UTC)
`
	byMX = `Received: from sender.example.com (sender.example.com [93.1.2.7])
	by mx1.provider.example (Postfix) with ESMTPS id 4XyZ3
	for <joe@provider.example>; Thu, 26 Nov 2026 12:00:07 +0000 (UTC)
`
	// bySender is what the sender writes to pass for another.
	bySender = `Received: from friend.example.com (friend.example.com [93.1.2.66])
	by sender.example.com (Postfix) with ESMTP id 1; Thu, 26 Nov 2026 12:00:06 +0000 (UTC)
`
	theRest = "From: a@example.com\nSubject: x\nDate: Thu, 26 Nov 2026 12:00:00 +0000\nMessage-ID: <x@example.com>\n\nbody\n"
)

// TestComparisonRspamd: whom external_relay takes for the client, as the page says.
func TestComparisonRspamd(t *testing.T) {
	judge := startRspamd(t)
	long, short := byFetchmail+byStore+byMX+bySender+theRest, byFetchmail+byMX+bySender+theRest
	for _, tc := range []struct{ strategy, message, want string }{
		{"none", long, "127.0.0.1"},
		{"count", long, "93.1.2.7"},
		{"count", short, "93.1.2.66"},   // a host less on the way, and the sender chooses
		{"local", long, "45.10.100.5"},  // fetchmail's own field: the mailbox's host
		{"hostname", long, "127.0.0.1"}, // no field is by the host that the connection names
	} {
		if got := judge(tc.strategy, tc.message); got != tc.want {
			t.Errorf("%s: it judges %s, want %s", tc.strategy, got, tc.want)
		}
	}
}

// startRspamd starts it with nothing but external_relay, and returns a function that asks whom it judges by a strategy.
func startRspamd(t *testing.T) func(strategy, message string) string {
	t.Helper()
	program, err := exec.LookPath("rspamd")
	if err != nil {
		notInstalled(t, "rspamd")
	}
	dir := t.TempDir()
	addr := injecttest.Port(t)
	for name, text := range map[string]string{
		"rspamd.conf": fmt.Sprintf(`options { pidfile = "%[1]s/pid"; filters = ""; disable_hyperscan = true; hs_cache_dir = "%[1]s"; url_tld = "%[1]s/tld"; local_addrs = "127.0.0.0/8"; tempdir = "%[1]s"; dns { nameserver = ["127.0.0.1:5"]; } }
logging { type = "console"; level = "warning"; }
lua = "%[1]s/show.lua";
modules { path = "/usr/share/rspamd/plugins/external_relay.lua"; }
worker "normal" { bind_socket = "%[2]s"; count = 1; }
metric "default" { actions { reject = 1000; } }
external_relay { rules {
  count { strategy = "count"; count = 4; }
  local { strategy = "local"; }
  hostname { strategy = "hostname_map"; hostname_map = ["imap.provider.example", "mx1.provider.example"]; }
} }
`, dir, addr),
		"tld": "com\nexample\n", // to compile all there are takes ten seconds
		"show.lua": `for _, strategy in ipairs({'count', 'local', 'hostname'}) do
  rspamd_config:add_condition(strategy, function(task) return tostring(task:get_request_header('Strategy')) == strategy end)
end
rspamd_config:register_symbol({ name = 'SHOWN', type = 'normal', callback = function(task)
  task:insert_result('SHOWN', 0, tostring(task:get_from_ip()))
end })
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, program, "-f", "-i", "--var=DBDIR="+dir, "-c", filepath.Join(dir, "rspamd.conf"))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	ask := func(request *http.Request) (*http.Response, error) {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		return client.Do(request)
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) { // another program: nothing tells when it listens
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/ping", nil)
		if err != nil {
			t.Fatal(err)
		}
		if reply, err := ask(request); err == nil {
			_ = reply.Body.Close()
			break
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("rspamd ended: %v\n%s", err, &log)
		default:
		}
		if time.Now().After(end) {
			t.Fatal("rspamd does not listen")
		}
	}
	return func(strategy, message string) string {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/checkv2", strings.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Ip": {"127.0.0.1"}, "Hostname": {"localhost"}, "Helo": {"localhost"}, "Strategy": {strategy}}
		reply, err := ask(request)
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		var result struct {
			Symbols map[string]struct{ Options []string }
		}
		if err := json.Unmarshal(text, &result); err != nil || len(result.Symbols["SHOWN"].Options) != 1 {
			t.Fatalf("%v: %s", err, text)
		}
		return result.Symbols["SHOWN"].Options[0]
	}
}

// notInstalled ends a test for want of a program.
func notInstalled(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		t.Fatalf("%s is not installed", program)
	}
	t.Skipf("%s is not installed", program)
}

// relays prints the address of the relay that SpamAssassin's rules judge: the last one that is external.
const relays = `use Mail::SpamAssassin; use Mail::SpamAssassin::PerMsgStatus;
my $sa = Mail::SpamAssassin->new({config_text => $ARGV[0] . "\n", dont_copy_prefs => 1, local_tests_only => 1});
$sa->init(0); local $/; my $m = $sa->parse(scalar <STDIN>, 1);
$m->extract_message_metadata(Mail::SpamAssassin::PerMsgStatus->new($sa, $m));
print $m->get_metadata("X-Spam-Relays-External") =~ /ip=(\S+)/;`

// TestComparisonSpamAssassin: whom SpamAssassin judges, as the page says.
func TestComparisonSpamAssassin(t *testing.T) {
	if err := exec.Command("perl", "-MMail::SpamAssassin", "-e", "1").Run(); err != nil {
		notInstalled(t, "SpamAssassin")
	}
	const provider = "trusted_networks 45.10.100.0/24\ninternal_networks 45.10.100.0/24"
	const byTruehop = `Received: from sender.example.com (sender.example.com [93.1.2.7])
	by mx.example.org (Postfix) with ESMTP id 4XyZ1
	for <joe@example.org>; Thu, 26 Nov 2026 12:00:10 +0000 (UTC)
`
	for _, tc := range []struct{ name, networks, message, want string }{
		{"one host at the provider", "trusted_networks 127/8", byFetchmail + byMX + bySender, "93.1.2.7"},
		{"two hosts, unknown", "trusted_networks 127/8", byFetchmail + byStore + byMX + bySender, "45.10.100.7"},
		{"two hosts, named", provider, byFetchmail + byStore + byMX + bySender, "93.1.2.7"},
		{"two hosts, unknown, by truehop", "trusted_networks 127/8", byTruehop + byStore + byMX + bySender, "93.1.2.7"},
	} {
		cmd := exec.CommandContext(t.Context(), "perl", "-e", relays, tc.networks)
		cmd.Stdin = strings.NewReader(tc.message + theRest)
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		if out, err := cmd.Output(); err != nil || string(out) != tc.want {
			t.Errorf("%s: it judges %q, want %s (%v)", tc.name, out, tc.want, err)
		}
	}
}
