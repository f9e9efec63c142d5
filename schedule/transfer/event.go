package transfer

import (
	"sync"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

// EventKind is the closed list of what a pass reports.
type EventKind uint8

const (
	// Listed: a folder was opened and compared with the ledger.
	Listed EventKind = iota
	// Verdict: a message has its verdict, and it is recorded.
	Verdict
	// NotRetrieved: a message could not be retrieved; it stays upstream.
	NotRetrieved
	// Recognised: a message turned out to be one already dealt with.
	Recognised
	// Settled: a message was disposed of upstream.
	Settled
	// NotSettled: it could not be; the next pass tries again.
	NotSettled
	// Vanished: a message went from the mailbox before it was delivered.
	Vanished
	// Restored: the ledger may be older than the folder, as it is a copy, or as the folder's marks say.
	Restored
	// NotMarked: delivered messages of a folder cannot be marked upstream; told once in a pass.
	NotMarked
	// Misfit: most messages of the pass point to a policy that does not fit the provider; told at its end.
	Misfit
	// Limited: the pass has stopped at its limit and left messages of a folder to the next one.
	Limited
	// Planned: messages of a folder are about to be retrieved.
	Planned
	// Retrieved: a message came whole.
	Retrieved
)

var eventNames = [...]string{"listed", "verdict", "not-retrieved", "recognised", "settled", "not-settled", "vanished", "restored", "not-marked", "misfit", "limited", "planned", "retrieved"}

// String returns the event's name as logs show it.
func (k EventKind) String() string { return eventNames[k] }

// Event is one thing that happened. Only the fields that its kind needs are set.
type Event struct {
	Kind    EventKind
	Account string
	Ref     fetch.Ref
	Token   string // the message's Truehop-ID
	Size    int64

	// Verdict, Vanished.
	Heading ledger.Heading

	// Verdict, NotRetrieved, Vanished.
	State string // a ledger.State; in a dry run, the one that a message would come to

	// Verdict.
	Boundary   received.Boundary
	Receipt    inject.Receipt
	Sender     string
	Recipients []string
	Redelivery bool
	Why        string // where the verdict is ours and not the MTA's; also of Restored and Misfit
	Defect     *Defect

	// Settled, NotSettled.
	Disposal fetch.Disposal

	// NotRetrieved, NotSettled, NotMarked.
	Err error

	// Listed, Vanished, Restored, NotMarked, Limited.
	Folder string
	Plan   Counts

	// Listed: how many messages that have their verdicts are to be disposed of, by what becomes of them.
	Disposals map[fetch.Disposal]int

	// Listed in a dry run: how many it does not ask about.
	NotAsked int

	// Limited.
	Left int

	// Planned: how many, and of what size by the listing.
	Messages int
	Octets   int64
}

// Counts is what a listing means for the pass.
type Counts struct {
	Listed, New, Again, Waiting, Known, Unsettled int
	// LeftOut are those that the search has not found.
	LeftOut int
}

// reporter counts the events of a pass and passes them on, one at a time.
type reporter struct {
	account string
	dryRun  bool
	observe func(Event) // or nil
	mu      sync.Mutex
	summary Summary
	survey  received.Survey
}

// leastMisfit is the number of messages whose clients must have something in common before a pass says so.
const leastMisfit = 10

// waiting counts messages that this pass did not come to, or that another pass decides about.
func (r *reporter) waiting(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.Waiting += n
}

// emit counts an event and passes it on.
func (r *reporter) emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Account = r.account
	s := &r.summary
	switch e.Kind {
	case Listed:
		s.Listed += e.Plan.Listed
		s.Known += e.Plan.Known
		s.Waiting += e.Plan.Waiting
		s.LeftOut += e.Plan.LeftOut
	case Limited:
		s.Left += e.Left
	case Recognised:
		s.Known++
	case Settled:
		s.Settled++
	case NotSettled:
		s.Unsettled++
	case NotRetrieved:
		if fetch.KindOf(e.Err) == fetch.TooLarge || ledger.State(e.State) == ledger.Held {
			s.Held++
		} else {
			s.Failed++
		}
	case Verdict:
		r.survey.Add(e.Boundary)
		if r.dryRun {
			if e.Receipt.Stage != "" && !e.Receipt.BeforeClient {
				s.Asked++
			}
			break
		}
		count, final := map[ledger.State]*int{
			ledger.Delivered: &s.Delivered, ledger.Refused: &s.Refused, ledger.PartlyRefused: &s.PartlyRefused, ledger.Quarantined: &s.Quarantined,
			ledger.Held: &s.Held, ledger.Adopted: &s.Adopted, ledger.Doubt: &s.Doubt,
		}[ledger.State(e.State)]
		if !final {
			count = &s.Deferred
		}
		*count++
	}
	if r.observe != nil {
		r.observe(e)
	}
}
