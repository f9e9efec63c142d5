package transfer

import (
	"context"
	"fmt"
	"time"

	"github.com/truehop/truehop/fetch"
)

// Looking is not taking. With POP3 a session that ends with QUIT enters the UPDATE state: what was deleted goes,
// and with many a server what was retrieved counts as fetched and is never shown again (RFC 1939 section 8). So
// a session may end with QUIT only where all that was retrieved in it was delivered. Else the pass
// leaves without QUIT, and a second session, in which nothing is retrieved, makes the deletions.

const (
	// loginPatience is how long a pass waits for a server that wants time between two logins.
	loginPatience = 30 * time.Second
	// settleAgain bounds the session that settles after a broken one.
	settleAgain = 30 * time.Second
	// overdueAfter is how long mail that is to be deleted waits before it goes first.
	overdueAfter = 24 * time.Hour
)

// dial opens a session.
func (r *run) dial(ctx context.Context) error {
	mailbox, err := r.Dial(ctx)
	if err != nil {
		return err
	}
	r.mailbox, r.loggedIn = mailbox, time.Now()
	return nil
}

// end ends the last session of a pass that went well.
func (r *run) end(ctx context.Context) error {
	if r.mayTake() {
		if err := r.mailbox.Close(ctx); err != nil {
			return err
		}
		return r.confirm(ctx)
	}
	if err := r.mailbox.Leave(ctx); err != nil {
		return err
	}
	r.settleAfresh(ctx, nil)
	return nil
}

// mayTake reports whether the session may end so that what happened in it takes effect.
func (r *run) mayTake() bool {
	if r.listing == nil || !r.listing.AtClose {
		return true
	}
	return !r.DryRun && r.owed.Load() == 0
}

// endEarly ends the session of a pass that ends before its time, and settles what is ready in another. trouble
// is what ends the pass where that is not the upstream.
func (r *run) endEarly(ctx context.Context, trouble error, ready []settlement) {
	switch told := ctx.Err() != nil; {
	case r.listing.Reusable && !r.listing.AtClose, r.listing.AtClose && told:
		return // the next pass does it, which looks at the content first
	case told || trouble == nil:
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), settleAgain)
		defer cancel()
	}
	if r.listing.AtClose {
		_ = r.mailbox.Leave(ctx) // the session may have broken
	}
	r.settleAfresh(ctx, ready)
}

// settleAfresh settles in a session of its own what has its verdict, after a session that ended before it
// could. What it does not do, the next pass does: it is no trouble of this one.
func (r *run) settleAfresh(ctx context.Context, ready []settlement) {
	if len(ready)+len(r.disposed) == 0 {
		return
	}
	carried, err := r.reopen(ctx)
	if err != nil {
		return
	}
	defer r.mailbox.Abort()
	if r.settle(ctx, append(ready, carried...)) == nil && r.mailbox.Close(ctx) == nil {
		_ = r.confirm(ctx) // the next pass asks the server again
	}
}

// reopen goes on with the open folder in another session. It returns what was to be deleted at the end of the
// last one and is there still; what has gone stays among the disposed.
func (r *run) reopen(ctx context.Context) (carried []settlement, err error) {
	if err := r.redial(ctx); err != nil {
		return nil, err
	}
	now, err := r.mailbox.Open(ctx, r.opened)
	if err != nil {
		return nil, err
	}
	here := make(map[string]bool, len(now.Refs))
	for _, ref := range now.Refs {
		here[ref.UID] = true
	}
	asked, gone := map[fetch.Ref]bool{}, r.disposed[:0]
	for _, s := range r.disposed {
		asked[s.ref] = true
		if here[s.ref.UID] || s.ref.UID == "" {
			carried = append(carried, s)
		} else {
			gone = append(gone, s)
		}
	}
	r.listing, r.disposed, r.again = now, gone, rematch(r.first, now, asked, r.real)
	return carried, nil
}

// redial opens another session in the same pass, not before the server wants one (RFC 2449 section 6.5).
// A server that has not noticed yet that the last session has ended is asked again.
func (r *run) redial(ctx context.Context) error {
	r.mailbox.Abort()
	delay := r.listing.LoginDelay - time.Since(r.loggedIn)
	if delay > loginPatience {
		return &fetch.Error{Kind: fetch.Busy, Op: "log in again", Hint: "the next pass goes on",
			Err: fmt.Errorf("the server wants %v between two logins", r.listing.LoginDelay)}
	}
	var err error
	for _, wait := range []time.Duration{delay, time.Second, 3 * time.Second, 5 * time.Second} {
		if err := pause(ctx, wait); err != nil {
			return err
		}
		if err = r.dial(ctx); fetch.KindOf(err) != fetch.Busy {
			return err
		}
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// overdue reports whether a pass is to do nothing but delete what earlier ones have delivered: the server
// allows no second session soon enough, and for a day each pass had something to hold back. Where the last pass
// went wrong it may have been over just this, with a server that refuses DELE or QUIT: new mail does not wait for that.
func (r *run) overdue(p *plan) bool {
	tried := r.DryRun || r.Failed
	return !tried && r.listing.LoginDelay > loginPatience && p.waited >= overdueAfter
}

// rematch finds the messages of a pass's first listing in that of a later session: by UID and size, and never by
// number. asked are those that the pass has had deleted meanwhile, real the sizes as retrieved where the
// server had announced others. A UID may be given to another message once the first has gone (RFC 1939
// section 7), and new messages come last; so where the old ones are not all there, in their order and of
// their sizes, something has happened by another hand and nothing is certain.
func rematch(first, now *fetch.Listing, asked map[fetch.Ref]bool, real map[fetch.Ref]int64) map[fetch.Ref]fetch.Ref {
	if first.Validity != now.Validity {
		return nil
	}
	again := make(map[fetch.Ref]fetch.Ref, len(first.Refs))
	if !first.Reusable {
		here := make(map[string]fetch.Ref, len(now.Refs))
		for _, ref := range now.Refs {
			here[ref.UID] = ref
		}
		for _, ref := range first.Refs {
			if found, ok := here[ref.UID]; ok {
				again[ref] = found
			}
		}
		return again
	}
	rest := now.Refs
	for _, ref := range first.Refs {
		if len(rest) == 0 || rest[0].UID != ref.UID {
			if !asked[ref] {
				return nil
			}
			continue
		}
		// Some servers announce the exact size once they have sent the message.
		if exact, other := real[ref]; rest[0].Size != ref.Size && !(other && rest[0].Size == exact) {
			return nil
		}
		if ref.UID != "" {
			again[ref] = rest[0]
		}
		rest = rest[1:]
	}
	return again
}

// located returns those of ready that the session under way has, with their names there.
func (r *run) located(ready []settlement) []settlement {
	located := ready[:0]
	for _, s := range ready {
		now, ok := r.again[s.ref]
		if r.listing == r.first {
			now, ok = s.ref, true
		}
		if ok {
			s.now = now
			located = append(located, s)
		}
	}
	return located
}
