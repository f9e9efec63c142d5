package oauth

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"
)

// Certificate proves an application in place of a secret. It never prints its key.
type Certificate struct {
	key *rsa.PrivateKey
	// thumbprint is the SHA-256 of the certificate.
	thumbprint [sha256.Size]byte
}

// ParseCertificate reads a certificate and its RSA key, both in PEM form in one file, in any order.
func ParseCertificate(pem []byte) (*Certificate, error) {
	pair, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		return nil, errors.New("holds no certificate together with its private key, unencrypted and in PEM form")
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("its key is not of RSA, which is what providers take")
	}
	return &Certificate{key: key, thumbprint: sha256.Sum256(pair.Certificate[0])}, nil
}

// String says what it is only.
func (c *Certificate) String() string { return "certificate" }

// GoString says what it is only.
func (c *Certificate) GoString() string { return c.String() }

// assertion is a signed statement that we are the client (RFC 7523 section 3), for an audience that may have a clock of
// its own.
func (c *Certificate) assertion(client, audience string, now time.Time) (string, error) {
	type object map[string]any
	header := object{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(c.thumbprint[:])}
	claims := object{
		"iss": client, "sub": client, "aud": audience, "jti": rand.Text(),
		"iat": now.Add(-lateness).Unix(), "nbf": now.Add(-lateness).Unix(), "exp": now.Add(lateness).Unix(),
	}
	signed := ""
	for _, part := range []object{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		signed += base64.RawURLEncoding.EncodeToString(text) + "."
	}
	signed = signed[:len(signed)-1]
	sum := sha256.Sum256([]byte(signed))
	// RFC 7518 section 3.5: the salt is as long as the hash.
	signature, err := rsa.SignPSS(rand.Reader, c.key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		return "", err
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
