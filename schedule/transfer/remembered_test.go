package transfer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// asked are the searches of a server, each with what it asks for: all, or what is new.
func (w *world) asked(server *fakeserver.IMAP) *[]string {
	var asked []string
	server.Reply = func(verb, args string) (string, bool) {
		if verb == "UID SEARCH" {
			what := "all"
			if strings.Contains(args, ":*") {
				what = "new"
			}
			asked = append(asked, what)
		}
		return "", false
	}
	w.overIMAP(server)
	return &asked
}

// TestPollOfAKeptMailboxAsksForWhatIsNew: once a pass has left nothing to do, later ones ask for what is new only, and deliver it;
// after a day, or whenever something does not add up, they ask for all.
func TestPollOfAKeptMailboxAsksForWhatIsNew(t *testing.T) {
	type step struct {
		name   string
		change func(w *world)
		want   string // the searches of the pass
		listed int
		total  []int // delivered so far
	}
	nothing := func(*world) {}
	for name, steps := range map[string][]step{
		"new mail": {
			{"nothing new", nothing, "new", 3, []int{1, 2, 3}},
			{"one is new", func(w *world) { w.add(4) }, "new", 4, []int{1, 2, 3, 4}},
			{"nothing new again", nothing, "new", 4, []int{1, 2, 3, 4}},
			{"a day has passed", func(w *world) { w.clock = w.clock.Add(24 * time.Hour) }, "all", 4, []int{1, 2, 3, 4}},
			{"nothing new after that", nothing, "new", 4, []int{1, 2, 3, 4}},
		},
		"by other hands": {
			{"one was removed", func(w *world) { w.store.Remove("", 2) }, "new all", 2, []int{1, 2, 3}},
			{"nothing since", nothing, "new", 2, []int{1, 2, 3}},
			{"one came for one that went", func(w *world) { w.store.Remove("", 1); w.add(4) }, "new all", 2, []int{1, 2, 3, 4}},
			{"a copy of one that is there", func(w *world) { w.add(4) }, "new", 3, []int{1, 2, 3, 4, 4}},
			{"another UIDVALIDITY", func(w *world) { w.store.SetValidity("", 9) }, "new all", 3, []int{1, 2, 3, 4, 4}},
		},
		"by a person": {
			{"accepted", func(w *world) { w.pass.Flood.Accept = true }, "all", 3, []int{1, 2, 3}},
			{"forgotten", func(w *world) {
				w.pass.Flood.Accept = false
				rs, err := w.ledger.List(w.t.Context(), ledger.Filter{UID: "2"})
				if err != nil || len(rs) != 1 {
					w.t.Fatalf("found %v, %v", rs, err)
				}
				if err := w.ledger.Remove(w.t.Context(), []ledger.Key{rs[0].Key}); err != nil {
					w.t.Fatal(err)
				}
			}, "all", 3, []int{1, 2, 3, 2}},
			{"another configuration", func(w *world) { w.pass.DeleteAfter = 36 * time.Hour }, "all", 3, []int{1, 2, 3, 2}},
			{"by that, nothing new", nothing, "new", 3, []int{1, 2, 3, 2}},
			{"before it is due", func(w *world) { w.clock = w.clock.Add(23 * time.Hour) }, "new", 3, []int{1, 2, 3, 2}},
			{"when it is due", func(w *world) { w.clock = w.clock.Add(14 * time.Hour) }, "all", 3, []int{1, 2, 3, 2}},
			{"when it has gone", func(w *world) {
				if left := len(w.store.List("")); left != 0 {
					w.t.Errorf("%d are left", left)
				}
			}, "all", 0, []int{1, 2, 3, 2}},
		},
		"after trouble": {
			{"the last pass failed", func(w *world) { w.pass.Failed = true }, "all", 3, []int{1, 2, 3}},
			{"one is deferred", func(w *world) {
				w.pass.Failed = false
				w.add(4)
				w.mta.verdict = func(*inject.Message, int) inject.Receipt {
					return inject.Receipt{Outcome: inject.Deferred, Stage: "RCPT", Reply: inject.Reply{Code: 450, Enhanced: "4.7.1", Text: "later"}}
				}
			}, "new", 4, []int{1, 2, 3}},
			{"before its time", nothing, "all", 4, []int{1, 2, 3}},
			{"in its time", func(w *world) { w.mta.verdict = nil; w.clock = w.clock.Add(2 * time.Hour) }, "all", 4, []int{1, 2, 3, 4}},
			{"nothing new", nothing, "new", 4, []int{1, 2, 3, 4}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{}
			w.pass.Folders = []string{"INBOX"}
			asked := w.asked(&fakeserver.IMAP{Capabilities: []string{"CONDSTORE"}})
			for n := range 3 {
				w.add(n + 1)
			}
			w.run()
			if got := strings.Join(*asked, " "); got != "all" {
				t.Fatalf("the first pass asked for %s", got)
			}
			for _, s := range steps {
				*asked = nil
				w.clock = w.clock.Add(time.Minute)
				s.change(w)
				summary := w.run()
				if got := strings.Join(*asked, " "); got != s.want || summary.Listed != s.listed {
					t.Errorf("%s: the pass asked for %s and listed %d, want %s and %d", s.name, got, summary.Listed, s.want, s.listed)
				}
				w.delivered(s.total...)
			}
		})
	}
}

// TestPollWithoutHighestModSeq: where nothing confirms the numbers, all is listed each hour.
func TestPollWithoutHighestModSeq(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = []string{"INBOX"}
	asked := w.asked(&fakeserver.IMAP{})
	w.add(1)
	for range 4 {
		w.run()
		w.clock = w.clock.Add(30 * time.Minute)
	}
	if got := strings.Join(*asked, " "); got != "all new all new" {
		t.Errorf("asked for %s", got)
	}
}

// TestMuchNewMailIsNoNewUIDVALIDITY: what came since is not taken for a mailbox numbered anew, only because the messages that were there are
// not listed and UIDVALIDITY changed long ago.
func TestMuchNewMailIsNoNewUIDVALIDITY(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = []string{"INBOX"}
	w.pass.Flood.Limit = 2
	asked := w.asked(&fakeserver.IMAP{Capabilities: []string{"CONDSTORE"}})
	w.add(1)
	w.add(2)
	w.run()
	w.store.Remove("", 1) // its record stays what it was
	w.store.SetValidity("", 9)
	w.run()
	for n := range 3 {
		w.add(n + 3)
	}
	*asked = nil
	w.run()
	w.delivered(1, 2, 3, 4, 5)
	if got := strings.Join(*asked, " "); got != "new" {
		t.Errorf("asked for %s", got)
	}
}

// TestMailMovedBetweenFoldersIsKnownWithoutAListing: what came into a folder that is not listed as a whole may be delivered mail of another.
func TestMailMovedBetweenFoldersIsKnownWithoutAListing(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = []string{"INBOX", "Work"}
	asked := w.asked(&fakeserver.IMAP{Capabilities: []string{"CONDSTORE"}})
	w.add(1)
	w.store.Add("Work", mail(2))
	w.run()
	w.store.Move("", 1, "Work")
	w.add(3)
	*asked = nil
	w.run()
	w.delivered(1, 2, 3)
	if got := strings.Join(*asked, " "); got != "new all new" {
		t.Errorf("asked for %s", got)
	}
}

// readingLedger counts how often all records of a folder were read.
type readingLedger struct {
	transfer.Ledger
	read int
}

func (l *readingLedger) Briefs(ctx context.Context, account, folder string, validity uint32) (map[string][]ledger.Brief, error) {
	l.read++
	return l.Ledger.Briefs(ctx, account, folder, validity)
}

// TestPollOverPOP3ReadsNoRecordsWithoutNeed: where the list of messages is what it was, the pass does not go through what it knows.
func TestPollOverPOP3ReadsNoRecordsWithoutNeed(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	server := &fakeserver.POP3{Store: w.store, User: "u", Password: "correct horse"}
	addr := fetchtest.Listen(t, server.Serve).Addr()
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		return pop3.New(ctx, fetchtest.Dial(t, addr), pop3.Options{Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true}})
	}
	records := &readingLedger{Ledger: w.pass.Ledger}
	w.pass.Ledger = records
	for n := range 3 {
		w.add(n + 1)
	}
	for _, s := range []struct {
		name   string
		change func()
		reads  bool
		listed int
		total  []int // delivered so far
	}{
		{"the first", func() {}, true, 3, []int{1, 2, 3}},
		{"nothing new, which it has to see", func() {}, true, 3, []int{1, 2, 3}},
		{"nothing new", func() {}, false, 3, []int{1, 2, 3}},
		{"one is new", func() { w.add(4) }, true, 4, []int{1, 2, 3, 4}},
		{"nothing new, which it has to see again", func() {}, true, 4, []int{1, 2, 3, 4}},
		{"nothing new again", func() {}, false, 4, []int{1, 2, 3, 4}},
		{"one was removed", func() { w.store.Remove("", 2) }, true, 3, []int{1, 2, 3, 4}},
		{"nothing since", func() {}, false, 3, []int{1, 2, 3, 4}},
		{"a day has passed", func() { w.clock = w.clock.Add(24 * time.Hour) }, true, 3, []int{1, 2, 3, 4}},
		{"delivered mail is to be deleted", func() { w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete} }, true, 3, []int{1, 2, 3, 4}},
		{"when it has gone", func() {}, true, 0, []int{1, 2, 3, 4}},
		{"nothing in an empty mailbox", func() {}, false, 0, []int{1, 2, 3, 4}},
	} {
		records.read = 0
		w.clock = w.clock.Add(time.Minute)
		s.change()
		if summary := w.run(); (records.read > 0) != s.reads || summary.Listed != s.listed {
			t.Errorf("%s: read %d times, listed %d; want %v and %d", s.name, records.read, summary.Listed, s.reads, s.listed)
		}
		w.delivered(s.total...)
	}
}
