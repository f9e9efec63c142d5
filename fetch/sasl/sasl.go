// Package sasl chooses an authentication mechanism (RFC 4422) and makes its client. The
// mechanisms come from go-sasl and xdg-go/scram. This package adds the choice, the
// mechanisms that those lack, and checks of what a user wrote and a server sends.
//
// No error of this package holds a password or a token.
package sasl

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"github.com/truehop/truehop/fetch"
)

// Names of the mechanisms that [Choose] knows.
const (
	Plain       = "PLAIN"         // RFC 4616
	Login       = "LOGIN"         // draft-murchison-sasl-login
	CRAMMD5     = "CRAM-MD5"      // RFC 2195, only by name
	SCRAMSHA1   = "SCRAM-SHA-1"   // RFC 5802
	SCRAMSHA256 = "SCRAM-SHA-256" // RFC 7677
	External    = "EXTERNAL"      // RFC 4422 appendix A
	XOAUTH2     = "XOAUTH2"       // Google's and Microsoft's, older than the RFC
	OAuthBearer = "OAUTHBEARER"   // RFC 7628

	// The two of SCRAM that are bound to the TLS connection.
	SCRAMSHA1Plus   = SCRAMSHA1 + "-PLUS"
	SCRAMSHA256Plus = SCRAMSHA256 + "-PLUS"

	// These are commands of the protocol and no mechanisms. [Choose] picks them if they are among what is offered; their
	// client cannot be started.
	User = "USER" // shows the password: USER and PASS of RFC 1939 section 7, LOGIN of RFC 9051 section 6.2.3
	APOP = "APOP" // RFC 1939 section 7
)

// Mechanism is the name of a mechanism, in any case, or "" for the best one that a server
// offers. In text it is the word for it.
type Mechanism string

// auto is the word for the best mechanism that is offered.
const auto = "auto"

// Words returns the words for all mechanisms, behind auto the best one first: those that prove a password, then those
// that show an access token.
func (Mechanism) Words() []string {
	words := []string{auto}
	for _, m := range slices.Concat(mechanismsFor(Credentials{}), bearers()) {
		words = append(words, strings.ToLower(m.name))
	}
	return words
}

// OfToken reports whether m shows an access token, and proves no password.
func (m Mechanism) OfToken() bool {
	return slices.ContainsFunc(bearers(), func(b mechanism) bool { return strings.EqualFold(b.name, string(m)) })
}

// String returns the word for m.
func (m Mechanism) String() string { return cmp.Or(strings.ToLower(string(m)), auto) }

// MarshalText returns the word for m.
func (m Mechanism) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads one of [Mechanism.Words].
func (m *Mechanism) UnmarshalText(text []byte) error {
	word := string(text)
	if !slices.Contains(m.Words(), word) {
		return fmt.Errorf("unknown value %.60q; want one of %s", word, strings.Join(m.Words(), ", "))
	}
	if word == auto {
		word = ""
	}
	*m = Mechanism(strings.ToUpper(word))
	return nil
}

// Credentials are what a user has to show. They never print their secret.
type Credentials struct {
	// User is the authentication identity.
	User string
	// Password is the secret for all mechanisms but the two of OAuth 2.
	Password string
	// Token, if not nil, returns an OAuth 2 access token; no other mechanism is
	// used then. It is called once per [Choose].
	Token func(context.Context) (string, error)
	// Mechanism is the one to use; "" means the best one offered.
	Mechanism Mechanism
	// TLS is the state of the connection, which some mechanisms are bound to; nil without TLS.
	TLS *tls.ConnectionState
	// AllowPlaintext lets a password or token be sent as it is over a
	// connection without TLS.
	AllowPlaintext bool
}

// String names the user only.
func (c Credentials) String() string { return "credentials of " + fetch.Sanitize(c.User) }

// GoString names the user only.
func (c Credentials) GoString() string { return c.String() }

// LogValue names the user only.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A mechanism that shows the secret itself to the server needs TLS.
type mechanism struct {
	name  string
	shows bool
	auto  bool
	make  func(c Credentials, token string) (sasl.Client, error)
}

// mechanismsFor lists, best first, what these credentials can be used with.
func mechanismsFor(c Credentials) []mechanism {
	if c.Token != nil {
		return bearers()
	}
	scramBy := func(name string, hash scram.HashGeneratorFcn) mechanism {
		return mechanism{name, false, true, func(c Credentials, _ string) (sasl.Client, error) { return newSCRAM(name, hash, c) }}
	}
	return []mechanism{
		scramBy(SCRAMSHA256Plus, scram.SHA256),
		scramBy(SCRAMSHA1Plus, scram.SHA1),
		scramBy(SCRAMSHA256, scram.SHA256),
		scramBy(SCRAMSHA1, scram.SHA1),
		{Plain, true, true, func(c Credentials, _ string) (sasl.Client, error) {
			return sasl.NewPlainClient("", c.User, c.Password), nil
		}},
		{Login, true, true, func(c Credentials, _ string) (sasl.Client, error) {
			return &loginClient{answers: []string{c.User, c.Password}}, nil
		}},
		{User, true, true, func(Credentials, string) (sasl.Client, error) { return command(User), nil }},
		// These two rest on MD5 and make the server keep the password itself: only where nothing else is offered.
		{CRAMMD5, false, true, func(c Credentials, _ string) (sasl.Client, error) {
			return &cramClient{user: c.User, password: c.Password}, nil
		}},
		{APOP, false, true, func(Credentials, string) (sasl.Client, error) { return command(APOP), nil }},
		{External, false, false, func(c Credentials, _ string) (sasl.Client, error) { return sasl.NewExternalClient(c.User), nil }},
	}
}

// bearers are the mechanisms that show an access token. XOAUTH2 comes first: it is the one that every provider documents.
func bearers() []mechanism {
	return []mechanism{
		{XOAUTH2, true, true, newXOAUTH2},
		{OAuthBearer, true, true, newOAuthBearer},
	}
}

// Choose picks a mechanism from those that the server offered (in any case) and
// makes its client. secure says that the connection is under TLS.
//
// The caller drives the client and, once the server has reported success, calls
// [Finish] with it. Errors are [*fetch.Error]: of Kind Auth when no mechanism is
// acceptable or the credentials cannot be sent by it; what Token returned
// is passed on if it is one itself.
func Choose(ctx context.Context, offered []string, c Credentials, secure bool) (name string, client sasl.Client, err error) {
	if err := check(c); err != nil {
		return "", nil, refusal(err.Error(), "")
	}
	m, err := pick(offered, c, secure)
	if err != nil {
		return "", nil, err
	}
	token := ""
	if c.Token != nil {
		if token, err = fetchToken(ctx, c.Token); err != nil {
			return "", nil, err
		}
	}
	client, err = m.make(c, token)
	if err != nil {
		return "", nil, refusal(m.name+": "+err.Error(), "")
	}
	return m.name, &bounded{Client: client, name: m.name, secret: cmp.Or(token, c.Password)}, nil
}

// pick returns the best mechanism among those offered that c can and may be used with.
func pick(offered []string, c Credentials, secure bool) (mechanism, error) {
	withheld, free := "", c.Mechanism == ""
	for _, m := range mechanismsFor(c) {
		wanted := strings.EqualFold(string(c.Mechanism), m.name)
		if free {
			wanted = m.auto
		}
		if !wanted || !slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, m.name) }) {
			continue
		}
		if m.shows && !secure && !c.AllowPlaintext {
			withheld = m.name
			continue
		}
		if free && c.Token == nil {
			// SASLprep (RFC 4013) refuses passwords that PLAIN would carry as they are.
			if _, err := m.make(c, ""); err != nil {
				continue
			}
		}
		return m, nil
	}
	if withheld != "" {
		return mechanism{}, refusal(withheld+" would show the secret on a connection without TLS", "use TLS")
	}
	shown := "none"
	offered = slices.DeleteFunc(slices.Clone(offered), func(o string) bool { return o == User || o == APOP })
	if len(offered) > 0 {
		shown = fetch.Sanitize(strings.Join(offered[:min(len(offered), 20)], " "))
	}
	hint := "the server takes no OAuth 2 token here"
	switch {
	case c.Mechanism != "":
		hint = "the server does not offer " + fetch.Sanitize(string(c.Mechanism))
	case c.Token == nil:
		hint = "the server may want OAuth 2 or an application password"
	}
	return mechanism{}, refusal("no acceptable mechanism among those offered: "+shown, hint)
}

// check refuses credentials that would be read as something else. NUL separates
// the fields of PLAIN, and no mechanism here allows it.
func check(c Credentials) error {
	switch {
	case c.User == "":
		return errors.New("no user name")
	case c.Token == nil && c.Password == "" && !strings.EqualFold(string(c.Mechanism), External):
		return errors.New("no password")
	case strings.ContainsRune(c.User, 0) || strings.ContainsRune(c.Password, 0):
		return errors.New("NUL in the user name or password")
	}
	return nil
}

func fetchToken(ctx context.Context, source func(context.Context) (string, error)) (string, error) {
	token, err := source(ctx)
	var classified *fetch.Error
	switch {
	case err == nil && token == "":
		return "", refusal("empty access token", "")
	case err == nil:
		return token, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &classified):
		return "", err
	}
	return "", &fetch.Error{Kind: fetch.Unclassified, Op: "access token", Err: err}
}

func refusal(why, hint string) *fetch.Error {
	return &fetch.Error{Kind: fetch.Auth, Op: "authentication", Advice: hint, Err: errors.New(why)}
}

// Finish is called when the server has reported success. It fails if the
// mechanism has the server prove itself (SCRAM, RFC 5802 section 3) and it did not.
func Finish(client sasl.Client) error {
	if b, ok := client.(*bounded); ok {
		client = b.Client
	}
	s, isSCRAM := client.(*scramClient)
	if !isSCRAM {
		return nil
	}
	if s.failed || !s.conv.Valid() {
		return &fetch.Error{Kind: fetch.Protocol, Op: "authentication",
			Err: errors.New("the server did not prove that it knows the password")}
	}
	return nil
}

// Explain adds to a server's refusal what it said of the access token before, in a challenge.
func Explain(client sasl.Client, err error) error {
	if b, ok := client.(*bounded); ok {
		client = b.Client
	}
	bearer, ok := client.(*bearerClient)
	var refused *fetch.Error
	if !ok || bearer.status == "" || !errors.As(err, &refused) {
		return err
	}
	amended := *refused
	amended.Text = fetch.Sanitize("status " + bearer.status + ", " + amended.Text)
	return &amended
}

// maxChallenge bounds a server's challenge, in octets: it is far above any
// that a mechanism here needs.
const maxChallenge = 16 << 10

// bounded makes every error of a mechanism a *fetch.Error without the challenge.
type bounded struct {
	sasl.Client
	name   string
	secret string // what the server must not be quoted with
	steps  int
}

// Next refuses challenges without end and classifies what the mechanism refuses.
func (b *bounded) Next(challenge []byte) ([]byte, error) {
	b.steps++
	if len(challenge) > maxChallenge || b.steps > 8 {
		return nil, &fetch.Error{Kind: fetch.Protocol, Op: b.name, Err: errors.New("challenges without end")}
	}
	response, err := b.Client.Next(challenge)
	var classified *fetch.Error
	if err != nil && !errors.As(err, &classified) {
		return nil, &fetch.Error{Kind: fetch.Auth, Op: b.name, Err: err}
	}
	return response, err
}
