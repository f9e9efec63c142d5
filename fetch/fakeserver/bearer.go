package fakeserver

import (
	"encoding/base64"
	"slices"
	"strings"
)

// bearerMechanisms are the mechanisms that a server offers which takes access tokens.
func bearerMechanisms() []string { return []string{"XOAUTH2", "OAUTHBEARER"} }

// tokens says which access tokens a server takes: the one, or those that valid takes.
type tokens struct {
	one   string
	valid func(string) bool
}

func (t tokens) offered() bool { return t.one != "" || t.valid != nil }

// offers reports whether mechanism is one for tokens, and taken here.
func (t tokens) offers(mechanism string) bool {
	return t.offered() && slices.Contains(bearerMechanisms(), mechanism)
}

// takes reads the response of XOAUTH2 or OAUTHBEARER (RFC 7628 section 3.1) and reports whether its token is good for user.
func (t tokens) takes(mechanism, user, response string) bool {
	prefix := "user=" + user + "\x01"
	if mechanism == "OAUTHBEARER" {
		prefix = "n,a=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(user) + ",\x01"
	}
	fields, ok := strings.CutPrefix(response, prefix)
	fields, ended := strings.CutSuffix(fields, "\x01\x01")
	if !ok || !ended {
		return false
	}
	for field := range strings.SplitSeq(fields, "\x01") {
		token, isToken := strings.CutPrefix(field, "auth=Bearer ")
		switch {
		case !isToken:
		case t.valid != nil:
			return t.valid(token)
		default:
			return t.one != "" && token == t.one
		}
	}
	return false
}

// tokenRefused is the challenge that says why a token is not taken (RFC 7628 section 3.2.2).
func tokenRefused() string {
	return base64.StdEncoding.EncodeToString([]byte(`{"status":"401","schemes":"bearer","scope":"mail"}`))
}
