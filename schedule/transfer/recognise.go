package transfer

import (
	"cmp"
	"slices"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// recognise finds out what the ledger knows of a spooled message. It reports true where the message had its
// final verdict before, which is then carried out upstream.
func (w *pipeline) recognise(m *message) (done bool, err error) {
	p := w.pass
	key := w.folder.key(m.ref.UID, m.spool.hash)
	rules := identityRules{now: w.clock.now(), giveUp: p.Retry.GiveUp, disposal: w.plan.disposal, account: w.clock.account}
	briefs := w.plan.known[m.ref.UID]
	w.presence.readAs(m.ref, m.spool.size)
	if slices.ContainsFunc(briefs, func(b ledger.Brief) bool { return b.Hash == m.spool.whole }) {
		m.spool.hash, key.Hash = m.spool.whole, m.spool.whole // recorded by an older version
	}
	if slices.ContainsFunc(briefs, func(b ledger.Brief) bool { return !b.State.Final() }) {
		w.presence.contents[m.ref.UID] = append(w.presence.contents[m.ref.UID], m.spool.hash)
	}
	id, err := w.identify(m, key, rules)
	if err != nil {
		return false, err
	}
	isSending := func(b ledger.Brief) bool { return b.State == ledger.Sending && !b.Absent }
	sending := id.record.State == ledger.Sending || slices.ContainsFunc(briefs, isSending)
	if sending && p.SendingUntil.After(rules.now) {
		w.presence.notRead(true) // the next pass finds out what it is
		w.report.waiting(1)
		return true, nil
	}
	hasRecordHere := id.recognition != unrecognised && id.recognition != elsewhere
	if id.claimed == (ledger.Key{}) && !hasRecordHere {
		id.replaces = append(id.replaces, w.presence.succeed(m.ref)...)
	}
	id.record.Fingerprint = m.spool.fingerprint
	others, err := w.noteOthers(m.ref, key.Hash)
	if err != nil {
		return false, err
	}
	listed := cmp.Or(w.plan.sizes[m.ref], listedSize(m.ref))
	resized := id.recognition == sameUID && id.record.Listed != listed
	id.record.Listed = listed
	finished := id.recognition != unrecognised && id.recognition != unfinished
	mayBeCopy := w.plan.outdated || m.ref.Marked
	if mayBeCopy && !finished {
		id.record.Doubts = max(id.record.Doubts, 1) // at each attempt from now on
	}
	m.identity = id
	m.redelivery = id.record.Doubts > 0 || id.record.DotSent // also where the MTA has deferred it since, or the ledger is older than the mailbox
	rec := &id.record
	if id.recognition == unrecognised && w.plan.leftOut[m.ref] && !id.known {
		// Its UID was another's, whose record had it looked at. It has none, so that of the other must not stand for it once it is gone.
		if len(others) > 0 {
			w.presence.notRead(true) // the next visit counts it as left out
		}
		return true, p.Ledger.SetDisposed(w.lasting, others)
	}
	switch {
	case id.recognition == unrecognised, id.recognition == unfinished:
		return false, nil
	case p.DryRun:
	case id.recognition == renamed, id.recognition == elsewhere:
		err = p.Ledger.Replace(w.lasting, *rec, id.replaces)
	default:
		if id.absent {
			err = p.Ledger.SetAbsent(w.lasting, []ledger.Key{key}, false)
		}
		err = cmp.Or(err, p.Ledger.Remove(w.lasting, id.replaces))
	}
	if err == nil && resized && !p.DryRun {
		err = p.Ledger.SetListed(w.lasting, key, listed) // and need not be looked at again
	}
	if err != nil {
		return false, err
	}
	w.report.emit(Event{Kind: Recognised, Ref: m.ref, Token: rec.Token, State: string(rec.State), Why: recognisedWhy[id.recognition]})
	w.queueDisposal(m.ref, rec)
	return true, nil
}

// identify looks for a message in the ledger: by its UID, by its content in this folder, and by its content in the others.
func (w *pipeline) identify(m *message, key ledger.Key, rules identityRules) (identity, error) {
	briefs := w.plan.known[m.ref.UID]
	id := knownByUID(key, m.spool.size, briefs, rules)
	// Where UIDs last and no record has lost its message, a new UID is a new message.
	certain := w.plan.lasts(m.ref) && !w.plan.mayHaveMoved && m.ref.UID != ""
	if id.recognition == unrecognised && !certain && !w.pass.DryRun {
		records, err := w.recordsOf(m)
		if err != nil {
			return id, err
		}
		id = id.knownByContent(w.plan.notListedBefore(records, key), w.plan.asRecorded, w.presence.claimed, rules)
		if id.claimed != (ledger.Key{}) {
			w.presence.claim(id.claimed, m.ref)
		}
	}
	if id.recognition == unrecognised && w.plan.hasOwnUID(m.ref) {
		id = id.isAltered(briefs, m.spool.fingerprint, w.plan.lasts(m.ref))
	}
	isOpen := id.recognition == unrecognised || id.recognition == unfinished
	mayBeElsewhere := w.run.several || w.plan.mayBeElsewhere
	if isOpen && !id.altered && mayBeElsewhere {
		records, err := w.pass.Ledger.ByHashAnywhere(w.lasting, w.pass.Account, m.spool.hash)
		if err != nil {
			return id, err
		}
		id = id.knownElsewhere(records, rules)
	}
	return id, nil
}

// recordsOf returns the records of the folder that have a message's content.
func (w *pipeline) recordsOf(m *message) ([]ledger.Record, error) {
	p := w.pass
	records, err := p.Ledger.ByHash(w.lasting, p.Account, m.ref.Folder, m.spool.hash)
	if err != nil || m.spool.hash == m.spool.whole {
		return records, err
	}
	older, err := p.Ledger.ByHash(w.lasting, p.Account, m.ref.Folder, m.spool.whole)
	return append(records, older...), err
}

// noteOthers records that the messages which had this one's UID have gone, and returns their keys: the UID is this one's alone, and their
// content is another.
func (w *pipeline) noteOthers(ref fetch.Ref, content [32]byte) (others []ledger.Key, err error) {
	if w.pass.DryRun || w.plan.lasts(ref) || !w.plan.hasOwnUID(ref) {
		return nil, nil
	}
	var gone []ledger.Key
	for _, b := range w.plan.known[ref.UID] {
		if b.Hash == content || !b.State.Final() {
			continue
		}
		key := w.folder.key(ref.UID, b.Hash)
		others = append(others, key)
		if !b.Absent {
			gone = append(gone, key)
		}
	}
	return others, w.pass.Ledger.SetAbsent(w.lasting, gone, true)
}
