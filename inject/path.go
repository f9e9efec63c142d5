package inject

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxPath is RFC 5321 section 4.5.3.1.3 without the angle brackets.
const maxPath = 254

var errPath = errors.New("not a path of RFC 5321")

// ParsePath returns s, a mailbox without angle brackets, as a reverse-path may hold it:
// "" for the null sender, else local-part and domain, the local-part quoted if and
// only if it must be. It takes a local-part that is quoted (RFC 5321 section 4.1.2),
// needs no quotes, or has lost them (as net/mail returns it), and drops a source route
// (appendix C). What holds a control character, no domain, or a domain that is none
// is an error: nothing of it could end the path or add a parameter.
//
// Local-parts may exceed 64 octets: section 4.5.3.1 sets that as what all must take, not
// as what none may send, and forwarders' rewritten senders are longer every day.
func ParsePath(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	local, domain, err := splitPath(s)
	if err != nil {
		return "", err
	}
	if domain == "" {
		return "", fmt.Errorf("%w: no domain", errPath)
	}
	return joinPath(local, domain)
}

// ParseRecipient returns s as a forward-path may hold it. Other than a reverse-path it is never
// null and may be a local user without domain. A local-part that could pass for an
// option, a command or a file is an error.
func ParseRecipient(s string) (string, error) {
	local, domain, err := splitPath(s)
	if err != nil {
		return "", err
	}
	if local == "" {
		return "", fmt.Errorf("%w: empty", errPath)
	}
	if strings.ContainsRune("-|/:", rune(local[0])) {
		return "", fmt.Errorf("%w: recipient begins with %q", errPath, local[0])
	}
	return joinPath(local, domain)
}

// splitPath returns the local-part without quotes and the domain, unchecked but for
// control characters and UTF-8.
func splitPath(s string) (local, domain string, err error) {
	if len(s) > maxPath*2 {
		return "", "", fmt.Errorf("%w: too long", errPath)
	}
	if !utf8.ValidString(s) {
		return "", "", fmt.Errorf("%w: not UTF-8", errPath)
	}
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return "", "", fmt.Errorf("%w: control character", errPath)
		}
	}
	// A source route, "@a,@b:" before the mailbox, is dropped.
	if strings.HasPrefix(s, "@") {
		route, mailbox, ok := strings.Cut(s, ":")
		if ok && !strings.ContainsAny(route, `"\ <>`) {
			s = mailbox
		}
	}
	if strings.HasPrefix(s, `"`) {
		if local, rest, ok := unquote(s); ok {
			if rest == "" {
				return local, "", nil
			}
			if domain, ok := strings.CutPrefix(rest, "@"); ok {
				return local, domain, nil
			}
		}
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s, "", nil
	}
	return s[:at], s[at+1:], nil
}

// unquote reads a Quoted-string at the start of s and returns its content and what follows.
func unquote(s string) (content, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			i++
			if i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// joinPath puts a path together, of a domain of letters or U-labels, an address literal (RFC 5321
// section 4.1.3), or none.
func joinPath(local, domain string) (string, error) {
	if local == "" {
		return "", fmt.Errorf("%w: no local-part", errPath)
	}
	path := local
	if !dotString(local) {
		path = `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(local) + `"`
	}
	literal, bracket := strings.CutPrefix(domain, "[")
	switch {
	case domain == "":
	case bracket:
		literal, closed := strings.CutSuffix(literal, "]")
		a, err := netip.ParseAddr(strings.TrimPrefix(literal, "IPv6:"))
		if !closed || err != nil || a.Zone() != "" {
			return "", fmt.Errorf("%w: bad address literal", errPath)
		}
		path += "@" + domain
	default:
		for label := range strings.SplitSeq(domain, ".") {
			if !validLabel(label) {
				return "", fmt.Errorf("%w: bad domain", errPath)
			}
		}
		path += "@" + domain
	}
	if len(path) > maxPath {
		return "", fmt.Errorf("%w: longer than %d octets", errPath, maxPath)
	}
	return path, nil
}

// dotString is the Dot-string of RFC 5321 section 4.1.2, with RFC 6531's additions.
func dotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := 0; i < len(atom); i++ {
			if ch := atom[i]; ch < 0x80 && !alnum(ch) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(ch)) {
				return false
			}
		}
	}
	return true
}

// ALabels returns a domain with each U-label as its A-label (RFC 5890 section 2.3.2.1), and whether that is possible.
func ALabels(domain string) (string, bool) {
	if ascii(domain) {
		return domain, true
	}
	if !utf8.ValidString(domain) { // which idna mends
		return domain, false
	}
	a, err := idna.Lookup.ToASCII(domain)
	return a, err == nil
}

// asciiPath returns a path in ASCII, and whether it has such a form: a local-part that is not ASCII has none.
func asciiPath(path string) (string, bool) {
	at := strings.LastIndexByte(path, '@')
	if at < 0 || !ascii(path[:at]) {
		return path, ascii(path)
	}
	domain, ok := ALabels(path[at+1:])
	if path = path[:at+1] + domain; len(path) > maxPath {
		return path, false
	}
	return path, ok
}

// ascii reports whether s needs no SMTPUTF8.
func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// hostname returns s as NAME may hold it, without a trailing dot. It returns "" and true for "",
// and "" and false for what is no host name or is reserved: Postfix takes "unknown" for a
// resolved name, and "localhost" for itself.
func hostname(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > maxValue || !ascii(s) {
		return "", false
	}
	numeric := true
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) || len(label) > 63 {
			return "", false
		}
		numeric = strings.Trim(label, "0123456789") == ""
	}
	// The last label of a name is not all digits (RFC 3696 section 2): such are addresses.
	if _, err := netip.ParseAddr(s); numeric || err == nil {
		return "", false
	}
	lower := strings.ToLower(s)
	if lower == "unknown" || lower == "localhost" || lower == "localhost.localdomain" || strings.HasSuffix(lower, ".localhost") {
		return "", false
	}
	return s, true
}

// validLabel reports whether l is a label of RFC 1123 section 2.1, of any length and with the
// underscore that real names have, or a U-label (RFC 5890).
func validLabel(l string) bool {
	if l == "" || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := 0; i < len(l); i++ {
		if ch := l[i]; ch < 0x80 && !alnum(ch) && ch != '-' && ch != '_' {
			return false
		}
	}
	return true
}

func alnum(ch byte) bool {
	switch {
	case '0' <= ch && ch <= '9', 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z':
		return true
	}
	return false
}
