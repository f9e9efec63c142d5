package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/oauth"
)

// refreshes counts how often a refresh token was shown.
func refreshes(a *fakeserver.Authority) (n int) {
	for _, r := range a.Requests("token") {
		if r.Form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

// TestRenewedAhead: a token serves until some minutes before its end, is renewed then without a person, and the
// replaced refresh token is on disk by then.
func TestRenewedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		a.Rotate = true
		o := options(t, a)
		s := loggedIn(t, o)
		first, before := get(t, s), stored(t, o.TokenFile)
		time.Sleep(54 * time.Minute)
		if got := get(t, s); got != first || refreshes(a) != 0 {
			t.Errorf("renewed %d times with six minutes to go", refreshes(a))
		}
		time.Sleep(2 * time.Minute)
		second, after := get(t, s), stored(t, o.TokenFile)
		if second == first || refreshes(a) != 1 || !a.Valid(second) {
			t.Errorf("four minutes before the end: the same token %v, renewed %d times", second == first, refreshes(a))
		}
		if after["access_token"] != second || after["refresh_token"] == before["refresh_token"] || after["refresh_token"] == "" {
			t.Error("the file does not hold the new tokens")
		}
		time.Sleep(2 * time.Hour)
		if third := get(t, oauth.New(o)); third == second || !a.Valid(third) {
			t.Error("another process did not renew by the replaced refresh token")
		}
	})
}

// TestWrittenBeforeUse: at the moment at which a renewed access token is handed out, the refresh token that came with it is
// in the file; while it is asked for, the old file is whole.
func TestWrittenBeforeUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		a.Rotate = true
		o := options(t, a)
		s := loggedIn(t, o)
		time.Sleep(2 * time.Hour)
		old, underWay := stored(t, o.TokenFile), map[string]string(nil)
		a.Issued = func() { underWay = stored(t, o.TokenFile) }
		token := get(t, s)
		if underWay["refresh_token"] != old["refresh_token"] {
			t.Error("the file changed before the answer was there")
		}
		if got := stored(t, o.TokenFile); got["access_token"] != token || got["refresh_token"] == old["refresh_token"] {
			t.Error("the token was handed out before it was stored")
		}
		if info, err := os.Stat(o.TokenFile); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file: %v, %v", info.Mode(), err)
		}
		if info, err := os.Stat(filepath.Dir(o.TokenFile)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the directory: %v, %v", info.Mode(), err)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(o.TokenFile), ".*.new")); err != nil || len(left) > 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
}

// TestNotReplacedWithoutRoom: where the new tokens could not be written nobody asks for them, and the old ones stay good.
func TestNotReplacedWithoutRoom(t *testing.T) {
	a := newAuthority()
	a.Rotate = true
	o := options(t, a)
	loggedIn(t, o)
	text, err := os.ReadFile(o.TokenFile)
	must(t, err)
	token := stored(t, o.TokenFile)["access_token"]
	// The file's name is as long as can be, so that there is room for none beside it.
	o.TokenFile = filepath.Join(filepath.Dir(o.TokenFile), strings.Repeat("n", 245))
	must(t, os.WriteFile(o.TokenFile, text, 0o600))
	_, err = oauth.New(o).Renew(t.Context(), token)
	wantError(t, err, fetch.Unclassified, "file name too long", "", token)
	if refreshes(a) != 0 || stored(t, o.TokenFile)["access_token"] != token {
		t.Error("the refresh token was used up, or the file changed")
	}
}

// TestOneRenews: of many who find the token at its end at once, one renews it and the others take what it got. With
// a refresh token that is used twice all of them would be revoked.
func TestOneRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		a.Rotate = true
		o := options(t, a)
		loggedIn(t, o)
		time.Sleep(2 * time.Hour)
		a.Issued = func() { time.Sleep(time.Second) } // so that the others have to wait
		var group sync.WaitGroup
		got := make([]string, 8)
		for i := range got {
			group.Go(func() {
				var err error
				if got[i], err = oauth.New(o).Token(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if slices.Sort(got); got[0] != got[7] || refreshes(a) != 1 {
			t.Errorf("renewed %d times", refreshes(a))
		}
	})
}

// TestRenewAfterRefusal: a token that the mail server refuses is renewed once, whatever the clock says, and not at all
// where another process has done so.
func TestRenewAfterRefusal(t *testing.T) {
	a := newAuthority()
	a.Rotate = true
	o := options(t, a)
	s := loggedIn(t, o)
	old := get(t, s)
	fresh, err := s.Renew(t.Context(), old)
	if err != nil || fresh == old || refreshes(a) != 1 {
		t.Fatalf("%v, renewed %d times", err, refreshes(a))
	}
	if again, err := oauth.New(o).Renew(t.Context(), old); err != nil || again != fresh || refreshes(a) != 1 {
		t.Errorf("after another had renewed it: %v, renewed %d times", err, refreshes(a))
	}
}

// TestFreshTokenRefused: a token that is refused straight after it was issued is not renewed again and again.
func TestFreshTokenRefused(t *testing.T) {
	a := newAuthority()
	o := options(t, a)
	old := get(t, loggedIn(t, o))
	s := oauth.New(o)
	fresh, err := s.Renew(t.Context(), old)
	must(t, err)
	if again, err := s.Renew(t.Context(), fresh); err != nil || again != fresh || refreshes(a) != 1 {
		t.Errorf("%v, renewed %d times", err, refreshes(a))
	}
}

// TestClockSkew: a token is not trusted that was stored by a clock which has been put back since.
func TestClockSkew(t *testing.T) {
	for name, test := range map[string]struct {
		issued, expires time.Duration // from now
		renewed         bool
	}{
		"as it should be":              {-time.Minute, 59 * time.Minute, false},
		"a little ahead":               {3 * time.Minute, 63 * time.Minute, false},
		"stored in the future":         {24 * time.Hour, 25 * time.Hour, true},
		"ended":                        {-2 * time.Hour, -time.Hour, true},
		"ends in four minutes":         {-56 * time.Minute, 4 * time.Minute, true},
		"short, half of it to go":      {-30 * time.Second, 30 * time.Second, false},
		"short, a tenth of it to go":   {-54 * time.Second, 6 * time.Second, true},
		"ended before it was issued":   {-time.Minute, -2 * time.Minute, true},
		"no lifetime at all":           {-time.Minute, -time.Minute, true},
		"very long, for years to come": {-time.Hour, 10000 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority()
			o := options(t, a)
			s := loggedIn(t, o)
			fields := stored(t, o.TokenFile)
			now := time.Now()
			text := fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"issued":%q,"expires":%q,"client_id":%q,"authority":%q}`, fields["access_token"], fields["refresh_token"],
				now.Add(test.issued).Format(time.RFC3339Nano), now.Add(test.expires).Format(time.RFC3339Nano), fields["client_id"], fields["authority"])
			if err := os.WriteFile(o.TokenFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := get(t, s); (got != fields["access_token"]) != test.renewed {
				t.Errorf("renewed: %v", !test.renewed)
			}
		})
	}
}

// TestRefusals: what the authority says decides whether a person has to log in again. Nothing that it says can
// disturb a terminal or repeat a secret.
func TestRefusals(t *testing.T) {
	const login = "run truehop login work"
	const html = "<html>" + "502 Bad Gateway</html>"
	for name, test := range map[string]struct {
		reply  func(string, http.ResponseWriter, url.Values) bool
		kind   fetch.Kind
		words  string
		advice string
	}{
		"revoked":              {answer(400, "application/json", `{"error":"invalid_grant","error_description":"AADSTS50173: \u001b[31mrevoked"}`), fetch.Auth, `invalid_grant: AADSTS50173: ?[31mrevoked`, login},
		"revoked, status 200":  {answer(200, "application/json", `{"error":"invalid_grant"}`), fetch.Auth, `"invalid_grant"`, login},
		"MFA":                  {answer(400, "application/json", `{"error":"interaction_required"}`), fetch.Auth, "interaction_required", login},
		"secret expired":       {answer(401, "application/json", `{"error":"invalid_client","error_description":"AADSTS7000222"}`), fetch.Unclassified, "AADSTS7000222", "client_id"},
		"scope":                {answer(400, "application/json", `{"error":"invalid_scope"}`), fetch.Unclassified, "invalid_scope", "scopes"},
		"overloaded":           {answer(503, "application/json", `{"error":"temporarily_unavailable"}`), fetch.Unclassified, "temporarily_unavailable", ""},
		"too many":             {answer(429, "text/html", html), fetch.Unclassified, "HTTP status 429", ""},
		"a proxy's page":       {answer(502, "text/html", html), fetch.Unclassified, "HTTP status 502", ""},
		"a page for an answer": {answer(200, "text/html", html), fetch.Unclassified, "cannot parse", ""},
		"nothing":              {answer(200, "application/json", `{}`), fetch.Unclassified, "missing access_token", ""},
		"elsewhere":            {answer(307, "text/plain", ""), fetch.Unclassified, "HTTP status 307", ""},
		"endless":              {answer(200, "application/json", `{"access_token":"`+strings.Repeat("a", 300<<10)+`"}`), fetch.Unclassified, "more than 262144 octets", ""},
		"a huge token":         {answer(200, "application/json", `{"token_type":"Bearer","access_token":"`+strings.Repeat("a", 17<<10)+`"}`), fetch.Unclassified, "more than 16384 octets", ""},
		"an odd token":         {answer(200, "application/json", `{"token_type":"Bearer","access_token":"a\r\nb"}`), fetch.Unclassified, "characters that none has", ""},
		"another type":         {answer(200, "application/json", `{"token_type":"mac","access_token":"ab"}`), fetch.Unclassified, "another type", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority()
			o := options(t, a)
			s := loggedIn(t, o)
			token := get(t, s)
			before := stored(t, o.TokenFile)
			a.Reply = test.reply
			_, err := s.Renew(t.Context(), token)
			wantError(t, err, test.kind, test.words, test.advice, token, before["refresh_token"])
			if after := stored(t, o.TokenFile); after["refresh_token"] != before["refresh_token"] || after["access_token"] != token {
				t.Error("the stored tokens were changed")
			}
		})
	}
}

// TestEcho: an authority that repeats what it was sent, whole or in part, is not quoted.
func TestEcho(t *testing.T) {
	for name, of := range map[string]func(url.Values) string{
		"the refresh token": func(f url.Values) string { return f.Get("refresh_token") },
		"a part of it":      func(f url.Values) string { return f.Get("refresh_token")[5:20] },
		"the secret":        func(f url.Values) string { return f.Get("client_secret") },
		"all":               func(f url.Values) string { return f.Encode() },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority()
			a.ClientSecret = "a/secret that+is=long"
			o := options(t, a)
			o.Provider, o.Flow = oauth.Google, oauth.Code // which sends its secret in the request
			s := loggedIn(t, o)
			token := get(t, s)
			a.Reply = func(endpoint string, w http.ResponseWriter, f url.Values) bool {
				return answer(400, "application/x-www-form-urlencoded", url.Values{"error": {"invalid_request"}, "error_description": {"what is " + of(f)}}.Encode())(endpoint, w, f)
			}
			_, err := s.Renew(t.Context(), token)
			wantError(t, err, fetch.Unclassified, "withheld", "", stored(t, o.TokenFile)["refresh_token"], a.ClientSecret)
			if strings.Contains(err.Error(), "what is") {
				t.Errorf("quoted: %v", err)
			}
		})
	}
	secret := oauth.Options{ClientSecret: "canary"}
	source := oauth.New(secret)
	if text := fmt.Sprintf("%v %+v %#v %v %+v %#v %v %v", secret, secret, secret, source, source, source, secret.LogValue(), source.LogValue()); strings.Contains(text, "canary") {
		t.Errorf("options print a secret: %s", text)
	}
}

// lost is a network that breaks, before the request arrives or after.
type lost struct {
	http.RoundTripper
	after bool
}

func (l lost) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.after {
		if _, err := l.RoundTripper.RoundTrip(r); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("connection reset")
}

// TestLostConnection passes: with a refresh token that stays good the next attempt works, and so it does where the answer with a
// new one was lost, if the authority forgives that.
func TestLostConnection(t *testing.T) {
	for _, test := range []struct {
		after, rotate, grace bool
		kind                 fetch.Kind // of the next attempt
		words                string
	}{
		{false, true, false, 0, ""}, {true, false, false, 0, ""}, {true, true, true, 0, ""},
		{true, true, false, fetch.Auth, "invalid_grant"},
	} {
		a := newAuthority()
		a.Rotate, a.Grace = test.rotate, test.grace
		o := options(t, a)
		token := get(t, loggedIn(t, o))
		broken := o
		broken.Transport = lost{o.Transport, test.after}
		_, err := oauth.New(broken).Renew(t.Context(), token)
		wantError(t, err, fetch.Unclassified, "login.example.net: connection reset", "", token)
		_, err = oauth.New(o).Renew(t.Context(), token)
		if test.words != "" {
			wantError(t, err, test.kind, test.words, "run truehop login work")
		} else if err != nil {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestToldToEnd: a renewal that has begun is brought to its end though the program is told to end, for the old refresh token
// may be void by then. One that waits for another process ends at once.
func TestToldToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		a.Rotate = true
		o := options(t, a)
		s := loggedIn(t, o)
		time.Sleep(2 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		var waited error
		var waiter sync.WaitGroup
		a.Issued = func() {
			waiter.Go(func() { _, waited = oauth.New(o).Token(ctx) })
			time.Sleep(10 * time.Second)
			cancel()
			waiter.Wait()
		}
		token, err := s.Token(ctx)
		if err != nil || stored(t, o.TokenFile)["access_token"] != token {
			t.Errorf("got %v", err)
		}
		if !errors.Is(waited, context.Canceled) || refreshes(a) != 1 {
			t.Errorf("who waits gets %v; renewed %d times", waited, refreshes(a))
		}
	})
}

// TestSilentAuthority does not hold a pass for ever.
func TestSilentAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		o := options(t, a)
		loggedIn(t, o)
		o.Transport = silent{}
		time.Sleep(2 * time.Hour)
		began := time.Now()
		_, err := oauth.New(o).Token(t.Context())
		wantError(t, err, fetch.Unclassified, "login.example.net", "")
		if waited := time.Since(began); waited > time.Minute {
			t.Errorf("it took %v", waited)
		}
	})
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestTokenFile: a file that others may have read or written, or that belongs to another application, is not used.
func TestTokenFile(t *testing.T) {
	for name, test := range map[string]struct {
		spoil  func(t *testing.T, o *oauth.Options)
		words  string
		advice string
	}{
		"missing":            {func(t *testing.T, o *oauth.Options) { o.TokenFile += "x" }, "no token yet", "run truehop login work"},
		"readable by others": {func(t *testing.T, o *oauth.Options) { must(t, os.Chmod(o.TokenFile, 0o640)) }, "mode 0640 lets others read the token", ""},
		"not ours":           {func(t *testing.T, o *oauth.Options) { must(t, os.WriteFile(o.TokenFile, []byte("hunter2"), 0o600)) }, "is not a token file", ""},
		"huge": {func(t *testing.T, o *oauth.Options) {
			must(t, os.WriteFile(o.TokenFile, []byte(`{"access_token":"`+strings.Repeat("a", 100<<10)+`"}`), 0o600))
		}, "is not a token file", ""},
		"a link": {func(t *testing.T, o *oauth.Options) {
			must(t, os.Symlink(o.TokenFile, o.TokenFile+"2"))
			o.TokenFile += "2"
		}, "too many levels of symbolic links", ""},
		"a directory":         {func(t *testing.T, o *oauth.Options) { o.TokenFile = filepath.Dir(o.TokenFile) }, "not a regular file", ""},
		"another application": {func(_ *testing.T, o *oauth.Options) { o.ClientID = "other" }, "another application", "run truehop login work"},
		"another authority":   {func(_ *testing.T, o *oauth.Options) { o.TokenURL = "https://evil.example/token" }, "another provider", "run truehop login work"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority()
			o := options(t, a)
			loggedIn(t, o)
			test.spoil(t, &o)
			asked := len(a.Requests("token"))
			s := oauth.New(o)
			_, err := s.Token(t.Context())
			wantError(t, err, fetch.Auth, test.words, test.advice, "hunter2")
			_, err = s.Status()
			wantError(t, err, fetch.Auth, test.words, test.advice)
			if len(a.Requests("token")) != asked {
				t.Error("the authority was asked")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAddresses: nothing is sent without TLS, but on this host.
func TestAddresses(t *testing.T) {
	for address, good := range map[string]bool{
		"https://login.example.net/token": true, "http://127.0.0.1:8080/token": true, "http://localhost/token": true, "http://[::1]/token": true,
		"http://login.example.net/token": false, "http://localhost.example.net/": false, "ftp://login.example.net/": false, "login.example.net": false,
		"https://user:secret@login.example.net/": false, "https://": false, "": false, "http://127.0.0.1.example.net/": false, "https://h/#x": false,
	} {
		if err := oauth.CheckURL(address); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		} else if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v holds the secret", address, err)
		}
	}
	a := newAuthority()
	o := options(t, a)
	token := get(t, loggedIn(t, o))
	a.URL, o.TokenURL, o.AuthURL, o.DeviceURL, o.Issuer = authority, "", "", "", authority
	loggedIn(t, o)
	a.Reply = func(endpoint string, w http.ResponseWriter, f url.Values) bool {
		if endpoint != "openid-configuration" {
			return false
		}
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":"http://evil.example/token"}`, authority)
		return true
	}
	asked := len(a.Requests("token"))
	_, err := oauth.New(o).Renew(t.Context(), stored(t, o.TokenFile)["access_token"])
	wantError(t, err, fetch.Unclassified, "is not of https", "", token)
	if len(a.Requests("token")) != asked {
		t.Error("a token was asked for")
	}
}

// TestStatus reads the file only.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		o := options(t, a)
		s := loggedIn(t, o)
		asked := len(a.Requests("token"))
		got, err := s.Status()
		if err != nil || !got.Renewable || !got.Expires.Equal(time.Now().Add(time.Hour)) || len(a.Requests("token")) != asked {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
