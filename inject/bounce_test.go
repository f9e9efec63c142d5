package inject_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestBounceGoesToOneRecipientAtATime: as the client sent it, and as MTAs want it that refuse a bounce for several. The receipt is that of all.
func TestBounceGoesToOneRecipientAtATime(t *testing.T) {
	for name, test := range map[string]struct {
		dialect inject.Dialect
		from    string
		want    [][]string
	}{
		"a bounce":            {inject.SMTP, "", [][]string{{"a@example.net"}, {"b@example.net"}, {"c@example.net"}}},
		"mail with a sender":  {inject.SMTP, "x@example.org", [][]string{{"a@example.net", "b@example.net", "c@example.net"}}},
		"a bounce, over LMTP": {inject.LMTP, "", [][]string{{"a@example.net", "b@example.net", "c@example.net"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{LMTP: test.dialect == inject.LMTP})
			m := message(1)
			m.From, m.To = test.from, []string{"a@example.net", "b@example.net", "c@example.net"}
			rs := injectAll(t, s.Dial, inject.Options{Connections: 1, Dialect: test.dialect}, message(3), m, message(2))
			if r := rs[1]; r.Outcome != inject.Delivered || len(r.Recipients) != 3 || r.Recipients[2].Address != "c@example.net" || rs[0].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered {
				t.Errorf("%v, then %+v, then %v", rs[0].Outcome, r, rs[2].Outcome)
			}
			var got [][]string
			for _, arrived := range s.Messages()[1 : len(s.Messages())-1] {
				got = append(got, arrived.To)
				if arrived.Client.Addr != m.Client.Addr.String() {
					t.Errorf("for %v the client is %s", arrived.To, arrived.Client.Addr)
				}
			}
			if !slices.EqualFunc(got, test.want, slices.Equal[[]string]) || s.Sessions() != 1 {
				t.Errorf("recipients %v in %d sessions", got, s.Sessions())
			}
		})
	}
}

// TestBounceAtAnMTAThatIsAway: the MTA is not tried for each recipient anew, which may take minutes each time.
func TestBounceAtAnMTAThatIsAway(t *testing.T) {
	dials := func(to ...string) int {
		var dialed atomic.Int64
		dial := func(context.Context) (net.Conn, error) {
			dialed.Add(1)
			return nil, syscall.ECONNREFUSED
		}
		m := message(1)
		m.From, m.To = "", to
		r := injectAll(t, dial, inject.Options{Connections: 1}, m)[0]
		if r.Outcome != inject.Deferred || len(r.Recipients) != len(to) || !r.BeforeClient {
			t.Errorf("to %v: %+v", to, r)
		}
		for i, of := range r.Recipients {
			if of.Address != to[i] || of.Outcome != inject.Deferred {
				t.Errorf("%+v, want %s deferred", of, to[i])
			}
		}
		return int(dialed.Load())
	}
	one, several := dials("a@example.net"), dials("a@example.net", "b@example.net", "c@example.net")
	if several != one {
		t.Errorf("%d connections were tried for three recipients, %d for one", several, one)
	}
}

// TestPostfixRefusesABounceForSeveral: with the restriction that postconf(5) shows for it, a bounce reaches each of its recipients.
func TestPostfixRefusesABounceForSeveral(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{
		{Name: "main", Options: []string{"smtpd_authorized_xclient_hosts=static:all", "smtpd_data_restrictions=reject_multi_recipient_bounce"}},
	}})
	m := message(1)
	m.From, m.To = "", []string{"user@example.org", "other@example.org"}
	rs := injectAll(t, p.Dialer("main"), inject.Options{Connections: 1}, m)
	if r := rs[0]; r.Outcome != inject.Delivered || len(r.Recipients) != 2 {
		t.Errorf("%+v, err %v", r, r.Err)
	}
}
