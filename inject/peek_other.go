//go:build !unix

package inject

// pending reports whether there is something to read.
func (s *Session) pending() (bool, error) { return s.glance() }
