package config

import (
	"strings"
	"testing"
)

// TestSame: whatever is written of an account or of a target makes another one of it, and nothing else does.
func TestSame(t *testing.T) {
	const text = `inject: {main: {address: "unix:/a"}, other: {address: "unix:/b", user: u, password: secret}}
accounts:
  work: {host: imap.example.net, user: joe, password: secret, recipients: [joe@example.org], schedule: "TZ=Europe/Berlin 0 4 * * *", search: unseen, inject: main}
  club: {host: imap.example.com, user: joe, password: secret, recipients: [joe@example.org], inject: other}
`
	read := func(old, new string) *Config {
		if !strings.Contains(text, old) {
			t.Fatalf("%s is not in the text", old)
		}
		return mustParse(t, []byte(strings.Replace(text, old, new, 1)), options())
	}
	was := read("", "")
	for _, c := range []struct{ old, new, account, target string }{
		{"", "", "", ""},
		{"", "passes: 2\n", "", ""},
		{"", "# a comment\n", "", ""},
		{"user: joe", "user: jim", "work", ""},
		{"password: secret, recipients", "password: other, recipients", "work", ""},
		{"Europe/Berlin", "Europe/Paris", "work", ""},
		{"search: unseen", "search: seen", "work", ""},
		{"imap.example.com", "imap.example.org", "club", ""},
		{"unix:/a", "unix:/c", "", "main"},
		{"user: u, password: secret", "user: u, password: other", "", "other"},
	} {
		is := read(c.old, c.new)
		for name, a := range was.Accounts {
			if same := a.Same(is.Accounts[name]); same != (name != c.account) {
				t.Errorf("%q for %q: account %s is the same: %v", c.new, c.old, name, same)
			}
		}
		for name, target := range was.Inject {
			if same := target.Same(is.Inject[name]); same != (name != c.target) {
				t.Errorf("%q for %q: target %s is the same: %v", c.new, c.old, name, same)
			}
		}
	}
}
