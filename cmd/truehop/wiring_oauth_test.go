package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"testing"

	"github.com/truehop/truehop/fetch/oauth"
)

// oauthWires are the keys of an account that say where its access tokens come from.
func oauthWires(p *wiringPlace) []wire {
	const at = "accounts.NAME.oauth."
	usual := map[string]string{"accounts.NAME.password_file": p.file("usual.pass")}
	with := func(more map[string]string) map[string]string {
		keys := map[string]string{"accounts.NAME.password_file": "", at + "provider": "other", at + "client_id": "app", at + "token_url": "https://a.example/token"}
		maps.Copy(keys, more)
		return keys
	}
	// What is without the key of these has a password instead.
	passwordInstead := map[string]string{at + "provider": "", at + "client_id": "", at + "token_url": "", "accounts.NAME.password_file": p.file("usual.pass")}
	microsoft := with(map[string]string{at + "provider": "microsoft", at + "token_url": ""})
	appOnly := with(map[string]string{at + "flow": "app-only", at + "client_secret_file": p.file("usual.pass")})
	return []wire{
		{key: "accounts.NAME.token_command", with: map[string]string{"accounts.NAME.password_file": ""}, instead: usual, wants: map[string]any{"[/bin/cat, " + p.file("other.pass") + "]": "other"}, at: func(g *given) any {
			shown := func(token func(context.Context) (string, error)) string {
				if token == nil {
					return "a password"
				}
				text, err := token(context.Background())
				if err != nil {
					return err.Error()
				}
				return text
			}
			return same(shown(g.imap.Credentials.Token), shown(g.pop3.Credentials.Token))
		}},
		{key: at + "provider", with: with(nil), instead: passwordInstead, wants: map[string]any{"google": oauth.Google, "microsoft": oauth.Microsoft, "other": oauth.Other}, at: func(g *given) any { return g.oauth.Provider }},
		{key: at + "tenant", with: microsoft, wants: map[string]any{"contoso.com": "contoso.com"}, at: func(g *given) any { return g.oauth.Tenant }},
		{key: at + "client_id", with: with(nil), instead: passwordInstead, wants: map[string]any{"mine": "mine"}, at: func(g *given) any { return g.oauth.ClientID }},
		{key: at + "client_secret_file", with: with(nil), wants: map[string]any{p.file("other.pass"): "other"}, at: func(g *given) any { return g.oauth.ClientSecret }},
		{key: at + "certificate_file", with: with(map[string]string{at + "flow": "app-only"}), instead: map[string]string{at + "client_secret_file": p.file("usual.pass")},
			wants: map[string]any{p.file("pair.pem"): true}, at: func(g *given) any { return g.oauth.Certificate != nil }},
		{key: at + "flow", with: appOnly, wants: map[string]any{"auto": oauth.Flow(""), "code": oauth.Code, "device": oauth.Device, "app-only": oauth.AppOnly}, at: func(g *given) any { return g.oauth.Flow },
			instead: map[string]string{at + "flow": ""}},
		{key: at + "scopes", with: with(nil), wants: map[string]any{"[a, b]": []string{"a", "b"}}, at: func(g *given) any { return g.oauth.Scopes }},
		{key: at + "auth_url", with: with(nil), wants: map[string]any{"https://b.example/": "https://b.example/"}, at: func(g *given) any { return g.oauth.AuthURL }},
		{key: at + "token_url", with: with(map[string]string{at + "issuer": "https://c.example"}), instead: map[string]string{at + "token_url": ""},
			wants: map[string]any{"https://b.example/": "https://b.example/"}, at: func(g *given) any { return g.oauth.TokenURL }},
		{key: at + "device_url", with: with(nil), wants: map[string]any{"https://b.example/": "https://b.example/"}, at: func(g *given) any { return g.oauth.DeviceURL }},
		{key: at + "issuer", with: with(nil), wants: map[string]any{"https://b.example": "https://b.example"}, at: func(g *given) any { return g.oauth.Issuer }},
		{key: at + "redirect_port", with: with(nil), wants: map[string]any{"0": 0, "8123": 8123}, at: func(g *given) any { return g.oauth.RedirectPort }},
		{key: at + "token_file", with: with(nil), wants: map[string]any{p.file("token"): p.file("token")}, at: func(g *given) any { return g.oauth.TokenFile }},
	}
}

// writePair writes a certificate with its RSA key.
func writePair(t *testing.T, path string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
