// Package transfer carries the messages of one upstream mailbox to the MTA:
//
//	list -> ledger: known? -> retrieve whole into a spool -> header, boundary,
//	envelope -> name of the client -> inject -> record the verdict -> settle upstream
//
// [Pass.Run] goes that way. It is a pipeline: retrieval runs ahead of injection
// under a byte budget, verdicts are recorded in groups, and upstream commands go
// out in batches, so that no step costs a round trip per message. What it
// promises:
//
//   - A message is disposed of upstream only when its verdict is durable.
//   - The MTA hears of a message only once all of it has been retrieved.
//   - The ledger says "sending" before the final dot leaves, and the result before
//     anything happens upstream; a message still "sending" after a crash is in doubt.
//   - A policy for refused mail acts on what the MTA refused, for all recipients, and on nothing else.
//   - What was retrieved and not delivered can be retrieved again.
//   - A message that fails delays no other, and is recorded as failed; a peer that fails ends the pass.
//
// What to do is decided by functions without side effects, one file each: compare and
// classify (listing.go), Flood.judge (flood.go), Flood.adoptable (firstrun.go), visit.pick and inTurn (limit.go), knownByUID and knownByContent (identity.go),
// [Present] (present.go), decide (outcome.go), troubleOf and streak (trouble.go), [Brake.Holds] (brake.go),
// retrieval (retrieval.go) and rematch (session.go). What the upstream's own marks prove is told in mark.go.
// The pipeline (pipeline.go) and the settler (settle.go) carry it out.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

// Injector injects messages; [inject.Pool] is one. Submit queues m, may block, and
// calls done exactly once if it returned nil.
type Injector interface {
	Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error
}

// Name is what the DNS says of a client's address.
type Name struct {
	Verified  string // forward-confirmed, or ""
	Reverse   string // what the PTR record says, or ""
	Temporary bool   // the lookup failed in a way that may pass
}

// Pass is one pass over one account. All fields but the optional ones named so must be set.
type Pass struct {
	// Account is the key of the ledger and of all events.
	Account string
	// Folders are read one after the other; POP3 has the one folder "".
	Folders fetch.Selection
	// Dial opens an authenticated session with the upstream.
	Dial func(context.Context) (fetch.Mailbox, error)
	// MTA takes the messages.
	MTA Injector
	// Plain takes messages past the rules about clients: those put into quarantine, and stale
	// ones if Stale says so. nil where nothing asks for it.
	Plain Injector
	// Quarantine is the address that refused messages go to through Plain; "" leaves them where they are.
	Quarantine string
	// Ledger remembers; the caller holds the account's lock.
	Ledger *ledger.Ledger
	// Policy says whom of the Received fields' writers to believe.
	Policy received.Policy
	// LookupName finds the name of an address as the MTA would.
	LookupName func(context.Context, netip.Addr) Name

	// Recipients are the RCPT TO addresses.
	Recipients []string
	// Recipient, if its From is not "", finds them for each message instead.
	Recipient RecipientRule
	// Sender is the reverse-path of a message without Return-Path; "" is the null one.
	Sender string
	// Client holds the rules for what is presented as the client.
	Client ClientRules
	// OnDelivered and OnRefused say what becomes of messages upstream; OnRefused, once the [Brake] lets them go.
	OnDelivered, OnRefused fetch.Disposal
	// MarkDelivered has what was delivered carry [fetch.DeliveredKeyword] upstream. The sessions that Dial opens look for it.
	MarkDelivered bool
	// DeleteAfter is how long delivered mail stays upstream that OnDelivered does not remove, by the account's clock
	// ([ledger.Ledger.Tick]); 0 means for ever.
	DeleteAfter time.Duration
	// RefusedGrace is the Grace of that Brake.
	RefusedGrace time.Duration
	// Target names the MTA and the way in which clients are presented to it. What it makes of them is kept under
	// that name as proof that it still judges.
	Target string
	// Retry spaces the attempts at deferred messages.
	Retry Retry
	// Flood limits what an unexpected listing may cause.
	Flood Flood
	// Search chooses among the messages that the ledger does not know; empty chooses all. It needs a [fetch.Searcher].
	Search fetch.Search
	// Limit bounds what the pass delivers.
	Limit Limit

	// SpoolDir is where messages above 1 MiB are kept, unlinked.
	SpoolDir string
	// Budget bounds in octets what is retrieved and not yet done with, over all
	// accounts that share it; BudgetSize is its capacity.
	Budget     *semaphore.Weighted
	BudgetSize int64
	// Batch is the number of messages per retrieval command; 0 means 500.
	Batch int
	// Ordered gives messages to the MTA strictly in the mailbox's order.
	Ordered bool
	// Last is when the last pass over the account began, zero if there was none; Failed says that it went wrong, or never ended.
	Last   time.Time
	Failed bool
	// DryRun asks the MTA up to RCPT and changes nothing anywhere.
	DryRun bool
	// Newest is how many messages of each folder a dry run asks about: the newest that a pass would deliver. 0 is all.
	Newest int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Observe, if not nil, is called with every [Event], one at a time. It must not block for long.
	Observe func(Event)
}

// Summary counts what a pass did.
type Summary struct {
	Listed        int // messages upstream
	Asked         int // what a dry run asked the MTA about; it is counted by nothing else
	Delivered     int
	Deferred      int // told to come back by the MTA in this pass
	Waiting       int // deferred earlier, their time not yet come
	Refused       int
	PartlyRefused int // some recipients have it, others were refused
	Quarantined   int
	Held          int
	Doubt         int
	Adopted       int
	Failed        int // could not be retrieved; tried again at the next pass
	Unlisted      int // of Failed, what the server counts and does not list, or not so that it can be read
	Known         int // done at an earlier pass
	LeftOut       int // not chosen by Search
	Left          int // left to the next pass, since the Limit was reached
	Settled       int // disposed of upstream
	Unsettled     int // disposal failed; tried again at the next pass
	Lost          int // gone upstream before they were delivered, of late or earlier, and not acknowledged
	// Next is when the first of those that wait is due, zero where that is at the next pass.
	Next time.Time
}

// WantPerson is the number of messages that want a person's attention.
func (s Summary) WantPerson() int { return s.Refused + s.PartlyRefused + s.Held + s.Lost }

// ToRetry is the number of messages that another pass will try again.
func (s Summary) ToRetry() int { return s.Deferred + s.Waiting + s.Doubt + s.Failed }

// Error stops a pass for a reason that only a person can remove: a mailbox that seems renumbered, recipients that
// the MTA does not know, an MTA without storage.
type Error struct {
	// Op is what was about to happen.
	Op string
	// Text says what is wrong.
	Text string
	// Advice says what a person may do about it.
	Advice string
}

// Error returns the text.
func (e *Error) Error() string { return e.Op + ": " + e.Text }

// Hint returns what a person may do about it, or "".
func (e *Error) Hint() string { return e.Advice }

// run is one pass under way.
type run struct {
	pass     *Pass
	clock    clock
	report   *reporter
	session  *session
	settler  *settler
	setbacks *setbacks
	// came counts the messages that came whole, tries how many suspects may still be asked for.
	came, tries int
	streak      streak
	tally       tally
	several     bool  // mail may come to one folder from another
	unopened    int   // folders in a row that could not be opened
	judged      int64 // the number of the first judgement that it can make
}

// setbacks are the errors that do not stop a pass, of each kind the first. The pass ends with them.
type setbacks struct {
	folder   error // folders were passed over: each of them, up to maxFolderErrors
	folders  int   // how many
	broken   error // a session ended while messages were retrieved
	spool    error // a message could not be kept on this side
	disposal error // a message could not be disposed of as asked
}

// maxFolderErrors is how many folders a pass names that it has passed over.
const maxFolderErrors = 5

// passedOver notes why a folder was passed over.
func (s *setbacks) passedOver(why error) {
	if s.folders++; s.folders <= maxFolderErrors {
		s.folder = errors.Join(s.folder, why)
	}
}

// Run carries everything new from the mailbox to the MTA and settles it upstream.
// It ends early when ctx does: what is with the MTA gets its verdict recorded,
// the rest stays upstream untouched. The summary counts what happened in any case.
func (p Pass) Run(ctx context.Context) (summary Summary, err error) {
	report := &reporter{account: p.Account, dryRun: p.DryRun, observe: p.Observe}
	defer func() { summary = report.summary }()
	s := &session{dial: p.Dial}
	if err := s.login(ctx); err != nil {
		return summary, err
	}
	defer func() { s.end() }() // of the last session, if there were several
	r := &run{pass: &p, clock: clock{wall: p.Now}, report: report, session: s, setbacks: &setbacks{}, tries: maxSuspects}
	r.settler = &settler{session: s, ledger: p.Ledger, report: report, setbacks: r.setbacks}
	r.clock.began = r.clock.now()
	if !p.DryRun {
		if r.clock.account, err = p.Ledger.Tick(ctx, p.Account, r.clock.began); err != nil {
			return summary, err
		}
		if r.judged, err = p.Ledger.NextJudgement(ctx); err != nil {
			return summary, err
		}
	}
	folders, err := r.choose(ctx)
	if err != nil {
		return summary, err
	}
	r.several = len(folders) > 1 || !p.Folders.Fixed()
	if err := r.carryAll(ctx, folders); err != nil {
		return summary, err
	}
	if !p.DryRun {
		records, err := p.Ledger.Unfinished(ctx, p.Account)
		if err != nil {
			return summary, err
		}
		for _, rec := range records {
			if rec.State == ledger.Lost && rec.Acknowledged.IsZero() { // no person has taken note of it
				report.summary.Lost++
			}
			report.summary.noteNext(rec, r.clock.now())
		}
	}
	if err := r.settler.end(ctx, p.DryRun); err != nil {
		return summary, err
	}
	report.misfits()
	var alike error
	if !p.DryRun {
		alike = r.tally.trouble(p.Account)
	}
	if r.came > 0 || report.summary.Held > 0 {
		r.setbacks.broken = nil // it was single messages, which are told by their names
	}
	return summary, errors.Join(alike, r.setbacks.folder, r.setbacks.broken, r.setbacks.spool, r.setbacks.disposal)
}

// choose returns the folders to fetch from. What chooses nothing is told, and does not stop the others; nor does a folder that has
// disappeared while mail of it waits, which no pattern would miss.
func (r *run) choose(ctx context.Context) ([]string, error) {
	names, missing, have, err := r.pass.Folders.ChooseFrom(ctx, r.session.mailbox)
	if err != nil {
		return nil, err
	}
	if have == nil {
		return names, nil
	}
	for _, why := range missing {
		r.setbacks.passedOver(why)
	}
	there := map[string]bool{}
	for _, f := range have.List {
		there[f.Name] = true
	}
	for _, name := range names { // opening it tells
		there[name] = true
	}
	waiting, err := r.pass.Ledger.Unfinished(ctx, r.pass.Account)
	if err != nil {
		return nil, err
	}
	for _, rec := range waiting {
		if !there[rec.Folder] && rec.Acknowledged.IsZero() {
			there[rec.Folder] = true // told
			r.setbacks.passedOver(&fetch.Error{Kind: fetch.NoFolder, Op: "LIST",
				Err: fmt.Errorf("the folder %s has gone, and mail of it was not delivered", fetch.Sanitize(rec.Folder))})
		}
	}
	return names, nil
}

// folder carries one folder: list it, compare it with the ledger, and do what follows from that. v says how much of it.
func (r *run) folder(ctx context.Context, folder string, v *visit) error {
	p := r.pass
	if r.session.over {
		if err := r.session.relogin(ctx); err != nil {
			return err
		}
	}
	if err := r.session.open(ctx, folder); err != nil {
		return r.passOverUnopened(ctx, err)
	}
	r.unopened = 0
	listing := r.session.listing
	at := folderKey{account: p.Account, name: folder, validity: listing.Validity}
	known, err := p.Ledger.Briefs(ctx, p.Account, folder, listing.Validity)
	if err != nil {
		return err
	}
	disposal, err := p.disposalRules(ctx)
	if err != nil {
		return err
	}
	chosen, err := r.search(ctx, listing, known)
	if err != nil {
		return err
	}
	todo := compare(at, listing, known, listingRules{
		retry: p.Retry, disposal: disposal, now: r.clock.now(), account: r.clock.account, lastPass: p.Last, failed: p.Failed, mark: p.MarkDelivered, chosen: chosen,
	})
	if v.again() {
		todo.only(v.left)
	} else {
		notAsked := 0
		if p.DryRun && p.Newest > 0 {
			notAsked = todo.keepNewest(listing.Refs, p.Newest)
		}
		r.tellListing(folder, listing, todo, notAsked)
	}
	if !p.DryRun {
		if err := r.guard(ctx, at, todo); err != nil {
			return r.passOver(err)
		}
		if err := p.Ledger.SetAbsent(ctx, todo.absent, true); err != nil {
			return err
		}
		if err := p.Ledger.SetAbsent(ctx, todo.back, false); err != nil {
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
		overdue := listing.LoginDelay > loginPatience && todo.overdueFor >= overdueAfter
		if todo.onlyOverdue = overdue && !p.Failed; todo.onlyOverdue {
			todo.retrieve, todo.retries, todo.suspects = todo.deletable, nil, nil
		}
	}
	if err := r.limit(ctx, todo, v); err != nil {
		return err
	}
	r.report.emit(planned(folder, slices.Concat(todo.retrieve, todo.retries)))
	there := newPresence(at, listing, todo)
	err = r.carry(ctx, at, todo, there)
	done := p.DryRun || v.again() // then the first visit, or the next pass, concludes
	if done || ctx.Err() != nil {
		return err
	}
	lookedAtAll := err == nil && !todo.onlyOverdue && listing.Unlisted == 0 && len(v.left) == 0
	nothingNew := todo.counts.New == 0 && listing.Unlisted == 0
	return r.conclude(ctx, at, todo, there, lookedAtAll, nothingNew, err)
}

// conclude records what a visit to a folder tells of the messages that it did not carry. err is how carrying ended.
func (r *run) conclude(ctx context.Context, at folderKey, todo *plan, there *presence, lookedAtAll, nothingNew bool, err error) error {
	// What has gone may be what is new under another name, which is known once all that is new was looked at.
	// A server that does not list all it has says nothing about what it leaves out.
	if lookedAtAll || nothingNew {
		err = cmp.Or(err, r.findLost(ctx, there))
	}
	// What waits may never have been read, or by an older copy of the ledger have been delivered since.
	if readAll := lookedAtAll && err == nil && !there.unread && todo.counts.Waiting == 0; !readAll {
		return err
	}
	if todo.lastingUIDs { // else the UID may come to name another message, which must not pass for this one
		if err := r.recordMarked(ctx, at, todo.marked); err != nil {
			return err
		}
	}
	if todo.trust != ledger.Complete {
		return r.pass.Ledger.CaughtUp(ctx, at.account, at.name)
	}
	return nil
}

// tellListing reports what a folder holds.
func (r *run) tellListing(folder string, listing *fetch.Listing, p *plan, notAsked int) {
	r.report.emit(Event{Kind: Listed, Folder: folder, Plan: p.counts, NotAsked: notAsked})
	r.settler.notMarked(listing.MarkError)
	r.report.summary.Failed += listing.Unlisted
	r.report.summary.Unlisted += listing.Unlisted
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
	why := whyOutdated(trust, unrecorded)
	p.trust, p.outdated = trust, why != ""
	if p.outdated {
		r.report.emit(Event{Kind: Restored, Folder: at.name, Why: why})
	}
	if len(p.retrieve)+len(p.retries)+len(p.suspects) == 0 {
		return nil
	}
	generations, err := r.pass.Ledger.Generations(ctx, at.account, at.name)
	if err != nil {
		return err
	}
	s := sighting{folder: at, generations: generations, listed: p.counts.Listed, unknown: p.counts.New, known: len(p.known), vanished: p.vanished}
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
	s.passEndedWell = !success.IsZero()
	s.adopting = trust == ledger.Unseen && !s.passEndedWell && p.onlyAdopted()
	p.outdated = p.outdated || s.ledgerLost(trust, r.pass.OnDelivered.Action)
	p.adopt, err = r.pass.Flood.judge(s, r.pass.OnDelivered.Action)
	return err
}

// clock is the time during a pass, by the wall and by the account's clock, which no jump of the
// former makes wrong ([ledger.Ledger.Tick]).
type clock struct {
	wall    func() time.Time // nil means time.Now
	began   time.Time
	account time.Duration // what the account's clock showed when the pass began
}

func (c *clock) now() time.Time {
	if c.wall != nil {
		return c.wall()
	}
	return time.Now()
}

// accountTime is what the account's clock shows now.
func (c *clock) accountTime() time.Duration { return c.account + max(c.now().Sub(c.began), 0) }
