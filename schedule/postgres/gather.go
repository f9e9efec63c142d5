package postgres

import (
	"runtime"
	"time"
)

// pace is what the writer's last group says of the next one: whom it answered may be about to come back with their next write, and those who came
// while it was under way wait. Sent together they share a flush, where else they would take turns.
type pace struct {
	// took is how long the group was under way, until when.
	took  time.Duration
	until time.Time
	// callers are those that it answered or that were waiting then, the patient ones left out.
	callers int
	// idle is for how many groups nothing is waited for, since that brought too few of late.
	idle int
}

const (
	// gatherLimit bounds what is waited for a group.
	gatherLimit = 10 * time.Millisecond
	// gatherIdle is for how many groups nothing is waited for after it was in vain.
	gatherIdle = 16
)

// wait returns how long the next group is to wait for those who may come back, at most half of what the last one took.
func (p *pace) wait(now time.Time, have int) time.Duration {
	if p.idle > 0 {
		p.idle--
		return 0
	}
	if have >= p.callers || now.Sub(p.until) > p.took {
		return 0
	}
	return min(p.took/2, gatherLimit)
}

// gained notes what waiting brought: it was in vain where the group has grown by less than its time has.
func (p *pace) gained(before, after int, waited time.Duration) {
	if int64(after-before)*int64(p.took) < int64(before)*int64(waited) {
		p.idle = gatherIdle
	}
}

// gather waits for company for the next group.
func (w *writer) gather() {
	runtime.Gosched() // to those whom the last group woke
	began := time.Now()
	before := w.callers()
	wait := w.pace.wait(began, before)
	if wait == 0 {
		return
	}
	alarm := time.NewTimer(wait)
	defer alarm.Stop()
	have := before
	for waits := true; waits && have < w.pace.callers; have = w.callers() {
		select {
		case <-w.wake:
		case <-alarm.C:
			waits = false
		case <-w.quit:
			return
		}
	}
	w.pace.gained(before, have, time.Since(began))
}

// callers counts those who wait for their writes.
func (w *writer) callers() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return impatient(w.waiting)
}

func impatient(group []*write) (n int) {
	for _, each := range group {
		if !each.patient {
			n++
		}
	}
	return n
}
