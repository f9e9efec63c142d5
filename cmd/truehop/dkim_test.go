package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/truehop/truehop/inject/injecttest"
)

// signedMail are messages with what a careless hop changes on the way, which their signatures do not outlive. White space before the
// colon of a field is not among it: Postfix drops that.
var signedMail = map[string]string{
	"plain": "From: a@example.com\nTo: alice@example.org\nSubject: plain\nMessage-ID: <plain@example.com>\n\nhello\n",
	"odd white space": "From:a@example.com\nTO:  alice@example.org  \nsubject: a  b\t c \n\t\tfolded  \n \n  twice\n" +
		"Message-ID: <space@example.com>\nX-Empty:\n\nend in blanks  \t\n\t\n a  b\n \n\n\n",
	"dots": "From: a@example.com\nSubject: dots\nMessage-ID: <dots@example.com>\n\n.\n..\n.a\n\n.\n",
	"eight bits and a long line": "From: \"J\u00f6rg\" <a@example.com>\nSubject: \u00fcber\nMessage-ID: <long@example.com>\n\n" +
		strings.Repeat("\u00e4", 480) + "\n\xff\xfe\n" + strings.Repeat("From here on ", 70) + "\nFrom the start\n",
	"no body": "From: a@example.com\nSubject: nothing\nMessage-ID: <none@example.com>\n\n",
	"no address for a name": "From: bare\nTo: undisclosed-recipients:;\nCc: root\nSubject: what a listener may write anew\n" +
		"Date: 23 Nov 26 12:00 UT\n\nhello\n",
}

// TestSignaturesHold: what a sender signed by DKIM verifies behind a real MTA as it did upstream, by both forms of
// canonicalization (RFC 6376 section 3.4), all fields of the header signed.
func TestSignaturesHold(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	// verify returns what is wrong with the one signature of a message, nil if nothing is.
	verify := func(message string) error {
		t.Helper()
		found, err := dkim.VerifyWithOptions(strings.NewReader(message), &dkim.VerifyOptions{
			LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
		})
		if err != nil || len(found) != 1 {
			t.Fatalf("%d signatures, %v:\n%s", len(found), err, message)
		}
		return found[0].Err
	}
	j := newJourney(t, injecttest.PostfixOptions{})
	config := j.config(t, j.dovecot.IMAPSAddr, "password_file: "+filepath.Join(j.dir, "password"), "on_delivered: delete")
	hop := strings.ReplaceAll("Return-Path: <a@example.com>\nDelivered-To: alice@example.org\n"+
		"Received: from helo.example.com (host.example.com [203.0.113.7])\n\tby mx.example.net (Postfix) with ESMTPS id 4XyZ;\n"+
		"\tMon, 23 Nov 2026 12:00:00 +0000 (UTC)\n", "\n", "\r\n")
	sent := map[string]string{} // by selector
	for name, text := range signedMail {
		for _, form := range []dkim.Canonicalization{dkim.CanonicalizationSimple, dkim.CanonicalizationRelaxed} {
			selector := strings.ReplaceAll(name, " ", "-") + "-" + string(form)
			var signed bytes.Buffer
			if err := dkim.Sign(&signed, strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n")), &dkim.SignOptions{
				Domain: "example.com", Selector: selector, Signer: private, HeaderCanonicalization: form, BodyCanonicalization: form,
			}); err != nil {
				t.Fatalf("%s: %v", selector, err)
			}
			message := hop + signed.String()
			if err := verify(message); err != nil {
				t.Fatalf("%s does not verify upstream: %v", selector, err)
			}
			sent[selector] = message
			j.dovecot.Deliver([]byte(message))
		}
	}
	must(t, exitOK, "run", "--config", config)
	for _, mail := range j.postfix.Mail() {
		_, selector, _ := strings.Cut(mail, " s=")
		selector, _, _ = strings.Cut(selector, ";")
		if sent[selector] == "" {
			t.Fatalf("what signature has this?\n%s", mail)
		}
		delete(sent, selector)
		delivered := strings.ReplaceAll(mail, "\n", "\r\n") // a mailbox has LF
		if err := verify(delivered); err != nil {
			t.Errorf("%s does not verify behind the MTA: %v\n%q", selector, err, mail)
		}
		if err := verify(delivered + "x\r\n"); err == nil {
			t.Errorf("%s verifies with another body", selector)
		}
	}
	for selector := range sent {
		t.Errorf("%s was not delivered", selector)
	}
}
