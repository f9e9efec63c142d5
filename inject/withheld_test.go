package inject_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestLargerThanAnnounced: what the MTA says that it will not take for its size is not offered to it, and
// that is this program's decision and not the MTA's.
func TestLargerThanAnnounced(t *testing.T) {
	size := message(1).Size + int64(len(message(1).Header))
	for _, c := range []struct {
		name    string
		limit   int64
		without []string
		fault   string
		edit    func(*inject.Message)
		outcome inject.Outcome
		code    int
	}{
		{"no limit", 0, nil, "", func(*inject.Message) {}, inject.Delivered, 250},
		{"at the limit", size, nil, "", func(*inject.Message) {}, inject.Delivered, 250},
		{"above it", size - 1, nil, "", func(*inject.Message) {}, inject.Withheld, 0},
		{"above it in a dry run", size - 1, nil, "", func(m *inject.Message) { m.DryRun = true }, inject.Withheld, 0},
		{"of a size not known", size - 1, nil, "", func(m *inject.Message) { m.Size = -1 }, inject.Refused, 552},
		{"SIZE is not offered", size - 1, []string{"SIZE"}, "", func(*inject.Message) {}, inject.Refused, 552},
		{"the MTA says so at MAIL", 0, nil, "552 5.3.4 too big", func(*inject.Message) {}, inject.Refused, 552},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := injecttest.Options{SizeLimit: c.limit, Without: c.without, Record: true}
			if c.fault != "" {
				o.Faults = []injecttest.Fault{{Stage: injecttest.MAIL, Nth: 2, Reply: c.fault}}
			}
			s := newServer(t, o)
			m := message(1)
			c.edit(m)
			small := func(n int) *inject.Message {
				m := message(n)
				m.Size, m.Body = 1, bodyOf("x")
				return m
			}
			rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, small(2), m, small(3))
			if rs[0].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered {
				t.Errorf("beside it %+v and %+v", rs[0], rs[2])
			}
			r := rs[1]
			if r.Outcome != c.outcome || r.Reply.Code != c.code || outcomes(r) != c.outcome.String() {
				t.Errorf("%v (%s) by %v, err %v; want %v by %d", r.Outcome, outcomes(r), r.Reply, r.Err, c.outcome, c.code)
			}
			offered := strings.Contains(strings.Join(said(s), "\n"), m.From)
			if withheld := c.outcome == inject.Withheld; withheld == offered || withheld != (kindOf(r) == inject.Unsendable) {
				t.Errorf("offered to the MTA: %v, err %v", offered, r.Err)
			}
		})
	}
}

// TestRecipientsSayTheirStage: the same reply means one thing to RCPT and another to the dot.
func TestRecipientsSayTheirStage(t *testing.T) {
	rcpt, dot := injecttest.RCPT, injecttest.DOT
	for _, c := range []struct {
		name    string
		dialect inject.Dialect
		faults  []injecttest.Fault
		want    string
	}{
		{"taken", inject.SMTP, nil, "delivered at dot, delivered at dot"},
		{"one refused", inject.SMTP, []injecttest.Fault{{Stage: rcpt, Nth: 2, Reply: "550 no"}}, "delivered at dot, refused at RCPT"},
		{"and the content", inject.SMTP, []injecttest.Fault{{Stage: rcpt, Nth: 1, Reply: "550 no"}, {Stage: dot, Reply: "550 no"}}, "refused at RCPT, refused at dot"},
		{"both refused", inject.SMTP, []injecttest.Fault{{Stage: rcpt, Reply: "550 no"}}, "refused at RCPT, refused at RCPT"},
		{"refused at MAIL", inject.SMTP, []injecttest.Fault{{Stage: injecttest.MAIL, Reply: "550 no"}}, "refused at MAIL, refused at MAIL"},
		{"lost at the dot", inject.SMTP, []injecttest.Fault{{Stage: rcpt, Nth: 1, Reply: "450 later"}, {Stage: dot, Then: injecttest.CloseConn}}, "deferred at RCPT, in-doubt at dot"},
		{"LMTP", inject.LMTP, []injecttest.Fault{{Stage: dot, Nth: 2, Reply: "550 no"}}, "delivered at dot, refused at dot"},
		{"LMTP, lost", inject.LMTP, []injecttest.Fault{{Stage: dot, Nth: 2, Then: injecttest.CloseConn}}, "delivered at dot, in-doubt at dot"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{LMTP: c.dialect == inject.LMTP, Faults: c.faults})
			m := message(1)
			m.To = []string{"one@example.org", "two@example.org"}
			var got []string
			for _, r := range injectAll(t, s.Dial, inject.Options{Dialect: c.dialect}, m)[0].Recipients {
				got = append(got, fmt.Sprintf("%v at %s", r.Outcome, r.Stage))
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("%s, want %s", text, c.want)
			}
		})
	}
}
