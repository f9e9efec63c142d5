package fakeserver

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Authority is an OAuth 2 authorisation server with one user, who says yes to everything: authorization codes with PKCE
// (RFC 6749, 7636), device codes (RFC 8628), client credentials, refresh tokens, introspection (RFC 7662) and discovery.
// It is an [http.Handler]. Its fields are not changed while it serves.
type Authority struct {
	// URL is the address that it is reached at, which discovery and the device code name.
	URL string
	// User is whose tokens they are, as introspection names him.
	User string
	// ClientID and ClientSecret are the application. "" means that it has no secret.
	ClientID, ClientSecret string
	// Assertion, if not nil, takes the place of the secret in client credentials.
	Assertion func(jwt string) bool
	// Lifetime is that of an access token; 0 means an hour.
	Lifetime time.Duration
	// Rotate replaces the refresh token at each use. One that was replaced revokes all of them when it comes
	// again, unless Grace is set.
	Rotate, Grace bool
	// Pending and SlowDown are how many times the device code is answered so before it is good.
	Pending, SlowDown int
	// Interval is the pace of asking with a device code; 0 means 5 seconds.
	Interval time.Duration
	// Denied has the user say no.
	Denied bool

	// Reply, if not nil, is called for each request with the last part of its path. If it returns true it has answered.
	Reply func(endpoint string, w http.ResponseWriter, form url.Values) bool
	// Issued, if not nil, is called when tokens have been issued and not yet sent.
	Issued func()

	mu       sync.Mutex
	requests []Request
	failing  func(endpoint string, w http.ResponseWriter, form url.Values) bool
	codes    map[string]string // challenge by code
	devices  map[string]int    // how often it was asked for, by device code
	refresh  map[string]bool   // whether it is still the newest
	access   map[string]time.Time
}

// Request is one request that an [Authority] got.
type Request struct {
	// Endpoint is the last part of the path.
	Endpoint string
	Form     url.Values
	At       time.Time
}

// Requests returns what came to endpoint.
func (a *Authority) Requests(endpoint string) []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.requests), func(r Request) bool { return r.Endpoint != endpoint })
}

// Valid reports whether an access token is good now.
func (a *Authority) Valid(token string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.access[token])
}

// Expire ends all access tokens before their time.
func (a *Authority) Expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.access)
}

// NewToken issues an access token to somebody else.
func (a *Authority) NewToken() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	token, _ := a.issue("")["access_token"].(string)
	return token
}

// Fail has reply take the place of Reply from now on.
func (a *Authority) Fail(reply func(endpoint string, w http.ResponseWriter, form url.Values) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failing = reply
}

// Revoke ends all tokens.
func (a *Authority) Revoke() {
	a.Expire()
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.refresh)
}

// ServeHTTP implements [http.Handler].
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		a.refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	endpoint := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	a.mu.Lock()
	a.requests = append(a.requests, Request{endpoint, maps.Clone(r.Form), time.Now()})
	reply := a.Reply
	if a.failing != nil {
		reply = a.failing
	}
	a.mu.Unlock()
	if reply != nil && reply(endpoint, w, r.Form) {
		return
	}
	switch endpoint {
	case "openid-configuration":
		a.say(w, map[string]any{
			"issuer": a.URL, "authorization_endpoint": a.URL + "/authorize", "token_endpoint": a.URL + "/token",
			"device_authorization_endpoint": a.URL + "/devicecode", "token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
		})
	case "authorize":
		a.authorize(w, r)
	case "devicecode":
		code := rand.Text()
		a.mu.Lock()
		a.devices = map[string]int{code: 0}
		a.mu.Unlock()
		interval := cmp.Or(a.Interval, 5*time.Second)
		a.say(w, map[string]any{"device_code": code, "user_code": "ABCD-EFGH", "verification_uri": a.URL + "/activate", "expires_in": 900, "interval": int(interval.Seconds())})
	case "introspect":
		a.say(w, map[string]any{"active": a.Valid(r.Form.Get("token")), "username": a.User})
	case "token":
		a.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (a *Authority) say(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that went away shows at its next request
}

func (a *Authority) refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": "the authority says " + code})
}

// authorize sends the browser back with a code (RFC 6749 section 4.1.2).
func (a *Authority) authorize(w http.ResponseWriter, r *http.Request) {
	back, err := url.Parse(r.Form.Get("redirect_uri"))
	wellFormed := r.Form.Get("response_type") == "code" && r.Form.Get("code_challenge_method") == "S256"
	if err != nil || !wellFormed || r.Form.Get("client_id") != a.ClientID {
		a.refuse(w, http.StatusBadRequest, "invalid_request")
		return
	}
	answer := url.Values{"state": {r.Form.Get("state")}}
	if a.Denied {
		answer.Set("error", "access_denied")
	} else {
		code := rand.Text()
		a.mu.Lock()
		a.codes = map[string]string{code: r.Form.Get("code_challenge")}
		a.mu.Unlock()
		answer.Set("code", code)
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// token is RFC 6749 section 5.
func (a *Authority) token(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || !a.proven(r) {
		a.refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	a.mu.Lock()
	refresh, refusal := a.grant(r.Form)
	var reply map[string]any
	if refusal == "" {
		reply = a.issue(refresh)
	}
	a.mu.Unlock()
	if refusal != "" {
		a.refuse(w, http.StatusBadRequest, refusal)
		return
	}
	if a.Issued != nil {
		a.Issued()
	}
	a.say(w, reply)
}

// proven reports whether the application is who it says.
func (a *Authority) proven(r *http.Request) bool {
	id, secret, ok := r.BasicAuth()
	if ok { // RFC 6749 section 2.3.1: they are encoded as in a form
		var err error
		if secret, err = url.QueryUnescape(secret); err != nil {
			return false
		}
	} else {
		id, secret = r.Form.Get("client_id"), r.Form.Get("client_secret")
	}
	if id != a.ClientID {
		return false
	}
	if a.Assertion != nil && r.Form.Get("grant_type") == "client_credentials" {
		return a.Assertion(r.Form.Get("client_assertion"))
	}
	return secret == a.ClientSecret
}

// grant looks at what the client shows, and returns the refresh token to give, or the refusal.
func (a *Authority) grant(form url.Values) (refresh, refusal string) {
	switch form.Get("grant_type") {
	case "client_credentials":
		return "", ""
	case "authorization_code":
		challenge, ok := a.codes[form.Get("code")]
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if !ok || challenge != base64.RawURLEncoding.EncodeToString(sum[:]) {
			return "", "invalid_grant"
		}
		clear(a.codes)
		return rand.Text(), ""
	case "urn:ietf:params:oauth:grant-type:device_code":
		asked, ok := a.devices[form.Get("device_code")]
		a.devices[form.Get("device_code")] = asked + 1
		switch {
		case !ok:
			return "", "invalid_grant"
		case asked < a.Pending:
			return "", "authorization_pending"
		case asked < a.Pending+a.SlowDown:
			return "", "slow_down"
		case a.Denied:
			return "", "access_denied"
		}
		return rand.Text(), ""
	case "refresh_token":
		old := form.Get("refresh_token")
		newest, known := a.refresh[old]
		switch {
		case !known:
			return "", "invalid_grant"
		case !newest && !a.Grace:
			clear(a.refresh) // it was stolen: from the client or from the one before
			return "", "invalid_grant"
		case !a.Rotate:
			return "", ""
		}
		a.refresh[old] = false
		return rand.Text(), ""
	}
	return "", "unsupported_grant_type"
}

// issue makes tokens.
func (a *Authority) issue(refresh string) map[string]any {
	lifetime := cmp.Or(a.Lifetime, time.Hour)
	if a.access == nil {
		a.access, a.refresh = map[string]time.Time{}, map[string]bool{}
	}
	access := rand.Text()
	a.access[access] = time.Now().Add(lifetime)
	reply := map[string]any{"token_type": "Bearer", "access_token": access, "expires_in": int(lifetime.Seconds())}
	if refresh != "" {
		a.refresh[refresh] = true
		reply["refresh_token"] = refresh
	}
	return reply
}
