package transfer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// settleAgain bounds the session that settles after a broken one.
const settleAgain = 30 * time.Second

// disposalRules say what becomes of messages upstream, see [Pass].
type disposalRules struct {
	onDelivered, onRefused fetch.Disposal
	deleteAfter            time.Duration // 0 for never
	brake                  Brake
}

// of returns what is to become now of a message whose state came about so long ago, by the account's clock, and after
// that judgement, and whether the upstream may forget it: the MTA has it, or it is to be deleted as it is. What was
// put into quarantine does not wait: the quarantine has it.
func (r disposalRules) of(s ledger.State, age time.Duration, judged int64) (d fetch.Disposal, mayForget bool) {
	switch s {
	case ledger.Delivered, ledger.Quarantined:
		if r.deleteAfter > 0 && age >= r.deleteAfter {
			return fetch.Disposal{Action: fetch.Delete}, true
		}
		return r.onDelivered, true
	case ledger.Refused:
		if r.brake.Holds(age, judged) == "" {
			return r.onRefused, r.onRefused.Action == fetch.Delete
		}
	}
	return fetch.Disposal{Action: fetch.Keep}, false
}

// soonest returns what the account's clock shows when one of these messages is to be disposed of by time alone, or due if that is
// sooner; 0 is never. When refused mail goes does not depend on time alone, so there is always something to look at.
func (r disposalRules) soonest(due time.Duration, briefs []ledger.Brief) time.Duration {
	for _, b := range briefs {
		at := time.Duration(0)
		switch stays := b.Hash == noHash || b.Absent; {
		case stays:
		case b.State == ledger.Refused && r.onRefused.Action != fetch.Keep && !b.Disposed:
			at = time.Millisecond
		case b.State.Arrived() && r.deleteAfter > 0:
			at = max(time.Millisecond, b.Ran+r.deleteAfter)
		}
		due = sooner(due, at)
	}
	return due
}

// sooner returns the earlier of two times by the account's clock, of which 0 is never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// isAgain reports whether a message that is to be disposed of so has been removed before, as the upstream said. One that was
// flagged, and is to be deleted later, has not.
func (r disposalRules) isAgain(disposed bool, d fetch.Disposal) bool {
	switch {
	case d.Action == fetch.Keep, d.Action == fetch.Flag:
		return false
	case r.deleteAfter > 0 && r.onDelivered.Action == fetch.Flag:
		return false
	}
	return disposed
}

// settlement is one disposal to carry out.
type settlement struct {
	ref fetch.Ref // in the pass's first listing
	// now is what the session under way calls it.
	now      fetch.Ref
	key      ledger.Key
	token    string
	disposal fetch.Disposal
	// mark says that the message is to carry [fetch.DeliveredKeyword], before anything else becomes of it.
	mark bool
	// again says that the message was disposed of before: the upstream said so, and lists it still, or again.
	again bool
}

// errListedAgain is what is told of a message that was disposed of before.
var errListedAgain = &fetch.Error{Kind: fetch.Refused, Op: "settle", Err: errors.New("the server has said that this was done, and lists the message again"),
	Advice: "look whether the mailbox's own settings keep what is deleted, or another program restores it"}

// settler carries out disposals.
type settler struct {
	session  *session
	ledger   Ledger
	report   *reporter
	setbacks *setbacks
	// alive is called while a disposal of very many messages goes on.
	alive func()
	// toldNotMarked says that the pass has told that a message could not be marked.
	toldNotMarked bool
	// disposed waits for the session's polite end, which makes deletions final.
	disposed []settlement
}

// goesOn reports whether a server that has answered so can still be talked to: a folder that is missing for moving must not
// keep new messages from being delivered.
func goesOn(err error) bool {
	return slices.Contains([]fetch.Kind{fetch.NoFolder, fetch.Unsupported, fetch.Refused}, fetch.KindOf(err))
}

// flaggedAtOnce is how many messages are flagged until that is recorded: a session that ends then has not done it for nothing. What is removed
// shows that by itself, and has to be asked for together, for a server without UIDPLUS removes all that is marked.
const flaggedAtOnce = 5000

// settle marks and disposes upstream of what is ready, one kind of disposal after the other.
func (s *settler) settle(ctx context.Context, ready []settlement) error {
	var found []settlement
	for _, one := range ready {
		now, certain := s.session.again[one.ref]
		if s.session.listing == s.session.first {
			now, certain = one.ref, true
		}
		if certain {
			one.now = now
			found = append(found, one)
		}
	}
	var marked []fetch.Ref
	for _, one := range found {
		if one.mark {
			marked = append(marked, one.now)
		}
	}
	if len(marked) > 0 {
		failures, err := s.session.mailbox.Settle(ctx, fetch.Disposal{Action: fetch.Flag, Target: fetch.DeliveredKeyword}, marked)
		if err != nil && !goesOn(err) {
			return err
		}
		for _, f := range failures {
			err = cmp.Or(err, f.Err)
		}
		s.notMarked(err) // the next pass tries again
	}
	groups := map[fetch.Disposal][]settlement{}
	for _, one := range found {
		if one.disposal.Action != fetch.Keep {
			groups[one.disposal] = append(groups[one.disposal], one)
		}
	}
	for disposal, group := range groups {
		atOnce := len(group)
		if disposal.Action == fetch.Flag {
			atOnce = flaggedAtOnce
		}
		for part := range slices.Chunk(group, atOnce) {
			if err := s.dispose(ctx, disposal, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// dispose carries out one kind of disposal.
func (s *settler) dispose(ctx context.Context, disposal fetch.Disposal, group []settlement) error {
	refs := make([]fetch.Ref, len(group))
	for i, one := range group {
		refs[i] = one.now
	}
	failures, err := s.session.mailbox.Settle(fetch.WithProgress(ctx, s.alive), disposal, refs)
	failed := make(map[fetch.Ref]error, len(failures))
	for _, f := range failures {
		failed[f.Ref] = f.Err
	}
	if err != nil && !goesOn(err) {
		return err
	}
	for _, one := range group {
		if err := cmp.Or(failed[one.now], err); err != nil {
			s.report.emit(Event{Kind: NotSettled, Ref: one.ref, Token: one.token, Disposal: disposal, Err: err})
			s.setbacks.disposal = cmp.Or(s.setbacks.disposal, err)
			continue
		}
		s.disposed = append(s.disposed, one)
	}
	if s.session.listing.Reusable {
		return nil // not before the session has ended
	}
	return s.confirm(ctx)
}

// confirm records the disposals that are certain by now.
func (s *settler) confirm(ctx context.Context) error {
	keys := make([]ledger.Key, len(s.disposed))
	for i, one := range s.disposed {
		keys[i] = one.key
	}
	// A disposal that happened is recorded even if the pass is asked to end.
	if err := s.ledger.SetDisposed(context.WithoutCancel(ctx), keys); err != nil {
		return err
	}
	for _, one := range s.disposed {
		s.session.asked[one.ref] = true
		s.report.emit(Event{Kind: Settled, Ref: one.ref, Token: one.token, Disposal: one.disposal})
	}
	s.disposed = nil
	return nil
}

// end ends the last session of a pass that went well.
func (s *settler) end(ctx context.Context, dryRun bool) error {
	if s.session.over {
		s.settleAfresh(ctx, nil)
		return nil
	}
	atClose := s.session.listing != nil && s.session.listing.AtClose
	mustLeave := dryRun || s.session.mustStay.Load() != 0
	if atClose && mustLeave {
		if err := s.session.mailbox.Leave(ctx); err != nil {
			return err
		}
		s.settleAfresh(ctx, nil)
		return nil
	}
	if err := s.session.mailbox.Close(ctx); err != nil {
		return err
	}
	return s.confirm(ctx)
}

// endEarly ends the session of a pass that ends before its time, and settles what is ready in another. stopped
// is what ends the pass where that is not the upstream.
func (s *settler) endEarly(ctx context.Context, stopped error, ready []settlement) {
	listing, asked := s.session.listing, ctx.Err() != nil
	if listing.AtClose && asked {
		return // the next pass does it, which looks at the content first
	}
	if listing.Reusable && !listing.AtClose {
		return // likewise
	}
	if asked || stopped == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), settleAgain)
		defer cancel()
	}
	if listing.AtClose {
		_ = s.session.mailbox.Leave(ctx) // the session may have broken
	}
	s.settleAfresh(ctx, ready)
}

// settleAfresh settles in a session of its own what has its verdict, after a session that ended before it
// could. What it leaves undone the next pass does, so its errors do not make this one fail.
func (s *settler) settleAfresh(ctx context.Context, ready []settlement) {
	if len(ready)+len(s.disposed) == 0 {
		return
	}
	carried, err := s.reopen(ctx)
	if err != nil {
		return
	}
	defer s.session.end()
	if s.settle(ctx, append(ready, carried...)) == nil && s.session.mailbox.Close(ctx) == nil {
		_ = s.confirm(ctx) // the next pass asks the server again
	}
}

// reopen goes on with the open folder in another session. It returns what was to be deleted at the end of the
// last one and is still listed; what has gone stays among the disposed.
func (s *settler) reopen(ctx context.Context) (carried []settlement, err error) {
	if err := s.session.relogin(ctx); err != nil {
		return nil, err
	}
	now, err := s.session.mailbox.Open(ctx, s.session.folder)
	if err != nil {
		return nil, err
	}
	here := make(map[string]bool, len(now.Refs))
	for _, ref := range now.Refs {
		here[ref.UID] = true
	}
	gone := s.disposed[:0]
	for _, one := range s.disposed {
		s.session.asked[one.ref] = true
		if here[one.ref.UID] || one.ref.UID == "" {
			one.again = false // it was told
			carried = append(carried, one)
		} else {
			gone = append(gone, one)
		}
	}
	s.disposed = gone
	s.session.listing, s.session.again = now, rematch(s.session.first, now, s.session.asked, s.session.sizes)
	return carried, nil
}
