package transfer_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestDryRunOfTheNewest: a dry run can be limited to the newest of what a pass would deliver, new or tried before. No
// other is retrieved, and how many are left out is told.
func TestDryRunOfTheNewest(t *testing.T) {
	for _, c := range []struct {
		newest  int
		want    []int
		leftOut int
	}{
		{0, []int{1, 2, 4, 5, 6}, 0},
		{1, []int{6}, 4},
		{4, []int{2, 4, 5, 6}, 1},
		{5, []int{1, 2, 4, 5, 6}, 0},
		{500, []int{1, 2, 4, 5, 6}, 0},
	} {
		t.Run(fmt.Sprint(c.newest), func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered.Action = fetch.Keep
			for n := range 3 {
				w.add(n + 1)
			}
			w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
				if attempt == 3 {
					return reply(inject.Delivered, "dot", 250, "2.0.0", "Ok")
				}
				return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
			}
			w.run()
			w.clock = w.clock.Add(time.Hour)
			for n := range 3 {
				w.add(n + 4)
			}
			var asked []int
			w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
				var n int
				if _, err := fmt.Sscanf(m.From, "sender%d@", &n); err != nil {
					t.Error(err)
				}
				asked = append(asked, n)
				return reply(inject.Deferred, "RCPT", 250, "2.1.5", "Ok")
			}
			w.pass.DryRun, w.pass.Newest, w.retrieved = true, c.newest, 0
			s := w.run()
			slices.Sort(asked)
			if fmt.Sprint(asked) != fmt.Sprint(c.want) || w.retrieved != len(c.want) || s.Asked != len(c.want) {
				t.Errorf("asked about %v, retrieved %d, %d counted; want %v", asked, w.retrieved, s.Asked, c.want)
			}
			for _, e := range w.events {
				if e.Kind == transfer.Listed && e.NotAsked != c.leftOut {
					t.Errorf("%d left out, want %d", e.NotAsked, c.leftOut)
				}
			}
		})
	}
}

// TestOnlyADryRunIsLimited: what is to be delivered is never limited to the newest.
func TestOnlyADryRunIsLimited(t *testing.T) {
	w := newWorld(t)
	w.pass.Newest = 1
	for n := range 3 {
		w.add(n + 1)
	}
	if s := w.run(); s.Delivered != 3 || s.Asked != 0 {
		t.Errorf("%+v", s)
	}
}

// TestAskedIsNotDelivered: what was only asked is counted as that, whatever the MTA said and however the dry run ended.
func TestAskedIsNotDelivered(t *testing.T) {
	down := &inject.Error{Kind: inject.Unreachable, Op: "connect"}
	verdicts := map[int]inject.Receipt{
		1: reply(inject.Deferred, "RCPT", 250, "2.1.5", "Ok"),
		2: reply(inject.Refused, "RCPT", 554, "5.7.1", "listed"),
		3: reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted"),
		4: reply(inject.Refused, "RCPT", 550, "5.1.1", "unknown"),
		5: {Stage: "connect", Err: down, BeforeClient: true},
	}
	for _, messages := range []int{4, 5} {
		w := newWorld(t)
		w.pass.DryRun = true
		for n := range messages {
			w.add(n + 1)
		}
		w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt { return verdicts[attempt] }
		s, err := w.try()
		if failed := errors.Is(err, down); failed != (messages == 5) {
			t.Fatalf("%d messages: %v", messages, err)
		}
		want := transfer.Summary{Listed: messages, Asked: 4} // of the fifth the MTA was told nothing
		if s != want {
			t.Errorf("%d messages: counted %+v, want %+v", messages, s, want)
		}
		w.states(map[ledger.State]int{})
	}
}

// TestDryRunTellsWhatWouldGo: after on_delivered was changed from keep to delete, a dry run tells how many messages a pass would delete,
// and deletes none.
func TestDryRunTellsWhatWouldGo(t *testing.T) {
	for name, reusable := range map[string]bool{"UIDs that last": false, "UIDs that may name another message": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable = reusable
			w.pass.OnDelivered.Action = fetch.Keep
			for n := range 3 {
				w.add(n + 1)
			}
			w.run()
			w.pass.OnDelivered.Action, w.pass.DryRun, w.events = fetch.Delete, true, nil
			w.run()
			told := 0
			for _, e := range w.events {
				told += e.Disposals[fetch.Disposal{Action: fetch.Delete}]
			}
			w.left(3)
			if told != 3 {
				t.Errorf("%d are said to go, want 3", told)
			}
		})
	}
}
