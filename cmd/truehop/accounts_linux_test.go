package main

import (
	"strings"
	"testing"
)

// TestAccountsAddAtATerminal: a terminal does not show the password that is typed, and shows what is typed after it.
func TestAccountsAddAtATerminal(t *testing.T) {
	s := newTableTrial(t)
	const canary = "correct horse"
	p, tty := seenOnTerminal(t, "accounts", "add", "work", "host=imap.example.net", "user=joe", "recipients=joe@example.org", "--config", s.config)
	p.start(t)
	tty.answer(t, "password of account work", canary)
	said := tty.rest(t)
	if code := p.wait(t); code != exitOK {
		t.Fatalf("it ends with %d: %s", code, said)
	}
	if strings.Contains(said, canary) || !strings.Contains(said, "account work is added") {
		t.Errorf("it shows %q", said)
	}
	s.accounts(t, exitOK, "", "check")
}
