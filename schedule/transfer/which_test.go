package transfer_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// searching is a world in which an IMAP mailbox that keeps its mail is searched for what is unseen.
func searching(t *testing.T, server *fakeserver.IMAP) *world {
	t.Helper()
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Search = fetch.Search{{Key: fetch.Seen, Not: true}}
	w.overInbox(server)
	return w
}

// overInbox has the passes fetch from the inbox of an IMAP server, unless they fetch from several folders.
func (w *world) overInbox(server *fakeserver.IMAP) {
	if len(w.pass.Folders) == 1 {
		w.pass.Folders = fetch.Selection{"INBOX"}
	}
	w.overIMAP(server)
}

// see marks messages as seen, or as unseen.
func (w *world) see(seen bool, uids ...uint32) {
	for _, uid := range uids {
		w.store.Update("", uid, func(m *fakeserver.Message) {
			if m.Flags = nil; seen {
				m.Flags = []string{`\Seen`}
			}
		})
	}
}

// limited returns the number of messages that the last pass said it left.
func (w *world) limited() (left int) {
	for _, e := range w.events {
		if e.Kind == transfer.Limited {
			left += e.Left
		}
	}
	return left
}

// TestSearchLeavesOut: what a search leaves out is not delivered, adopted, settled or recorded, and is delivered once it fits; what was
// delivered stays delivered, whatever fits.
func TestSearchLeavesOut(t *testing.T) {
	for _, without := range []string{"", "ESEARCH"} {
		w := searching(t, &fakeserver.IMAP{Without: []string{without}})
		w.pass.OnDelivered = fetch.Disposal{Action: fetch.Flag}
		for n := range 4 {
			w.add(n + 1)
		}
		w.see(true, 2, 3)
		if s := w.run(); s.LeftOut != 2 || s.Listed != 4 || s.Known != 0 || s.WantPerson()+s.ToRetry() != 0 {
			t.Errorf("summary %+v", s)
		}
		w.delivered(1, 4)
		w.states(map[ledger.State]int{ledger.Delivered: 2})
		if got := w.store.UIDs(""); len(got) != 4 {
			t.Errorf("%v are left", got)
		}

		w.see(false, 1, 3, 4) // by a person, in a mail program
		w.run()
		w.delivered(1, 4, 3)
		w.states(map[ledger.State]int{ledger.Delivered: 3})
	}
}

// TestSearchForgetsNothingThatIsUnderWay: a deferred message that fits no more is tried again and delivered.
func TestSearchForgetsNothingThatIsUnderWay(t *testing.T) {
	w := searching(t, &fakeserver.IMAP{})
	w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt == 1 {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		return accept()
	}
	w.add(1)
	w.run()
	w.see(true, 1)
	w.clock = w.clock.Add(time.Hour)
	if s := w.run(); s.LeftOut != 0 {
		t.Errorf("summary %+v", s)
	}
	w.delivered(1)
}

// TestSearchWithFirstRun: the rules for a first run know only what the search has chosen.
func TestSearchWithFirstRun(t *testing.T) {
	for _, c := range []struct {
		first     transfer.FirstRun
		delivered []int
		adopted   int
	}{
		{transfer.FirstRun{Action: transfer.AdoptAll}, nil, 3},
		{transfer.FirstRun{Action: transfer.DeliverNewest, Newest: 2}, []int{4, 5}, 1},
	} {
		w := searching(t, &fakeserver.IMAP{})
		w.pass.Flood.First = c.first
		for n := range 6 {
			w.add(n + 1)
		}
		w.see(true, 2, 3, 6)
		if s := w.run(); s.Adopted != c.adopted || s.LeftOut != 3 {
			t.Errorf("%v: summary %+v", c.first, s)
		}
		w.delivered(c.delivered...)
		w.see(false, 2)
		w.run()
		w.delivered(append(c.delivered, 2)...)
	}
}

// TestSearchDoesNotHideWhatIsLost: a message that waits and has gone is told as lost; one that may be there under a new UIDVALIDITY,
// left out, is not.
func TestSearchDoesNotHideWhatIsLost(t *testing.T) {
	for _, renumbered := range []bool{false, true} {
		w := searching(t, &fakeserver.IMAP{})
		w.mta.verdict = func(*inject.Message, int) inject.Receipt {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		w.add(1)
		w.add(2)
		w.see(true, 2)
		w.run()
		if renumbered {
			w.see(true, 1)
			w.store.SetValidity("", 2)
		} else {
			w.store.Remove("", 1)
		}
		w.clock = w.clock.Add(time.Hour)
		want := map[ledger.State]int{ledger.Lost: 1}
		if renumbered {
			want = map[ledger.State]int{ledger.Deferred: 1}
		}
		w.run()
		w.states(want)
		if !renumbered {
			continue
		}
		w.mta.verdict = nil
		for _, uid := range w.store.UIDs("") {
			w.see(false, uid)
		}
		w.run()
		w.states(map[ledger.State]int{ledger.Delivered: 2})
	}
}

// TestSearchThatIsRefusedStopsThePass: nothing is delivered that the search may leave out.
func TestSearchThatIsRefusedStopsThePass(t *testing.T) {
	w := searching(t, &fakeserver.IMAP{Reply: func(verb, args string) (string, bool) {
		return "%T BAD unknown search key\r\n", verb == "UID SEARCH" && strings.Contains(args, "UNSEEN")
	}})
	w.add(1)
	_, err := w.try()
	if fetch.KindOf(err) != fetch.Unsupported || !strings.Contains(err.Error(), "UID SEARCH") {
		t.Errorf("told: %v", err)
	}
	w.delivered()
	w.left(1)
}

// TestSearchNeedsAServerThatCan: over POP3 nothing is delivered.
func TestSearchNeedsAServerThatCan(t *testing.T) {
	w := newWorld(t)
	w.pass.Search = fetch.Search{{Key: fetch.Seen}}
	w.add(1)
	if _, err := w.try(); fetch.KindOf(err) != fetch.Unsupported {
		t.Errorf("told: %v", err)
	}
	w.delivered()
}

// TestReusedUIDIsLeftOut: where UIDs do not last, one that names another message by now does not bring in what the search leaves out.
func TestReusedUIDIsLeftOut(t *testing.T) {
	w := searching(t, &fakeserver.IMAP{Before: func(verb, _ string) string {
		if verb == "SELECT" {
			return "* NO [UIDNOTSTICKY] they change\r\n"
		}
		return ""
	}})
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	w.add(1)
	w.add(2)
	w.mta.verdict = func(*inject.Message, int) inject.Receipt { return accept() }
	w.see(true, 2)
	w.run()
	w.delivered(1)
	w.run()
	w.delivered(1)
	w.left(1)
}

// TestFirstRunTakesSome: of a mailbox never seen before the newest are delivered, or those since a day; the rest is adopted, and no
// later pass delivers it.
func TestFirstRunTakesSome(t *testing.T) {
	since := func(day int) transfer.FirstRun {
		return transfer.FirstRun{Action: transfer.DeliverSince, Since: time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC)}
	}
	newest := func(n int) transfer.FirstRun { return transfer.FirstRun{Action: transfer.DeliverNewest, Newest: n} }
	for _, c := range []struct {
		rule transfer.FirstRun
		want []int
	}{
		{newest(1), []int{6}}, {newest(2), []int{5, 6}}, {newest(6), []int{1, 2, 3, 4, 5, 6}}, {newest(60), []int{1, 2, 3, 4, 5, 6}},
		{since(1), []int{1, 2, 3, 4, 5, 6}}, {since(13), []int{3, 4, 5, 6}}, {since(17), nil},
	} {
		for name, over := range map[string]func(*world){"IMAP": func(w *world) { w.overInbox(&fakeserver.IMAP{}) }, "another": func(*world) {}} {
			_, searches := c.rule, c.rule.Action == transfer.DeliverSince
			if searches && name != "IMAP" {
				continue
			}
			t.Run(c.rule.String()+" "+name, func(t *testing.T) {
				w := newWorld(t)
				w.pass.OnDelivered = fetch.Disposal{}
				w.pass.Flood = transfer.Flood{Limit: 2, First: c.rule}
				over(w)
				for n := range 6 {
					raw := mail(n + 1)
					w.store.AddMessage("", fakeserver.Message{Size: int64(len(raw)), Date: time.Date(2026, 11, 11+n, 23, 30, 0, 0, time.UTC),
						Open: func() io.Reader { return bytes.NewReader(raw) }})
				}
				if s := w.run(); s.Adopted != 6-len(c.want) || s.Delivered != len(c.want) {
					t.Errorf("summary %+v", s)
				}
				w.delivered(c.want...)
				w.passed()
				w.add(7)
				w.run()
				w.delivered(append(slices.Clone(c.want), 7)...)
			})
		}
	}
}

// TestFirstRunThatIsCutShort: what is to be delivered of a mailbox never seen before is delivered by the next pass, and no more.
func TestFirstRunThatIsCutShort(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Flood = transfer.Flood{Limit: 2, First: transfer.FirstRun{Action: transfer.DeliverNewest, Newest: 3}}
	w.pass.Limit = transfer.Limit{Messages: 1}
	w.overInbox(&fakeserver.IMAP{})
	for n := range 6 {
		w.add(n + 1)
	}
	for _, want := range [][]int{{4}, {4, 5}, {4, 5, 6}, {4, 5, 6}} {
		w.run()
		w.delivered(want...)
	}
}

// TestLimitOfMessages: a pass takes the oldest, says what it leaves, and ends well.
func TestLimitOfMessages(t *testing.T) {
	for name, over := range map[string]func(*world){"POP3": func(*world) {}, "IMAP": func(w *world) { w.overInbox(&fakeserver.IMAP{}) }} {
		for _, disposal := range []fetch.Disposal{{}, {Action: fetch.Delete}} {
			t.Run(name+" "+disposal.String(), func(t *testing.T) {
				w := newWorld(t)
				w.pass.OnDelivered = disposal
				w.pass.Limit.Messages = 2
				w.reusable = name == "POP3"
				over(w)
				for n := range 5 {
					w.add(n + 1)
				}
				for i, want := range [][]int{{1, 2}, {1, 2, 3, 4}, {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}} {
					left := max(0, 3-2*i)
					if s := w.run(); s.Left != left || w.limited() != left || s.WantPerson()+s.ToRetry() != 0 {
						t.Errorf("pass %d: left %d, said %d; summary %+v", i+1, s.Left, w.limited(), s)
					}
					w.delivered(want...)
				}
			})
		}
	}
}

// TestLimitOfOctets: by the sizes that the listing or the server tells; a message larger than the limit goes alone.
func TestLimitOfOctets(t *testing.T) {
	for name, over := range map[string]func(*world){"POP3": func(*world) {}, "IMAP": func(w *world) { w.overInbox(&fakeserver.IMAP{}) }} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{}
			w.pass.Limit.Octets = 1000
			over(w)
			w.add(1)
			w.add(2)
			w.add(3, "X-Long: "+strings.Repeat("x", 900))
			w.add(4)
			for _, want := range [][]int{{1, 2}, {1, 2, 3}, {1, 2, 3, 4}} {
				w.run()
				w.delivered(want...)
			}
		})
	}
}

// TestLimitIsSharedByFolders: each folder has its share, what one does not need goes to the others, and with room for a single message
// they take turns.
func TestLimitIsSharedByFolders(t *testing.T) {
	start := func(limit int) *world {
		w := newWorld(t)
		w.pass.OnDelivered = fetch.Disposal{}
		w.pass.Folders = fetch.Selection{"INBOX", "A", "B"}
		w.pass.Limit.Messages = limit
		w.overInbox(&fakeserver.IMAP{})
		for n := range 5 {
			w.add(n + 1)
			w.store.Add("A", mail(n+11))
		}
		w.store.Add("B", mail(21))
		return w
	}
	w := start(6)
	if s := w.run(); s.Left != 5 || s.Listed != 11 {
		t.Errorf("summary %+v", s)
	}
	w.delivered(1, 2, 11, 12, 21, 3)
	w.clock = w.clock.Add(time.Minute)
	w.run()
	if len(w.mta.taken) != 11 {
		t.Errorf("%d are delivered in two passes", len(w.mta.taken))
	}

	w = start(1)
	for range 4 {
		w.clock = w.clock.Add(time.Minute)
		w.run()
	}
	w.delivered(1, 11, 21, 2)
}

// TestLimitIsSharedByRetries: neither new mail nor what is tried again waits for all of the other.
func TestLimitIsSharedByRetries(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.overInbox(&fakeserver.IMAP{})
	w.pass.Retry = transfer.Retry{Min: time.Second, Max: time.Second}
	var tried []string
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		tried = append(tried, m.From)
		if m.From < "sender5" {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		return accept()
	}
	for n := range 4 {
		w.add(n + 1)
	}
	w.run()
	for n := range 4 {
		w.add(n + 5)
	}
	w.pass.Limit.Messages, tried = 1, nil
	for range 8 {
		w.clock = w.clock.Add(time.Minute)
		w.run()
	}
	fresh := slices.DeleteFunc(slices.Clone(tried), func(sender string) bool { return sender < "sender5" })
	if len(tried) != 8 || len(fresh) != 4 {
		t.Errorf("tried %q", tried)
	}
	w.delivered(5, 6, 7, 8)
}
