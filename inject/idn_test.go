package inject_test

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// idnMessages are one with domains that are not ASCII, and one with a local-part that is not.
func idnMessages() (domains, local *inject.Message) {
	domains, local = message(1), message(2)
	domains.From, domains.To = "sender@straße.example", []string{"user@example.org", "user@bücher.example"}
	local.To = []string{"jürgen@bücher.example"}
	return domains, local
}

// Domains are sent by their A-labels, also to an MTA that offers SMTPUTF8: behind it there may be one that does not, and then it would bounce. A
// local-part has no other form, and where SMTPUTF8 is not offered its message is held with the cause. The receipt names recipients as they
// were given.
func TestAddressesThatAreNotASCII(t *testing.T) {
	domains, local := idnMessages()
	for _, without := range []string{"", "SMTPUTF8"} {
		s := newServer(t, injecttest.Options{Without: []string{without}})
		rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, domains, local, message(3))
		if rs[0].Outcome != inject.Delivered || rs[0].Recipients[1].Address != domains.To[1] || rs[2].Outcome != inject.Delivered {
			t.Fatalf("%+v, err %v", rs[0], rs[0].Err)
		}
		first := s.Messages()[0]
		if first.From != "sender@xn--strae-oqa.example" || first.To[1] != "user@xn--bcher-kva.example" || strings.Contains(first.FromParams, "SMTPUTF8") {
			t.Errorf("without %q: %+v", without, first)
		}
		if want := "domains in ASCII"; rs[0].Note != want {
			t.Errorf("note %q, want %q", rs[0].Note, want)
		}
		if without == "" {
			if second := s.Messages()[1]; rs[1].Outcome != inject.Delivered || second.To[0] != local.To[0] || !strings.Contains(second.FromParams, "SMTPUTF8") {
				t.Errorf("a local-part: %v, %+v", rs[1].Outcome, second)
			}
			continue
		}
		if r := rs[1]; r.Outcome != inject.Withheld || r.Stage != "RCPT" || !strings.Contains(r.Err.Error(), "a recipient is not ASCII before the @") || strings.Contains(r.Err.Error(), "jürgen") {
			t.Errorf("%+v, err %v", r, r.Err)
		}
	}
}

// The same against Postfix, which takes the domain by either form and the local-part only with smtputf8_enable.
func TestPostfixAddressesThatAreNotASCII(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Main: []string{"virtual_mailbox_domains = example.org, bücher.example, xn--bcher-kva.example", "smtputf8_enable = yes"},
		Listeners: []injecttest.Listener{
			{Name: "UTF8", Options: []string{"smtpd_authorized_xclient_hosts=static:all"}},
			{Name: "ASCII", Options: []string{"smtpd_authorized_xclient_hosts=static:all", "smtputf8_enable=no"}},
		}})
	for listener, want := range map[string]inject.Outcome{"UTF8": inject.Delivered, "ASCII": inject.Withheld} {
		domains, local := idnMessages()
		rs := injectAll(t, p.Dialer(listener), inject.Options{Connections: 1, DSN: inject.DSNNever}, domains, local)
		if rs[0].Outcome != inject.Delivered || rs[1].Outcome != want {
			t.Errorf("%s: %v by %v (err %v), then %v by %v (err %v); want the second %v", listener,
				rs[0].Outcome, rs[0].Reply, rs[0].Err, rs[1].Outcome, rs[1].Reply, rs[1].Err, want)
		}
	}
}
