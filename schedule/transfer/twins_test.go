package transfer_test

import (
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
)

func TestTwoMessagesShareAUID(t *testing.T) {
	w := keeping(t, true)
	for _, n := range []int{1, 2} {
		w.add(n)
		w.uidl("twin")
	}
	w.run()
	w.run()
	w.delivered(1, 2)
}

// TestMessagesThatShareAUIDAreNotRetrievedAtEachPass: they are known by their sizes, but for once a day, and but for a pass that
// shows another size or number.
func TestMessagesThatShareAUIDAreNotRetrievedAtEachPass(t *testing.T) {
	w := keeping(t, true)
	for _, n := range []int{1, 20, 100} {
		w.add(n)
		w.uidl("twin")
	}
	w.run()
	for _, pass := range []struct {
		name      string
		change    func()
		retrieved int
	}{
		{"nothing new", func() {}, 0},
		{"nothing new, later", func() { w.clock = w.clock.Add(11 * time.Hour) }, 0},
		{"the next day", func() { w.clock = w.clock.Add(2 * time.Hour) }, 3},
		{"nothing new since", func() {}, 0},
		{"one more", func() { w.add(200); w.uidl("twin") }, 4},
		{"nothing new again", func() {}, 0},
		{"one exchanged", func() { w.store.Remove("", w.store.UIDs("")[0]); w.add(30); w.uidl("twin") }, 4},
		{"one gone", func() { w.store.Remove("", w.store.UIDs("")[0]) }, 3},
	} {
		w.pass.Last, w.retrieved = w.clock, 0
		pass.change()
		w.run()
		if w.retrieved != pass.retrieved {
			t.Errorf("%s: %d messages retrieved, want %d", pass.name, w.retrieved, pass.retrieved)
		}
	}
	w.delivered(1, 20, 100, 200, 30)
}

// TestMessagesThatShareAUIDAreRetrievedToBeDeleted: only their content tells which of them is which.
func TestMessagesThatShareAUIDAreRetrievedToBeDeleted(t *testing.T) {
	w := keeping(t, true)
	for _, n := range []int{1, 20} {
		w.add(n)
		w.uidl("twin")
	}
	w.run()
	w.left(2)
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	w.run()
	w.delivered(1, 20)
	w.left(0)
}

func TestNewMessageSharesTheUIDOfAKnownOne(t *testing.T) {
	for name, disposal := range map[string]fetch.Disposal{"keep": {}, "delete": {Action: fetch.Delete}} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, true)
			w.add(1)
			w.uidl("twin")
			w.run()
			w.pass.OnDelivered = disposal
			w.add(2)
			w.uidl("twin")
			w.run()
			w.run()
			w.delivered(1, 2)
		})
	}
}
