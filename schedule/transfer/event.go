package transfer

import (
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
)

// EventKind is the closed list of what a pass tells.
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
)

var eventNames = [...]string{"listed", "verdict", "not-retrieved", "recognised", "settled", "not-settled"}

// String returns the event's name as logs show it.
func (k EventKind) String() string { return eventNames[k] }

// Event is one thing that happened. Only the fields that its kind needs are set.
type Event struct {
	Kind    EventKind
	Account string
	Ref     fetch.Ref
	Token   string // the message's Truehop-ID
	Size    int64

	// Verdict.
	State      string // a ledger.State
	Boundary   received.Boundary
	Receipt    inject.Receipt
	Sender     string
	Recipients []string
	Redelivery bool
	Why        string // where the verdict is ours and not the MTA's

	// Settled, NotSettled.
	Disposal fetch.Disposal

	// NotRetrieved, NotSettled.
	Err error

	// Listed.
	Folder string
	Plan   Counts
}

// Counts is what a listing means for the pass.
type Counts struct {
	Listed, New, Again, Waiting, Known, Unsettled int
}
