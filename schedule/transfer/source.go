package transfer

import (
	"cmp"
	"context"
	"fmt"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// An account may be pointed to another mailbox: another user, another host. UIDs that last are proof of what a message is in one mailbox
// only, and UIDVALIDITY does not always tell two mailboxes apart: many servers count it from 1. Where the UIDs of an account do not last, as
// with POP3, nothing is removed unseen anyway.

const (
	// leastAlike is how many messages must have the sizes that the ledger has of them to be taken for the same mailbox.
	leastAlike = 3
	// mostCompared is how many are asked for.
	mostCompared = 100
)

// isMoved reports whether a folder is read from another mailbox than the one that its records are of, as far as names tell.
func (r *run) isMoved(folder string) bool {
	last, now := r.sources[folder], r.pass.Mailbox
	return last != "" && now != "" && last != now
}

// checkSource stops the pass over a folder whose records are of another mailbox, as far as anybody can tell. Else it notes the one that they are of.
func (r *run) checkSource(ctx context.Context, at folderKey) error {
	p, last := r.pass, r.sources[at.name]
	if p.Mailbox == "" || p.Mailbox == last {
		return nil
	}
	mustKnow := r.isMoved(at.name) && !r.session.listing.Reusable && !p.Flood.Accept
	if mustKnow {
		known, err := p.Ledger.Briefs(ctx, at.account, at.name, at.validity)
		if err != nil {
			return err
		}
		refs := comparables(r.session.listing.Refs, known)
		sizes, err := r.askSizes(ctx, refs)
		if err != nil {
			return err
		}
		if !isSameMailbox(refs, sizes, known) {
			return &Error{Op: "list " + titleOf(at.name), Text: fmt.Sprintf("the ledger has records of %s, and this is %s: a UID may name another message here", last, p.Mailbox),
				Advice: fmt.Sprintf("if it is the same mailbox under another name, truehop accept %s goes on; if it is another one, give the account another name", at.account)}
		}
	}
	if p.DryRun {
		return nil
	}
	r.sources[at.name] = p.Mailbox
	return p.Ledger.SetSource(ctx, ledger.Source{Account: at.account, Folder: at.name, Mailbox: p.Mailbox})
}

// compare compares the open folder with the ledger. Where a UID may name another message than the record says, the sizes tell: in a folder
// that was set back, where a message had gone and its UID is listed again, and after a pass that went wrong, which may have left mail
// undeleted that a server set back meanwhile no more has. What the server does not say the size of is looked at. A server that says none
// is asked again at the next visit, up to the last try.
func (r *run) compare(ctx context.Context, at folderKey, known map[string][]ledger.Brief, rules listingRules, lastTry bool) (*plan, error) {
	listing := r.session.listing
	isDoubted := func(ref fetch.Ref) bool { return len(known[ref.UID]) > 0 }
	removals := map[fetch.Ref]bool{}
	if !rules.setBack {
		todo := compare(at, listing, known, rules)
		for i := range todo.settle {
			if s := &todo.settle[i]; r.pass.Failed && !stays(s.disposal.Action) {
				removals[s.ref] = true
			}
		}
		if len(removals)+len(todo.listedAgain) == 0 {
			return todo, nil
		}
		isDoubted = func(ref fetch.Ref) bool { return removals[ref] || todo.listedAgain[ref] }
	}
	var unknown []fetch.Ref // without a size in the listing
	rules.asked = map[fetch.Ref]bool{}
	for _, ref := range listing.Refs {
		if !isDoubted(ref) {
			continue
		}
		if rules.asked[ref] = true; ref.Size <= 0 {
			unknown = append(unknown, ref)
		}
		of := known[ref.UID]
		for i := range of { // each has a size to compare with
			of[i].Listed = cmp.Or(of[i].Listed, of[i].Size)
		}
	}
	r.sizesFailed = false // messages are told apart by this, so that it is worth another session
	var err error
	if rules.sizes, err = r.askSizes(ctx, unknown); err != nil {
		return nil, err
	}
	saysNone := len(unknown) > 0 && len(rules.sizes) == 0
	isCutShort := saysNone || r.session.over
	if rules.unsized = isCutShort && !lastTry; rules.unsized {
		rules.asked = removals
	}
	todo := compare(at, listing, known, rules)
	if rules.unsized {
		todo.back = nil
	}
	return todo, nil
}

// comparables returns the newest of the listed messages that must have the size of their record, if that is of this mailbox.
func comparables(refs []fetch.Ref, known map[string][]ledger.Brief) (found []fetch.Ref) {
	for i := len(refs) - 1; i >= 0 && len(found) < mostCompared; i-- {
		of := known[refs[i].UID]
		if len(of) == 1 && of[0].Hash != noHash && of[0].Size > 0 {
			found = append(found, refs[i])
		}
	}
	return found
}

// isSameMailbox reports whether a folder is the one that the records are of, by the sizes that the server says. Where there are no records
// it is as good as that.
func isSameMailbox(asked []fetch.Ref, sizes map[fetch.Ref]int64, known map[string][]ledger.Brief) bool {
	for _, ref := range asked {
		b := &known[ref.UID][0]
		if size, ok := sizes[ref]; ok && size != b.Size && size != b.Listed {
			return false
		}
	}
	return len(known) == 0 || len(sizes) >= leastAlike
}
