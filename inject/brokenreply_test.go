package inject_test

import (
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestRefusalThatGoesWrong: a refusal whose text breaks the protocol, or the connection, is a refusal. It ends the
// session, and the message behind it is delivered on another.
func TestRefusalThatGoesWrong(t *testing.T) {
	for _, stage := range []injecttest.Stage{injecttest.XCLIENT, injecttest.EHLO2, injecttest.MAIL, injecttest.RCPT, injecttest.DATA, injecttest.DOT} {
		for name, f := range map[string]injecttest.Fault{
			"a line without a code": {Reply: "554-5.7.1 blocked\r\nsee https://example.net/why\r\n554 5.7.1 end"},
			"another code":          {Reply: "554-5.7.1 blocked\r\n550 5.7.1 for good"},
			"closed in the middle":  {Reply: "554-5.7.1 blocked", Then: injecttest.CloseConn},
		} {
			bubble(t, name+" at "+string(stage), func(t *testing.T) {
				f.Stage, f.Nth = stage, 1
				r, _, _ := one(t, injecttest.Options{Faults: []injecttest.Fault{f}}, inject.Options{})
				if r.Outcome != inject.Refused || r.Reply.Enhanced != "5.7.1" || r.Err != nil {
					t.Errorf("%v by %v, err %v", r.Outcome, r.Reply, r.Err)
				}
			})
		}
	}
}

// TestBrokenRefusalOfOneRecipient: it says nothing of the others, who get the message in a session that is in step.
func TestBrokenRefusalOfOneRecipient(t *testing.T) {
	f := injecttest.Fault{Stage: injecttest.RCPT, Nth: 1, Reply: "550-5.1.1 unknown\r\nhere\r\n550 5.1.1 end"}
	s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{f}})
	m := message(1)
	m.To = []string{"one@example.org", "two@example.org"}
	r := injectAll(t, s.Dial, inject.Options{Connections: 1}, m)[0]
	if want := "refused delivered"; outcomes(r) != want || s.Count() != 1 {
		t.Errorf("%s, want %s; %d arrived: %v", outcomes(r), want, s.Count(), r.Err)
	}
}
