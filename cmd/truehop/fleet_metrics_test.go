//go:build linux

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// scrape returns the series that a node shows a monitor, nil while it shows none.
func (o *node) scrape(t *testing.T) map[string]float64 {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", o.monitored())
	}}}
	reply, err := client.Get("http://truehop/metrics")
	if err != nil {
		return nil // it is not there yet
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		return nil // nor is the record
	}
	series := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found || name == "#" {
			continue
		}
		if series[name], err = strconv.ParseFloat(value, 64); err != nil {
			t.Errorf("series %q: %v", line, err)
		}
	}
	return series
}

// has reports whether series have these values.
func has(series, want map[string]float64) bool {
	for name, value := range want {
		if got, known := series[name]; !known || got != value {
			return false
		}
	}
	return true
}

// TestMetricsOfAFleet: each node shows a monitor what it does itself, which makes up the whole as a sum, and what the record and the leases say of all,
// which is the same from both.
func TestMetricsOfAFleet(t *testing.T) {
	t.Parallel() // it mostly waits
	const broken, only = "  broken: {folders: [nowhere]}\n", "  only: {folders: [INBOX]}\n"
	// The account that only one node knows may be the one that it hands over as more than its share. Nobody else can take it: it takes it back
	// when it has been due for a while.
	n := startNodes(t, 2, 3, 10*time.Second, func(n *nodes) { n.more = map[int]string{0: broken, 1: broken + only} })
	both := func(so func(first, second map[string]float64) bool) func() bool {
		return func() bool { return so(n.all[0].scrape(t), n.all[1].scrape(t)) }
	}
	sum := func(series string, of ...map[string]float64) (all float64) {
		for _, one := range of {
			all += one[series]
		}
		return all
	}
	fleet := map[string]float64{"truehop_fleet_services": 2, "truehop_fleet_accounts": 5, "truehop_fleet_overdue_accounts": 0}
	n.await(t, "both show that they share five accounts", both(func(first, second map[string]float64) bool {
		return has(first, fleet) && has(second, fleet) && first["truehop_leases"] >= 2 && second["truehop_leases"] >= 2 && sum("truehop_leases", first, second) == 5
	}))
	n.await(t, "both show a pass that failed, whoever made it", both(func(first, second map[string]float64) bool {
		failed := map[string]float64{`truehop_last_pass_success{account="broken"}`: 0, `truehop_last_success_timestamp_seconds{account="broken"}`: 0}
		return has(first, failed) && has(second, failed) && sum(`truehop_passes_total{account="broken",result="failed"}`, first, second) >= 1
	}))

	n.add()
	for _, one := range n.all {
		if err := one.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
	}
	n.await(t, "all mail has been taken", n.empty)
	record := map[string]float64{}
	for _, account := range []string{"a0", "a1", "a2"} {
		record[`truehop_messages{account="`+account+`",state="delivered"}`] = 1
		record[`truehop_last_pass_success{account="`+account+`"}`] = 1
	}
	n.await(t, "both show what is in the record", both(func(first, second map[string]float64) bool { return has(first, record) && has(second, record) }))
	first, second := n.all[0].scrape(t), n.all[1].scrape(t)
	for _, account := range []string{"a0", "a1", "a2"} {
		verdicts := `truehop_verdicts_total{account="` + account + `",state="delivered"}`
		if got := sum(verdicts, first, second); got != 1 {
			t.Errorf("%s is %v in all, want 1", verdicts, got)
		}
	}

	_ = n.all[1].Process.Kill()
	n.all[1].wait(t)
	n.await(t, "the other shows that it serves all that it can, and that one account is served by nobody", func() bool {
		return has(n.all[0].scrape(t), map[string]float64{"truehop_leases": 4,
			"truehop_fleet_services": 1, "truehop_fleet_accounts": 5, "truehop_fleet_overdue_accounts": 1})
	})
	n.start(t, n.all[1])
	n.await(t, "both show that all accounts are served", both(func(first, second map[string]float64) bool {
		return has(first, fleet) && has(second, fleet) && sum("truehop_leases", first, second) == 5
	}))
	n.end(t)
}
