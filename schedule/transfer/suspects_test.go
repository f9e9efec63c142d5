package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// breaking is a session of a server that fails at some messages, by their bodies.
type breaking struct {
	*session
	faults *faults
}

// faults are the messages, by their numbers, at which a server closes the connection after so many octets; those for
// which it refuses a whole set; and those that it lists and never hands over. A set of more than limit ends the session.
type faults struct {
	closes, refuses, withholds []int
	octets, limit              int
	// unsized has listings tell no sizes, as IMAP's: they are asked for. Then noSizes, if not nil, is the answer.
	unsized bool
	noSizes error
	// sizesAsked are the messages whose sizes were asked for, one command a string.
	sizesAsked []string
	// asked are the sets that it was asked for, a session apart by a bar.
	asked []string
}

// poison makes the world's server fail.
func (w *world) poison(f *faults) {
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		box, err := w.dial(ctx)
		if err != nil {
			return nil, err
		}
		f.asked = append(f.asked, "|")
		breaks := &breaking{session: box.(*session), faults: f}
		if f.unsized {
			return &sizing{breaks}, nil
		}
		return breaks, nil
	}
}

// sizing is breaking with IMAP's way to tell sizes.
type sizing struct{ *breaking }

func (s *sizing) Open(ctx context.Context, folder string) (*fetch.Listing, error) {
	listing, err := s.breaking.Open(ctx, folder)
	if err == nil {
		for i := range listing.Refs {
			listing.Refs[i].Size = -1
		}
	}
	return listing, err
}

func (s *sizing) Sizes(_ context.Context, refs []fetch.Ref) (map[fetch.Ref]int64, error) {
	var numbers []string
	sizes := map[fetch.Ref]int64{}
	for _, ref := range refs {
		numbers = append(numbers, s.number(ref))
		if m, ok := s.store.Get(ref.Folder, s.uid(ref)); ok && s.faults.noSizes == nil {
			sizes[ref] = int64(len(m.Raw()))
		}
	}
	s.faults.sizesAsked = append(s.faults.sizesAsked, strings.Join(numbers, ","))
	return sizes, s.faults.noSizes
}

func (p *breaking) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	var numbers []string
	for _, ref := range refs {
		numbers = append(numbers, p.number(ref))
	}
	p.faults.asked = append(p.faults.asked, strings.Join(numbers, ","))
	lost := &fetch.Error{Kind: fetch.Unreachable, Op: "RETR", Err: io.ErrUnexpectedEOF}
	if p.faults.limit > 0 && len(refs) > p.faults.limit {
		return lost
	}
	has := func(list []int, ref fetch.Ref) bool {
		return slices.ContainsFunc(list, func(n int) bool { return p.number(ref) == strconv.Itoa(n) })
	}
	for _, ref := range refs {
		switch {
		case has(p.faults.closes, ref) && p.faults.octets == 0:
			return lost
		case has(p.faults.closes, ref):
			m, _ := p.store.Get(ref.Folder, p.uid(ref))
			return sink(fetch.Message{Ref: ref, Size: -1, Body: io.MultiReader(bytes.NewReader(m.Raw()[:p.faults.octets]), failing{})})
		case has(p.faults.refuses, ref):
			return &fetch.Error{Kind: fetch.Busy, Op: "UID FETCH", Text: "[SERVERBUG] no"}
		case has(p.faults.withholds, ref):
			if err := sink(fetch.Message{Ref: ref, Size: -1, Err: &fetch.Error{Kind: fetch.Gone, Op: "UID FETCH"}}); err != nil {
				return err
			}
			continue
		}
		if err := p.session.Retrieve(ctx, []fetch.Ref{ref}, sink); err != nil {
			return err
		}
	}
	return nil
}

// number is the number in a message's subject.
func (p *breaking) number(ref fetch.Ref) string {
	m, ok := p.store.Get(ref.Folder, p.uid(ref))
	if !ok {
		return "?"
	}
	_, rest, _ := strings.Cut(string(m.Raw()), "Subject: number ")
	n, _, _ := strings.Cut(rest, "\r\n")
	return n
}

// record returns what the ledger says of the only message in a state.
func (w *world) record(state ledger.State) ledger.Record {
	w.t.Helper()
	found, err := w.ledger.List(w.t.Context(), ledger.Filter{States: []ledger.State{state}})
	if err != nil || len(found) != 1 {
		w.t.Fatalf("%s are %+v, %v; want one", state, found, err)
	}
	return found[0]
}

// told wants the pass to have told of one message that it could not retrieve, in this state.
func (w *world) told(ref string, state ledger.State) {
	w.t.Helper()
	var got []string
	for _, e := range w.events {
		if e.Kind == transfer.NotRetrieved {
			got = append(got, e.Ref.UID+" "+e.State)
		}
	}
	if want := []string{ref + " " + string(state)}; !slices.Equal(got, want) {
		w.t.Errorf("told of %q, want %q", got, want)
	}
}

// TestOneMessageThatEndsSessionsKeepsNoOther: those before and behind it are delivered and settled before it is asked for
// again, and it is recorded by its name.
func TestOneMessageThatEndsSessionsKeepsNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		reusable, once bool
		octets         int
	}{
		"imap":                                   {},
		"imap, in the body":                      {octets: 100},
		"pop3":                                   {reusable: true},
		"pop3, in the body":                      {reusable: true, octets: 100},
		"pop3 that shows a message only once":    {reusable: true, once: true},
		"pop3 likewise, in the middle of a body": {reusable: true, once: true, octets: 100},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable, w.once = c.reusable, c.once
			f := &faults{closes: []int{2}, octets: c.octets}
			w.poison(f)
			for n := range 5 {
				w.add(n + 1)
			}
			if s := w.run(); s.Delivered != 4 || s.Settled != 4 || s.Failed != 1 {
				t.Errorf("summary %+v, want four delivered and settled and one failed", s)
			}
			w.delivered(1, 3, 4, 5)
			w.left(1)
			w.states(map[ledger.State]int{ledger.Delivered: 4, ledger.Deferred: 1})
			rec := w.record(ledger.Deferred)
			if rec.Breaks != 2 || rec.Charges != 1 || rec.Octets != int64(c.octets) || !strings.Contains(rec.Why, "ended the session at this message") {
				t.Errorf("the record is %+v", rec)
			}
			w.told(rec.UID, ledger.Deferred)
			if got, want := strings.Join(f.asked, " "), "| 1,2,3,4,5 | 3,4 5 | 2"; got != want {
				t.Errorf("asked for %q, want %q", got, want)
			}
			// It comes as soon as the server hands it over.
			w.clock, f.closes = w.clock.Add(time.Hour), nil
			w.run()
			w.delivered(1, 3, 4, 5, 2)
			w.left(0)
			w.states(map[ledger.State]int{ledger.Delivered: 5})
		})
	}
}

// TestMessageThatEndsSessionsIsHeldAfterThreeCharges: each in a pass in which other mail came. A person may let it be retried.
func TestMessageThatEndsSessionsIsHeldAfterThreeCharges(t *testing.T) {
	w := newWorld(t)
	f := &faults{closes: []int{1}}
	w.poison(f)
	w.add(1)
	if _, err := w.try(); fetch.KindOf(err) != fetch.Unreachable {
		t.Errorf("the pass ended with %v, want the error that nothing came", err)
	}
	for n := range 3 {
		if rec := w.record(ledger.Deferred); rec.Charges != n {
			t.Errorf("%d charges before pass %d: %+v", rec.Charges, n+1, rec)
		}
		w.clock = w.clock.Add(2 * time.Hour)
		w.add(n + 2)
		w.run()
	}
	rec := w.record(ledger.Held)
	w.told(rec.UID, ledger.Held)
	if !strings.Contains(rec.Why, "5 times") || !strings.Contains(rec.Why, "retry") {
		t.Errorf("a person is told %q", rec.Why)
	}
	f.asked = nil
	w.clock = w.clock.Add(24 * time.Hour)
	w.run()
	if got := strings.Join(f.asked, " "); got != "|" {
		t.Errorf("held, it is asked for: %q", got)
	}
	w.delivered(2, 3, 4)
}

// TestOutageIsNoMessagesFault: where nothing comes whole, nothing is charged, and where no other session can be had the pass
// ends with that error.
func TestOutageIsNoMessagesFault(t *testing.T) {
	w := newWorld(t)
	w.poison(&faults{closes: []int{1, 2, 3}})
	for n := range 3 {
		w.add(n + 1)
	}
	refused := &fetch.Error{Kind: fetch.Auth, Op: "LOGIN"}
	w.login = func(session int) error {
		if session > 1 {
			return refused
		}
		return nil
	}
	if _, err := w.try(); !errors.Is(err, refused) {
		t.Errorf("the pass ended with %v, want %v", err, refused)
	}
	if rec := w.record(ledger.Deferred); rec.Charges != 0 || rec.Breaks != 1 {
		t.Errorf("the record is %+v, want no charge", rec)
	}
	w.login = nil
	for range 30 {
		w.clock = w.clock.Add(2 * time.Hour)
		if _, err := w.try(); err != nil && fetch.KindOf(err) != fetch.Unreachable {
			t.Fatal(err)
		}
	}
	w.states(map[ledger.State]int{ledger.Deferred: 3})
	w.poison(&faults{})
	w.clock = w.clock.Add(2 * time.Hour)
	w.run()
	w.delivered(1, 2, 3)
	w.left(0)
}

// TestOnlyMessageIsHeldAfterADay: there is no other that could show that the server is well.
func TestOnlyMessageIsHeldAfterADay(t *testing.T) {
	w := newWorld(t)
	w.poison(&faults{closes: []int{1}})
	w.add(1)
	began := w.clock
	for w.clock.Sub(began) < 24*time.Hour {
		_, _ = w.try() // the first ends with an error
		if rec := w.record(ledger.Deferred); rec.Charges != 0 {
			t.Fatalf("after %v: %+v", w.clock.Sub(began), rec)
		}
		w.clock = w.clock.Add(4 * time.Hour)
	}
	w.run()
	w.told(w.record(ledger.Held).UID, ledger.Held)
}

// TestSetsThatAreTooLargeShrink: a server that hangs up when many are asked for at once still hands over all, and no message
// keeps a bad name.
func TestSetsThatAreTooLargeShrink(t *testing.T) {
	for name, reusable := range map[string]bool{"imap": false, "pop3": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable = reusable
			f := &faults{limit: 3}
			w.poison(f)
			for n := range 12 {
				w.add(n + 1)
			}
			if s := w.run(); s.Delivered != 12 || s.Failed != 0 {
				t.Errorf("summary %+v, want twelve delivered", s)
			}
			w.left(0)
			w.states(map[ledger.State]int{ledger.Delivered: 12})
			if got, want := strings.Join(f.asked, " "), "| 1,2,3,4,5,6,7,8,9,10,11,12 | 2,3,4,5,6,7 | 3,4,5 6,7,8 9,10,11 12 | 1 | 2"; got != want {
				t.Errorf("asked for %q\nwant      %q", got, want)
			}
		})
	}
}

// TestSuspectsOfOnePassAreBounded: the rest waits for the next, is counted and keeps no new mail.
func TestSuspectsOfOnePassAreBounded(t *testing.T) {
	w := newWorld(t)
	f := &faults{closes: []int{1, 2, 3, 4, 5, 6, 7}}
	w.poison(f)
	for n := range 12 {
		w.add(n + 1)
	}
	if s := w.run(); s.Delivered != 5 || s.Failed != 7 {
		t.Errorf("summary %+v, want five delivered and seven failed", s)
	}
	alone := func() (n int) {
		for _, set := range f.asked {
			if slices.Contains([]string{"1", "2", "3", "4", "5", "6", "7"}, set) {
				n++
			}
		}
		return n
	}
	if w.sessions > 20 {
		t.Errorf("%d sessions in one pass", w.sessions)
	}
	f.asked, w.sessions = nil, 0
	w.clock = w.clock.Add(2 * time.Hour)
	w.add(13)
	if s := w.run(); s.Delivered != 1 || s.Failed != 5 || s.Waiting != 2 {
		t.Errorf("summary %+v, want one delivered, five failed and two waiting", s)
	}
	if got := alone(); got != 5 {
		t.Errorf("%d suspects were asked for: %q", got, f.asked)
	}
	w.left(7)
}

// TestServerThatEndsEverySession: the sessions of a pass are bounded.
func TestServerThatEndsEverySession(t *testing.T) {
	w := newWorld(t)
	w.pass.Batch = 1
	f := &faults{}
	for n := range 60 {
		w.add(n + 1)
		f.closes = append(f.closes, n+1)
	}
	w.poison(f)
	if _, err := w.try(); fetch.KindOf(err) != fetch.Unreachable {
		t.Errorf("the pass ended with %v, want the upstream unreachable", err)
	}
	if w.sessions > 20 {
		t.Errorf("%d sessions in one pass", w.sessions)
	}
}

// TestRefusedMessageKeepsNoOther: NO to a set is asked about in halves, and one message that is refused is deferred.
func TestRefusedMessageKeepsNoOther(t *testing.T) {
	w := newWorld(t)
	w.poison(&faults{refuses: []int{20, 41}})
	for n := range 60 {
		w.add(n + 1)
	}
	if s := w.run(); s.Delivered != 58 || s.Failed != 2 {
		t.Errorf("summary %+v, want 58 delivered and two failed", s)
	}
	w.states(map[ledger.State]int{ledger.Delivered: 58, ledger.Deferred: 2})
	if w.sessions != 1 {
		t.Errorf("%d sessions, want one", w.sessions)
	}
}

// TestMessageThatIsNeverHandedOverIsHeld: it is listed again and again, so it has not gone.
func TestMessageThatIsNeverHandedOverIsHeld(t *testing.T) {
	w := newWorld(t)
	w.poison(&faults{withholds: []int{1}})
	w.add(1)
	for n := range 4 {
		w.add(n + 2)
		w.run()
		w.clock = w.clock.Add(2 * time.Hour)
	}
	rec := w.record(ledger.Held)
	w.told(rec.UID, ledger.Held)
	if !strings.Contains(rec.Why, "lists this message and does not hand it over") {
		t.Errorf("a person is told %q", rec.Why)
	}
	w.delivered(2, 3, 4, 5)
}

// TestEndOfThePassIsNoBreak: a message that was under way when the pass was asked to end is not suspected.
func TestEndOfThePassIsNoBreak(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	ctx, cancel := context.WithCancel(t.Context())
	w.pass.Dial = func(c context.Context) (fetch.Mailbox, error) {
		box, err := w.dial(c)
		return &cancelled{box, cancel}, err
	}
	if _, err := w.pass.Run(ctx); err == nil {
		t.Error("the pass ended without an error")
	}
	w.states(map[ledger.State]int{})
}

// cancelled is a session that is lost because the pass is asked to end.
type cancelled struct {
	fetch.Mailbox
	cancel context.CancelFunc
}

func (c *cancelled) Retrieve(context.Context, []fetch.Ref, fetch.Sink) error {
	c.cancel()
	return errLost
}
