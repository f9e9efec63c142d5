package sasl

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// Echoes tells whether a server's words hold the secret of a client that [Choose] made. Servers
// quote commands that they do not understand, and such words must not be logged.
func Echoes(client sasl.Client, words string) bool {
	b, ok := client.(*bounded)
	return ok && shows(words, b.secret)
}

// Echoed tells the same of the password.
func (c Credentials) Echoed(words string) bool { return shows(words, c.Password) }

// shows looks for the secret as it is, quoted or sanitised, and in base64, alone or
// as a part of what was encoded.
func shows(words, secret string) bool {
	if secret == "" {
		return false
	}
	bare := bareText(secret)
	if strings.Contains(words, secret) || bare != "" && strings.Contains(bareText(words), bare) {
		return true
	}
	for _, run := range strings.FieldsFunc(words, notBase64) {
		for from := 0; from < min(4, len(run)); from++ { // whatever stands before it
			if strings.Contains(decoded(run[from:]), secret) {
				return true
			}
		}
	}
	return false
}

// bareText leaves out what quoting adds and sanitising changes.
func bareText(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\\' || r == ' ' || r == '?' || r == '\uFFFD' || !strconv.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

func notBase64(r rune) bool {
	return !('0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || r == '+' || r == '/')
}

// decoded reads base64 as far as it goes.
func decoded(s string) string {
	if len(s)%4 == 1 {
		s = s[:len(s)-1]
	}
	octets, _ := base64.RawStdEncoding.DecodeString(s) // of that alphabet, and not of a wrong length
	return string(octets)
}
