package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

const (
	// tokenLength is that of a Truehop-ID, in octets.
	tokenLength = 26
	// maxLoopIDs bounds the Truehop-IDs of one message that are looked for: a sender may write any number.
	maxLoopIDs = 4
)

// token derives a message's Truehop-ID from its identity: the same at every attempt,
// so that a filter behind the MTA can drop a second copy (RFC 7352).
func token(key ledger.Key) string {
	h := sha256.New()
	for _, part := range []string{key.Account, key.Folder, key.UID} {
		_ = binary.Write(h, binary.BigEndian, uint32(len(part))) // a hash never fails
		_, _ = io.WriteString(h, part)
	}
	_ = binary.Write(h, binary.BigEndian, key.Validity)
	_, _ = h.Write(key.Hash[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

// recognise holds a spooled message against the ledger by its content. It fills in the job's
// record, and reports true where the message has had its verdict before.
func (w *work) recognise(j *job) (bool, error) {
	key := w.key(j.ref.Folder, j.ref.Validity, j.ref.UID, j.spool.hash)
	j.record = ledger.Record{Key: key, Token: token(key), Size: j.spool.size, First: w.now()}
	for _, b := range w.plan.known[j.ref.UID] {
		if b.Hash == j.spool.hash {
			return w.resume(j, b)
		}
		if !final(b.State) && b.Hash == (ledger.Key{}).Hash {
			j.known = true
			j.replaces = append(j.replaces, w.key(j.ref.Folder, j.ref.Validity, j.ref.UID, b.Hash))
		}
	}
	if w.DryRun || w.plan.immediate && !w.plan.moved && j.ref.UID != "" {
		return false, nil
	}
	return w.recogniseMoved(j)
}

// resume takes up what the ledger says of this very message.
func (w *work) resume(j *job, b ledger.Brief) (bool, error) {
	if final(b.State) {
		if err := w.there(j, b.Absent); err != nil {
			return false, err
		}
		w.tell(Event{Kind: Recognised, Ref: j.ref, Token: b.Token, State: string(b.State), Why: "delivered at an earlier pass"})
		w.settleFinal(j.ref, j.record.Key, b.Token, b.State, b.Ran)
		return true, nil
	}
	j.known = true
	j.record.First, j.record.Attempts, j.record.Doubts, j.record.Token = w.since(b.First, b.Next), b.Attempts, b.Doubts, b.Token
	if b.State == ledger.Sending {
		j.record.Doubts++ // a run that died between the dot and the reply
	}
	j.redelivery = j.record.Doubts > 0 // also where the MTA has deferred it since
	return false, nil
}

// recogniseMoved looks for a message that the ledger knows by another name, which the server does
// not list any more: a new UIDVALIDITY, a renumbered mailbox. Each old record serves
// once, so that two equal messages stay two.
func (w *work) recogniseMoved(j *job) (bool, error) {
	records, err := w.Ledger.ByHash(w.lasting, w.Account, j.ref.Folder, j.spool.hash)
	if err != nil {
		return false, err
	}
	for _, old := range records {
		if old.Key == j.record.Key && final(old.State) {
			return true, w.returned(j, old)
		}
		here := old.Validity == j.ref.Validity && w.plan.listed[old.UID] && old.UID != ""
		if here || old.Disposed || w.claimed[old.Key] {
			continue
		}
		w.claimed[old.Key] = true
		j.replaces = append(j.replaces, old.Key)
		fresh := old
		fresh.Key, fresh.Absent = j.record.Key, false
		if !final(old.State) {
			j.known = true
			j.record = fresh
			j.record.First = w.since(old.First, old.Next)
			if old.State == ledger.Sending {
				j.record.Doubts++
			}
			j.redelivery = j.record.Doubts > 0
			return false, nil
		}
		if err := w.Ledger.Put(w.lasting, fresh); err != nil {
			return false, err
		}
		if err := w.Ledger.Remove(w.lasting, j.replaces); err != nil {
			return false, err
		}
		w.tell(Event{Kind: Recognised, Ref: j.ref, Token: old.Token, State: string(old.State), Why: "known by its content under another UID"})
		w.settleFinal(j.ref, fresh.Key, old.Token, old.State, old.Ran)
		return true, nil
	}
	return false, nil
}

// returned takes up a message that was disposed of, had gone, and is there again as it was: a lost
// QUIT, a mailbox restored from a backup.
func (w *work) returned(j *job, old ledger.Record) error {
	if err := w.there(j, true); err != nil {
		return err
	}
	w.tell(Event{Kind: Recognised, Ref: j.ref, Token: old.Token, State: string(old.State), Why: "disposed of at an earlier pass, and there again"})
	w.settleFinal(j.ref, old.Key, old.Token, old.State, old.Ran)
	return nil
}

// there records that a message with a final verdict is listed, was if it had gone, and makes void what
// was recorded while it could not be retrieved.
func (w *work) there(j *job, was bool) error {
	if w.DryRun {
		return nil
	}
	if was {
		if err := w.Ledger.SetAbsent(w.lasting, []ledger.Key{j.record.Key}, false); err != nil {
			return err
		}
	}
	return w.Ledger.Remove(w.lasting, j.replaces)
}

// since returns the time from which on the age of a message counts that was first seen at first and due
// again at next. A time in which nobody tried it, longer than the age that ends it, does not count: the
// machine was off, or the clock is another one now.
func (w *work) since(first, next time.Time) time.Time {
	now := w.now()
	if late := now.Sub(next); !next.IsZero() && w.Retry.GiveUp > 0 && late > w.Retry.GiveUp {
		first = first.Add(late)
	}
	if first.After(now) {
		return now
	}
	return first
}

// settleFinal readies a message that was retrieved, with a final verdict that came about when the account's clock
// showed ran, to be disposed of.
func (w *work) settleFinal(ref fetch.Ref, key ledger.Key, id string, state ledger.State, ran time.Duration) {
	d := w.disposal(state, ran)
	if mayGo(state, d) {
		w.owed.Add(-1)
	}
	if d.Action != fetch.Keep {
		w.settled(settlement{ref: ref, key: key, token: id, disposal: d})
	}
}

// prepare finds the boundary, the envelope and the client of a message. It reports false
// where the message is held back, with the reason in the record. An error is the ledger's, and
// leaves the message as it was.
func (w *work) prepare(j *job) (bool, error) {
	if w.plan.adopt && !j.known {
		j.record.State, j.record.Why = ledger.Adopted, whyAdopted
		return false, nil
	}
	chain := received.ReadChain(j.spool.head)
	j.boundary = chain.Boundary(w.Policy)
	j.record.Sender, j.note = w.sender(chain, j.boundary)
	j.recipients = w.Recipients
	id, err := w.ownToken(j.spool.head)
	if err != nil {
		return false, err
	}
	if id != "" {
		return j.hold("the message carries the Truehop-ID " + id + " of one that was injected here: a mail loop"), nil
	}
	if w.Recipient.From != "" {
		to, why := w.Recipient.find(chain, j.boundary)
		if why != "" {
			return j.hold(why), nil
		}
		j.recipients = []string{to}
	}
	if err := w.remaining(j); err != nil {
		return false, err
	}
	if len(j.recipients) == 0 {
		return false, nil
	}
	return w.identify(j, chain), nil
}

func (j *job) hold(why string) bool {
	j.record.State, j.record.Why = ledger.Held, why
	return false
}

// sender returns the reverse-path: what the upstream's final delivery recorded (RFC 5321
// section 4.4), or the configured one, with a note if what was recorded cannot be one. A Return-Path
// below the trusted fields is the sender's.
func (w *work) sender(chain *received.Chain, b received.Boundary) (path, note string) {
	const unfit = "the recorded sender cannot be one: "
	path = b.Sender
	trusted := max(b.Hop, b.Trusted-1, 0)
	if field := chain.Envelope.ReturnPath; len(field) > 0 && field[0].At <= trusted {
		if field[0].Bad {
			return w.Sender, unfit + "Return-Path holds no address"
		}
		if path = field[0].Address; path == "" {
			return "", "" // the null reverse-path
		}
	}
	if path == "" {
		return w.Sender, ""
	}
	if _, err := inject.ParsePath(path); err != nil {
		return w.Sender, unfit + err.Error()
	}
	return path, ""
}

// ownToken returns the Truehop-ID on a message that this ledger knows, or "". Another
// instance's, on mail that passed through it, is no loop.
func (w *work) ownToken(head []byte) (string, error) {
	for _, id := range values(head, fieldID, maxLoopIDs) {
		if len(id) != tokenLength {
			continue
		}
		found, err := w.Ledger.List(w.lasting, ledger.Filter{Token: id, Limit: 1})
		if err != nil || len(found) > 0 {
			return id, err
		}
	}
	return "", nil
}

// remaining leaves out the recipients that had their verdict at an earlier attempt. Where that leaves none,
// because the configuration names fewer now, the message stands as they do.
func (w *work) remaining(j *job) error {
	if !j.known {
		return nil
	}
	found, err := w.Ledger.ByHash(w.lasting, w.Account, j.ref.Folder, j.spool.hash)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(found, func(r ledger.Record) bool { return r.Token == j.record.Token })
	if i < 0 {
		return nil // only its retrieval had failed
	}
	last := found[i]
	j.record.Verdicts = last.Verdicts
	if last.Ran == ledger.FirstFormat {
		j.record.Verdicts = firstVerdicts(last, j.recipients)
	}
	j.recipients = slices.DeleteFunc(slices.Clone(j.recipients), func(to string) bool {
		return slices.ContainsFunc(j.record.Verdicts, func(v ledger.Verdict) bool { return v.Address == to })
	})
	if len(j.recipients) == 0 {
		var states []ledger.State
		for _, v := range j.record.Verdicts {
			states = append(states, v.State)
		}
		j.record.State, j.record.Code, j.record.Reply = together(states), last.Code, last.Reply
		j.record.Why = "every recipient that is configured now had its verdict before"
	}
	return nil
}

// firstVerdicts returns the verdicts of recipients by a record of the ledger's first format: who is left out of
// Recipients has the message, unless Why says that it was refused. Where all are left out, the configuration has changed
// since. A quoted local part may hold a space, so the list cannot be taken apart at those.
func firstVerdicts(last ledger.Record, recipients []string) []ledger.Verdict {
	var vs []ledger.Verdict
	for _, to := range recipients {
		if strings.Contains(" "+last.Recipients+" ", " "+to+" ") {
			continue
		}
		v := ledger.Verdict{Address: to, State: ledger.Delivered}
		if _, reply, refused := strings.Cut("; "+last.Why, "; "+to+" refused: "); refused {
			v.State = ledger.Refused
			v.Reply, _, _ = strings.Cut(reply, "; ")
		}
		vs = append(vs, v)
	}
	if len(vs) == len(recipients) {
		return nil
	}
	return vs
}

// identify readies the message for what its client makes of it.
func (w *work) identify(j *job, chain *received.Chain) bool {
	p := Present(chain, j.boundary, w.Client, w.now())
	switch p.Treatment {
	case HeldBack:
		return j.hold(p.Why)
	case Skipped:
		j.record.State, j.record.Why = ledger.Adopted, p.Why
		return false
	}
	j.plain = p.Treatment == AskedPlain
	if j.note != "" && p.Why != "" {
		j.note += "; "
	}
	j.note += p.Why
	j.client, j.lookup = p.Client, p.Lookup
	j.record.HELO = p.Client.HELO
	if p.Client.Addr.IsValid() {
		j.record.Client = p.Client.Addr.String()
	}
	return true
}

// message composes what is injected: the octets as they are, below a header of our own and without
// an mbox line.
func (w *work) message(j *job) *inject.Message {
	header := fieldID + ": " + j.record.Token + "\r\n"
	if j.redelivery {
		header += fieldRedelivery + ": possible\r\n"
	}
	// Postfix's local(8) accepts a message that carries Delivered-To with the recipient's own
	// address and then bounces it as a loop.
	head := rename(j.spool.head, fieldDeliveredTo, renamedDeliveredTo, j.recipients)
	top := opening(head) + string(head)
	rest := j.spool.mbox + int64(len(j.spool.head))
	m := &inject.Message{
		Client: j.client, From: j.record.Sender, To: j.recipients,
		Header: []byte(header), Size: int64(len(top)) + j.spool.size - rest,
		EightBit: j.spool.eightBit, NUL: j.spool.nul, UTF8: nonASCII(j.record.Sender, j.recipients), DryRun: w.DryRun,
		Body: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(top), j.spool.reader(rest))), nil
		},
	}
	if !w.DryRun {
		m.BeforeDot = func(ctx context.Context) error { return w.sending(ctx, j) }
	}
	return m
}

// sending makes durable that the dot is about to go out.
func (w *work) sending(ctx context.Context, j *job) error {
	record := j.record
	record.State, record.Last, record.Recipients = ledger.Sending, w.now(), strings.Join(j.recipients, " ")
	if err := w.Ledger.Put(ctx, record); err != nil {
		return err
	}
	j.sending = true
	return nil
}

// nonASCII reports whether the envelope needs SMTPUTF8 (RFC 6531).
func nonASCII(from string, to []string) bool {
	return hasEightBit([]byte(from)) || slices.ContainsFunc(to, func(s string) bool { return hasEightBit([]byte(s)) })
}
