package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject/injecttest"
)

// TestLogSaysWhatTheMTAWasTold: of each client, the log and history have what the carrier told the MTA, and no name that it did not.
func TestLogSaysWhatTheMTAWasTold(t *testing.T) {
	for _, c := range []struct {
		name, inject string
		mta          injecttest.Options
		log, history string
	}{
		{"XCLIENT", "carrier: xclient", injecttest.Options{},
			"client=203.0.113.1 name=host1.example.com helo=helo1.example.com ", `"client":"203.0.113.1","helo":"helo1.example.com","target":"main"`},
		{"XCLIENT without a name as Dovecot has it", "protocol: lmtp", injecttest.Dovecot(),
			"client=203.0.113.1 name=- helo=helo1.example.com ", `"client":"203.0.113.1","helo":"helo1.example.com","target":"main"`},
		{"PROXY", "carrier: proxy-v2", injecttest.Exim(),
			"client=203.0.113.1 name=- helo=helo1.example.com ", `"client":"203.0.113.1","helo":"helo1.example.com","target":"main"`},
		{"nothing", "xclient: \"off\"", injecttest.Options{},
			"client=- name=- helo=- ", `"client":null,"helo":null,"target":"main"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newCrossroads(t, "a")
			mta := startMTA(t, c.mta)
			w.configure(t, fmt.Sprintf("log: {format: text}\ninject: {address: %q, %s}", mta.Addr(), c.inject), nil)
			p := must(t, exitOK, "run", "--config", w.config)
			if log := p.stderr.String(); !strings.Contains(log, c.log) {
				t.Errorf("no %q in the log:\n%s", c.log, log)
			}
			if history := must(t, exitOK, "history", "--json", "--config", w.config).stdout.String(); !strings.Contains(history, c.history) {
				t.Errorf("no %q in\n%s", c.history, history)
			}
		})
	}
}
