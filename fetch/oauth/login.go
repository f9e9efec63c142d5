package oauth

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/truehop/truehop/fetch"
)

const (
	// loginTime is how long a person may take.
	loginTime = 15 * time.Minute
	// pastedPort stands in the address that the browser of another host fails to open, with the code behind it.
	pastedPort = 49153
)

// Prompt is what a person has to do.
type Prompt struct {
	// URL is to be opened in a browser.
	URL string
	// Code is to be entered there; "" if the address is enough.
	Code string
	// Until is when it is too late.
	Until time.Time
	// Redirect is where the browser comes back to; "" with a device code.
	Redirect string
}

// Dialogue is how Login speaks with a person.
type Dialogue struct {
	// Show tells what to do.
	Show func(Prompt)
	// Paste, if not nil, says that the browser runs on another host, and returns the address that it ended at, or
	// the code in it.
	Paste func(context.Context) (string, error)
}

// Login obtains the first tokens with the help of a person, or by the application's own right, and stores them.
func (s *Source) Login(ctx context.Context, d Dialogue) error {
	const op = "log in"
	ctx, cancel := context.WithTimeoutCause(ctx, loginTime, &fetch.Error{
		Kind: fetch.Auth, Op: op, Err: fmt.Errorf("nobody logged in within %v", loginTime), Advice: s.loginAdvice()})
	defer cancel()
	// Where the tokens could not be kept nobody need log in.
	draft, err := s.store.begin()
	if err != nil {
		return s.notKept(err)
	}
	defer draft.abandon()
	e, err := s.endpoint(ctx)
	if err != nil {
		return s.failed(op, err)
	}
	var t token
	switch s.o.flow() {
	case AppOnly:
		t, err = s.appOnly(ctx, op, e)
	case Device:
		t, err = s.device(ctx, op, e, d)
	default:
		t, err = s.code(ctx, op, e, d)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if t.Refresh == "" && s.o.flow() != AppOnly {
		return &fetch.Error{Kind: fetch.Auth, Op: op, Err: errors.New("the provider gave no refresh token, so that the mail could be fetched for an hour only"),
			Advice: "add offline_access, or what the provider calls it, to scopes"}
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return s.notKept(err)
	}
	defer unlock()
	return s.notKept(draft.commit(t))
}

// device is RFC 8628.
func (s *Source) device(ctx context.Context, op string, e oauth2.Endpoint, d Dialogue) (token, error) {
	if e.DeviceAuthURL == "" {
		return token{}, &fetch.Error{Kind: fetch.Unsupported, Op: op, Err: errors.New("the provider has no address for device codes"), Advice: "use flow: code"}
	}
	config := s.config(e)
	began := time.Now()
	grant, err := config.DeviceAuth(s.context(ctx))
	if err != nil {
		return token{}, s.failed(op, err, s.o.ClientSecret)
	}
	if err := CheckURL(grant.VerificationURI); err != nil {
		return token{}, s.failed(op, fmt.Errorf("the address to open: %w", err))
	}
	until := grant.Expiry
	if until.IsZero() || until.After(began.Add(loginTime)) {
		until = began.Add(loginTime)
	}
	d.Show(Prompt{URL: fetch.Printable(grant.VerificationURI), Code: fetch.Sanitize(grant.UserCode), Until: until})
	for {
		began = time.Now()
		fresh, err := config.DeviceAccessToken(s.context(ctx), grant)
		var said *oauth2.RetrieveError
		switch {
		case err == nil, errors.As(err, &said) && said.ErrorCode != "", ctx.Err() != nil:
			return s.accept(op, began, fresh, err, grant.DeviceCode)
		case !time.Now().Before(until):
			return token{}, &fetch.Error{Kind: fetch.Auth, Op: op, Err: errors.New("nobody logged in before the code expired"), Advice: s.loginAdvice()}
		}
		// Section 3.5: a lost connection is no answer. It is asked again at the same pace.
	}
}

// code is RFC 6749 section 4.1 with PKCE, the browser coming back to this host (RFC 8252 section 7.3).
func (s *Source) code(ctx context.Context, op string, e oauth2.Endpoint, d Dialogue) (token, error) {
	if e.AuthURL == "" {
		return token{}, &fetch.Error{Kind: fetch.Unsupported, Op: op, Err: errors.New("the provider has no address for authorization codes"), Advice: "give auth_url, or use flow: device"}
	}
	config, verifier, state := s.config(e), oauth2.GenerateVerifier(), rand.Text()
	port := cmp.Or(s.o.RedirectPort, pastedPort)
	var listener net.Listener
	if d.Paste == nil {
		var err error
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.o.RedirectPort))); err != nil {
			return token{}, s.failed(op, err)
		}
		defer listener.Close()
		if bound, ok := listener.Addr().(*net.TCPAddr); ok {
			port = bound.Port
		}
	}
	name := "127.0.0.1"
	if s.o.Provider == Microsoft { // which lets an application register the name only
		name = "localhost"
	}
	config.RedirectURL = fmt.Sprintf("http://%s:%d/", name, port)
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	if s.o.User != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", s.o.User))
	}
	if s.o.Provider == Google {
		// Else it gives a refresh token the first time only.
		options = append(options, oauth2.AccessTypeOffline, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	d.Show(Prompt{URL: config.AuthCodeURL(state, options...), Until: time.Now().Add(loginTime), Redirect: config.RedirectURL})
	answer, err := s.answer(ctx, listener, state, d)
	if err != nil {
		return token{}, s.failed(op, err, verifier)
	}
	code, err := s.codeOf(op, answer, state)
	if err != nil {
		return token{}, err
	}
	began := time.Now()
	fresh, err := config.Exchange(s.context(ctx), code, oauth2.VerifierOption(verifier))
	return s.accept(op, began, fresh, err, code, verifier)
}

// answer waits for what the browser comes back with: at the listener, or by hand.
func (s *Source) answer(ctx context.Context, listener net.Listener, state string, d Dialogue) (url.Values, error) {
	if listener == nil {
		pasted, err := d.Paste(ctx)
		if err != nil {
			return nil, err
		}
		return parsePasted(pasted, state)
	}
	came := make(chan url.Values, 1)
	server := &http.Server{
		Handler: callback(state, came), ReadTimeout: requestTime, WriteTimeout: requestTime, MaxHeaderBytes: maxFile,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	defer func() {
		// The browser gets its page first.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(last) != nil {
			_ = server.Close()
		}
	}()
	select {
	case answer := <-came:
		return answer, nil
	case err := <-ended:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// callback takes the first request that has the right state. Any other program on this host, or page in the
// browser, can send one without.
func callback(state string, came chan<- url.Values) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := r.URL.Query()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Referrer-Policy", "no-referrer") // the address holds the code
		if r.Method != http.MethodGet || r.URL.Path != "/" || !sameState(answer.Get("state"), state) {
			http.Error(w, "This is not what truehop is waiting for.", http.StatusNotFound)
			return
		}
		select {
		case came <- answer:
		default: // once is enough
		}
		_, _ = io.WriteString(w, "truehop has its answer. Close this page and look at the terminal.\n")
	})
}

func sameState(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// parsePasted reads what a person pasted: the address that the browser ended at, its query, or the code alone.
func parsePasted(text, state string) (url.Values, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, errors.New("nothing was pasted")
	}
	_, query, isAddress := strings.Cut(text, "?")
	if !isAddress {
		query = text
	}
	answer, err := url.ParseQuery(query)
	isAnswer := answer.Has("code") || answer.Has("error")
	if err == nil && isAnswer {
		return answer, nil
	}
	if isAddress {
		return nil, errors.New("the address that was pasted holds no code")
	}
	code, err := url.QueryUnescape(text)
	if err != nil || !strings.Contains(text, "%") {
		code = text
	}
	return url.Values{"code": {code}, "state": {state}}, nil
}

// codeOf finds the code in an answer (RFC 6749 section 4.1.2, RFC 9207 section 2.4).
func (s *Source) codeOf(op string, answer url.Values, state string) (string, error) {
	e := &fetch.Error{Kind: fetch.Auth, Op: op, Advice: s.loginAdvice()}
	issuer := answer.Get("iss")
	mixedUp := issuer != "" && s.o.Issuer != "" && issuer != s.o.Issuer
	switch {
	case !sameState(answer.Get("state"), state):
		e.Err = errors.New("the answer belongs to another attempt")
	case mixedUp:
		e.Err = errors.New("the answer comes from another provider")
	case answer.Get("error") != "":
		e.Text = fetch.Sanitize(answer.Get("error") + ": " + answer.Get("error_description"))
	case answer.Get("code") == "":
		e.Err = errors.New("the answer holds no code")
	default:
		return answer.Get("code"), nil
	}
	return "", e
}
