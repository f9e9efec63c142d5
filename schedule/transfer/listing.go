package transfer

import (
	"context"
	"fmt"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// plan is what a listing, held against the ledger, gives to do.
type plan struct {
	retrieve []fetch.Ref
	settle   []settlement
	// doomed are those of retrieve that are to go once their content was looked at, waited how long one of them
	// could have been gone, by the account's clock.
	doomed []fetch.Ref
	waited time.Duration
	// overdue says that nothing but the doomed is retrieved.
	overdue bool
	// known holds what the ledger has of every UID listed under this validity.
	known map[string][]ledger.Brief
	// listed holds the UIDs of the listing.
	listed map[string]bool
	// twice holds the UIDs that more than one of its messages has.
	twice map[string]bool
	// absent and back are records whose presence upstream has changed.
	absent, back []ledger.Key
	// vanished is the number of absent ones that nobody here disposed of.
	vanished int
	counts   Counts
	// fresh is the number of refs that no record names.
	fresh int
	// moved says that the ledger knows messages of this folder that are not listed
	// under the name they had, so that what looks new may be one of them.
	moved bool
	// immediate says that a disposal is final at once, not at the session's end.
	immediate bool
	// adopt says that what is unknown in this folder is recorded as done and not delivered.
	adopt bool
}

// settlement is one disposal to carry out.
type settlement struct {
	ref fetch.Ref
	// now is what the session under way names it.
	now      fetch.Ref
	key      ledger.Key
	token    string
	disposal fetch.Disposal
}

// plan holds the listing of folder against the ledger.
func (r *run) plan(ctx context.Context, folder string, listing *fetch.Listing) (*plan, error) {
	known, err := r.Ledger.Briefs(ctx, r.Account, folder, listing.Validity)
	if err != nil {
		return nil, err
	}
	p := &plan{known: known, listed: make(map[string]bool, len(listing.Refs)), twice: map[string]bool{}, immediate: !listing.Reusable}
	p.counts.Listed = len(listing.Refs)
	for _, ref := range listing.Refs {
		if p.listed[ref.UID] {
			p.twice[ref.UID] = true
		}
		p.listed[ref.UID] = true
	}
	for _, ref := range listing.Refs {
		// Without a UID of its own a message is known by its content only.
		if ref.UID == "" || p.twice[ref.UID] {
			p.retrieve = append(p.retrieve, ref)
			continue
		}
		r.classify(p, ref, listing.Reusable)
	}
	for uid, briefs := range known {
		for _, b := range briefs {
			p.moved = p.moved || !p.listed[uid] && !b.Disposed
			key := r.key(folder, listing.Validity, uid, b.Hash)
			switch {
			case !p.listed[uid] && !b.Absent:
				p.absent = append(p.absent, key)
				if !b.Disposed {
					p.vanished++
				}
			case p.listed[uid] && b.Absent && !listing.Reusable:
				p.back = append(p.back, key)
			}
		}
	}
	return p, nil
}

// classify decides about one listed message from what the ledger has of its UID.
func (r *run) classify(p *plan, ref fetch.Ref, reusable bool) {
	briefs := p.known[ref.UID]
	if len(briefs) == 0 {
		p.fresh++
		p.counts.New++
		p.retrieve = append(p.retrieve, ref)
		return
	}
	b, ok := present(briefs)
	if !ok {
		p.retrieve = append(p.retrieve, ref) // its content says which of them it is
		return
	}
	if !final(b.State) {
		if b.State != ledger.Sending && r.Retry.waits(b.Next.Sub(r.now())) {
			p.counts.Waiting++
			return
		}
		p.counts.Again++
		p.retrieve = append(p.retrieve, ref)
		return
	}
	disposal := r.disposal(b.State, b.Ran)
	pending := disposal.Action != fetch.Keep && (!b.Disposed || disposal.Action != fetch.Flag)
	switch {
	case reusable && b.Absent && b.State == ledger.Held:
		p.retrieve = append(p.retrieve, ref) // held unread, it had gone: this may be another
	case b.Hash == ledger.Key{}.Hash:
		p.counts.Known++ // held without its content being here: nothing to compare, nothing to settle
	case reusable && (b.Absent || b.Disposed || pending):
		// RFC 1939 section 7: the server may have given the UID to another
		// message since. Deleting that one unread would lose it, so look first.
		p.retrieve = append(p.retrieve, ref)
		if pending && !b.Absent && !b.Disposed {
			since := b.Ran
			if b.State == ledger.Refused {
				since += refusedWait
			}
			p.doomed, p.waited = append(p.doomed, ref), max(p.waited, r.ran-since)
		}
	case pending:
		p.counts.Unsettled++
		p.settle = append(p.settle, settlement{ref: ref, key: r.key(ref.Folder, ref.Validity, ref.UID, b.Hash), token: b.Token, disposal: disposal})
	default:
		p.counts.Known++
	}
}

// present returns the one record of a UID that a listing can mean: the only one, or the only one
// whose message had not gone.
func present(briefs []ledger.Brief) (b ledger.Brief, ok bool) {
	if len(briefs) == 1 {
		return briefs[0], true
	}
	for _, one := range briefs {
		if one.Absent {
			continue
		}
		if ok {
			return b, false
		}
		b, ok = one, true
	}
	return b, ok
}

// final reports whether a message in state s is not tried again.
func final(s ledger.State) bool {
	switch s {
	case ledger.Delivered, ledger.Refused, ledger.PartlyRefused, ledger.Quarantined, ledger.Held, ledger.Adopted:
		return true
	}
	return false
}

// mayGo reports whether the upstream may forget a message in state s, with d as its disposal: the MTA has it, or
// it is to be deleted as it is.
func mayGo(s ledger.State, d fetch.Disposal) bool {
	switch s {
	case ledger.Delivered, ledger.Quarantined:
		return true
	}
	return d.Action == fetch.Delete
}

// refusedWait is how long refused mail stays upstream before it is deleted or moved, by the account's clock
// ([ledger.Ledger.Tick]). An MTA that refuses everybody, for a block list that lists the world or rules that
// were lost, would empty the mailbox; so a person has this long to notice. What was put into quarantine
// does not wait: the quarantine has it.
const refusedWait = 3 * 24 * time.Hour

// disposal returns what is to become upstream, in this pass, of a message in state s, which came about
// when the account's clock showed ran.
func (r *run) disposal(s ledger.State, ran time.Duration) fetch.Disposal {
	switch s {
	case ledger.Delivered, ledger.Quarantined:
		return r.OnDelivered
	case ledger.Refused:
		if r.ran-ran >= refusedWait {
			return r.OnRefused
		}
	}
	return fetch.Disposal{Action: fetch.Keep}
}

// guard stops the pass where a listing looks like a mailbox that was renumbered or
// whose ledger was lost: delivering it all would be a flood of old mail.
func (r *run) guard(ctx context.Context, folder string, listing *fetch.Listing, p *plan) error {
	p.adopt = r.Flood.Adopt
	if p.fresh == 0 {
		return nil
	}
	generations, err := r.Ledger.Generations(ctx, r.Account, folder)
	if err != nil {
		return err
	}
	p.moved = p.moved || len(generations) > 1 || len(generations) == 1 && generations[0].Validity != listing.Validity
	if r.Flood.Accept || r.Flood.Adopt {
		return nil
	}
	if len(generations) == 0 {
		if adopt, err := r.adoptsFirst(ctx, p); adopt || err != nil {
			p.adopt = adopt
			return err
		}
	}
	if p.fresh <= r.Flood.Limit {
		return nil
	}
	others := 0
	for _, g := range generations {
		if g.Validity != listing.Validity {
			others += g.Count
		}
	}
	hint := fmt.Sprintf("look at the mailbox, then run once with --accept %s to deliver what the ledger does not know by its content, or with --adopt %s to record it all as done without delivering any of it", r.Account, r.Account)
	switch {
	case others > 0 && len(p.known) == 0:
		return &Error{Op: "list " + folderName(folder), Hint: hint, Text: fmt.Sprintf(
			"UIDVALIDITY changed to %d: the server numbers its messages anew, and %d of %d look new", listing.Validity, p.fresh, p.counts.Listed)}
	case p.vanished > max(10, len(p.known)/5):
		return &Error{Op: "list " + folderName(folder), Hint: hint, Text: fmt.Sprintf(
			"%d known messages vanished at once and %d look new: the server seems to have renumbered its messages", p.vanished, p.fresh)}
	case len(generations) == 0:
		return r.guardFirst(folder, p, hint)
	}
	return nil
}

// adoptsFirst reports whether the mail of a folder that the ledger knows nothing of is to be adopted.
// After a pass that went well the folder may just have been empty, so that a few messages are new ones.
func (r *run) adoptsFirst(ctx context.Context, p *plan) (bool, error) {
	if r.Flood.First != AdoptAll {
		return false, nil
	}
	_, success, err := r.Ledger.LastPass(ctx, r.Account)
	return err == nil && (success.IsZero() || p.fresh > r.Flood.Limit), err
}

// guardFirst is for a folder that the ledger knows nothing of: a new account, or a lost ledger.
// Where messages are kept upstream, most of what is there may have been delivered long ago.
func (r *run) guardFirst(folder string, p *plan, hint string) error {
	switch r.OnDelivered.Action {
	case fetch.Delete, fetch.Move:
		return nil // what was delivered is not there any more
	}
	if r.Flood.First == DeliverAll {
		return nil
	}
	return &Error{Op: "list " + folderName(folder), Hint: hint, Text: fmt.Sprintf(
		"the ledger knows nothing of this mailbox, which keeps its messages and holds %d: either this is the first pass, or the ledger was lost", p.fresh)}
}

func folderName(folder string) string {
	if folder == "" {
		return "the mailbox"
	}
	return "folder " + folder
}

// key returns the ledger's key of a message.
func (r *run) key(folder string, validity uint32, uid string, hash [32]byte) ledger.Key {
	return ledger.Key{Account: r.Account, Folder: folder, Validity: validity, UID: uid, Hash: hash}
}

// passed is what the account's clock shows now.
func (r *run) passed() time.Duration { return r.ran + max(r.now().Sub(r.began), 0) }

func (r *run) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
