// Package transfer carries the messages of one upstream mailbox to the MTA:
//
//	list -> ledger: known? -> retrieve whole into a spool -> header, boundary,
//	envelope -> name of the client -> inject -> record the verdict -> settle upstream
//
// [Pass.Run] is that road. It is a pipeline: retrieval runs ahead of injection
// under a byte budget, verdicts are recorded in groups, and upstream commands go
// out in batches, so that no step costs a round trip per message. What it
// promises:
//
//   - A message is disposed of upstream only when its verdict is durable.
//   - Nothing of a message is said to the MTA before all of it is here.
//   - The ledger says "sending" before the final dot leaves, and the result before
//     anything happens upstream; what stands at "sending" after a crash is in doubt.
//   - A policy for refused mail acts on what the MTA refused, for all recipients, and on nothing else.
//   - What was retrieved and not delivered can be retrieved again.
//   - One message's trouble is its own; the trouble of a peer ends the pass.
package transfer

import (
	"context"
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

// Pass is one pass over one account. All fields but the optional ones named so must be set.
type Pass struct {
	// Account is the key of the ledger and of all events.
	Account string
	// Folders are read one after the other; POP3 has the one folder "".
	Folders []string
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
	// OnDelivered and OnRefused say what becomes of messages upstream; OnRefused, some days after the refusal.
	OnDelivered, OnRefused fetch.Disposal
	// Retry spaces the attempts at deferred messages.
	Retry Retry
	// Flood limits what an unexpected listing may cause.
	Flood Flood

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
	// Failed says that the last pass over the account went wrong.
	Failed bool
	// DryRun asks the MTA up to RCPT and changes nothing anywhere.
	DryRun bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Observe is told of every [Event], one at a time; nil means nobody is. It must not block for long.
	Observe func(Event)
}

// ClientRules say what is presented where the client is not simply known. Their zero value
// presents nobody who is not.
type ClientRules struct {
	// Unknown is for messages whose client was not found, or must not be presented.
	Unknown UnknownClient
	// Never are further networks that must not be presented, see [inject.Client.Safe].
	Never []netip.Prefix
	// Submission is for messages that an authenticated user gave the upstream.
	Submission Submission
	// Name is where the client's name comes from.
	Name NameSource
	// StaleAfter is the age, by the upstream's own stamp, from which on a client is not presented any
	// more: an address that was clean then may be listed today. 0 means never.
	StaleAfter time.Duration
	// Stale is for messages whose client is.
	Stale StaleClient
}

// UnknownClient is what happens to a message whose client is not known. The protocol has a word
// for it, [UNAVAILABLE], that filters behind an MTA cannot bear: some die of it, and with them the
// MTA; some take it for localhost. So it is never said unasked.
type UnknownClient uint8

const (
	// HoldUnknown keeps it upstream and records it as held, for a person.
	HoldUnknown UnknownClient = iota
	// SkipUnknown leaves it upstream for good, and nobody is asked to look.
	SkipUnknown
	// PresentUnavailable injects it with [UNAVAILABLE] in every attribute.
	PresentUnavailable
)

// StaleClient is what happens to a message whose client was seen too long ago.
type StaleClient uint8

const (
	// HoldStale keeps it upstream and records it as held, for a person.
	HoldStale StaleClient = iota
	// StalePlain sends it through Plain, where no rule asks for the client.
	StalePlain
	// StaleUnavailable injects it with [UNAVAILABLE] in every attribute.
	StaleUnavailable
)

// Submission is what is presented for mail submitted at the upstream itself.
type Submission uint8

const (
	// SubmissionRelay presents the upstream's host that vouched for the user.
	SubmissionRelay Submission = iota
	// SubmissionClient presents the user's own address.
	SubmissionClient
	// SubmissionUnavailable presents nobody: [UNAVAILABLE] in every attribute.
	SubmissionUnavailable
)

// NameSource is where the name of a client comes from.
type NameSource uint8

const (
	// RecordedName is the one that the upstream verified and recorded; it is looked up where there is none.
	RecordedName NameSource = iota
	// LookedUpName prefers the DNS of now to it.
	LookedUpName
)

// Retry spaces attempts at a message that the MTA defers: Min, doubled each time up to Max.
type Retry struct {
	Min, Max time.Duration
	// GiveUp ends a message as held that was deferred or in doubt for longer; 0 means never.
	GiveUp time.Duration
}

// after returns the time to wait after the given number of attempts.
func (r Retry) after(attempts int) time.Duration {
	wait := r.Min
	for i := 1; i < attempts && wait < r.Max; i++ {
		wait *= 2
	}
	return min(wait, max(r.Max, r.Min))
}

// waits reports whether a message due in d is to wait. One due later than any wait of ours was put off by a
// clock that has been set back since.
func (r Retry) waits(d time.Duration) bool { return d > 0 && d <= max(r.Max, r.Min) }

// Flood guards against a mailbox that looks new and is not: a new UIDVALIDITY,
// renumbered unique-ids, a lost ledger.
type Flood struct {
	// Limit is the number of unknown messages from which on such a listing stops the pass.
	Limit int
	// First says what to do with a mailbox that the ledger has never seen, kept
	// messages and more than Limit of them.
	First FirstRun
	// Accept goes on where the limit would stop the pass: a person has looked.
	Accept bool
	// Adopt records all unknown messages as done, delivering none of them.
	Adopt bool
}

// FirstRun is what to do about a large mailbox at an account's first pass.
type FirstRun uint8

const (
	// Ask stops and says which flags continue.
	Ask FirstRun = iota
	// DeliverAll delivers everything.
	DeliverAll
	// AdoptAll records everything as done and delivers what comes later.
	AdoptAll
)

// Summary counts what a pass did.
type Summary struct {
	Listed        int // messages upstream
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
	Known         int // done at an earlier pass
	Settled       int // disposed of upstream
	Unsettled     int // disposal failed; tried again at the next pass
}

// Person is the number of messages that want a person's attention.
func (s Summary) Person() int { return s.Refused + s.PartlyRefused + s.Held }

// Later is the number of messages that another pass will try again.
func (s Summary) Later() int { return s.Deferred + s.Waiting + s.Doubt + s.Failed }

// Error is a trouble that is neither the upstream's nor the MTA's: it stops the pass before
// anything unknown is delivered.
type Error struct {
	// Op is what was about to happen.
	Op string
	// Text says what is wrong.
	Text string
	// Hint says what a person may do about it.
	Hint string
}

// Error returns the text.
func (e *Error) Error() string { return e.Op + ": " + e.Text }
