package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// known is a ledger of two accounts, of which one has had no pass.
func known() Record {
	began := time.UnixMilli(1_700_000_000_500)
	return Record{
		Overviews: func(context.Context) ([]ledger.Overview, error) {
			return []ledger.Overview{
				{Account: "work", Last: ledger.Pass{Began: began, Ended: began.Add(2 * time.Second), OK: true}, Success: began,
					Oldest: time.Now().Add(-time.Hour)},
				{Account: "new"},
			}, nil
		},
		Counts: func(context.Context) (map[string]map[ledger.State]int, error) {
			return map[string]map[ledger.State]int{"work": {ledger.Delivered: 7, ledger.Held: 1}, "new": {}}, nil
		},
	}
}

// scrape returns the lines of a reply, without comments.
func scrape(t *testing.T, client *http.Client, path string) (status int, body string) {
	t.Helper()
	reply, err := client.Get("http://truehop" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

// at is a client of a UNIX socket.
func at(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
}

// TestLeases: a service that shares its accounts shows how many it has, and has taken and lost, and how all of them are shared out; another shows
// nothing of that.
func TestLeases(t *testing.T) {
	for shared, want := range map[bool]bool{false: false, true: true} {
		m := New(known())
		if shared {
			m.Share(func() Shared { return Shared{Held: 5, Taken: 7, Lost: 2, Services: 3, Accounts: 14, Overdue: 1} })
		}
		socket := filepath.Join(t.TempDir(), "s")
		s, err := m.Listen("unix", socket, func() ([]string, bool) { return nil, true })
		if err != nil {
			t.Fatal(err)
		}
		_, body := scrape(t, at(socket), "/metrics")
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for _, line := range []string{"\ntruehop_leases 5\n", "\ntruehop_leases_taken_total 7\n", "\ntruehop_leases_lost_total 2\n",
			"\ntruehop_fleet_services 3\n", "\ntruehop_fleet_accounts 14\n", "\ntruehop_fleet_overdue_accounts 1\n"} {
			if strings.Contains(body, line) != want {
				t.Errorf("shared %v: %q", shared, line)
			}
		}
	}
}

// TestSeries: what is counted of accounts and targets, by label, and that a series ends with what it tells of.
func TestSeries(t *testing.T) {
	m := New(known())
	m.Serve([]string{"work", "gone"}, []string{"main", "former"}, nil, nil)
	m.Event(transfer.Event{Kind: transfer.Verdict, Account: "work", State: "delivered", Size: 700})
	m.Event(transfer.Event{Kind: transfer.Verdict, Account: "work", State: "refused", Size: 300})
	m.Event(transfer.Event{Kind: transfer.Verdict, Account: "gone", State: "delivered", Size: 1})
	m.Event(transfer.Event{Kind: transfer.Verdict, Account: "work", State: "a word of\na peer"})
	m.Event(transfer.Event{Kind: transfer.Listed, Account: "work", State: "delivered"})
	m.Pass("work", 3*time.Second, false)
	m.Pass("work", time.Second, true)
	m.Session("main")
	m.Reset("main")
	m.Reset("main")
	for _, code := range []int{250, 250, 451, 550, 0, 354} {
		m.Receipt("main", inject.Receipt{Reply: inject.Reply{Code: code}})
	}
	m.Reload(true)
	m.Serve([]string{"work"}, []string{"main"}, []string{"gone"}, []string{"former"})
	socket := filepath.Join(t.TempDir(), "s")
	s, err := m.Listen("unix", socket, func() ([]string, bool) { return nil, true })
	if err != nil {
		t.Fatal(err)
	}
	status, body := scrape(t, at(socket), "/metrics")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, line := range []string{
		`truehop_verdicts_total{account="work",state="delivered"} 1`, `truehop_verdicts_total{account="work",state="refused"} 1`,
		`truehop_verdicts_total{account="work",state="other"} 1`, `truehop_octets_total{account="work"} 1000`,
		`truehop_passes_total{account="work",result="ok"} 1`, `truehop_passes_total{account="work",result="failed"} 1`,
		`truehop_pass_duration_seconds_sum{account="work"} 4`, `truehop_pass_duration_seconds_bucket{account="work",le="1"} 1`,
		`truehop_mta_sessions_total{target="main"} 1`, `truehop_xclient_resets_total{target="main"} 2`,
		`truehop_mta_replies_total{class="2xx",target="main"} 2`, `truehop_mta_replies_total{class="4xx",target="main"} 1`,
		`truehop_mta_replies_total{class="5xx",target="main"} 1`, `truehop_mta_replies_total{class="none",target="main"} 2`,
		`truehop_reloads_total{result="failed"} 1`,
		`truehop_last_success_timestamp_seconds{account="work"} 1.7000000005e+09`, `truehop_last_success_timestamp_seconds{account="new"} 0`,
		`truehop_last_pass_success{account="work"} 1`, `truehop_last_pass_success{account="new"} 0`, `truehop_last_pass_duration_seconds{account="work"} 2`,
		`truehop_messages{account="work",state="held"} 1`, `truehop_messages{account="work",state="deferred"} 0`,
		`truehop_oldest_waiting_seconds{account="new"} 0`, `truehop_oldest_waiting_seconds{account="work"} 360`,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("there is no line %s", line)
		}
	}
	for _, absent := range []string{"gone", "former", "a word", `truehop_last_pass_duration_seconds{account="new"}`} {
		if strings.Contains(body, absent) {
			t.Errorf("%s is still there", absent)
		}
	}
	if status != http.StatusOK || !strings.Contains(body, "\ngo_goroutines ") {
		t.Errorf("status %d, or nothing of the process", status)
	}
}

// TestHealth: what an orchestrator asks, and what it is told when a part of the service hangs or before it is ready.
func TestHealth(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	var late []string
	ready := false
	left, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(known()).Listen("unix", socket, nil); err == nil {
		t.Fatal("another process's socket was taken")
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false) // as a process leaves it that is killed
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := New(known()).Listen("unix", socket, func() ([]string, bool) { return late, ready })
	if err != nil {
		t.Fatal(err)
	}
	want := func(path string, status int, text string) {
		t.Helper()
		if got, body := scrape(t, at(socket), path); got != status || body != text+"\n" {
			t.Errorf("%s: %d %q, want %d %q", path, got, body, status, text)
		}
	}
	want("/healthz", 200, "ok")
	want("/readyz", 503, "not ready")
	late, ready = []string{"schedule of work", "watcher of work INBOX"}, true
	want("/healthz", 503, "late: schedule of work, watcher of work INBOX")
	want("/readyz", 200, "ok")
	if status, _ := scrape(t, at(socket), "/debug/pprof"); status != 404 {
		t.Errorf("another path: %d", status)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestOverviewsAreKeptForAMoment: the record is read once for scrapes that follow each other, and again after an error.
func TestOverviewsAreKeptForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		var fails error
		s := newStanding(Record{Overviews: func(ctx context.Context) ([]ledger.Overview, error) {
			reads++
			return nil, fails
		}}, scrapeTime)
		for _, c := range []struct {
			after time.Duration
			fails error
			reads int
		}{{0, errors.New("busy"), 1}, {0, nil, 2}, {time.Second, nil, 2}, {overviewAge, nil, 3}} {
			time.Sleep(c.after)
			fails = c.fails
			if _, err := s.overviews(); !errors.Is(err, c.fails) || reads != c.reads {
				t.Errorf("after %v: %v, read %d times; want %v, %d", c.after, err, reads, c.fails, c.reads)
			}
		}
	})
}

// uncounted is a record that cannot count its messages while it fails, and what is told of that.
func uncounted(fails *error, told *[]error) Record {
	r := known()
	r.Counts = func(context.Context) (map[string]map[ledger.State]int, error) {
		return map[string]map[ledger.State]int{"work": {ledger.Held: 1}}, *fails
	}
	r.NotCounted = func(err error) { *told = append(*told, err) }
	return r
}

// TestMessagesThatCannotBeCounted: of a record so large that it cannot be counted in time, all else is still shown.
// That is told once, and once when they can be counted again.
func TestMessagesThatCannotBeCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := errors.New("it takes too long")
		var told []error
		m := New(uncounted(&fails, &told))
		for _, counts := range []bool{false, false, true, true} {
			if counts {
				fails = nil
			}
			families, err := m.registry.Gather()
			if err != nil {
				t.Fatalf("a monitor is shown nothing: %v", err)
			}
			shown := map[string]bool{}
			for _, f := range families {
				shown[f.GetName()] = true
			}
			if shown["truehop_messages"] != counts || !shown["truehop_last_pass_success"] || !shown["go_goroutines"] {
				t.Errorf("counted %v: shown are %v", counts, shown)
			}
		}
		if len(told) != 2 || told[0] == nil || told[1] != nil {
			t.Errorf("told are %v", told)
		}
	})
}

// TestCountingTakesItsTime: no scrape waits longer for it than Prometheus does, and what took long is not asked again
// at once.
func TestCountingTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes, counts := time.Hour, 0
		s := newStanding(Record{Counts: func(ctx context.Context) (map[string]map[ledger.State]int, error) {
			counts++
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(takes):
				return map[string]map[ledger.State]int{}, nil
			}
		}}, scrapeTime)
		for _, c := range []struct {
			after, takes, waits time.Duration
			counts              int
			fails               bool
		}{
			{0, time.Hour, scrapeTime, 1, true},
			{overviewAge, time.Second, 0, 1, true},
			{countRest * scrapeTime, time.Second, time.Second, 2, false},
			{overviewAge - time.Second, 0, 0, 2, false},
			{time.Second, 0, 0, 3, false},
			{overviewAge - time.Second, 0, 0, 3, false},
			{time.Second, 5 * time.Second, 5 * time.Second, 4, false},
			{49 * time.Second, 0, 0, 4, false},
		} {
			time.Sleep(c.after)
			takes = c.takes
			began := time.Now()
			got := s.counted()
			if waited := time.Since(began); waited != c.waits || counts != c.counts || (got == nil) != c.fails {
				t.Errorf("%v later it took %v, and is %v at count %d; want %+v", c.after, waited, got, counts, c)
			}
			if c.fails && !strings.Contains(s.notCounted.Error(), scrapeTime.String()) {
				t.Errorf("it says %v", s.notCounted)
			}
		}
	})
}

// TestWriteFile: the file for node_exporter is replaced as a whole, or not at all.
func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "truehop.prom")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	down := known()
	down.Overviews = func(context.Context) ([]ledger.Overview, error) { return nil, errors.New("the record is down") }
	if err := WriteFile(path, down); err == nil || !strings.Contains(err.Error(), "the record is down") {
		t.Errorf("without a record: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("without a record the file is %q, %v", text, err)
	}
	if err := WriteFile(path, known()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "\ntruehop_messages{account=\"work\",state=\"delivered\"} 7\n") || strings.Contains(string(text), "_total") {
		t.Errorf("%v, it holds\n%s", err, text)
	}
	fails, told := errors.New("it takes too long"), []error(nil)
	if err := WriteFile(path, uncounted(&fails, &told)); err != nil || len(told) != 1 {
		t.Errorf("without counts: %v, told are %v", err, told)
	}
	text, err = os.ReadFile(path)
	counted := strings.Contains(string(text), "truehop_messages")
	rest := strings.Contains(string(text), "\ntruehop_last_pass_success{")
	if err != nil || counted || !rest {
		t.Errorf("without counts: %v, it holds\n%s", err, text)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v", len(files), err)
	}
}
