package oauth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/truehop/truehop/fetch"
)

// maxToken bounds a token, in octets.
const maxToken = 16 << 10

// Token returns an access token that can be used for a while, and renews it first where that is needed. Errors are
// [*fetch.Error] or the context's: of Kind Auth where a person has to log in.
func (s *Source) Token(ctx context.Context) (string, error) { return s.get(ctx, "") }

// Renew is Token for one whose token the mail server has refused, whatever its end: by then another process may have
// renewed it, else it is done now. A token that this source has just obtained is returned again.
func (s *Source) Renew(ctx context.Context, refused string) (string, error) {
	return s.get(ctx, refused)
}

func (s *Source) get(ctx context.Context, refused string) (string, error) {
	t, err := s.load()
	if err != nil {
		return "", err
	}
	if t.usable(time.Now()) && t.Access != refused {
		return t.Access, nil
	}
	if refused != "" && refused == s.fresh {
		return refused, nil // it has only just been issued: another would not be better
	}
	unlock, err := s.store.lock(ctx)
	if err != nil {
		return "", s.notKept(err)
	}
	defer unlock()
	// Another process may have renewed it in the meantime.
	if t, err = s.load(); err != nil {
		return "", err
	}
	if t.usable(time.Now()) && t.Access != refused {
		return t.Access, nil
	}
	// A token that is asked for is waited for even if ctx ends: the server may have replaced the refresh token by then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*requestTime)
	defer cancel()
	t, err = s.replace(ctx, t)
	s.fresh = t.Access
	return t.Access, err
}

// load reads the token and sees to it that it is shown to nobody but who issued it. An application of its own
// right needs none to begin with.
func (s *Source) load() (token, error) {
	t, err := s.store.read()
	own := t.Client == s.o.ClientID && t.Authority == s.o.authority()
	missing := errors.Is(err, errNoToken)
	switch {
	case s.o.flow() == AppOnly && missing:
		return token{}, nil
	case missing:
		return t, &fetch.Error{Kind: fetch.Auth, Op: "access token", Err: err, Advice: s.loginAdvice()}
	case err != nil:
		return t, &fetch.Error{Kind: fetch.Auth, Op: "access token", Err: err}
	case s.o.flow() == AppOnly && !own:
		return token{}, nil
	case !own:
		return t, &fetch.Error{Kind: fetch.Auth, Op: "access token", Advice: s.loginAdvice(),
			Err: errors.New("the stored token was issued to another application or by another provider")}
	}
	return t, nil
}

// replace puts a new token in the place of old. The caller holds the lock.
func (s *Source) replace(ctx context.Context, old token) (token, error) {
	draft, err := s.store.begin()
	if err != nil {
		return token{}, s.notKept(err)
	}
	defer draft.abandon()
	fresh, err := s.renew(ctx, old)
	if err != nil {
		return token{}, err
	}
	if fresh.Refresh == "" {
		fresh.Refresh = old.Refresh // RFC 6749 section 6: the old one stays
	}
	if err := draft.commit(fresh); err != nil {
		return token{}, s.notKept(err)
	}
	return fresh, nil
}

// notKept says that tokens could not be stored, and nil for nil.
func (s *Source) notKept(err error) error {
	err = s.failed("keep the access token", err)
	var e *fetch.Error
	if errors.As(err, &e) && errors.Is(err, fs.ErrPermission) {
		e.Advice = "run it as the user who fetches the mail; the directory of the token file must be that user's"
	}
	return err
}

// renew asks for a new access token: by the refresh token, or by the application's own right.
func (s *Source) renew(ctx context.Context, t token) (token, error) {
	const op = "renew the access token"
	e, err := s.endpoint(ctx)
	if err != nil {
		return t, s.failed(op, err)
	}
	if s.o.flow() == AppOnly {
		return s.appOnly(ctx, op, e)
	}
	if t.Refresh == "" {
		return t, &fetch.Error{Kind: fetch.Auth, Op: op, Err: errors.New("the provider gave no refresh token"), Advice: s.loginAdvice()}
	}
	began := time.Now()
	fresh, err := s.config(e).TokenSource(s.context(ctx), &oauth2.Token{RefreshToken: t.Refresh}).Token()
	return s.accept(op, began, fresh, err, t.Refresh)
}

// appOnly is RFC 6749 section 4.4, with a client assertion (RFC 7523 section 2.2) where there is a certificate.
func (s *Source) appOnly(ctx context.Context, op string, e oauth2.Endpoint) (token, error) {
	began := time.Now()
	c := clientcredentials.Config{
		ClientID: s.o.ClientID, ClientSecret: s.o.ClientSecret,
		TokenURL: e.TokenURL, AuthStyle: e.AuthStyle, Scopes: s.o.scopes(),
	}
	assertion := ""
	if s.o.Certificate != nil {
		var err error
		if assertion, err = s.o.Certificate.assertion(s.o.ClientID, e.TokenURL, began); err != nil {
			return token{}, s.failed(op, err)
		}
		c.ClientSecret, c.AuthStyle = "", oauth2.AuthStyleInParams
		c.EndpointParams = url.Values{
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {assertion},
		}
	}
	fresh, err := c.Token(s.context(ctx))
	return s.accept(op, began, fresh, err, assertion)
}

// config is the application at these addresses.
func (s *Source) config(e oauth2.Endpoint) *oauth2.Config {
	return &oauth2.Config{ClientID: s.o.ClientID, ClientSecret: s.o.ClientSecret, Endpoint: e, Scopes: s.o.scopes()}
}

// context has the library send its requests by our client.
func (s *Source) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, s.http)
}

// accept makes a token of what the library returned. The time that it took is part of the token's life. secrets are those
// that were sent.
func (s *Source) accept(op string, began time.Time, from *oauth2.Token, err error, secrets ...string) (token, error) {
	if err != nil {
		return token{}, s.failed(op, err, append(secrets, s.o.ClientSecret)...)
	}
	lifetime := usualLifetime
	if !from.Expiry.IsZero() {
		lifetime = max(0, time.Until(from.Expiry))
	}
	t := token{
		Access: from.AccessToken, Refresh: from.RefreshToken, Issued: began.UTC().Round(0), Expires: began.Add(lifetime).UTC().Round(0),
		Client: s.o.ClientID, Authority: s.o.authority(),
	}
	why := ""
	switch {
	case !strings.EqualFold(from.Type(), "bearer"):
		why = "the provider gave a token of another type than Bearer"
	case !plain(t.Access) || !plain(t.Refresh):
		why = "the provider gave a token with characters that none has"
	case len(t.Access) > maxToken || len(t.Refresh) > maxToken:
		why = fmt.Sprintf("the provider gave a token of more than %d octets", maxToken)
	default:
		return t, nil
	}
	return token{}, &fetch.Error{Kind: fetch.Unclassified, Op: op, Err: errors.New(why)}
}

// plain reports whether s could be a token (RFC 6749 appendix A.12: VSCHAR).
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// Status is what is known of a token without asking anybody.
type Status struct {
	// Expires is when the access token ends.
	Expires time.Time
	// Renewable says that it is renewed without a person.
	Renewable bool
}

// Status reads the token. Where there is none, or none that can be used, the error is of Kind Auth.
func (s *Source) Status() (Status, error) {
	t, err := s.load()
	if err != nil {
		return Status{}, err
	}
	return Status{Expires: t.Expires, Renewable: t.Refresh != "" || s.o.flow() == AppOnly}, nil
}
