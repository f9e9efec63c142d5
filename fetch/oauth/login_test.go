package oauth_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/oauth"
)

// TestProviders: what is asked for, and how, where only the provider is named.
func TestProviders(t *testing.T) {
	for name, test := range map[string]struct {
		o             oauth.Options
		begins, scope string
		extra         map[string]string
	}{
		"google":         {oauth.Options{Provider: oauth.Google}, "https://accounts.google.com/", "https://mail.google.com/", map[string]string{"access_type": "offline", "prompt": "consent", "login_hint": "u"}},
		"microsoft":      {oauth.Options{Provider: oauth.Microsoft, Flow: oauth.Code}, "https://login.microsoftonline.com/common/", "https://outlook.office.com/IMAP.AccessAsUser.All offline_access", map[string]string{"login_hint": "u"}},
		"microsoft POP3": {oauth.Options{Provider: oauth.Microsoft, Flow: oauth.Code, POP3: true, Tenant: "contoso.com"}, "https://login.microsoftonline.com/contoso.com/", "https://outlook.office.com/POP.AccessAsUser.All offline_access", nil},
		"other":          {oauth.Options{Provider: oauth.Other, AuthURL: "https://id.example/auth?kind=x", TokenURL: "https://id.example/token", Scopes: []string{"a", "b"}}, "https://id.example/auth?", "a b", map[string]string{"kind": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.ClientID, test.o.User = "app", "u"
			enough := errors.New("enough")
			var shown *url.URL
			err := oauth.New(test.o).Login(t.Context(), oauth.Dialogue{
				Show: func(p oauth.Prompt) {
					var err error
					if shown, err = url.Parse(p.URL); err != nil || !strings.HasPrefix(p.URL, test.begins) {
						t.Errorf("shows %s, %v", p.URL, err)
					}
					if back := shown.Query().Get("redirect_uri"); back != p.Redirect || strings.Contains(back, "//localhost:") != (test.o.Provider == oauth.Microsoft) {
						t.Errorf("the browser comes back to %s", back)
					}
				},
				Paste: func(context.Context) (string, error) { return "", enough },
			})
			if !errors.Is(err, enough) {
				t.Errorf("got %v", err)
			}
			query := shown.Query()
			if query.Get("scope") != test.scope || query.Get("client_id") != "app" || query.Get("code_challenge_method") != "S256" || len(query.Get("state")) < 20 {
				t.Errorf("asks for %v", query)
			}
			for key, want := range test.extra {
				if query.Get(key) != want {
					t.Errorf("%s is %q, want %q", key, query.Get(key), want)
				}
			}
		})
	}
}

// TestDeviceLogin keeps the pace that the authority asks for, goes on after lost connections, and ends when the code does.
func TestDeviceLogin(t *testing.T) {
	for name, test := range map[string]struct {
		pending, slowDown int
		denied            bool
		lost              int // replies
		took              time.Duration
		kind              fetch.Kind
		words             string
	}{
		"at once":       {took: 5 * time.Second},
		"pending":       {pending: 3, took: 20 * time.Second},
		"slow down":     {pending: 1, slowDown: 2, took: (5 + 5 + 10 + 15) * time.Second},
		"lost":          {lost: 2, pending: 1, took: 20 * time.Second},
		"denied":        {pending: 1, denied: true, took: 10 * time.Second, kind: fetch.Auth, words: "access_denied"},
		"never":         {pending: 1000, took: 15 * time.Minute, kind: fetch.Auth, words: "nobody logged in"},
		"lost for ever": {lost: 1000, took: 15 * time.Minute, kind: fetch.Auth, words: "nobody logged in"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAuthority()
				a.Pending, a.SlowDown, a.Denied = test.pending, test.slowDown, test.denied
				left := test.lost
				a.Reply = func(endpoint string, w http.ResponseWriter, f url.Values) bool {
					if endpoint != "token" || left == 0 {
						return false
					}
					left--
					return answer(502, "text/html", "<html>")(endpoint, w, f)
				}
				o := options(t, a)
				o.Flow = oauth.Device
				var shown oauth.Prompt
				began := time.Now()
				err := oauth.New(o).Login(t.Context(), oauth.Dialogue{Show: func(p oauth.Prompt) { shown = p }})
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				if shown.URL != authority+"/activate" || shown.Code != "ABCD-EFGH" || !shown.Until.Equal(began.Add(15*time.Minute)) {
					t.Errorf("showed %+v", shown)
				}
				if test.words != "" {
					wantError(t, err, test.kind, test.words, "run truehop login work")
					if _, err := os.Stat(o.TokenFile); !errors.Is(err, os.ErrNotExist) {
						t.Errorf("there is a token file: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if token := get(t, oauth.New(o)); !a.Valid(token) {
					t.Error("the token is not valid")
				}
			})
		})
	}
}

// TestLoopbackLogin: the browser comes back to a port of this host; what others send there is not taken.
func TestLoopbackLogin(t *testing.T) {
	visit := func(t *testing.T, method, address string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		defer reply.Body.Close()
		page, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Error(err)
		}
		return reply.StatusCode, string(page)
	}
	for _, denied := range []bool{false, true} {
		a := newAuthority()
		a.Denied = denied
		o := options(t, a)
		back := make(chan string, 1)
		done := make(chan struct{})
		go func() {
			defer close(done)
			address := <-back
			base, _, _ := strings.Cut(address, "?")
			for _, wrong := range []string{base, base + "favicon.ico", base + "?code=x&state=guess", strings.Replace(address, "/?", "/other?", 1)} {
				if status, _ := visit(t, http.MethodGet, wrong); status != http.StatusNotFound {
					t.Errorf("%s: status %d", wrong, status)
				}
			}
			if status, _ := visit(t, http.MethodPost, address); status != http.StatusNotFound {
				t.Errorf("POST: status %d", status)
			}
			if status, page := visit(t, http.MethodGet, address); status != http.StatusOK || !strings.Contains(page, "look at the terminal") {
				t.Errorf("status %d: %s", status, page)
			}
		}()
		err := oauth.New(o).Login(t.Context(), oauth.Dialogue{Show: browser(t, o, back)})
		<-done
		if denied {
			wantError(t, err, fetch.Auth, "access_denied", "run truehop login work")
		} else if err != nil {
			t.Error(err)
		} else if token := get(t, oauth.New(o)); !a.Valid(token) {
			t.Error("the token is not valid")
		}
	}
}

// TestPasted: with a browser elsewhere the address that it ended at is pasted, or what people copy of it.
func TestPasted(t *testing.T) {
	for name, test := range map[string]struct {
		paste func(address string) string
		words string
	}{
		"the address": {func(s string) string { return " " + s + "\r\n" }, ""},
		"its query":   {func(s string) string { _, q, _ := strings.Cut(s, "?"); return q }, ""},
		"the code":    {func(s string) string { u, _ := url.Parse(s); return u.Query().Get("code") }, ""},
		"the code, escaped": {func(s string) string {
			u, _ := url.Parse(s)
			return "%" + hexOf(u.Query().Get("code")[0]) + u.Query().Get("code")[1:]
		}, ""},
		"nothing":         {func(string) string { return " \n" }, "nothing was pasted"},
		"another address": {func(string) string { return "https://example.org/?q=x" }, "holds no code"},
		"an old one":      {func(s string) string { return strings.Replace(s, "state=", "state=A", 1) }, "another attempt"},
		"a wrong code":    {func(string) string { return "4/0Awrong" }, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority()
			o := options(t, a)
			d := paste(t, o)
			read := d.Paste
			d.Paste = func(ctx context.Context) (string, error) {
				s, err := read(ctx)
				return test.paste(s), err
			}
			err := oauth.New(o).Login(t.Context(), d)
			if test.words == "" {
				if err != nil {
					t.Fatal(err)
				}
				get(t, oauth.New(o))
			} else if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("got %v, want %s", err, test.words)
			}
		})
	}
}

func hexOf(b byte) string { return string("0123456789ABCDEF"[b>>4]) + string("0123456789ABCDEF"[b&15]) }

// TestLoginWithoutRefreshToken fails at once, and not in an hour.
func TestLoginWithoutRefreshToken(t *testing.T) {
	a := newAuthority()
	a.Reply = answer(200, "application/json", `{"access_token":"abc","token_type":"Bearer","expires_in":3600}`)
	o := options(t, a)
	wantError(t, oauth.New(o).Login(t.Context(), paste(t, o)), fetch.Auth, "no refresh token", "offline_access")
	if _, err := os.Stat(o.TokenFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a token file: %v", err)
	}
}

// TestSecrets: how an application proves itself depends on the provider.
func TestSecrets(t *testing.T) {
	for _, test := range []struct {
		provider oauth.Provider
		issuer   string
		basic    bool
	}{{oauth.Google, "", false}, {oauth.Microsoft, "", false}, {oauth.Other, "", true}, {oauth.Other, authority, true}} {
		a := newAuthority()
		a.ClientSecret = "the secret of the application"
		o := options(t, a)
		o.Provider, o.Issuer, o.Flow = test.provider, test.issuer, oauth.Code
		s := loggedIn(t, o)
		if _, err := s.Renew(t.Context(), get(t, s)); err != nil {
			t.Fatal(err)
		}
		for _, r := range a.Requests("token") {
			if r.Form.Has("client_secret") == test.basic {
				t.Errorf("%s %s: the secret goes in the request: %v", test.provider, test.issuer, !test.basic)
			}
		}
	}
}

// TestAppOnly: an application of its own right needs nobody to log in, and its token is kept all the same.
func TestAppOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		a.ClientSecret = "the secret"
		o := options(t, a)
		o.Provider, o.Flow, o.Tenant = oauth.Microsoft, oauth.AppOnly, "contoso.com"
		first := get(t, oauth.New(o))
		if again := get(t, oauth.New(o)); again != first || !a.Valid(first) {
			t.Error("the token was not kept")
		}
		time.Sleep(time.Hour)
		if second := get(t, oauth.New(o)); second == first || !a.Valid(second) {
			t.Error("the token was not renewed")
		}
		asked := a.Requests("token")
		if len(asked) != 2 || asked[0].Form.Get("scope") != "https://outlook.office365.com/.default" || asked[0].Form.Get("grant_type") != "client_credentials" {
			t.Errorf("asked %v", asked)
		}
		o.ClientSecret = "wrong secret"
		_, err := oauth.New(o).Renew(t.Context(), get(t, oauth.New(o)))
		wantError(t, err, fetch.Unclassified, "invalid_client", "client_id", "wrong secret")
		o.ClientID, o.ClientSecret = "other", "the secret"
		if _, err := oauth.New(o).Token(t.Context()); err == nil {
			t.Error("the token of another application was used")
		}
	})
}

// keyPair makes a certificate with its key as PEM.
func keyPair(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
}

// TestCertificate: an application proves itself by a statement that it signs, good for a few minutes by either clock.
func TestCertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	text := keyPair(t, key)
	_, rest := pem.Decode(text)
	block, _ := pem.Decode(rest)
	if block == nil {
		t.Fatal("no certificate")
	}
	certificate, err := oauth.ParseCertificate(text)
	must(t, err)
	a := newAuthority()
	seen := map[string]bool{}
	a.Assertion = func(jwt string) bool {
		parts := strings.Split(jwt, ".")
		if len(parts) != 3 {
			t.Fatalf("%d parts", len(parts))
		}
		octets := make([][]byte, 3)
		for i := range parts {
			octets[i], err = base64.RawURLEncoding.DecodeString(parts[i])
			must(t, err)
		}
		var header map[string]string
		var claims struct {
			Iss, Sub, Aud, Jti string
			Iat, Nbf, Exp      int64
		}
		must(t, json.Unmarshal(octets[0], &header))
		must(t, json.Unmarshal(octets[1], &claims))
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		must(t, rsa.VerifyPSS(&key.PublicKey, crypto.SHA256, sum[:], octets[2], nil))
		thumbprint := sha256.Sum256(block.Bytes)
		if header["alg"] != "PS256" || header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(thumbprint[:]) {
			t.Errorf("header %v", header)
		}
		if claims.Iss != "truehop-test" || claims.Sub != claims.Iss || claims.Aud != authority+"/token" || seen[claims.Jti] {
			t.Errorf("claims %+v", claims)
		}
		seen[claims.Jti] = true
		now := time.Now().Unix()
		if claims.Nbf > now-240 || claims.Exp < now+240 || claims.Exp > now+600 {
			t.Errorf("good from %d to %d, now %d", claims.Nbf, claims.Exp, now)
		}
		return true
	}
	o := options(t, a)
	o.Provider, o.Flow, o.Certificate = oauth.Microsoft, oauth.AppOnly, certificate
	if _, err := oauth.New(o).Renew(t.Context(), get(t, oauth.New(o))); err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Requests("token") {
		if r.Form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || r.Form.Has("client_secret") || r.Form.Get("client_id") != a.ClientID {
			t.Errorf("asked %v", r.Form)
		}
	}
	if len(seen) != 2 {
		t.Errorf("%d assertions", len(seen))
	}
}

// TestWrongCertificate names what is wrong with it and quotes nothing.
func TestWrongCertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	whole := keyPair(t, key)
	private, rest := pem.Decode(whole)
	for name, text := range map[string][]byte{
		"nothing": nil, "garbage": []byte("hunter2"), "only the certificate": rest, "only the key": pem.EncodeToMemory(private),
	} {
		if _, err := oauth.ParseCertificate(text); err == nil || !strings.Contains(err.Error(), "together with its private key") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if certificate, err := oauth.ParseCertificate(whole); err != nil || certificate.String() != "certificate" {
		t.Errorf("the whole: %v, %v", certificate, err)
	}
	ca := fakeserver.NewCA() // its keys are of ECDSA
	certificate, ecdsa := ca.ServerPEM("localhost")
	if _, err := oauth.ParseCertificate(slices.Concat(certificate, ecdsa)); err == nil || !strings.Contains(err.Error(), "not of RSA") {
		t.Errorf("ECDSA: %v", err)
	}
}

// TestWords: each word is one value, and nothing else is taken for one.
func TestWords(t *testing.T) {
	for _, word := range oauth.Provider("").Words() {
		var p oauth.Provider
		if err := p.UnmarshalText([]byte(word)); err != nil || string(p) != word {
			t.Errorf("%s is read as %q, %v", word, p, err)
		}
	}
	for _, word := range oauth.Flow("").Words() {
		var f oauth.Flow
		if err := f.UnmarshalText([]byte(word)); err != nil || f.String() != word {
			t.Errorf("%s is read as %q, %v", word, f, err)
		}
		if text, err := f.MarshalText(); err != nil || string(text) != word {
			t.Errorf("%s is written as %s, %v", word, text, err)
		}
	}
	var p oauth.Provider
	var f oauth.Flow
	for _, wrong := range []string{"", "GOOGLE", "x\x1b"} {
		for _, err := range []error{p.UnmarshalText([]byte(wrong)), f.UnmarshalText([]byte(wrong))} {
			if err == nil || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q: %v", wrong, err)
			}
		}
	}
	if p != "" || f != "" {
		t.Errorf("changed to %q and %q", p, f)
	}
}
