package imap

import (
	"context"
	"log/slog"
	"time"

	"github.com/truehop/truehop/fetch"
)

const (
	// maxIdle is how long one IDLE lasts: servers and address translators drop what is
	// silent for 30 minutes (RFC 2177).
	maxIdle = 25 * time.Minute
	// pollEvery is how often a server is asked that announces nothing.
	pollEvery = time.Minute
	// maxUnannounced is how many times mail may be found at the end of an IDLE that has announced none.
	maxUnannounced = 2
)

// CanWatch reports whether the server offers IDLE.
func (c *Client) CanWatch() bool { return c.Has("IDLE") }

// Watch waits by IDLE (RFC 2177) until new mail arrives in the open folder, or for
// period at most, and reports whether mail arrived. Mail that arrived since Open
// counts as new. A server without IDLE, or one that refuses it or announces nothing in it, is asked by NOOP every minute.
// After the end of its context only Abort is allowed.
func (c *Client) Watch(ctx context.Context, period time.Duration) (arrived bool, err error) {
	if c.box == nil {
		return false, notOpen("IDLE")
	}
	err = c.run(ctx, 0, func() error {
		for left := period; left > 0 && !arrived; {
			wait, longest := c.idle, maxIdle
			polled := !c.CanWatch() || c.silent
			if polled {
				longest = pollEvery
				wait = func(span time.Duration) (bool, error) {
					if c.await(span) {
						return true, nil
					}
					return c.noop()
				}
			}
			span := min(left, longest)
			var err error
			if arrived, err = wait(span); err != nil && !polled && !fetch.EndsSession(err) {
				c.askInstead("IDLE is refused here", err)
				continue
			}
			if err != nil {
				return err
			}
			left -= span
		}
		return c.checkValidity("IDLE")
	})
	return arrived, err
}

// askInstead has the server asked by NOOP in place of IDLE for the rest of the session.
func (c *Client) askInstead(why string, refusal error) {
	c.silent = true
	attrs := []slog.Attr{slog.String("why", why)}
	if refusal != nil {
		attrs = append(attrs, slog.String("error", refusal.Error()))
	}
	c.opts.Logger.LogAttrs(context.Background(), slog.LevelInfo, "the server is asked for new mail every minute", attrs...)
}

// idle is one IDLE. While it lasts the server may be silent. Where nothing was announced the server is asked once. If there is
// new mail, it may have come just then; if it is so the next time, too, and nothing was announced in between, its IDLE is good for nothing.
func (c *Client) idle(period time.Duration) (arrived bool, err error) {
	cmd, err := c.lib.Idle()
	if err != nil {
		return false, c.failed("IDLE", err)
	}
	if arrived = c.await(period); arrived {
		c.unannounced = 0
	}
	if err := cmd.Close(); err != nil {
		return false, c.failed("IDLE", err)
	}
	if err := c.failed("IDLE", cmd.Wait()); err != nil || arrived {
		return arrived, err
	}
	if err := c.checkValidity("IDLE"); err != nil {
		return false, err
	}
	if arrived, err = c.noop(); arrived {
		c.unannounced++
	}
	if c.unannounced >= maxUnannounced {
		c.askInstead("IDLE announces nothing here", nil)
	}
	return arrived, err
}

// await waits until mail is announced, for period at most. The server may be silent meanwhile.
func (c *Client) await(period time.Duration) (arrived bool) {
	timer := time.NewTimer(period)
	defer timer.Stop()
	c.g.end()
	defer c.g.begin(0)
	select {
	case <-c.g.notes.arrived:
		return true
	case <-timer.C:
	case <-c.lib.Closed():
	}
	return false
}

// noop has the server say what it has not announced (RFC 9051 section 6.1.2).
func (c *Client) noop() (arrived bool, err error) {
	if err := c.failed("NOOP", c.lib.Noop().Wait()); err != nil {
		return false, err
	}
	select {
	case <-c.g.notes.arrived:
		return true, nil
	default:
		return false, nil
	}
}
