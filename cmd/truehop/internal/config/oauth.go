package config

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/truehop/truehop/fetch/oauth"
	"github.com/truehop/truehop/fetch/sasl"
)

// UsesTokens reports whether the account shows access tokens, and proves no password.
func (a *Account) UsesTokens() bool { return len(a.TokenCommand) > 0 || a.OAuth.Provider != "" }

// Token runs token_command. The error is a [*SecretError].
func (a *Account) Token(ctx context.Context) (Secret, error) {
	data, err := a.run(ctx, a.TokenCommand)
	if err == nil {
		data, err = firstLine(data)
	}
	if err != nil {
		return Secret{}, &SecretError{Source: "token_command " + a.TokenCommand[0], Err: err}
	}
	return NewSecret(string(data)), nil
}

// ClientSecret reads what proves the application, as far as there is anything. The error is a [*SecretError].
func (o *OAuth) ClientSecret() (Secret, *oauth.Certificate, error) {
	if o.ClientSecretFile != "" {
		data, err := readPrivate(o.ClientSecretFile)
		if err == nil {
			data, err = firstLine(data)
		}
		if err != nil {
			return Secret{}, nil, &SecretError{Source: "oauth.client_secret_file " + o.ClientSecretFile, Err: err}
		}
		return NewSecret(string(data)), nil, nil
	}
	if o.CertificateFile == "" {
		return Secret{}, nil, nil
	}
	var certificate *oauth.Certificate
	data, err := readPrivate(o.CertificateFile)
	if err == nil {
		certificate, err = oauth.ParseCertificate(data)
	}
	if err != nil {
		return Secret{}, nil, &SecretError{Source: "oauth.certificate_file " + o.CertificateFile, Err: err}
	}
	return Secret{}, certificate, nil
}

// login checks how an account proves itself: by one password, by one source of access tokens, or by the certificate of its TLS.
func (k checker) login(at string, a *Account) {
	var sources []string
	if len(a.TokenCommand) > 0 {
		sources = append(sources, "token_command")
	}
	if k.given(at+"/oauth") || !reflect.ValueOf(a.OAuth).IsZero() {
		sources = append(sources, "oauth")
		k.oauth(at+"/oauth/", &a.OAuth)
	}
	k.program(at+"/token_command", a.TokenCommand)
	if a.Auth == sasl.External {
		if a.User == "" {
			k.wrong(at+"/user", "is missing; give the login name")
		}
		switch beside := slices.Concat(a.sources(), sources); {
		case a.TLS == NoTLS:
			k.wrong(at+"/auth", "external is by the client certificate of TLS, and tls is none")
		case a.TLSCertFile == "":
			k.wrong(at+"/auth", "external is by a client certificate, and there is none; name its file in tls_cert_file")
		case len(beside) > 0:
			k.warn(at+"/"+beside[0], "has no effect with auth: external, which is by client certificate; remove it")
		}
		return
	}
	k.credentials(at, &a.Credentials, tokenKeys(), sources)
	if a.Auth == sasl.APOP && a.Protocol != POP3 {
		k.wrong(at+"/auth", "apop is POP3 only; use auto, or set protocol: pop3")
	}
	switch {
	case a.Auth.OfToken() && len(sources) == 0:
		k.wrong(at+"/auth", "%s shows an access token, and there is none; give oauth or token_command", a.Auth)
	case a.Auth != "" && !a.Auth.OfToken() && len(sources) > 0:
		k.wrong(at+"/auth", "%s proves a password, and there is %s; use xoauth2, oauthbearer or auto", a.Auth, sources[0])
	}
}

// oauth checks that an application can prove itself and obtain tokens by what is given.
func (k checker) oauth(at string, o *OAuth) {
	if o.Provider == "" && !k.bad[at+"provider"] {
		k.wrong(at+"provider", "is missing; want one of %s", strings.Join(o.Provider.Words(), ", "))
	}
	if o.ClientID == "" && !k.bad[at+"client_id"] {
		k.wrong(at+"client_id", "is missing; register an application at the provider (examples/oauth2.md says how) and give its id")
	}
	switch {
	case o.Tenant == "":
	case o.Provider != oauth.Microsoft:
		k.wrong(at+"tenant", "is a matter of provider: microsoft; remove it")
	case !hostName(o.Tenant):
		k.wrong(at+"tenant", "%s is neither a domain nor an id", show(o.Tenant))
	}
	if o.ClientSecretFile != "" && o.CertificateFile != "" {
		k.wrong(at+"certificate_file", "client_secret_file and certificate_file are both given; keep one")
	}
	switch appOnly := o.Flow == oauth.AppOnly; {
	case !appOnly && o.CertificateFile != "":
		k.wrong(at+"certificate_file", "is for flow: app-only; remove it")
	case !appOnly:
	case o.ClientSecretFile == "" && o.CertificateFile == "":
		k.wrong(at+"client_secret_file", "is missing; with flow: app-only the application proves itself by a secret or a certificate")
	case o.Provider == oauth.Microsoft && slices.Contains([]string{"", "common", "organizations", "consumers"}, o.Tenant):
		k.wrong(at+"tenant", "is missing; with flow: app-only it is the directory whose mailboxes are read")
	case o.Provider == oauth.Google:
		k.wrong(at+"flow", "Google has no app-only for Gmail; use code")
	}
	if o.Flow == oauth.Device && o.Provider == oauth.Google {
		k.wrong(at+"flow", "Google gives no device codes for mail; use code, and login --headless where there is no browser")
	}
	for _, address := range []struct{ key, value string }{{"auth_url", o.AuthURL}, {"token_url", o.TokenURL}, {"device_url", o.DeviceURL}, {"issuer", o.Issuer}} {
		if address.value == "" {
			continue
		}
		switch err := oauth.CheckURL(address.value); {
		case err == nil:
		case discreet(address.value): // which err may repeat
			k.wrong(at+address.key, "want an address of the form https://HOST/PATH, without a login")
		default:
			k.wrong(at+address.key, "%v", err)
		}
	}
	if o.Provider == oauth.Other && o.TokenURL == "" && o.Issuer == "" {
		k.wrong(at+"token_url", "is missing; another provider is known by its addresses, or by its issuer")
	}
	k.absolute(at+"client_secret_file", o.ClientSecretFile)
	k.absolute(at+"certificate_file", o.CertificateFile)
	k.absolute(at+"token_file", o.TokenFile)
}
