package inject_test

import (
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// What becomes of octets above 127 without 8BITMIME, and NUL.
func TestPolicies(t *testing.T) {
	no8 := []string{"8BITMIME"}
	eight := func(m *inject.Message) { m.EightBit = true }
	null := func(m *inject.Message) { m.NUL = true }
	for _, c := range []struct {
		name    string
		without []string
		options inject.Options
		edit    func(*inject.Message)
		refused string // the stage, "" for delivered
		note    string
	}{
		{"octets above 127 sent anyway", no8, inject.Options{}, eight, "", "8BITMIME not offered: sent as it is"},
		{"octets above 127 refused", no8, inject.Options{EightBit: inject.RefuseEightBit}, eight, "MAIL", ""},
		{"8BITMIME offered", nil, inject.Options{EightBit: inject.RefuseEightBit}, eight, "", ""},
		{"seven bits", no8, inject.Options{EightBit: inject.RefuseEightBit}, func(*inject.Message) {}, "", ""},
		{"NUL sent", nil, inject.Options{}, null, "", ""},
		{"NUL refused", nil, inject.Options{NUL: inject.RefuseNUL}, null, "MAIL", ""},
		{"no NUL", nil, inject.Options{NUL: inject.RefuseNUL}, func(*inject.Message) {}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Without: c.without, Record: true})
			m := message(1)
			const content = "\x00\xff\r\n"
			m.Header, m.Size, m.Body = nil, int64(len(content)), bodyOf(content)
			c.edit(m)
			c.options.Connections = 1
			// The next message follows it, pipelined while it is under way.
			rs := injectAll(t, s.Dial, c.options, message(2), m, message(3))
			if rs[0].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered {
				t.Errorf("beside it %+v and %+v", rs[0], rs[2])
			}
			r := rs[1]
			if c.refused == "" {
				if r.Outcome != inject.Delivered || r.Note != c.note || string(s.Messages()[1].Data) != content {
					t.Errorf("%+v, err %v; want it delivered with note %q", r, r.Err, c.note)
				}
				return
			}
			if r.Outcome != inject.Withheld || kindOf(r) != inject.Unsendable || r.Stage != c.refused || r.Reply.Code != 0 {
				t.Errorf("%+v, err %v", r, r.Err)
			}
			if text := strings.Join(said(s), "\n"); s.Count() != 2 || strings.Contains(text, m.From) {
				t.Errorf("%d arrived\n%s", s.Count(), text)
			}
		})
	}
}

// TestHELO: a server that knows of no EHLO is spoken to in RFC 821, and has no XCLIENT.
func TestHELO(t *testing.T) {
	id := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	for _, c := range []struct {
		name    string
		server  injecttest.Options
		options inject.Options
		outcome inject.Outcome
		kind    inject.Kind
		verbs   string
	}{
		{"required", injecttest.Options{}, inject.Options{}, inject.Deferred, inject.Misconfigured, "EHLO HELO QUIT"},
		{"if available", injecttest.Options{}, inject.Options{XCLIENT: inject.IfAvailable}, inject.Delivered, 0, "EHLO HELO MAIL RCPT DATA (40 . QUIT"},
		{"off", injecttest.Options{}, inject.Options{XCLIENT: inject.Off, Chunking: true, DSN: inject.DSNNever}, inject.Delivered, 0, "EHLO HELO MAIL RCPT DATA (40 . QUIT"},
		{"XFORWARD", injecttest.Options{}, inject.Options{Carrier: inject.XFORWARD}, inject.Deferred, inject.Misconfigured, "EHLO HELO QUIT"},
		{"STARTTLS", injecttest.Options{TLS: id.server()}, inject.Options{XCLIENT: inject.Off, StartTLS: inject.StartTLS, TLSConfig: id.client("mx.example.org")},
			inject.Deferred, inject.TLS, "EHLO HELO"},
		{"LHLO is not for HELO", injecttest.Options{}, inject.Options{Dialect: inject.LMTP}, inject.Deferred, inject.Misconfigured, "LHLO QUIT"},
		{"other refusals are refusals", injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.HELO, Reply: "550 5.7.1 no"}}},
			inject.Options{XCLIENT: inject.Off}, inject.Deferred, inject.Misconfigured, "EHLO HELO QUIT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.server.NoEHLO, c.server.Record = true, true
			s := newServer(t, c.server)
			m := message(1)
			m.EightBit = true
			r := injectAll(t, s.Dial, c.options, m)[0]
			if r.Outcome != c.outcome || kindOf(r) != c.kind {
				t.Errorf("%+v, err %v", r, r.Err)
			}
			if got := verbs(said(s)); got != c.verbs {
				t.Errorf("said %s, want %s\n%s", got, c.verbs, strings.Join(s.Transcript(), "\n"))
			}
			for _, got := range s.Messages() {
				if got.FromParams != "" || got.ToParams[0] != "" || got.Client.Proto != "SMTP" {
					t.Errorf("parameters that nobody offered: %+v", got)
				}
			}
		})
	}
}
