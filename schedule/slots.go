package schedule

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slotTime is how long a pass keeps others from beginning. One that takes longer gives its slot up, so that accounts that hang
// never delay the others.
const slotTime = 5 * time.Minute

// slots bounds the passes that run at a time. Those that wait come in the order in which they asked.
type slots struct {
	mu      sync.Mutex
	limit   int // 0: none
	taken   int
	waiting []chan struct{} // closed when the one who waits has a slot
}

// take waits for a slot, until ctx ends at most, and calls idle at least each recheck meanwhile. The slot is given back by give,
// or after slotTime.
func (s *slots) take(ctx context.Context, idle func()) (give func(), ok bool) {
	s.mu.Lock()
	mine := make(chan struct{})
	s.waiting = append(s.waiting, mine)
	s.serve()
	s.mu.Unlock()
	again := time.NewTicker(recheck)
	defer again.Stop()
	for {
		select {
		case <-mine:
			give := sync.OnceFunc(func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.taken--
				s.serve()
			})
			late := time.AfterFunc(slotTime, give)
			return func() { late.Stop(); give() }, true
		case <-again.C:
			idle()
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			if i := slices.Index(s.waiting, mine); i >= 0 {
				s.waiting = slices.Delete(s.waiting, i, i+1)
			} else { // it has come in the same moment
				s.taken--
			}
			s.serve()
			return nil, false
		}
	}
}

// serve gives slots to those who wait. The caller holds mu.
func (s *slots) serve() {
	room := func() bool { return s.limit == 0 || s.taken < s.limit }
	for len(s.waiting) > 0 && room() {
		s.taken++
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}

// resize changes the bound. Passes under way go on.
func (s *slots) resize(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = max(0, limit)
	s.serve()
}
