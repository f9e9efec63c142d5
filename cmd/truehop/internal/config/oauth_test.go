package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
)

// TestSourcesOfTokens: an account takes the keys of oauth that it lacks from defaults, and no other source beside its own.
func TestSourcesOfTokens(t *testing.T) {
	c := mustParse(t, []byte(`state_dir: /var/lib/truehop
defaults:
  host: outlook.office365.com
  recipients: [joe@example.org]
  oauth: {provider: microsoft, client_id: common, tenant: contoso.com, scopes: [a, b]}
accounts:
  shared: {user: a}
  own: {user: b, oauth: {client_id: mine, token_file: /etc/truehop/b}}
  command: {user: c, token_command: [/bin/echo, x]}
  password: {user: d, password_file: /etc/truehop/d}
`), options())
	for name, want := range map[string]struct{ client, file string }{
		"shared": {"common", "/var/lib/truehop/tokens/shared"}, "own": {"mine", "/etc/truehop/b"}, "command": {}, "password": {},
	} {
		a := c.Accounts[name]
		if a.OAuth.ClientID != want.client || a.OAuth.TokenFile != want.file || a.UsesTokens() != (name != "password") {
			t.Errorf("%s: %+v, uses tokens: %v", name, a.OAuth, a.UsesTokens())
		}
		if inherits := want.client != ""; inherits != (a.OAuth.Tenant == "contoso.com" && len(a.OAuth.Scopes) == 2) {
			t.Errorf("%s: tenant %q, scopes %q", name, a.OAuth.Tenant, a.OAuth.Scopes)
		}
	}
	c = mustParse(t, []byte(`defaults: {password_file: /etc/truehop/all}
accounts:
  own: {host: imap.gmail.com, user: joe, recipients: [joe@example.org], oauth: {provider: google, client_id: x}}
`), options())
	if got := c.Accounts["own"].sources(); len(got) > 0 {
		t.Errorf("own has %q beside oauth", got)
	}
}

// TestTokenCommand: what the program prints is the token, and no error quotes it.
func TestTokenCommand(t *testing.T) {
	for _, test := range []struct {
		argv  []string
		want  string
		words string
	}{
		{[]string{"/bin/echo", "ya29.token"}, "ya29.token", ""},
		{[]string{"/bin/sh", "-c", "echo " + canary + "; echo two"}, "", "token_command /bin/sh: holds more than one line"},
		{[]string{"/bin/sh", "-c", "echo " + canary + "; exit 3"}, "", "token_command /bin/sh: exit status 3"},
		{[]string{"/bin/true"}, "", "token_command /bin/true: is empty"},
	} {
		token, err := (&Account{TokenCommand: test.argv}).Token(t.Context())
		var wrong *SecretError
		if token.Reveal() != test.want || (err != nil) != errors.As(err, &wrong) {
			t.Errorf("%q: got %q, %v", test.argv, token.Reveal(), err)
		}
		told := fmt.Sprint(err)
		if (err != nil) != (test.words != "") || !strings.Contains(told, test.words) || strings.Contains(told, canary) {
			t.Errorf("%q: %v", test.argv, err)
		}
	}
}

// TestClientSecret: the application's secret and certificate are read from files that nobody else can read, and never quoted.
func TestClientSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	put(t, file("secret"), 0o600, canary+"\n")
	put(t, file("open"), 0o644, canary+"\n")
	certificate, key := fakeserver.NewCA().ServerPEM("localhost") // of ECDSA
	put(t, file("ecdsa"), 0o600, string(certificate)+string(key))
	if secret, pair, err := (&OAuth{}).ClientSecret(); !secret.IsZero() || pair != nil || err != nil {
		t.Errorf("without any: %v, %v, %v", secret, pair, err)
	}
	if secret, pair, err := (&OAuth{ClientSecretFile: file("secret")}).ClientSecret(); secret.Reveal() != canary || pair != nil || err != nil {
		t.Errorf("a secret: %v, %v", pair, err)
	}
	for words, o := range map[string]OAuth{
		"oauth.client_secret_file " + file("open") + ": mode 0644": {ClientSecretFile: file("open")},
		"oauth.client_secret_file " + file("none") + ": no such":   {ClientSecretFile: file("none")},
		"oauth.certificate_file " + file("open") + ": mode 0644":   {CertificateFile: file("open")},
		"together with its private key":                            {CertificateFile: file("secret")},
		"its key is not of RSA":                                    {CertificateFile: file("ecdsa")},
	} {
		_, _, err := o.ClientSecret()
		var wrong *SecretError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), canary) {
			t.Errorf("got %v, want %s", err, words)
		}
	}
}
