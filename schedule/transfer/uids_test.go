package transfer

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestRecordsAtRestMakeNoDifference: whatever a record says, and whatever the rules are, a pass that leaves out the records of messages at rest has to
// do what one does that has them all.
func TestRecordsAtRestMakeNoDifference(t *testing.T) {
	at := folderKey{account: "work", name: "INBOX", validity: 7}
	rules := map[string]disposalRules{
		"keep":         {},
		"flag":         {onDelivered: fetch.Disposal{Action: fetch.Flag}},
		"delete":       {onDelivered: fetch.Disposal{Action: fetch.Delete}},
		"move":         {onDelivered: fetch.Disposal{Action: fetch.Move, Target: "Done"}},
		"delete later": {deleteAfter: time.Hour},
		"refused":      {onRefused: fetch.Disposal{Action: fetch.Delete}, brake: Brake{Grace: time.Hour}},
	}
	left, kept := 0, 0
	for name, disposal := range rules {
		for _, failed := range []bool{false, true} {
			var listing fetch.Listing
			records := map[string][]ledger.Brief{}
			n := uint32(0)
			for _, state := range ledger.States() {
				for bits := range 1 << 7 {
					on := func(bit int) bool { return bits>>bit&1 == 1 }
					n++
					b := ledger.Brief{UID: fmt.Sprint(n), State: state, Disposed: on(0), Absent: on(1), Listed: 10, Ran: time.Minute, Next: noon.Add(-time.Minute)}
					if on(2) {
						b.Hash = hashOf(b.UID)
					}
					if on(3) {
						b.Size = 10
					}
					of := []ledger.Brief{b}
					if on(4) {
						twin := b
						twin.Hash = hashOf("twin of " + b.UID)
						of = append(of, twin)
					}
					records[b.UID] = of
					if !on(5) {
						listing.Refs = append(listing.Refs, fetch.Ref{Validity: 7, UID: b.UID, Seq: n, Size: -1})
					}
					if on(6) {
						listing.Refs = append(listing.Refs, fetch.Ref{Validity: 7, UID: "new " + b.UID, Seq: n + 1<<20, Size: -1})
					}
				}
			}
			with := listingRules{now: noon, account: 2 * time.Hour, disposal: disposal, failed: failed, retry: Retry{Min: time.Minute, Max: time.Hour}}
			want := compare(at, &listing, records, with)

			with.uids = uidCountsOf(listing.Refs)
			others := map[string][]ledger.Brief{}
			for uid, of := range records {
				if with.uids.noteAtRest(of, with) {
					left++
				} else {
					others[uid] = of
					kept++
				}
			}
			got := compare(at, &listing, others, with)
			if len(got.known)+got.atRest != len(want.known) {
				t.Errorf("%s: %d records and %d at rest, want %d", name, len(got.known), got.atRest, len(want.known))
			}
			same := func(what string, got, want any) {
				if !reflect.DeepEqual(got, want) {
					t.Errorf("%s, failed %v: %s differ", name, failed, what)
				}
			}
			for _, p := range []*plan{got, want} {
				p.renumbered = true
				slices.SortFunc(p.absent, compareKeys)
				slices.SortFunc(p.back, compareKeys)
			}
			same("those to be looked for under new UIDs", newPresence(at, &listing, got).sizeOf, newPresence(at, &listing, want).sizeOf)
			same("new ones", slices.DeleteFunc(slices.Clone(listing.Refs), got.isNew), slices.DeleteFunc(slices.Clone(listing.Refs), want.isNew))
			for _, p := range []*plan{got, want} {
				p.known, p.listed, p.asRecorded, p.atRest, p.atRestOtherwise = nil, nil, nil, 0, false
			}
			same("plans", got, want)
		}
	}
	if left == 0 || kept == 0 {
		t.Errorf("%d were left out, and %d kept", left, kept)
	}
}

func compareKeys(a, b ledger.Key) int {
	return cmp.Or(cmp.Compare(a.UID, b.UID), bytes.Compare(a.Hash[:], b.Hash[:]))
}
