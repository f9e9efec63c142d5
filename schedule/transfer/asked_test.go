package transfer_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestSilentMTAAndThePassIsAskedToEnd: before its dot a message is abandoned at once and stays as it was; behind the dot the
// verdict is awaited for a while, and recorded.
func TestSilentMTAAndThePassIsAskedToEnd(t *testing.T) {
	const asked, grace = 5 * time.Second, 10 * time.Second
	for name, c := range map[string]struct {
		fault injecttest.Fault
		takes time.Duration // from the demand to the end
		want  map[ledger.State]int
	}{
		"greeting":                 {injecttest.Fault{Stage: injecttest.Greeting, Then: injecttest.Silence}, 0, nil},
		"EHLO":                     {injecttest.Fault{Stage: injecttest.EHLO, Then: injecttest.Silence}, 0, nil},
		"XCLIENT":                  {injecttest.Fault{Stage: injecttest.XCLIENT, Then: injecttest.Silence}, 0, nil},
		"MAIL":                     {injecttest.Fault{Stage: injecttest.MAIL, Then: injecttest.Silence}, 0, nil},
		"RCPT":                     {injecttest.Fault{Stage: injecttest.RCPT, Then: injecttest.Silence}, 0, nil},
		"DATA":                     {injecttest.Fault{Stage: injecttest.DATA, Then: injecttest.Silence}, 0, nil},
		"the dot":                  {injecttest.Fault{Stage: injecttest.DOT, Then: injecttest.Silence}, grace, map[ledger.State]int{ledger.Doubt: 1}},
		"the dot, reply in time":   {injecttest.Fault{Stage: injecttest.DOT, Delay: asked + 3*time.Second}, 3 * time.Second, map[ledger.State]int{ledger.Delivered: 1}},
		"the dot, refusal in time": {injecttest.Fault{Stage: injecttest.DOT, Delay: asked + 3*time.Second, Reply: "554 5.7.1 no"}, 3 * time.Second, map[ledger.State]int{ledger.Refused: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.pass.OnDelivered = fetch.Disposal{}
				server := injecttest.New(injecttest.Options{Faults: []injecttest.Fault{c.fault}})
				pool := inject.NewPool(server.Dial, inject.Options{Connections: 1, Timeouts: inject.Timeouts{Grace: grace}})
				defer server.Close()
				defer pool.Close(t.Context())
				w.pass.MTA = pool
				w.add(1)
				ctx, cancel := context.WithCancel(t.Context())
				began := time.Now()
				time.AfterFunc(asked, cancel)
				_, err := w.pass.Run(ctx)
				// The last verdict waits a few milliseconds for company in the ledger.
				if took := time.Since(began).Truncate(100 * time.Millisecond); took != asked+c.takes {
					t.Errorf("the pass ended %v after it was asked to, want %v; %v", took-asked, c.takes, err)
				}
				w.states(c.want)
			})
		})
	}
}
