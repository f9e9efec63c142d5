package sasl

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// Echoes reports whether a server's words hold the secret of a client that [Choose] made. Servers
// quote commands that they do not understand, and such words must not be logged.
func Echoes(client sasl.Client, words string) bool {
	b, ok := client.(*bounded)
	return ok && shows(words, b.secret)
}

// Echoed reports whether a server's words hold the password.
func (c Credentials) Echoed(words string) bool { return shows(words, c.Password) }

// shows looks for the secret as it is, quoted or sanitised, and in base64, alone or
// as a part of what was encoded.
func shows(words, secret string) bool {
	if secret == "" {
		return false
	}
	if strings.Contains(words, secret) {
		return true
	}
	if bare := bareText(secret); bare != "" && strings.Contains(bareText(words), bare) {
		return true
	}
	for _, run := range strings.FieldsFunc(words, func(r rune) bool { return !strings.ContainsRune(base64Alphabet, r) }) {
		for from := 0; from < min(4, len(run)); from++ { // whatever stands before it
			octets, _ := base64.RawStdEncoding.DecodeString(run[from:]) // as far as it goes: the length may be odd
			if strings.Contains(string(octets), secret) {
				return true
			}
		}
	}
	return false
}

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// bareText leaves out what quoting adds and sanitising changes.
func bareText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\\' || r == ' ' || r == '?' || r == '\uFFFD' || !strconv.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
