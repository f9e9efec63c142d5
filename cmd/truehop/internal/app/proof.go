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

// Credentials are what an account shows its upstream. They change where the server refuses an access token: renewed
// then puts another in its place, and reports false where there is none.
func Credentials(ctx context.Context, a *config.Account) (c upstream.Credentials, renewed func(context.Context) (bool, error), err error) {
	c = upstream.Credentials{User: a.User, Mechanism: a.Auth, AllowPlaintext: a.AllowPlaintext}
	if a.Auth == upstream.External { // by the certificate of TLS
		return c, func(context.Context) (bool, error) { return false, nil }, nil
	}
	if !a.UsesTokens() {
		password, err := a.Password(ctx)
		c.Password = password.Reveal()
		return c, func(context.Context) (bool, error) { return false, nil }, err
	}
	var source tokens = commandTokens{a}
	if a.OAuth.Provider != "" {
		if source, err = Tokens(a); err != nil {
			return c, nil, err
		}
	}
	// next is what is shown next, shown what was.
	next, shown := "", ""
	c.Token = func(ctx context.Context) (string, error) {
		var err error
		if next == "" {
			next, err = source.Token(ctx)
		}
		shown = next
		return shown, err
	}
	renewed = func(ctx context.Context) (bool, error) {
		if shown == "" {
			return false, nil // none was refused
		}
		next, err = source.Renew(ctx, shown)
		return err == nil && next != shown, err
	}
	return c, renewed, nil
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
	return fmt.Sprintf("correct accounts.%s.user or the password; many providers want one made for programs, and %s switched on", a.Name, protocol)
}
