package main

import (
	"slices"
	"sync"
	"time"
)

// The service manager's watchdog is fed only while all goroutines on which an account depends show that they live.
const (
	// passSilence is how long a pass may do nothing that can be seen. The MTA alone may take half an hour for one message, with
	// all its limits (RFC 5321, section 4.5.3.2).
	passSilence = time.Hour
	// pulseGrace is for a machine that is slow.
	pulseGrace = time.Minute
)

// pulse knows by when each of them has to show that it lives. Times are by the monotonic clock: neither a suspended machine nor a
// clock that is set makes anybody late.
type pulse struct {
	mu  sync.Mutex
	due map[string]time.Time
}

// beat records that who is alive and will report again within that time; less than 0 says that it has ended as it should.
func (p *pulse) beat(who string, within time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if within < 0 {
		delete(p.due, who)
		return
	}
	if p.due == nil {
		p.due = map[string]time.Time{}
	}
	p.due[who] = time.Now().Add(within + pulseGrace)
}

// again gives who, if it is known, that time from now on to report.
func (p *pulse) again(who string, within time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.due[who]; known {
		p.due[who] = time.Now().Add(within + pulseGrace)
	}
}

// late returns who has missed its time, in alphabetical order.
func (p *pulse) late(now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for who, due := range p.due {
		if now.After(due) {
			names = append(names, who)
		}
	}
	slices.Sort(names)
	return names
}
