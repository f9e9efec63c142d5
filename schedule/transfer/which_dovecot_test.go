package transfer_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// overDovecot has the world's passes fetch from a Dovecot of its own, by IMAP or POP3.
func (w *world) overDovecot(overPOP3 bool) *fetchtest.Dovecot {
	d := fetchtest.StartDovecot(w.t, fetchtest.DovecotOptions{})
	w.pass.OnDelivered = fetch.Disposal{}
	credentials := sasl.Credentials{User: d.User, Password: d.Password, AllowPlaintext: true}
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		if overPOP3 {
			return pop3.New(ctx, fetchtest.Dial(w.t, d.POP3Addr), pop3.Options{Credentials: credentials})
		}
		return imap.New(ctx, fetchtest.Dial(w.t, d.IMAPAddr), imap.Options{Credentials: credentials})
	}
	if !overPOP3 {
		w.pass.Folders = fetch.Selection{"INBOX"}
	}
	return d
}

// TestDovecotSearchAndLimit: what is unseen, two in a pass, each marked as seen when it was delivered.
func TestDovecotSearchAndLimit(t *testing.T) {
	w := newWorld(t)
	d := w.overDovecot(false)
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Flag}
	w.pass.Search = fetch.Search{{Key: fetch.Seen, Not: true}, {Key: fetch.Subject, Text: "number"}, {Key: fetch.Subject, Text: "number 2", Not: true}}
	w.pass.Limit.Messages = 2
	for n := range 4 {
		d.Deliver(mail(n + 1))
	}
	if s := w.run(); s.LeftOut != 1 || s.Left != 1 {
		t.Errorf("summary %+v", s)
	}
	w.delivered(1, 3)
	w.run()
	w.delivered(1, 3, 4)
	if s := w.run(); s.LeftOut != 1 || s.Left != 0 {
		t.Errorf("summary %+v", s)
	}
	w.states(map[ledger.State]int{ledger.Delivered: 3})
}

// TestDovecotFirstRun: the newest, over both protocols, and those since a day.
func TestDovecotFirstRun(t *testing.T) {
	before := time.Now().UTC().AddDate(0, 0, -2)
	for _, c := range []struct {
		first    transfer.FirstRun
		overPOP3 bool
		want     []int
	}{
		{transfer.FirstRun{Action: transfer.DeliverNewest, Newest: 2}, false, []int{3, 4}},
		{transfer.FirstRun{Action: transfer.DeliverNewest, Newest: 2}, true, []int{3, 4}},
		{transfer.FirstRun{Action: transfer.DeliverSince, Since: before}, false, []int{1, 2, 3, 4}},
		{transfer.FirstRun{Action: transfer.DeliverSince, Since: before.AddDate(0, 0, 4)}, false, nil},
	} {
		w := newWorld(t)
		d := w.overDovecot(c.overPOP3)
		w.pass.Flood.First = c.first
		for n := range 4 {
			d.Deliver(mail(n + 1))
		}
		if s := w.run(); s.Adopted != 4-len(c.want) {
			t.Errorf("%v: summary %+v", c.first, s)
		}
		w.delivered(c.want...)
		d.Deliver(mail(5))
		w.run()
		w.delivered(append(c.want, 5)...)
	}
}

// TestDovecotLimitOfOctets: over both protocols a large message goes alone and keeps none waiting.
func TestDovecotLimitOfOctets(t *testing.T) {
	for _, overPOP3 := range []bool{false, true} {
		w := newWorld(t)
		d := w.overDovecot(overPOP3)
		w.pass.Limit.Octets = 1000
		d.Deliver(mail(1))
		d.Deliver(mail(2, "X-Long: "+strings.Repeat("x", 900)))
		d.Deliver(mail(3))
		d.Deliver(mail(4))
		for _, want := range [][]int{{1}, {1, 2}, {1, 2, 3, 4}} {
			w.run()
			w.delivered(want...)
		}
	}
}
