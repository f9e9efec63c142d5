package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/oauth"
)

// inProcess carries requests to a handler without a network.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	reply := w.Result()
	reply.Request = r
	return reply, r.Context().Err()
}

const authority = "https://login.example.net"

func newAuthority() *fakeserver.Authority {
	return &fakeserver.Authority{URL: authority, ClientID: "truehop-test"}
}

// options are those of an account whose tokens come from a.
func options(t *testing.T, a *fakeserver.Authority) oauth.Options {
	t.Helper()
	return oauth.Options{
		Account: "work", User: "alice@example.org", Provider: oauth.Other, ClientID: a.ClientID, ClientSecret: a.ClientSecret,
		AuthURL: a.URL + "/authorize", TokenURL: a.URL + "/token", DeviceURL: a.URL + "/devicecode",
		TokenFile: filepath.Join(t.TempDir(), "tokens", "work"), Transport: inProcess{a},
	}
}

// browser is a person who opens what is shown and goes where the browser is sent.
func browser(t *testing.T, o oauth.Options, pasted chan<- string) func(oauth.Prompt) {
	return func(p oauth.Prompt) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL, nil)
		if err != nil {
			t.Error(err)
			return
		}
		reply, err := o.Transport.RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		pasted <- reply.Header.Get("Location")
	}
}

// paste is a dialogue with a person whose browser runs elsewhere.
func paste(t *testing.T, o oauth.Options) oauth.Dialogue {
	pasted := make(chan string, 1)
	return oauth.Dialogue{Show: browser(t, o, pasted), Paste: func(context.Context) (string, error) { return <-pasted, nil }}
}

// loggedIn makes a source whose account has logged in.
func loggedIn(t *testing.T, o oauth.Options) *oauth.Source {
	t.Helper()
	s := oauth.New(o)
	if err := s.Login(t.Context(), paste(t, o)); err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *oauth.Source) string {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// stored returns the fields of a token file.
func stored(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// wantError holds an error against its kind, what it says and what it advises, and looks for secrets in it.
func wantError(t *testing.T, err error, kind fetch.Kind, words, advice string, secrets ...string) {
	t.Helper()
	var e *fetch.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(err.Error(), words) || !strings.Contains(e.Advice, advice) {
		t.Errorf("got %v (%v), want kind %v, %q and the advice %q", err, fetch.KindOf(err), kind, words, advice)
		return
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(err.Error()+e.Advice, secret) {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
}

// answer has the authority say the same to each request for a token.
func answer(status int, contentType, body string) func(string, http.ResponseWriter, url.Values) bool {
	return func(endpoint string, w http.ResponseWriter, _ url.Values) bool {
		if endpoint != "token" {
			return false
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
		return true
	}
}
