package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

const (
	// batchSize is the default number of messages per retrieval command: many
	// enough that the round trips between batches do not count, few
	// enough that messages are settled while the pass goes on.
	batchSize = 500
	// aheadLimit bounds the number of messages retrieved and not yet injected,
	// beside the budget, which bounds their octets.
	aheadLimit = 512
	// leastWeight is what a message costs of the budget at least.
	leastWeight = 4 << 10
	// lookupLimit bounds the name look-ups of one pass that go on at once.
	lookupLimit = 64
	// maxDropped bounds the sessions of a pass that end over one message each.
	maxDropped = 20
	// adoptGroup is the number of messages adopted in one transaction.
	adoptGroup = 500
	// whyAdopted is what a person is told of an adopted message.
	whyAdopted = "was there before the first pass"
)

// run is one pass under way.
type run struct {
	Pass
	// mailbox is the session under way, and loggedIn when it began.
	mailbox  fetch.Mailbox
	loggedIn time.Time
	// opened is the open folder, listing what it holds in this session, first what it held in the pass's first.
	opened         string
	listing, first *fetch.Listing
	// again names in a later session the messages of the first listing, as far as that is certain.
	again map[fetch.Ref]fetch.Ref
	// real are the sizes of the messages that were retrieved, where the first listing had another.
	real map[fetch.Ref]int64
	// owed counts the messages that were retrieved and that upstream must not forget yet.
	owed atomic.Int64
	// ran is what the account's clock showed when the pass began.
	began time.Time
	ran   time.Duration
	// told guards summary and the order of events.
	told    sync.Mutex
	summary Summary
	// disposed waits for the session's polite end, which makes deletions final.
	disposed []settlement
	// unsettled is the first reason why a disposal that was asked for could not be carried out.
	unsettled error
	// stopped is the first reason why a folder was passed over.
	stopped error
	// unspooled is the first reason why a message could not be kept on this side.
	unspooled error
}

// job is one message on its way from the spool to its verdict.
type job struct {
	ref      fetch.Ref
	spool    *spooled
	weight   int64
	record   ledger.Record
	boundary received.Boundary
	client   inject.Client
	// recipients are those that still want the message.
	recipients []string
	redelivery bool
	lookup     bool
	// known says that the ledger has a record of this message.
	known bool
	// plain sends it through Pass.Plain.
	plain bool
	// note is what a person should know of how the message was prepared.
	note string
	// sending is set once the ledger says so.
	sending bool
	// replaces are records that this message's own makes void.
	replaces []ledger.Key
	receipt  inject.Receipt
}

// Run carries everything new from the mailbox to the MTA and settles it upstream.
// It ends early when ctx does: what is with the MTA gets its verdict recorded,
// the rest stays upstream untouched. The summary counts what happened in any case.
func (p Pass) Run(ctx context.Context) (Summary, error) {
	r := &run{Pass: p}
	if err := r.dial(ctx); err != nil {
		return r.summary, err
	}
	defer func() { r.mailbox.Abort() }()
	if r.began = r.now(); !p.DryRun {
		var err error
		if r.ran, err = p.Ledger.Tick(ctx, p.Account, r.began); err != nil {
			return r.summary, err
		}
	}
	for _, folder := range p.Folders {
		if err := r.folder(ctx, folder); err != nil {
			return r.summary, err
		}
	}
	if err := r.end(ctx); err != nil {
		return r.summary, err
	}
	return r.summary, errors.Join(r.stopped, r.unspooled, r.unsettled)
}

// passOver notes an error that is about one folder: mail in the others need not wait until a
// person has looked into it. Any other error it returns.
func (r *run) passOver(err error) error {
	var guarded *Error
	if fetch.KindOf(err) != fetch.NoFolder && !errors.As(err, &guarded) {
		return err
	}
	r.stopped = cmp.Or(r.stopped, err)
	return nil
}

// folder makes the pass over one folder.
func (r *run) folder(ctx context.Context, folder string) error {
	listing, err := r.mailbox.Open(ctx, folder)
	if err != nil {
		return r.passOver(err)
	}
	r.opened, r.listing, r.first, r.real = folder, listing, listing, map[fetch.Ref]int64{}
	p, err := r.plan(ctx, folder, listing)
	if err != nil {
		return err
	}
	r.tell(Event{Kind: Listed, Folder: folder, Plan: p.counts})
	if !r.DryRun {
		if err := r.guard(ctx, folder, listing, p); err != nil {
			return r.passOver(err)
		}
		if err := r.presence(ctx, p); err != nil {
			return err
		}
		if p.adopt {
			if err := r.adopt(ctx, folder, listing, p); err != nil {
				return err
			}
		}
	}
	if p.overdue = r.overdue(p); p.overdue {
		p.retrieve = p.doomed
	}
	w := r.open(ctx, p)
	w.settled(p.settle...)
	return w.finish(ctx, w.retrieve(ctx))
}

// presence records which known messages have gone from upstream and which have come back.
func (r *run) presence(ctx context.Context, p *plan) error {
	if err := r.Ledger.SetAbsent(ctx, p.absent, true); err != nil {
		return err
	}
	return r.Ledger.SetAbsent(ctx, p.back, false)
}

// adopt records what is unknown as done and takes it out of the plan.
func (r *run) adopt(ctx context.Context, folder string, listing *fetch.Listing, p *plan) error {
	now := r.now()
	known := p.retrieve[:0]
	group := make([]ledger.Record, 0, adoptGroup)
	put := func() error {
		err := r.Ledger.PutAll(ctx, group)
		r.summary.Adopted += len(group)
		group = group[:0]
		return err
	}
	for _, ref := range p.retrieve {
		if len(p.known[ref.UID]) > 0 || ref.UID == "" || p.twice[ref.UID] {
			known = append(known, ref) // or to be known by its content only
			continue
		}
		group = append(group, ledger.Record{
			Key: r.key(folder, listing.Validity, ref.UID, [32]byte{}), State: ledger.Adopted, Size: ref.Size,
			First: now, Last: now, Why: whyAdopted,
		})
		if len(group) == adoptGroup {
			if err := put(); err != nil {
				return err
			}
		}
	}
	p.retrieve = known
	return put()
}

// settle disposes upstream of what is ready, one command per kind of disposal.
func (r *run) settle(ctx context.Context, ready []settlement) error {
	groups := map[fetch.Disposal][]settlement{}
	for _, s := range r.located(ready) {
		groups[s.disposal] = append(groups[s.disposal], s)
	}
	for disposal, group := range groups {
		refs := make([]fetch.Ref, len(group))
		for i, s := range group {
			refs[i] = s.now
		}
		failures, err := r.mailbox.Settle(ctx, disposal, refs)
		if err != nil && !bearable(err) {
			return err
		}
		failed := map[fetch.Ref]error{}
		for _, ref := range refs {
			if err != nil {
				failed[ref] = err
			}
		}
		for _, f := range failures {
			failed[f.Ref] = f.Err
		}
		for _, s := range group {
			if err := failed[s.now]; err != nil {
				r.tell(Event{Kind: NotSettled, Ref: s.ref, Token: s.token, Disposal: disposal, Err: err})
				r.unsettled = cmp.Or(r.unsettled, err)
				continue
			}
			r.disposed = append(r.disposed, s)
		}
	}
	if !r.listing.Reusable {
		return r.confirm(ctx)
	}
	return nil
}

// bearable reports whether a disposal was refused by a server that can still be talked to. Mail goes
// on then: a folder that is missing for moving must not keep new messages from being delivered.
func bearable(err error) bool {
	switch fetch.KindOf(err) {
	case fetch.NoFolder, fetch.Unsupported, fetch.Refused:
		return true
	}
	return false
}

// confirm records the disposals that are certain by now.
func (r *run) confirm(ctx context.Context) error {
	keys := make([]ledger.Key, len(r.disposed))
	for i, s := range r.disposed {
		keys[i] = s.key
	}
	// A disposal that happened is recorded even if the pass is asked to end.
	if err := r.Ledger.SetDisposed(context.WithoutCancel(ctx), keys); err != nil {
		return err
	}
	for _, s := range r.disposed {
		r.tell(Event{Kind: Settled, Ref: s.ref, Token: s.token, Disposal: s.disposal})
	}
	r.disposed = nil
	return nil
}

// tell counts an event and passes it on.
func (r *run) tell(e Event) {
	r.told.Lock()
	defer r.told.Unlock()
	e.Account = r.Account
	r.summary.count(e)
	if r.Observe != nil {
		r.Observe(e)
	}
}

// count adds an event to the summary.
func (s *Summary) count(e Event) {
	switch e.Kind {
	case Listed:
		s.Listed += e.Plan.Listed
		s.Known += e.Plan.Known
		s.Waiting += e.Plan.Waiting
	case Recognised:
		s.Known++
	case Settled:
		s.Settled++
	case NotSettled:
		s.Unsettled++
	case NotRetrieved:
		if fetch.KindOf(e.Err) == fetch.TooLarge {
			s.Held++
		} else {
			s.Failed++
		}
	case Verdict:
		switch ledger.State(e.State) {
		case ledger.Delivered:
			s.Delivered++
		case ledger.Refused:
			s.Refused++
		case ledger.PartlyRefused:
			s.PartlyRefused++
		case ledger.Quarantined:
			s.Quarantined++
		case ledger.Held:
			s.Held++
		case ledger.Adopted:
			s.Adopted++
		case ledger.Doubt:
			s.Doubt++
		default:
			s.Deferred++
		}
	}
}

// drain reads what is left of a message that cannot be kept, so that the session
// stays in step.
func drain(body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err
}
