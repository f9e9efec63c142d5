package inject_test

import (
	"net/netip"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestPresentedIsWhatWasTold: a receipt names of the client what the carrier could tell the MTA, and nothing else.
func TestPresentedIsWhatWasTold(t *testing.T) {
	known := inject.Client{Addr: netip.MustParseAddr("198.51.100.7"), Name: "mail.example.net", ReverseName: "mail.example.net",
		HELO: "helo.example.net", Port: 2525, DestAddr: netip.MustParseAddr("203.0.113.1"), DestPort: 25, ESMTP: true}
	without := func(edit func(*inject.Client)) inject.Client {
		c := known
		edit(&c)
		return c
	}
	noName := func(c *inject.Client) { c.Name, c.ReverseName = "", "" }
	noDest := func(c *inject.Client) { c.DestAddr, c.DestPort = netip.Addr{}, 0 }
	fault := func(stage injecttest.Stage, reply string) []injecttest.Fault {
		return []injecttest.Fault{{Stage: stage, Reply: reply, Then: injecttest.Dead}}
	}
	for _, c := range []struct {
		name    string
		carrier inject.Carrier
		server  injecttest.Options
		mode    inject.Mode
		client  inject.Client
		want    inject.Client
	}{
		{"XCLIENT with all attributes", inject.XCLIENT, injecttest.Options{}, inject.Required, known, known},
		{"XCLIENT without PORT, DESTADDR, DESTPORT", inject.XCLIENT, injecttest.Options{XCLIENT: []string{"NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME"}},
			inject.Required, known, without(func(c *inject.Client) { noDest(c); c.Port = 0 })},
		{"XCLIENT without HELO, which EHLO says", inject.XCLIENT, injecttest.Options{XCLIENT: []string{"NAME", "ADDR"}},
			inject.Required, known, without(func(c *inject.Client) { noDest(c); c.Port = 0 })},
		{"XCLIENT without REVERSE_NAME", inject.XCLIENT, injecttest.Options{XCLIENT: []string{"NAME", "ADDR", "PORT", "DESTADDR", "DESTPORT"}},
			inject.Required, without(func(c *inject.Client) { c.Name = "" }), without(noName)},
		{"XCLIENT of a client without HELO, which says its address", inject.XCLIENT, injecttest.Options{}, inject.Required,
			without(func(c *inject.Client) { c.HELO = "" }), without(func(c *inject.Client) { c.HELO = "[198.51.100.7]" })},
		{"refused at XCLIENT", inject.XCLIENT, injecttest.Options{Faults: fault(injecttest.XCLIENT, "554 5.7.1 no")}, inject.Required, known, known},
		{"XCLIENT of nobody", inject.XCLIENT, injecttest.Options{}, inject.Required, inject.Client{ESMTP: true}, inject.Client{HELO: "[192.0.0.8]", ESMTP: true}},
		{"XCLIENT off", inject.XCLIENT, injecttest.Options{}, inject.Off, known, inject.Client{}},
		{"XFORWARD", inject.XFORWARD, injecttest.Options{XFORWARD: []string{"NAME", "ADDR", "PROTO", "HELO", "PORT", "SOURCE"}},
			inject.Required, known, without(noDest)},
		{"XFORWARD of the name and address", inject.XFORWARD, injecttest.Options{XFORWARD: []string{"NAME", "ADDR"}},
			inject.Required, known, without(func(c *inject.Client) { noDest(c); c.Port, c.HELO = 0, "" })},
		{"XFORWARD where the name is not known for now", inject.XFORWARD, injecttest.Options{XFORWARD: []string{"NAME", "ADDR"}},
			inject.Required, inject.Client{Addr: known.Addr, NameTemporary: true, ESMTP: true}, inject.Client{Addr: known.Addr, ESMTP: true}},
		{"PROXY", inject.PROXYv1, injecttest.Options{}, inject.Required, known, without(noName)},
		{"PROXY, refused at the greeting", inject.PROXYv1, injecttest.Options{Faults: fault(injecttest.Greeting, "554 5.7.1 no")},
			inject.Required, known, without(func(c *inject.Client) { noName(c); c.HELO = "" })},
		{"PROXY, refused at EHLO", inject.PROXYv1, injecttest.Options{Faults: fault(injecttest.EHLO, "550 5.7.1 no")},
			inject.Required, known, without(noName)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := proxied{s: newServer(t, c.server)}
			dial := p.s.Dial
			if c.carrier == inject.PROXYv1 {
				dial = p.dial
			}
			m := message(1)
			m.Client = c.client
			r := injectAll(t, dial, inject.Options{Carrier: c.carrier, XCLIENT: c.mode}, m)[0]
			if told := c.mode == inject.Required; r.Presented != c.want || r.ClientGiven != told {
				t.Errorf("told %v\n%+v, want\n%+v (%v by %v, err %v)", r.ClientGiven, r.Presented, c.want, r.Outcome, r.Reply, r.Err)
			}
		})
	}
}
