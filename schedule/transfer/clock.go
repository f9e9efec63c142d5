package transfer

import "time"

// clock is the time during a pass, by the wall and by the account's clock, which no jump of the
// former makes wrong ([ledger.Ledger.Tick]).
type clock struct {
	wall    func() time.Time // nil means time.Now
	began   time.Time
	account time.Duration // what the account's clock showed when the pass began
}

func (c *clock) now() time.Time {
	if c.wall != nil {
		return c.wall()
	}
	return time.Now()
}

// accountTime is what the account's clock shows now.
func (c *clock) accountTime() time.Duration { return c.account + max(c.now().Sub(c.began), 0) }
