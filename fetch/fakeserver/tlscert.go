package fakeserver

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// CA is a certificate authority made for one run.
type CA struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// Leaf says what a server certificate claims. The zero value is valid for an hour for
// localhost and 127.0.0.1.
type Leaf struct {
	Names               []string
	NotBefore, NotAfter time.Time
}

// NewCA makes a certificate authority. Nothing that can fail depends on the
// caller: without randomness Go ends the program.
func NewCA() *CA {
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "fetchtest CA"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	made := sign(template, nil)
	certificate, _ := x509.ParseCertificate(made.Certificate[0])
	return &CA{certificate, made.PrivateKey.(crypto.Signer)}
}

// Issue makes a server certificate. It is empty if a name cannot be put in one.
func (ca *CA) Issue(leaf Leaf) tls.Certificate { return sign(leaf.template(), ca) }

// SelfSigned makes a server certificate that nobody vouches for.
func SelfSigned(leaf Leaf) tls.Certificate { return sign(leaf.template(), nil) }

func (leaf Leaf) template() *x509.Certificate {
	if leaf.Names == nil {
		leaf.Names = []string{"localhost", "127.0.0.1"}
	}
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = time.Now().Add(-time.Hour)
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = time.Now().Add(time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: leaf.Names[0]},
		NotBefore:    leaf.NotBefore,
		NotAfter:     leaf.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range leaf.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return template
}

// sign makes a key and its certificate, signed by ca or, if that is nil, by the key itself.
func sign(template *x509.Certificate, ca *CA) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}
	}
	parent, signer := template, crypto.Signer(key)
	if ca != nil {
		parent, signer = ca.Certificate, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return tls.Certificate{}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Pool trusts this authority only.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Certificate)
	return pool
}

// PEM is the authority's certificate as configuration files name it.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Certificate.Raw})
}

// ServerPEM makes a certificate for the names and returns it and its key as files
// hold them.
func (ca *CA) ServerPEM(names ...string) (certificate, key []byte) {
	made := ca.Issue(Leaf{Names: names})
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		return nil, nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TLS makes a server's configuration with a new certificate of a new authority, and
// a client's that trusts it and expects localhost.
func TLS() (server, client *tls.Config) {
	ca := NewCA()
	return &tls.Config{Certificates: []tls.Certificate{ca.Issue(Leaf{})}},
		&tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
}
