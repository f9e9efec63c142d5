package fakeserver

import "testing"

// TestTokens: both mechanisms carry user and token, and nothing else passes for them.
func TestTokens(t *testing.T) {
	odd := func(token string) bool { return len(token)%2 == 1 }
	for _, test := range []struct {
		tokens              tokens
		mechanism, response string
		want                bool
	}{
		{tokens{one: "secret"}, "XOAUTH2", "user=u\x01auth=Bearer secret\x01\x01", true},
		{tokens{one: "secret"}, "XOAUTH2", "user=u\x01auth=Bearer secret", false},
		{tokens{one: "secret"}, "XOAUTH2", "user=v\x01auth=Bearer secret\x01\x01", false},
		{tokens{one: "secret"}, "XOAUTH2", "user=u\x01\x01", false},
		{tokens{one: "secret"}, "OAUTHBEARER", "n,a=u,\x01auth=Bearer secret\x01\x01", true},
		{tokens{one: "secret"}, "OAUTHBEARER", "n,a=u,\x01host=h\x01port=993\x01auth=Bearer secret\x01\x01", true},
		{tokens{one: "secret"}, "OAUTHBEARER", "user=u\x01auth=Bearer secret\x01\x01", false},
		{tokens{valid: odd}, "XOAUTH2", "user=u\x01auth=Bearer abc\x01\x01", true},
		{tokens{valid: odd}, "XOAUTH2", "user=u\x01auth=Bearer abcd\x01\x01", false},
		{tokens{}, "XOAUTH2", "user=u\x01auth=Bearer \x01\x01", false},
	} {
		if got := test.tokens.takes(test.mechanism, "u", test.response); got != test.want {
			t.Errorf("%s %q: got %v", test.mechanism, test.response, got)
		}
	}
}
