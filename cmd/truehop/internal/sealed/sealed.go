// Package sealed encrypts the passwords of accounts that stand in a database. What is stored there is a file of age
// (https://age-encryption.org/v1) for an X25519 recipient; the identity that opens it is never in the database.
//
// The plaintext is two lines: the account's name and the password. So a ciphertext opens for the account that it was made
// for, and for no other one that somebody has copied it to.
package sealed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
)

const (
	// maxPassword bounds a password, maxSealed its ciphertext.
	maxPassword = 16 << 10
	maxSealed   = 64 << 10
)

var (
	// ErrNoIdentity is what no identity at hand opens.
	ErrNoIdentity = errors.New("is sealed for another key than those at hand")
	// ErrDamaged is no ciphertext, or one that was changed.
	ErrDamaged = errors.New("is not what truehop accounts or age has sealed, or was damaged")
	// ErrOtherAccount was sealed for an account of another name.
	ErrOtherAccount = errors.New("was sealed for another account")
)

// Keys are identities of age. All of them open; the first one's recipient is sealed for. However they are printed, they
// print as ***.
type Keys struct{ identities []*age.X25519Identity }

// Format prints *** for every verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "***") }

// ParseKeys reads a file as age-keygen writes it: an identity a line, comments after #. An error holds nothing of what was read.
func ParseKeys(data []byte) (Keys, error) {
	var k Keys
	n := 0
	for line := range strings.SplitSeq(string(data), "\n") {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		identity, err := age.ParseX25519Identity(line)
		if err != nil {
			return Keys{}, fmt.Errorf("line %d is no X25519 identity of age, AGE-SECRET-KEY-1…; age-keygen makes one", n)
		}
		k.identities = append(k.identities, identity)
	}
	if len(k.identities) == 0 {
		return Keys{}, errors.New("holds no identity of age; age-keygen makes one")
	}
	return k, nil
}

// Recipient is whom [Keys.Seal] seals for, as age -r takes it.
func (k Keys) Recipient() string { return k.identities[0].Recipient().String() }

// Seal encrypts the password of an account.
func (k Keys) Seal(account, password string) ([]byte, error) {
	if why := unfit(password); why != "" {
		return nil, errors.New("the password " + why)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.identities[0].Recipient())
	if err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	if _, err := io.WriteString(w, account+"\n"+password); err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("sealed: %w", err)
	}
	return out.Bytes(), nil
}

// Open decrypts the password of an account. The error is one of those of this package.
func (k Keys) Open(account string, data []byte) (string, error) {
	plain, err := decrypt(data, k.identities)
	if err != nil {
		return "", err
	}
	name, password, ok := strings.Cut(plain, "\n")
	password, _ = strings.CutSuffix(password, "\n") // echo adds one
	switch {
	case !ok, unfit(password) != "":
		return "", ErrDamaged
	case name != account:
		return "", ErrOtherAccount
	}
	return password, nil
}

// Current reports whether the first identity opens data, so that the others are not needed for it.
func (k Keys) Current(data []byte) bool {
	_, err := decrypt(data, k.identities[:1])
	return err == nil
}

func decrypt(data []byte, identities []*age.X25519Identity) (string, error) {
	if len(data) > maxSealed {
		return "", ErrDamaged
	}
	var all []age.Identity
	for _, i := range identities {
		all = append(all, i)
	}
	r, err := age.Decrypt(bytes.NewReader(data), all...)
	var other *age.NoIdentityMatchError
	switch {
	case errors.As(err, &other):
		return "", ErrNoIdentity
	case err != nil:
		return "", ErrDamaged
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxSealed))
	if err != nil {
		return "", ErrDamaged
	}
	return string(plain), nil
}

// unfit says why a password cannot be proven to a server, "" if it can.
func unfit(password string) string {
	switch {
	case password == "":
		return "is empty"
	case len(password) > maxPassword:
		return fmt.Sprintf("is longer than %d octets", maxPassword)
	case strings.ContainsAny(password, "\r\n\x00"):
		return "holds a line break or NUL"
	}
	return ""
}
