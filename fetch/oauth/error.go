package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/truehop/truehop/fetch"
)

// failed classifies what a request ended with. Where the server says that the user has to log in again, it is of Kind
// Auth; anything else may pass. secrets are what the request held: words that quote them are withheld.
func (s *Source) failed(op string, err error, secrets ...string) error {
	var known *fetch.Error
	var said *oauth2.RetrieveError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.As(err, &said):
		return s.refused(op, said, secrets)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	var where *url.Error
	if errors.As(err, &where) {
		host := "the provider"
		if u, err := url.Parse(where.URL); err == nil {
			host = u.Host // without the query
		}
		err = fmt.Errorf("%s: %w", host, where.Err)
	}
	e := &fetch.Error{Kind: fetch.Unclassified, Op: op, Err: err}
	if quotes(err.Error(), secrets) {
		e.Err = errors.New("the error quotes a secret and is withheld")
	}
	return e
}

// refused classifies the provider's refusal (RFC 6749 section 5.2, RFC 8628 section 3.5, OpenID Connect Core section 3.1.2.6).
func (s *Source) refused(op string, said *oauth2.RetrieveError, secrets []string) *fetch.Error {
	e := &fetch.Error{Kind: fetch.Unclassified, Op: op}
	status := 0
	if said.Response != nil {
		status = said.Response.StatusCode
	}
	words := strings.TrimSpace(said.ErrorCode + ": " + said.ErrorDescription)
	switch {
	case said.ErrorCode == "":
		e.Err = fmt.Errorf("the provider answers with HTTP status %d", status)
	case quotes(words, secrets):
		e.Err = errors.New("the provider echoed a secret, its words are withheld")
	default:
		e.Text = fetch.Sanitize(strings.TrimSuffix(words, ":"))
	}
	switch said.ErrorCode {
	case "invalid_grant", "interaction_required", "login_required", "consent_required":
		e.Kind, e.Advice = fetch.Auth, s.loginAdvice()
	case "invalid_client", "unauthorized_client":
		e.Advice = "see whether client_id and its secret or certificate are those registered at the provider, and have not expired"
	case "invalid_scope":
		e.Advice = "see whether the provider lets this application ask for these scopes"
	case "access_denied":
		e.Kind, e.Advice = fetch.Auth, "somebody said no at the provider; "+s.loginAdvice()
	case "expired_token":
		e.Kind, e.Advice = fetch.Auth, "it took too long; "+s.loginAdvice()
	}
	return e
}

func (s *Source) loginAdvice() string { return "run truehop login " + s.o.Account }

// leastQuote is how much of a secret words must hold to be withheld, in octets.
const leastQuote = 12

// quotes reports whether words hold a secret or a part of one, as it is or as it stands in a request.
func quotes(words string, secrets []string) bool {
	for _, secret := range secrets {
		for _, form := range []string{secret, url.QueryEscape(secret)} {
			size := min(leastQuote, len(form))
			for i := 0; size > 0 && i+size <= len(form); i++ {
				if strings.Contains(words, form[i:i+size]) {
					return true
				}
			}
		}
	}
	return false
}
