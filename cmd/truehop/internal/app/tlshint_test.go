package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTLSHints shakes hands with servers that a client cannot trust or agree with, and wants a hint that says what to do.
func TestTLSHints(t *testing.T) {
	readme, err := os.ReadFile("../../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	leaf := x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.org"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"mail.example.org"}}
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificate func(*x509.Certificate)
		server      func(*tls.Config)
		rsa         bool
		distrusted  bool
		want        string
		inREADME    string // what of the hint README.md explains
	}{
		"all is well":       {},
		"CN only":           {certificate: func(c *x509.Certificate) { c.DNSNames = nil }, want: "subjectAltName=DNS:mail.example.org", inREADME: "the certificate names its host in the field CN only"},
		"another name":      {certificate: func(c *x509.Certificate) { c.DNSNames = []string{"other.example.org"} }, want: "accounts.work.tls_server_name"},
		"out of date":       {certificate: func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }, want: "expired on " + now.Add(-time.Minute).UTC().Format(time.DateOnly)},
		"not valid yet":     {certificate: func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) }, want: "not valid yet"},
		"unknown authority": {distrusted: true, want: "accounts.work.tls_ca_file"},
		"without ECDHE": {rsa: true, want: "GODEBUG=tlsrsakex=1", inREADME: "the server takes none of the ciphers offered", server: func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}},
		"an old version": {want: "tls_min_version", server: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }},
	} {
		t.Run(name, func(t *testing.T) {
			made := leaf
			if c.certificate != nil {
				c.certificate(&made)
			}
			var public, private any = ecdsaKey.Public(), ecdsaKey
			if c.rsa {
				public, private = rsaKey.Public(), rsaKey
			}
			der, err := x509.CreateCertificate(rand.Reader, &made, &made, public, private)
			if err != nil {
				t.Fatal(err)
			}
			config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}}
			if c.server != nil {
				c.server(config)
			}
			roots := x509.NewCertPool()
			if parsed, err := x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			} else if !c.distrusted {
				roots.AddCert(parsed)
			}
			near, far := net.Pipe()
			var server sync.WaitGroup
			server.Go(func() {
				defer far.Close()
				_ = tls.Server(far, config).Handshake() // the client tells
			})
			defer server.Wait()
			conn, err := handshake(t.Context(), near, &tls.Config{ServerName: "mail.example.org", RootCAs: roots}, time.Minute)
			if err == nil {
				defer conn.Close()
			}
			got := tlsHint(err, "accounts.work", "mail.example.org")
			if (err == nil) != (c.want == "") || !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("%v: got the hint %q, want it to name %q", err, got, c.want)
			}
			if !strings.HasPrefix(got, c.inREADME) || !strings.Contains(string(readme), c.inREADME) {
				t.Errorf("README.md does not explain the hint %q by the words %q", got, c.inREADME)
			}
		})
	}
}

// TestTLSHintWhereTheServerChoosesAnOldVersion: some servers answer with a version that they were not offered.
func TestTLSHintWhereTheServerChoosesAnOldVersion(t *testing.T) {
	hello := append([]byte{2, 0, 0, 38, 3, 2}, make([]byte, 33)...) // ServerHello, version 3.2, random, no session
	hello = append(hello, 0, 0x2f, 0)                               // TLS_RSA_WITH_AES_128_CBC_SHA, no compression
	near, far := net.Pipe()
	var server sync.WaitGroup
	server.Go(func() {
		defer far.Close()
		buf := make([]byte, 16<<10)
		if _, err := far.Read(buf); err != nil {
			return
		}
		_, _ = far.Write(append([]byte{22, 3, 2, 0, byte(len(hello))}, hello...))
		_, _ = far.Read(buf) // the alert
	})
	defer server.Wait()
	_, err := handshake(t.Context(), near, &tls.Config{ServerName: "mail.example.org"}, time.Minute)
	if got := tlsHint(err, "accounts.work", "mail.example.org"); !strings.Contains(got, "accounts.work.tls_min_version") {
		t.Errorf("%v: the hint is %q", err, got)
	}
}
