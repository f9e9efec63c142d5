package imap

import (
	"context"
	"errors"
	"time"

	"github.com/truehop/truehop/fetch"
)

// maxIdle is how long one IDLE lasts: servers and address translators drop what is
// silent for 30 minutes (RFC 2177).
const maxIdle = 25 * time.Minute

// CanWatch reports whether the server offers IDLE.
func (c *Client) CanWatch() bool { return c.Has("IDLE") }

// Watch waits by IDLE (RFC 2177) until new mail arrives in the open folder, or for
// period at most, and reports whether mail arrived. Mail that arrived since Open
// counts as new. After the end of its context only Abort is allowed.
func (c *Client) Watch(ctx context.Context, period time.Duration) (arrived bool, err error) {
	if c.box == nil {
		return false, notOpen("IDLE")
	}
	if !c.CanWatch() {
		return false, &fetch.Error{Kind: fetch.Unsupported, Op: "IDLE", Err: errors.New("the server does not offer it")}
	}
	err = c.run(ctx, 0, func() error {
		for left := period; left > 0 && !arrived; left -= maxIdle {
			var err error
			if arrived, err = c.idle(min(left, maxIdle)); err != nil {
				return err
			}
		}
		return c.checkValidity("IDLE")
	})
	return arrived, err
}

// idle is one IDLE. While it lasts the server may be silent.
func (c *Client) idle(period time.Duration) (arrived bool, err error) {
	cmd, err := c.lib.Idle()
	if err != nil {
		return false, c.failed("IDLE", err)
	}
	timer := time.NewTimer(period)
	defer timer.Stop()
	c.g.end()
	select {
	case <-c.g.notes.arrived:
		arrived = true
	case <-timer.C:
	case <-c.lib.Closed():
	}
	c.g.begin(0)
	if err := cmd.Close(); err != nil {
		return false, c.failed("IDLE", err)
	}
	return arrived, c.failed("IDLE", cmd.Wait())
}
