package received

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// Limits of one field.
const (
	maxField  = 64 << 10
	maxTokens = 2048
	inlineTok = 64 // tokens that need no heap allocation; most fields have about 20
)

type tokenKind uint8

const (
	word    tokenKind = iota // a run without white space
	comment                  // ( ... ), nested
	literal                  // [ ... ]
	quoted                   // " ... "
	angle                    // < ... >
	semi                     // ;
)

// A keyword begins a clause of RFC 5321, 4.4.
type keyword uint8

const (
	kwNone keyword = iota
	kwFrom
	kwBy
	kwWith
	kwID
	kwFor
	kwVia
)

// A token is a piece of the field outside comments: s[pos:end], delimiters
// included.
type token struct {
	pos, end int32
	kind     tokenKind
	key      keyword
}

// A scanner splits a field into tokens in one pass from left to right. Its error
// is sticky: the first one is kept, and scanning continues as well as it can.
type scanner struct {
	s   string
	i   int
	err *ParseError
	at  int // position of err in s

	// The tokens: all of them in few, or all in long if few is too small. A
	// slice of few must not be stored, or the scanner would escape to the heap.
	few  [inlineTok]token
	n    int
	long []token

	open []int32 // angle brackets that closingAngle knows to have no end
}

// A span is a run of tokens, by index.
type span struct{ from, to int }

// tokens returns the tokens of a span.
func (sc *scanner) tokens(at span) []token {
	if sc.n > inlineTok {
		return sc.long[at.from:at.to]
	}
	return sc.few[at.from:at.to]
}

func (sc *scanner) fail(e *ParseError) {
	if sc.err == nil {
		sc.err, sc.at = e, sc.i
	}
}

// text returns a token without its delimiters.
func (sc *scanner) text(t token) string {
	if t.kind != word && t.end-t.pos >= 2 {
		return sc.s[t.pos+1 : t.end-1]
	}
	return sc.s[t.pos:t.end]
}

// raw returns a token with its delimiters.
func (sc *scanner) raw(t token) string { return sc.s[t.pos:t.end] }

// glued reports whether t follows another token without white space.
func (sc *scanner) glued(t token) bool { return t.pos > 0 && sc.s[t.pos-1] != ' ' }

// is reports whether t is the word w, in any case.
func (sc *scanner) is(t token, w string) bool {
	return t.kind == word && int(t.end-t.pos) == len(w) && foldEqual(sc.raw(t), w)
}

// scan reads all tokens.
func (sc *scanner) scan() {
	for sc.i < len(sc.s) {
		if sc.s[sc.i] == ' ' {
			sc.i++
			continue
		}
		if sc.n == maxTokens {
			sc.fail(ErrTooComplex)
			return
		}
		start := sc.i
		kind := sc.next()
		key := kwNone
		if n := sc.i - start; kind == word && n < len(keywords) {
			for _, k := range keywords[n] {
				if foldEqual(sc.s[start:sc.i], k.word) {
					key = k.key
				}
			}
		}
		t := token{int32(start), int32(sc.i), kind, key}
		if sc.n < inlineTok {
			sc.few[sc.n] = t
			sc.n++
			continue
		}
		if sc.n == inlineTok {
			left := len(sc.s) - start // a token has an octet at least
			sc.long = append(slices.Grow(sc.long, min(maxTokens, inlineTok+left)), sc.few[:]...)
		}
		sc.long = append(sc.long, t)
		sc.n++
	}
}

// next moves i from the first octet of a token to the octet after it.
func (sc *scanner) next() tokenKind {
	rest := sc.s[sc.i+1:]
	switch sc.s[sc.i] {
	case '(':
		sc.comment()
		return comment
	case ';':
		sc.i++
		return semi
	case '"':
		if end := strings.IndexByte(rest, '"'); end >= 0 {
			if strings.ContainsAny(rest[:end], "()[];") {
				sc.fail(ErrQuotedClause)
			}
			sc.i += end + 2
			return quoted
		}
	case '[':
		if end := strings.IndexAny(rest, "[]("); end >= 0 && rest[end] == ']' {
			sc.i += end + 2
			return literal
		}
	case '<':
		if end := sc.closingAngle(); end >= 0 {
			sc.i = end + 1
			return angle
		}
	}
	// A word ends before a blank, a comment, a semicolon or a literal.
	start, end := sc.i, sc.i+1
	for end < len(sc.s) && !endsWord[sc.s[end]] {
		end++
	}
	if strings.IndexByte(sc.s[start:end], ')') >= 0 {
		sc.fail(ErrStrayParenthesis)
	}
	sc.i = end
	return word
}

// endsWord holds the octets that a word ends before.
var endsWord = [256]bool{' ': true, '(': true, ';': true, '[': true}

// keywords are the keywords by length, in lower case.
var keywords = [...][]struct {
	word string
	key  keyword
}{
	2: {{"by", kwBy}, {"id", kwID}},
	3: {{"for", kwFor}, {"via", kwVia}},
	4: {{"from", kwFrom}, {"with", kwWith}},
}

// comment reads a comment and the comments inside it. It counts them instead of
// calling itself, so that depth costs nothing. A backslash quotes the next octet
// (RFC 5322, 3.2.2).
func (sc *scanner) comment() {
	// Most comments hold neither a comment nor a backslash.
	if n := strings.IndexByte(sc.s[sc.i:], ')'); n > 0 {
		inside := sc.s[sc.i+1 : sc.i+n]
		if strings.IndexByte(inside, '(') < 0 && strings.IndexByte(inside, '\\') < 0 {
			sc.checkSwallowed(inside)
			sc.i += n + 1
			return
		}
	}
	depth := 0
	for i := sc.i; i < len(sc.s); i++ {
		c := sc.s[i]
		if !delimitsComment[c] {
			continue
		}
		switch c {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth > 0 {
				continue
			}
			// The same within an inner comment.
			sc.checkSwallowed(sc.s[sc.i+1 : i])
			_, inner, nested := strings.Cut(sc.s[sc.i+1:i+1], "(")
			by := strings.Contains(inner, "by ") || strings.Contains(inner, "BY ")
			if nested && by && hidesAddr(inner) {
				sc.fail(ErrTwoWriters)
			}
			sc.i = i + 1
			return
		}
	}
	sc.fail(ErrUnclosed)
	sc.i = len(sc.s)
}

// checkSwallowed fails where a comment holds an address and a "by": that is how the writer's own words look after the client's HELO has
// opened a comment and other text of the client's, or the recipient, has closed it.
func (sc *scanner) checkSwallowed(inside string) {
	if strings.Contains(inside, " by ") && hidesAddr(inside) {
		sc.fail(ErrTwoWriters)
	}
}

// delimitsComment holds the octets that mean something inside a comment.
var delimitsComment = [256]bool{'(': true, ')': true, '\\': true}

// closingAngle returns the position of the > that ends the angle bracket at i,
// or -1. Some writers nest the brackets. If there is no end, closingAngle notes
// which of the brackets inside have none either, so that no text is searched
// twice and time stays linear.
func (sc *scanner) closingAngle() int {
	if _, found := slices.BinarySearch(sc.open, int32(sc.i)); found {
		return -1
	}
	depth, end := 0, sc.i
search:
	for ; end < len(sc.s); end++ {
		switch sc.s[end] {
		case '<':
			depth++
		case '>':
			depth--
			if depth == 0 {
				return end
			}
		case ';', '(', ')':
			break search
		}
	}
	sc.open = sc.open[:0]
	for i := sc.i; i < end; i++ {
		switch sc.s[i] {
		case '<':
			sc.open = append(sc.open, int32(i))
		case '>':
			sc.open = sc.open[:len(sc.open)-1]
		}
	}
	return -1
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// unfold turns a field body into a string with one blank for each run of white
// space and folding (RFC 5322, 2.2.3). NUL, and a CR or LF that does not fold,
// are errors, because two readers would see two different fields. Such a CR or
// LF becomes a blank too; NUL is kept, so that the text around it is not joined.
// It allocates once: the first string is raw as it is, the second is value, unfolded.
func unfold(raw, value []byte) (string, string, *ParseError) {
	value = trimEnd(value)
	u := unfolder{blank: true}
	u.out.Grow(len(raw) + len(value))
	u.out.Write(raw)
	for first := true; len(value) > 0; first = false {
		line, rest, ends := value, value[len(value):], false
		if n := bytes.IndexByte(value, '\n'); n >= 0 {
			line, rest, ends = value[:n], value[n+1:], true
		}
		if !first && !startsFolded(line) {
			u.bad = ErrControl // the line end before it does not fold
		}
		if ends && len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		}
		// In most lines only the beginning needs work.
		for startsFolded(line) {
			u.space()
			line = line[1:]
		}
		switch {
		case len(line) == 0:
		case isPlain(line):
			u.out.Write(line)
			u.blank = false
		default:
			for _, c := range line {
				if c == 0 || c == '\r' {
					u.bad = ErrControl
				}
				if isSpace(c) {
					u.space()
					continue
				}
				u.out.WriteByte(c)
				u.blank = false
			}
		}
		if ends {
			u.space()
		}
		value = rest
	}
	both := u.out.String()
	return both[:len(raw)], both[len(raw):], u.bad
}

// An unfolder builds the string that unfold returns.
type unfolder struct {
	out   strings.Builder
	blank bool // nothing but raw is in out yet, or out ends with a blank
	bad   *ParseError
}

func (u *unfolder) space() {
	if !u.blank {
		u.out.WriteByte(' ')
		u.blank = true
	}
}

// isPlain reports whether a line needs no work: no white space but single blanks between
// words, and no control. It looks at eight octets at a time, and may take a line that is
// plain for one that is not.
func isPlain(line []byte) bool {
	const each = 0x0101010101010101 // of the eight
	blank := uint64(0)              // not 0 if the octet before is a blank
	for len(line) >= 8 {
		x := binary.LittleEndian.Uint64(line)
		controls := (x - each*' ') &^ x & (each * 0x80) // the high bit of each octet below ' '
		blanks := (x - each*'!') &^ x & (each * 0x80)
		if controls != 0 || blanks&(blanks<<8|blank) != 0 {
			return false
		}
		blank = blanks >> 56
		line = line[8:]
	}
	for _, c := range line {
		switch {
		case c > ' ':
			blank = 0
		case c < ' ', blank != 0:
			return false
		default:
			blank = 1
		}
	}
	return blank == 0
}

// trimEnd cuts off the line end and the white space before it.
func trimEnd(b []byte) []byte {
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
