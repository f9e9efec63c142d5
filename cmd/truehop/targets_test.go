package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// crossroads are mailboxes with one message each, from 203.0.113.N, and the MTAs that their mail may go to.
type crossroads struct {
	dir, config string
	// inject is the configuration of the targets.
	inject string
	ca     *fakeserver.CA
	// stores are the mailboxes, ports where they are, by account.
	stores map[string]*fakeserver.Store
	ports  map[string]string
}

// newCrossroads has a mailbox for each account.
func newCrossroads(t *testing.T, accounts ...string) *crossroads {
	t.Helper()
	w := &crossroads{dir: t.TempDir(), ca: fakeserver.NewCA(), stores: map[string]*fakeserver.Store{}, ports: map[string]string{}}
	secure := &tls.Config{Certificates: []tls.Certificate{w.ca.Issue(fakeserver.Leaf{})}}
	for n, name := range accounts {
		store := fakeserver.NewStore()
		store.Add("INBOX", clientMail(n+1))
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		upstream := fakeserver.Serve(l, (&fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: secure, Implicit: true}).Serve)
		t.Cleanup(upstream.Close)
		_, w.ports[name], _ = net.SplitHostPort(upstream.Addr())
		w.stores[name] = store
	}
	w.write(t, "ca.pem", string(w.ca.PEM()))
	w.write(t, "password", "p\n")
	return w
}

func (w *crossroads) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// configure writes the configuration: the targets, and for each account its keys.
func (w *crossroads) configure(t *testing.T, inject string, keys map[string]string) {
	t.Helper()
	w.inject = inject
	text := fmt.Sprintf("state_dir: %s\n%s\ndefaults: {host: localhost, tls_ca_file: %s, user: u, password_file: %s, recipients: [alice@example.org], mx: [mx.example.net], schedule: \"@every 10s\"}\naccounts:\n",
		filepath.Join(w.dir, "state"), inject, filepath.Join(w.dir, "ca.pem"), filepath.Join(w.dir, "password"))
	for _, name := range slices.Sorted(maps.Keys(w.ports)) {
		text += fmt.Sprintf("  %s: {port: %s, %s}\n", name, w.ports[name], keys[name])
	}
	w.config = w.write(t, "truehop.yaml", text)
}

// startMTA starts a scripted MTA.
func startMTA(t *testing.T, o injecttest.Options) *injecttest.Server {
	t.Helper()
	o.Record = true
	s := injecttest.New(o)
	if _, err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// senders says of each message that an MTA took who sent it and which client was presented.
func senders(s *injecttest.Server) string {
	var all []string
	for _, m := range s.Messages() {
		all = append(all, m.From+" "+m.Client.Addr)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// TestEachAccountGoesToItsTarget: what one target is told no other hears of; without a filter nobody is presented.
func TestEachAccountGoesToItsTarget(t *testing.T) {
	w := newCrossroads(t, "a", "b", "c")
	filter, other := startMTA(t, injecttest.Options{Hostname: "filter.example.org"}), startMTA(t, injecttest.Options{Hostname: "other.example.org", SizeLimit: 4 << 20})
	plain := startMTA(t, injecttest.Options{Hostname: "plain.example.org", XCLIENT: []string{}})
	w.configure(t, fmt.Sprintf("inject:\n  main: {address: %q, plain: %q}\n  far: {address: %q, hello: far.example.org}", filter.Addr(), plain.Addr(), other.Addr()),
		map[string]string{"b": "inject: far", "c": "filter: false"})

	check := must(t, exitOK, "check", "--verbose", "--config", w.config).stdout.String()
	for _, part := range []string{
		"MTA far: smtp at " + other.Addr().String(), "MTA main: smtp at " + filter.Addr().String(), "MTA main, without clients: at " + plain.Addr().String(),
		"greeting: 220 filter.example.org", "greeting: 220 other.example.org", "greeting: 220 plain.example.org",
	} {
		if strings.Count(check, part) != 1 {
			t.Errorf("check says %q %d times, want once:\n%s", part, strings.Count(check, part), check)
		}
	}
	if alone := must(t, exitOK, "check", "--config", w.config, "c").stdout.String(); strings.Contains(alone, "MTA main: ") || strings.Contains(alone, "MTA far: ") {
		t.Errorf("check of an account without a filter asks filters:\n%s", alone)
	}
	explained := must(t, exitOK, "explain", "--config", w.config, "c", "--last", "1").stdout.String()
	if !strings.Contains(explained, "run gives it to inject.main.plain: filter is false") {
		t.Errorf("explain does not say where it goes:\n%s", explained)
	}

	servers := map[string]*injecttest.Server{"filter": filter, "other": other, "plain": plain}
	asked := func() map[string]string {
		all := map[string]string{}
		for name, s := range servers {
			for _, line := range s.Transcript() {
				if from, ok := strings.CutPrefix(line, "C: MAIL FROM:<"); ok && from != ">" { // check asks about recipients, for no sender
					from, _, _ = strings.Cut(from, "@")
					all[name] = strings.TrimSpace(all[name] + " " + from)
				}
			}
		}
		return all
	}
	must(t, exitOK, "run", "--dry-run", "--config", w.config)
	if got, want := asked(), map[string]string{"filter": "sender1", "other": "sender2", "plain": "sender3"}; !maps.Equal(got, want) {
		t.Errorf("a dry run asked %v, want %v", got, want)
	}
	must(t, exitOK, "run", "--config", w.config)
	for name, want := range map[string]string{"filter": "sender1@example.com 203.0.113.1", "other": "sender2@example.com 203.0.113.2", "plain": "sender3@example.com 127.0.0.1"} {
		if got := senders(servers[name]); got != want {
			t.Errorf("%s took %q, want %q", name, got, want)
		}
	}
	if told := strings.Join(plain.Transcript(), "\n"); strings.Contains(told, "XCLIENT") {
		t.Errorf("the listener without a filter heard of XCLIENT:\n%s", told)
	}
	if !slices.Contains(other.Transcript(), "C: EHLO far.example.org") || slices.Contains(filter.Transcript(), "C: EHLO far.example.org") {
		t.Error("hello is not that of the target")
	}
	status := must(t, exitOK, "status", "--config", w.config).stdout.String()
	for _, part := range []string{"a to main: last pass", "b to far: last pass", "c to main: last pass"} {
		if !strings.Contains(status, part) {
			t.Errorf("%q is not in the status:\n%s", part, status)
		}
	}
	if status := must(t, exitOK, "status", "--json", "--config", w.config, "b").stdout.String(); !strings.Contains(status, `"target":"far"`) {
		t.Errorf("the status does not name the target: %s", status)
	}
}

// TestASizeLimitIsThatOfTheTarget: one MTA takes no large messages, the other does.
func TestASizeLimitIsThatOfTheTarget(t *testing.T) {
	w := newCrossroads(t, "a", "b")
	small, large := startMTA(t, injecttest.Options{SizeLimit: 100}), startMTA(t, injecttest.Options{})
	w.configure(t, fmt.Sprintf("inject: {small: {address: %q}, large: {address: %q}}", small.Addr(), large.Addr()), map[string]string{"a": "inject: small", "b": "inject: large"})
	must(t, exitPerson, "run", "--config", w.config)
	if small.Count() != 0 || large.Count() != 1 {
		t.Errorf("the MTAs took %d and %d messages, want 0 and 1", small.Count(), large.Count())
	}
}

// TestADeadTargetStopsItsAccountsOnly: the others' mail is delivered.
func TestADeadTargetStopsItsAccountsOnly(t *testing.T) {
	w := newCrossroads(t, "a", "b")
	alive := startMTA(t, injecttest.Options{})
	dead := injecttest.Port(t)
	w.configure(t, fmt.Sprintf("passes: 1\ninject: {dead: {address: %q}, alive: {address: %q}}", dead, alive.Addr()), map[string]string{"a": "inject: dead", "b": "inject: alive"})
	p := must(t, exitUnavailable, "run", "--config", w.config)
	if got, want := senders(alive), "sender2@example.com 203.0.113.2"; got != want {
		t.Errorf("the MTA took %q, want %q\n%s", got, want, &p.stderr)
	}
	if !strings.Contains(p.stderr.String(), dead) {
		t.Errorf("the log does not say which MTA is dead:\n%s", &p.stderr)
	}
	check := command(t, t.Context(), "check", "--verbose", "--config", w.config)
	check.start(t)
	if code := check.wait(t); code != exitUnavailable || !strings.Contains(check.stdout.String(), "MTA dead: smtp at "+dead) || !strings.Contains(check.stdout.String(), "one session carries many messages") {
		t.Errorf("check ended with %d:\n%s", code, &check.stdout)
	}
}

// TestTwoTargetsAtOneAddressShareNothing: not even the proof that the MTA still judges, nor a session.
func TestTwoTargetsAtOneAddressShareNothing(t *testing.T) {
	w := newCrossroads(t, "a", "b")
	mta := startMTA(t, injecttest.Options{})
	w.configure(t, fmt.Sprintf("passes: 1\ninject: {one: {address: %[1]q, hello: one.example.org}, two: {address: %[1]q, hello: two.example.org}}", mta.Addr()), map[string]string{"a": "inject: one", "b": "inject: two"})
	must(t, exitOK, "run", "--config", w.config)
	told := mta.Transcript()
	if mta.Count() != 2 || !slices.Contains(told, "C: EHLO one.example.org") || !slices.Contains(told, "C: EHLO two.example.org") {
		t.Errorf("%d messages by\n%s", mta.Count(), strings.Join(told, "\n"))
	}
}

// TestThePostfixOfTheExample: examples/two-targets.yaml and the two listeners in front of it, on a real Postfix whose policy
// service is out of order: who is to be judged waits, and who is not has the mail.
func TestThePostfixOfTheExample(t *testing.T) {
	w := newCrossroads(t, "joe", "jane", "records")
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("../../examples", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	postfix := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Main: []string{"smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:1", "smtpd_milters = inet:127.0.0.1:1", "milter_default_action = accept",
			"smtpd_policy_service_try_limit = 1"},
		Master: []string{read("postfix/master.cf.unix"), read("postfix/master.cf.plain")},
	})
	archive := startMTA(t, injecttest.Options{XCLIENT: []string{}})
	text := strings.NewReplacer("/var/spool/postfix/public/", filepath.Join(postfix.Dir, "q/public")+"/", "archive.example.org:25", archive.Addr().String(),
		"tls: starttls", "tls: none", "/etc/truehop/joe.pass", filepath.Join(w.dir, "password"), "/etc/truehop/jane.pass", filepath.Join(w.dir, "password"),
		"/etc/truehop/records.pass", filepath.Join(w.dir, "password"), "imap.example.net", "localhost", "@example.net", "").Replace(read("two-targets.yaml"))
	text = strings.Replace(text, "defaults:\n", fmt.Sprintf("state_dir: %s\ndefaults:\n  mx: [mx.example.net]\n  tls_ca_file: %s\n", filepath.Join(w.dir, "state"), filepath.Join(w.dir, "ca.pem")), 1)
	for name, port := range w.ports {
		text = strings.Replace(text, "    user: "+name+"\n", "    user: u\n    port: "+port+"\n", 1)
	}
	config := w.write(t, "truehop.yaml", text)
	p := must(t, exitLater, "run", "--config", config)
	mail := postfix.Mail()
	if len(mail) != 1 || !strings.Contains(mail[0], "\nMessage-ID: <2@example.com>\n") {
		t.Errorf("Postfix delivered %q, want the one of the account without a filter\n%s\n%s", mail, &p.stderr, postfix.Log())
	}
	if got, want := senders(archive), "sender3@example.com 127.0.0.1"; got != want {
		t.Errorf("the archive took %q, want %q", got, want)
	}
	if log := postfix.Log(); !strings.Contains(log, "203.0.113.1") || strings.Contains(log, "203.0.113.2") {
		t.Errorf("Postfix was told other clients than that of the account that is judged:\n%s", log)
	}
	history := must(t, exitOK, "history", "--json", "--config", config).stdout.String()
	for account, target := range map[string]string{"joe": "main", "jane": "main", "records": "archive"} {
		if want := regexp.MustCompile(`(?m)^\{"account":"` + account + `",.*"target":"` + target + `",`); !want.MatchString(history) {
			t.Errorf("history does not say that the mail of %s went to %s:\n%s", account, target, history)
		}
	}
}

// TestServeGoesToEachTarget: also to those that a configuration has which is read while it serves.
func TestServeGoesToEachTarget(t *testing.T) {
	catchHangup(t)
	w := newCrossroads(t, "a", "b")
	took := make(chan string, 10)
	mta := func(name string) *injecttest.Server {
		return startMTA(t, injecttest.Options{Accepted: func(m injecttest.Message) { took <- name + " " + m.From + " " + m.Client.Addr }})
	}
	one, two, three := mta("one"), mta("two"), mta("three")
	targets := fmt.Sprintf("log: {format: text}\ninject: {one: {address: %q}, two: {address: %q}, three: {address: %q}}", one.Addr(), two.Addr(), three.Addr())
	w.configure(t, targets, map[string]string{"a": "inject: one", "b": "inject: two"})
	p := command(t, limited(t, 5*time.Minute), "serve", "--config", w.config)
	p.Cmd.Stderr = nil
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	var log strings.Builder
	reloaded, ended := make(chan struct{}), make(chan struct{})
	go func() { // until the process ends
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "msg=reloaded") {
				close(reloaded)
			}
		}
	}()
	wait := func(want ...string) {
		t.Helper()
		var got []string
		for range want {
			select {
			case m := <-took:
				got = append(got, m)
			case <-ended:
				t.Fatalf("it ended after %q, want %q\n%s", got, want, log.String())
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("came %q, want %q", got, want)
		}
	}
	wait("one sender1@example.com 203.0.113.1", "two sender2@example.com 203.0.113.2")
	w.configure(t, targets, map[string]string{"a": "inject: three", "b": "inject: two"})
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case <-reloaded:
	case <-ended:
		t.Fatalf("it ended without taking up the new configuration\n%s", log.String())
	}
	w.stores["a"].Add("INBOX", clientMail(3))
	w.stores["b"].Add("INBOX", clientMail(4))
	wait("three sender3@example.com 203.0.113.3", "two sender4@example.com 203.0.113.4")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := p.wait(t); code != exitOK {
		t.Errorf("serve ended with %d\n%s", code, log.String())
	}
}
