package transfer

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// When a visit to a folder has left nothing to do, the pass remembers what the folder held. Later passes ask the upstream only for
// what came since. That trusts the server's numbers, which may be wrong: so a folder is listed as a whole from time to time, and at once
// where the numbers do not add up.

const (
	// wholeEvery is how often a folder is listed as a whole in any case.
	wholeEvery = 24 * time.Hour
	// wholeWithoutModSeq is how often where no HIGHESTMODSEQ confirms the other numbers.
	wholeWithoutModSeq = time.Hour
)

// sinceRules are what sinceLast goes by, beside what is remembered.
type sinceRules struct {
	now     time.Time
	account time.Duration // what the account's clock shows
	rules   string        // the configuration, as rulesOf sums it up
	// failed says that the last pass went wrong, asked that a person has asked for a look at the folder.
	failed, asked bool
	// unfinished says that the ledger has messages of the folder without a verdict.
	unfinished bool
}

// sinceLast returns the status of the folder from which on it is to be listed, zero for a whole listing.
func sinceLast(last ledger.Listing, rules sinceRules) fetch.Status {
	every := wholeEvery
	if last.ModSeq == 0 {
		every = wholeWithoutModSeq
	}
	age := rules.now.Sub(last.Whole)
	switch {
	case last == ledger.Listing{}, last.Rules != rules.rules, last.Next == setBackNext:
		return fetch.Status{}
	case rules.failed, rules.asked, rules.unfinished:
		return fetch.Status{}
	case age < 0, age >= every: // a clock that was set back says nothing
		return fetch.Status{}
	case last.Due > 0 && rules.account >= last.Due:
		return fetch.Status{}
	}
	return fetch.Status{Validity: last.Validity, Next: last.Next, Messages: last.Messages, ModSeq: last.ModSeq}
}

// rulesOf sums up what of the configuration says what there is to do with messages that have their verdict.
func (p *Pass) rulesOf() string {
	return fmt.Sprintf("%v %v %v %v %v %v", p.OnDelivered, p.OnRefused, p.DeleteAfter, p.RefusedGrace, p.MarkDelivered, p.Search)
}

// since returns the status from which on a folder is to be listed, zero for a whole listing, and what is remembered of it.
func (r *run) since(ctx context.Context, folder string) (since fetch.Status, last ledger.Listing, err error) {
	p := r.pass
	if _, ok := r.session.mailbox.(fetch.Refresher); !ok || p.DryRun {
		return since, last, nil
	}
	if last, err = p.Ledger.LastListing(ctx, p.Account, folder); err != nil || last == (ledger.Listing{}) {
		return since, last, err
	}
	unfinished, err := p.Ledger.Unfinished(ctx, p.Account)
	if err != nil {
		return since, last, err
	}
	waits := func(rec ledger.Record) bool { return rec.Folder == folder && rec.State != ledger.Lost }
	return sinceLast(last, sinceRules{
		now: r.clock.now(), account: r.clock.account, rules: p.rulesOf(), failed: p.Failed, asked: p.Flood.Accept || p.Flood.Adopt,
		unfinished: slices.ContainsFunc(unfinished, waits),
	}), last, nil
}

// briefs returns what the ledger has of the open folder, of one that is not listed as a whole what it has of the messages listed. What it leaves
// out of the former, being at rest, it notes in the uids of rules.
func (r *run) briefs(ctx context.Context, at folderKey, rules *listingRules) (known map[string][]ledger.Brief, err error) {
	listing, p := r.session.listing, r.pass
	mayNeedAll := listing.Reusable || p.MarkDelivered || len(p.Search) > 0 || rules.setBack
	switch {
	case listing.Earlier > 0:
		uids := make([]string, len(listing.Refs))
		for i, ref := range listing.Refs {
			uids[i] = ref.UID
		}
		known, err = p.Ledger.BriefsOf(ctx, at.account, at.name, at.validity, uids)
	case mayNeedAll:
		known, err = p.Ledger.Briefs(ctx, at.account, at.name, at.validity)
	default:
		rules.uids = uidCountsOf(listing.Refs)
		known, err = p.Ledger.BriefsBut(ctx, at.account, at.name, at.validity, func(of []ledger.Brief) bool { return rules.uids.noteAtRest(of, *rules) })
	}
	if err != nil || listing.Reusable { // then its content tells what a message is
		return known, err
	}
	// What was removed may be listed again, where a mailbox was set back.
	var unknown []string
	for i, ref := range listing.Refs {
		if len(known[ref.UID]) == 0 && !rules.uids[ref.UID].atRest {
			unknown = append(unknown, ref.UID)
		}
		if last := i == len(listing.Refs)-1; last || len(unknown) == batchSize {
			removed, err := p.Ledger.Removed(ctx, at.account, at.name, at.validity, unknown)
			if err != nil {
				return nil, err
			}
			maps.Copy(known, removed)
			unknown = unknown[:0]
		}
	}
	return known, nil
}

// setBackNext is remembered as the UIDNEXT of a folder that was set back, until a visit has looked at all of it: each that the server says
// has fallen then, also once as much mail has come as was lost.
const setBackNext = math.MaxUint32

// sizeTries is how many visits in a row ask for sizes in vain, until one looks at the messages themselves.
const sizeTries = 3

// underWay returns what is remembered of a folder while a visit is under way, and after one that was cut short: nothing that saves a whole
// listing, but UIDNEXT, by which the next one finds that the folder was set back. Messages counts visits in a row to which the server told no sizes.
func underWay(listing *fetch.Listing, last ledger.Listing, unsized bool) ledger.Listing {
	isKnown := listing.Validity == last.Validity
	now := ledger.Listing{Validity: listing.Validity}
	switch {
	case listing.Reusable:
		return ledger.Listing{}
	case setBack(listing, last):
		now.Next = setBackNext
	case listing.UIDNext != 0:
		now.Next = max(listing.UIDNext, listing.Status.Next)
	case isKnown:
		now.Next = last.Next
	}
	if now.Next == 0 {
		return ledger.Listing{}
	}
	if unsized {
		now.Messages = 1
		if isAgain := isKnown && last.Whole.IsZero(); isAgain {
			now.Messages = min(last.Messages+1, sizeTries)
		}
	}
	return now
}

// setBack reports whether a folder was set back since it was last seen, as to a copy of it: UIDNEXT never falls (RFC 9051 section
// 2.3.1.1), so what has come since may have the UIDs of messages that the ledger knows.
func setBack(listing *fetch.Listing, last ledger.Listing) bool {
	saysNext := !listing.Reusable && listing.UIDNext != 0
	return saysNext && listing.Validity == last.Validity && listing.UIDNext < last.Next
}

// notListedBefore leaves out the records of messages that are upstream and not in a partial listing, because they are as they were: what is
// new is none of them.
func (p *plan) notListedBefore(records []ledger.Record, key ledger.Key) []ledger.Record {
	if !p.partial {
		return records
	}
	return slices.DeleteFunc(slices.Clone(records), func(old ledger.Record) bool {
		return old.Validity == key.Validity && !old.Absent && p.listed[old.UID].listed == 0
	})
}

// remember records what a folder holds after a visit that has left nothing to do. Where the visit has removed messages upstream, the
// listing is out of date, and nothing is recorded: the next visit lists the folder as a whole. before is the summary when the visit
// began, last what was remembered then.
func (r *run) remember(ctx context.Context, at folderKey, listing *fetch.Listing, p *plan, last ledger.Listing, before Summary) error {
	now, certain := listingAfter(listing.Status, p, before, r.report.summary, afterRules{
		last: last, began: r.clock.began, account: r.clock.account, rules: r.pass.rulesOf(), disposal: p.disposal,
	})
	if setBack(listing, last) && !certain {
		now, certain = underWay(listing, ledger.Listing{}, false), true // all was looked at
	}
	if !certain {
		return nil
	}
	return r.pass.Ledger.SetLastListing(ctx, at.account, at.name, now)
}

// afterRules are what listingAfter goes by, beside the visit.
type afterRules struct {
	last     ledger.Listing
	began    time.Time
	account  time.Duration // what the account's clock shows
	rules    string
	disposal disposalRules
}

// listingAfter returns what a folder holds after a visit that began with one summary and ended with another, false where that is not certain.
func listingAfter(s fetch.Status, p *plan, before, after Summary, rules afterRules) (now ledger.Listing, certain bool) {
	settled := after.Settled != before.Settled || after.Unsettled != before.Unsettled
	if s == (fetch.Status{}) || settled || p.counts.LeftOut > 0 {
		return now, false
	}
	// By POP3 a message may have come under the name of another, where a server answered out of step. The next whole
	// listing shows it, by the sizes: one must have found that there is nothing to do.
	if asked := len(p.retrieve) + len(p.retries) + len(p.suspects); !p.lastingUIDs && asked > 0 {
		return now, false
	}
	now = ledger.Listing{Validity: s.Validity, Next: s.Next, Messages: s.Messages, ModSeq: s.ModSeq, Whole: rules.began, Due: p.due, Rules: rules.rules}
	if p.partial {
		now.Whole, now.Due = rules.last.Whole, sooner(now.Due, rules.last.Due)
	}
	if decided := after.Delivered != before.Delivered || after.Quarantined != before.Quarantined; decided && rules.disposal.deleteAfter > 0 {
		now.Due = sooner(now.Due, rules.account+rules.disposal.deleteAfter)
	}
	if refused := after.Refused != before.Refused; refused && rules.disposal.onRefused.Action != fetch.Keep {
		now.Due = time.Millisecond
	}
	return now, true
}
