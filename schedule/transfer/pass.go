// Package transfer carries the messages of one upstream mailbox to the MTA:
//
//	list -> ledger: known? -> retrieve whole into a spool -> header, boundary,
//	envelope -> name of the client -> inject -> record the verdict -> settle upstream
//
// [Pass.Run] goes that way. It is a pipeline: retrieval runs ahead of injection
// under a byte budget, verdicts are recorded in groups, and upstream commands go
// out in batches wherever the server allows that. What it promises:
//
//   - A message is disposed of upstream only when its verdict is durable.
//   - The MTA hears of a message only once all of it has been retrieved.
//   - The ledger says "sending" before the final dot leaves, and the result before
//     anything happens upstream; a message still "sending" after a crash is in doubt.
//   - A policy for refused mail acts on what the MTA refused, for all recipients, and on nothing else.
//   - What was retrieved and not delivered can be retrieved again.
//   - A message that fails delays no other, and is recorded as failed; a peer that fails ends the pass.
//
// What to do is decided by functions without side effects, one file each:
//
//	remembered.go  sinceLast: whether a folder can have changed since the last pass
//	listing.go     compare, classify: what is new, known or gone
//	source.go      isSameMailbox: whether the records are of this mailbox
//	flood.go       Flood.judge: whether so much new mail is likely
//	firstrun.go    Flood.adoptable: what a first pass takes as delivered before
//	limit.go       visit.pick, inTurn: which messages this pass retrieves, and in what order
//	retrieval.go   retrieval: which of them are asked for together
//	identity.go    knownByUID, knownByContent: whether the ledger has the message
//	mark.go        what the upstream's own marks prove
//	session.go     rematch: which messages a new session's listing still has
//	reading.go     [Reader]: the client, the envelope and what else the header says
//	present.go     [Present]: what the MTA is given of the client
//	outcome.go     decide: what a reply means for the message
//	stop.go        stopCauseOf, streak: what stops the pass
//	brake.go       [Brake.Holds]: whether refused mail may be disposed of
//
// A visit to a folder (folder.go) asks them in turn. The pipeline (pipeline.go, recognise.go) and the settler (settle.go)
// carry out what they say.
package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
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

// Pass is one pass over one account. A field must be set unless its comment says what its zero value means.
type Pass struct {
	// Account is the key of the ledger and of all events.
	Account string
	// Mailbox names the mailbox that the account is of, alike for each way to it, such as USER at HOST. Where it is another than that of
	// the records, a UID may name another message. "" is not known, and trusts them.
	Mailbox string
	// Folders are read one after the other; POP3 has the one folder "".
	Folders fetch.Selection
	// Dial opens an authenticated session with the upstream.
	Dial func(context.Context) (fetch.Mailbox, error)
	// MTA takes the messages.
	MTA Injector
	// Expect, if not nil, is called with how many messages of a folder are likely to be injected before the first of them is retrieved, so
	// that the MTA can be reached meanwhile.
	Expect func(messages int)
	// Plain takes messages past the rules about clients: those for the quarantine, those that Client sends there
	// (Unknown, Internal, Stale), and all of them with Unfiltered. nil where nothing goes there.
	Plain Injector
	// Quarantine is the address that refused messages go to through Plain; "" leaves them where they are.
	Quarantine string
	// MayEnd, if not nil, is asked right before the dot of each message leaves, and says whether the caller's lease on the account is
	// over: see [inject.Message.MayEnd]. An error that is a [*ledger.Error] ends the pass.
	MayEnd func() error
	// SendingUntil, if not zero, is the time until which an earlier holder of the lease, who lost it, may still have a connection
	// to the MTA in which a dot is on its way: messages that the ledger has as [ledger.Sending] wait until then.
	SendingUntil time.Time
	// Ledger remembers; the caller holds the account's lock.
	Ledger Ledger
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
	// Budget bounds in octets what is retrieved and not yet done with, over all accounts that share it; BudgetSize is its capacity.
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
	// ReadChain reads the Received fields of a header; nil means [received.ReadChain].
	ReadChain func(head []byte) *received.Chain
	// compose makes what is injected of a message; nil means message.compose, or composeRefused for the quarantine.
	compose func(m *message, beforeDot func(context.Context) error) *inject.Message
	// Observe, if not nil, is called with every [Event], one at a time. It must not block for long.
	Observe func(Event)
	// Arriving, if not nil, is called while a message is read, with how many octets of it have come, and with 0 while very many
	// messages are settled. It must not block.
	Arriving func(octets int64)
}

// Summary counts what a pass did.
type Summary struct {
	Listed        int // messages upstream
	Asked         int // what a dry run asked the MTA about; it is counted by nothing else
	Delivered     int
	Deferred      int // deferred by the MTA in this pass
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
	// LoginDelay is how long the server wants between two logins, 0 if it says nothing of it.
	LoginDelay time.Duration
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
	sources     map[string]string // the mailboxes that the records of folders are of
	several     bool              // mail may come to one folder from another
	unopened    int               // folders in a row that could not be opened
	judged      int64             // the number of the first judgement that it can make
	sizesFailed bool              // the server failed when it was asked for sizes
}

// setbacks are the errors that do not stop a pass, which returns them at its end: for folders the first
// few (maxFolderErrors), of every other kind the first.
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
	r.settler = &settler{session: s, ledger: p.Ledger, report: report, setbacks: r.setbacks, alive: func() {
		if p.Arriving != nil {
			p.Arriving(0)
		}
	}}
	r.clock.began = r.clock.now()
	if !p.DryRun {
		if r.clock.account, err = p.Ledger.Tick(ctx, p.Account, r.clock.began); err != nil {
			return summary, err
		}
		if r.judged, err = p.Ledger.NextJudgement(ctx); err != nil {
			return summary, err
		}
	}
	if r.sources, err = p.Ledger.Sources(ctx, p.Account); err != nil {
		return summary, err
	}
	r.several = !p.Folders.Fixed()
	folders, err := r.choose(ctx)
	if err != nil {
		return summary, err
	}
	r.several = r.several || len(folders) > 1
	carried := r.carryAll(ctx, folders)
	if s.listing != nil {
		report.summary.LoginDelay = s.listing.LoginDelay
	}
	if err := cmp.Or(carried, r.noteWaiting(ctx)); err != nil {
		return summary, err
	}
	if err := r.settler.end(ctx, p.DryRun); err != nil {
		return summary, err
	}
	for _, why := range report.survey.Findings(leastMisfit) { // of a policy that misses a host
		report.emit(Event{Kind: Misfit, Why: why})
	}
	var alike error
	if !p.DryRun {
		alike = r.tally.commonError(p.Account)
	}
	if r.came > 0 || report.summary.Held > 0 {
		r.setbacks.broken = nil // it was single messages, which are told by their names
	}
	return summary, errors.Join(alike, r.setbacks.folder, r.setbacks.broken, r.setbacks.spool, r.setbacks.disposal)
}

// noteWaiting sums up what the ledger has of messages without a verdict, also after a pass that was stopped.
func (r *run) noteWaiting(ctx context.Context) error {
	if r.pass.DryRun {
		return nil
	}
	records, err := r.pass.Ledger.Unfinished(ctx, r.pass.Account)
	for _, rec := range records {
		if rec.State == ledger.Lost && rec.Acknowledged.IsZero() { // no person has taken note of it
			r.report.summary.Lost++
		}
		if rec.State == ledger.Sending {
			rec.Next = r.pass.SendingUntil
		}
		if !rec.State.Waits() || rec.Absent || !rec.Next.After(r.clock.now()) {
			continue
		}
		if next := &r.report.summary.Next; next.IsZero() || rec.Next.Before(*next) {
			*next = rec.Next
		}
	}
	return err
}

// choose returns the folders to fetch from. What chooses nothing is told, and does not stop the others; nor does a folder that has
// disappeared while mail of it waits, which no pattern would miss. What goes on in another folder, which may be the same, waits no more.
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
	listed := map[string]bool{}
	for _, f := range have.List {
		listed[f.Name] = true
	}
	for _, name := range names { // opening it shows
		listed[name] = true
	}
	waiting, err := r.pass.Ledger.Unfinished(ctx, r.pass.Account)
	if err != nil {
		return nil, err
	}
	var renamed []ledger.Key
	told := map[string]bool{}
	for i := range waiting {
		rec := &waiting[i]
		if listed[rec.Folder] || !rec.Acknowledged.IsZero() {
			continue
		}
		isElsewhere, err := r.isElsewhere(ctx, rec)
		switch {
		case err != nil:
			return nil, err
		case isElsewhere:
			renamed = append(renamed, rec.Key)
		case !told[rec.Folder]:
			told[rec.Folder] = true
			r.setbacks.passedOver(&fetch.Error{Kind: fetch.NoFolder, Op: "LIST",
				Err: fmt.Errorf("the folder %s has gone, and mail of it was not delivered", fetch.Sanitize(rec.Folder))})
		}
	}
	if p := r.pass; !p.DryRun {
		return names, p.Ledger.Remove(ctx, renamed)
	}
	return names, nil
}
