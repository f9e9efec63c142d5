package inject

import (
	"context"
	"time"
)

// watch closes the connection when ctx ends. While the reply to a dot is due it only
// shortens the wait: cutting that short would put the message in doubt.
func (s *Session) watch(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cancelled = true
		if s.sealed {
			s.armed = time.Now().Add(s.o.Timeouts.Grace)
			_ = s.conn.SetDeadline(s.armed)
			return
		}
		_ = hardClose(s.conn)
	})
}

// armSlack is by how much a deadline may be early: one that is so near the one wanted is
// not set again, which for the replies to one write would cost more than reading them.
const armSlack = 50 * time.Millisecond

// arm sets the deadline of the next phase. All deadlines are set here and in watch, but for
// those of a look at what is waiting.
func (s *Session) arm(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cancelled {
		d = min(d, s.o.Timeouts.Grace)
	}
	until := time.Now().Add(d)
	if early := until.Sub(s.armed); early >= 0 && early < min(armSlack, d/10) {
		return
	}
	s.armed = until
	_ = s.conn.SetDeadline(until)
}

// seal says that the dot may be on the wire from now on, or no longer is open.
func (s *Session) seal(on bool) {
	s.mu.Lock()
	s.sealed = on
	s.mu.Unlock()
}
