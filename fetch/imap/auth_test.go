package imap

import (
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/sasl"
)

// TestAuthentication plays servers that cannot complete what they offer, to a user whose password is right.
func TestAuthentication(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	plain := encode("\x00" + user + "\x00" + password)
	const in = " OK [CAPABILITY IMAP4rev1] in\n"
	for name, test := range map[string]struct {
		offered, script string
		auth            sasl.Mechanism
		used            string
		warned          string
		kind            fetch.Kind
	}{
		"SCRAM refused at once, then PLAIN": {
			"AUTH=SCRAM-SHA-256 AUTH=PLAIN SASL-IR", "C~ T1 AUTHENTICATE SCRAM-SHA-256 .*\nS: T1 NO [AUTHENTICATIONFAILED] no\nC: T2 AUTHENTICATE PLAIN " + plain + "\nS: T2" + in,
			"", "PLAIN", "refused=scram-sha-256 auth=plain", 0},
		"SCRAM refused after the proof, then LOGIN": {
			"AUTH=SCRAM-SHA-1 AUTH=LOGIN", "C: T1 AUTHENTICATE SCRAM-SHA-1\nS: + \nC~ .*\nS: + " + encode("e=other-error") + "\nC: *\nS: T1 NO no\n" +
				"C: T2 AUTHENTICATE LOGIN\nS: + " + encode("User") + "\nC: " + encode(user) + "\nS: + " + encode("Password") + "\nC: " + encode(password) + "\nS: T2" + in,
			"", "LOGIN", "refused=scram-sha-1 auth=login", 0},
		"SCRAM asks for too much work, then LOGIN": {
			"AUTH=SCRAM-SHA-1 SASL-IR", "C~ T1 AUTHENTICATE SCRAM-SHA-1 .*\nS: + " + encode("r=x,s=AAAA,i=4000000000") + "\nC: *\nS: T1 BAD cancelled\nC~ T2 LOGIN .*\nS: T2" + in,
			"", "USER", "refused=scram-sha-1 auth=user", 0},
		"PLAIN cannot be parsed, then LOGIN": {
			"AUTH=PLAIN AUTH=LOGIN SASL-IR", "C~ T1 AUTHENTICATE PLAIN .*\nS: T1 BAD Error in IMAP command\nC~ T2 LOGIN .*\nS: T2" + in, "", "USER", "refused=plain auth=user", 0},
		"PLAIN refused without a reason, then LOGIN": {
			"AUTH=PLAIN SASL-IR", "C~ T1 AUTHENTICATE PLAIN .*\nS: T1 NO AUTHENTICATE failed.\nC~ T2 LOGIN .*\nS: T2" + in, "", "USER", "refused=plain", 0},
		"PLAIN is wrong": {
			"AUTH=PLAIN SASL-IR", "C~ T1 AUTHENTICATE PLAIN .*\nS: T1 NO [AUTHENTICATIONFAILED] no\nhangup", "", "", "", fetch.Auth},
		"PLAIN cannot be parsed, and LOGIN is disabled": {
			"AUTH=PLAIN AUTH=LOGIN LOGINDISABLED SASL-IR", "C~ T1 AUTHENTICATE PLAIN .*\nS: T1 BAD what\nC: T2 AUTHENTICATE LOGIN\nS: +\nC: " + encode(user) + "\nS: +\nC: " + encode(password) + "\nS: T2" + in,
			"", "LOGIN", "refused=plain auth=login", 0},
		"two refusals are the end": {
			"AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN SASL-IR", "C~ T1 AUTHENTICATE SCRAM-SHA-256 .*\nS: T1 NO no\nC~ T2 AUTHENTICATE PLAIN .*\nS: T2 NO no\nhangup", "", "", "", fetch.Auth},
		"SCRAM refused, connection lost": {
			"AUTH=SCRAM-SHA-256 AUTH=PLAIN SASL-IR", "C~ T1 AUTHENTICATE SCRAM-SHA-256 .*\nS: T1 NO no\nclose", "", "", "", fetch.Auth},
		"chosen by name": {
			"AUTH=SCRAM-SHA-256 AUTH=PLAIN SASL-IR", "C~ T1 AUTHENTICATE SCRAM-SHA-256 .*\nS: T1 NO no\nhangup", sasl.SCRAMSHA256, "", "", fetch.Auth},
		"PLAIN by name, not offered":   {"SASL-IR", "C~ T1 LOGIN .*\nS: T1" + in, sasl.Plain, "USER", "", 0},
		"LOGIN by name, not offered":   {"AUTH=PLAIN SASL-IR", "C~ T1 LOGIN .*\nS: T1" + in, sasl.Login, "USER", "", 0},
		"the command by name":          {"AUTH=PLAIN SASL-IR", "C~ T1 LOGIN .*\nS: T1" + in, sasl.User, "USER", "", 0},
		"LOGIN with prose for prompts": {"AUTH=LOGIN", "C: T1 AUTHENTICATE LOGIN\nS: + Username:\nC: " + encode(user) + "\nS: +\nC: " + encode(password) + "\nS: T1" + in, "", "LOGIN", "", 0},
		"PLAIN with prose for prompt":  {"AUTH=PLAIN", "C: T1 AUTHENTICATE PLAIN\nS: + go ahead\nC: " + plain + "\nS: T1" + in, "", "PLAIN", "", 0},
		"EXTERNAL":                     {"AUTH=EXTERNAL AUTH=PLAIN SASL-IR", "C: T1 AUTHENTICATE EXTERNAL " + encode(user) + "\nS: T1" + in, sasl.External, "EXTERNAL", "", 0},
		"CRAM-MD5, as nothing else is": {"AUTH=CRAM-MD5 LOGINDISABLED", "C: T1 AUTHENTICATE CRAM-MD5\nS: + " + encode("<1@x>") + "\nC~ [A-Za-z0-9+/=]+\nS: T1" + in, "", "CRAM-MD5", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			o := plaintext()
			o.Secure, o.Credentials.Mechanism = true, test.auth
			o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			c, err := New(t.Context(), fetchtest.Play(t, "S: * OK [CAPABILITY IMAP4rev1 "+test.offered+"] hi\n"+test.script), o)
			if test.used == "" {
				var e *fetch.Error
				if !errors.As(err, &e) || e.Kind != test.kind {
					t.Errorf("got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), test.kind)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Abort()
			if used, _ := c.Mechanism(); used != test.used {
				t.Errorf("logged in by %s, want %s", used, test.used)
			}
			if warned := strings.Contains(log.String(), "level=WARN"); warned != (test.warned != "") || !strings.Contains(log.String(), test.warned) {
				t.Errorf("the log says %q, want %q in it", log.String(), test.warned)
			}
			if strings.Contains(log.String(), password) {
				t.Errorf("the log holds the password: %s", log.String())
			}
		})
	}
}

// TestNoPasswordAfterARefusedChallengeWithoutTLS: who refuses the challenge in plaintext may be somebody in between.
func TestNoPasswordAfterARefusedChallengeWithoutTLS(t *testing.T) {
	_, err := New(t.Context(), fetchtest.Play(t, "S: * OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 AUTH=PLAIN SASL-IR] hi\nC~ T1 AUTHENTICATE SCRAM-SHA-256 .*\nS: T1 BAD what\nhangup"), plaintext())
	var e *fetch.Error
	if !errors.As(err, &e) || e.Kind != fetch.Auth || !strings.Contains(e.Advice, "auth: plain") {
		t.Errorf("got %v", err)
	}
}
