package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// journey is the whole path on real servers: Dovecot, the program, Postfix.
type journey struct {
	dir     string
	dovecot *fetchtest.Dovecot
	postfix *injecttest.Postfix
}

func newJourney(t *testing.T, o injecttest.PostfixOptions) *journey {
	t.Helper()
	j := &journey{dir: t.TempDir(), dovecot: fetchtest.StartDovecot(t, fetchtest.DovecotOptions{}), postfix: injecttest.StartPostfix(t, o)}
	j.write(t, "password", j.dovecot.Password+"\n")
	return j
}

func (j *journey) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(j.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// config writes a configuration with one account and returns its path. Lines are the account's keys.
func (j *journey) config(t *testing.T, addr string, lines ...string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	network, mta := j.postfix.Addr(injecttest.ListenUnix)
	text := fmt.Sprintf("state_dir: %s\ninject:\n  address: %s:%s\naccounts:\n  work:\n    host: localhost\n    port: %s\n    tls_ca_file: %s\n    user: %s\n    recipients: [alice@example.org]\n    mx: [mx.example.net]\n",
		filepath.Join(j.dir, "state"), network, mta, port, j.dovecot.CAFile, j.dovecot.User)
	for _, l := range lines {
		text += "    " + l + "\n"
	}
	return j.write(t, "truehop.yaml", text)
}

// client is a message that a client at 203.0.113.N sent.
func clientMail(n int) []byte {
	return []byte(strings.ReplaceAll(fmt.Sprintf(`Return-Path: <sender%[1]d@example.com>
Delivered-To: alice@example.org
Received: from helo%[1]d.example.com (host%[1]d.example.com [203.0.113.%[1]d])
	by mx.example.net (Postfix) with ESMTPS id 4XyZ%[1]d
	for <alice@example.org>; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)
Subject: number %[1]d
Message-ID: <%[1]d@example.com>
Date: Mon, 23 Nov 2026 12:00:00 +0000
From: sender%[1]d@example.com

line
..two dots
.
`, n), "\n", "\r\n"))
}

// TestJourney carries mail from a real Dovecot into a real Postfix by every protocol, every kind of
// TLS and every source of the password, and looks at what Postfix says of the client.
func TestJourney(t *testing.T) {
	postfix := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
	for _, c := range []struct {
		name       string
		addr       func(*fetchtest.Dovecot) string
		lines      string
		left, done int
		flag       string
	}{
		{"imaps", func(d *fetchtest.Dovecot) string { return d.IMAPSAddr }, "tls: implicit\npassword_file: PASSWORD\non_delivered: delete", 0, 0, ""},
		{"imap+starttls", func(d *fetchtest.Dovecot) string { return d.IMAPAddr }, "tls: starttls\npassword_command: [/bin/cat, PASSWORD]\non_delivered: move:Done", 0, 1, ""},
		{"pop3s", func(d *fetchtest.Dovecot) string { return d.POP3SAddr }, "protocol: pop3\ntls: implicit\npassword_credential: password\non_delivered: delete", 0, 0, ""},
		{"pop3+stls", func(d *fetchtest.Dovecot) string { return d.POP3Addr }, "protocol: pop3\ntls: starttls\npassword_file: PASSWORD\non_delivered: keep", 1, 0, ""},
		{"imap seen", func(d *fetchtest.Dovecot) string { return d.IMAPSAddr }, "password_file: PASSWORD\non_delivered: seen", 1, 0, "S"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &journey{dir: t.TempDir(), dovecot: fetchtest.StartDovecot(t, fetchtest.DovecotOptions{}), postfix: postfix}
			password := j.write(t, "password", j.dovecot.Password+"\n")
			t.Setenv("CREDENTIALS_DIRECTORY", j.dir)
			j.dovecot.Create("Done")
			before := len(j.postfix.Mail())
			config := j.config(t, c.addr(j.dovecot), strings.Split(strings.ReplaceAll(c.lines, "PASSWORD", password), "\n")...)
			j.dovecot.Deliver(clientMail(7))
			p := must(t, exitOK, "run", "--config", config)
			if !strings.Contains(p.stderr.String(), "client=203.0.113.7 name=host7.example.com helo=helo7.example.com") {
				t.Errorf("the log does not name the client:\n%s", &p.stderr)
			}
			must(t, exitOK, "run", "--config", config) // and nothing twice
			mail := j.postfix.Mail()[before:]
			if len(mail) != 1 {
				t.Fatalf("Postfix delivered %d messages, want 1\n%s", len(mail), j.postfix.Log())
			}
			wantMail(t, mail[0])
			if got := j.dovecot.Count(); got != c.left {
				t.Errorf("%d messages are left upstream, want %d", got, c.left)
			}
			if got := len(j.dovecot.Messages("Done")); got != c.done {
				t.Errorf("%d messages moved, want %d", got, c.done)
			}
			if flags := strings.Join(j.dovecot.Flags("INBOX"), " "); c.flag != "" && !strings.Contains(flags, c.flag) {
				t.Errorf("flags upstream %q, want %s", flags, c.flag)
			}
		})
	}
	if log := postfix.Log(); !strings.Contains(log, "client=host7.example.com[203.0.113.7]") {
		t.Errorf("Postfix did not log the client:\n%s", log)
	}
}

// wantMail holds a delivered message against what was sent.
func wantMail(t *testing.T, mail string) {
	t.Helper()
	for _, want := range []string{
		"Return-Path: <sender7@example.com>\n",
		"Received: from helo7.example.com (host7.example.com [203.0.113.7])\n",
		"\nTruehop-ID: ",
		"\nX-Upstream-Delivered-To: alice@example.org\n",
		"\n\nline\n..two dots\n.\n",
	} {
		if !strings.Contains("\n"+mail, want) {
			t.Errorf("the delivered message lacks %q:\n%s", want, mail)
		}
	}
}

// TestJourneyRefused shows Postfix's access rule at work on the true client, and what becomes of it.
func TestJourneyRefused(t *testing.T) {
	j := newJourney(t, injecttest.PostfixOptions{Main: []string{
		"smtpd_client_restrictions = check_client_access inline:{{203.0.113.66 = REJECT listed here}}",
	}})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_delivered: delete")
	for _, n := range []int{65, 66, 67} {
		j.dovecot.Deliver(clientMail(n))
	}
	p := must(t, exitPerson, "run", "--config", config)
	if !strings.Contains(p.stderr.String(), "msg=refused") || !strings.Contains(p.stderr.String(), "listed here") {
		t.Errorf("the refusal is not reported:\n%s", &p.stderr)
	}
	if got := len(j.postfix.Mail()); got != 2 {
		t.Errorf("Postfix delivered %d messages, want 2", got)
	}
	if got := j.dovecot.Count(); got != 1 {
		t.Errorf("%d messages are left upstream, want the refused one", got)
	}
	if log := j.postfix.Log(); strings.Contains(log, "bounce") {
		t.Errorf("something bounced:\n%s", log)
	}
}

// TestJourneyForwardedBack: Postfix forwards the recipient's mail to the mailbox that it was fetched from. The loop ends at the next pass,
// after one round: the copy is held and told, the MTA is not asked about it, and nothing bounces.
func TestJourneyForwardedBack(t *testing.T) {
	upstream := injecttest.New(injecttest.Options{Hostname: "mx.example.net"})
	if err := upstream.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	_, port, err := net.SplitHostPort(upstream.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	j := newJourney(t, injecttest.PostfixOptions{
		Main: []string{
			"virtual_alias_maps = inline:{{alice@example.org = fetched@upstream.example}}",
			"transport_maps = inline:{{upstream.example = smtp:[127.0.0.1]:" + port + "}}",
		},
		Master: []string{"smtp unix - - n - - smtp", "{addr} inet n - n - - smtpd"},
	})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_delivered: delete")
	j.dovecot.Deliver(clientMail(7))
	must(t, exitOK, "run", "--config", config)
	if got := len(j.postfix.Mail()); got != 0 { // it waits until Postfix has delivered
		t.Errorf("%d messages are in the mailbox", got)
	}
	forwarded := upstream.Messages()
	if len(forwarded) != 1 {
		t.Fatalf("Postfix forwarded %d messages\n%s", len(forwarded), j.postfix.Log())
	}
	// As the upstream's MX delivers it.
	j.dovecot.Deliver(append([]byte("Return-Path: <"+forwarded[0].From+">\r\nReceived: from mx.example.org (mx.example.org [203.0.113.99])\r\n"+
		"\tby mx.example.net (Postfix) with ESMTP id 4Back\r\n\tfor <fetched@upstream.example>; Mon, 23 Nov 2026 12:01:00 +0000 (UTC)\r\n"), forwarded[0].Data...))
	for n, want := range []string{"mail loop", ""} {
		p := must(t, []int{exitPerson, exitOK}[n], "run", "--config", config)
		if said := p.stderr.String(); !strings.Contains(said, want) || (want == "" && said != "") {
			t.Errorf("it says:\n%s", said)
		}
	}
	if got := j.dovecot.Count(); got != 1 {
		t.Errorf("%d messages are upstream, want the one that came back", got)
	}
	log := j.postfix.Log()
	if injected := strings.Count(log, "client=host7.example.com[203.0.113.7]"); injected != 1 || strings.Contains(log, "status=bounced") || upstream.Count() != 1 {
		t.Errorf("%d messages were injected and %d forwarded, want one of each and no bounce\n%s", injected, upstream.Count(), log)
	}
}

// TestJourneyUnknownClientMayNotRelay: a message whose client is not known goes in with
// nothing of localhost's rights.
func TestJourneyUnknownClientMayNotRelay(t *testing.T) {
	j := newJourney(t, injecttest.PostfixOptions{})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_refused: delete", "on_unknown_client: unavailable")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	config = j.write(t, "relay.yaml", strings.Replace(string(text), "[alice@example.org]", "[somebody@elsewhere.example]", 1))
	j.dovecot.Deliver([]byte("Subject: no Received line\r\n\r\nbody\r\n"))
	p := must(t, exitPerson, "run", "--config", config)
	if !strings.Contains(p.stderr.String(), "Relay access denied") {
		t.Errorf("Postfix did not deny to relay:\n%s\n%s", &p.stderr, j.postfix.Log())
	}
	if got := j.dovecot.Count(); got != 1 {
		t.Errorf("%d messages are left upstream: a wrong recipient must not empty the mailbox", got)
	}
}

// TestJourneyPartlyRefused: Postfix refuses one of two recipients. The message stays upstream, though it was
// delivered to the other, who does not get it again when a person has it tried again.
func TestJourneyPartlyRefused(t *testing.T) {
	j := newJourney(t, injecttest.PostfixOptions{Main: []string{
		"smtpd_recipient_restrictions = check_recipient_access inline:{{bob@example.org = REJECT not for bob}}",
	}})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_delivered: delete", "on_refused: delete")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	config = j.write(t, "two.yaml", strings.Replace(string(text), "[alice@example.org]", "[alice@example.org, bob@example.org]", 1))
	j.dovecot.Deliver(clientMail(7))
	p := must(t, exitPerson, "run", "--config", config)
	if !strings.Contains(p.stderr.String(), "level=WARN msg=partly-refused") {
		t.Errorf("it is not reported:\n%s", &p.stderr)
	}
	must(t, exitOK, "retry", "work", "--all", "--config", config)
	must(t, exitPerson, "run", "--config", config)
	must(t, exitPerson, "status", "--config", config)
	p = must(t, exitOK, "history", "--config", config)
	if !strings.Contains(p.stdout.String(), "bob@example.org refused: 554 5.7.1") || !strings.Contains(p.stdout.String(), "not for bob") {
		t.Errorf("history does not say who was refused:\n%s", &p.stdout)
	}
	if got := len(j.postfix.Mail()); got != 1 {
		t.Errorf("Postfix delivered %d messages, want 1", got)
	}
	if got := j.dovecot.Count(); got != 1 {
		t.Errorf("%d messages are left upstream, want 1", got)
	}
}

// TestJourneyTooLarge: a message above Postfix's message_size_limit is no refused mail.
func TestJourneyTooLarge(t *testing.T) {
	j := newJourney(t, injecttest.PostfixOptions{Main: []string{"message_size_limit = 5000"}})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_delivered: delete", "on_refused: move:Refused")
	j.dovecot.Create("Refused")
	j.dovecot.Deliver(append(clientMail(7), strings.Repeat("more\r\n", 2000)...))
	j.dovecot.Deliver(clientMail(8))
	p := must(t, exitPerson, "run", "--config", config)
	if !strings.Contains(p.stderr.String(), "level=WARN msg=held") {
		t.Errorf("it is not reported:\n%s", &p.stderr)
	}
	if got := len(j.postfix.Mail()); got != 1 {
		t.Errorf("Postfix delivered %d messages, want 1", got)
	}
	if got := j.dovecot.Count(); got != 1 {
		t.Errorf("%d messages are left upstream, want 1", got)
	}
}

// TestJourneyCheckAndDryRun: both look at the real servers and change nothing.
func TestJourneyCheckAndDryRun(t *testing.T) {
	j := newJourney(t, injecttest.PostfixOptions{})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_delivered: delete")
	for n := range 3 {
		j.dovecot.Deliver(clientMail(n + 1))
	}
	p := must(t, exitOK, "check", "--verbose", "--config", config)
	for _, want := range []string{"folder INBOX: 3 messages", "XCLIENT: offered", "second XCLIENT in the session: allowed, one session"} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("check does not say %q:\n%s", want, &p.stdout)
		}
	}
	p = must(t, exitOK, "run", "--dry-run", "--config", config)
	for n := range 3 {
		if want := "203.0.113." + strconv.Itoa(n+1); !strings.Contains(p.stdout.String(), want) {
			t.Errorf("the dry run does not name %s:\n%s", want, &p.stdout)
		}
	}
	if j.dovecot.Count() != 3 || len(j.postfix.Mail()) != 0 {
		t.Errorf("%d messages upstream and %d delivered: something was changed", j.dovecot.Count(), len(j.postfix.Mail()))
	}
}
