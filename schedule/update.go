package schedule

import (
	"context"
	"sync"
)

// Update is a change to the accounts of a [Loop].
type Update struct {
	// Accounts come. One that has the name of an account in the loop takes its place: a pass over that is told to end, and
	// the new one begins when it has.
	Accounts []Account
	// Gone are the names of accounts that leave: a pass under way is told to end, and there is no other.
	Gone []string
	// Parallel and PerHost are those of [Loop] from now on.
	Parallel, PerHost int
}

// roster is the accounts of a running loop.
type roster struct {
	loop    *Loop
	slots   *Slots
	owners  sync.WaitGroup
	entries map[string]entry
}

// entry is an account's owner.
type entry struct {
	end   context.CancelFunc // tells it to end
	ended chan struct{}      // closed when it has
}

// update lets accounts go and come.
func (all *roster) update(ctx context.Context, u Update) {
	for _, name := range u.Gone {
		if e, known := all.entries[name]; known {
			e.end()
		}
	}
	all.slots.Resize(u.Parallel, u.PerHost)
	for _, a := range u.Accounts {
		all.begin(ctx, a)
	}
	for name, e := range all.entries {
		select {
		case <-e.ended: // for good
			delete(all.entries, name)
		default:
		}
	}
}

// begin starts the owner of an account, which waits until the one before it has gone and then makes passes until ctx ends.
func (all *roster) begin(ctx context.Context, a Account) {
	before, replaced := all.entries[a.Name]
	if replaced {
		before.end()
	}
	ctx, end := context.WithCancel(ctx)
	mine := entry{end, make(chan struct{})}
	all.entries[a.Name] = mine
	o := &owner{loop: all.loop, account: a, slots: all.slots}
	all.owners.Go(func() {
		defer close(mine.ended)
		defer end()
		if replaced {
			<-before.ended
		}
		defer o.turn(-1)
		if a.AtStart {
			o.pass(ctx)
		} else {
			o.begin()
		}
		for o.wait(ctx) {
			o.pass(ctx)
		}
	})
}
