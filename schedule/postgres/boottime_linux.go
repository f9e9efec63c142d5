package postgres

import (
	"time"

	"golang.org/x/sys/unix"
)

// boottime is a clock that never goes back and counts the time in which the machine was suspended, as the lease's does in the database.
// A process that was stopped, or slept with its machine, sees by it that its lease is over. The runtime's own clock stands still meanwhile.
func boottime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic(err) // every Linux that Go runs on has it
	}
	return time.Duration(now.Nano())
}
