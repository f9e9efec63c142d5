package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/truehop/truehop/schedule/ledger"
)

// Record is where what the ledger knows is read from, at each scrape.
type Record struct {
	// Overviews reads what is known of each account.
	Overviews func(context.Context) ([]ledger.Overview, error)
	// Counts counts the messages of each account by state: all of the record is read for that.
	Counts func(context.Context) (map[string]map[ledger.State]int, error)
	// NotCounted is told why the messages could not be counted, once, and with nil that they can be again. nil is for
	// nobody who wants to know.
	NotCounted func(error)
}

const (
	// overviewAge is how old may be what was read before.
	overviewAge = 15 * time.Second
	// overviewTime bounds the reading.
	overviewTime = 30 * time.Second
	// scrapeTime bounds the counting for a scrape: Prometheus waits for 10 seconds for all of it.
	scrapeTime = 8 * time.Second
	// countRest is how many times as long as a count took the next one waits: a large record is not read all the time.
	countRest = 10
)

// standing is the collector of what the ledger knows.
type standing struct {
	record                                                Record
	countTime                                             time.Duration // bounds the counting
	success, last, succeeded, duration, waiting, messages *prometheus.Desc

	mu  sync.Mutex // guards what follows
	at  time.Time
	all []ledger.Overview
	// counts are those of the last count, nil if it failed with notCounted; the next one is made from next on.
	counts     map[string]map[ledger.State]int
	notCounted error
	next       time.Time
}

func newStanding(record Record, countTime time.Duration) *standing {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append([]string{labelAccount}, labels...), nil)
	}
	return &standing{
		record:    record,
		countTime: countTime,
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

// Collect implements [prometheus.Collector]. Messages that could not be counted are left out, and the rest is there.
func (s *standing) Collect(to chan<- prometheus.Metric) {
	all, err := s.overviews()
	if err != nil {
		to <- prometheus.NewInvalidMetric(s.last, err)
		return
	}
	counts := s.counted()
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
		if counts == nil {
			continue
		}
		for _, state := range ledger.States() {
			gauge(s.messages, float64(counts[o.Account][state]), string(state))
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
	all, err := s.record.Overviews(ctx)
	if err == nil {
		s.all, s.at = all, time.Now()
	}
	return all, err
}

// counted returns how many messages each account has, as of a moment ago, or nil where they could not be counted.
func (s *standing) counted() map[string]map[ledger.State]int {
	counts, err, isNews := s.count()
	if isNews && s.record.NotCounted != nil {
		s.record.NotCounted(err)
	}
	return counts
}

// count counts unless it has done so of late. err is why it could not, or nil, and isNews says that this has
// changed.
func (s *standing) count() (counts map[string]map[ledger.State]int, err error, isNews bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	if began.Before(s.next) {
		return s.counts, nil, false
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.countTime)
	defer cancel()
	before := s.notCounted
	if s.counts, s.notCounted = s.record.Counts(ctx); s.notCounted != nil {
		s.counts = nil
	}
	if s.notCounted != nil && ctx.Err() != nil {
		s.notCounted = fmt.Errorf("it takes more than %v: %w", s.countTime, s.notCounted)
	}
	took := time.Since(began)
	rest := countRest * took
	if s.notCounted == nil {
		rest = max(rest, overviewAge)
	}
	s.next = began.Add(took + rest)
	return s.counts, s.notCounted, (s.notCounted == nil) != (before == nil)
}

// seconds is a time as Prometheus has it.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
