package transfer_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestWhatWasNotExpungedIsTold: a server that answers OK and leaves a message where it is has not settled it. The
// pass says so, and the next one asks again without delivering again.
func TestWhatWasNotExpungedIsTold(t *testing.T) {
	w := newWorld(t)
	leaves := uint32(2)
	server := &fakeserver.IMAP{Store: w.store, User: "u", Password: "correct horse", Spare: func(uid uint32) bool { return uid == leaves }}
	addr := fetchtest.Listen(t, server.Serve).Addr()
	w.pass.Folders = []string{"INBOX"}
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		return imap.New(ctx, fetchtest.Dial(t, addr), imap.Options{Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true}})
	}
	for n := range 3 {
		w.add(n + 1)
	}
	s, err := w.try()
	if fetch.KindOf(err) != fetch.Refused || s.Delivered != 3 || s.Settled != 2 || s.Unsettled != 1 {
		t.Errorf("the first pass: %+v, %v; want one message unsettled and Kind refused", s, err)
	}
	for _, e := range w.events {
		settled := e.Kind == transfer.Settled && e.Ref.UID == "2"
		other := e.Kind == transfer.NotSettled && e.Ref.UID != "2"
		if settled || other {
			t.Errorf("told of message %s: %+v", e.Ref.UID, e)
		}
	}
	w.left(1)

	leaves = 0
	if s := w.run(); s.Delivered != 0 || s.Settled != 1 {
		t.Errorf("the second pass: %+v; want one message settled and none delivered", s)
	}
	w.left(0)
	w.delivered(1, 2, 3)
}

// TestDeletedAndListedAgain: a message that the server has deleted by its own word and lists again is told each time, not
// delivered again, and deleted again.
func TestDeletedAndListedAgain(t *testing.T) {
	for name, reusable := range map[string]bool{"imap": false, "pop3": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable, w.pretends = reusable, true
			w.add(1)
			w.add(2)
			if s := w.run(); s.Delivered != 2 || s.Settled != 2 || s.Unsettled != 0 {
				t.Fatalf("the first pass: %+v", s)
			}
			for range 2 {
				s := w.run()
				if s.Delivered != 0 || s.Settled != 2 || s.Unsettled != 2 {
					t.Errorf("a later pass: %+v; want two messages told and deleted again", s)
				}
				for _, e := range w.events {
					if e.Kind == transfer.NotSettled && (fetch.KindOf(e.Err) != fetch.Refused || e.Token == "") {
						t.Errorf("told: %+v", e)
					}
				}
			}
			w.pretends = false
			w.run()
			w.left(0)
			if s := w.run(); s.Unsettled != 0 {
				t.Errorf("all have gone: %+v", s)
			}
			w.delivered(1, 2)
		})
	}
}

// TestUnlistedMessages: what a server counts and does not list is told by the pass, and what it does not list
// counts as there.
func TestUnlistedMessages(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	var listed atomic.Pointer[string] // what is listed of three messages, all if nil
	server := &fakeserver.IMAP{Store: w.store, User: "u", Password: "correct horse", Reply: func(verb, _ string) (string, bool) {
		switch {
		case listed.Load() == nil:
		case verb == "UID SEARCH":
			return "* ESEARCH (TAG \"%T\") UID ALL " + *listed.Load() + "\r\n%T OK x\r\n", true
		case verb == "UID FETCH":
			return "%T NO a message cannot be read\r\n", true
		}
		return "", false
	}}
	addr := fetchtest.Listen(t, server.Serve).Addr()
	w.pass.Folders = []string{"INBOX"}
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		return imap.New(ctx, fetchtest.Dial(t, addr), imap.Options{Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true}})
	}
	w.add(1)
	w.add(2)
	w.add(3)
	if s := w.run(); s.Delivered != 3 || s.Failed != 0 {
		t.Fatalf("the first pass: %+v", s)
	}
	some := "1,3"
	listed.Store(&some)
	if s := w.run(); s.Failed != 1 || s.Delivered != 0 || s.Known != 2 {
		t.Errorf("one message hidden: %+v; want it to count as failed", s)
	}
	records, err := w.ledger.Briefs(t.Context(), "work", "INBOX", 1)
	if err != nil || len(records["2"]) != 1 || records["2"][0].Absent {
		t.Errorf("the hidden message is recorded as %+v, %v", records["2"], err)
	}
}
