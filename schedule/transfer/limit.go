package transfer

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// Limit bounds what one pass retrieves of the mail that it is to deliver; 0 is no bound. What it leaves waits for the next
// pass, the oldest first. Every folder has a share of it, and in each folder what is new and what is tried again; who comes first
// changes from pass to pass. Outside the limit is what a pass has to look at: messages known by their content only, those
// to be settled, and the few suspects.
type Limit struct {
	Messages int
	// Octets is by the sizes that the server announces. One larger message goes alone.
	Octets int64
}

// none reports whether nothing is bounded.
func (l Limit) none() bool { return l == Limit{} }

// visit is one visit to a folder in a pass with a limit. A folder is visited again if others have left of the limit.
type visit struct {
	limit Limit // of the pass
	share Limit // what is left of it for this visit
	// first says that the pass has taken nothing yet, so that one message may be larger than the limit.
	first bool
	turn  ledger.Turn
	// taken is what the visit took, left are the UIDs of the messages that it left: at a second visit, of those that the first one left.
	taken Limit
	left  map[string]bool
	// visits counts those to the folder.
	visits int
}

func (v *visit) again() bool { return v.visits > 1 }

// pick returns how many of the new messages and of the retries, oldest first, are taken: one of each by turns. A message for which
// there is no room ends its kind's turns: none passes another, so that the large one comes first at some pass.
func (v *visit) pick(fresh, retries []fetch.Ref, sizes map[fetch.Ref]int64) (takeFresh, takeRetries int) {
	queues, taken, full := [2][]fetch.Ref{fresh, retries}, [2]int{}, [2]bool{}
	turn := 0
	if v.turn.First > v.turn.Again {
		turn = 1
	}
	for ; !full[0] || !full[1]; turn = 1 - turn {
		if full[turn] = full[turn] || taken[turn] == len(queues[turn]); full[turn] {
			continue
		}
		size := max(1, sizes[queues[turn][taken[turn]]])
		tooMany := v.limit.Messages > 0 && v.taken.Messages >= v.share.Messages
		tooMuch := v.limit.Octets > 0 && v.taken.Octets+size > v.share.Octets
		alone := v.first && v.taken.Messages == 0
		tooMuch = tooMuch && !alone
		if full[turn] = tooMany || tooMuch; full[turn] {
			continue
		}
		taken[turn]++
		v.taken.Messages++
		v.taken.Octets += size
	}
	return taken[0], taken[1]
}

// carryAll carries all folders, within the limit.
func (r *run) carryAll(ctx context.Context, folders []string) error {
	p := r.pass
	var turns map[string]ledger.Turn
	if !p.Limit.none() {
		var err error
		if turns, err = p.Ledger.Turns(ctx, p.Account); err != nil {
			return err
		}
		folders = inTurn(folders, turns)
	}
	visits, err := p.Limit.divide(folders, turns, func(folder string, v *visit) error { return r.folder(ctx, folder, v) })
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if n := len(visits[folder].left); n > 0 {
			r.report.emit(Event{Kind: Limited, Folder: folder, Left: n})
		}
	}
	return nil
}

// divide visits the folders in order, each with an equal share of what is left of the limit. What some do not need goes to the
// others, which are visited again.
func (l Limit) divide(folders []string, turns map[string]ledger.Turn, call func(folder string, v *visit) error) (map[string]*visit, error) {
	visits := map[string]*visit{}
	for left, round, first := l, folders, true; len(round) > 0; {
		took := false
		var more []string
		for i, folder := range round {
			v := visits[folder]
			if v == nil {
				v = &visit{limit: l, turn: turns[folder]}
				visits[folder] = v
			}
			v.visits++
			sharers := len(round) - i
			v.share = Limit{Messages: (left.Messages + sharers - 1) / sharers, Octets: left.Octets / int64(sharers)}
			v.first, v.taken = first, Limit{}
			if err := call(folder, v); err != nil {
				return visits, err
			}
			left = Limit{Messages: left.Messages - v.taken.Messages, Octets: max(0, left.Octets-v.taken.Octets)}
			if v.taken.Messages > 0 {
				took, first = true, false
			}
			if len(v.left) > 0 {
				more = append(more, folder)
			}
		}
		noMessages, noOctets := l.Messages > 0 && left.Messages <= 0, l.Octets > 0 && left.Octets <= 0
		if !took || noMessages || noOctets || len(folders) == 1 {
			break
		}
		round = more
	}
	return visits, nil
}

// inTurn returns the folders in the order in which they are visited: first the one in which new mail, or what is tried again if there
// is any, had nothing for longest.
func inTurn(folders []string, turns map[string]ledger.Turn) []string {
	last := func(folder string) time.Duration {
		if turn := turns[folder]; turn.Waiting {
			return min(turn.First, turn.Again)
		}
		return turns[folder].First
	}
	return slices.SortedStableFunc(slices.Values(folders), func(a, b string) int { return cmp.Compare(last(a), last(b)) })
}

// limit takes out of a plan what is beyond the visit's share.
func (r *run) limit(ctx context.Context, p *plan, v *visit) error {
	v.left = nil
	if v.limit.none() || p.onlyOverdue {
		return nil
	}
	var fresh []fetch.Ref
	for _, ref := range p.retrieve {
		if p.isNew(ref) {
			fresh = append(fresh, ref)
		}
	}
	sizes, err := r.sizes(ctx, p, v, fresh)
	if err != nil {
		return err
	}
	takeFresh, takeRetries := v.pick(fresh, p.retries, sizes)
	left := slices.Concat(fresh[takeFresh:], p.retries[takeRetries:])
	beyond := make(map[fetch.Ref]bool, len(left))
	v.left = make(map[string]bool, len(left))
	for _, ref := range left {
		beyond[ref], v.left[ref.UID] = true, true
	}
	p.retrieve = slices.DeleteFunc(p.retrieve, func(ref fetch.Ref) bool { return beyond[ref] })
	p.retries = p.retries[:takeRetries]
	return nil
}

// sizes returns the sizes of the messages that may be taken. Where neither the listing nor a record has them, the server is asked, for no
// more than what the share could hold.
func (r *run) sizes(ctx context.Context, p *plan, v *visit, fresh []fetch.Ref) (map[fetch.Ref]int64, error) {
	if v.limit.Octets == 0 {
		return nil, nil
	}
	sizes := map[fetch.Ref]int64{}
	for _, refs := range [][]fetch.Ref{fresh, p.retries} {
		var sum int64
		for group := range slices.Chunk(refs, batchSize) {
			var unknown []fetch.Ref
			for _, ref := range group {
				if sizes[ref] = p.knownSize(ref); sizes[ref] == 0 {
					unknown = append(unknown, ref)
				}
			}
			found, err := r.askSizes(ctx, unknown)
			if err != nil {
				return nil, err
			}
			maps.Copy(sizes, found) // a server that refuses to say them does not keep the mail
			for _, ref := range group {
				sum += sizes[ref]
			}
			if sum > v.share.Octets {
				break
			}
		}
	}
	return sizes, nil
}

// search returns the UIDs that a search finds in the open folder.
func (r *run) search(ctx context.Context, what fetch.Search) (map[string]bool, error) {
	searcher, ok := r.session.mailbox.(fetch.Searcher)
	if !ok {
		return nil, &fetch.Error{Kind: fetch.Unsupported, Op: "SEARCH", Err: errors.New("the protocol has no search")}
	}
	return searcher.Search(ctx, what)
}
