package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// LoginBasis stands for an account's credentials and for whom they are shown to, on which line. It is another one when
// the configuration says something else of that, or when a file that it names was written. No secret is in it: where
// the configuration itself holds one, in password or perhaps in the arguments of a command, path, the file that it was
// read from, and the account's own in conf.d stand for that.
func (a *Account) LoginBasis(path string) string {
	o := &a.OAuth
	parts := []string{
		a.Protocol.String(), a.Addr(), a.TLS.String(), a.Proxy.String(), a.Proxy.User, a.User, string(a.Auth),
		string(o.Provider), o.Tenant, o.ClientID, string(o.Flow), strings.Join(o.Scopes, " "), o.TokenURL, o.Issuer,
	}
	var files []string
	for _, f := range a.Files() {
		files = append(files, f.Path)
	}
	if o.Provider != "" {
		files = append(files, o.TokenFile)
	}
	written := []string{path}
	if a.File != "" {
		written = append(written, a.File)
	}
	for _, command := range [][]string{a.PasswordCommand, a.TokenCommand, a.ConnectCommand} {
		if len(command) > 0 {
			files = append(append(files, command[0]), written...)
		}
	}
	if !a.InlinePassword.IsZero() {
		files = append(files, written...)
	}
	for _, file := range files {
		// The stamp is another one when the file was written or replaced.
		stamp := ""
		if info, err := os.Stat(file); err == nil {
			inode := uint64(0)
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				inode = st.Ino
			}
			stamp = fmt.Sprint(info.Size(), info.ModTime().UnixNano(), inode)
		}
		parts = append(parts, file, stamp)
	}
	// systemd makes the credential anew at each start: its size is all that can be compared.
	size := ""
	if a.PasswordCredential != "" {
		dir := a.lookup("CREDENTIALS_DIRECTORY")
		if !filepath.IsAbs(dir) {
			dir = a.secrets
		}
		if info, err := os.Stat(filepath.Join(dir, a.PasswordCredential)); err == nil {
			size = fmt.Sprint(info.Size())
		}
	}
	if a.sealed != nil {
		sum := sha256.Sum256(a.sealed.data)
		parts = append(parts, hex.EncodeToString(sum[:]))
	}
	sum := sha256.Sum256([]byte(strings.Join(append(parts, a.PasswordCredential, size), "\x00")))
	return hex.EncodeToString(sum[:])
}

// NamedFile is a file that a key names.
type NamedFile struct{ Key, Path string }

// Files are those that the account reads at a login, whether a key names one or not. The order is part of [Account.LoginBasis].
func (a *Account) Files() []NamedFile {
	return []NamedFile{
		{"password_file", a.PasswordFile}, {"proxy_password_file", a.ProxyPasswordFile}, {"tls_cert_file", a.TLSCertFile},
		{"tls_key_file", a.TLSKeyFile}, {"oauth.client_secret_file", a.OAuth.ClientSecretFile}, {"oauth.certificate_file", a.OAuth.CertificateFile},
	}
}
