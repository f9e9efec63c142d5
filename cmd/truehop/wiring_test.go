package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/oauth"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/rdns"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/transfer"
)

// wire is the way of one key from the configuration to the package that acts on it.
type wire struct {
	// key is the key's path in [config.Reference].
	key string
	// with holds what else must be in the configuration; "" takes a key out of it.
	with map[string]string
	// also holds what else must be there for single values.
	also map[string]map[string]string
	// instead holds what is in the configuration where the key is not.
	instead map[string]string
	// wants holds what is to arrive, by the value as it stands in the file.
	wants map[string]any
	// at looks at the place where it is to arrive.
	at func(g *given) any
}

// given is what the packages are given by one configuration.
type given struct {
	state      postgres.Options
	pass       transfer.Pass
	mta, plain inject.Options
	// toMTA and toPlain are the ways to the two listeners.
	toMTA, toPlain inject.Dialer
	imap           imap.Options
	pop3           pop3.Options
	way            app.OnFamily
	renewal        time.Duration
	oauth          oauth.Options
	names          rdns.Options
	loop           *schedule.Loop
	exposed        config.Endpoint
	service        *service
	watched        int
	log            *ui.Log
	// lines are a line of the log as a terminal and as systemd gets it.
	lines [2]string
	// verdict is the line about a message from joe@example.com.
	verdict string
}

// TestWiring: each value of each key arrives where it belongs, written for the account and written
// under defaults. A key or a word without a row is an error, and so is a row for none.
func TestWiring(t *testing.T) {
	place := newWiringPlace(t)
	rows := map[string]wire{}
	for _, w := range slices.Concat(generalWires(place), injectWires(place), upstreamWires(place), oauthWires(place), accountWires()) {
		if _, twice := rows[w.key]; twice {
			t.Errorf("%s has two rows", w.key)
		}
		rows[w.key] = w
	}
	for _, k := range config.Reference() {
		if k.Path == "accounts" || k.Path == "defaults" || k.Path == "inject" {
			continue // they hold the keys of an account or a target, which have rows of their own
		}
		w, ok := rows[k.Path]
		delete(rows, k.Path)
		if !ok {
			t.Errorf("nothing shows that %s arrives anywhere", k.Path)
			continue
		}
		t.Run(k.Path, func(t *testing.T) { w.test(t, place, k) })
	}
	for key := range rows {
		t.Errorf("%s has a row and does not exist", key)
	}
}

// test holds what arrives against what is wanted, and against what arrives without the key.
func (w wire) test(t *testing.T, place *wiringPlace, k config.Key) {
	words := strings.Split(k.Values, "|")
	switch {
	case k.Type == "true or false":
		words = []string{"false", "true"}
	case k.Values == "":
		words = nil
	}
	verb := func(value string) string {
		v := strings.Trim(value, `"`)
		return v[:strings.IndexAny(v+":", ": ")]
	}
	for _, word := range words {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(w.wants)), func(v string) bool { return verb(v) == verb(word) }) {
			t.Errorf("nothing shows that the word %s arrives anywhere", word)
		}
	}
	without := w.at(place.build(t, w.with, w.instead))
	changes := 0
	for value, want := range w.wants {
		keys := map[string]string{w.key: value}
		maps.Copy(keys, w.also[value])
		got := w.at(place.build(t, w.with, keys))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s arrives as %v, want %v", w.key, value, got, want)
		}
		if is := reflect.DeepEqual(got, without); is != (strings.Trim(value, `"`) == k.Default) {
			t.Errorf("%s: %s arrives as %v, and without the key it is %v; the default is %q", w.key, value, got, without, k.Default)
		} else if !is {
			changes++
		}
		for other, w2 := range w.wants {
			if other != value && reflect.DeepEqual(want, w2) {
				t.Errorf("%s: %s and %s are told apart by nothing", w.key, value, other)
			}
		}
		if strings.HasPrefix(w.key, "inject.") {
			if other := w.at(place.build(t, ofOther(w.with), ofOther(keys))); !reflect.DeepEqual(other, want) {
				t.Errorf("%s: %s of a target that is not the only one arrives as %v, want %v", w.key, value, other, want)
			}
		}
		if key, ok := strings.CutPrefix(w.key, "accounts.NAME."); ok {
			keys[w.key], keys["defaults."+key] = "", value
			common := w.at(place.build(t, w.with, keys))
			if !reflect.DeepEqual(common, want) {
				t.Errorf("defaults.%s: %s arrives as %v, want %v", key, value, common, want)
			}
		}
	}
	if changes == 0 {
		t.Errorf("no value of %s makes a difference", w.key)
	}
}

// ofOther gives the keys of the target to another with a name, which the account chooses; main is there as well.
func ofOther(keys map[string]string) map[string]string {
	named := map[string]string{"inject.main.address": "192.0.2.99:25", "inject.main.tls": "starttls", "inject.main.plain": "192.0.2.99:26", "inject.other.protocol": "smtp", "accounts.NAME.inject": "other"}
	for path, value := range keys {
		if key, ok := strings.CutPrefix(path, "inject."); ok {
			path = "inject.other." + key
		}
		named[path] = value
	}
	return named
}

// wiringPlace is the directory and the listeners that configurations can name.
type wiringPlace struct {
	dir string
	ca  *fakeserver.CA
	// tcp is HOST:PORT, port its port and socket the path of a UNIX socket: at all of them TLS is taken
	// from who offers it.
	tcp, port, socket string
	// reached counts the connections to tcp.
	reached *atomic.Int64
	// proxy is HOST:PORT of a proxy by HTTP, login what the last client proved itself by there.
	proxy string
	login *atomic.Value
}

func newWiringPlace(t *testing.T) *wiringPlace {
	t.Helper()
	p := &wiringPlace{dir: t.TempDir(), ca: fakeserver.NewCA(), reached: &atomic.Int64{}, login: &atomic.Value{}}
	p.socket = filepath.Join(p.dir, "mta.sock")
	secure := &tls.Config{Certificates: []tls.Certificate{p.ca.Issue(fakeserver.Leaf{})}}
	listen := func(network, addr string, count int64) string {
		l, err := net.Listen(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		s := fakeserver.Serve(l, func(conn net.Conn) {
			p.reached.Add(count)
			_ = tls.Server(conn, secure).Handshake() // the other side says what it thinks of it
		})
		t.Cleanup(s.Close)
		return s.Addr()
	}
	listen("unix", p.socket, 0)
	p.proxy = listenHTTP(t, func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := (&http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}).BasicAuth()
		p.login.Store(user + " " + password)
	})
	certificate, key := p.ca.ServerPEM("joe")
	p.tcp = listen("tcp", "127.0.0.1:0", 1)
	_, p.port, _ = strings.Cut(p.tcp, ":")
	for name, text := range map[string]string{"ca.pem": string(p.ca.PEM()), "own.pem": string(certificate), "own.key": string(key), "usual.pass": "usual\n", "trouble.pass": "usual\n", "other.pass": "other\n", "accounts.key": firstAccountsKey + "\n"} {
		if err := os.WriteFile(p.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writePair(t, p.file("pair.pem"))
	t.Setenv("CREDENTIALS_DIRECTORY", p.dir)
	return p
}

func (p *wiringPlace) file(name string) string { return filepath.Join(p.dir, name) }

// build makes what the packages are given of a small configuration with the keys of with and keys.
func (p *wiringPlace) build(t *testing.T, with, keys map[string]string) *given {
	t.Helper()
	lines := map[string]string{
		"state_dir":                   p.file("state"),
		"accounts.NAME.host":          "localhost",
		"accounts.NAME.user":          "joe",
		"accounts.NAME.password_file": p.file("usual.pass"),
		"accounts.NAME.recipients":    "[joe@example.org]",
	}
	maps.Copy(lines, with)
	maps.Copy(lines, keys)
	cfg, err := config.Parse("truehop.yaml", []byte(yamlOf(lines)), configOptions())
	if err != nil {
		t.Fatalf("%v\n%s", err, yamlOf(lines))
	}
	g := &given{}
	var written bytes.Buffer
	for i, stream := range []string{"", "8:1"} {
		t.Setenv("JOURNAL_STREAM", stream)
		written.Reset()
		g.log = ui.NewLog(&written, cfg.Log, false)
		g.log.Error("line")
		g.lines[i] = written.String()
	}
	g.state = app.StateOptions(cfg)
	cfg.State = "" // there is no such database
	a, err := app.Open(t.Context(), cfg, logged(t.Context(), g.log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	account := cfg.Accounts["work"]
	g.pass = a.Plan(account, app.PassOptions{})
	written.Reset()
	g.pass.Observe(transfer.Event{Kind: transfer.Verdict, State: "refused", Sender: "joe@example.com"})
	g.verdict = written.String()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // so that nobody begins to watch
	g.service = serviceOf(cfg, a, g.log)
	g.loop, g.exposed = g.service.loop(ctx), cfg.Metrics
	writeMetrics(cfg, a, g.log)
	g.watched = len(app.Watched(account))
	if g.toMTA, g.mta, err = app.MTA(cfg.Target(account)); err != nil {
		t.Fatal(err)
	}
	g.toPlain, g.plain = app.Plain(cfg.Target(account))
	g.names = app.ResolverOptions(cfg.Resolver)
	proof, err := app.Prove(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	if g.oauth, err = app.OAuthOptions(account); err != nil {
		t.Fatal(err)
	}
	secure, err := app.UpstreamTLS(account)
	if err != nil {
		t.Fatal(err)
	}
	g.way, g.renewal = app.Way(account), account.IdleRenewal
	g.imap, g.pop3 = app.IMAPOptions(account, proof.Credentials, secure, g.log.Logger), app.POP3Options(account, proof.Credentials, secure, g.log.Logger)
	return g
}

// yamlOf writes keys, given by their paths, as a configuration; "" leaves a key out.
func yamlOf(keys map[string]string) string {
	var b strings.Builder
	var open []string // the sections that the last line is in
	given := slices.DeleteFunc(slices.Collect(maps.Keys(keys)), func(path string) bool { return keys[path] == "" })
	// Single keys come before the sections beside them.
	slices.SortFunc(given, func(p, q string) int {
		return slices.Compare(strings.Split(sectioned(p), "."), strings.Split(sectioned(q), "."))
	})
	for _, path := range given {
		parts := strings.Split(strings.Replace(path, "accounts.NAME", "accounts.work", 1), ".")
		sections := parts[:len(parts)-1]
		for i, section := range sections {
			if i < len(open) && slices.Equal(open[:i+1], sections[:i+1]) {
				continue
			}
			fmt.Fprintf(&b, "%s%s:\n", strings.Repeat("  ", i), section)
		}
		open = sections
		fmt.Fprintf(&b, "%s%s: %s\n", strings.Repeat("  ", len(sections)), parts[len(parts)-1], keys[path])
	}
	return b.String()
}

// sectioned marks a single key so that it comes before sections.
func sectioned(path string) string {
	i := strings.LastIndexByte(path, '.') + 1
	return path[:i] + " " + path[i:]
}

// same returns what the clients of both protocols are given, which is one thing.
func same[T any](imap, pop3 T) any {
	if !reflect.DeepEqual(imap, pop3) {
		return fmt.Sprintf("IMAP is given %v and POP3 %v", imap, pop3)
	}
	return imap
}

// leads returns where a way leads, and whether it tries TLS, whose authority is not known here.
func leads(dial inject.Dialer) any {
	conn, err := dial(context.Background())
	var failed *inject.Error
	switch {
	case errors.As(err, &failed) && failed.Kind == inject.TLS:
		return "TLS"
	case err != nil:
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.RemoteAddr().Network() + " " + conn.RemoteAddr().String()
}
