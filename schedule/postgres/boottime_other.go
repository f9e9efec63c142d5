//go:build !linux

package postgres

import "time"

// boottime is the wall clock, which counts suspend. Where it is set back, a lease seems to last longer than it does.
func boottime() time.Duration { return time.Duration(time.Now().UnixNano()) }
