package main

import (
	"fmt"
	"strings"
	"testing"
)

// attempt is a trial whose failures are kept back until it is known whose they are.
type attempt struct {
	testing.TB
	failures []string
	skipped  string
}

// attemptOver ends an attempt, as FailNow ends a test.
type attemptOver struct{}

func (a *attempt) Error(args ...any)                 { a.failures = append(a.failures, fmt.Sprintln(args...)) }
func (a *attempt) Errorf(format string, args ...any) { a.Error(fmt.Sprintf(format, args...)) }
func (a *attempt) Fail()                             { a.Error("failed") }
func (a *attempt) Failed() bool                      { return len(a.failures) > 0 }
func (a *attempt) FailNow()                          { a.Fail(); panic(attemptOver{}) }
func (a *attempt) Fatal(args ...any)                 { a.Error(args...); panic(attemptOver{}) }
func (a *attempt) Fatalf(format string, args ...any) { a.Fatal(fmt.Sprintf(format, args...)) }
func (a *attempt) Skip(args ...any)                  { a.skipped = fmt.Sprint(args...); panic(attemptOver{}) }

// run makes the attempt.
func (a *attempt) run(do func(testing.TB)) {
	defer func() {
		if got := recover(); got != nil && got != any(attemptOver{}) {
			panic(got)
		}
	}()
	do(a)
}

// outlive makes a trial again, with a server started afresh, if it fails while the server crashes. The second time the trial
// is skipped for it. What fails without a crash fails.
func outlive(t testing.TB, crashes func() int, restart func(), do func(testing.TB)) {
	t.Helper()
	for again := false; ; again = true {
		before := crashes()
		a := &attempt{TB: t}
		a.run(do)
		if !a.Failed() {
			if a.skipped != "" {
				t.Skip(a.skipped)
			}
			return
		}
		said := strings.Join(a.failures, "")
		if crashes() == before {
			t.Error(said)
			return
		}
		restart()
		if again {
			t.Skip("the server itself crashed twice:\n" + said)
		}
		t.Logf("the server itself crashed, so once more:\n%s", said)
	}
}

// TestOutlive: only a crash of the server gives a trial another chance, and one.
func TestOutlive(t *testing.T) {
	fails := func(t testing.TB) { t.Fatal("no mail") }
	for _, c := range []struct {
		name            string
		do              func(testing.TB)
		crashes         []int
		failed, skipped bool
		restarts        int
	}{
		{"good", func(testing.TB) {}, []int{0}, false, false, 0},
		{"skipped", func(t testing.TB) { t.Skip("not here") }, []int{0}, false, true, 0},
		{"skipped, and failed after it", func(t testing.TB) { defer fails(t); t.Skip("not here") }, []int{0, 0}, true, false, 0},
		{"failed without a crash", fails, []int{0, 0}, true, false, 0},
		{"failed without a crash, after one before", fails, []int{1, 1}, true, false, 0},
		{"crashed, then failed without", fails, []int{0, 1, 0, 0}, true, false, 1},
		{"crashed twice", fails, []int{0, 1, 0, 1}, false, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			outer, restarts := &attempt{TB: t}, 0
			outer.run(func(testing.TB) {
				outlive(outer, func() int {
					n := c.crashes[0]
					c.crashes = c.crashes[1:]
					return n
				}, func() { restarts++ }, c.do)
			})
			skipped := outer.skipped != ""
			if outer.Failed() != c.failed || skipped != c.skipped || restarts != c.restarts {
				t.Errorf("failed %v, skipped %v, %d restarts; want %v, %v, %d", outer.Failed(), skipped, restarts, c.failed, c.skipped, c.restarts)
			}
			if len(c.crashes) > 0 {
				t.Errorf("crashes were not asked for %d times more", len(c.crashes))
			}
		})
	}
}
