package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLoginBasis: what was changed about a login is noticed, and what says nothing about it is not.
func TestLoginBasis(t *testing.T) {
	write := func(t *testing.T, path, text string) {
		t.Helper()
		fresh := path + ".new"
		if err := os.WriteFile(fresh, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(fresh, path); err != nil {
			t.Fatal(err)
		}
	}
	type world struct {
		a   Account
		dir string
	}
	file := func(w *world, name string) string { return filepath.Join(w.dir, name) }
	for _, c := range []struct {
		name          string
		given, change func(t *testing.T, w *world)
		changed       bool
	}{
		{"nothing", nil, func(*testing.T, *world) {}, false},
		{"user", nil, func(_ *testing.T, w *world) { w.a.User = "other" }, true},
		{"host", nil, func(_ *testing.T, w *world) { w.a.Host = "other.example" }, true},
		{"port", nil, func(_ *testing.T, w *world) { w.a.Port++ }, true},
		{"auth", nil, func(_ *testing.T, w *world) { w.a.Auth = "PLAIN" }, true},
		{"proxy user", nil, func(_ *testing.T, w *world) { w.a.Proxy.User = "other" }, true},
		{"folders", nil, func(_ *testing.T, w *world) { w.a.Folders = []string{"Work"} }, false},
		{"configuration file", nil, func(t *testing.T, w *world) { write(t, file(w, "truehop.yaml"), "other") }, false},
		{"password file written anew", nil, func(t *testing.T, w *world) { write(t, w.a.PasswordFile, "same") }, true},
		{"password file touched", nil, func(t *testing.T, w *world) {
			if err := os.Chtimes(w.a.PasswordFile, time.Time{}, time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"password file gone", nil, func(t *testing.T, w *world) {
			if err := os.Remove(w.a.PasswordFile); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"configuration file with a password", func(_ *testing.T, w *world) {
			w.a.PasswordFile, w.a.InlinePassword = "", NewSecret("sesame")
		}, func(t *testing.T, w *world) { write(t, file(w, "truehop.yaml"), "other") }, true},
		{"configuration file with a command", func(_ *testing.T, w *world) {
			w.a.PasswordFile, w.a.PasswordCommand = "", []string{"/bin/echo", "sesame"}
		}, func(t *testing.T, w *world) { write(t, file(w, "truehop.yaml"), "other") }, true},
		{"token file", func(_ *testing.T, w *world) { w.a.OAuth.Provider, w.a.OAuth.TokenFile = "google", file(w, "token") },
			func(t *testing.T, w *world) { write(t, w.a.OAuth.TokenFile, "token") }, true},
		{"credential made anew by systemd", func(t *testing.T, w *world) {
			w.a.PasswordFile, w.a.PasswordCredential = "", "work"
			write(t, file(w, "work"), "sesame")
		}, func(t *testing.T, w *world) { write(t, file(w, "work"), "sesame") }, false},
		{"credential of another length", func(t *testing.T, w *world) {
			w.a.PasswordFile, w.a.PasswordCredential = "", "work"
			write(t, file(w, "work"), "sesame")
		}, func(t *testing.T, w *world) { write(t, file(w, "work"), "open sesame") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{dir: t.TempDir()}
			w.a = Account{Name: "work", Protocol: POP3, Host: "pop.example", Port: 995}
			w.a.User, w.a.PasswordFile, w.a.secrets = "joe", file(w, "password"), w.dir
			write(t, w.a.PasswordFile, "same")
			write(t, file(w, "truehop.yaml"), "some")
			if c.given != nil {
				c.given(t, w)
			}
			before := w.a.LoginBasis(file(w, "truehop.yaml"))
			c.change(t, w)
			if changed := w.a.LoginBasis(file(w, "truehop.yaml")) != before; changed != c.changed {
				t.Errorf("changed: %v, want %v", changed, c.changed)
			}
		})
	}
}

// TestLoginBasisHasNoSecret: the ledger keeps it, and a sum of a password would let it be guessed.
func TestLoginBasisHasNoSecret(t *testing.T) {
	with := func(secret string) string {
		a := Account{Name: "work"}
		a.InlinePassword, a.PasswordCommand, a.TokenCommand = NewSecret(secret), []string{"/bin/echo", secret}, []string{"/bin/echo", secret}
		a.ConnectCommand = []string{"/bin/nc", secret}
		return a.LoginBasis("/nonexistent/truehop.yaml")
	}
	if with("sesame") != with("other") {
		t.Error("it depends on the secret itself")
	}
}
