package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestFailureIsToldOnceADay: an account that keeps failing is told once, then once a day, when the failure changes, and when
// it recovers; what waits is told once, until its number changes.
func TestFailureIsToldOnceADay(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	refused := func(port string) error { return errors.New("dial tcp 192.0.2.1:" + port + ": connection refused") }
	var last ledger.Told
	for _, c := range []struct {
		name    string
		after   time.Duration
		summary transfer.Summary
		err     error
		known   bool
		passes  int
		back    bool
	}{
		{"all is well", 0, transfer.Summary{Delivered: 1}, nil, false, 0, false},
		{"the first failure", time.Minute, transfer.Summary{}, refused("993"), false, 0, false},
		{"the same, by another port", time.Minute, transfer.Summary{}, refused("40123"), true, 2, false},
		{"the same", time.Minute, transfer.Summary{}, refused("7"), true, 3, false},
		{"hours later", 23 * time.Hour, transfer.Summary{}, refused("40125"), true, 4, false},
		{"a day later", time.Hour, transfer.Summary{}, refused("40126"), false, 5, false},
		{"and again", time.Hour, transfer.Summary{}, refused("40127"), true, 6, false},
		{"the clock was set back", -9 * time.Hour, transfer.Summary{}, refused("40127"), false, 7, false},
		{"another failure", time.Minute, transfer.Summary{}, errors.New("certificate expired"), false, 0, false},
		{"it recovers, and mail waits", time.Minute, transfer.Summary{Deferred: 2}, nil, false, 1, true},
		{"it still waits", 48 * time.Hour, transfer.Summary{Waiting: 2}, nil, true, 2, false},
		{"more waits", time.Minute, transfer.Summary{Waiting: 2, Deferred: 1}, nil, false, 0, false},
		{"nothing waits", time.Minute, transfer.Summary{}, nil, false, 0, false},
		{"it fails anew", time.Minute, transfer.Summary{}, refused("1"), false, 0, false},
		{"another process fails, and has the account", time.Minute, transfer.Summary{}, &ledger.Error{Kind: ledger.Busy}, true, 2, false},
		{"which fails again", time.Minute, transfer.Summary{}, refused("2"), true, 3, false},
		{"and recovers", time.Minute, transfer.Summary{}, nil, false, 3, true},
		{"another process has the account for days", time.Minute, transfer.Summary{}, &ledger.Error{Kind: ledger.Busy}, false, 0, false},
		{"and still", time.Hour, transfer.Summary{}, &ledger.Error{Kind: ledger.Busy}, true, 2, false},
		{"and the next day", 24 * time.Hour, transfer.Summary{}, &ledger.Error{Kind: ledger.Busy}, false, 3, false},
		{"and gives it back", time.Minute, transfer.Summary{}, nil, false, 3, true},
		{"the login is refused", time.Minute, transfer.Summary{}, &RefusedError{Times: 1}, false, 0, false},
		{"the next one waits", time.Minute, transfer.Summary{}, &RefusedError{Times: 1, Waits: true}, true, 2, false},
		{"it is refused again", 15 * time.Minute, transfer.Summary{}, &RefusedError{Times: 2}, true, 3, false},
		{"a day after it was told", 24 * time.Hour, transfer.Summary{}, &RefusedError{Times: 5, Waits: true}, false, 4, false},
		{"and again", time.Hour, transfer.Summary{}, &RefusedError{Times: 6}, true, 5, false},
		{"other credentials are refused", time.Minute, transfer.Summary{}, &RefusedError{Times: 1}, false, 0, false},
		{"as they were", time.Minute, transfer.Summary{}, &RefusedError{Times: 1, Waits: true}, true, 2, false},
		{"the right ones", time.Minute, transfer.Summary{}, nil, false, 2, true},
		{"and all is well", time.Minute, transfer.Summary{}, nil, false, 0, false},
	} {
		now = now.Add(c.after)
		var got Telling
		got, last = telling(last, c.summary, c.err, now)
		if got.Known != c.known || got.Passes != c.passes || got.Recovered != c.back {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	if last != (ledger.Told{}) {
		t.Errorf("at the end it remembers %+v", last)
	}
}

// TestLongFailureIsRecognised: the ledger keeps the begin of what was told.
func TestLongFailureIsRecognised(t *testing.T) {
	err := errors.New(strings.Repeat("x", 2000))
	_, last := telling(ledger.Told{}, transfer.Summary{}, err, time.UnixMilli(1))
	if got, _ := telling(last, transfer.Summary{}, err, time.UnixMilli(2)); !got.Known || len(last.What) != 512 {
		t.Errorf("%+v, of %d octets", got, len(last.What))
	}
}
