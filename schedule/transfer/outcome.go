package transfer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// leastDoubts is how often at least a message was in doubt before a person is asked: one may be in doubt
// once after days of being deferred.
const leastDoubts = 3

// judge turns a receipt into the message's record. It reports false where there is nothing to
// record: the MTA cannot be used, and the message was not begun.
func (w *work) judge(j *job) bool {
	rec, r := &j.record, &j.receipt
	rec.Last, rec.Ran = w.now(), w.passed()
	rec.Recipients = strings.Join(j.recipients, " ")
	if final(rec.State) {
		return true // by our own rules; the MTA was not asked
	}
	if err := unusable(r); err != nil {
		w.stop(err)
		if !j.sending {
			return false
		}
	}
	if presented := r.Presented.Addr; presented.IsValid() {
		rec.Client = presented.String()
	} else {
		rec.Client = ""
	}
	rec.Attempts++
	rec.Code, rec.Reply, rec.QueueID = r.Reply.Code, replyText(r.Reply), r.QueueID
	w.perRecipient(j)
	if !final(rec.State) {
		w.later(rec)
	}
	if err := w.trouble(r); err != nil {
		w.stop(err)
	}
	return true
}

// later says when a message that is deferred or in doubt is tried again, and ends what has been so for too
// long. What is in doubt may have been delivered at each attempt, which only a person can find out.
func (w *work) later(rec *ledger.Record) {
	rec.Next = rec.Last.Add(w.Retry.after(rec.Attempts))
	doubt := rec.State == ledger.Doubt
	if doubt {
		rec.Doubts++
	}
	switch tooLong := w.Retry.GiveUp > 0 && rec.Last.Sub(rec.First) > w.Retry.GiveUp; {
	case tooLong && doubt && rec.Doubts < leastDoubts:
	case tooLong && doubt:
		rec.State = ledger.Held
		rec.Why = fmt.Sprintf("in doubt for longer than %v: %d times the MTA may have taken it", w.Retry.GiveUp, rec.Doubts)
	case tooLong: // nobody refused it
		rec.State = ledger.Held
		rec.Why = fmt.Sprintf("deferred for longer than %v", w.Retry.GiveUp)
	}
}

// reasons puts together what a person should know beside the reply.
func reasons(note string, r *inject.Receipt) []string {
	parts := []string{note, r.Note}
	if r.Err != nil {
		parts = append(parts, r.Err.Error())
	}
	for _, to := range r.Recipients {
		if why := excuse(to.Stage, to.Reply); to.Outcome == inject.Refused && !slices.Contains(parts, why) {
			parts = append(parts, why)
		}
	}
	return parts
}

// joined puts reasons in one line for a person.
func joined(parts []string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

// perRecipient settles what became of each recipient, and the message's state by it. Those that have the
// message never get it again; what the MTA said to the others is kept while some still wait.
func (w *work) perRecipient(j *job) {
	rec := &j.record
	verdicts := slices.Clone(rec.Verdicts)
	var waiting []string
	var states []ledger.State
	for _, v := range verdicts {
		states = append(states, v.State)
	}
	for _, r := range j.receipt.Recipients {
		state := stateOf(r)
		if w.DryRun && r.Stage == "RCPT" && r.Reply.Code/100 == 2 {
			state = ledger.Delivered // it would have gone on; nothing is recorded
		}
		states = append(states, state)
		if !final(state) {
			waiting = append(waiting, r.Address)
			continue
		}
		verdicts = append(verdicts, ledger.Verdict{Address: r.Address, State: state, Reply: replyText(r.Reply)})
	}
	rec.State, rec.Verdicts = together(states), verdicts
	if len(states) == 1 || rec.State == ledger.Delivered {
		rec.Verdicts = nil // the message's own says it all
	}
	if len(waiting) > 0 {
		rec.Recipients = strings.Join(waiting, " ")
	}
	rec.Why = joined(reasons(j.note, &j.receipt))
}

// unusable returns the error that must stop the pass, if the receipt tells of one: the MTA cannot be
// reached, or will take nothing from us as things are set up.
func unusable(r *inject.Receipt) error {
	if r.Err == nil {
		return nil
	}
	switch r.Err.Kind {
	case inject.Misconfigured, inject.TLS, inject.Auth, inject.Local:
		return r.Err
	case inject.Unreachable:
		// Lost in the middle of a message, the connection may be that message's fault.
		if r.Stage == "connect" || r.Stage == "greeting" || r.Stage == "EHLO" {
			return r.Err
		}
	}
	return nil
}

// trouble returns the error that must stop the pass where the reply to this message, which has its own state
// by it, tells of more: the MTA is out of storage, or several messages in a row met the same refusal.
func (w *work) trouble(r *inject.Receipt) error {
	if r.Err != nil {
		return nil // nothing was said
	}
	w.mu.Lock()
	again := w.streak.met(wrongRecipient(r, w.Recipient.From != ""))
	w.mu.Unlock()
	switch {
	case again:
		return &Error{Op: "RCPT TO", Text: fmt.Sprintf("the MTA does not take mail for the recipients of this account: %s", replyText(r.Reply)),
			Hint: "correct recipients, or make the MTA responsible for their domain; then truehop retry " + w.Account + " --all"}
	// RFC 3463 section 3.4: X.3.1 is the system's storage. Any other 452 is about the recipient (X.2.2: its
	// mailbox is full) or the transaction (X.5.3: too many recipients).
	case r.Reply.Code == 452 && r.Reply.Enhanced == "4.3.1" && r.Outcome == inject.Deferred:
		return &Error{Op: r.Stage, Text: "the MTA is out of storage: " + replyText(r.Reply), Hint: "free space in the MTA's queue"}
	}
	return nil
}

// announce tells of a recorded verdict and readies the message to be settled.
func (w *work) announce(j *job) {
	w.tell(Event{
		Kind: Verdict, Ref: j.ref, Token: j.record.Token, Size: j.record.Size, State: string(j.record.State),
		Boundary: j.boundary, Receipt: j.receipt, Sender: j.record.Sender, Recipients: j.recipients,
		Redelivery: j.redelivery, Why: reason(&j.record),
	})
	if final(j.record.State) {
		w.settleFinal(j.ref, j.record.Key, j.record.Token, j.record.State, j.record.Ran)
	}
}

// reason says why a message stands as it does, with each recipient that did not get it.
func reason(rec *ledger.Record) string {
	parts := []string{rec.Why}
	for _, v := range rec.Verdicts {
		if v.State != ledger.Delivered {
			parts = append(parts, v.String())
		}
	}
	return joined(parts)
}

// notRetrieved records a message that could not be fetched, so that it is told of and not
// asked for again at once.
func (w *work) notRetrieved(ref fetch.Ref, cause error) error {
	w.tell(Event{Kind: NotRetrieved, Ref: ref, Size: ref.Size, Err: cause})
	if errors.Is(cause, errSpool) && w.unspooled == nil {
		w.unspooled = spoolError(w.SpoolDir, cause)
	}
	kind := fetch.KindOf(cause)
	if kind == fetch.Gone && w.plan.overdue && w.unsettled == nil {
		w.unsettled = cause // listed, and not to be had: the next pass must not wait for it
	}
	if w.DryRun || kind == fetch.Gone || ref.UID == "" || errors.Is(cause, errSpool) {
		return nil
	}
	record := ledger.Record{
		Key: w.key(ref.Folder, ref.Validity, ref.UID, [32]byte{}), State: ledger.Deferred, Size: ref.Size,
		Attempts: 1, First: w.now(), Last: w.now(), Why: cause.Error(),
	}
	for _, b := range w.plan.known[ref.UID] {
		if b.Hash == record.Hash {
			record.Attempts, record.First = b.Attempts+1, b.First
		}
	}
	record.Next = record.Last.Add(w.Retry.after(record.Attempts))
	if kind == fetch.TooLarge {
		record.State = ledger.Held
	}
	return w.Ledger.Put(w.lasting, record)
}

// replyText is a reply as logs and the ledger show it.
func replyText(r inject.Reply) string {
	if r.Code == 0 {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text))
}
