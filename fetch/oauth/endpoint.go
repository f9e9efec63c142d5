package oauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/endpoints"
)

const (
	// requestTime bounds one request with its reply.
	requestTime = 30 * time.Second
	// maxReply bounds a reply, in octets. Microsoft's tokens have several thousand.
	maxReply = 256 << 10
)

// providerEndpoint are the addresses of a provider that is known by its name.
func providerEndpoint(o *Options) oauth2.Endpoint {
	switch o.Provider {
	case Google:
		return endpoints.Google
	case Microsoft:
		return endpoints.AzureAD(o.Tenant)
	}
	return oauth2.Endpoint{}
}

// endpoint finds the addresses and how the client proves itself there.
func (s *Source) endpoint(ctx context.Context) (oauth2.Endpoint, error) {
	e := providerEndpoint(&s.o)
	// Google and Microsoft take id and secret in the request. Any other must take a secret by HTTP Basic (RFC
	// 6749 section 2.3.1); a client without one names itself in the request.
	e.AuthStyle = oauth2.AuthStyleInParams
	if s.o.Provider == Other && s.o.ClientSecret != "" {
		e.AuthStyle = oauth2.AuthStyleInHeader
	}
	if s.o.Issuer != "" {
		found, err := s.discover(ctx)
		if err != nil {
			return e, err
		}
		e.AuthURL, e.TokenURL, e.DeviceAuthURL = found.AuthURL, found.TokenURL, found.DeviceURL
		methods := found.AuthMethods
		if !slices.Contains(methods, "client_secret_basic") && slices.Contains(methods, "client_secret_post") {
			e.AuthStyle = oauth2.AuthStyleInParams
		}
	}
	e.AuthURL = cmp.Or(s.o.AuthURL, e.AuthURL)
	e.TokenURL = cmp.Or(s.o.TokenURL, e.TokenURL)
	e.DeviceAuthURL = cmp.Or(s.o.DeviceURL, e.DeviceAuthURL)
	for _, address := range []string{e.AuthURL, e.TokenURL, e.DeviceAuthURL} {
		if address == "" {
			continue // it is missed where it is needed
		}
		if err := CheckURL(address); err != nil {
			return e, fmt.Errorf("the provider's address: %w", err)
		}
	}
	if e.TokenURL == "" {
		return e, errors.New("the provider has no address for tokens")
	}
	return e, nil
}

// metadata is what we read of an issuer's configuration (OpenID Connect Discovery 1.0 section 3, RFC 8628 section 4).
type metadata struct {
	Issuer      string   `json:"issuer"`
	AuthURL     string   `json:"authorization_endpoint"`
	TokenURL    string   `json:"token_endpoint"`
	DeviceURL   string   `json:"device_authorization_endpoint"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
}

// discover reads an issuer's configuration.
func (s *Source) discover(ctx context.Context) (metadata, error) {
	var m metadata
	address := strings.TrimSuffix(s.o.Issuer, "/") + "/.well-known/openid-configuration"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return m, err
	}
	reply, err := s.http.Do(req)
	if err != nil {
		return m, err
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return m, fmt.Errorf("the issuer's configuration: HTTP status %d", reply.StatusCode)
	}
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("the issuer's configuration: %w", err)
	}
	// Section 4.3: it must be the very one that was asked for.
	if m.Issuer != s.o.Issuer {
		return m, fmt.Errorf("the issuer's configuration is that of another issuer, %.100q", m.Issuer)
	}
	return m, nil
}

// CheckURL says what is wrong with an address that secrets are sent to: it must be of https, or of http
// on this host.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%.100q is no address of the form https://HOST/PATH", address)
	}
	if u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%.100q holds a user name or a fragment", u.Redacted())
	}
	return secure(u)
}

func secure(u *url.URL) error {
	local := u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()
	switch {
	case u.Scheme == "https", u.Scheme == "http" && local:
		return nil
	}
	return fmt.Errorf("%.100q is not of https", u.Scheme+"://"+u.Host)
}

// client makes the HTTP client for all requests. It keeps no connection: there is a request an hour.
func client(base http.RoundTripper) *http.Client {
	if base == nil {
		base = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: requestTime}).DialContext,
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return &http.Client{
		Transport: &guarded{base},
		// What is sent is for one address. A redirection is an error by its status then.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// guarded sends no request without TLS, and brings each reply whole, in bounded time and of bounded length.
type guarded struct{ base http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (g *guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := secure(req.URL); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(req.Context(), requestTime, fmt.Errorf("no answer within %v", requestTime))
	defer cancel()
	reply, err := g.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxReply+1))
	if err != nil {
		return nil, cmp.Or(context.Cause(ctx), err)
	}
	if len(body) > maxReply {
		return nil, fmt.Errorf("the reply has more than %d octets", maxReply)
	}
	reply.Body = io.NopCloser(bytes.NewReader(body))
	return reply, nil
}
