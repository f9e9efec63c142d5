package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject/injecttest"
)

// TestJourneyMultidrop: a mailbox for a whole domain, between a real Dovecot and a real Postfix. The topmost
// Delivered-To of the upstream decides, To does not, and what is somebody else's stays there.
func TestJourneyMultidrop(t *testing.T) {
	j := newJourney(t, injecttest.PostfixOptions{})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_delivered: delete")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	config = j.write(t, "multidrop.yaml", strings.Replace(string(text), "recipients: [alice@example.org]",
		"recipient_from: delivered-to\n    recipient_domains: [example.org]", 1))
	for n, to := range []string{"alice@example.org", "bob@example.org", "carol@elsewhere.example"} {
		mail := bytes.Replace(clientMail(n+1), []byte("Delivered-To: alice@example.org"), []byte("Delivered-To: "+to), 1)
		j.dovecot.Deliver(bytes.Replace(mail, []byte("Subject:"), []byte("To: postmaster@example.org\r\nSubject:"), 1))
	}
	p := must(t, exitPerson, "run", "--config", config)
	if !strings.Contains(p.stderr.String(), "msg=held") || !strings.Contains(p.stderr.String(), "none of the domains") {
		t.Errorf("the foreign recipient is not reported:\n%s", &p.stderr)
	}
	mail := j.postfix.Mail()
	if len(mail) != 2 {
		t.Fatalf("Postfix delivered %d messages, want 2:\n%s", len(mail), j.postfix.Log())
	}
	for _, want := range []string{"for <alice@example.org>", "for <bob@example.org>"} {
		if !strings.Contains(strings.Join(mail, ""), want) {
			t.Errorf("nothing was delivered %s", want)
		}
	}
	if got := j.dovecot.Count(); got != 1 {
		t.Errorf("%d messages are left upstream, want the one that is held", got)
	}
}
