package config

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// Pin is the SHA-256 sum of a certificate or of its public key (SubjectPublicKeyInfo).
type Pin [sha256.Size]byte

// UnmarshalText reads sha256:HEX, with colons between the octets or without, as openssl and browsers show it.
func (p *Pin) UnmarshalText(text []byte) error {
	digits, ok := strings.CutPrefix(string(text), "sha256:")
	sum, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || len(sum) != len(p) {
		return errors.New("want sha256: and 64 hexadecimal digits, as openssl x509 -noout -fingerprint -sha256 prints them")
	}
	copy(p[:], sum)
	return nil
}

// String is the form that UnmarshalText reads.
func (p Pin) String() string { return "sha256:" + hex.EncodeToString(p[:]) }

// Address is an IP address, the zero value none.
type Address struct{ netip.Addr }

// UnmarshalText reads an address such as 192.0.2.1 or 2001:db8::1.
func (a *Address) UnmarshalText(text []byte) (err error) {
	if a.Addr, err = netip.ParseAddr(string(text)); err != nil {
		return errors.New("want an IP address such as 192.0.2.1 or 2001:db8::1")
	}
	return nil
}

// Proxy is a proxy on the way to an upstream, the zero value none.
type Proxy struct {
	// Scheme is socks5 or http.
	Scheme string
	// User is who logs in there, "" for nobody.
	User string
	// Address is HOST:PORT.
	Address string
}

// UnmarshalText reads socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT.
func (p *Proxy) UnmarshalText(text []byte) error {
	const form = "want socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT"
	u, err := url.Parse(string(text))
	if err != nil {
		return errors.New(form)
	}
	_, secret := u.User.Password()
	switch {
	case u.Scheme != "socks5" && u.Scheme != "http", strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "":
		return errors.New(form)
	case secret:
		return errors.New("holds a password; put it into a file and name that in proxy_password_file")
	}
	if _, _, err := splitHostPort(u.Host); err != nil {
		return errors.New(form)
	}
	*p = Proxy{Scheme: u.Scheme, User: u.User.Username(), Address: u.Host}
	return nil
}

// String is the proxy as people write it, without its user.
func (p Proxy) String() string {
	if p.Scheme == "" {
		return ""
	}
	return p.Scheme + "://" + p.Address
}

// Certificate reads the client's certificate and its key, nil where none is configured. The error is a [*SecretError]:
// it never holds what was read.
func (l *Line) Certificate() (*tls.Certificate, error) {
	if l.TLSCertFile == "" {
		return nil, nil
	}
	source := "tls_key_file " + l.TLSKeyFile
	key, err := readPrivate(l.TLSKeyFile)
	if err != nil {
		return nil, &SecretError{Source: source, Err: err}
	}
	chain, err := openChecked(l.TLSCertFile)
	if err != nil {
		return nil, &SecretError{Source: "tls_cert_file " + l.TLSCertFile, Err: plainError(err)}
	}
	defer chain.Close()
	pem, err := chain.read(maxFile)
	if err != nil {
		return nil, &SecretError{Source: "tls_cert_file " + l.TLSCertFile, Err: plainError(err)}
	}
	pair, err := tls.X509KeyPair(pem, key)
	if err != nil {
		return nil, &SecretError{Source: source, Err: errors.New("certificate and key do not go together, or are not in PEM form; an encrypted key cannot be read: openssl pkey -in FILE -out FILE")}
	}
	return &pair, nil
}

// ProxyPassword reads the proxy's password, the zero [Secret] where none is configured. The error is a [*SecretError].
func (l *Line) ProxyPassword() (Secret, error) {
	if l.ProxyPasswordFile == "" {
		return Secret{}, nil
	}
	data, err := readPrivate(l.ProxyPasswordFile)
	if err == nil {
		data, err = firstLine(data)
	}
	if err != nil {
		return Secret{}, &SecretError{Source: "proxy_password_file " + l.ProxyPasswordFile, Err: err}
	}
	return NewSecret(string(data)), nil
}

// line checks how the connection to the upstream is made.
func (k checker) line(at string, a *Account) {
	for key, path := range map[string]string{"tls_cert_file": a.TLSCertFile, "tls_key_file": a.TLSKeyFile, "proxy_password_file": a.ProxyPasswordFile} {
		k.absolute(at+"/"+key, path)
	}
	switch {
	case a.TLSCertFile != "" && a.TLSKeyFile == "":
		k.wrong(at+"/tls_cert_file", "needs the key that goes with it; name its file in tls_key_file")
	case a.TLSKeyFile != "" && a.TLSCertFile == "":
		k.wrong(at+"/tls_key_file", "needs the certificate that goes with it; name its file in tls_cert_file")
	}
	if a.TLS == NoTLS {
		for key, given := range map[string]bool{"tls_cert_file": a.TLSCertFile != "", "tls_pins": len(a.TLSPins) > 0} {
			if given {
				k.wrong(at+"/"+key, "has no effect with tls: none; remove it")
			}
		}
	}
	if a.Proxy.User == "" && a.ProxyPasswordFile != "" {
		k.wrong(at+"/proxy_password_file", "has no effect without a user; name one in proxy: socks5://USER@HOST:PORT")
	}
	if a.SourceAddress.IsValid() && a.AddressFamily != AnyFamily && a.SourceAddress.Unmap().Is4() != (a.AddressFamily == IPv4Only) {
		k.wrong(at+"/source_address", "%s is not of address_family: %s; change one", a.SourceAddress, a.AddressFamily)
	}
	if len(a.ConnectCommand) == 0 {
		return
	}
	if !filepath.IsAbs(a.ConnectCommand[0]) {
		k.wrong(at+"/connect_command", "name the program by its full path, as in [/usr/bin/ssh, -q, -W, \"localhost:143\", gate.example.net]; there is no shell and no search")
	}
	for key, given := range map[string]bool{
		"proxy": a.Proxy != Proxy{}, "source_address": a.SourceAddress.IsValid(), "address_family": a.AddressFamily != AnyFamily,
	} {
		if given {
			k.wrong(at+"/"+key, "has no effect with connect_command, which makes the connection; remove it")
		}
	}
}

// exposed reports whether login and mail would go over the network in the clear. What a command does with them is its affair.
func exposed(a *Account) bool { return a.TLS == NoTLS && len(a.ConnectCommand) == 0 }
