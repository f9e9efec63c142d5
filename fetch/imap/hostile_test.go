package imap

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// begin is the dialogue of a plaintext session up to the open folder, whose only message
// has UID 7.
const begin = `
S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR UIDPLUS ESEARCH] ready
C~ T1 AUTHENTICATE PLAIN .*
S: T1 OK [CAPABILITY IMAP4rev1 UIDPLUS ESEARCH] in
C: T2 SELECT INBOX
C: T3 UID SEARCH RETURN (ALL) ALL
S: * 1 EXISTS
S: * OK [UIDVALIDITY 5] x
S: T2 OK [READ-WRITE] x
S: * ESEARCH (TAG "T3") UID ALL 7
S: T3 OK x
`

const fetch7 = "C: T4 UID FETCH 7 (UID BODY.PEEK[])\n"

// play opens the inbox of a scripted server.
func play(t *testing.T, script string) (*Client, *fetch.Listing, error) {
	t.Helper()
	o := plaintext()
	o.Timeouts = Timeouts{Idle: 10 * time.Second}
	c, err := New(t.Context(), fetchtest.Play(t, script), o)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(c.Abort)
	listing, err := c.Open(t.Context(), "")
	return c, listing, err
}

// TestLogin has servers that are not to be logged in to. "hangup" sees to it that no
// credentials are sent.
func TestLogin(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
	}{
		"BYE":                                    {"S: * BYE closed for repairs\nhangup", fetch.Unreachable},
		"BYE with a code":                        {"S: * BYE [UNAVAILABLE] later\nhangup", fetch.Busy},
		"greeting BAD":                           {"S: * BAD go away\nhangup", fetch.Refused},
		"PREAUTH in plaintext":                   {"S: * PREAUTH [CAPABILITY IMAP4rev1] hello\nhangup", fetch.TLS},
		"tagged greeting":                        {"S: a OK hello\nhangup", fetch.Protocol},
		"no greeting":                            {"close", fetch.Unreachable},
		"greeting of a POP3 server":              {"S: +OK POP3 ready\nhangup", fetch.Protocol},
		"greeting of an SMTP server":             {"S: 220 mx.example.org ESMTP\nhangup", fetch.Protocol},
		"data for a greeting":                    {"S: * 1 EXISTS\nhangup", fetch.Protocol},
		"CAPABILITY answered under another tag":  {"S: * OK hi\nC: H0 CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: X9 OK done\nhangup", fetch.Protocol},
		"CAPABILITY busy":                        {"S: * OK hi\nC: H0 CAPABILITY\nS: H0 NO [UNAVAILABLE] later\nhangup", fetch.Busy},
		"empty lines for a greeting":             {"S:\nS:\nS:\nS:\nhangup", fetch.Protocol},
		"continuation for CAPABILITY":            {"S: * OK hi\nC: H0 CAPABILITY\nS: + go on\nhangup", fetch.Protocol},
		"LOGINDISABLED":                          {"S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\nhangup", fetch.Auth},
		"LOGINDISABLED and no usable mechanism":  {"S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=KERBEROS_V4] hi\nhangup", fetch.Auth},
		"wrong password":                         {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO [AUTHENTICATIONFAILED] no\nhangup", fetch.Auth},
		"wrong password, no code":                {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO LOGIN failed.\nhangup", fetch.Auth},
		"too many connections":                   {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO [ALERT] Too many simultaneous connections. (Failure)\nhangup", fetch.Busy},
		"unavailable, no code":                   {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO Server Unavailable. 15\nhangup", fetch.Busy},
		"wrong password, to be tried again":      {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO Incorrect password, try again\nhangup", fetch.Auth},
		"greeting of a busy balancer":            {"S: 421 Server is busy, try again later.\nhangup", fetch.Busy},
		"unavailable":                            {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO [UNAVAILABLE] x\nhangup", fetch.Busy},
		"referral":                               {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T1 NO [REFERRAL imap://b@evil.example/] go there\nhangup", fetch.Auth},
		"LOGIN answered under another tag":       {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: T9 OK in\nhangup", fetch.Protocol},
		"continuations nobody asked for":         {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: + a\nS: + a\nS: T1 NO LOGIN failed\nhangup", fetch.Auth},
		"BYE over too many connections, then NO": {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: * BYE Too many connections from your address\nS: T1 NO LOGIN failed\nclose", fetch.Busy},
		"BYE without a reason, then NO":          {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: * BYE closing\nS: T1 NO LOGIN failed\nclose", fetch.Auth},
		"busy in no IMAP, and the end":           {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: 421 4.3.2 too busy\nclose", fetch.Busy},
		"an alert of two lines, then NO":         {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: * NO [ALERT] Look\nS: here later.\nS: T1 NO LOGIN failed\nhangup", fetch.Auth},
		"BYE at login":                           {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nS: * BYE [LIMIT] x\nclose", fetch.Busy},
		"continuations without end":              {"S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\nC~ T1 AUTHENTICATE .*\nS: + \nC~ .*\nS: + a\nS: + a\nS: + a\nhangup", fetch.Protocol},
		"SCRAM without proof":                    {"S: * OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 SASL-IR] hi\nC~ T1 AUTHENTICATE SCRAM-SHA-256 .*\nS: T1 OK [CAPABILITY IMAP4rev1] in\nhangup", fetch.Protocol},
		"malformed challenge":                    {"S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\nC: T1 AUTHENTICATE PLAIN\nS: + \nC~ .*\nS: + !!\nhangup", fetch.Protocol},
		"close in the middle of login":           {"S: * OK [CAPABILITY IMAP4rev1] hi\nC~ T1 LOGIN .*\nclose", fetch.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := play(t, test.script)
			if fetch.KindOf(err) != test.kind {
				t.Errorf("got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), test.kind)
			}
		})
	}
}

// TestGreetingWords: whatever a server says instead of a greeting is told, on one line that is safe to show.
func TestGreetingWords(t *testing.T) {
	for _, said := range []string{"421 Server is busy, try again later.", " NO LOGOUT Intrusion prevention active", "* 12 \x1b[31mred", "<html>502 Bad Gateway</html>"} {
		_, err := New(t.Context(), fetchtest.Play(t, "S: "+said+"\nhangup"), plaintext())
		words := fetch.Sanitize(said)
		if err == nil || !strings.Contains(err.Error(), words) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%q: got %v, want it to show %q", said, err, words)
		}
	}
}

// TestGreetingOfPOP3: who has mixed up the ports is told so.
func TestGreetingOfPOP3(t *testing.T) {
	_, err := New(t.Context(), fetchtest.Play(t, "S: +OK POP3 ready\nhangup"), plaintext())
	var said *fetch.Error
	if !errors.As(err, &said) || !strings.Contains(said.Hint(), "this port speaks POP3") {
		t.Errorf("got %v, hint %q", err, said.Hint())
	}
}

// TestLoginWithoutCapabilities: a server that does not say what it can do, or refuses to, can do what every server can. An empty line
// before the greeting says nothing.
func TestLoginWithoutCapabilities(t *testing.T) {
	for _, said := range []string{"S: H0 OK done", "S: H0 BAD what?", "S: H0 NO not now", "S: * CAPABILITY\nS: H0 OK done"} {
		c, err := New(t.Context(), fetchtest.Play(t, "S:\nS: * OK hi\nC: H0 CAPABILITY\n"+said+"\nC~ T1 LOGIN .*\nS: T1 OK [CAPABILITY IMAP4rev1] in\nhangup"), plaintext())
		if err != nil {
			t.Errorf("%q: %v", said, err)
			continue
		}
		if c.Has("UIDPLUS") {
			t.Errorf("%q: the client takes the server to have UIDPLUS", said)
		}
		c.Abort()
	}
}

// An error must not repeat what the server echoed, in whatever form.
func TestLoginEcho(t *testing.T) {
	const canary = `can"ary\4711`
	base := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00" + canary))
	token := base64.StdEncoding.EncodeToString([]byte("user=alice\x01auth=Bearer " + canary + "\x01\x01"))
	for name, test := range map[string]struct{ offered, said string }{
		"as it is":       {"", "BAD cannot parse LOGIN alice " + canary},
		"quoted":         {"", `BAD cannot parse LOGIN "alice" "can\"ary\\4711"`},
		"cut":            {"", "NO " + strings.Repeat("x", 193) + canary},
		"BYE":            {"", "BYE cannot parse " + canary},
		"base64":         {"AUTH=PLAIN SASL-IR", "BAD cannot parse AUTHENTICATE PLAIN " + base},
		"base64, no IR":  {"AUTH=PLAIN", "NO cannot parse response=" + base},
		"base64 of more": {"AUTH=PLAIN SASL-IR", "NO what?" + base64.StdEncoding.EncodeToString([]byte("AUTH \x00alice\x00"+canary+" there"))},
		"token":          {"AUTH=XOAUTH2 SASL-IR", "BAD cannot parse " + token},
	} {
		t.Run(name, func(t *testing.T) {
			script := "S: * OK [CAPABILITY IMAP4rev1 " + test.offered + "] hi\nC~ T1 .*\n"
			if test.offered == "AUTH=PLAIN" {
				script += "S: +\nC: " + base + "\n"
			}
			tag := "T1 "
			if name == "BYE" {
				tag = "* "
			}
			o := plaintext()
			o.Credentials.User, o.Credentials.Password = "alice", canary
			if name == "token" {
				o.Credentials.Password, o.Credentials.Token = "", func(context.Context) (string, error) { return canary, nil }
			}
			_, err := New(t.Context(), fetchtest.Play(t, script+"S: "+tag+test.said+"\nclose"), o)
			if kind := fetch.KindOf(err); kind != fetch.Auth && kind != fetch.Unreachable {
				t.Fatalf("got %v", err)
			}
			for _, secret := range []string{"can\"", `can\"`, "ary", base, token, test.said[len(test.said)-12:]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q is shown by: %v", secret, err)
				}
			}
		})
	}
}

func TestOpenHostile(t *testing.T) {
	const in = `
S: * OK [CAPABILITY IMAP4rev1] ready
C~ T1 LOGIN .*
S: T1 OK [CAPABILITY IMAP4rev1 ESEARCH] in
C: T2 SELECT INBOX
C: T3 UID SEARCH RETURN (ALL) ALL
`
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
	}{
		"SELECT refused":            {"S: T2 NO gone\nS: T3 BAD no folder\n", fetch.NoFolder},
		"unavailable, no code":      {"S: T2 NO Server Unavailable. 15\nS: T3 BAD no folder\n", fetch.Busy},
		"throttled":                 {"S: T2 BAD User is authenticated but not connected.\nS: T3 BAD x\n", fetch.Busy},
		"all the UIDs":              {"S: T2 OK x\nS: * ESEARCH (TAG \"T3\") UID ALL 1:4294967295\nS: T3 OK x\nhangup", fetch.Protocol},
		"UIDs up to *":              {"S: T2 OK x\nS: * ESEARCH (TAG \"T3\") UID ALL 1:*\nS: T3 OK x\nhangup", fetch.Protocol},
		"UID 2^32":                  {"S: T2 OK x\nS: * SEARCH 4294967296\nS: T3 OK x\nhangup", fetch.Protocol},
		"sequence numbers":          {"S: T2 OK x\nS: * ESEARCH (TAG \"T3\") ALL 1:3\nS: T3 OK x\nhangup", fetch.Protocol},
		"no result":                 {"S: T2 OK x\nS: T3 OK x\nhangup", fetch.Protocol},
		"no result, three messages": {"S: * 3 EXISTS\nS: T2 OK x\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: T4 OK x\n", fetch.Incomplete},
		"none of three":             {"S: * 3 EXISTS\nS: T2 OK x\nS: * ESEARCH (TAG \"T3\") UID\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: T4 NO x\n", fetch.Incomplete},
		"another's result":          {"S: T2 OK x\nS: * ESEARCH (TAG \"T1\") UID ALL 3\nS: T3 OK x\nhangup", fetch.Protocol},
		"a body when listing":       {"S: * 3 EXISTS\nS: T2 OK x\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\nhangup", fetch.Protocol},
		"too many to be listed":     {"S: * 4294967295 EXISTS\nS: T2 OK x\nS: T3 OK x\nhangup", fetch.Protocol},
		"not allowed":               {"S: T2 NO [NOPERM] x\nS: T3 BAD no folder\n", fetch.NoFolder},
		"SEARCH refused":            {"S: T2 OK x\nS: T3 NO x\nC: T4 UID SEARCH RETURN (ALL) ALL\nS: T4 NO x\n", fetch.Refused},
		"BYE":                       {"S: T2 OK x\nS: * BYE x\nclose", fetch.Unreachable},
		"unknown tag":               {"S: T2 OK x\nS: T7 OK x\nhangup", fetch.Protocol},
		"neither OK nor NO":         {"S: T2 OKAY x\nhangup", fetch.Protocol},
		"EXISTS beyond 32 bits":     {"S: * 99999999999 EXISTS\nhangup", fetch.Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			_, listing, err := play(t, in+test.script)
			if fetch.KindOf(err) != test.kind || listing != nil {
				t.Errorf("got %v of Kind %v and %v, want Kind %v", err, fetch.KindOf(err), listing, test.kind)
			}
		})
	}
}

// TestOpenTellsWhyNothingIsListed: a server without the UID commands says so when it refuses them.
func TestOpenTellsWhyNothingIsListed(t *testing.T) {
	const in = "S: * OK [CAPABILITY IMAP4rev1] ready\nC~ T1 LOGIN .*\nS: T1 OK [CAPABILITY IMAP4rev1] in\nC: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\nS: * 3 EXISTS\nS: T2 OK x\n"
	for _, script := range []string{
		"S: T3 BAD UID not supported\nC: T4 UID FETCH 1:* (UID)\nS: T4 BAD UID not supported\n",
		"S: T3 BAD UID not supported\nC: T4 UID FETCH 1:* (UID)\nS: T4 OK x\n",
		"S: * SEARCH\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: T4 BAD UID not supported\n",
	} {
		if _, _, err := play(t, in+script); err == nil || !strings.Contains(err.Error(), "UID not supported") {
			t.Errorf("%q: %v", script, err)
		}
	}
}

// What is odd but does no harm.
func TestOpenOdd(t *testing.T) {
	const in = `
S: * OK [CAPABILITY IMAP4rev1] ready
C~ T1 LOGIN .*
S: T1 OK [CAPABILITY IMAP4rev1] in
C: T2 SELECT INBOX
C: T3 UID SEARCH ALL
S: T2 OK x
`
	for name, test := range map[string]struct {
		script string
		uids   string
		want   fetch.Listing
	}{
		"EXISTS that does not agree":            {"S: * 4294967295 EXISTS\nS: * 1 EXISTS\nS: * SEARCH 3 4\nS: T3 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"fewer than EXISTS, and all by FETCH":   {"S: * 3 EXISTS\nS: * SEARCH 3 4\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: * 3 FETCH (UID 9)\nS: T4 OK x\n", "3 4 9", fetch.Listing{Reusable: true}},
		"fewer than EXISTS":                     {"S: * 3 EXISTS\nS: * SEARCH 3 4\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: T4 NO x\n", "3 4", fetch.Listing{Reusable: true, Unlisted: 1}},
		"fewer than EXISTS, one expunged":       {"S: * 3 EXISTS\nS: * SEARCH 3 4\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 EXPUNGE\nS: T4 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"no SEARCH, all by FETCH":               {"S: * 2 EXISTS\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: T4 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"SEARCH came too early":                 {"S: T3 BAD no folder is selected\nC: T4 UID SEARCH ALL\nS: * SEARCH 3 4\nS: T4 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"SEARCH refused, all by FETCH":          {"S: * 2 EXISTS\nS: T3 NO x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: T4 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"no UIDs, all by FETCH":                 {"S: * 2 EXISTS\nS: * SEARCH 1 to 2\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: T4 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"ESEARCH that was not asked for":        {"S: * 2 EXISTS\nS: * ESEARCH UID ALL 3:4\nS: T3 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"sequence numbers, all by FETCH":        {"S: * 2 EXISTS\nS: * ESEARCH (TAG \"T3\") ALL 1:2\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 4)\nS: T4 OK x\n", "3 4", fetch.Listing{Reusable: true}},
		"a UID of 64 bits, the others by FETCH": {"S: * 2 EXISTS\nS: * SEARCH 3 99999999999\nS: T3 OK x\nC: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 3)\nS: * 2 FETCH (UID 99999999999)\nS: T4 OK x\n", "3", fetch.Listing{Reusable: true, Unlisted: 1}},
		"continuations nobody asked for":        {"S: + x\nS: * SEARCH 3\nS: +\nS: T3 OK x\n", "3", fetch.Listing{Reusable: true}},
		"an alert of two lines":                 {"S: * OK [ALERT] Your mailbox is nearly full.\nS: Please delete some mail.\nS: * SEARCH 3\nS: T3 OK x\n", "3", fetch.Listing{Reusable: true}},
		"UID 0":                                 {"S: * 1 EXISTS\nS: * SEARCH 0 1\nS: T3 OK x\n", "1", fetch.Listing{Reusable: true}},
		"empty, no SEARCH":                      {"S: * 0 EXISTS\nS: T3 OK x\n", "", fetch.Listing{Reusable: true}},
		"new mail behind the listing":           {"S: * 1 EXISTS\nS: * SEARCH 3\nS: * 2 EXISTS\nS: T3 OK x\n", "3", fetch.Listing{Reusable: true}},
		"UIDs in no order":                      {"S: * SEARCH 9 3 4 3\nS: T3 OK x\n", "3 4 9", fetch.Listing{Reusable: true}},
		"empty":                                 {"S: * SEARCH\nS: T3 OK x\n", "", fetch.Listing{Reusable: true}},
		"unknown data":                          {"S: * VANISHED 1\nS: * X-THING {3}\nS: abc\nS: * SEARCH 1\nS: T3 OK x\n", "1", fetch.Listing{Reusable: true}},
	} {
		t.Run(name, func(t *testing.T) {
			_, listing, err := play(t, in+test.script)
			if err != nil {
				t.Fatal(err)
			}
			var uids []string
			for _, ref := range listing.Refs {
				uids = append(uids, ref.UID)
			}
			if got := strings.Join(uids, " "); got != test.uids || listing.Reusable != test.want.Reusable || listing.Unlisted != test.want.Unlisted {
				t.Errorf("got UIDs %q in %+v, want %q in %+v", got, listing, test.uids, test.want)
			}
		})
	}
}

// TestOpenCapabilitiesUntagged: some servers tell their capabilities after LOGIN in a line of
// its own. The library does not count it and asks once more, at a moment of its own
// choosing, so that this server answers whatever comes.
func TestOpenCapabilitiesUntagged(t *testing.T) {
	client, server := net.Pipe()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer server.Close()
		_, _ = io.WriteString(server, "* OK [CAPABILITY IMAP4rev1] ready\r\n")
		for r := bufio.NewScanner(server); r.Scan(); {
			tag, command, _ := strings.Cut(r.Text(), " ")
			data := ""
			switch verb, _, _ := strings.Cut(command, " "); verb {
			case "LOGIN", "CAPABILITY":
				data = "* CAPABILITY IMAP4rev1\r\n"
			case "UID":
				data = "* SEARCH 3 4\r\n"
			}
			_, _ = io.WriteString(server, data+tag+" OK done\r\n")
		}
	})
	defer wg.Wait()
	c, err := New(t.Context(), client, plaintext())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	listing, err := c.Open(t.Context(), "")
	if err != nil || len(listing.Refs) != 2 {
		t.Errorf("got %+v and %v, want two messages", listing, err)
	}
}

// TestRetrieveHostile has answers to a FETCH of UID 7 after which there is no message.
func TestRetrieveHostile(t *testing.T) {
	const again = "C: T5 UID FETCH 7 (UID RFC822.SIZE)\nS: * 1 FETCH (UID 7 RFC822.SIZE 3)\nS: T5 OK x\nC: T6 UID FETCH 7 (UID BODY.PEEK[])\n"
	const noSize = "C: T5 UID FETCH 7 (UID RFC822.SIZE)\nS: T5 OK x\n"
	const silent = noSize + "C: T6 UID SEARCH RETURN (ALL) UID 7\n"
	const gone = silent + "S: * ESEARCH (TAG \"T6\") UID\nS: T6 OK x\n"
	const alone = "C: T7 UID FETCH 7 (UID BODY.PEEK[])\nS: T7 OK x\n"
	for name, test := range map[string]struct {
		script  string
		session fetch.Kind // of Retrieve's error
		message fetch.Kind // of the message's, Unclassified if the sink had none
	}{
		"expunged":                    {"S: * 1 EXPUNGE\nS: T4 OK x\n" + noSize, 0, fetch.Gone},
		"no word, and not found":      {"S: T4 OK x\n" + gone, 0, fetch.Gone},
		"no word, and found":          {"S: T4 OK x\n" + silent + "S: * ESEARCH (TAG \"T6\") UID ALL 7\nS: T6 OK x\n" + alone, 0, fetch.Incomplete},
		"no word, SEARCH refused":     {"S: T4 OK x\n" + silent + "S: T6 NO x\n" + alone, 0, fetch.Incomplete},
		"no word, SEARCH unanswered":  {"S: T4 OK x\n" + silent + "S: T6 OK x\n" + alone, 0, fetch.Incomplete},
		"no word, BYE":                {"S: T4 OK x\n" + silent + "S: * BYE x\nclose", fetch.Unreachable, 0},
		"no body":                     {"S: * 1 FETCH (UID 7 FLAGS ())\nS: T4 OK x\n" + again + "S: * 1 FETCH (UID 7 FLAGS ())\nS: T6 OK x\n", 0, fetch.Incomplete},
		"body NIL":                    {"S: * 1 FETCH (UID 7 BODY[] NIL)\nS: T4 OK x\n" + again + "S: * 1 FETCH (UID 7 BODY[] NIL)\nS: T6 OK x\n", 0, fetch.Incomplete},
		"empty body, size 3":          {"S: * 1 FETCH (UID 7 BODY[] {0}\nS: )\nS: T4 OK x\n" + again + "S: * 1 FETCH (UID 7 BODY[] {0}\nS: )\nS: T6 OK x\n", 0, fetch.Incomplete},
		"refused twice":               {"S: T4 NO cannot be converted\n" + again + "S: T6 NO cannot be converted\n", 0, fetch.Refused},
		"longer by a line":            {"S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc\nS: def)\nS: T4 OK x\nhangup", fetch.Protocol, 0},
		"longer by empty lines":       {"S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc\nS:\nS: )\nS: T4 OK x\nhangup", fetch.Protocol, 0},
		"longer than announced":       {"S: * 1 FETCH (UID 7 BODY[] {3}\nS: abcdef)\nS: T4 OK x\nhangup", fetch.Protocol, 0},
		"shorter than announced":      {"S: * 1 FETCH (UID 7 BODY[] {20}\nS: abc)\nS: T4 OK done\nS: * 1 EXISTS\nhangup", fetch.Protocol, 0},
		"much shorter than announced": {"S: * 1 FETCH (UID 7 BODY[] {2000}\nS: abc)\nS: T4 OK done\nclose", fetch.Unreachable, 0},
		"{-1}":                        {"S: * 1 FETCH (UID 7 BODY[] {-1}\nS: abc)\nS: T4 OK x\nhangup", fetch.Protocol, 0},
		"{99999999999}":               {"S: * 1 FETCH (UID 7 BODY[] {99999999999}\nS: abc)\nS: T4 OK x\nhangup", fetch.Protocol, 0},
		"wrong tag":                   {"S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T5 OK x\nhangup", fetch.Protocol, 0},
		"neither OK nor NO":           {"S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OKAY x\nhangup", fetch.Protocol, 0},
		"BYE behind body":             {"S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: * BYE x\nclose", fetch.Unreachable, 0},
		"throttled":                   {"S: T4 NO [THROTTLED] x\n", fetch.Busy, 0},
		"another UIDVALIDITY":         {"S: * OK [UIDVALIDITY 6] x\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\nhangup", fetch.Protocol, 0},
		"another UID":                 {"S: * 1 FETCH (UID 8 BODY[] {3}\nS: abc)\nS: T4 OK x\n" + gone, 0, fetch.Gone},
		"part of a message":           {"S: * 1 FETCH (UID 7 BODY[HEADER] {3}\nS: abc)\nS: T4 OK x\n" + again + "S: * 1 FETCH (UID 7 BODY[HEADER] {3}\nS: abc)\nS: T6 OK x\n", 0, fetch.Incomplete},
		"part of a MIME message":      {"S: * 1 FETCH (UID 7 BODY[1] {3}\nS: abc)\nS: T4 OK x\n" + again + "S: * 1 FETCH (UID 7 BODY[1.TEXT] {3}\nS: abc)\nS: T6 OK x\n", 0, fetch.Incomplete},
		"first octets of a message":   {"S: * 1 FETCH (UID 7 BODY[]<0> {3}\nS: abc)\nS: T4 OK x\n" + again + "S: * 1 FETCH (UID 7 BODY[]<0> {3}\nS: abc)\nS: T6 OK x\n", 0, fetch.Incomplete},
		"cut behind the announcement": {"S: * 1 FETCH (UID 7 BODY[] {100}\nclose", fetch.Unreachable, 0},
		"cut in the message":          {"S: * 1 FETCH (UID 7 BODY[] {100}\nS: abc\nclose", fetch.Unreachable, 0},
		"cut behind the message":      {"S: * 1 FETCH (UID 7 BODY[] {5}\nS: abc\nclose", fetch.Unreachable, 0},
		"100 octets announced, less sent and the connection goes on": {"S: * 1 FETCH (UID 7 BODY[] {100}\nS: abc)\nS: T4 OK done\nS: " +
			strings.Repeat("* 1 EXISTS \nS: ", 10) + "\nclose", fetch.Protocol, 0},
		"short by the closing parenthesis": {"S: * 1 FETCH (UID 7 BODY[] {4}\nS: abc)\nS: T4 OK done\nclose", fetch.Protocol, 0},
		"short by the reply":               {"S: * 1 FETCH (UID 7 BODY[] {18}\nS: abc)\nS: T4 OK done\nclose", fetch.Unreachable, 0},
		"nested without end":               {"S: * 1 FETCH (BODYSTRUCTURE ((((((((((((((((((((((((((((((((((((((((\nhangup", fetch.Protocol, 0},
		"body when asked for sizes": {"S: T4 OK x\nC: T5 UID FETCH 7 (UID RFC822.SIZE)\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T5 OK x\nhangup",
			fetch.Protocol, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, listing, err := play(t, begin+fetch7+test.script)
			if err != nil {
				t.Fatal(err)
			}
			message := fetch.Unclassified
			err = c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
				if m.Err != nil {
					message = fetch.KindOf(m.Err)
					return nil
				}
				if raw, err := io.ReadAll(m.Body); err == nil {
					t.Errorf("a message came: %q", raw)
				}
				return nil
			})
			if fetch.KindOf(err) != test.session || message != test.message || err == nil && test.message == 0 {
				t.Errorf("got %v of Kind %v and a message of Kind %v, want %v and %v", err, fetch.KindOf(err), message, test.session, test.message)
			}
		})
	}
}

// TestRetrieveOdd has answers from which the message can be had.
func TestRetrieveOdd(t *testing.T) {
	const again = "C: T5 UID FETCH 7 (UID RFC822.SIZE)\nS: * 1 FETCH (UID 7 RFC822.SIZE 3)\nS: T5 OK x\nC: T6 UID FETCH 7 (UID BODY.PEEK[])\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T6 OK x\n"
	for name, script := range map[string]string{
		"EXPUNGE around it":          "S: * 9 EXPUNGE\nS: * 3 EXPUNGE\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: * 1 EXPUNGE\nS: T4 OK x\n",
		"EXISTS around it":           "S: * 4294967295 EXISTS\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: * 0 EXISTS\nS: T4 OK x\n",
		"another sequence number":    "S: * 4711 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"flags first":                "S: * 1 FETCH (UID 7 FLAGS (\\Seen))\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"a continuation before it":   "S: + x\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: +\nS: T4 OK x\n",
		"an empty line behind it":    "S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc\nS: )\nS: T4 OK x\n",
		"an empty line and its UID":  "S: * 1 FETCH (BODY[] {3}\nS: abc\nS: UID 7 FLAGS (\\Seen))\nS: T4 OK x\n",
		"parentheses around others":  "S: * 1 FETCH ((UID 7 FLAGS (\\Seen)) (MODSEQ (1)) BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"parentheses behind it":      "S: * 1 FETCH (BODY[] {3}\nS: abc (UID 7))\nS: T4 OK x\n",
		"flags without parentheses":  "S: * 1 FETCH FLAGS (\\Seen)\nS: * 1 FETCH (FLAGS \\Seen)\nS: * 1 FETCH (UID 7 FLAGS (\\Seen)\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"flags without UID":          "S: * 1 FETCH (FLAGS (\\Seen))\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"others first":               "S: * 1 FETCH (UID 6 BODY[] {3}\nS: xyz)\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"UID behind it":              "S: * 1 FETCH (BODY[] {3}\nS: abc UID 7)\nS: T4 OK x\n",
		"unknown items around it":    "S: * 1 FETCH (X-GM-MSGID 1 UID 7 BODY[] {3}\nS: abc X-GM-LABELS (\"[a\"))\nS: T4 OK x\n",
		"odd flags before it":        "S: * 1 FETCH (FLAGS (a[b] c) *) UID 7  BODY[] {3}\nS: abc )\nS: T4 OK x\n",
		"a second body":              "S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc BODY[] {3}\nS: xyz)\nS: T4 OK x\n",
		"header before it":           "S: * 1 FETCH (UID 7 BODY[HEADER] {3}\nS: xyz BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"header in an answer before": "S: * 1 FETCH (UID 7 BODY[HEADER] {3}\nS: xyz)\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"first octets before it":     "S: * 1 FETCH (UID 7 BODY[]<0> {3}\nS: xyz BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"a second answer":            "S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: xyz)\nS: T4 OK x\n",
		"body in quotes":             "S: * 1 FETCH (UID 7 BODY[] \"abc\")\nS: T4 OK x\n",
		"body as a literal8":         "S: * 1 FETCH (UID 7 BODY[] ~{3}\nS: abc)\nS: T4 OK x\n",
		"size lies":                  "S: * 1 FETCH (UID 7 RFC822.SIZE 9 BODY[] {3}\nS: abc)\nS: T4 OK x\n",
		"lower case":                 "S: * 1 fetch (uid 7 body[] {3}\nS: abc)\nS: T4 ok\n",
		"flags behind it":            "S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc FLAGS (\\Recent))\nS: T4 OK x\n",
		"body at second try":         "S: * 1 FETCH (UID 7 BODY[] NIL)\nS: T4 OK x\n" + again,
		"NO for others":              "S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 NO some messages could not be fetched\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, listing, err := play(t, begin+fetch7+script)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			err = c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
				if m.Err != nil || m.Ref != listing.Refs[0] {
					t.Errorf("the sink got %+v, want the message that was asked for", m)
					return m.Err
				}
				raw, err := io.ReadAll(m.Body)
				got = append(got, string(raw))
				return err
			})
			if err != nil || !slices.Equal(got, []string{"abc"}) {
				t.Errorf("got %q, %v; want abc, once", got, err)
			}
		})
	}
}

// TestFlaggedWhileItIsFetched: another client marks a whole folder as read, and the server says so, with UIDs, before it sends the
// messages. None of them comes twice over the line, and none is missing.
func TestFlaggedWhileItIsFetched(t *testing.T) {
	const many = maxAlone + 10
	script := strings.NewReplacer("* 1 EXISTS", fmt.Sprintf("* %d EXISTS", many), "ALL 7", fmt.Sprintf("ALL 7:%d", 6+many)).Replace(begin)
	script += fmt.Sprintf("C: T4 UID FETCH 7:%d (UID BODY.PEEK[])\n", 6+many)
	for n := range many {
		script += fmt.Sprintf("S: * %d FETCH (UID %d FLAGS (\\Seen))\n", n+1, n+7)
	}
	for n := range many {
		script += fmt.Sprintf("S: * %d FETCH (UID %d BODY[] {3}\nS: %03d)\n", n+1, n+7, n)
	}
	c, listing, err := play(t, script+"S: T4 OK x\nhangup")
	if err != nil {
		t.Fatal(err)
	}
	octets, failed, err := fetchtest.Collect(t.Context(), c, listing.Refs)
	if err != nil || len(failed) > 0 || len(octets) != many {
		t.Errorf("%d messages of %d came: %v, %v", len(octets), many, failed, err)
	}
}
