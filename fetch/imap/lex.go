package imap

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Bounds of what a server may send, in octets unless said otherwise. The library's
// decoder has none: 200 KB of "(" keep it busy for minutes, 8 MB kill the process.
const (
	maxLine       = 64 << 10
	maxSearchLine = 12 << 20  // 1,000,000 UIDs of ten digits
	maxLiteral    = 64 << 10  // of a literal that is no message
	maxControl    = 2 << 20   // of all that is no message, in answer to one call
	searchCost    = 8         // octets of a list of UIDs that count as one
	maxLines      = 100_000   // in answer to one call
	lineAllowance = 4         // lines more for each message that the call is about
	allowance     = 256       // octets more, likewise
	maxDepth      = 32        // of parentheses
	maxDescents   = 1000      // in a list of UIDs; the library sorts by insertion
	maxBody       = 1<<32 - 1 // of a message; RFC 3501 section 4.3 knows no more
	largeSlack    = 64 << 20  // how much larger than its limit a message is let pass, to be skipped
)

// lineKind is what a response line is, as far as the guard must know.
type lineKind uint8

const (
	other    lineKind = iota // untagged data that truehop did not ask for
	data                     // untagged data for the library
	search                   // SEARCH or ESEARCH
	untagged                 // a status response: OK, NO, BAD, BYE, PREAUTH
	tagged                   // the status response that ends a command
	continuation
)

// lexer splits the server's stream into lines and literals exactly as the library's
// decoder will, and refuses what the two might see differently: what the guard
// takes for the inside of a literal is not looked at, so nothing else may pass there.
type lexer struct {
	kind    lineKind
	tag     []byte // "T7", "*"; valid until the next line
	name    []byte // "FETCH", "OK"; valid until the next line
	text    []byte // what follows name; valid until the next line
	number  uint32 // of "* 12 EXISTS"
	depth   int
	partial bool  // the next line continues this one behind a literal
	literal int64 // the size of the literal that follows this line, -1 for none
	body    bool  // that literal is a whole message
	header  int   // where "{" of that literal is
	limit   int64 // of a message's size
}

// next takes one line with its CRLF.
func (x *lexer) next(line []byte) error {
	x.literal, x.body = -1, false
	rest, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return errors.New("line ends in a bare LF")
	}
	if bytes.IndexByte(rest, 0) >= 0 || bytes.IndexByte(rest, '\r') >= 0 {
		return errors.New("bare CR or NUL outside a literal")
	}
	if !x.partial {
		if err := x.head(rest); err != nil {
			return err
		}
		rest = x.text
	}
	switch x.kind {
	case continuation:
		return nil
	case tagged, untagged:
		// The library reads an unknown code to the next "]", wherever that is.
		if bytes.HasPrefix(rest, []byte("[")) && bytes.IndexByte(rest, ']') < 0 {
			return errors.New("response code without end")
		}
		return nil
	case search:
		if err := ascends(rest); err != nil {
			return err
		}
	}
	x.partial = false
	return x.values(rest, len(line)-2-len(rest))
}

// head reads "+ ", "* OK ", "* 12 FETCH " or "T7 OK " (RFC 9051 section 2.2.2).
func (x *lexer) head(line []byte) error {
	x.depth = 0
	if len(line) > 0 && line[0] == '+' {
		x.kind, x.name, x.text = continuation, line[:1], bytes.TrimPrefix(line[1:], []byte(" "))
		return nil
	}
	first, rest := cutWord(line)
	x.tag = first
	x.name, x.text = cutWord(rest)
	numbered := isNumber(x.name)
	if numbered {
		n, err := strconv.ParseUint(string(x.name), 10, 32)
		if err != nil {
			return errors.New("number beyond 32 bits")
		}
		x.number = uint32(n)
		x.name, x.text = cutWord(x.text)
	}
	star := string(first) == "*"
	if tag := star || isWord(first); !tag || !isWord(x.name) || isNumber(x.name) {
		return errors.New("line is no response")
	}
	switch string(bytes.ToUpper(x.name)) {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		x.kind = untagged
	case "SEARCH", "ESEARCH":
		x.kind = search
	case "CAPABILITY", "ENABLED", "FLAGS", "EXISTS", "RECENT", "FETCH", "EXPUNGE":
		x.kind = data
	default:
		x.kind = other
	}
	status := x.kind == untagged
	switch {
	case numbered && status, numbered && !star:
		return errors.New("line is no response")
	case !star && !status:
		return errors.New("tagged line is none of OK, NO, BAD")
	case !star:
		x.kind = tagged
	}
	return nil
}

// cutWord splits at the first space.
func cutWord(s []byte) (word, rest []byte) {
	word, rest, _ = bytes.Cut(s, []byte(" "))
	return word, rest
}

// isWord accepts what tags and names of responses are made of in practice, a part of atom.
func isWord(s []byte) bool {
	for _, c := range s {
		switch {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		case c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return len(s) > 0
}

func isNumber(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) > 0
}

// values walks over parentheses and strings. offset is where s begins in its line.
func (x *lexer) values(s []byte, offset int) error {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			if x.depth++; x.depth > maxDepth {
				return errors.New("parentheses too deep")
			}
		case ')':
			if x.depth--; x.depth < 0 {
				return errors.New("closing parenthesis too many")
			}
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			if i >= len(s) {
				return errors.New("line ends inside a string")
			}
		case '{':
			x.header = offset + i
			x.body = bytes.HasSuffix(bytes.ToUpper(s[:i]), []byte("BODY[] ")) ||
				bytes.HasSuffix(bytes.ToUpper(s[:i]), []byte("BODY[] ~"))
			return x.announce(s[i:])
		}
	}
	if x.depth != 0 {
		return errors.New("line ends inside parentheses")
	}
	return nil
}

// announce reads "{123}", which must be the last of its line.
func (x *lexer) announce(s []byte) error {
	digits, ok := bytes.CutSuffix(s[1:], []byte("}"))
	if !ok || !isNumber(digits) {
		return errors.New("malformed literal")
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	limit := x.limit
	if !x.body {
		limit = min(limit, maxLiteral)
	}
	if err != nil || n > limit {
		return fmt.Errorf("literal of %.20s octets", digits)
	}
	x.literal, x.partial = n, true
	return nil
}

// ascends refuses a list of UIDs that falls more than now and then.
func ascends(s []byte) error {
	last, n, descents := uint64(0), uint64(0), 0
	for _, c := range s {
		if '0' <= c && c <= '9' {
			n = min(n*10+uint64(c-'0'), 1<<40)
			continue
		}
		if n > 0 && n < last {
			descents++
		}
		if n > 0 {
			last, n = n, 0
		}
	}
	if descents > maxDescents {
		return errors.New("UIDs in no order")
	}
	return nil
}
