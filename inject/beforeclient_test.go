package inject_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestBeforeClient: a receipt says whether it went wrong before the client was presented. What comes later may be
// about the client.
func TestBeforeClient(t *testing.T) {
	at := func(stage injecttest.Stage, reply string) injecttest.Options {
		f := injecttest.Fault{Stage: stage, Reply: reply}
		if reply == "" {
			f.Then = injecttest.CloseConn
		}
		return injecttest.Options{Faults: []injecttest.Fault{f}}
	}
	for _, c := range []struct {
		name    string
		server  injecttest.Options
		carrier inject.Carrier
		want    bool
	}{
		{"closed at the greeting", at(injecttest.Greeting, ""), inject.XCLIENT, true},
		{"421 at the greeting", at(injecttest.Greeting, "421 4.3.2 not now"), inject.XCLIENT, true},
		{"554 at the greeting", at(injecttest.Greeting, "554 5.3.2 never"), inject.XCLIENT, true},
		{"closed at EHLO", at(injecttest.EHLO, ""), inject.XCLIENT, true},
		{"550 at EHLO", at(injecttest.EHLO, "550 5.7.1 go away"), inject.XCLIENT, true},
		{"XCLIENT is not offered", injecttest.Options{XCLIENT: []string{}}, inject.XCLIENT, true},
		{"XCLIENT is offered without ADDR", injecttest.Options{XCLIENT: []string{"NAME"}}, inject.XCLIENT, true},
		{"closed at XCLIENT", at(injecttest.XCLIENT, ""), inject.XCLIENT, false},
		{"550 at XCLIENT", at(injecttest.XCLIENT, "550 5.7.0 Error: insufficient authorization"), inject.XCLIENT, false},
		{"closed at the client's EHLO", at(injecttest.EHLO2, ""), inject.XCLIENT, false},
		{"530 at MAIL", at(injecttest.MAIL, "530 5.7.0 log in first"), inject.XCLIENT, false},
		{"451 at the dot", at(injecttest.DOT, "451 4.3.0 later"), inject.XCLIENT, false},
		{"delivered", injecttest.Options{}, inject.XCLIENT, false},
		{"XFORWARD is not offered", injecttest.Options{}, inject.XFORWARD, true},
		{"closed at the greeting behind PROXY", at(injecttest.Greeting, ""), inject.PROXYv1, false},
		{"554 at the greeting behind PROXY", at(injecttest.Greeting, "554 5.7.1 listed"), inject.PROXYv1, false},
		{"closed at EHLO behind PROXY", at(injecttest.EHLO, ""), inject.PROXYv1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newServer(t, c.server)
			dial := func(ctx context.Context) (net.Conn, error) { return server.Dial(ctx) }
			if c.carrier == inject.PROXYv1 {
				dial = (&proxied{s: server}).dial
			}
			r := injectAll(t, dial, inject.Options{Carrier: c.carrier}, message(1))[0]
			if r.BeforeClient != c.want {
				t.Errorf("%v at %s, error %v: before the client %v, want %v", r.Outcome, r.Stage, r.Err, r.BeforeClient, c.want)
			}
		})
	}
	for carrier, want := range map[inject.Carrier]bool{inject.XCLIENT: true, inject.PROXYv1: true} {
		refused := func(context.Context) (net.Conn, error) { return nil, errors.New("connection refused") }
		if r := injectAll(t, refused, inject.Options{Carrier: carrier}, message(1))[0]; r.BeforeClient != want {
			t.Errorf("not reached, carrier %v: before the client %v, want %v", carrier, r.BeforeClient, want)
		}
	}
}
