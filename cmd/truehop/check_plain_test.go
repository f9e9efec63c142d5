package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject/injecttest"
)

// TestCheckAsksTheListenerWithoutRules: whatever sends mail to inject.plain has check ask there, as run will, for the very recipients
// that run has; and nothing else does.
func TestCheckAsksTheListenerWithoutRules(t *testing.T) {
	const alice, spam, postmaster = "alice@example.org", "spam@example.org", "postmaster@example.org"
	denied := []injecttest.Fault{{Stage: injecttest.RCPT, Reply: "554 5.7.1 Relay access denied"}}
	for _, c := range []struct {
		name, top, keys string
		listener        injecttest.Options
		asked           []string // nil if nobody goes there
		code            int
		says            string
	}{
		{name: "nothing sends mail there"},
		{name: "all mail of an account without a filter", keys: "filter: false", asked: []string{alice}},
		{name: "mail of unknown clients", keys: "on_unknown_client: plain", asked: []string{alice}},
		{name: "internal mail", keys: "on_internal: plain", asked: []string{alice}},
		{name: "stale mail", keys: "stale_after: 30d, on_stale: plain", asked: []string{alice}},
		{name: "a quarantine", keys: "on_refused: \"quarantine:" + spam + "\"", asked: []string{spam}},
		{name: "a quarantine of an account without a filter", keys: "filter: false, on_refused: \"quarantine:" + spam + "\"", asked: []string{alice, spam}},
		{name: "mail about trouble", top: "trouble_mail: " + postmaster + "\n", asked: []string{postmaster}},
		{name: "all of them", top: "trouble_mail: " + alice + "\n", keys: "on_internal: plain, on_refused: \"quarantine:" + spam + "\"", asked: []string{alice, spam}},
		{name: "a recipient that is not known there", keys: "on_unknown_client: plain", listener: injecttest.Options{Recipients: []string{spam}}, asked: []string{alice},
			code: exitConfig, says: "correct accounts.a.recipients, or have the MTA take mail for it"},
		{name: "a quarantine that is not known", keys: "on_refused: \"quarantine:" + spam + "\"", listener: injecttest.Options{Recipients: []string{alice}}, asked: []string{spam},
			code: exitConfig, says: "correct accounts.a.on_refused, or have the MTA take mail for it"},
		{name: "a quarantine that is relayed", keys: "on_refused: \"quarantine:" + spam + "\"", listener: injecttest.Options{Faults: denied}, asked: []string{spam},
			code: exitConfig, says: "the MTA takes no mail for " + spam + ": server said \"554 5.7.1"},
		{name: "a postmaster who is not known", top: "trouble_mail: " + postmaster + "\n", listener: injecttest.Options{Recipients: []string{alice}}, asked: []string{postmaster},
			code: exitConfig, says: "correct trouble_mail, or have the MTA take mail for it"},
		{name: "a limit below max_size", keys: "on_unknown_client: plain", listener: injecttest.Options{SizeLimit: 1000000}, asked: []string{alice},
			says: "max_size is more than the MTA takes, 1000000 octets, and what is larger is held: a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newCrossroads(t, "a")
			c.listener.XCLIENT = []string{}
			mta, plain := startMTA(t, injecttest.Options{}), startMTA(t, c.listener)
			w.configure(t, fmt.Sprintf("%sinject: {address: %q, plain: %q}", c.top, mta.Addr(), plain.Addr()), map[string]string{"a": c.keys})
			said := must(t, c.code, "check", "--verbose", "--config", w.config).stdout.String()
			if visited := strings.Contains(said, "MTA, without clients: at "+plain.Addr().String()); visited != (c.asked != nil) || !strings.Contains(said, c.says) {
				t.Errorf("it looks at the listener: %v; want %q in\n%s", visited, c.says, said)
			}
			var asked []string
			for _, line := range plain.Transcript() {
				if to, ok := strings.CutPrefix(line, "C: RCPT TO:<"); ok {
					to, _, _ = strings.Cut(to, ">")
					asked = append(asked, to)
				}
			}
			if slices.Sort(asked); !slices.Equal(asked, c.asked) {
				t.Errorf("it asks about %q, want %q\n%s", asked, c.asked, said)
			}
		})
	}
}

// TestCheckFindsThatNobodyListensWithoutRules: a quarantine behind a listener that is not there is found before mail is put into it.
func TestCheckFindsThatNobodyListensWithoutRules(t *testing.T) {
	w := newCrossroads(t, "a")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.configure(t, fmt.Sprintf("inject: {address: %q, plain: %q}", startMTA(t, injecttest.Options{}).Addr(), dead), map[string]string{"a": "on_refused: \"quarantine:spam@example.org\""})
	if said := must(t, exitUnavailable, "check", "--config", w.config).stdout.String(); !strings.Contains(said, "nobody listens at "+dead) {
		t.Errorf("it says\n%s", said)
	}
}
