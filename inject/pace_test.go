package inject

import (
	"testing"
	"time"
)

// TestPaceFindsTheFastest: the MTA gives as many verdicts a second as its rate says for a number of connections.
func TestPaceFindsTheFastest(t *testing.T) {
	limited := func(most float64) func(int) float64 {
		return func(connections int) float64 { return min(10*float64(connections), most) }
	}
	for name, c := range map[string]struct {
		rate  func(connections int) float64
		most  int
		after map[int]int // connections after so many verdicts
	}{
		"an MTA whose time goes into waiting":     {rate: limited(1000), most: 16, after: map[int]int{20: 4, 21: 8, 60: 8, 61: 16, 2000: 16}},
		"one that takes ten seconds for each":     {rate: func(n int) float64 { return float64(n) / 10 }, most: 16, after: map[int]int{16: 4, 17: 8, 48: 8, 49: 16, 2000: 16}},
		"one that is fast":                        {rate: func(n int) float64 { return 100 * float64(n) }, most: 16, after: map[int]int{64: 4, 65: 8, 193: 16, 2000: 16}},
		"one whose gain is no clear one":          {rate: func(n int) float64 { return 10 + 5*float64(n)/4 }, most: 16, after: map[int]int{17: 8, 17 + 127: 8, 17 + 129: 16, 2000: 16}},
		"a filter with five processes":            {rate: limited(50), most: 16, after: map[int]int{21: 8, 149: 16, 149 + 257: 8, 1000: 8}},
		"a filter with four processes":            {rate: limited(40), most: 16, after: map[int]int{21: 8, 150: 4, 1000: 4}},
		"an MTA that more connections slow down":  {rate: func(n int) float64 { return 100 / float64(n) }, most: 16, after: map[int]int{17: 8, 150: 4, 1000: 4}},
		"as many as were asked for, and no more":  {rate: limited(1000), most: 4, after: map[int]int{1000: 4}},
		"an MTA that is looked at again in time":  {rate: limited(40), most: 16, after: map[int]int{150: 4, 150 + 16*64 - 2: 4, 150 + 16*64 + 22: 8, 150 + 19*64 + 30: 4}},
		"a bound that is no power of two times 4": {rate: limited(1000), most: 10, after: map[int]int{21: 8, 60: 8, 61: 10, 1000: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			p := pace{least: 4, most: c.most, connections: 4}
			now, verdicts := time.Unix(1_800_000_000, 0), 0
			for last := range c.after {
				for p, now := p, now; verdicts < last; verdicts++ { // anew for each, so that their order does not matter
					p.verdict(now, paced{backlog: true})
					now = now.Add(time.Duration(float64(time.Second) / c.rate(p.connections)))
					if verdicts+1 == last && p.connections != c.after[last] {
						t.Errorf("%d connections after %d verdicts, want %d", p.connections, last, c.after[last])
					}
				}
				verdicts = 0
			}
		})
	}
}

// TestPaceOfUpstream: where no message waits, more connections do not help, and the time says nothing about the MTA.
func TestPaceOfUpstream(t *testing.T) {
	p := pace{least: 4, most: 16, connections: 4}
	now := time.Unix(1_800_000_000, 0)
	for n := range 10_000 {
		p.verdict(now, paced{backlog: n%16 != 0})
		now = now.Add(time.Millisecond)
	}
	if p.connections != 4 {
		t.Errorf("%d connections, want 4", p.connections)
	}
}

// TestPaceForgets what it knew of an MTA that nothing was given to for a while, and what it bears.
func TestPaceForgets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := pace{least: 4, most: 16, connections: 16, latest: now}
	p.refused(6)
	for range 1000 {
		p.verdict(now, paced{backlog: true})
		now = now.Add(time.Millisecond)
	}
	if p.connections != 6 {
		t.Errorf("%d connections after one was refused, want the 6 that are open", p.connections)
	}
	now = now.Add(paceMemory)
	p.verdict(now, paced{backlog: true})
	if p.connections != 4 || p.steady {
		t.Errorf("%d connections after a pause, steady %v; want 4, which may grow", p.connections, p.steady)
	}
}

// TestPaceKeepsItsLeast even where the MTA refuses connections.
func TestPaceKeepsItsLeast(t *testing.T) {
	p := pace{least: 4, most: 16, connections: 8}
	p.refused(1)
	if p.connections != 4 {
		t.Errorf("%d connections, want 4", p.connections)
	}
}

func TestConnectionsReadsItsWords(t *testing.T) {
	for text, want := range map[string]Connections{"auto": Adaptive, "1": 1, "100": 100, "0": -1, "101": -1, "": -1, "four": -1, "-4": -1} {
		c := Connections(-1)
		err := c.UnmarshalText([]byte(text))
		if c != want || (err != nil) != (want == -1) {
			t.Errorf("%q: %d, %v", text, c, err)
		}
		if err == nil && c.String() != text {
			t.Errorf("%q is shown as %q", text, c)
		}
	}
}

func TestLimitsOfConnections(t *testing.T) {
	for _, c := range []struct {
		connections Connections
		carrier     Carrier
		least, most int
	}{
		{Adaptive, XCLIENT, 4, 16}, {Adaptive, XFORWARD, 4, 16}, {Adaptive, PROXYv1, 4, 4}, {Adaptive, PROXYv2, 4, 4},
		{1, XCLIENT, 1, 1}, {7, XCLIENT, 7, 7}, {7, PROXYv1, 7, 7},
	} {
		if least, most := c.connections.limits(c.carrier); least != c.least || most != c.most {
			t.Errorf("%v by %v: %d to %d, want %d to %d", c.connections, c.carrier, least, most, c.least, c.most)
		}
	}
}

// TestPaceWhereMoreAreDeferred: an MTA, or its filter, that answers 4xx to what comes on more connections than it can serve seems to be fast by
// that. The step is taken back before many messages are deferred for it; those that are deferred in any case, as by greylisting, do not count.
func TestPaceWhereMoreAreDeferred(t *testing.T) {
	for name, c := range map[string]struct {
		deferred    func(n, connections int) bool // the n-th verdict
		connections int
		most        int  // that may be deferred
		closed      bool // their sessions are closed
	}{
		"what is beyond four connections":              {func(n, connections int) bool { return connections > 4 && n%10 != 0 }, 4, 60, false},
		"what is beyond four connections, with 421":    {func(n, connections int) bool { return connections > 4 && n%10 != 0 }, 4, 60, true},
		"half of what is on more than eight":           {func(n, connections int) bool { return connections > 8 && n%2 == 0 }, 8, 100, false},
		"half of what is on more than eight, with 421": {func(n, connections int) bool { return connections > 8 && n%2 == 0 }, 8, 100, true},
		"every third in any case":                      {func(n, _ int) bool { return n%3 == 0 }, 16, 700, false},
		"all":                                          {func(int, int) bool { return true }, 4, 2000, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := pace{least: 4, most: 16, connections: 4}
			now, deferred := time.Unix(1_800_000_000, 0), 0
			for n := range 2000 {
				d := c.deferred(n, p.connections)
				p.verdict(now, paced{backlog: true, deferred: d, last: d && c.closed})
				took := time.Second / time.Duration(10*p.connections)
				if d {
					took /= 10
					deferred++
				}
				now = now.Add(took)
			}
			if p.connections != c.connections || deferred > c.most {
				t.Errorf("%d connections, and %d deferred; want %d and at most %d", p.connections, deferred, c.connections, c.most)
			}
		})
	}
}

// TestPaceWhereTheQueueIsEmptiedByDeferring: what is deferred at once leaves the queue faster than messages come to it, so that hardly one
// waits behind a verdict. The step is taken back all the same, and only if more are deferred than before it.
func TestPaceWhereTheQueueIsEmptiedByDeferring(t *testing.T) {
	for name, c := range map[string]struct {
		deferred    func(n, connections int) bool // the n-th verdict
		joining     bool                          // while another connection is being opened for long
		connections int
		most        int // that may be deferred
	}{
		"what is beyond four connections":                   {func(n, connections int) bool { return connections > 4 && n%10 != 0 }, false, 4, 60},
		"what is beyond four, while a connection is opened": {func(n, connections int) bool { return connections > 4 && n%10 != 0 }, true, 4, 60},
		"a quarter of what is beyond four connections":      {func(n, connections int) bool { return connections > 4 && n%4 == 0 }, false, 4, 60},
		"every third in any case":                           {func(n, _ int) bool { return n%3 == 0 }, false, 8, 400},
		"nine of ten in any case":                           {func(n, _ int) bool { return n%10 != 0 }, false, 8, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			p := pace{least: 4, most: 16, connections: 4}
			now, deferred := time.Unix(1_800_000_000, 0), 0
			for n := range 1000 {
				d, first := c.deferred(n, p.connections), p.connections == 4
				if p.verdict(now, paced{backlog: first || !c.joining && n%20 != 0, deferred: d}); d {
					deferred++
				}
				now = now.Add(time.Second / time.Duration(10*p.connections))
			}
			if p.connections != c.connections || deferred > c.most {
				t.Errorf("%d connections, and %d deferred; want %d and at most %d", p.connections, deferred, c.connections, c.most)
			}
		})
	}
}

// TestPaceWhereDeferredMessagesComeLater: more are deferred than before a step when it has been found good, or after a worker has left.
func TestPaceWhereDeferredMessagesComeLater(t *testing.T) {
	refuse := false
	for name, happens := range map[string]func(p *pace){
		"in the next window":                 func(*pace) {},
		"when a worker has left":             func(p *pace) { p.left(p.connections-1, true) },
		"when another connection is refused": func(p *pace) { p.refused(p.connections - 1) },
		"while connections are refused":      func(*pace) { refuse = true },
	} {
		t.Run(name, func(t *testing.T) {
			refuse = false
			p := pace{least: 4, most: 16, connections: 4}
			now := time.Unix(1_800_000_000, 0)
			verdicts := func(most int, deferred bool) {
				for range most {
					if p.verdict(now, paced{backlog: true, deferred: deferred && p.connections > 8}); refuse {
						p.refused(16)
					}
					now = now.Add(time.Second / time.Duration(10*p.connections))
				}
			}
			verdicts(1000, false)
			if p.connections != 16 || !p.steady {
				t.Fatalf("%d connections, steady %v; want 16 for now", p.connections, p.steady)
			}
			happens(&p)
			if verdicts(60, true); p.connections != 8 {
				t.Errorf("%d connections, want 8", p.connections)
			}
		})
	}
}

// TestPaceWhereConnectionsAreLostToWhatIsDeferred: an MTA that bears six connections, and ends each other one with its first or second message.
// That such a connection is gone when the next message is deferred does not make it forgotten.
func TestPaceWhereConnectionsAreLostToWhatIsDeferred(t *testing.T) {
	for _, each := range []int{1, 2, 3} {
		p := pace{least: 4, most: 16, connections: 4}
		now, deferred := time.Unix(1_800_000_000, 0), 0
		for range 1000 {
			if p.connections > 6 {
				for range each {
					p.verdict(now, paced{last: true, deferred: true})
					deferred++
				}
				p.left(p.connections-1, true)
			}
			p.verdict(now, paced{backlog: true})
			now = now.Add(time.Second / time.Duration(10*min(p.connections, 6)))
		}
		if p.connections > 6 || !p.steady || deferred > 20 {
			t.Errorf("%d deferred by each: %d connections, steady %v, and %d deferred; want at most 6 and 20", each, p.connections, p.steady, deferred)
		}
	}
}

// TestPaceOfSessionsThatEnd: an MTA that ends each session after some messages gains by more of them as any other does.
func TestPaceOfSessionsThatEnd(t *testing.T) {
	for each, want := range map[int]int{100: 16, 20: 16, 1: 4} {
		p := pace{least: 4, most: 16, connections: 4}
		now := time.Unix(1_800_000_000, 0)
		for n := range 2000 {
			p.verdict(now, paced{backlog: true, last: n%each == 0})
			now = now.Add(time.Second / time.Duration(10*p.connections))
		}
		if p.connections != want {
			t.Errorf("%d messages a session: %d connections, want %d", each, p.connections, want)
		}
	}
}

// TestPaceTakesBackNoMoreThanTheLastStep, which is not always one to twice as many.
func TestPaceTakesBackNoMoreThanTheLastStep(t *testing.T) {
	now, most := time.Unix(1_800_000_000, 0), 0
	p := pace{least: 4, most: 16, connections: 16, latest: now}
	p.left(15, false)
	for range 1000 {
		p.verdict(now, paced{backlog: true})
		now = now.Add(time.Second / time.Duration(10*p.connections))
		most = max(most, p.connections)
	}
	if p.connections != 15 || most != 16 {
		t.Errorf("%d connections, and %d at most; want 15 and 16", p.connections, most)
	}
}
