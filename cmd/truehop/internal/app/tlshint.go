package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// tlsHint says what to do about a handshake that failed, by the keys of a section of the configuration, or "" where that
// depends.
func tlsHint(err error, section, host string) string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		remote  *net.OpError
		pin     *pinError
	)
	alert := "" // of the server (RFC 8446 section 6.2); package tls has no type for one
	if errors.As(err, &remote) && remote.Op == "remote error" {
		alert = remote.Err.Error()
	}
	switch {
	case errors.As(err, &pin):
		return fmt.Sprintf("if you know from elsewhere that %s has a new certificate, put its sum into %s.tls_pins; else somebody stands in between", host, section)
	case alert == "tls: certificate required", alert == "tls: bad certificate":
		return fmt.Sprintf("the server asks for a certificate of ours, or refuses the one it got: see %s.tls_cert_file", section)
	case errors.As(err, &unknown):
		return fmt.Sprintf("if %s has an authority of its own, name its certificate: %s.tls_ca_file", host, section)
	case errors.As(err, &name) && name.Certificate != nil && len(name.Certificate.DNSNames)+len(name.Certificate.IPAddresses) == 0:
		return fmt.Sprintf("the certificate names its host in the field CN only, which no longer counts: have one issued with a subjectAltName, as by openssl req -addext subjectAltName=DNS:%s", host)
	case errors.As(err, &name):
		return fmt.Sprintf("set %s.tls_server_name to a name that the certificate carries", section)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if c := invalid.Cert; c != nil && time.Now().After(c.NotAfter) {
			return fmt.Sprintf("the certificate expired on %s: its owner has to renew it; or this host's clock is wrong", c.NotAfter.UTC().Format(time.DateOnly))
		}
		return "the certificate is not valid yet, or this host's clock is wrong"
	case alert == "tls: handshake failure":
		return fmt.Sprintf("the server takes none of the ciphers offered; one without ECDHE needs GODEBUG=tlsrsakex=1 in truehop's environment until it is updated; or it asks for a certificate of ours: %s.tls_cert_file", section)
	case alert == "tls: protocol version not supported", err != nil && strings.Contains(err.Error(), "tls: server selected unsupported protocol version"):
		return fmt.Sprintf("the server speaks another version of TLS only: truehop speaks 1.2 and 1.3, see %s.tls_min_version; a server that knows neither has to be updated", section)
	}
	return ""
}
