package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// leastDoubts is how often at least a message was in doubt before a person is asked: one may be in doubt
// once after days of being deferred.
const leastDoubts = 3

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
	return min(wait, r.longest())
}

// longest is the longest time between two attempts.
func (r Retry) longest() time.Duration { return max(r.Max, r.Min) }

// postpone says when a message that is deferred or in doubt is tried again, and ends what has been so for too
// long. What is in doubt may have been delivered at each attempt, which only a person can find out.
func (r Retry) postpone(rec *ledger.Record) {
	rec.Next = rec.Last.Add(r.after(rec.Attempts))
	inDoubt := rec.State == ledger.Doubt
	if inDoubt {
		rec.Doubts++
	}
	if r.GiveUp <= 0 || rec.Last.Sub(rec.First) <= r.GiveUp {
		return
	}
	switch {
	case !inDoubt: // nobody refused it, so it is held
		rec.State, rec.Why = ledger.Held, fmt.Sprintf("deferred for longer than %v", r.GiveUp)
	case rec.Doubts >= leastDoubts:
		rec.State = ledger.Held
		rec.Why = fmt.Sprintf("in doubt for longer than %v: %d times the MTA may have taken it", r.GiveUp, rec.Doubts)
	}
}

// attempt is one try to inject a message.
type attempt struct {
	// recipients are those that it was for.
	recipients []string
	// note is what a person should know of how the message was prepared.
	note string
	// standIn says that the client was not the message's own.
	standIn bool
	// sending says that the ledger has the message as "sending": its dot may have left.
	sending bool
	receipt inject.Receipt
}

// outcomeRules are what decide goes by, beside the record and the attempt.
type outcomeRules struct {
	retry Retry
	// multidrop says that each message has a recipient of its own.
	multidrop bool
	dryRun    bool
	now       time.Time
	ran       time.Duration // what the account's clock shows
}

// decision is what follows from an attempt.
type decision struct {
	// record is what the ledger is to say, unless unused: the pass was asked to end, and the dot of the message cannot
	// have left.
	record ledger.Record
	unused bool
	// stop ends the pass, if it is not nil.
	stop error
	// cause is what the message met that other messages may meet likewise.
	cause stopCause
}

// decide turns what the MTA said to an attempt into the message's record, and says whether the pass can go on.
func decide(rec ledger.Record, a attempt, rules outcomeRules) decision {
	r := &a.receipt
	d := decision{cause: stopCauseOf(rec.Account, r, rules.multidrop)}
	askedToEnd := false
	if r.Err != nil {
		// The MTA cannot be reached or takes nothing from this host, whoever the client is, or the ledger cannot be written.
		var unrecorded *ledger.Error
		if r.BeforeClient || errors.As(r.Err, &unrecorded) {
			d.stop = r.Err
		}
		askedToEnd = r.Err.Kind == inject.Aborted || errors.Is(r.Err, context.Canceled)
	}
	if askedToEnd && !a.sending {
		return decision{unused: true}
	}
	// What was no attempt is due at the next pass, and does not count against the message.
	abandoned := askedToEnd && r.Outcome != inject.InDoubt
	noAttempt := r.BeforeClient || abandoned
	rec.Last, rec.Ran = rules.now, rules.ran
	rec.Client, rec.HELO = "", r.Presented.HELO
	if presented := r.Presented.Addr; presented.IsValid() {
		rec.Client = presented.String()
	}
	if !noAttempt {
		rec.Attempts++
	}
	rec.Code, rec.Reply, rec.QueueID = r.Reply.Code, r.Reply.String(), r.QueueID
	// A cleanup that dies after it has stored the message answers 451 as well.
	rec.DotSent = rec.DotSent || slices.ContainsFunc(r.Recipients, func(to inject.RecipientReceipt) bool { return openDot(to.Stage, to.Outcome) })
	byRecipient(&rec, a, rules.dryRun)
	why := []string{a.note, r.Note}
	if r.Err != nil {
		why = append(why, r.Err.Error())
	}
	for _, to := range r.Recipients {
		if cause := a.otherCause(to); to.Outcome == inject.Refused && !slices.Contains(why, cause) {
			why = append(why, cause)
		}
	}
	rec.Why = inOneLine(why)
	switch {
	case rec.State.Final():
	case noAttempt:
		rec.Next = time.Time{}
	default:
		rules.retry.postpone(&rec)
	}
	d.record = rec
	return d
}

// byRecipient records what became of each recipient, and the message's state by it. Those that have the
// message never get it again; what the MTA said to the others is kept while some still wait.
func byRecipient(rec *ledger.Record, a attempt, dryRun bool) {
	verdicts := slices.Clone(rec.Verdicts)
	var waiting []string
	var states []ledger.State
	for _, v := range verdicts {
		states = append(states, v.State)
	}
	for _, r := range a.receipt.Recipients {
		state := a.recipientState(r)
		if dryRun && r.Stage == "RCPT" && r.Reply.Code/100 == 2 {
			state = ledger.Delivered // it would have gone on; nothing is recorded
		}
		states = append(states, state)
		if !state.Final() {
			waiting = append(waiting, r.Address)
			continue
		}
		verdicts = append(verdicts, ledger.Verdict{Address: r.Address, State: state, Reply: r.Reply.String()})
	}
	rec.State, rec.Verdicts = combinedState(states), verdicts
	if len(states) == 1 || rec.State == ledger.Delivered {
		rec.Verdicts = nil // the message's own says it all
	}
	rec.Recipients = strings.Join(a.recipients, " ")
	if len(waiting) > 0 {
		rec.Recipients = strings.Join(waiting, " ")
	}
}

// openDot reports whether the dot of a message was sent and brought no final verdict.
func openDot(stage string, o inject.Outcome) bool {
	final := o != inject.Deferred && o != inject.InDoubt
	return stage == "dot" && !final
}

// decideQuarantine turns what the MTA said to a refused message on its way to the quarantine into the
// message's record. Until the quarantine has it the refusal does not count: the next pass tries both again, and a person is
// asked after as long as about a message that the MTA defers.
func decideQuarantine(rec ledger.Record, put *inject.Receipt, address string, retry Retry) ledger.Record {
	if put.Outcome == inject.Delivered {
		rec.State, rec.QueueID, rec.Why = ledger.Quarantined, put.QueueID, "put into quarantine at "+address
		return rec
	}
	failure := put.Stage + " " + put.Reply.String()
	if put.Err != nil {
		failure = put.Err.Error()
	}
	rec.State, rec.Verdicts = ledger.Deferred, nil
	rec.DotSent = rec.DotSent || openDot(put.Stage, put.Outcome)
	if put.Outcome == inject.InDoubt {
		rec.State = ledger.Doubt
	} else if put.Err != nil && put.Err.Kind == inject.Aborted { // that was no attempt
		retry.GiveUp = 0
	}
	rec.Why = ""
	retry.postpone(&rec)
	rec.Why = inOneLine([]string{rec.Why, "refused, and the quarantine did not take it: " + failure})
	return rec
}

// decideUnretrieved records a message that could not be retrieved, so that it is not asked for again at
// once. last is what the ledger said of it, or only its key.
func decideUnretrieved(last ledger.Record, size int64, cause error, retry Retry, now time.Time) ledger.Record {
	rec := last
	if rec.First.IsZero() {
		rec.First = now
	}
	rec.State, rec.Absent, rec.Listed, rec.Last, rec.Why = ledger.Deferred, false, max(size, 0), now, cause.Error()
	rec.Size = sizeOrLast(size, last)
	rec.Attempts++
	rec.Next = now.Add(retry.after(rec.Attempts))
	if fetch.KindOf(cause) == fetch.TooLarge {
		rec.State = ledger.Held
	}
	return rec
}

// inOneLine joins the parts that are not empty.
func inOneLine(parts []string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}
