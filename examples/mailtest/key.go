package mailtest

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

// Selector is the one that every key is published under.
const Selector = "s1"

// Key signs messages (DKIM).
type Key struct{ private *rsa.PrivateKey }

// NewKey makes a key.
func NewKey(t *testing.T) Key {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return Key{key}
}

// Record is what the DNS says of the key (RFC 6376 section 3.6.1).
func (k Key) Record(t *testing.T) string {
	t.Helper()
	public, err := x509.MarshalPKIXPublicKey(&k.private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
}

// PEM is the private key as filters read it.
func (k Key) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k.private)})
}

// Sign puts a signature of domain on top of a message, in the simple form, which bears no change. It covers these fields, also those
// that are not there; without names, all that are.
func (k Key) Sign(t *testing.T, domain, message string, fields ...string) string {
	t.Helper()
	var signed bytes.Buffer
	options := &dkim.SignOptions{Domain: domain, Selector: Selector, Signer: k.private, HeaderKeys: fields}
	if err := dkim.Sign(&signed, strings.NewReader(message), options); err != nil {
		t.Fatal(err)
	}
	return signed.String()
}
