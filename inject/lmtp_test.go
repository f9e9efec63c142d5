package inject_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestLMTPRepliesTooFew: where a server has fewer replies to the dot than there are recipients, none to another command
// is taken for one of them.
func TestLMTPRepliesTooFew(t *testing.T) {
	for name, so := range map[string]injecttest.Options{
		"another client in the same session": {LMTP: true},
		"the session's last message":         {LMTP: true, Once: true},
	} {
		bubble(t, name, func(t *testing.T) {
			so.Faults = []injecttest.Fault{{Stage: injecttest.DOT, Nth: 1, Reply: "554 5.6.0 no"}, {Stage: injecttest.DOT, Nth: 2, Then: injecttest.Mute}}
			s := newServer(t, so)
			session, err := inject.Open(t.Context(), s.Dial, inject.Options{Dialect: inject.LMTP})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			m := message(1)
			m.To = []string{"one@example.org", "two@example.org"}
			r := session.Deliver(t.Context(), m, func() *inject.Message { return message(2) })
			if want := "refused in-doubt"; outcomes(r) != want {
				t.Errorf("%s, want %s: %v", outcomes(r), want, r.Recipients)
			}
		})
	}
}

// TestOtherDialect: a listener that does not know our greeting speaks the other protocol, and the hint says which key is to change.
func TestOtherDialect(t *testing.T) {
	for _, c := range []struct {
		name string
		s    injecttest.Options
		o    inject.Options
		want string
	}{
		{"SMTP to LMTP", injecttest.Options{LMTP: true}, inject.Options{}, "protocol: lmtp"},
		{"LMTP to SMTP", injecttest.Options{}, inject.Options{Dialect: inject.LMTP}, "protocol: smtp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := inject.Open(t.Context(), newServer(t, c.s).Dial, c.o)
			var e *inject.Error
			if !errors.As(err, &e) || e.Kind != inject.Misconfigured || !strings.Contains(e.Hint(), c.want) {
				t.Fatalf("%v, hint %q; want %q in it", err, e.Hint(), c.want)
			}
		})
	}
}
