package sasl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/fetch"
)

// TestAttempts plays servers that refuse ways to log in. tried is all that was tried, in its order.
func TestAttempts(t *testing.T) {
	no := func(text string) error { return &fetch.Error{Kind: fetch.Auth, Op: "x", Text: text} }
	const scram = "SCRAM-SHA-256"
	hashed := map[string]error{scram: no("[AUTHENTICATIONFAILED] no"), "SCRAM-SHA-1": no("[AUTHENTICATIONFAILED] no"), "CRAM-MD5": no("[AUTHENTICATIONFAILED] no")}
	all := []string{scram, "SCRAM-SHA-1", "PLAIN", "LOGIN", "CRAM-MD5", User, APOP}
	busy := &fetch.Error{Kind: fetch.Busy, Op: "x", Text: "later"}
	lost := &fetch.Error{Kind: fetch.Unreachable, Op: "x", Err: io.ErrUnexpectedEOF}
	for name, test := range map[string]struct {
		offered  []string
		cred     Credentials
		insecure bool
		replies  map[string]error
		unparsed bool
		tried    string
		kind     fetch.Kind // Unclassified: logged in
		hint     string
	}{
		"the best is taken":                           {offered: all, tried: scram},
		"hashed password":                             {offered: all, replies: hashed, tried: scram + " PLAIN"},
		"hashed password, LOGIN only":                 {offered: []string{scram, "LOGIN"}, replies: hashed, tried: scram + " LOGIN"},
		"hashed password, no mechanism but CRAM":      {offered: []string{"CRAM-MD5", User}, replies: hashed, tried: User},
		"hashed password, by the command":             {offered: []string{scram, User}, replies: hashed, tried: scram + " " + User},
		"hashed password, no other way":               {offered: []string{scram, "SCRAM-SHA-1", APOP}, replies: hashed, tried: scram, kind: fetch.Auth},
		"hashed password without TLS":                 {offered: all, insecure: true, replies: hashed, tried: scram, kind: fetch.Auth, hint: "set auth: plain"},
		"SCRAM unknown without TLS":                   {offered: all, insecure: true, replies: map[string]error{scram: no("unknown mechanism")}, tried: scram + " SCRAM-SHA-1"},
		"no SCRAM known without TLS":                  {offered: []string{scram, "PLAIN"}, insecure: true, replies: map[string]error{scram: no("unknown mechanism")}, tried: scram, kind: fetch.Auth, hint: "set auth: plain"},
		"hashed password, chosen by name":             {offered: all, cred: Credentials{Mechanism: scram}, replies: hashed, tried: scram, kind: fetch.Auth},
		"wrong password":                              {offered: all, replies: map[string]error{scram: no("no"), "PLAIN": no("no"), "LOGIN": no("no"), User: no("no")}, tried: scram + " PLAIN", kind: fetch.Auth},
		"wrong password, said so":                     {offered: []string{"PLAIN", "LOGIN", User}, replies: map[string]error{"PLAIN": no("[AUTH] no")}, tried: "PLAIN", kind: fetch.Auth},
		"wrong password, in words":                    {offered: []string{"PLAIN", "LOGIN", User}, replies: map[string]error{"PLAIN": no("Invalid user or password")}, tried: "PLAIN", kind: fetch.Auth},
		"PLAIN refused for no reason":                 {offered: []string{"PLAIN", User}, replies: map[string]error{"PLAIN": no("AUTHENTICATE failed.")}, tried: "PLAIN " + User},
		"PLAIN is unknown":                            {offered: []string{"PLAIN", "LOGIN", User}, replies: map[string]error{"PLAIN": no("unsupported mechanism"), "LOGIN": no("Unknown command"), User: no("no")}, tried: "PLAIN LOGIN " + User, kind: fetch.Auth},
		"AUTHENTICATE cannot be parsed":               {offered: []string{"PLAIN", "LOGIN", User}, replies: map[string]error{"PLAIN": no("command unknown or arguments invalid")}, unparsed: true, tried: "PLAIN " + User},
		"AUTHENTICATE cannot be parsed, no command":   {offered: []string{"PLAIN", "LOGIN"}, replies: map[string]error{"PLAIN": no("x")}, unparsed: true, tried: "PLAIN LOGIN"},
		"busy is no refusal":                          {offered: all, replies: map[string]error{scram: busy}, tried: scram, kind: fetch.Busy},
		"busy after a refusal":                        {offered: all, replies: map[string]error{scram: no("no"), "PLAIN": busy}, tried: scram + " PLAIN", kind: fetch.Busy},
		"a person has to see to it":                   {offered: all, replies: map[string]error{scram: &fetch.Error{Kind: fetch.Auth, Op: "x", Advice: "log in at the web site"}}, tried: scram, kind: fetch.Auth, hint: "web site"},
		"the server ends the session":                 {offered: all, replies: map[string]error{scram: &fetch.Error{Kind: fetch.Auth, Op: "x", Ends: true}}, tried: scram, kind: fetch.Auth},
		"the connection ends after a refusal":         {offered: all, replies: map[string]error{scram: no("no"), "PLAIN": lost}, tried: scram + " PLAIN", kind: fetch.Auth, hint: "ended the connection"},
		"the connection ends before any refusal":      {offered: all, replies: map[string]error{scram: lost}, tried: scram, kind: fetch.Unreachable},
		"no proof by the server is never passed over": {offered: all, replies: map[string]error{scram: &fetch.Error{Kind: fetch.Protocol, Op: "x", Err: errors.New("no proof")}}, tried: scram, kind: fetch.Protocol},
		"a token is shown once":                       {offered: []string{XOAUTH2, OAuthBearer}, cred: Credentials{Token: token}, replies: map[string]error{XOAUTH2: no("no")}, tried: XOAUTH2, kind: fetch.Auth},
		"nothing is offered":                          {tried: "", kind: fetch.Auth},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.cred
			c.User, c.AllowPlaintext = "u", test.insecure
			if c.Token == nil {
				c.Password = "p"
			}
			var tried []string
			a := NewAttempts(test.offered, c, !test.insecure)
			used, err := a.Run(t.Context(), func(name string, _ sasl.Client) (bool, error) {
				tried = append(tried, name)
				return test.unparsed, test.replies[name]
			})
			if got := strings.Join(tried, " "); got != test.tried {
				t.Errorf("tried %s, want %s", got, test.tried)
			}
			if test.kind == fetch.Unclassified {
				if err != nil || used != tried[len(tried)-1] || len(a.Refused) != len(tried)-1 {
					t.Errorf("logged in by %s after %v was refused: %v", used, a.Refused, err)
				}
				return
			}
			var e *fetch.Error
			if !errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(e.Advice, test.hint) {
				t.Errorf("got %v, want Kind %v and a hint with %q", fmt.Sprintf("%#v", err), test.kind, test.hint)
			}
		})
	}
}

// TestAttemptsEndWithTheContext: what a person broke off is no refusal.
func TestAttemptsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := NewAttempts([]string{SCRAMSHA256, Plain}, Credentials{User: "u", Password: "p"}, true)
	_, err := a.Run(ctx, func(name string, _ sasl.Client) (bool, error) {
		if name == Plain {
			cancel()
			return false, &fetch.Error{Kind: fetch.Unreachable, Op: "x"}
		}
		return false, &fetch.Error{Kind: fetch.Auth, Op: "x", Text: "no"}
	})
	if fetch.KindOf(err) != fetch.Unreachable {
		t.Errorf("got %v", err)
	}
}
