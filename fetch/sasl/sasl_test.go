package sasl

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"github.com/truehop/truehop/fetch"
)

func token(context.Context) (string, error) { return "the-token", nil }

func TestChoose(t *testing.T) {
	all := []string{"plain", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "GSSAPI", "EXTERNAL"}
	password := Credentials{User: "u", Password: "p"}
	named := func(c Credentials, m string) Credentials { c.Mechanism = Mechanism(m); return c }
	bound := func(c Credentials) Credentials {
		c.TLS = &tls.ConnectionState{Version: tls.VersionTLS12, PeerCertificates: []*x509.Certificate{{SignatureAlgorithm: x509.ECDSAWithSHA256}}}
		return c
	}
	open := password
	open.AllowPlaintext = true
	oauth := Credentials{User: "u", Token: token}
	// SASLprep (RFC 4013) refuses U+0221, unassigned in Unicode 3.2; PLAIN takes it.
	unprepared := Credentials{User: "u", Password: "p\u0221"}
	for name, test := range map[string]struct {
		cred    Credentials
		offered []string
		secure  bool
		want    string // or the words of the error
	}{
		"best":                     {password, all, true, SCRAMSHA256},
		"SCRAM-SHA-1":              {password, []string{"PLAIN", "SCRAM-SHA-1"}, true, SCRAMSHA1},
		"PLAIN before LOGIN":       {password, []string{"LOGIN", "PLAIN"}, true, Plain},
		"LOGIN":                    {password, []string{"LOGIN"}, true, Login},
		"CRAM-MD5 comes last":      {password, []string{"CRAM-MD5", "APOP", "USER"}, true, User},
		"CRAM-MD5, nothing else":   {password, []string{"CRAM-MD5", "APOP"}, true, CRAMMD5},
		"APOP, nothing else":       {password, []string{"APOP"}, true, APOP},
		"EXTERNAL only if named":   {password, []string{"EXTERNAL"}, true, "no acceptable mechanism"},
		"EXTERNAL named":           {named(Credentials{User: "u"}, "external"), all, true, External},
		"PLUS needs TLS":           {password, []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-1"}, true, SCRAMSHA1},
		"PLUS":                     {bound(password), []string{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}, true, SCRAMSHA256Plus},
		"CRAM-MD5 named":           {named(password, "cram-md5"), all, true, CRAMMD5},
		"named in lower case":      {named(password, "plain"), all, true, Plain},
		"named, not offered":       {named(password, "LOGIN"), []string{"PLAIN"}, true, "no acceptable mechanism"},
		"unknown name":             {named(password, "NTLM"), []string{"NTLM"}, true, "no acceptable mechanism"},
		"no TLS, SCRAM is there":   {password, all, false, SCRAMSHA256},
		"no TLS, PLAIN":            {password, []string{"PLAIN"}, false, "without TLS"},
		"no TLS, LOGIN named":      {named(password, "LOGIN"), all, false, "without TLS"},
		"no TLS, allowed":          {open, []string{"PLAIN"}, false, Plain},
		"nothing offered":          {password, nil, true, "offered: none"},
		"token":                    {oauth, all, true, XOAUTH2},
		"token, OAUTHBEARER":       {oauth, []string{"PLAIN", "OAUTHBEARER"}, true, OAuthBearer},
		"token, OAUTHBEARER named": {named(oauth, "OAuthBearer"), all, true, OAuthBearer},
		"token is no password":     {oauth, []string{"PLAIN", "SCRAM-SHA-256"}, true, "no acceptable mechanism"},
		"password is no token":     {password, []string{"XOAUTH2"}, true, "no acceptable mechanism"},
		"token, no TLS":            {oauth, all, false, "without TLS"},
		"SASLprep refuses":         {unprepared, []string{"SCRAM-SHA-256", "PLAIN"}, true, Plain},
		"SASLprep refuses, named":  {named(unprepared, SCRAMSHA256), all, true, "SASLprep refuses"},
		"no user":                  {Credentials{Password: "p"}, all, true, "no user name"},
		"no password":              {Credentials{User: "u"}, all, true, "no password"},
		"NUL in user":              {Credentials{User: "u\x00v", Password: "p"}, all, true, "NUL"},
		"NUL in password":          {Credentials{User: "u", Password: "p\x00"}, all, true, "NUL"},
	} {
		t.Run(name, func(t *testing.T) {
			got, client, err := Choose(t.Context(), test.offered, test.cred, test.secure)
			if err != nil {
				var e *fetch.Error
				if !errors.As(err, &e) || e.Kind != fetch.Auth || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want %s", err, test.want)
				}
				return
			}
			started, _, err := client.Start()
			if test.want == User || test.want == APOP {
				if err == nil || got != test.want {
					t.Errorf("chose %s, which starts as a mechanism: %v", got, err)
				}
			} else if got != test.want || started != test.want {
				t.Errorf("chose %s, which starts as %s; want %s", got, started, test.want)
			}
		})
	}
}

func TestTokenErrors(t *testing.T) {
	unreachable := &fetch.Error{Kind: fetch.Unreachable, Op: "token endpoint"}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx  context.Context
		give error
		kind fetch.Kind
		is   error
	}{
		"classified":   {t.Context(), unreachable, fetch.Unreachable, unreachable},
		"other":        {t.Context(), errors.New("boom"), fetch.Unclassified, nil},
		"cancelled":    {cancelled, errors.New("boom"), fetch.Unclassified, context.Canceled},
		"empty string": {t.Context(), nil, fetch.Auth, nil},
	} {
		source := func(context.Context) (string, error) { return "", test.give }
		_, _, err := Choose(test.ctx, []string{"XOAUTH2"}, Credentials{User: "u", Token: source}, true)
		if err == nil || fetch.KindOf(err) != test.kind || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestResponses(t *testing.T) {
	cred := Credentials{User: "tim", Password: "tanstaaftanstaaf"}
	oauth := Credentials{User: "a=b,c", Token: token}
	for name, test := range map[string]struct {
		cred       Credentials
		initial    string
		challenges []string
		responses  []string
	}{
		Plain:       {cred, "\x00tim\x00tanstaaftanstaaf", nil, nil},
		Login:       {cred, "<none>", []string{"", "Password"}, []string{"tim", "tanstaaftanstaaf"}},
		CRAMMD5:     {cred, "<none>", []string{"<1896.697170952@postoffice.reston.mci.net>"}, []string{"tim b913a602c7eda7a495b4e6e7334d3890"}},
		XOAUTH2:     {oauth, "user=a=b,c\x01auth=Bearer the-token\x01\x01", []string{`{"status":"401"}`}, []string{""}},
		OAuthBearer: {oauth, "n,a=a=3Db=2Cc,\x01auth=Bearer the-token\x01\x01", []string{`{"status":"401"}`}, []string{"\x01"}},
	} {
		test.cred.Mechanism = Mechanism(name)
		_, client, err := Choose(t.Context(), []string{name}, test.cred, true)
		if err != nil {
			t.Fatal(err)
		}
		_, initial, err := client.Start()
		if initial == nil {
			initial = []byte("<none>")
		}
		if err != nil || string(initial) != test.initial {
			t.Errorf("%s starts with %q, %v; want %q", name, initial, err, test.initial)
		}
		for i, challenge := range test.challenges {
			response, err := client.Next([]byte(challenge))
			if err != nil || string(response) != test.responses[i] {
				t.Errorf("%s answers %q with %q, %v; want %q", name, challenge, response, err, test.responses[i])
			}
		}
		if response, err := client.Next([]byte("one too many")); err == nil || fetch.KindOf(err) != fetch.Auth {
			t.Errorf("%s answers one challenge too many with %q, %v", name, response, err)
		}
		if err := Finish(client); err != nil {
			t.Errorf("%s: Finish: %v", name, err)
		}
	}
}

// TestBearerRefused: the server's reason is told with its refusal, whatever it wrote there, and nothing else changes.
func TestBearerRefused(t *testing.T) {
	refusal := &fetch.Error{Kind: fetch.Auth, Op: "AUTH", Text: "no"}
	for _, name := range []string{XOAUTH2, OAuthBearer} {
		for challenge, want := range map[string]string{
			`{"status":"invalid_token","scope":"mail"}`:    "status invalid_token, no",
			`{"status":"401"}`:                             "status 401, no",
			`{"status":"\u001b[31m the-token"}`:            "status unreadable, no",
			`{"status":401}`:                               "status unreadable, no",
			`the-token`:                                    "status unreadable, no",
			`{"status":"` + strings.Repeat("a", 41) + `"}`: "status unreadable, no",
		} {
			_, client, err := Choose(t.Context(), []string{name}, Credentials{User: "u", Token: token}, true)
			if err != nil {
				t.Fatal(err)
			}
			if err := Explain(client, refusal); !errors.Is(err, refusal) {
				t.Errorf("%s: before the reason: got %v", name, err)
			}
			if _, err := client.Next([]byte(challenge)); err != nil {
				t.Errorf("%s: %s is answered with %v", name, challenge, err)
			}
			var e *fetch.Error
			if err := Explain(client, refusal); !errors.As(err, &e) || e.Kind != fetch.Auth || e.Text != want {
				t.Errorf("%s: %s: got %v, want %s", name, challenge, err, want)
			}
			if lost := errors.New("lost"); Explain(client, lost) != lost {
				t.Errorf("%s: an error that is no refusal is changed", name)
			}
		}
	}
	if refusal.Text != "no" {
		t.Error("the refusal itself was changed")
	}
	for _, odd := range []Credentials{{User: "u\x01auth=Bearer x", Token: token}, {User: "u\r\n", Token: token}} {
		for _, name := range []string{XOAUTH2, OAuthBearer} {
			if _, _, err := Choose(t.Context(), []string{name}, odd, true); fetch.KindOf(err) != fetch.Auth {
				t.Errorf("%s with user %q: got %v, want a refusal", name, odd.User, err)
			}
		}
	}
}

// scramServer makes the server's side of a conversation for one user.
func scramServer(t *testing.T, hash scram.HashGeneratorFcn, iterations int) *scram.ServerConversation {
	t.Helper()
	known, err := hash.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := known.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt salt salt", Iters: iterations})
	if err != nil {
		t.Fatal(err)
	}
	server, err := hash.NewServer(func(string) (scram.StoredCredentials, error) { return stored, nil })
	if err != nil {
		t.Fatal(err)
	}
	return server.NewConversation()
}

func TestSCRAM(t *testing.T) {
	for name, hash := range map[string]scram.HashGeneratorFcn{SCRAMSHA1: scram.SHA1, SCRAMSHA256: scram.SHA256} {
		for _, password := range []string{"pencil", "wrong"} {
			_, client, err := Choose(t.Context(), []string{name}, Credentials{User: "user", Password: password}, false)
			if err != nil {
				t.Fatal(err)
			}
			server := scramServer(t, hash, 4096)
			_, initial, _ := client.Start()
			first, err := server.Step(string(initial))
			if err != nil {
				t.Fatal(err)
			}
			proof, err := client.Next([]byte(first))
			if err != nil {
				t.Fatal(err)
			}
			if err := Finish(client); fetch.KindOf(err) != fetch.Protocol {
				t.Errorf("%s: Finish before the server proved anything: %v", name, err)
			}
			final, _ := server.Step(string(proof))
			last, err := client.Next([]byte(final))
			if right := password == "pencil"; right != (err == nil && Finish(client) == nil) || server.Valid() != right {
				t.Errorf("%s with %q: got %q, %v, Finish %v", name, password, last, err, Finish(client))
			}
		}
	}
}

func TestSCRAMHostile(t *testing.T) {
	start := func() (sasl.Client, string) {
		_, client, err := Choose(t.Context(), []string{SCRAMSHA256}, Credentials{User: "user", Password: "pencil"}, true)
		if err != nil {
			t.Fatal(err)
		}
		_, initial, _ := client.Start()
		_, nonce, _ := strings.Cut(string(initial), "r=")
		return client, nonce
	}
	for name, first := range map[string]string{
		"nonce not ours":          "r=other,s=c2FsdA==,i=4096",
		"too few iterations":      "r=NONCEx,s=c2FsdA==,i=1",
		"too many iterations":     "r=NONCEx,s=c2FsdA==,i=2147483647",
		"far too many iterations": "r=NONCEx,s=c2FsdA==,i=99999999999999999999",
		"no salt":                 "r=NONCEx,i=4096",
		"nothing":                 "",
		"extension":               "m=x,r=NONCEx,s=c2FsdA==,i=4096",
	} {
		client, nonce := start()
		if response, err := client.Next([]byte(strings.Replace(first, "NONCE", nonce, 1))); fetch.KindOf(err) != fetch.Auth {
			t.Errorf("%s: got %q, %v; want a refusal", name, response, err)
		}
		if _, err := client.Next([]byte("v=")); err == nil || Finish(client) == nil {
			t.Errorf("%s: then an empty proof is taken", name)
		}
	}
	client, nonce := start()
	if _, err := client.Next([]byte("r=" + nonce + "x,s=c2FsdA==,i=4096")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Next([]byte("v=" + strings.Repeat("A", 43) + "=")); err == nil || Finish(client) == nil {
		t.Errorf("a wrong proof of the server: got %v, Finish %v", err, Finish(client))
	}
}

func TestChallengesWithoutEnd(t *testing.T) {
	_, client, err := Choose(t.Context(), []string{"LOGIN"}, Credentials{User: "u", Password: "p"}, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Next(make([]byte, maxChallenge+1)); fetch.KindOf(err) != fetch.Protocol {
		t.Errorf("a long challenge: got %v", err)
	}
	for range 8 {
		_, err = client.Next(nil)
	}
	if fetch.KindOf(err) != fetch.Protocol {
		t.Errorf("the ninth challenge: got %v", err)
	}
}

func TestCredentialsShowNoSecret(t *testing.T) {
	c := Credentials{User: "alice\x1b", Password: "canary"}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "cred", c)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "cred", c, "pointer", &c)
	shown := fmt.Sprintf("%v %+v %#v %s %v", c, c, c, c, &c) + log.String()
	if strings.Contains(shown, "canary") || !strings.Contains(shown, "alice?") || strings.Contains(shown, "\x1b") {
		t.Errorf("got %s", shown)
	}
}

func FuzzChallenge(f *testing.F) {
	names := []string{Plain, Login, CRAMMD5, SCRAMSHA1, SCRAMSHA256, XOAUTH2, OAuthBearer}
	f.Add(uint8(4), []byte("r=NONCEx,s=c2FsdA==,i=4096"), []byte("v=AAAA"))
	f.Add(uint8(4), []byte("r=,s=,i=0"), []byte("v="))
	f.Add(uint8(5), []byte(`{"status":"401"}`), []byte(""))
	f.Add(uint8(2), []byte("<a@b>"), []byte("x"))
	f.Fuzz(func(t *testing.T, which uint8, first, second []byte) {
		if bytes.Contains(first, []byte("i=")) && len(first) > 60 {
			return // work that the server asks for takes its time
		}
		c := Credentials{User: "user", Password: "pencil-canary", Mechanism: Mechanism(names[int(which)%len(names)])}
		if c.Mechanism == XOAUTH2 || c.Mechanism == OAuthBearer {
			c.Token = func(context.Context) (string, error) { return "token-canary", nil }
		}
		name, client, err := Choose(context.Background(), names, c, true)
		if err != nil {
			t.Fatal(err)
		}
		_, initial, err := client.Start()
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := bytes.Cut(initial, []byte("r="))
		for _, challenge := range [][]byte{bytes.Replace(first, []byte("NONCE"), nonce, 1), second} {
			_, err := client.Next(challenge)
			if err == nil {
				continue
			}
			if kind := fetch.KindOf(err); kind != fetch.Auth && kind != fetch.Protocol {
				t.Errorf("%s: %q gives %v", name, challenge, err)
			}
			if strings.Contains(err.Error(), "canary") && !bytes.Contains(challenge, []byte("canary")) {
				t.Errorf("%s: %q gives an error with the secret: %v", name, challenge, err)
			}
		}
		if strings.HasPrefix(name, "SCRAM") && Finish(client) == nil {
			t.Errorf("%s: a server that knows nothing proved itself by %q, %q", name, first, second)
		}
	})
}
