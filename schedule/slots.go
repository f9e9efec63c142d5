package schedule

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Slots bound how much is done at a time, in all and at each host. Those that wait come in the order in which they asked, but nobody waits behind one
// whose host is busy: a slow host holds up its own accounts only. The zero Slots have no bounds. The methods may be called from several goroutines.
type Slots struct {
	mu sync.Mutex
	// limit and perHost are the bounds, 0 for none; patience is how long a slot counts against limit, 0 for as long as it is held.
	limit, perHost int
	patience       time.Duration
	// counting are the slots that count against limit, in the order in which they were given.
	counting []*Slot
	hosts    map[string]*hostSlots
	waiting  []*Slot
}

// hostSlots are the slots of one host that are taken, and how many hold one or wait for one.
type hostSlots struct{ taken, users int }

// Slot is one of [Slots], or the wait for one.
type Slot struct {
	slots *Slots
	name  string
	host  *hostSlots // nil where the host is not counted
	given chan struct{}
	// The mutex of slots guards what follows. since is when the slot was given.
	since      time.Time
	has, ended bool
}

// NewSlots returns slots, so many in all and so many for each host; 0 is for no bound. One that is held longer than patience, if that
// is not 0, does not count in all any more, so that what hangs delays nobody at other hosts; at its own host it counts until it is given back.
func NewSlots(limit, perHost int, patience time.Duration) *Slots {
	return &Slots{limit: max(0, limit), perHost: max(0, perHost), patience: patience}
}

// Ask asks for a slot at a host; that without a name is not counted. [Slot.Give] must be called in the end.
func (s *Slots) Ask(host string) *Slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &Slot{slots: s, name: host, given: make(chan struct{})}
	if host != "" {
		if s.hosts == nil {
			s.hosts = map[string]*hostSlots{}
		}
		if s.hosts[host] == nil {
			s.hosts[host] = &hostSlots{}
		}
		p.host = s.hosts[host]
		p.host.users++
	}
	s.waiting = append(s.waiting, p)
	s.serve()
	return p
}

// Wait waits for the slot until ctx ends, and reports whether it is there. Where it has to wait it calls idle, if that is not nil: at once and at
// least each minute from then on, with how long it has waited.
func (p *Slot) Wait(ctx context.Context, idle func(waited time.Duration)) bool {
	select {
	case <-p.given:
		return ctx.Err() == nil
	default:
	}
	if idle == nil {
		idle = func(time.Duration) {}
	}
	began := time.Now()
	idle(0)
	again := time.NewTicker(recheck)
	defer again.Stop()
	for {
		// Not time.AfterFunc for each slot: those who wait are the only ones to whom it matters. And a function that a timer of synctest calls
		// while another timer of the bubble is due ends the process now and then under the detector of races (Go 1.26).
		late := time.NewTimer(p.slots.untilLate())
		select {
		case <-p.given:
			late.Stop()
			return ctx.Err() == nil
		case <-late.C:
			p.slots.mu.Lock()
			p.slots.serve() // if there are some by now
			p.slots.mu.Unlock()
		case <-again.C:
			idle(time.Since(began))
		case <-ctx.Done():
			late.Stop()
			return false
		}
		late.Stop()
	}
}

// untilLate is how long those who wait may sleep before a slot counts no longer.
func (s *Slots) untilLate() time.Duration {
	if s.patience <= 0 {
		return recheck
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sleep := min(recheck, s.patience)
	if len(s.counting) > 0 {
		sleep = min(sleep, s.patience-time.Since(s.counting[0].since))
	}
	return sleep
}

// Give gives the slot back, or waits no longer for it. Only the first call counts.
func (p *Slot) Give() {
	s := p.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	if i := slices.Index(s.waiting, p); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	if i := slices.Index(s.counting, p); i >= 0 {
		s.counting = slices.Delete(s.counting, i, i+1)
	}
	if p.host != nil {
		if p.has {
			p.host.taken--
		}
		if p.host.users--; p.host.users == 0 {
			delete(s.hosts, p.name)
		}
	}
	s.serve()
}

// serve gives slots to those who wait. The caller holds mu.
func (s *Slots) serve() {
	now := time.Now()
	for s.patience > 0 && len(s.counting) > 0 && now.Sub(s.counting[0].since) >= s.patience {
		s.counting = slices.Delete(s.counting, 0, 1)
	}
	still := s.waiting[:0]
	for i, p := range s.waiting {
		if s.limit > 0 && len(s.counting) >= s.limit {
			still = append(still, s.waiting[i:]...)
			break
		}
		if p.host != nil && s.perHost > 0 && p.host.taken >= s.perHost {
			still = append(still, p)
			continue
		}
		s.counting = append(s.counting, p)
		p.has, p.since = true, now
		if p.host != nil {
			p.host.taken++
		}
		close(p.given)
	}
	clear(s.waiting[len(still):])
	s.waiting = still
}

// Resize changes the bounds. Who has a slot keeps it.
func (s *Slots) Resize(limit, perHost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit, s.perHost = max(0, limit), max(0, perHost)
	s.serve()
}
