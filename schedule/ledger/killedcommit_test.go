//go:build linux

package ledger_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
)

// TestPassKilledWhileACommitIsHeld is [TestPassKilledAtEachStep] on a slow disk: each commit in turn takes until all else in the process
// has come to rest, and then the process dies. Whatever relies on a record that is not durable yet has had the time to.
func TestPassKilledWhileACommitIsHeld(t *testing.T) {
	for number, s := range killScenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for where := range killAtEach(t, "commit", 1, stride, func() *killWorld { return newKillWorld(t, number) }) {
				if where != "commit" {
					t.Fatalf("the victim died at %s", where)
				}
			}
		})
	}
}

// steps counts the victim's, and ends it at one of them.
type steps struct {
	left, reached atomic.Int64
	// only is the place whose steps count; "" is each.
	only string
	// holds says that the last step is held until nothing else moves.
	holds bool
}

func (s *steps) reach(where string) {
	s.reached.Add(1)
	if s.only != "" && where != s.only {
		return
	}
	if s.left.Add(-1) != 0 {
		return
	}
	if s.holds {
		s.rest(100 * time.Millisecond)
	}
	fmt.Printf("died at %s\n", where)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal is delivered
}

// rest waits until nothing has moved for that long. On a busy machine it may end too early: then a test has seen less, and fails
// no more than else.
func (s *steps) rest(quiet time.Duration) {
	for before := int64(0); before != s.reached.Load(); time.Sleep(quiet) {
		before = s.reached.Load()
	}
}

// slowUpstream hands over each set of messages only when what can be done about the last has been done: else it has handed over
// all before the first verdict, and nothing would be settled while a verdict is on its way.
type slowUpstream struct {
	fetch.Mailbox
	steps *steps
	asked bool
}

func (u *slowUpstream) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	if u.asked {
		u.steps.rest(10 * time.Millisecond)
	}
	u.asked = true
	return u.Mailbox.Retrieve(ctx, refs, sink)
}
