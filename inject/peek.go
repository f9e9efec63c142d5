package inject

import (
	"errors"
	"os"
	"time"
)

// glance waits for no time worth mentioning for something to read, on connections
// that the system knows nothing of: TLS and pipes.
func (s *Session) glance() (bool, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
	_, err := s.in.r.Peek(1)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}
