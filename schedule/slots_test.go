package schedule

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counter hands out slots by name, and notes the order in which they were given.
type counter struct {
	slots *Slots
	held  map[string]*Slot
	order []string
}

// ask has someone ask, whose name begins with a letter for the host; "-" stands for none.
func (c *counter) ask(name string) {
	host := name[:1]
	if host == "-" {
		host = ""
	}
	c.held[name] = c.slots.Ask(host)
	c.look()
}

// give gives a slot back, or ends the wait for it.
func (c *counter) give(name string) {
	c.held[name].Give()
	delete(c.held, name)
	c.look()
}

// look notes who has got a slot since the last look. Tests let one go at a time, so that there is one new at most.
func (c *counter) look() {
	for name, p := range c.held {
		select {
		case <-p.given:
			if !slices.Contains(c.order, name) {
				c.order = append(c.order, name)
			}
		default:
		}
	}
}

func TestSlotsAreGivenInOrderAndNobodyWaitsBehindABusyHost(t *testing.T) {
	for name, c := range map[string]struct {
		limit, perHost int
		// events are names that ask, and names with a minus behind them that give back.
		events, order string
	}{
		"without bounds":      {0, 0, "a1 a2 a3 b1", "a1 a2 a3 b1"},
		"the bound of all":    {2, 0, "a1 a2 b1 a3 a1- a2-", "a1 a2 b1 a3"},
		"the bound of a host": {0, 2, "a1 a2 a3 a4 a2- a1-", "a1 a2 a3 a4"},
		"another host does not wait behind a busy one":          {3, 1, "a1 a2 a3 b1 c1", "a1 b1 c1"},
		"who waits for a busy host takes no slot of all":        {2, 1, "a1 a2 a3 b1", "a1 b1"},
		"whose host is free again comes before who asked later": {2, 1, "a1 a2 b1 c1 a1-", "a1 b1 a2"},
		"what is not counted by host":                           {0, 1, "-1 -2 a1 a2 -3", "-1 -2 a1 -3"},
		"who waits no longer is passed over":                    {1, 0, "a1 a2 a3 a2- a1-", "a1 a3"},
		"given back twice counts once":                          {1, 0, "a1 a2 a3 a1- a1-", "a1 a2"},
	} {
		t.Run(name, func(t *testing.T) {
			counted := &counter{slots: NewSlots(c.limit, c.perHost, 0), held: map[string]*Slot{}}
			var first *Slot
			for _, event := range strings.Fields(c.events) {
				name, gives := strings.CutSuffix(event, "-")
				switch {
				case gives && counted.held[name] == nil:
					first.Give()
				case gives:
					first = counted.held[name]
					counted.give(name)
				default:
					counted.ask(name)
				}
			}
			if got := strings.Join(counted.order, " "); got != c.order {
				t.Errorf("given in the order %s, want %s", got, c.order)
			}
			for name := range counted.held {
				counted.held[name].Give()
			}
			if s := counted.slots; len(s.counting) != 0 || len(s.hosts) != 0 || len(s.waiting) != 0 {
				t.Errorf("after the end %d are taken, %d hosts known, %d wait", len(s.counting), len(s.hosts), len(s.waiting))
			}
		})
	}
}

// TestSlotOfOneThatHangsCountsAtItsHostOnly: after the patience it holds up nobody at other hosts, and its own host still has one connection more.
func TestSlotOfOneThatHangsCountsAtItsHostOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 1, time.Minute)
		hung := s.Ask("a")
		same, other := s.Ask("a"), s.Ask("b")
		defer same.Give()
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		if other.Wait(ctx, nil) {
			t.Error("another host had a slot before the patience was over")
		}
		if began := time.Now(); !other.Wait(t.Context(), nil) || time.Since(began) != time.Second {
			t.Errorf("another host waited %v longer", time.Since(began))
		}
		other.Give()
		ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if same.Wait(ctx, nil) {
			t.Error("its own host has a second slot")
		}
		hung.Give()
		if !same.Wait(t.Context(), nil) {
			t.Error("its own host has none when it has given its own back")
		}
	})
}

// TestSlotsResized: more begin at once, and fewer from the next on.
func TestSlotsResized(t *testing.T) {
	c := &counter{slots: NewSlots(1, 1, 0), held: map[string]*Slot{}}
	for _, name := range []string{"a1", "a2", "a3", "b1"} {
		c.ask(name)
	}
	c.slots.Resize(2, 1)
	c.look()
	c.slots.Resize(3, 2)
	c.look()
	c.slots.Resize(1, 1)
	c.give("a1")
	c.give("a2")
	if got := strings.Join(c.order, " "); got != "a1 b1 a2" {
		t.Errorf("given in the order %s", got)
	}
	c.give("b1")
	if got := strings.Join(c.order, " "); got != "a1 b1 a2 a3" {
		t.Errorf("given in the order %s", got)
	}
}

// TestWaitTellsThatItWaits: at once and each minute; and not where there is a slot.
func TestWaitTellsThatItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 0, 0)
		var told []time.Duration
		tell := func(waited time.Duration) { told = append(told, waited) }
		first, second := s.Ask("a"), s.Ask("b")
		if !first.Wait(t.Context(), tell) || len(told) != 0 {
			t.Errorf("there is a slot, and told was %v", told)
		}
		after(150*time.Second, first.Give)
		if !second.Wait(t.Context(), tell) || !slices.Equal(told, []time.Duration{0, time.Minute, 2 * time.Minute}) {
			t.Errorf("told after %v", told)
		}
		second.Give()
	})
}

// TestPassesOfOneHostAreBounded: accounts of a slow host wait for one another, and those of others for nobody; each that waits is told of.
func TestPassesOfOneHostAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := map[string]int{}, map[string]int{}
		ended := map[string]time.Duration{}
		waited := map[string]int{}
		begin := time.Now()
		l := &Loop{Parallel: 3, PerHost: 2, Pass: func(_ context.Context, account string) error {
			host := account[:4]
			mu.Lock()
			running[host]++
			most[host] = max(most[host], running[host])
			mu.Unlock()
			takes := time.Second
			if host == "slow" {
				takes = 4 * time.Minute
			}
			time.Sleep(takes)
			mu.Lock()
			running[host]--
			ended[account] = time.Since(begin)
			mu.Unlock()
			return nil
		}}
		l.OnWait = func(account string, _ time.Duration) {
			mu.Lock()
			waited[account]++
			mu.Unlock()
		}
		for n := range 6 {
			l.Accounts = append(l.Accounts, Account{Name: fmt.Sprint("slow", n), Host: "slow", AtStart: true})
		}
		l.Accounts = append(l.Accounts, Account{Name: "good", Host: "good", AtStart: true})
		runFor(t, l, 13*time.Minute)
		if most["slow"] != 2 || ended["good"] != time.Second || len(ended) != 7 {
			t.Errorf("at most %v at a time, ended %v", most, ended)
		}
		told := 0
		for account := range waited {
			if strings.HasPrefix(account, "slow") {
				told++
			}
		}
		if told != 4 {
			t.Errorf("%v were told of as waiting, want four of the slow host", waited)
		}
	})
}
