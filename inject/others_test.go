package inject_test

import (
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestRecipientThatEndsTheSession: where the MTA ends the session at each try for one recipient, the others get the message all
// the same, once, and that one has a verdict of its own.
func TestRecipientThatEndsTheSession(t *testing.T) {
	const bad = "bad@example.org"
	for name, f := range map[string]struct {
		fault injecttest.Fault
		want  string // for the bad one
	}{
		"421":            {injecttest.Fault{Reply: "421 4.3.2 no service for this mailbox", Then: injecttest.CloseConn}, "deferred"},
		"450 and closed": {injecttest.Fault{Reply: "450 4.7.1 later", Then: injecttest.CloseConn}, "deferred"},
		"550 and closed": {injecttest.Fault{Reply: "550 5.1.1 unknown", Then: injecttest.CloseConn}, "refused"},
		"521":            {injecttest.Fault{Reply: "521 5.3.2 never", Then: injecttest.CloseConn}, "refused"},
	} {
		for _, at := range []int{1, 2, 3} {
			for _, without := range []string{"", "PIPELINING"} {
				t.Run(name+" at recipient "+string(rune('0'+at))+" without "+without, func(t *testing.T) {
					f.fault.Stage, f.fault.Nth = injecttest.RCPT, at
					s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{f.fault}, Without: []string{without}})
					m := message(1)
					m.To = []string{"one@example.org", "two@example.org", "three@example.org"}
					m.To[at-1] = bad
					r := injectAll(t, s.Dial, inject.Options{Connections: 1}, m)[0]
					for _, to := range r.Recipients {
						want := "delivered"
						if to.Address == bad {
							want = f.want
						}
						if to.Outcome.String() != want {
							t.Errorf("%s: %v at %s by %v, want %s", to.Address, to.Outcome, to.Stage, to.Reply, want)
						}
					}
					if got := s.Messages(); len(got) != 1 || len(got[0].To) != 2 {
						t.Errorf("arrived: %v", got)
					}
					if f.want == "deferred" && (r.Outcome != inject.Deferred || r.Reply.Code/100 != 4) {
						t.Errorf("%v by %v, err %v", r.Outcome, r.Reply, r.Err)
					}
				})
			}
		}
	}
}
