package pop3_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// offering is a greeting and a CAPA reply with a SASL line.
func offering(mechanisms string) string {
	return fmt.Sprintf("S: +OK ready <1896.697170952@dbc.mtview.ca.us>\nC: CAPA\nS= %q\n",
		"+OK\r\nUIDL\r\nPIPELINING\r\nUSER\r\nSASL "+mechanisms+"\r\n.\r\n")
}

func TestAuth(t *testing.T) {
	token := func(context.Context) (string, error) { return "ya29.token", nil }
	cred := func(mechanism string) sasl.Credentials {
		return sasl.Credentials{User: "tim", Password: "tanstaaf", Mechanism: sasl.Mechanism(mechanism), AllowPlaintext: true}
	}
	oauth := sasl.Credentials{User: "tim", Token: token, AllowPlaintext: true}
	bearer := oauth
	bearer.Mechanism = "oauthbearer"
	longPassword := cred("")
	longPassword.Password = strings.Repeat("p", 300)
	cram := cred("cram-md5") // the example of RFC 2195
	cram.Password = "tanstaaftanstaaf"
	const refusal = `{"status":"401","schemes":"bearer"}`
	for name, test := range map[string]struct {
		cred   sasl.Credentials
		script string
		kind   fetch.Kind
		words  string
	}{
		"PLAIN, initial response":  {cred(""), offering("PLAIN LOGIN") + "C: AUTH PLAIN " + b64("\x00tim\x00tanstaaf") + "\nS: +OK", 0, ""},
		"PLAIN refused":            {cred(""), offering("PLAIN") + "C~ AUTH PLAIN .*\nS: -ERR [AUTH] no\nhangup", fetch.Auth, "no"},
		"PLAIN, long":              {longPassword, offering("PLAIN") + "C: AUTH PLAIN\nS: + \nC: " + b64("\x00tim\x00"+longPassword.Password) + "\nS: +OK", 0, ""},
		"PLAIN, long, no question": {longPassword, offering("PLAIN") + "C: AUTH PLAIN\nS: +OK\nhangup", fetch.Protocol, "before anything was proved"},
		"LOGIN":                    {cred(""), offering("LOGIN") + "C: AUTH LOGIN\nS: + " + b64("User Name\x00") + "\nC: " + b64("tim") + "\nS: + " + b64("Password\x00") + "\nC: " + b64("tanstaaf") + "\nS: +OK", 0, ""},
		"CRAM-MD5, named":          {cram, offering("CRAM-MD5") + "C: AUTH CRAM-MD5\nS: + PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\nC: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\nS: +OK", 0, ""},
		"CRAM-MD5, not named":      {cred(""), offering("CRAM-MD5") + "C: USER tim\nS: +OK\nC: PASS tanstaaf\nS: +OK", 0, ""},
		"USER, named":              {cred("user"), offering("PLAIN") + "C: USER tim\nS: +OK\nC: PASS tanstaaf\nS: +OK", 0, ""},
		"APOP":                     {cred("APOP"), offering("PLAIN") + "C: APOP tim c4c9334bac560ecc979e58001b3e22fb\nS: +OK", 0, ""},
		"named, not offered":       {cred("SCRAM-SHA-1"), offering("PLAIN") + "hangup", fetch.Auth, "no acceptable mechanism"},
		"named, no CAPA":           {cred("PLAIN"), "S: +OK\nC: CAPA\nS: -ERR\nC~ AUTH PLAIN .*\nS: +OK", 0, ""},
		"XOAUTH2":                  {oauth, offering("XOAUTH2 PLAIN") + "C: AUTH XOAUTH2\nS: +\nC: " + b64("user=tim\x01auth=Bearer ya29.token\x01\x01") + "\nS: +OK", 0, ""},
		"XOAUTH2 refused":          {oauth, offering("XOAUTH2") + "C: AUTH XOAUTH2\nS: + \nC~ .*\nS: + " + b64(refusal) + "\nC: \nS: -ERR no\nhangup", fetch.Auth, "status 401, no"},
		"OAUTHBEARER refused":      {bearer, offering("OAUTHBEARER") + "C~ AUTH OAUTHBEARER .*\nS: + " + b64(refusal) + "\nC: " + b64("\x01") + "\nS: -ERR no\nhangup", fetch.Auth, "status 401, no"},
		"XOAUTH2 refused, busy":    {oauth, offering("XOAUTH2") + "C: AUTH XOAUTH2\nS: + \nC~ .*\nS: + " + b64(refusal) + "\nC: \nS: -ERR [SYS/TEMP] later\nhangup", fetch.Busy, "status 401"},
		"XOAUTH2, two challenges":  {oauth, offering("XOAUTH2") + "C: AUTH XOAUTH2\nS: + \nC~ .*\nS: + " + b64(refusal) + "\nC: \nS: + " + b64(refusal) + "\nC: *\nS: -ERR\nhangup", fetch.Auth, "unexpected challenge"},
		"XOAUTH2, no CAPA":         {oauth, "S: +OK\nC: CAPA\nS: -ERR\nC: AUTH XOAUTH2\nS: + \nC~ .*\nS: +OK", 0, ""},
		"OAUTHBEARER":              {bearer, offering("XOAUTH2 OAUTHBEARER") + "C: AUTH OAUTHBEARER " + b64("n,a=tim,\x01auth=Bearer ya29.token\x01\x01") + "\nS: +OK", 0, ""},
		"no password by token":     {oauth, offering("PLAIN LOGIN") + "hangup", fetch.Auth, "no acceptable mechanism"},
		"SCRAM without proof":      {cred(""), offering("SCRAM-SHA-256") + "C~ AUTH SCRAM-SHA-256 .*\nS: +OK\nhangup", fetch.Protocol, "did not prove"},
		"challenge not base64":     {cred("cram-md5"), offering("CRAM-MD5") + "C: AUTH CRAM-MD5\nS: + ***\nhangup", fetch.Protocol, "not base64"},
		"neither of both":          {cred(""), offering("LOGIN") + "C: AUTH LOGIN\nS: +what\nhangup", fetch.Protocol, "neither"},
		"challenges without end":   {cred("login"), offering("LOGIN") + "C: AUTH LOGIN\nS: +\nC~ .*\nS: +\nC~ .*\nS: +\nC: *\nS: -ERR\nhangup", fetch.Auth, "unexpected challenge"},
		"prose for prompts":        {cred(""), offering("LOGIN") + "C: AUTH LOGIN\nS: + Username:\nC: " + b64("tim") + "\nS: + Password:\nC: " + b64("tanstaaf") + "\nS: +OK", 0, ""},
		"PLAIN refused, then USER": {cred(""), offering("PLAIN") + "C~ AUTH PLAIN .*\nS: -ERR Unknown command\nC: USER tim\nS: +OK\nC: PASS tanstaaf\nS: +OK", 0, ""},
		"PLAIN is wrong, no USER":  {cred(""), offering("PLAIN") + "C~ AUTH PLAIN .*\nS: -ERR wrong password\nhangup", fetch.Auth, "wrong"},
		"SCRAM refused, no TLS":    {cred(""), offering("SCRAM-SHA-1 PLAIN") + "C~ AUTH SCRAM-SHA-1 .*\nS: -ERR no\nhangup", fetch.Auth, "auth: plain"},
		"USER refused, then APOP":  {cred(""), "S: +OK <1896.697170952@dbc.mtview.ca.us>\nC: CAPA\nS: -ERR\nC: USER tim\nS: -ERR unknown command\nC: APOP tim c4c9334bac560ecc979e58001b3e22fb\nS: +OK", 0, ""},
		"APOP, as nothing else is": {cred(""), "S: +OK <1896.697170952@dbc.mtview.ca.us>\nC: CAPA\nS= \"+OK\\r\\nUIDL\\r\\nPIPELINING\\r\\n.\\r\\n\"\nC: APOP tim c4c9334bac560ecc979e58001b3e22fb\nS: +OK", 0, ""},
		"EXTERNAL":                 {cred("external"), offering("EXTERNAL PLAIN") + "C: AUTH EXTERNAL " + b64("tim") + "\nS: +OK", 0, ""},
		"lost":                     {cred(""), offering("LOGIN") + "C: AUTH LOGIN\nclose", fetch.Unreachable, "AUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := pop3.New(t.Context(), fetchtest.Play(t, test.script), pop3.Options{Credentials: test.cred})
			if test.words != "" {
				wantKind(t, err, test.kind, test.words)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			client.Abort()
		})
	}
}

// TestHashedPasswords: under TLS the password follows a refused challenge, by the mechanism or the command that there is.
func TestHashedPasswords(t *testing.T) {
	for offered, script := range map[string]string{
		"SCRAM-SHA-256 PLAIN": "C: AUTH PLAIN " + b64("\x00tim\x00tanstaaf") + "\nS: +OK",
		"SCRAM-SHA-256":       "C: USER tim\nS: +OK\nC: PASS tanstaaf\nS: +OK",
	} {
		var log bytes.Buffer
		client, err := pop3.New(t.Context(), fetchtest.Play(t, offering(offered)+"C~ AUTH SCRAM-SHA-256 .*\nS: -ERR [AUTH] Authentication failed.\n"+script),
			pop3.Options{Secure: true, Logger: slog.New(slog.NewTextHandler(&log, nil)), Credentials: sasl.Credentials{User: "tim", Password: "tanstaaf"}})
		if err != nil {
			t.Fatal(err)
		}
		client.Abort()
		if used, _ := client.Mechanism(); !strings.Contains(log.String(), "refused=scram-sha-256 auth="+strings.ToLower(used)) || used == "" {
			t.Errorf("logged in by %s, the log says %q", used, log.String())
		}
	}
}

func TestAPOPTimestamp(t *testing.T) {
	// CVE-2007-1558: a timestamp that is no msg-id may be made to leak the password.
	for _, banner := range []string{"", "no stamp", "<a b@c>", "<nobody>", "<a@b@c>", "<a\x80@c>", ">a@b<"} {
		_, err := pop3.New(t.Context(), fetchtest.Play(t, fmt.Sprintf("S= %q\nC: CAPA\nS: -ERR\nhangup", "+OK "+banner+"\r\n")),
			pop3.Options{Credentials: sasl.Credentials{User: "a", Password: "b", Mechanism: "APOP", AllowPlaintext: true}})
		wantKind(t, err, fetch.Auth, "no usable timestamp")
	}
}

func TestOddPasswords(t *testing.T) {
	// Sent exactly or refused, never the end of a command.
	for _, secret := range []string{`a"b`, `back\slash`, "^caret", "100%s", " two  spaces ", "pä€🐱", "tab\there", "\x01\x7f", "-", "a\r\nDELE 1", "a\nb", "a\rb", "a\x00b"} {
		for _, mechanism := range []string{"USER", "PLAIN"} {
			cred := sasl.Credentials{User: "al ice", Password: secret, Mechanism: sasl.Mechanism(mechanism), AllowPlaintext: true}
			refused := strings.Contains(secret, "\x00") || mechanism == "USER" && strings.ContainsAny(secret, "\r\n")
			var script string
			switch {
			case refused:
				script = offering("PLAIN") + "hangup"
			case mechanism == "USER":
				script = offering("PLAIN") + "C: USER al ice\nS: +OK\nC: PASS " + secret + "\nS: +OK"
			default:
				script = offering("PLAIN") + "C: AUTH PLAIN " + b64("\x00al ice\x00"+secret) + "\nS: +OK"
			}
			client, err := pop3.New(t.Context(), fetchtest.Play(t, script), pop3.Options{Credentials: cred})
			if refused {
				if wantKind(t, err, fetch.Auth, "NUL"); strings.Contains(err.Error(), secret) {
					t.Errorf("the error holds the password: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%q by %s: %v", secret, mechanism, err)
			}
			client.Abort()
		}
	}
	for _, c := range [][2]string{{"a\r\nPASS x", "b"}, {"a\x00b", "b"}, {"", "b"}, {strings.Repeat("a", 1001), "b"}, {"a", strings.Repeat("b", 1001)}} {
		_, err := pop3.New(t.Context(), fetchtest.Play(t, offering("X")+"hangup"),
			pop3.Options{Credentials: sasl.Credentials{User: c[0], Password: c[1], AllowPlaintext: true}})
		wantKind(t, err, fetch.Auth, "user name")
	}
}

func TestTraceHoldsNoSecret(t *testing.T) {
	// The log has the dialogue at Debug, without passwords, tokens and messages.
	const canary = "canary-4711"
	token := func(context.Context) (string, error) { return canary, nil }
	for name, test := range map[string]struct {
		cred   sasl.Credentials
		server fakeserver.POP3
	}{
		"USER":           {sasl.Credentials{Mechanism: "USER"}, fakeserver.POP3{}},
		"PLAIN":          {sasl.Credentials{}, fakeserver.POP3{}},
		"XOAUTH2":        {sasl.Credentials{Token: token}, fakeserver.POP3{Token: canary}},
		"wrong USER":     {sasl.Credentials{Mechanism: "USER"}, fakeserver.POP3{User: "other"}},
		"wrong PLAIN":    {sasl.Credentials{}, fakeserver.POP3{User: "other"}},
		"wrong XOAUTH2":  {sasl.Credentials{Token: token}, fakeserver.POP3{Token: "other"}},
		"OAUTHBEARER":    {sasl.Credentials{Token: token, Mechanism: "OAUTHBEARER"}, fakeserver.POP3{Token: canary}},
		"wrong BEARER":   {sasl.Credentials{Token: token, Mechanism: "OAUTHBEARER"}, fakeserver.POP3{Token: "other"}},
		"echoing server": {sasl.Credentials{}, fakeserver.POP3{Reply: echo}},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			server, cred := test.server, test.cred
			cred.User, cred.AllowPlaintext = "alice", true
			if cred.Token == nil {
				cred.Password = canary
			}
			if server.User == "" {
				server.User = "alice"
			}
			server.Password, server.Store = canary, fakeserver.NewStore()
			server.Store.Add("", []byte("Subject: "+canary+"\r\n"))
			opts := pop3.Options{Credentials: cred, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			client, err := pop3.New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, server.Serve).Addr()), opts)
			if err == nil {
				listing, _ := client.Open(t.Context(), "")
				_, _, err = fetchtest.Collect(t.Context(), client, listing.Refs)
				err = errors.Join(err, client.Close(t.Context()))
			}
			shown := fmt.Sprintf("%s %v %+v %#v %v", log.String(), err, err, cred, cred)
			for _, secret := range []string{canary, b64("\x00alice\x00" + canary), b64(canary), b64("n,a=alice,\x01auth=Bearer " + canary + "\x01\x01")} {
				if strings.Contains(shown, secret) {
					t.Errorf("%q is shown in:\n%s", secret, shown)
				}
			}
			if !strings.Contains(log.String(), "CAPA") {
				t.Errorf("the trace is empty: %s", log.String())
			}
		})
	}
}

// A server that quotes the command it refuses, as some do, has the password
// neither told nor traced.
func TestEchoedSecret(t *testing.T) {
	const canary = `can"ary\\4711`
	const login = "S: +OK <a@b>\nC: CAPA\nS= \"+OK\\r\\nUSER\\r\\nSASL PLAIN LOGIN XOAUTH2\\r\\n.\\r\\n\"\n"
	long := strings.Repeat("x", 190)
	for name, test := range map[string]struct{ mechanism, script string }{
		"PASS":            {"USER", "C: USER alice\nS: +OK\nC: PASS " + canary + "\nS: -ERR bad command: PASS " + canary},
		"PASS, cut":       {"USER", "C: USER alice\nS: +OK\nC: PASS " + canary + "\nS: -ERR " + long + canary},
		"PASS, no status": {"USER", "C: USER alice\nS: +OK\nC: PASS " + canary + "\nS: " + canary},
		"PLAIN":           {"PLAIN", "C~ AUTH PLAIN .*\nS: -ERR bad command: AUTH PLAIN " + b64("\x00alice\x00"+canary)},
		"LOGIN":           {"LOGIN", "C: AUTH LOGIN\nS: +\nC~ .*\nS: +\nC: " + b64(canary) + "\nS: -ERR what is " + b64(canary) + "?"},
		"XOAUTH2":         {"", "C: AUTH XOAUTH2\nS: +\nC~ .*\nS: -ERR cannot read " + b64("user=alice\x01auth=Bearer "+canary+"\x01\x01")},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			cred := sasl.Credentials{User: "alice", Password: canary, Mechanism: sasl.Mechanism(test.mechanism), AllowPlaintext: true}
			if test.mechanism == "" {
				cred.Password, cred.Token = "", func(context.Context) (string, error) { return canary, nil }
			}
			opts := pop3.Options{Credentials: cred, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			_, err := pop3.New(t.Context(), fetchtest.Play(t, login+test.script+"\nhangup"), opts)
			if kind := fetch.KindOf(err); kind != fetch.Auth && kind != fetch.Protocol {
				t.Fatalf("got %v", err)
			}
			// Neither as it is nor quoted, and no more than its beginning where the words were cut.
			for _, secret := range []string{"can", b64(canary)[:4], b64("\x00alice\x00" + canary)[8:16], "QmVhcmVy"} {
				if shown := log.String() + err.Error(); strings.Contains(shown, secret) {
					t.Errorf("%q is shown in:\n%s", secret, shown)
				}
			}
		})
	}
}

// echo sends a challenge that quotes what it was sent.
func echo(verb, arg string) (string, bool) {
	_, initial, _ := strings.Cut(arg, " ")
	return "+ " + initial + "\r\n", verb == "AUTH"
}
