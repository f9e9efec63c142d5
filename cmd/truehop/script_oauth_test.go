package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/truehop/truehop/fetch/fakeserver"
)

// startScriptAuthority serves a on this host and returns the key oauth of an account that gets its tokens there.
func startScriptAuthority(ts *testscript.TestScript, a *fakeserver.Authority, flow string) string {
	server := httptest.NewServer(a)
	ts.Defer(server.Close)
	a.URL = server.URL
	secret := ""
	if flow == "app-only" {
		a.ClientSecret = "application-canary"
		ts.Check(os.WriteFile(ts.MkAbs("secret"), []byte(a.ClientSecret+"\n"), 0o600))
		secret = ", client_secret_file: " + ts.MkAbs("secret")
	}
	if flow == "command" {
		return "token_command: [/bin/cat, " + ts.MkAbs("token") + "]"
	}
	return fmt.Sprintf("oauth: {provider: other, flow: %s, client_id: %s, issuer: %q%s}", flow, a.ClientID, a.URL, secret)
}

// authority revoke    ends all tokens
// authority expire    ends all access tokens
// authority fail      answers each request for a token with 503 from now on
// authority token     writes a good access token to the file token
func authority(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: authority revoke|expire|fail|token")
	}
	a := scriptWorld(ts).tokens
	switch args[0] {
	case "revoke":
		a.Revoke()
	case "expire":
		a.Expire()
	case "fail":
		a.Fail(func(endpoint string, w http.ResponseWriter, _ url.Values) bool {
			if endpoint == "token" {
				http.Error(w, "try again later", http.StatusServiceUnavailable)
			}
			return endpoint == "token"
		})
	case "token":
		ts.Check(os.WriteFile(ts.MkAbs("token"), []byte(a.NewToken()+"\n"), 0o600))
	default:
		ts.Fatalf("unknown: %s", args[0])
	}
}

// follow is a browser: it opens an address and goes where it is sent.
func follow(ctx context.Context, address string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	last := ""
	client := &http.Client{CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		last = r.URL.String()
		if strings.Contains(last, ":49153/") {
			return http.ErrUseLastResponse // nobody listens there
		}
		return nil
	}}
	reply, err := client.Do(r)
	if err != nil {
		return last, err
	}
	return last, reply.Body.Close()
}
