package transfer_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/schedule/transfer"
)

// TestNamesAreLookedUpAheadInOrder: where messages go in order, the names of all are looked up at once, and the order stays: no
// look-up here ends before every one has begun, and the last then ends first.
func TestNamesAreLookedUpAheadInOrder(t *testing.T) {
	const messages = 20
	w := newWorld(t)
	var want []int
	for n := 1; n <= messages; n++ {
		w.store.Add("", []byte(strings.Replace(string(mail(n)), fmt.Sprintf("(host%d.example.org [", n), "([", 1)))
		want = append(want, n)
	}
	var mu sync.Mutex
	begun, last := 0, messages
	turn := sync.NewCond(&mu)
	w.pass.LookupName = func(_ context.Context, addr netip.Addr) transfer.Name {
		mu.Lock()
		defer mu.Unlock()
		n := int(addr.As4()[3])
		begun++
		turn.Broadcast()
		for begun < messages || n != last {
			turn.Wait()
		}
		last--
		turn.Broadcast()
		return transfer.Name{}
	}
	if s := w.run(); s.Delivered != messages {
		t.Errorf("the pass: %+v", s)
	}
	if begun != messages {
		t.Errorf("%d names were looked up", begun)
	}
	w.delivered(want...)
}
