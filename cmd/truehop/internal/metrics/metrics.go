// Package metrics is what a monitor sees of truehop: the series of Prometheus, as a service serves them and as a pass from cron
// writes them for node_exporter. Labels are accounts, targets, states and classes of replies, all of which the
// configuration or the program bounds.
package metrics

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// Labels.
const (
	labelAccount = "account"
	labelTarget  = "target"
	labelState   = "state"
	labelResult  = "result"
	labelClass   = "class"
)

// Metrics counts what a service does, from its start.
type Metrics struct {
	registry  *prometheus.Registry
	passes    *prometheus.CounterVec
	durations *prometheus.HistogramVec
	verdicts  *prometheus.CounterVec
	octets    *prometheus.CounterVec
	sessions  *prometheus.CounterVec
	replies   *prometheus.CounterVec
	resets    *prometheus.CounterVec
	reloads   *prometheus.CounterVec
}

// New returns the metrics of a service.
func New(record Record) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		passes:   counter("truehop_passes_total", "Passes over an account, by how they ended: ok or failed.", labelAccount, labelResult),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "truehop_pass_duration_seconds", Help: "How long passes over an account took.",
			Buckets: []float64{.5, 1, 2.5, 5, 10, 30, 60, 300, 1800}}, []string{labelAccount}),
		verdicts: counter("truehop_verdicts_total", "Verdicts on messages of an account, by state.", labelAccount, labelState),
		octets:   counter("truehop_octets_total", "Octets of the messages of an account that have a verdict.", labelAccount),
		sessions: counter("truehop_mta_sessions_total", "Connections made to a target.", labelTarget),
		replies:  counter("truehop_mta_replies_total", "Messages put to a target, by the class of the reply that decided: 2xx, 4xx, 5xx, or none.", labelTarget, labelClass),
		resets:   counter("truehop_xclient_resets_total", "Clients presented to a target in a session that had presented another one before.", labelTarget),
		reloads:  counter("truehop_reloads_total", "Reloads of the configuration, by how they ended: ok or failed.", labelResult),
	}
	m.registry.MustRegister(m.passes, m.durations, m.verdicts, m.octets, m.sessions, m.replies, m.resets, m.reloads,
		newStanding(record, scrapeTime), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Serve has the series of these accounts and targets begin at 0, so that what comes first is seen as an increase, and ends those
// of accounts and targets that are gone.
func (m *Metrics) Serve(accounts, targets, goneAccounts, goneTargets []string) {
	for _, name := range accounts {
		m.passes.WithLabelValues(name, "ok")
		m.passes.WithLabelValues(name, "failed")
		m.octets.WithLabelValues(name)
	}
	for _, name := range targets {
		m.sessions.WithLabelValues(name)
		m.resets.WithLabelValues(name)
		for _, class := range []string{"2xx", "4xx", "5xx", "none"} {
			m.replies.WithLabelValues(name, class)
		}
	}
	for _, name := range goneAccounts {
		m.passes.DeletePartialMatch(prometheus.Labels{labelAccount: name})
		m.durations.DeletePartialMatch(prometheus.Labels{labelAccount: name})
		m.verdicts.DeletePartialMatch(prometheus.Labels{labelAccount: name})
		m.octets.DeletePartialMatch(prometheus.Labels{labelAccount: name})
	}
	for _, name := range goneTargets {
		m.sessions.DeletePartialMatch(prometheus.Labels{labelTarget: name})
		m.resets.DeletePartialMatch(prometheus.Labels{labelTarget: name})
		m.replies.DeletePartialMatch(prometheus.Labels{labelTarget: name})
	}
}

// Shared is what a service knows of the accounts that it shares with others.
type Shared struct {
	// Held is how many it serves now, Taken and Lost how many it has taken and lost since its start.
	Held, Taken, Lost int
	// Services, Accounts and Overdue are those of all machines, as it last saw them: services that take accounts, accounts that are to be
	// served, and accounts that nobody serves although a pass has been due for a minute.
	Services, Accounts, Overdue int
}

// Share adds the series of a service that shares its accounts with others.
func (m *Metrics) Share(now func() Shared) {
	gauge := func(name, help string, which func(Shared) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(which(now())) })
	}
	counter := func(name, help string, which func(Shared) int) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(which(now())) })
	}
	m.registry.MustRegister(
		gauge("truehop_leases", "Accounts that this service serves, of those that it shares with others.", func(s Shared) int { return s.Held }),
		counter("truehop_leases_taken_total", "Accounts that this service has taken over from others, or from nobody.", func(s Shared) int { return s.Taken }),
		counter("truehop_leases_lost_total", "Accounts that this service has lost because it could not renew its leases.", func(s Shared) int { return s.Lost }),
		gauge("truehop_fleet_services", "Services on all machines that take accounts, but for drained ones.", func(s Shared) int { return s.Services }),
		gauge("truehop_fleet_accounts", "Accounts that the services of all machines are to serve.", func(s Shared) int { return s.Accounts }),
		gauge("truehop_fleet_overdue_accounts", "Accounts that no service on any machine serves, although a pass has been due for a minute.",
			func(s Shared) int { return s.Overdue }))
}

// Event counts what happened in a pass.
func (m *Metrics) Event(e transfer.Event) {
	if e.Kind != transfer.Verdict {
		return
	}
	state := "other" // bounds the label
	if slices.Contains(ledger.States(), ledger.State(e.State)) {
		state = e.State
	}
	m.verdicts.WithLabelValues(e.Account, state).Inc()
	m.octets.WithLabelValues(e.Account).Add(float64(max(0, e.Size)))
}

// Pass counts a pass that has ended.
func (m *Metrics) Pass(account string, took time.Duration, failed bool) {
	m.passes.WithLabelValues(account, result(failed)).Inc()
	m.durations.WithLabelValues(account).Observe(took.Seconds())
}

func result(failed bool) string {
	if failed {
		return "failed"
	}
	return "ok"
}

// Reload counts a reload.
func (m *Metrics) Reload(failed bool) { m.reloads.WithLabelValues(result(failed)).Inc() }

// Session counts a connection to a target.
func (m *Metrics) Session(target string) { m.sessions.WithLabelValues(target).Inc() }

// Reset counts a client that was presented in a session that had presented another one before.
func (m *Metrics) Reset(target string) { m.resets.WithLabelValues(target).Inc() }

// Receipt counts how a target has answered a message, by the class of the reply. One that decides nothing, as 3xx, is none.
func (m *Metrics) Receipt(target string, r inject.Receipt) {
	class := "none"
	if n := r.Reply.Code / 100; n == 2 || n == 4 || n == 5 {
		class = fmt.Sprintf("%dxx", n)
	}
	m.replies.WithLabelValues(target, class).Inc()
}

// WriteFile writes what the ledger knows for the textfile collector of node_exporter. The file is replaced as a whole.
func WriteFile(path string, record Record) error {
	registry := prometheus.NewRegistry()
	if err := registry.Register(newStanding(record, overviewTime)); err != nil {
		return err
	}
	if err := prometheus.WriteToTextfile(path, registry); err != nil {
		return errors.Join(fmt.Errorf("metrics_file %s cannot be written", path), err)
	}
	return nil
}
