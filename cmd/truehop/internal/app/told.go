package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// tellAgain is after how long a failure that lasts is told again.
const tellAgain = 24 * time.Hour

// Telling says how the end of a pass relates to what was told before. The zero value says that it is to be told.
type Telling struct {
	// Known says that it was told before and has not changed.
	Known bool
	// Since and Passes say since when, and for how many passes, it has been so, or was before it ended. Passes is 0 where
	// nothing was told before.
	Since  time.Time
	Passes int
	// Recovered says that what was told before, a failure, has ended.
	Recovered bool
}

// kindFailed begins the Told.What of a pass that failed.
const kindFailed = "failed: "

// standing sums up how an account stands after a pass, such that it is the same while nothing changes; "" if there is
// nothing to tell. Numbers in an error are ports, times and counts, which do not make it another one.
func standing(s transfer.Summary, err error) string {
	var refused *RefusedError
	switch {
	case errors.As(err, &refused): // how often and until when changes by itself
		return kindFailed + "login refused"
	case err != nil:
		digit := func(r rune) bool { return r >= '0' && r <= '9' }
		return kindFailed + strings.Join(strings.FieldsFunc(err.Error(), digit), "#")
	case s.Waiting+s.Deferred+s.Lost > 0:
		return fmt.Sprintf("%d waiting, %d lost", s.Waiting+s.Deferred, s.Lost)
	}
	return ""
}

// telling decides whether how an account stands after a pass is to be told, and returns what is then known to be told: a failure
// once, then once a day; what waits or is lost once; both again when they change. Credentials that are refused for the first time
// are others than those that were refused before.
func telling(last ledger.Told, s transfer.Summary, err error, now time.Time) (Telling, ledger.Told) {
	var refused *RefusedError
	if errors.As(err, &refused) && refused.Times == 1 && !refused.Waits {
		last = ledger.Told{}
	}
	what := standing(s, err)
	// That another process has the account, whose pass fails for longer than the schedule's interval, is no other failure.
	if ledger.KindOf(err) == ledger.Busy && strings.HasPrefix(last.What, kindFailed) {
		what = last.What
	}
	return tellingOf(last, what, now)
}

// tellingOf is telling about what stands in the words of [standing].
func tellingOf(last ledger.Told, what string, now time.Time) (Telling, ledger.Told) {
	const longest = 512 // of what the ledger keeps
	what = what[:min(len(what), longest)]
	failed := strings.HasPrefix(what, kindFailed)
	switch {
	case what == last.What && what == "":
		return Telling{}, ledger.Told{}
	case what != last.What:
		t := Telling{Recovered: strings.HasPrefix(last.What, kindFailed) && !failed}
		if t.Recovered {
			t.Since, t.Passes = last.Since, last.Times
		}
		if what == "" {
			return t, ledger.Told{}
		}
		return t, ledger.Told{What: what, Since: now, At: now, Times: 1}
	}
	last.Times++
	t := Telling{Since: last.Since, Passes: last.Times}
	ago := now.Sub(last.At)
	overdue := failed && ago >= tellAgain
	if overdue || ago < 0 { // or the clock was set back, and the next time may be far away
		last.At = now
		return t, last
	}
	t.Known = true
	return t, last
}

// Telling records how a pass over an account ended, and says whether that is to be told: to whoever reads the log, not to a person who
// has just seen it. What was cut short is told and changes nothing.
func (a *App) Telling(ctx context.Context, account string, s transfer.Summary, err error) Telling {
	if errors.Is(err, context.Canceled) {
		return Telling{}
	}
	ctx = context.WithoutCancel(ctx)
	last, cause := a.ledger.Told(ctx, account)
	if cause != nil {
		return Telling{}
	}
	t, next := telling(last, s, err, a.setup().opts.Now())
	if next == last {
		return t
	}
	if cause := a.ledger.SetTold(ctx, account, next); cause != nil {
		return Telling{} // it would be told as known without having been told
	}
	return t
}
