//go:build unix

package inject_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// Where nobody has told Postfix to bear more, no session comes to the point at which it slows down: here it ends the
// session there instead. Its counts are what the scripted server of the tests has them to be.
func TestPostfixCountsErrors(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Main: []string{"in_flow_delay = 0"},
		Listeners: []injecttest.Listener{{Name: "strict", Options: []string{
			"smtpd_authorized_xclient_hosts=static:all", "smtpd_hard_error_limit=10", // the default of smtpd_soft_error_limit
			"smtpd_sender_restrictions=check_client_access cidr:{{198.51.100.0/24 REJECT}}",
		}}},
	})
	for _, c := range []struct {
		name     string
		mails    int
		mail     func(n int) *inject.Message
		code     int
		sessions int64
	}{
		{"refused", 48, func(n int) *inject.Message { return bad(n, 1) }, 554, 12},
		{"refused for three recipients", 12, func(n int) *inject.Message { return bad(n, 3) }, 554, 6},
		{"asked in a dry run", 120, func(n int) *inject.Message { m := message(n); m.DryRun = true; return m }, 250, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			var dialled atomic.Int64
			dial := p.Dialer("strict")
			counted := func(ctx context.Context) (net.Conn, error) { dialled.Add(1); return dial(ctx) }
			var ms []*inject.Message
			for n := range c.mails {
				ms = append(ms, c.mail(n))
			}
			for n, r := range injectAll(t, counted, inject.Options{Connections: 1}, ms...) {
				if r.Stage != "RCPT" || r.Reply.Code != c.code {
					t.Errorf("message %d: %s %v, err %v; want RCPT %d", n+1, r.Stage, r.Reply, r.Err, c.code)
				}
			}
			if n := dialled.Load(); n != c.sessions {
				t.Errorf("%d sessions, want %d", n, c.sessions)
			}
			if log := p.Log(); strings.Contains(log, "too many errors") {
				t.Errorf("Postfix ended a session:\n%s", log)
			}
		})
	}
}
