package transfer_test

import (
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestMessageOfNoOctets: a message without an octet, or of an empty line alone, is delivered like another, and once.
func TestMessageOfNoOctets(t *testing.T) {
	w := newWorld(t)
	w.store.Add("", nil)
	w.store.Add("", []byte("\r\n"))
	w.add(3)
	if s := w.run(); s.Delivered != 3 {
		t.Errorf("the pass counts %+v", s)
	}
	w.states(map[ledger.State]int{ledger.Delivered: 3})
	w.left(0)
}
