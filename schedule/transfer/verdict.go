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
// record: the trouble is the MTA's, and the message was not begun.
func (w *work) judge(j *job) bool {
	rec, r := &j.record, &j.receipt
	rec.Last = w.now()
	rec.Recipients = strings.Join(j.recipients, " ")
	if rec.State == ledger.Held || rec.State == ledger.Adopted {
		return true // by our own rules; the MTA was not asked
	}
	if trouble := w.trouble(r); trouble != nil {
		w.stop(trouble)
		// No room for this message may mean none for one of its size: put off, it blocks no other.
		if noRoom := r.Err == nil && r.Outcome == inject.Deferred; !j.sending && !noRoom {
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
	rec.Why = reasons(j.note, r)
	rec.State = state(r.Outcome)
	if w.DryRun && r.Stage == "RCPT" && r.Reply.Code/100 == 2 {
		rec.State = ledger.Delivered // it would have gone on; nothing is recorded
	}
	w.perRecipient(j)
	if !final(rec.State) {
		w.later(rec)
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
	case tooLong:
		rec.State = ledger.Refused
		rec.Why = fmt.Sprintf("deferred for longer than %v", w.Retry.GiveUp)
	}
}

// reasons puts together what a person should know beside the reply.
func reasons(note string, r *inject.Receipt) string {
	parts := []string{note, r.Note}
	if r.Err != nil {
		parts = append(parts, r.Err.Error())
	}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), "; ")
}

func state(o inject.Outcome) ledger.State {
	switch o {
	case inject.Delivered:
		return ledger.Delivered
	case inject.Refused:
		return ledger.Refused
	case inject.InDoubt:
		return ledger.Doubt
	}
	return ledger.Deferred
}

// perRecipient settles a transaction that ended differently for different recipients: those that
// have the message never get it again, those that are deferred get it later.
func (w *work) perRecipient(j *job) {
	if len(j.receipt.Recipients) < 2 {
		return
	}
	var waiting, refused []string
	for _, r := range j.receipt.Recipients {
		switch r.Outcome {
		case inject.Deferred, inject.InDoubt:
			waiting = append(waiting, r.Address)
		case inject.Refused:
			refused = append(refused, r.Address+" refused: "+replyText(r.Reply))
		}
	}
	delivered := len(j.receipt.Recipients) - len(waiting) - len(refused)
	switch {
	case len(waiting) > 0:
		if j.record.State != ledger.Doubt {
			j.record.State = ledger.Deferred
		}
		j.record.Recipients = strings.Join(waiting, " ")
	case delivered > 0:
		j.record.State = ledger.Delivered
	}
	if len(refused) > 0 {
		j.record.Why = strings.Join(refused, "; ")
	}
}

// trouble returns the error that must stop the pass, if the receipt tells of one: the MTA
// cannot be used, or would treat every message of this account alike.
func (w *work) trouble(r *inject.Receipt) error {
	if r.Err != nil {
		switch r.Err.Kind {
		case inject.Misconfigured, inject.TLS, inject.Auth:
			return r.Err
		case inject.Unreachable:
			// Lost in the middle of a message, the connection may be that message's fault.
			if r.Stage == "connect" || r.Stage == "greeting" || r.Stage == "EHLO" {
				return r.Err
			}
		case inject.Local:
			return r.Err
		}
		return nil
	}
	text := strings.ToLower(r.Reply.Text)
	switch {
	case r.Stage == "RCPT" && r.Outcome == inject.Refused &&
		(w.badRecipient(r.Reply.Enhanced) || strings.Contains(text, "relay access denied")):
		// Not this message but the configured recipient: left alone, a policy of
		// deleting refused mail would empty the mailbox.
		return &Error{Op: "RCPT TO", Text: fmt.Sprintf("the MTA does not take mail for the recipients of this account: %s", replyText(r.Reply)),
			Hint: "correct recipients, or make the MTA responsible for their domain"}
	case r.Reply.Code == 452 && r.Outcome == inject.Deferred:
		return &Error{Op: r.Stage, Text: "the MTA is out of storage: " + replyText(r.Reply), Hint: "free space in the MTA's queue"}
	}
	return nil
}

// badRecipient reports whether an enhanced status code blames the recipient's address
// (RFC 3463 section 3.2); 5.1.7 and 5.1.8 blame the sender's. Where each message has a recipient of
// its own, only 5.1.2, a bad domain, is not that message's matter.
func (w *work) badRecipient(enhanced string) bool {
	switch enhanced {
	case "5.1.1", "5.1.3", "5.1.6", "5.1.10":
		return w.Recipient.From == ""
	case "5.1.2":
		return true
	}
	return false
}

// announce tells of a recorded verdict and readies the message to be settled.
func (w *work) announce(j *job) {
	w.tell(Event{
		Kind: Verdict, Ref: j.ref, Token: j.record.Token, Size: j.record.Size, State: string(j.record.State),
		Boundary: j.boundary, Receipt: j.receipt, Sender: j.record.Sender, Recipients: j.recipients,
		Redelivery: j.redelivery, Why: j.record.Why,
	})
	if final(j.record.State) && j.record.State != ledger.Held {
		w.settleFinal(j.ref, j.record.Key, j.record.Token, j.record.State)
	}
}

// notRetrieved records a message that could not be fetched, so that it is told of and not
// asked for again at once.
func (w *work) notRetrieved(ref fetch.Ref, cause error) error {
	w.tell(Event{Kind: NotRetrieved, Ref: ref, Size: ref.Size, Err: cause})
	if errors.Is(cause, errSpool) && w.unspooled == nil {
		w.unspooled = spoolError(w.SpoolDir, cause)
	}
	kind := fetch.KindOf(cause)
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
