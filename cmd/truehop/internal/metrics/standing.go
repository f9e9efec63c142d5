package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truehop/truehop/schedule/ledger"
)

// Overviews reads what the ledger knows of each account.
type Overviews func(context.Context) ([]ledger.Overview, error)

const (
	// overviewAge is how old the overviews may be: the whole record is read for them.
	overviewAge = 15 * time.Second
	// overviewTime bounds the reading.
	overviewTime = 30 * time.Second
)

// standing is the collector of what the ledger knows.
type standing struct {
	read                                                  Overviews
	success, last, succeeded, duration, waiting, messages *prometheus.Desc

	mu  sync.Mutex // guards what follows
	at  time.Time
	all []ledger.Overview
}

func newStanding(read Overviews) *standing {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{labelAccount}, labels...), nil)
	}
	return &standing{
		read:      read,
		success:   desc("truehop_last_success_timestamp_seconds", "When a pass over an account last ended well, 0 if none ever has."),
		last:      desc("truehop_last_pass_timestamp_seconds", "When the last pass over an account began, 0 if there was none."),
		succeeded: desc("truehop_last_pass_success", "Whether the last pass over an account ended well: 1 or 0."),
		duration:  desc("truehop_last_pass_duration_seconds", "How long the last pass over an account took."),
		waiting:   desc("truehop_oldest_waiting_seconds", "How long the message of an account has been known that waits longest to be tried again, 0 if none waits."),
		messages:  desc("truehop_messages", "Messages of an account in the record, by state.", labelState),
	}
}

// Describe implements [prometheus.Collector].
func (s *standing) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.success, s.last, s.succeeded, s.duration, s.waiting, s.messages} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (s *standing) Collect(to chan<- prometheus.Metric) {
	all, err := s.overviews()
	if err != nil {
		to <- prometheus.NewInvalidMetric(s.last, err)
		return
	}
	for _, o := range all {
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{o.Account}, labels...)...)
		}
		gauge(s.success, seconds(o.Success))
		gauge(s.last, seconds(o.Last.Began))
		ok := 0.0
		if o.Last.OK {
			ok = 1
		}
		gauge(s.succeeded, ok)
		if !o.Last.Ended.IsZero() {
			gauge(s.duration, max(0, o.Last.Ended.Sub(o.Last.Began).Seconds()))
		}
		waiting := 0.0
		if !o.Oldest.IsZero() {
			waiting = max(0, time.Since(o.Oldest).Seconds())
		}
		gauge(s.waiting, waiting)
		for _, state := range ledger.States() {
			gauge(s.messages, float64(o.Counts[state]), string(state))
		}
	}
}

// overviews reads them, or returns those of a moment ago.
func (s *standing) overviews() ([]ledger.Overview, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.at.IsZero() && time.Since(s.at) < overviewAge {
		return s.all, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), overviewTime)
	defer cancel()
	all, err := s.read(ctx)
	if err == nil {
		s.all, s.at = all, time.Now()
	}
	return all, err
}

// seconds is a time as Prometheus has it.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
