package sasl

import (
	"context"
	"encoding/base64"
	"strconv"
	"testing"

	"github.com/truehop/truehop/fetch"
)

// TestEchoes: the secret is found in whatever form a server sends it back, and nothing else is.
func TestEchoes(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	for _, secret := range []string{"hunter2", `a"b\\c`, "two words", "tab\there", "pä€🐱", "\x01\x02", "??"} {
		c := Credentials{User: "u", Password: secret}
		_, client, err := Choose(t.Context(), []string{Plain}, c, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, words := range []string{
			secret, "bad PASS " + secret + "!", strconv.Quote(fetch.Sanitize(secret)), fetch.Sanitize("what is " + secret),
			encode([]byte(secret)), "x=" + encode([]byte("\x00u\x00"+secret)) + ".", "/" + encode([]byte(secret)),
			encode([]byte("\x00u\x00" + secret + " and more"))[:4*((len(secret)+3+2)/3)],
		} {
			if words == `"??"` || words == "what is ??" {
				continue // of the secret nothing is left
			}
			if !Echoes(client, words) || !c.Echoed(words) {
				t.Errorf("%q is not found in %q", secret, words)
			}
		}
		for _, words := range []string{"", "[AUTH] wrong user or password", "hunter1", "AAAA", "aHVudGVyMQ==", "a", "====", "//"} {
			if Echoes(client, words) || c.Echoed(words) {
				t.Errorf("%q is found in %q", secret, words)
			}
		}
	}
	_, client, err := Choose(t.Context(), []string{XOAUTH2}, Credentials{User: "u", Token: func(context.Context) (string, error) { return "ya29.x", nil }}, true)
	if err != nil {
		t.Fatal(err)
	}
	if !Echoes(client, encode([]byte("user=u\x01auth=Bearer ya29.x\x01\x01"))) || Echoes(client, "ya28.x") {
		t.Error("a token is not told from other words")
	}
	if (Credentials{}).Echoed("x") || Echoes(nil, "x") {
		t.Error("no secret is found in words")
	}
}
