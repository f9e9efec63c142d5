package postgres

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestVerdictWaitsForCompany: a write that nobody is kept waiting by goes to the database with what is written next, and if nothing is,
// soon by itself.
func TestVerdictWaitsForCompany(t *testing.T) {
	verdict := func() *write { return &write{patient: true} }
	many := make([]*write, maxGroup-1)
	for i := range many {
		many[i] = verdict()
	}
	for name, c := range map[string]struct {
		then  []*write // behind a verdict, a millisecond later
		waits time.Duration
	}{
		"nothing follows":            {nil, company},
		"another verdict follows":    {[]*write{verdict()}, company},
		"the next message follows":   {[]*write{{}}, time.Millisecond},
		"what fills a group follows": {many, time.Millisecond},
		"a message between verdicts": {[]*write{verdict(), {}, verdict()}, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &writer{wake: make(chan struct{}, 1)}
				for range 3 { // the alarm is set anew each time
					began := time.Now()
					all := append([]*write{verdict()}, c.then...)
					w.enqueue(all[0])
					synctest.Wait()
					if len(w.wake) > 0 {
						t.Fatal("it does not wait")
					}
					time.Sleep(time.Millisecond)
					for _, each := range c.then {
						w.enqueue(each)
					}
					<-w.wake
					group := w.take()
					if waited := time.Since(began); waited != c.waits || len(group) != len(all) || group[0] != all[0] {
						t.Errorf("it was sent after %v, with %d writes; want after %v, with all %d, first of them", waited, len(group), c.waits, len(all))
					}
				}
			})
		})
	}
}
