package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// folder carries one folder: list it, compare it with the ledger, and do what follows from that. v says how much of it.
func (r *run) folder(ctx context.Context, folder string, v *visit) error {
	p := r.pass
	if r.session.over {
		if err := r.session.relogin(ctx); err != nil {
			return err
		}
	}
	since, last, err := r.since(ctx, folder)
	if err != nil {
		return err
	}
	if r.isMoved(folder) {
		since = fetch.Status{} // it was another mailbox's
	}
	if err := r.session.open(ctx, folder, since); err != nil {
		return r.passOverUnopened(ctx, err)
	}
	r.unopened = 0
	listing, before := r.session.listing, r.report.summary
	at := folderKey{account: p.Account, name: folder, validity: listing.Validity}
	if err := r.checkSource(ctx, at); err != nil {
		return r.passOver(err)
	}
	// A folder that was empty is not as it was where the server counts messages and lists none.
	asMany := len(listing.Refs) == 0 && listing.Unlisted == 0 && listing.Earlier == int(since.Messages)
	if asMany && listing.Validity == since.Validity && since != (fetch.Status{}) { // nothing has come, and nothing has gone
		r.report.emit(Event{Kind: Listed, Folder: folder, Plan: Counts{Listed: listing.Earlier, Known: listing.Earlier}})
		return nil
	}
	todo, err := r.plan(ctx, at, v, last)
	if err != nil {
		return err
	}
	if !p.DryRun {
		if now := underWay(listing, last, todo.unsized); now != last {
			if err := p.Ledger.SetLastListing(ctx, at.account, at.name, now); err != nil {
				return err
			}
		}
		if err := r.guard(ctx, at, todo); err != nil {
			return r.passOver(err)
		}
		if err := r.noteListing(ctx, at, todo); err != nil {
			return err
		}
	}
	if err := r.limit(ctx, todo, v); err != nil {
		return err
	}
	found := newPresence(at, listing, todo)
	err = r.carry(ctx, at, todo, found)
	done := p.DryRun || v.again() // then the first visit, or the next pass, concludes
	if done || ctx.Err() != nil {
		return err
	}
	looked := err == nil && !todo.onlyOverdue && len(v.left) == 0
	lookedAtAll := looked && listing.Unlisted == 0
	nothingNew := todo.counts.New == 0 && listing.Unlisted == 0
	// What has gone may be what is new under another name, which is known once all that is new was looked at.
	// A server that does not list all it has says nothing about what it leaves out.
	if lookedAtAll || nothingNew {
		err = cmp.Or(err, r.findLost(ctx, found))
	}
	if readAll := looked && err == nil && !found.unread && !todo.unsized; !readAll {
		return err
	}
	return r.conclude(ctx, at, todo, last, before)
}

// conclude records what a visit that has looked at all that a folder lists has found. last is what was remembered of the folder, before the summary
// when the visit began.
func (r *run) conclude(ctx context.Context, at folderKey, todo *plan, last ledger.Listing, before Summary) error {
	p, listing := r.pass, r.session.first
	switch {
	case todo.counts.Waiting == 0 && listing.Unlisted == 0:
	case setBack(listing, last): // what waits is what it was, by its size, and what is not listed is asked for by its size once it is
		return p.Ledger.SetLastListing(ctx, at.account, at.name, underWay(listing, ledger.Listing{}, false))
	default: // what waits may never have been read, or by an older copy of the ledger have been delivered since
		return nil
	}
	if todo.lastingUIDs { // else the UID may come to name another message, which must not pass for this one
		if err := r.recordMarked(ctx, at, todo.marked); err != nil {
			return err
		}
	}
	if todo.trust != ledger.Complete {
		if err := p.Ledger.CaughtUp(ctx, at.account, at.name); err != nil {
			return err
		}
	}
	return r.remember(ctx, at, listing, todo, last, before)
}

// noteListing records what the listing shows to have gone, to have come back, or to be no new mail, and decides whether the pass
// has time for more than what is to be deleted.
func (r *run) noteListing(ctx context.Context, at folderKey, todo *plan) error {
	if err := r.pass.Ledger.SetAbsent(ctx, todo.absent, true); err != nil {
		return err
	}
	if err := r.pass.Ledger.SetAbsent(ctx, todo.back, false); err != nil {
		return err
	}
	if todo.adopt {
		if err := r.adopt(ctx, at, todo); err != nil {
			return err
		}
	}
	// Where the server allows no second session soon enough, and for a day each pass had something to hold back,
	// a pass does nothing but delete what earlier ones have delivered. After a failed pass new mail does
	// not wait for that: the server may have refused just this, DELE or QUIT.
	overdue := r.session.listing.LoginDelay > loginPatience && todo.overdueFor >= overdueAfter
	if todo.onlyOverdue = overdue && !r.pass.Failed; todo.onlyOverdue {
		todo.retrieve, todo.retries, todo.suspects = todo.deletable, nil, nil
	}
	return nil
}

// plan compares the open folder with the ledger, and tells what it holds at the first visit. At another one, only what the first
// has left is planned.
func (r *run) plan(ctx context.Context, at folderKey, v *visit, last ledger.Listing) (*plan, error) {
	p, listing := r.pass, r.session.listing
	disposal := disposalRules{onDelivered: p.OnDelivered, onRefused: p.OnRefused, deleteAfter: p.DeleteAfter, brake: Brake{Grace: p.RefusedGrace}}
	if p.OnRefused.Action != fetch.Keep {
		var err error
		if disposal.brake.Proof, err = p.Ledger.Proof(ctx, p.Target); err != nil {
			return nil, err
		}
	}
	rules := listingRules{
		retry: p.Retry, disposal: disposal, sendingUntil: p.SendingUntil, now: r.clock.now(), account: r.clock.account, lastPass: p.Last, failed: p.Failed, mark: p.MarkDelivered,
		setBack: setBack(listing, last),
	}
	known, err := r.briefs(ctx, at, &rules)
	if err != nil {
		return nil, err
	}
	isThere := func(b ledger.Brief) bool { return !b.Absent }
	isUncertain := listing.Reusable || rules.setBack || p.Failed // a UID may name a message that its record is not of
	isUnknown := func(ref fetch.Ref) bool {
		return isUncertain || !slices.ContainsFunc(known[ref.UID], isThere)
	}
	if len(p.Search) > 0 && slices.ContainsFunc(listing.Refs, isUnknown) {
		if rules.chosen, err = r.search(ctx, p.Search.On(r.clock.now())); err != nil {
			return nil, err
		}
	}
	lastTry := last.Whole.IsZero() && last.Messages >= sizeTries-1
	todo, err := r.compare(ctx, at, known, rules, lastTry)
	if err != nil {
		return nil, err
	}
	if v.again() {
		hadItsTurn := func(ref fetch.Ref) bool { return !v.left[ref.UID] }
		todo.retrieve, todo.retries = slices.DeleteFunc(todo.retrieve, hadItsTurn), slices.DeleteFunc(todo.retries, hadItsTurn)
		todo.suspects, todo.settle, todo.deletable, todo.marked = nil, nil, nil, nil
		return todo, nil
	}
	notAsked := 0
	if p.DryRun && p.Newest > 0 {
		asked := map[fetch.Ref]bool{}
		for _, ref := range slices.Concat(todo.retrieve, todo.retries, todo.suspects) {
			asked[ref] = true
		}
		for _, ref := range listing.Refs { // the oldest first
			if asked[ref] && len(asked) > p.Newest {
				delete(asked, ref)
				notAsked++
			}
		}
		older := func(ref fetch.Ref) bool { return !asked[ref] }
		todo.retrieve, todo.retries, todo.suspects = slices.DeleteFunc(todo.retrieve, older), slices.DeleteFunc(todo.retries, older), slices.DeleteFunc(todo.suspects, older)
	}
	r.report.emit(Event{Kind: Listed, Folder: at.name, Plan: todo.counts, Disposals: todo.disposals, NotAsked: notAsked})
	r.settler.notMarked(listing.MarkError)
	r.report.summary.Failed += listing.Unlisted
	r.report.summary.Unlisted += listing.Unlisted
	return todo, nil
}

// passOver notes an error that concerns one folder only, so that mail in the others need not wait
// until a person has looked into it. It returns any other error.
func (r *run) passOver(err error) error {
	var flood *Error
	if fetch.KindOf(err) != fetch.NoFolder && !errors.As(err, &flood) {
		return err
	}
	r.setbacks.passedOver(err)
	return nil
}

// maxUnopened is how many folders in a row cannot be opened until the trouble is the server's.
const maxUnopened = 3

// passOverUnopened tells why a folder could not be opened, and does not stop the others, even if it ended the session.
func (r *run) passOverUnopened(ctx context.Context, err error) error {
	if ctx.Err() != nil || !r.several {
		return r.passOver(err)
	}
	var said *fetch.Error
	if fetch.KindOf(err) == fetch.NoFolder || !errors.As(err, &said) {
		return r.passOver(err)
	}
	if r.unopened++; r.unopened == maxUnopened {
		return err
	}
	if fetch.EndsSession(err) {
		r.session.end()
	}
	r.setbacks.passedOver(err)
	return nil
}

// guard stops the pass over a folder whose listing looks like a flood of old mail.
func (r *run) guard(ctx context.Context, at folderKey, p *plan) error {
	p.adopt = r.pass.Flood.Adopt
	trust, err := r.pass.Ledger.Trust(ctx, at.account, at.name)
	if err != nil {
		return err
	}
	unrecorded := 0
	if p.lastingUIDs { // else marked messages never get a record
		unrecorded = len(p.marked)
	}
	const then = ": until a pass has ended well, mail is delivered with Truehop-Redelivery: possible"
	why := ""
	switch {
	case trust == ledger.Outdated:
		why = "the ledger is a copy and may be older than the mailbox" + then
	case unrecorded > 0:
		why = fmt.Sprintf("the ledger does not know %d of the messages that carry %s upstream; they are taken as delivered, and the ledger may be older than the mailbox%s",
			unrecorded, fetch.DeliveredKeyword, then)
	}
	if p.trust, p.outdated = trust, why != ""; p.outdated {
		r.report.emit(Event{Kind: Restored, Folder: at.name, Why: why})
	}
	if len(p.retrieve)+len(p.retries)+len(p.suspects) == 0 {
		return nil
	}
	generations, err := r.pass.Ledger.Generations(ctx, at.account, at.name)
	if err != nil {
		return err
	}
	known := len(p.known) + p.atRest + r.session.listing.Earlier // a partial listing leaves out none but those that have a record
	s := sighting{folder: at, generations: generations, listed: p.counts.Listed, unknown: p.counts.New, known: known, vanished: p.vanished}
	// What could not be read under a new UIDVALIDITY is known by its UID since, and may be old mail all the same.
	p.renumbered = s.renumbered()
	p.mayHaveMoved = p.mayHaveMoved || p.renumbered
	if p.counts.New == 0 {
		return nil
	}
	_, success, err := r.pass.Ledger.LastPass(ctx, at.account)
	if err != nil {
		return err
	}
	s.passEndedWell, s.seen = !success.IsZero(), trust == ledger.Complete
	onlyAdopted := len(p.known)+p.atRest > 0 && !p.atRestOtherwise
	for _, briefs := range p.known {
		onlyAdopted = onlyAdopted && !slices.ContainsFunc(briefs, func(b ledger.Brief) bool { return b.State != ledger.Adopted })
	}
	// The account has been fetched under another name: by another protocol, or from another folder.
	p.mayBeElsewhere = trust == ledger.Unseen && s.passEndedWell
	neverSeen := trust == ledger.Unseen && !s.passEndedWell // no pass has seen all of the folder
	s.adopting = neverSeen && onlyAdopted
	// A folder that keeps its mail may hold what a ledger that was lost has delivered.
	ledgerLost := neverSeen && stays(r.pass.OnDelivered.Action)
	p.outdated = p.outdated || ledgerLost
	p.adopt, err = r.pass.Flood.judge(s, r.pass.OnDelivered.Action)
	return err
}
