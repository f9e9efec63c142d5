package transfer

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
)

func TestFloodJudge(t *testing.T) {
	const here, before = 7, 6
	same := []uint32{here}
	other := []uint32{before}
	both := []uint32{before, here}
	const deliver, adopt = "deliver", "adopt"
	const limit = 10
	for _, c := range []struct {
		name  string
		rules Flood
		s     sighting
		keep  string // what is to happen with a mailbox that keeps its messages
		empty string // with one that deletes what was delivered; "" means the same
	}{
		{"a few new messages", Flood{}, sighting{generations: same, known: 50, unknown: limit}, deliver, ""},
		{"many new messages", Flood{}, sighting{generations: same, known: 50, unknown: limit + 1}, deliver, ""},
		{"many new messages, the old ones were deleted", Flood{}, sighting{generations: same, unknown: limit + 1}, deliver, ""},
		{"many new ones, a few old ones vanished", Flood{}, sighting{generations: same, known: 20, vanished: 10, unknown: limit + 1}, deliver, ""},
		{"many new ones, many old ones vanished", Flood{}, sighting{generations: same, known: 20, vanished: 11, unknown: limit + 1}, "vanished at once", ""},
		{"many new ones, a fifth of a large mailbox vanished", Flood{}, sighting{generations: same, known: 100, vanished: 20, unknown: limit + 1}, deliver, ""},
		{"many new ones, more than a fifth vanished", Flood{}, sighting{generations: same, known: 100, vanished: 21, unknown: limit + 1}, "vanished at once", ""},
		{"a few new ones, all old ones vanished", Flood{}, sighting{generations: same, known: 20, vanished: 20, unknown: limit}, deliver, ""},
		{"a new UIDVALIDITY", Flood{}, sighting{generations: other, unknown: limit + 1}, "UIDVALIDITY changed to 7", ""},
		{"a new UIDVALIDITY, a few messages", Flood{}, sighting{generations: other, unknown: limit}, deliver, ""},
		{"a UIDVALIDITY that was taken in before", Flood{}, sighting{generations: both, known: 1, unknown: limit + 1}, deliver, ""},
		{"the first pass, a few messages", Flood{}, sighting{unknown: limit}, deliver, ""},
		{"the first pass, many messages", Flood{}, sighting{unknown: limit + 1}, "the ledger knows nothing of this mailbox", deliver},
		{"the first pass, to deliver", Flood{First: FirstRun{Action: DeliverAll}}, sighting{unknown: limit + 1}, deliver, ""},
		{"the first pass, to adopt", Flood{First: FirstRun{Action: AdoptAll}}, sighting{unknown: 1}, adopt, ""},
		{"the first pass, to adopt many", Flood{First: FirstRun{Action: AdoptAll}}, sighting{unknown: limit + 1}, adopt, ""},
		{"to adopt, empty at the first pass", Flood{First: FirstRun{Action: AdoptAll}}, sighting{unknown: limit, passEndedWell: true}, deliver, ""},
		{"to adopt, many after a good pass", Flood{First: FirstRun{Action: AdoptAll}}, sighting{unknown: limit + 1, passEndedWell: true}, adopt, ""},
		{"to adopt, a folder seen empty, another pass failed", Flood{First: FirstRun{Action: AdoptAll}}, sighting{unknown: 1, seen: true}, deliver, ""},
		{"to adopt, many in a folder seen empty", Flood{First: FirstRun{Action: AdoptAll}}, sighting{unknown: limit + 1, seen: true, passEndedWell: true}, "it was empty when a pass first saw it", ""},
		{"to ask, many in a folder seen empty", Flood{}, sighting{unknown: limit + 1, seen: true, passEndedWell: true}, "the ledger knows nothing of this mailbox", deliver},
		{"to adopt at the first pass, and this is a later one", Flood{First: FirstRun{Action: AdoptAll}}, sighting{generations: same, known: 1, unknown: 1}, deliver, ""},
		{"to adopt, and a pass was cut short that did", Flood{First: FirstRun{Action: AdoptAll}}, sighting{generations: same, known: 50, adopting: true, unknown: limit + 1}, adopt, ""},
		{"to adopt, and a pass was cut short that did, a few are left", Flood{First: FirstRun{Action: AdoptAll}}, sighting{generations: same, known: 50, adopting: true, unknown: limit}, deliver, ""},
		{"to ask, and a pass was cut short that adopted", Flood{}, sighting{generations: same, known: 50, adopting: true, unknown: limit + 1}, "cut short", ""},
		{"to adopt at the first pass, and a new UIDVALIDITY", Flood{First: FirstRun{Action: AdoptAll}}, sighting{generations: other, unknown: limit + 1}, "UIDVALIDITY changed", ""},
		{"a person accepted", Flood{Accept: true}, sighting{generations: other, unknown: limit + 1}, deliver, ""},
		{"a person accepted the first pass", Flood{Accept: true, First: FirstRun{Action: AdoptAll}}, sighting{unknown: limit + 1}, deliver, ""},
		{"a person adopted", Flood{Adopt: true}, sighting{generations: other, unknown: 1}, adopt, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rules.Limit = limit
			c.s.folder = folderKey{account: "work", name: "Archive", validity: here}
			if c.empty == "" {
				c.empty = c.keep
			}
			for action, want := range map[fetch.Action]string{fetch.Keep: c.keep, fetch.Flag: c.keep, fetch.Delete: c.empty, fetch.Move: c.empty} {
				adopts, err := c.rules.judge(c.s, action)
				got := deliver
				switch {
				case err != nil:
					got = err.Error()
				case adopts:
					got = adopt
				}
				if !strings.Contains(got, want) {
					t.Errorf("action %d: %s, want %s", action, got, want)
				}
				if err != nil && !strings.HasPrefix(got, "list folder Archive: ") {
					t.Errorf("%q does not name the folder", got)
				}
			}
		})
	}
}

// TestFloodHint: the hint names the account in both of its commands, and POP3's mailbox has no folder name.
func TestFloodHint(t *testing.T) {
	_, err := Flood{}.judge(sighting{folder: folderKey{account: "work"}, unknown: 1}, fetch.Keep)
	stop, ok := err.(*Error)
	if !ok {
		t.Fatalf("got %v, want an *Error", err)
	}
	if stop.Op != "list the mailbox" || !strings.Contains(stop.Advice, "truehop accept work") || !strings.Contains(stop.Advice, "truehop adopt work") {
		t.Errorf("%q, hint %q", stop.Op, stop.Advice)
	}
}
