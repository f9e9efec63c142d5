// Package oauth obtains OAuth 2 access tokens (RFC 6749) for upstream mailboxes, keeps them in a file
// and refreshes them ahead of their end: by the authorization code with PKCE (RFC 7636) on a loopback
// redirect (RFC 8252), by a device code (RFC 8628), and for an application of its own right by its
// credentials, a secret or a certificate (RFC 7523).
//
// Processes share a token by its file. Only one of them refreshes it at a time, and a refresh token that the
// server has replaced is on disk before the access token that came with it is used.
//
// No error of this package holds a token, a code or a secret.
package oauth

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// Provider is who issues the tokens: it decides addresses, scopes and flow where these are not given.
type Provider string

// The providers.
const (
	Google    Provider = "google"
	Microsoft Provider = "microsoft"
	// Other is any other, by its addresses or by those that its issuer publishes.
	Other Provider = "other"
)

// Words returns the words for all providers.
func (Provider) Words() []string { return []string{string(Google), string(Microsoft), string(Other)} }

// MarshalText returns the word for p.
func (p Provider) MarshalText() ([]byte, error) { return []byte(p), nil }

// UnmarshalText reads one of [Provider.Words].
func (p *Provider) UnmarshalText(text []byte) error {
	return setWord(p, p.Words(), text)
}

// Flow is how the first token is obtained. "" is the provider's usual one.
type Flow string

// The flows.
const (
	// Code is the authorization code with PKCE: the browser comes back to a port of this host.
	Code Flow = "code"
	// Device is the device code: the browser may be anywhere.
	Device Flow = "device"
	// AppOnly is the application's own right (client credentials): nobody logs in.
	AppOnly Flow = "app-only"
)

// auto is the word for the provider's usual flow.
const auto = "auto"

// Words returns the words for all flows, auto first.
func (Flow) Words() []string { return []string{auto, string(Code), string(Device), string(AppOnly)} }

// String returns the word for f.
func (f Flow) String() string { return cmp.Or(string(f), auto) }

// MarshalText returns the word for f.
func (f Flow) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads one of [Flow.Words].
func (f *Flow) UnmarshalText(text []byte) error {
	err := setWord(f, f.Words(), text)
	if *f == auto {
		*f = ""
	}
	return err
}

func setWord[T ~string](to *T, words []string, text []byte) error {
	if !slices.Contains(words, string(text)) {
		return fmt.Errorf("unknown value %.60q; want one of %s", text, strings.Join(words, ", "))
	}
	*to = T(text)
	return nil
}

// Options say whose tokens are obtained, where and as which application. They never print a secret.
type Options struct {
	// Account names the account in advice, User is who logs in at the provider.
	Account, User string
	Provider      Provider
	// Tenant is Microsoft's directory: a domain, an id, or "" for common.
	Tenant string
	Flow   Flow
	// ClientID is the application as it is registered at the provider. ClientSecret and Certificate, of which
	// one may be given, prove it.
	ClientID     string
	ClientSecret string
	Certificate  *Certificate
	// Scopes are what is asked for; nil means what the provider wants for IMAP, or for POP3 if that is set.
	Scopes []string
	POP3   bool
	// AuthURL, TokenURL and DeviceURL take the place of the provider's addresses. Issuer is where another
	// provider publishes them (OpenID Connect Discovery 1.0 section 4).
	AuthURL, TokenURL, DeviceURL, Issuer string
	// RedirectPort is the port of this host that the browser comes back to; 0 means any that is free.
	RedirectPort int
	// TokenFile is where the tokens are kept.
	TokenFile string
	// Transport carries the requests; nil means TLS 1.2 and later, verified by the system's authorities. In
	// no case are requests sent without TLS, except to this host.
	Transport http.RoundTripper
}

// String names the application only.
func (o Options) String() string { return "OAuth 2 as " + fetch.Sanitize(o.ClientID) }

// GoString names the application only.
func (o Options) GoString() string { return o.String() }

// LogValue names the application only.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// flow is the one to use. Google's device flow has no scope for mail.
func (o *Options) flow() Flow {
	switch {
	case o.Flow != "":
		return o.Flow
	case o.Provider == Microsoft:
		return Device
	}
	return Code
}

// scopes are what is asked for.
func (o *Options) scopes() []string {
	switch {
	case o.Scopes != nil:
		return o.Scopes
	case o.Provider == Google:
		return []string{"https://mail.google.com/"}
	case o.Provider != Microsoft:
		return nil
	case o.flow() == AppOnly:
		return []string{"https://outlook.office365.com/.default"}
	case o.POP3:
		return []string{"https://outlook.office.com/POP.AccessAsUser.All", "offline_access"}
	}
	return []string{"https://outlook.office.com/IMAP.AccessAsUser.All", "offline_access"}
}

// authority is what a token is bound to: it is never shown to another.
func (o *Options) authority() string {
	switch {
	case o.TokenURL != "":
		return o.TokenURL
	case o.Issuer != "":
		return o.Issuer
	}
	return providerEndpoint(o).TokenURL
}

// Source hands out the access tokens of one account, for one login. It is used by one goroutine; others have sources of
// their own.
type Source struct {
	o     Options
	http  *http.Client
	store store
	// fresh is the access token that this source has obtained, "" if none.
	fresh string
}

// New makes the source that options describe. It neither reads the file nor connects to anybody.
func New(o Options) *Source {
	return &Source{o: o, http: client(o.Transport), store: newStore(o.TokenFile)}
}

// String names the application only.
func (s *Source) String() string { return s.o.String() }

// GoString names the application only.
func (s *Source) GoString() string { return s.String() }

// LogValue names the application only.
func (s *Source) LogValue() slog.Value { return s.o.LogValue() }
