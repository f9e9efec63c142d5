package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

var (
	flatAccounts = flag.Int("flat.accounts", 100, "accounts of TestServiceStaysFlat")
	flatRounds   = flag.Int("flat.rounds", 0, "rounds of TestServiceStaysFlat, each of which takes ten seconds; 0 is none")
	flatIdle     = flag.Duration("flat.idle", 0, "how long TestServiceStaysFlat looks at the service while nothing happens")
)

// footprint is what a process takes.
type footprint struct {
	resident, descriptors, goroutines int
	cpu                               time.Duration
}

// footprint asks the service for its own.
func (s *serviceTrial) footprint(t *testing.T, client *http.Client) footprint {
	t.Helper()
	reply, err := client.Get("http://truehop/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	value := func(name string) (v float64) {
		for line := range strings.Lines(string(body)) {
			if n, _ := fmt.Sscanf(line, name+" %g", &v); n == 1 {
				return v
			}
		}
		t.Fatalf("no %s in\n%s", name, body)
		return 0
	}
	return footprint{int(value("process_resident_memory_bytes")), int(value("process_open_fds")), int(value("go_goroutines")),
		time.Duration(value("process_cpu_seconds_total") * float64(time.Second))}
}

// clientOf asks whoever listens on a UNIX socket.
func clientOf(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}}
}

// hear reads the log to its end.
func (s *serviceTrial) hear() {
	for s.log.Scan() {
		s.said.WriteString(s.log.Text() + "\n")
	}
}

// atRest waits until the figures of two looks are the same: sessions with the MTA that have ended, watchers that are back.
func (s *serviceTrial) atRest(t *testing.T, client *http.Client) footprint {
	t.Helper()
	before := s.footprint(t, client)
	for range 600 {
		time.Sleep(100 * time.Millisecond) // another process's: nothing tells when it rests
		after := s.footprint(t, client)
		if before.descriptors == after.descriptors && before.goroutines == after.goroutines {
			return after
		}
		before = after
	}
	t.Fatalf("the service does not rest: %+v", before)
	return before
}

// TestServiceStaysFlat: a service that watches many accounts, makes passes over them again and again and reads its configuration
// again takes no more descriptors and goroutines at the end than after the first round, and its memory is bounded.
func TestServiceStaysFlat(t *testing.T) {
	if *flatRounds == 0 {
		t.Skip("a measurement: go test -run ServiceStaysFlat -flat.rounds 90 -flat.idle 2m -v -timeout 2h ./cmd/truehop")
	}
	catchHangup(t)
	s := newServiceTrial(t, injecttest.Options{Discard: true}, "log: {level: warn}\npasses: 8\nidle_connections: 100000\nmetrics: \"unix:METRICS\"\n")
	socket := filepath.Join(s.dir, "m.sock")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "truehop.yaml", strings.NewReplacer("METRICS", socket, "idle: false", "idle: true").Replace(string(text)))
	var stores []*fakeserver.Store
	for n := range *flatAccounts {
		stores = append(stores, s.account(t, fmt.Sprint("a", n), nil))
	}
	s.limit = 2 * time.Hour
	s.start(t, 0)
	client := clientOf(socket)
	if ready := s.told(t); !strings.HasPrefix(ready, "READY=1") {
		t.Fatalf("the manager is told %q", ready)
	}
	var hearing sync.WaitGroup
	hearing.Go(s.hear) // a pipe that nobody reads is full some time
	var first, last footprint
	for round := range *flatRounds {
		for n, store := range stores {
			store.Add("INBOX", scriptMail(round*len(stores)+n))
		}
		s.signal(t, syscall.SIGUSR1)
		for want := (round + 1) * len(stores); s.mta.Count() < want; {
			time.Sleep(50 * time.Millisecond)
			if s.ProcessState != nil {
				t.Fatal("the service has ended")
			}
		}
		// One account is written otherwise each time: its watcher ends, and another begins.
		name := fmt.Sprint("conf.d/a", round%len(stores), ".yaml")
		account, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, name, strings.Replace(string(account), "}", fmt.Sprintf(", retry_max: %dh}", 7+round%100), 1))
		if strings.Contains(string(account), "retry_max") {
			s.write(t, name, string(account))
		}
		s.signal(t, syscall.SIGHUP)
		for !strings.HasPrefix(s.told(t), "READY=1") { // RELOADING, or that a pass has failed or is well again
		}
		last = s.atRest(t, client)
		if round == 0 {
			first = last
		}
		if round%10 == 0 {
			t.Logf("round %d: %+v", round, last)
		}
	}
	t.Logf("%d accounts, %d rounds: first %+v, last %+v", *flatAccounts, *flatRounds, first, last)
	// Sessions with the MTA end when they have been idle, and there may be fewer or more of them.
	const sessions = 10
	if last.descriptors > first.descriptors+sessions || last.goroutines > first.goroutines+3*sessions {
		t.Errorf("after %d rounds the service takes %+v, after the first one it took %+v", *flatRounds, last, first)
	}
	if bound := 64<<20 + *flatAccounts*(1<<20); last.resident > bound {
		t.Errorf("the service takes %d octets, want less than %d", last.resident, bound)
	}
	if *flatIdle > 0 {
		before := s.footprint(t, client)
		time.Sleep(*flatIdle)
		after := s.footprint(t, client)
		t.Logf("idle for %v: %v of CPU, with two scrapes; %+v", *flatIdle, after.cpu-before.cpu, after)
	}
	s.signal(t, syscall.SIGTERM)
	hearing.Wait()
	if code := s.wait(t); code != exitOK {
		t.Errorf("it ended with %d", code)
	}
	t.Logf("it said:\n%s", s.said.String())
}
