package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch/oauth"
	upstream "github.com/truehop/truehop/fetch/sasl"
)

// tokens hands out access tokens.
type tokens interface {
	// Token returns one that should be good, Renew one in the place of another that the server has refused. Where there
	// is no better it is the same.
	Token(ctx context.Context) (string, error)
	Renew(ctx context.Context, refused string) (string, error)
}

// commandTokens are those that an account's token_command prints.
type commandTokens struct{ account *config.Account }

func (c commandTokens) Token(ctx context.Context) (string, error) {
	token, err := c.account.Token(ctx)
	return token.Reveal(), err
}

func (c commandTokens) Renew(ctx context.Context, _ string) (string, error) { return c.Token(ctx) }

// OAuthOptions says how an account obtains its access tokens.
func OAuthOptions(a *config.Account) (oauth.Options, error) {
	o := &a.OAuth
	secret, certificate, err := o.ClientSecret()
	if err != nil {
		return oauth.Options{}, err
	}
	return oauth.Options{
		Account: a.Name, User: a.User, Provider: o.Provider, Tenant: o.Tenant, Flow: o.Flow,
		ClientID: o.ClientID, ClientSecret: secret.Reveal(), Certificate: certificate,
		Scopes: o.Scopes, POP3: a.Protocol == config.POP3,
		AuthURL: o.AuthURL, TokenURL: o.TokenURL, DeviceURL: o.DeviceURL, Issuer: o.Issuer,
		RedirectPort: o.RedirectPort, TokenFile: o.TokenFile,
	}, nil
}

// Tokens is where an account with the key oauth has its access tokens from.
func Tokens(a *config.Account) (*oauth.Source, error) {
	o, err := OAuthOptions(a)
	if err != nil {
		return nil, err
	}
	return oauth.New(o), nil
}

// Proof is what an account shows its upstream: a password, or an access token.
type Proof struct {
	upstream.Credentials
	source tokens // nil with a password
	// next is the token to be shown next, shown the one that was.
	next, shown string
}

// Prove readies what an account shows its upstream. It asks nobody for a token yet.
func Prove(ctx context.Context, a *config.Account) (*Proof, error) {
	p := &Proof{Credentials: upstream.Credentials{User: a.User, Mechanism: a.Auth, AllowPlaintext: a.AllowPlaintext}}
	switch {
	case a.Auth == upstream.External: // by the certificate of TLS
		return p, nil
	case a.OAuth.Provider != "":
		source, err := Tokens(a)
		if err != nil {
			return nil, err
		}
		p.source = source
	case a.UsesTokens():
		p.source = commandTokens{a}
	default:
		password, err := a.Password(ctx)
		if err != nil {
			return nil, err
		}
		p.Password = password.Reveal()
		return p, nil
	}
	p.Token = func(ctx context.Context) (string, error) {
		err := p.fetch(ctx)
		p.shown = p.next
		return p.shown, err
	}
	return p, nil
}

// fetch has a token ready, where tokens are shown: to renew one may take longer than a server waits for a login.
func (p *Proof) fetch(ctx context.Context) error {
	if p.source == nil || p.next != "" {
		return nil
	}
	var err error
	p.next, err = p.source.Token(ctx)
	return err
}

// renewed puts another token in the place of the one that the server has refused, and reports false where there is none.
func (p *Proof) renewed(ctx context.Context) (bool, error) {
	if p.shown == "" {
		return false, nil
	}
	var err error
	p.next, err = p.source.Renew(ctx, p.shown)
	return err == nil && p.next != p.shown, err
}

// loginHint says what to do where the upstream refused the credentials.
func loginHint(a *config.Account) string {
	protocol := strings.ToUpper(a.Protocol.String())
	switch {
	case a.OAuth.Provider != "" && a.OAuth.Flow == oauth.AppOnly:
		return fmt.Sprintf("see whether the application may read the mailbox of accounts.%s.user, and %s is switched on for it", a.Name, protocol)
	case a.OAuth.Provider != "":
		return fmt.Sprintf("run truehop login %s, and log in there as accounts.%s.user; %s must be switched on for it", a.Name, a.Name, protocol)
	case a.UsesTokens():
		return fmt.Sprintf("see whether accounts.%s.token_command prints a good token for accounts.%s.user", a.Name, a.Name)
	}
	needs, page := a.Needs()
	if needs == "" {
		needs = fmt.Sprintf("many providers want one made for programs, and %s switched on", protocol)
	}
	if page != "" {
		needs += ": see " + page
	}
	return fmt.Sprintf("correct accounts.%s.user or the password; %s", a.Name, needs)
}
