package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/transfer"
)

// serviceOf is a service that does not run.
func serviceOf(cfg *config.Config, a *app.App, log *ui.Log) *service {
	s := newService(cfg, log)
	s.app = a
	return s
}

// serviceTrial is a service in a process of its own, with mailboxes, an MTA and a service manager.
type serviceTrial struct {
	dir, config string
	ca          *fakeserver.CA
	mta         *injecttest.Server
	manager     *net.UnixConn
	log         *bufio.Scanner
	said        strings.Builder // what the log has said
	limit       time.Duration   // for a service that does not do what it should
	fifo        string          // what the log is written to, "" for a pipe
	*process
}

// newServiceTrial writes a configuration without accounts, with these lines.
func newServiceTrial(t *testing.T, o injecttest.Options, lines string) *serviceTrial {
	t.Helper()
	s := &serviceTrial{dir: t.TempDir(), ca: fakeserver.NewCA(), mta: injecttest.New(o), limit: 2 * time.Minute}
	if _, err := s.mta.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.mta.Close(); err != nil {
			t.Error(err)
		}
	})
	s.config = filepath.Join(s.dir, "truehop.yaml")
	s.write(t, "ca.pem", string(s.ca.PEM()))
	s.write(t, "truehop.yaml", fmt.Sprintf("state_dir: %s\n%sinject:\n  address: %s\ndefaults: {schedule: \"@every 24h\", idle: false, mx: [mx.example.net], password: p, tls_ca_file: %s}\n",
		filepath.Join(s.dir, "state"), lines, s.mta.Addr(), filepath.Join(s.dir, "ca.pem")))
	return s
}

func (s *serviceTrial) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// account serves a mailbox, and writes its account, whose mail goes to NAME@example.net, into conf.d. wrap, if not nil, puts
// something between the upstream and its connections.
func (s *serviceTrial) account(t *testing.T, name string, wrap func(net.Conn) net.Conn) *fakeserver.Store {
	t.Helper()
	store := fakeserver.NewStore()
	secure := &tls.Config{Certificates: []tls.Certificate{s.ca.Issue(fakeserver.Leaf{NotAfter: time.Now().Add(3 * time.Hour)})}} // longer than any trial
	serve := (&fakeserver.IMAP{Store: store, User: name, Password: "p", TLS: secure, Implicit: true}).Serve
	if wrap != nil {
		inner := serve
		serve = func(conn net.Conn) { inner(wrap(conn)) }
	}
	host, port, err := net.SplitHostPort(fetchtest.Listen(t, serve).Addr())
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "conf.d/"+name+".yaml", fmt.Sprintf("accounts:\n  %s: {host: %s, port: %s, user: %s, recipients: [%s@example.net]}\n", name, host, port, name, name))
	return store
}

// start begins the service, whose manager has a watchdog of this interval.
func (s *serviceTrial) start(t *testing.T, watchdog time.Duration) {
	t.Helper()
	socket := filepath.Join(s.dir, "notify")
	var err error
	if s.manager, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	s.process = command(t, limited(t, s.limit), "serve", "--config", s.config)
	s.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	if watchdog > 0 {
		s.Env = append(s.Env, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds()))
	}
	s.Cmd.Stderr = nil
	if s.fifo == "" {
		stderr, err := s.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		s.log = bufio.NewScanner(stderr)
	} else {
		defer s.logIntoFIFO(t)() // the service has its own end of it
	}
	s.process.start(t)
	t.Cleanup(func() {
		if s.ProcessState == nil {
			_ = s.Process.Kill() // the test has failed
			_ = s.Cmd.Wait()
		}
		_ = s.manager.Close()
	})
}

// await reads the log up to a line with all these parts.
func (s *serviceTrial) await(t *testing.T, parts ...string) string {
	t.Helper()
	for s.log.Scan() {
		line := s.log.Text()
		s.said.WriteString(line + "\n")
		has := true
		for _, part := range parts {
			has = has && strings.Contains(line, part)
		}
		if has {
			return line
		}
	}
	t.Fatalf("it ended without saying %q:\n%s", parts, s.said.String())
	return ""
}

// told reads what the service manager is told next, but for the watchdog.
func (s *serviceTrial) told(t *testing.T) string {
	t.Helper()
	for {
		text := s.toldAny(t)
		if text != "WATCHDOG=1" {
			return text
		}
	}
}

func (s *serviceTrial) toldAny(t *testing.T) string {
	t.Helper()
	buf := make([]byte, 4096)
	if err := s.manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // for one that says nothing
		t.Fatal(err)
	}
	n, err := s.manager.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func (s *serviceTrial) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := s.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// stop ends the service and wants it to end well.
func (s *serviceTrial) stop(t *testing.T) {
	t.Helper()
	s.signal(t, syscall.SIGTERM)
	s.hear()
	if code := s.wait(t); code != exitOK {
		t.Errorf("it ended with %d:\n%s", code, s.said.String())
	}
}

// TestServiceManagerIsTold: what a service manager hears over the life of a service, a reload that works and one that does not.
func TestServiceManagerIsTold(t *testing.T) {
	catchHangup(t)
	s := newServiceTrial(t, injecttest.Options{}, "")
	s.account(t, "work", nil)
	s.start(t, 3*time.Second)
	want := func(parts ...string) {
		t.Helper()
		if got := s.told(t); got != strings.Join(parts, "\n") {
			t.Errorf("the manager is told %q, want %q", got, parts)
		}
	}
	wantReloading := func() {
		t.Helper()
		var since int64
		var rest string
		text := s.told(t)
		if n, _ := fmt.Sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%d%s", &since, &rest); n != 1 || since <= 0 {
			t.Errorf("the manager is told %q, want RELOADING=1 and MONOTONIC_USEC", text)
		}
	}
	want("READY=1", "STATUS=serving 1 account")
	if got := s.toldAny(t); got != "WATCHDOG=1" {
		t.Errorf("the manager is told %q, want WATCHDOG=1", got)
	}
	s.account(t, "club", nil)
	s.signal(t, syscall.SIGHUP)
	wantReloading()
	want("READY=1", "STATUS=serving 2 accounts")
	s.write(t, "conf.d/club.yaml", "accounts:\n  club: {hsot: x}\n")
	s.signal(t, syscall.SIGHUP)
	wantReloading()
	want("READY=1", "STATUS=serving 2 accounts")
	s.await(t, `msg="not reloaded"`, "conf.d/club.yaml:2:3", "accounts.club.user: is missing")
	s.await(t, `msg="not reloaded"`, "conf.d/club.yaml:2:10", `did you mean \"host\"?`)
	s.stop(t)
	want("STOPPING=1", "STATUS=waiting for the passes under way")
}

// TestReloadOfAccounts: one account is in the middle of a message while others come, change, and go. It goes on with the same
// session, and its message arrives once.
func TestReloadOfAccounts(t *testing.T) {
	catchHangup(t)
	dot, reply := make(chan struct{}), make(chan struct{})
	s := newServiceTrial(t, injecttest.Options{Accepted: func(m injecttest.Message) {
		if m.To[0] == "busy@example.net" {
			close(dot)
			<-reply
		}
	}}, "log: {level: debug}\n")
	answer := sync.OnceFunc(func() { close(reply) })
	t.Cleanup(answer) // where the test has failed
	s.account(t, "busy", nil).Add("INBOX", scriptMail(1))
	s.account(t, "gone", nil)
	changed := s.account(t, "changed", nil)
	s.start(t, 0)
	<-dot
	s.await(t, `msg="next pass"`, "account=changed") // its first one found nothing
	changed.Add("INBOX", scriptMail(2))
	s.account(t, "new", nil).Add("INBOX", scriptMail(3))
	if err := os.Remove(filepath.Join(s.dir, "conf.d/gone.yaml")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "conf.d/changed.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "conf.d/changed.yaml", strings.Replace(string(text), "changed@", "other@", 1))
	s.signal(t, syscall.SIGHUP)
	s.await(t, "msg=reloaded", "come=changed,new", "gone=gone")
	for range 2 {
		s.await(t, "msg=delivered")
	}
	answer()
	s.await(t, "msg=delivered", "account=busy")
	s.await(t, "msg=pass", "account=busy", "delivered=1")
	s.stop(t)
	to := map[string]int{}
	for _, m := range s.mta.Messages() {
		to[m.To[0]]++
	}
	if len(to) != 3 || to["busy@example.net"] != 1 || to["other@example.net"] != 1 || to["new@example.net"] != 1 {
		t.Errorf("messages went to %v", to)
	}
}

// TestWakeBySignal: SIGUSR1 begins a pass over each account that neither the clock nor the upstream would begin.
func TestWakeBySignal(t *testing.T) {
	s := newServiceTrial(t, injecttest.Options{}, "log: {level: debug}\n")
	work, club := s.account(t, "work", nil), s.account(t, "club", nil)
	s.start(t, 0)
	for range 2 {
		s.await(t, `msg="next pass"`)
	}
	work.Add("INBOX", scriptMail(1))
	club.Add("INBOX", scriptMail(2))
	s.signal(t, syscall.SIGUSR1)
	for range 2 {
		s.await(t, "msg=delivered")
	}
	s.stop(t)
}

// TestNextPassIsWhenAMessageIsDue: what the MTA defers does not wait for the schedule, a day away, but as long as retry_min says.
func TestNextPassIsWhenAMessageIsDue(t *testing.T) {
	s := newServiceTrial(t, injecttest.Options{Rules: injecttest.Rules{Greylist: true}}, "log: {level: debug}\n")
	s.account(t, "work", nil).Add("INBOX", scriptMail(1))
	began := time.Now() // and not when it has started, for it may have deferred the message by then
	s.start(t, 0)
	s.await(t, "msg=deferred")
	line := s.await(t, `msg="next pass"`)
	_, text, _ := strings.Cut(line, " at=")
	at, err := time.Parse(time.RFC3339Nano, strings.Fields(text + " ")[0])
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if wait := at.Sub(began); wait < 5*time.Minute || wait > time.Hour {
		t.Errorf("the next pass is in %v, want it after retry_min", wait)
	}
	s.stop(t)
}

// TestDueAfterAPass: a pass that fails forgets nothing, and a server that wants time between two logins gets it.
func TestDueAfterAPass(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return now.Add(time.Duration(minutes) * time.Minute) }
	for _, c := range []struct {
		name         string
		before, next time.Time
		delay        time.Duration
		err          error
		want         time.Time
	}{
		{"nothing waits", at(3), time.Time{}, 0, nil, time.Time{}},
		{"something waits", time.Time{}, at(5), 0, nil, at(5)},
		{"it failed, and says what waits", at(3), at(5), 0, errors.New("down"), at(5)},
		{"it failed before it knew", at(-3), time.Time{}, 0, errors.New("down"), at(0)},
		{"the server wants ten minutes", time.Time{}, at(5), 10 * time.Minute, nil, at(10)},
		{"the server wants ten minutes, and nothing waits", at(3), time.Time{}, 10 * time.Minute, nil, time.Time{}},
		{"the server wants less", time.Time{}, at(5), time.Minute, nil, at(5)},
	} {
		if got := dueAfter(c.before, transfer.Summary{Next: c.next, LoginDelay: c.delay}, c.err, now); !got.Equal(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRunBesideServe: run makes its own pass where the service is idle. Where the service is in a pass, which does not see what has
// come since its listing, it has the service make another one.
func TestRunBesideServe(t *testing.T) {
	dot, reply := make(chan struct{}), make(chan struct{})
	var n atomic.Int64
	s := newServiceTrial(t, injecttest.Options{Accepted: func(injecttest.Message) {
		if n.Add(1) == 2 {
			close(dot)
			<-reply
		}
	}}, "log: {level: debug}\n")
	answer := sync.OnceFunc(func() { close(reply) })
	t.Cleanup(answer) // where the test has failed
	work := s.account(t, "work", nil)
	s.start(t, 0)
	s.await(t, `msg="next pass"`)
	work.Add("INBOX", scriptMail(1))
	if own := must(t, exitOK, "run", "--config", s.config, "work"); !strings.Contains(own.stderr.String(), "msg=delivered") {
		t.Errorf("beside an idle service run says\n%s", &own.stderr)
	}
	work.Add("INBOX", scriptMail(2))
	s.signal(t, syscall.SIGUSR1)
	<-dot
	work.Add("INBOX", scriptMail(3))
	if asks := must(t, exitOK, "run", "--config", s.config, "work"); !strings.Contains(asks.stderr.String(), "msg=woken account=work") {
		t.Errorf("beside a busy service run says\n%s", &asks.stderr)
	}
	must(t, exitLater, "run", "--config", s.config, "--adopt", "work", "work") // it is not the same as a pass
	answer()
	s.await(t, "msg=delivered")
	s.await(t, "msg=delivered")
	s.stop(t)
	if got := s.mta.Count(); got != 3 {
		t.Errorf("the MTA took %d messages, want 3", got)
	}
}

// TestMetricsOfServe: what a monitor sees of a service that has delivered mail, at an address that a reload moves.
func TestMetricsOfServe(t *testing.T) {
	catchHangup(t)
	s := newServiceTrial(t, injecttest.Options{}, "metrics: \"unix:METRICS\"\n")
	first, second := filepath.Join(s.dir, "1.sock"), filepath.Join(s.dir, "2.sock")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	at := func(socket string) { s.write(t, "truehop.yaml", strings.Replace(string(text), "METRICS", socket, 1)) }
	at(first)
	work := s.account(t, "work", nil)
	for n := range 3 {
		work.Add("INBOX", scriptMail(n+1))
	}
	s.start(t, 0)
	s.await(t, "msg=pass", "delivered=3")
	s.account(t, "club", nil)
	at(second)
	s.signal(t, syscall.SIGHUP)
	s.await(t, "msg=reloaded")
	get := func(socket, path string) string {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}}
		reply, err := client.Get("http://truehop" + path)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = reply.Body.Close() }()
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := get(first, "/healthz"); !strings.Contains(got, "no such file") {
		t.Errorf("at the former address: %s", got)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := get(second, path); got != "ok\n" {
			t.Errorf("%s says %s", path, got)
		}
	}
	body := get(second, "/metrics")
	for _, line := range []string{
		`truehop_messages{account="work",state="delivered"} 3`, `truehop_verdicts_total{account="work",state="delivered"} 3`,
		`truehop_mta_replies_total{class="2xx",target="main"} 3`, `truehop_passes_total{account="work",result="ok"} 1`,
		`truehop_last_pass_success{account="work"} 1`, `truehop_passes_total{account="club",result="failed"} 0`,
		`truehop_reloads_total{result="ok"} 1`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("there is no line %s", line)
		}
	}
	var sessions, resets int
	for line := range strings.Lines(body) {
		_, _ = fmt.Sscanf(line, `truehop_mta_sessions_total{target="main"} %d`, &sessions)
		_, _ = fmt.Sscanf(line, `truehop_xclient_resets_total{target="main"} %d`, &resets)
	}
	s.stop(t)
	// A session may have been opened that no message needed any more.
	if sessions < 1 || sessions > s.mta.Sessions() || resets > 2 || sessions+resets < 3 {
		t.Errorf("%d sessions and %d clients presented in place; the MTA had %d sessions for 3 messages", sessions, resets, s.mta.Sessions())
	}
}

// TestWatchdogOfAStuckService: while a part of the service is late the watchdog is not fed, and the log says which; it is fed again
// when that part shows that it lives.
func TestWatchdogOfAStuckService(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "30000")
	lines, log := io.Pipe()
	s := newService(&config.Config{}, ui.NewLog(log, config.Log{}, false))
	s.pulse.beat("schedule of work", time.Hour)
	s.pulse.due["schedule of work"] = time.Now().Add(-time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	fed := make(chan struct{})
	go func() { s.feedWatchdog(ctx); close(fed) }()
	said := bufio.NewScanner(lines)
	if !said.Scan() || !strings.Contains(said.Text(), `level=ERROR msg=stuck late=1 error="schedule of work"`) {
		t.Errorf("the log says %s", said.Text())
	}
	mark, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mark.Write([]byte("mark")); err != nil {
		t.Fatal(err)
	}
	s.pulse.beat("schedule of work", time.Hour)
	if !said.Scan() || !strings.Contains(said.Text(), "msg=stuck late=0") {
		t.Errorf("the log says %s", said.Text())
	}
	for _, want := range []string{"mark", "WATCHDOG=1"} {
		buf := make([]byte, 100)
		if n, err := manager.Read(buf); err != nil || string(buf[:n]) != want {
			t.Errorf("the manager is told %q, %v; want %q", buf[:n], err, want)
		}
	}
	go func() { // what is told until it ends: a full socket would hold it up
		for buf := make([]byte, 100); ; {
			if _, err := manager.Read(buf); err != nil {
				return
			}
		}
	}()
	cancel()
	<-fed
	if err := mark.Close(); err != nil {
		t.Error(err)
	}
}
