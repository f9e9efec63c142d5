package config

import (
	"errors"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/transfer"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// environ is an environment in which all defaults are the same for every user.
var environ = []string{"HOME=/home/joe", "STATE_DIRECTORY=/var/lib/truehop"}

func options(extra ...string) Options {
	return Options{Environ: append(slices.Clone(environ), extra...)}
}

// one is the smallest configuration, with more keys for its account.
func one(keys string) []byte {
	return []byte("accounts:\n  work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org]" + keys + "}\n")
}

func mustParse(t *testing.T, data []byte, o Options) *Config {
	t.Helper()
	c, err := Parse("truehop.yaml", data, o)
	if err != nil {
		t.Fatalf("refused:\n%v\nconfiguration:\n%s", err, data)
	}
	return c
}

// Every file in testdata/bad is refused with the lines of its .want file: all
// problems at once, each with its place.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(name, data, options())
			var bad *Error
			if !errors.As(err, &bad) {
				t.Fatalf("want an *Error, got %v", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", err.Error()+"\n")
		})
	}
}

// golden compares got with the file, or writes the file under -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it)\n--- got\n%s--- want\n%s", file, got, want)
	}
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, one(""), options())
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	everyFiveMinutes, err := schedule.Parse("*/5 * * * *")
	if err != nil {
		t.Fatal(err)
	}
	want := &Account{
		Name: "work", Protocol: IMAP, Host: "imap.example.net", Port: 993, TLS: ImplicitTLS, TLSMinVersion: TLS12,
		Line:        Line{ConnectTimeout: 30 * time.Second, Timeout: 3 * time.Minute},
		Credentials: Credentials{User: "joe", PasswordFile: "/p"},
		Folders:     []string{"INBOX"}, Inject: "main", Filter: true, Recipients: []string{"joe@example.org"}, Provider: "auto", OnUnknownClient: transfer.PresentStandIn, OnInternal: transfer.PresentStandIn,
		Submission: transfer.SubmissionRelay, ClientName: transfer.RecordedName, MaxSize: 50 << 20, Schedule: everyFiveMinutes,
		RetryMin: 5 * time.Minute, RetryMax: 6 * time.Hour, GiveUpAfter: 120 * time.Hour, RefusedGrace: 72 * time.Hour, Idle: true, IdleRenewal: 9 * time.Minute, OnStale: transfer.Hold, FloodLimit: 100,
	}
	got := *c.Accounts["work"]
	got.getenv, got.secrets = nil, ""
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("account\n got %+v\nwant %+v", got, *want)
	}
	if c.StateDir != "/var/lib/truehop" || c.SpoolDir != "/var/lib/truehop/spool" || c.Passes != 64 || c.PassesPerHost != 4 || c.IdleConnections != 64 || c.IdlePerHost != 16 || c.Budget != 64<<20 ||
		c.Log != (Log{slog.LevelInfo, AutoFormat, DomainOnly}) || c.Inject["main"].XClient != inject.Required || c.Inject["main"].DSN != inject.DSNNever || c.Inject["main"].TLS != NoTLS ||
		c.Inject["main"].Address != (Endpoint{"unix", "/var/spool/postfix/public/truehop"}) || c.Inject["main"].Connections != inject.Adaptive || c.Resolver.Timeout != 5*time.Second {
		t.Errorf("config %+v", *c)
	}
	if a := c.Accounts["work"].Addr(); a != "imap.example.net:993" {
		t.Errorf("Addr = %s", a)
	}
}

func TestPorts(t *testing.T) {
	for keys, want := range map[string]int{
		"": 993, ", tls: starttls": 143, ", tls: none, allow_plaintext: true": 143,
		", protocol: pop3": 995, ", protocol: pop3, tls: starttls": 110, ", port: 1993": 1993,
	} {
		if got := mustParse(t, one(keys), options()).Accounts["work"].Port; got != want {
			t.Errorf("{%s}: port %d, want %d", keys, got, want)
		}
	}
}

// What a person wrote of clients that are not known before there were stand-ins means what it did.
func TestFormerWordsForClients(t *testing.T) {
	for keys, want := range map[string]transfer.NoClient{
		"": transfer.PresentStandIn, ", on_unknown_client: hold": transfer.Hold, ", on_unknown_client: skip": transfer.Skip, ", on_unknown_client: unavailable": transfer.PresentUnavailable,
	} {
		for _, top := range []string{"", "inject: {xclient: off}", "inject: {carrier: proxy-v2}"} {
			if got := mustParse(t, append([]byte(top+"\n"), one(keys)...), options()).Accounts["work"].OnUnknownClient; got != want {
				t.Errorf("%s{%s}: %s, want %s", top, keys, got, want)
			}
		}
	}
	for keys, want := range map[string]transfer.NoClient{", on_stale: hold": transfer.Hold, ", on_stale: plain": transfer.SendPlain, ", on_stale: unavailable": transfer.PresentUnavailable} {
		top := "inject: {plain: \"127.0.0.1:26\"}\n"
		if got := mustParse(t, append([]byte(top), one(", stale_after: 30d"+keys)...), options()).Accounts["work"].OnStale; got != want {
			t.Errorf("{%s}: %s, want %s", keys, got, want)
		}
	}
}

// POP3 has one folder, which fetch calls "".
func TestFoldersOfPOP3(t *testing.T) {
	c := mustParse(t, append(one(", protocol: pop3"), "defaults: {folders: [A, B]}\n"...), options())
	if got := c.Accounts["work"].Folders; !slices.Equal(got, []string{""}) {
		t.Errorf("folders %q", got)
	}
}

// The layers: built-in, defaults:, account, environment, each over the one before.
func TestLayers(t *testing.T) {
	data := []byte(`
passes: 2
defaults: {max_size: 10MiB, retry_min: 1m, folders: [A, B], password_file: /common, on_delivered: "move:Done it"}
accounts:
  my.mail-1: {host: a.example.net, user: a, recipients: [joe@example.org], retry_min: 2m, folders: [C]}
  own: {host: b.example.net, user: b, recipients: [joe@example.org], password_command: [/bin/p, "x y"], mx: [mx.example.net], internal_nets: ["192.0.2.0/24", "2001:db8::/32"]}
`)
	c := mustParse(t, data, options("TRUEHOP_PASSES=3", "TRUEHOP_ACCOUNTS__OWN__RETRY_MIN=3m",
		"TRUEHOP_ACCOUNTS__OWN__FOLDERS=X, Y", "TRUEHOP_INJECT__ADDRESS=[::1]:2525", "TRUEHOP_INJECT__XCLIENT=off",
		"TRUEHOP_DEFAULTS__MAX_SIZE=11MB", "TRUEHOP_ACCOUNTS__OWN__ALLOW_PLAINTEXT=true", "OTHER=1", "NONSENSE"))
	a, b := c.Accounts["my.mail-1"], c.Accounts["own"]
	if a == nil || b == nil || !slices.Equal(c.Names(), []string{"my.mail-1", "own"}) {
		t.Fatalf("accounts %v", c.Names())
	}
	if c.Passes != 3 || c.Inject["main"].Address != (Endpoint{"tcp", "[::1]:2525"}) || c.Inject["main"].XClient != inject.Off {
		t.Errorf("top %+v", *c)
	}
	if a.MaxSize != 11e6 || a.RetryMin != 2*time.Minute || !slices.Equal(a.Folders, []string{"C"}) || a.PasswordFile != "/common" || a.OnDelivered != (fetch.Disposal{Action: fetch.Move, Target: "Done it"}) {
		t.Errorf("my.mail-1 %+v", *a)
	}
	if b.RetryMin != 3*time.Minute || !slices.Equal(b.Folders, []string{"X", "Y"}) || !slices.Equal(b.PasswordCommand, []string{"/bin/p", "x y"}) || !b.AllowPlaintext || len(b.InternalNets) != 2 {
		t.Errorf("own %+v", *b)
	}
	if b.PasswordFile != "" {
		t.Errorf("own inherited password_file %q beside its password_command", b.PasswordFile)
	}
}

func TestEnvironment(t *testing.T) {
	for variable, want := range map[string]string{
		"TRUEHOP_INJECT__ADDRES=x":                `environment TRUEHOP_INJECT__ADDRES: inject.addres: unknown key; did you mean "address"?`,
		"TRUEHOP_INJECT_ADDRESS=x":                `environment TRUEHOP_INJECT_ADDRESS: inject_address: unknown key; remove it (the README lists every key)`,
		"TRUEHOP_PASSES=many":                     `environment TRUEHOP_PASSES: passes: want a whole number, got "many"`,
		"TRUEHOP_LOG=debug":                       `environment TRUEHOP_LOG: log: holds several keys; name one of them, with __ in between`,
		"TRUEHOP_ACCOUNTS=x":                      `environment TRUEHOP_ACCOUNTS: accounts: holds several keys; name one of them, with __ in between`,
		"TRUEHOP_PASSES__X=1":                     `environment TRUEHOP_PASSES__X: passes.x: passes is a single value`,
		"TRUEHOP_INJECT__NEVER_PRESENT=1.2.3.4,x": `environment TRUEHOP_INJECT__NEVER_PRESENT: inject.never_present: "1.2.3.4": want a network; for this one address write 1.2.3.4/32`,
		"TRUEHOP_ACCOUNTS__A B__HOST=x":           `environment TRUEHOP_ACCOUNTS__A B__HOST: accounts: "a b" is no name for an account; use a-z, 0-9, dot, hyphen and underscore, 63 at most, and begin with a letter or digit`,
		"TRUEHOP_ACCOUNTS__WORK__PASSWORD=canary": `environment TRUEHOP_ACCOUNTS__WORK__PASSWORD: accounts.work.password: passwords are not read from the environment, which others may see; use password_file or password_credential`,
	} {
		_, err := Parse("truehop.yaml", one(""), options(variable))
		if err == nil || err.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", variable, err, want)
		}
	}
	mustParse(t, one(""), options("TRUEHOP_REQUIRE_SERVERS=1"))
}

func TestStateDir(t *testing.T) {
	for _, tc := range []struct{ env, want string }{
		{"STATE_DIRECTORY=/run/a:/run/b", "/run/a"},
		{"STATE_DIRECTORY=/var/lib/private/truehop", "/var/lib/private/truehop"},
	} {
		c := mustParse(t, one(""), Options{Environ: []string{tc.env}})
		if c.StateDir != tc.want {
			t.Errorf("%s: %s, want %s", tc.env, c.StateDir, tc.want)
		}
	}
	c := mustParse(t, append(one(""), "state_dir: /srv/t\nspool_dir: /tmp/s\n"...), options())
	if c.StateDir != "/srv/t" || c.SpoolDir != "/tmp/s" {
		t.Errorf("%s %s", c.StateDir, c.SpoolDir)
	}
	for _, tc := range []struct {
		env  []string
		ours bool
		want string
	}{
		{[]string{"HOME=/home/joe"}, false, "/home/joe/.local/state/truehop"},
		{[]string{"HOME=/home/joe", "XDG_STATE_HOME=/s"}, false, "/s/truehop"},
		{[]string{"HOME=/home/joe", "XDG_STATE_HOME=relative"}, false, "/home/joe/.local/state/truehop"},
		{[]string{"HOME=/root"}, true, "/var/lib/truehop"},
		{nil, false, ""},
	} {
		if got := stateDir(tc.env, tc.ours); got != tc.want {
			t.Errorf("%v, %v: %s, want %s", tc.env, tc.ours, got, tc.want)
		}
	}
	if dir := t.TempDir(); !owned(dir) || owned(dir+"/x") {
		t.Errorf("owned(%s) = %v", dir, owned(dir))
	}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []struct{ name, top, keys, want string }{
		{"loopback address", `inject: {address: "127.0.0.1:2525"}`, "", "truehop.yaml:1:19: inject.address: every user of this host can connect to 127.0.0.1:2525"},
		{"loopback name", `inject: {address: "localhost:25"}`, "", "every user of this host"},
		{"loopback IPv6 address", `inject: {address: "[::1]:25"}`, "", "every user of this host"},
		{"PROXY on loopback", `inject: {address: "127.0.0.1:2525", carrier: proxy-v2}`, "", "every user of this host can connect to 127.0.0.1:2525 and present any client by PROXY"},
		{"PROXY version 1 on loopback", `inject: {address: "localhost:25", carrier: proxy-v1}`, "", "any client by PROXY"},
		{"far", `inject: {address: "mx.example.org:25"}`, "", "goes to mx.example.org:25 unencrypted"},
		{"off", `inject: {xclient: off}`, "", "inject.xclient: off: the MTA takes every message"},
		{"if-available", `inject: {xclient: if-available}`, "", "pass"},
		{"lmtp", `inject: {protocol: lmtp}`, "", "rules for clients are never asked"},
		{"plaintext", ``, ", tls: none, allow_plaintext: true", "accounts.work.tls: none: password and mail"},
		{"idle", ``, ", allow_plaintext: true", "has no effect"},
		{"PROXY on a UNIX socket", `inject: {carrier: proxy-v2}`, "", ""},
		{"PROXY over the network", `inject: {address: "mx.example.org:25", carrier: proxy-v2, tls: implicit}`, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := mustParse(t, append([]byte(tc.top+"\n"), one(tc.keys)...), options())
			if tc.want == "" {
				if len(c.Warnings) != 0 {
					t.Errorf("warnings %q, want none", c.Warnings)
				}
				return
			}
			if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], tc.want) {
				t.Errorf("warnings %q, want one with %q", c.Warnings, tc.want)
			}
		})
	}
}

// A quarantine is in the MTA's hands and asks nothing of the upstream; other folders and flags do.
func TestPOP3CanQuarantine(t *testing.T) {
	data := append([]byte("inject: {plain: \"127.0.0.1:26\"}\n"), one(", protocol: pop3, on_refused: \"quarantine:spam@example.org\"")...)
	if got := mustParse(t, data, options()).Accounts["work"].OnRefused; got.Quarantine != "spam@example.org" {
		t.Errorf("on_refused is %s", got)
	}
	_, err := Parse("truehop.yaml", one(", protocol: pop3, on_refused: \"move:Spam\", on_delivered: seen, mark_delivered: true, plain_expunge: true, create_folders: true"), options())
	for _, want := range []string{"on_refused: POP3 cannot do move:Spam", "on_delivered: POP3 cannot do seen", "mark_delivered: POP3 has no keywords", "plain_expunge: has no effect", "create_folders: has no effect"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}
