package importer

import (
	"slices"
	"strconv"
	"strings"
)

// token is a word of a fetchmailrc.
type token struct {
	text string
	// quoted says that it is text, whatever it looks like.
	quoted bool
	// equals says that it is the sign between the two sides of a mapping.
	equals bool
	place
}

// is reports whether a token is one of the keywords.
func (t token) is(words ...string) bool {
	if t.quoted {
		return false
	}
	return slices.ContainsFunc(words, func(w string) bool { return t.text == w || t.text == strings.ToUpper(w) })
}

// number returns the number that the token is.
func (t token) number() (int, bool) {
	n, err := strconv.Atoi(t.text)
	return n, err == nil && !t.quoted
}

// fetchmailTokens splits a fetchmailrc into words. Colon, semicolon and comma separate like blanks.
func fetchmailTokens(file string, text []byte) ([]token, error) {
	var tokens []token
	at := place{1, 1}
	s := string(text)
	for len(s) > 0 {
		var width int
		switch c := s[0]; {
		case c == '\\' && strings.HasPrefix(s[1:], "\n"):
			width = 2
		case strings.IndexByte(" \t\r\n:;,", c) >= 0:
			width = 1
		case c == '#':
			if width = strings.IndexByte(s, '\n'); width < 0 {
				width = len(s)
			}
		case c == '=':
			width = 1
			tokens = append(tokens, token{text: "=", equals: true, place: at})
		case c == '"', c == '\'':
			value, n, err := quotedToken(file, s, at)
			if err != nil {
				return nil, err
			}
			width = n
			tokens = append(tokens, token{text: value, quoted: true, place: at})
		default:
			if width = strings.IndexAny(s, "=;:, \t\r\n"); width < 0 {
				width = len(s)
			}
			word := unescape(strings.TrimSuffix(s[:width], `\`)) // at the end of a line it goes on
			if strings.IndexByte(word, 0) >= 0 {
				return nil, wrong(file, at, "a word with a NUL octet") // not shown, for it may be a password
			}
			tokens = append(tokens, token{text: word, place: at})
		}
		at = at.after(s[:width])
		s = s[width:]
	}
	return tokens, nil
}

// after is the place behind a text. Columns count octets.
func (p place) after(text string) place {
	if lines := strings.Count(text, "\n"); lines > 0 {
		return place{p.line + lines, len(text) - strings.LastIndexByte(text, '\n')}
	}
	return place{p.line, p.column + len(text)}
}

// quotedToken reads a text in quotes, with the escapes of C, and returns how many octets it takes up.
func quotedToken(file, s string, at place) (value string, width int, err error) {
	var b strings.Builder
	quote := s[0]
	for i := 1; i < len(s); {
		switch c := s[i]; {
		case c == quote:
			return b.String(), i + 1, nil
		case c == 0:
			return "", 0, wrong(file, at.after(s[:i]), "a NUL octet")
		case c == '\\' && i+1 < len(s):
			octet, n := escape(s[i+1:])
			b.WriteString(octet)
			i += 1 + n
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", 0, wrong(file, at, "this quote is not closed")
}

// unescape reads a word without quotes, in which escapes mean the same.
func unescape(word string) string {
	var b strings.Builder
	for {
		before, behind, more := strings.Cut(word, `\`)
		b.WriteString(before)
		if !more || behind == "" {
			return b.String()
		}
		octet, n := escape(behind)
		b.WriteString(octet)
		word = behind[n:]
	}
}

// escape reads what stands behind a backslash, and returns how many octets that is.
func escape(s string) (octet string, width int) {
	number := func(digits string, base, width int) (string, int) {
		n, err := strconv.ParseUint(digits, base, 8)
		if err != nil {
			return s[:1], 1
		}
		return string([]byte{byte(n)}), width
	}
	run := func(from, most int, set string) int {
		end := from
		for end < len(s) && end < from+most && strings.IndexByte(set, s[end]) >= 0 {
			end++
		}
		return end
	}
	switch c := s[0]; {
	case c == '\n':
		return "", 1 // the line goes on
	case c == 'n':
		return "\n", 1
	case c == 't':
		return "\t", 1
	case c == 'b':
		return "\b", 1
	case c == 'r':
		return "\r", 1
	case c == 'x':
		end := run(1, 2, "0123456789abcdefABCDEF")
		return number(s[1:end], 16, end)
	case c == '0':
		end := run(0, 4, "01234567")
		return number(s[:end], 8, end)
	case '1' <= c && c <= '9':
		end := run(0, 3, "0123456789")
		return number(s[:end], 10, end)
	default:
		return s[:1], 1
	}
}
