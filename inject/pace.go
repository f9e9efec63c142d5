package inject

import (
	"errors"
	"strconv"
	"time"
)

// Connections is how many messages a [Pool] has under way at a time, 1 to 100. Zero, [Adaptive], leaves that to the MTA.
type Connections int

const (
	// Adaptive is as many connections as make the MTA faster: 4 at first, and up to 16 while messages wait. With PROXY it
	// stays at 4, since a connection that the MTA refuses would be at a message's cost there.
	Adaptive Connections = 0

	fewConnections  = 4
	mostConnections = 16
	maxConnections  = 100
)

// UnmarshalText reads "auto" or a number.
func (c *Connections) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*c = Adaptive
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > maxConnections {
		return errors.New("must be auto, or a number from 1 to " + strconv.Itoa(maxConnections))
	}
	*c = Connections(n)
	return nil
}

// MarshalText returns what UnmarshalText reads.
func (c Connections) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// String returns what UnmarshalText reads.
func (c Connections) String() string {
	if c == Adaptive {
		return "auto"
	}
	return strconv.Itoa(int(c))
}

// limits returns how many connections a pool begins with, and how many it may come to.
func (c Connections) limits(carrier Carrier) (least, most int) {
	switch {
	case c > 0:
		return int(c), int(c)
	case carrier.byProxy():
		return fewConnections, fewConnections
	}
	return fewConnections, mostConnections
}

// pace finds how many connections make an MTA fastest. It doubles them while messages wait and that raises the rate of verdicts,
// and takes the last step back if it did not: a filter that has as many processes as there are connections already gains nothing by
// more, and other senders lose.
//
// It compares the rates of so many verdicts that chance does not matter, and looks earlier where they take long.
type pace struct {
	least, most int
	connections int // as many as there should be
	steady      bool
	// The last step: how many connections there were before it, the verdicts a second, and how many messages were deferred for each
	// that was not. half is 0 before the first step, halfRate where that was not measured.
	half                   int
	halfRate, halfDeferred float64

	// The window under way: when it began, and the verdicts since. It begins anew where no message waits.
	began    time.Time
	verdicts int
	// Those that were deferred with as many connections as there are now, those that were not, and how many there were of the former for
	// each of the latter in the last whole window. That no message waits is no reason to forget them: what is deferred at once leaves the
	// queue faster than messages come to it.
	deferred, done int
	share          float64
	latest         time.Time // the last verdict
}

const (
	// paceWindow is how many verdicts a connection has, on average, before the rate is compared.
	paceWindow = 16
	// paceEarly is how many it has where they took paceSlow, and the last step has made the MTA paceClear times faster, or there was
	// none. With an MTA that is far away, or whose filter takes a second for a message, 192 messages take long.
	paceEarly = 4
	paceSlow  = time.Second / 2
	paceClear = 1.5
	// paceGain is how much faster twice as many connections must be.
	paceGain = 1.1
	// paceDeferred is how many messages may be deferred after a step for each in a window, beyond what was before it.
	paceDeferred = 1. / 8
	// paceWindows is after how many windows it is tried again whether more connections are faster.
	paceWindows = 16
	// paceMemory is how long an MTA may be idle before what is known of it is forgotten.
	paceMemory = time.Minute
)

// paced is what is known of a verdict.
type paced struct {
	// backlog says that a message waits behind it: else it is not the number of connections that bounds the rate.
	backlog bool
	// last says that it is the session's last. Where each is, nothing is measured.
	last bool
	// deferred says that the MTA wants the message to come later. That is no work done: an MTA that is overtaxed is quick with it.
	deferred bool
}

// verdict counts one.
func (p *pace) verdict(now time.Time, v paced) {
	idle := now.Sub(p.latest)
	p.latest = now
	if idle > paceMemory {
		*p = pace{least: p.least, most: p.most, connections: p.least, latest: now}
	}
	if v.deferred {
		p.deferred++
	} else {
		p.done++
	}
	size := paceWindow * p.connections
	if p.defersMore(size) {
		p.come(max(p.half, p.least), true)
		p.window(now)
		return
	}
	if p.done >= size {
		p.share, p.deferred, p.done = float64(p.deferred)/float64(p.done), 0, 0
	}
	switch {
	case !v.backlog, p.began.IsZero():
		p.window(now)
		return
	case v.deferred, v.last:
		return
	}
	p.verdicts++
	if p.steady && p.verdicts >= paceWindows*size {
		p.steady, p.halfRate = false, 0
		p.window(now)
	}
	took := max(now.Sub(p.began), time.Millisecond)
	rate := float64(p.verdicts) / took.Seconds()
	switch early := p.verdicts >= paceEarly*p.connections && took >= paceSlow && rate >= p.halfRate*paceClear; {
	case p.steady:
		return
	case p.verdicts >= size:
	case !early:
		return
	case p.done >= p.verdicts: // else share is that of a window which ended in this one
		p.share = float64(p.deferred) / float64(p.done)
	}
	switch {
	case rate < p.halfRate*paceGain:
		p.come(max(p.half, p.least), true)
	case p.connections < p.most:
		p.half, p.halfRate, p.halfDeferred = p.connections, rate, p.share
		p.come(min(2*p.connections, p.most), false)
	default:
		p.steady = true
	}
	p.window(now)
}

// defersMore reports whether more of so many messages have been deferred since the last step than before it.
func (p *pace) defersMore(messages int) bool {
	if p.half == 0 || p.connections <= p.half {
		return false
	}
	// As many again as a quarter of those that were deferred before come by chance.
	return float64(p.deferred) > (p.halfDeferred*5/4+paceDeferred)*float64(messages)
}

// come changes how many connections there should be. What was deferred with another number says nothing about it.
func (p *pace) come(connections int, steady bool) {
	if connections != p.connections {
		p.deferred, p.done, p.share = 0, 0, 0
	}
	p.connections, p.steady = connections, steady
}

// window begins another window.
func (p *pace) window(now time.Time) { p.began, p.verdicts = now, 0 }

// refused takes note that the MTA refused another connection beside those that are open.
func (p *pace) refused(open int) {
	p.come(max(min(p.connections, open), p.least), true)
}

// left takes note that so many connections are left of those that there should be: no message came for the others, or, as lost says, the
// MTA ended them. The rate that was measured with more says nothing about those that are left, and the next backlog finds out anew. But
// where the MTA ended what the last step added, and deferred for it, that is its answer to the step.
func (p *pace) left(connections int, lost bool) {
	if connections >= p.connections {
		return
	}
	p.began = time.Time{}
	if lost && connections >= p.half && p.defersMore(p.deferred+p.done) {
		p.connections, p.steady = connections, true // and what was deferred still counts against those of the step that are left
		return
	}
	p.come(connections, false)
	p.halfRate = 0
}
