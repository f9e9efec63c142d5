package inject

import (
	"net/netip"
	"strings"
)

const hexDigits = "0123456789ABCDEF"

// xtext encodes s by RFC 3461 section 4. NUL, at which Postfix would cut the value,
// becomes "?".
func xtext(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = xchar(s[i])
	}
	if clean {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case xchar(ch):
			b = append(b, ch)
		case ch == 0:
			b = append(b, '?')
		default:
			b = append(b, '+', hexDigits[ch>>4], hexDigits[ch&15])
		}
	}
	return string(b)
}

// xchar is the xchar of RFC 3461: printable ASCII but "+" and "=".
func xchar(ch byte) bool { return ch > ' ' && ch < 0x7f && ch != '+' && ch != '=' }

// hostname returns s as an attribute NAME may hold it, without a trailing dot. It
// returns "" and true for "", and "" and false for what is no host name or must not be
// claimed: Postfix takes "unknown" for a resolved name, and "localhost" is its own.
func hostname(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) == 0 || len(s) > maxValue {
		return "", false
	}
	numeric := true
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
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

// validLabel is a label of RFC 1123 section 2.1, with the underscore that real names have.
func validLabel(l string) bool {
	if len(l) == 0 || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := 0; i < len(l); i++ {
		if ch := l[i]; !alnum(ch) && ch != '-' && ch != '_' {
			return false
		}
	}
	return true
}

func alnum(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z'
}

// hasDomain reports whether name is a host name of two labels or more.
func hasDomain(name string) bool {
	h, ok := hostname(name)
	return ok && strings.Contains(h, ".")
}

// sayHELO returns what to say with EHLO for a client's HELO, and whether that is it: octets
// that EHLO cannot carry become "?", as Postfix itself keeps them. It returns ""
// where nothing is left to say.
func sayHELO(helo string) (say string, same bool) {
	helo = strings.Trim(helo, " \t\r\n")
	if helo == "" || len(helo) > maxValue {
		return "", false
	}
	b := []byte(helo)
	kept := 0
	for i, ch := range b {
		if ch <= ' ' || ch > '~' {
			b[i] = '?'
		} else {
			kept++
		}
	}
	if kept == 0 {
		return "", false
	}
	return string(b), kept == len(b)
}
