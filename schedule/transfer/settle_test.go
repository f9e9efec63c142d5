package transfer

import (
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

func TestDisposalByState(t *testing.T) {
	const keep, long = fetch.Keep, 3 * 24 * time.Hour
	proof := proven(t, leastProof, 0)
	for _, c := range []struct {
		state              ledger.State
		age                time.Duration
		delivered, refused fetch.Action
		want               fetch.Action
		mayForget          bool
	}{
		{ledger.Delivered, 0, fetch.Delete, keep, fetch.Delete, true},
		{ledger.Delivered, 0, keep, fetch.Delete, keep, true},
		{ledger.Delivered, 0, fetch.Move, fetch.Delete, fetch.Move, true},
		{ledger.Quarantined, 0, fetch.Delete, keep, fetch.Delete, true},
		{ledger.Refused, long - 1, keep, fetch.Delete, keep, false},
		{ledger.Refused, -long, keep, fetch.Delete, keep, false},
		{ledger.Refused, long, keep, fetch.Delete, fetch.Delete, true},
		{ledger.Refused, long, keep, fetch.Move, fetch.Move, false},
		{ledger.Refused, long, fetch.Delete, keep, keep, false},
		{ledger.PartlyRefused, long, fetch.Delete, fetch.Delete, keep, false},
		{ledger.Held, long, fetch.Delete, fetch.Delete, keep, false},
		{ledger.Adopted, long, fetch.Delete, fetch.Delete, keep, false},
		{ledger.Deferred, long, fetch.Delete, fetch.Delete, keep, false},
		{ledger.Doubt, long, fetch.Delete, fetch.Delete, keep, false},
		{ledger.Sending, long, fetch.Delete, fetch.Delete, keep, false},
	} {
		rules := disposalRules{onDelivered: fetch.Disposal{Action: c.delivered}, onRefused: fetch.Disposal{Action: c.refused}, brake: Brake{Grace: long, Proof: proof}}
		if d, mayForget := rules.of(c.state, c.age, 0); d.Action != c.want || mayForget != c.mayForget {
			t.Errorf("%s since %v, delivered %d, refused %d: %d and %v, want %d and %v",
				c.state, c.age, c.delivered, c.refused, d.Action, mayForget, c.want, c.mayForget)
		}
	}
}
