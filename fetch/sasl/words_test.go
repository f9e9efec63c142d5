package sasl

import (
	"slices"
	"strings"
	"testing"
)

// TestMechanismWords: each mechanism has its word, and auto means none by name.
func TestMechanismWords(t *testing.T) {
	for word, want := range map[string]Mechanism{"auto": "", "plain": Plain, "login": Login, "cram-md5": CRAMMD5, "scram-sha-1": SCRAMSHA1, "scram-sha-256": SCRAMSHA256,
		"scram-sha-1-plus": SCRAMSHA1Plus, "scram-sha-256-plus": SCRAMSHA256Plus, "external": External, "apop": APOP, "user": User,
		"xoauth2": XOAUTH2, "oauthbearer": OAuthBearer} {
		m := Mechanism("x")
		if err := m.UnmarshalText([]byte(word)); err != nil || m != want {
			t.Errorf("%s is read as %q, %v", word, string(m), err)
		}
		if text, err := want.MarshalText(); err != nil || string(text) != word || want.String() != word {
			t.Errorf("%q is written as %q and prints as %s, %v", string(want), text, want, err)
		}
		if !slices.Contains(m.Words(), word) {
			t.Errorf("%s is not among the words %q", word, m.Words())
		}
	}
	if n := len(Mechanism("").Words()); n != 13 {
		t.Errorf("%d words, want 13", n)
	}
	for _, wrong := range []string{"", "PLAIN", "XOAUTH2", "ntlm", "auto\n\x1b"} {
		m := Mechanism(Login)
		if err := m.UnmarshalText([]byte(wrong)); err == nil || m != Login || !strings.Contains(err.Error(), "scram-sha-256") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%q is read as %s, %v; want it left alone and the words named", wrong, m, err)
		}
	}
}

// TestMechanismOfToken tells the mechanisms that show a token from those that prove a password.
func TestMechanismOfToken(t *testing.T) {
	for m, want := range map[Mechanism]bool{"": false, Plain: false, SCRAMSHA256: false, XOAUTH2: true, OAuthBearer: true, "oauthbearer": true} {
		if got := m.OfToken(); got != want {
			t.Errorf("%s: got %v", m, got)
		}
	}
}
