package transfer

import (
	"slices"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestTakeOver: what another program has fetched is left alone, by its UID, whatever size it is listed with; the rest is new. A
// message that has a record keeps it, and to repeat it changes nothing.
func TestTakeOver(t *testing.T) {
	ctx := t.Context()
	l, err := ledger.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, at := range []folderKey{{account: "pop"}, {account: "imap", name: "INBOX", validity: 7}} {
		now := time.Unix(1_800_000_000, 0)
		held := ledger.Record{Key: at.key("held", noHash), State: ledger.Held, First: now, Last: now}
		if err := l.Put(ctx, held); err != nil {
			t.Fatal(err)
		}
		p := Predecessor{Account: at.account, Folder: at.name, Validity: at.validity, UIDs: []string{"a", "b", "a", "", "held", "gone"}, Program: "fetchmail", Mailbox: "me at h"}
		for i, want := range []int{3, 0} {
			if n, err := TakeOver(ctx, l, p, now); err != nil || n != want {
				t.Errorf("%s, time %d: %d recorded, %v, want %d", at.account, i+1, n, err, want)
			}
		}
		known, err := l.Briefs(ctx, at.account, at.name, at.validity)
		if err != nil {
			t.Fatal(err)
		}
		if b := known["held"]; len(b) != 1 || b[0].State != ledger.Held {
			t.Errorf("%s: the record of a held message became %v", at.account, b)
		}
		for _, reusable := range []bool{false, true} {
			listing := &fetch.Listing{Reusable: reusable, Refs: []fetch.Ref{{UID: "a", Size: 100, Seq: 1}, {UID: "b", Size: 5, Seq: 2}, {UID: "new", Size: 9, Seq: 3}}}
			plan := compare(at, listing, known, listingRules{now: now, disposal: disposalRules{onDelivered: fetch.Disposal{Action: fetch.Delete}}})
			if want := listing.Refs[2:]; !slices.Equal(plan.retrieve, want) || len(plan.settle)+len(plan.retries)+len(plan.suspects) > 0 {
				t.Errorf("%s: retrieved are %v, settled %v, want %v alone retrieved", at.account, plan.retrieve, plan.settle, want)
			}
		}
		trust, err := l.Trust(ctx, at.account, at.name)
		if err != nil || trust != ledger.Complete {
			t.Errorf("%s: the ledger is believed %v, %v, want %v", at.account, trust, err, ledger.Complete)
		}
	}
}
