package imap

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// fetchResponse is what is known of the FETCH response under way, which literals divide into lines.
type fetchResponse struct {
	uid     uint32
	size    string // of RFC822.SIZE, "" if it was not sent
	short   string // the body if it is no literal: NIL, or a quoted string
	given   bool   // the body, a literal, has been passed on
	guessed bool   // uid is by the message's number, and the server has yet to confirm it
	blank   bool   // an empty line came behind a literal
	groups  int    // parentheses around items that are open
}

// fetched reads a line of a FETCH response and says anew what truehop asks for: UID, RFC822.SIZE and BODY[], in this
// order. The library hands a message over only if its UID comes first.
func (x *lexer) fetched(line []byte, first bool) error {
	x.pass, x.partial = x.pass[:0], false
	f := &x.fetch
	if first {
		*f = fetchResponse{}
		line = bytes.TrimLeft(line, " \t")
		switch {
		case len(line) == 0: // it says nothing
			return nil
		case line[0] != '(':
			return errors.New("FETCH without a list")
		}
		line = line[1:]
	} else if x.depth == 0 {
		if len(line) == 0 && !f.blank { // Domino ends a line there
			f.blank, x.partial = true, true
			return nil
		}
		// Another item may follow a literal that ended in LF, or an empty line, without the space that should come first.
		name, _, isItem := cutItem(line)
		known := name == "FLAGS" || isKnown(name)
		anew := f.blank || x.line
		switch {
		case len(line) > 0 && bytes.ContainsRune([]byte(" \t)"), rune(line[0])), anew && isItem && known:
		default:
			return errors.New("more text than the literal was said to have")
		}
	}
	for {
		if x.depth > 0 { // inside a value that nobody needs
			rest, err := x.leave(line)
			if err != nil || x.partial {
				return err
			}
			line = rest
		}
		line = bytes.TrimLeft(line, " \t")
		switch {
		case len(line) == 0:
			return errors.New("line ends inside parentheses")
		case line[0] == ')' && len(bytes.TrimRight(line[1:], " \t")) == 0:
			return x.endFetch()
		case line[0] == '(' && f.groups < maxDepth: // Domino puts some items in parentheses of their own
			f.groups++
			line = line[1:]
			continue
		case line[0] == ')' && f.groups > 0:
			f.groups--
			line = line[1:]
			continue
		}
		name, value, ok := cutItem(line)
		if !ok {
			return errors.New("malformed FETCH")
		}
		rest, err := x.item(name, value)
		if err != nil || x.partial {
			return err
		}
		line = rest
	}
}

// needless reports whether a FETCH response that cannot be read can be passed over: it holds no message and announces no literal. Servers tell the
// flags that others have changed unasked, and in forms of their own.
func needless(line []byte) bool {
	upper := bytes.ToUpper(line)
	message := bytes.Contains(upper, []byte("BODY")) || bytes.Contains(upper, []byte("RFC822"))
	literal := bytes.HasSuffix(bytes.TrimRight(line, " \t"), []byte("}"))
	return !message && !literal
}

// isKnown reports whether an item is one that a server we know of may send.
func isKnown(name string) bool {
	return slices.ContainsFunc(knownItems[:], func(begin string) bool { return strings.HasPrefix(name, begin) })
}

// endFetch says what is left to be said at the end of a FETCH response.
func (x *lexer) endFetch() error {
	f := &x.fetch
	switch {
	case f.given && f.guessed:
		return errors.New("FETCH of a body without a UID")
	case f.given:
		x.say(")", nil)
		return nil
	}
	items := x.items()
	switch {
	case f.short != "":
		items += "BODY[] " + f.short
	case x.bodies != nil && x.bodies():
		// Flags that another client has just changed. The library would take this for the message, and drop the body that follows.
		return nil
	}
	if items != "" {
		x.say(fmt.Sprintf("* %d FETCH (%s)", x.number, strings.TrimSuffix(items, " ")), nil)
	}
	return nil
}

// items are UID and RFC822.SIZE as far as they are known, each with a space behind it.
func (x *lexer) items() string {
	var s string
	if x.fetch.uid != 0 {
		s = "UID " + strconv.FormatUint(uint64(x.fetch.uid), 10) + " "
	}
	if x.fetch.size != "" {
		s += "RFC822.SIZE " + x.fetch.size + " "
	}
	return s
}

// cutItem cuts the name of an item off, with its section and the part of it: "BODY[HEADER.FIELDS (FROM)]<0>".
func cutItem(s []byte) (name string, rest []byte, ok bool) {
	end := bytes.IndexAny(s, " \t[()")
	if end <= 0 || !isWord(s[:end]) {
		return "", nil, false
	}
	if behind := bytes.TrimLeft(s[end:], " \t"); len(behind) > 0 && behind[0] == '[' { // which a blank may part from the name
		s = append(bytes.Clone(s[:end]), behind...)
	}
	if s[end] == '[' {
		closing := bytes.IndexByte(s, ']')
		if closing < 0 {
			return "", nil, false
		}
		end = closing + 1
		for end < len(s) && !bytes.ContainsRune([]byte(" \t({~\""), rune(s[end])) {
			end++
		}
	}
	return string(bytes.ToUpper(s[:end])), bytes.TrimLeft(s[end:], " \t"), true
}

// item reads the value of an item. If it is or holds a literal, that is announced in x and ends the line.
func (x *lexer) item(name string, value []byte) (rest []byte, err error) {
	f := &x.fetch
	switch name {
	case "FLAGS":
		return cutFlags(value)
	case "UID", "RFC822.SIZE":
		number, rest := cutAtom(value)
		n, err := strconv.ParseUint(string(number), 10, 63)
		isUID := err == nil && 0 < n && n <= 1<<32-1
		switch {
		case name == "UID" && err == nil && n == 0: // there are servers that say so of a message which has none
		case name == "UID" && !isUID:
			return nil, errors.New("FETCH with a UID that is none")
		case name == "UID" && f.given && uint32(n) != f.uid:
			return nil, errors.New("FETCH of a body with two UIDs")
		case name == "UID":
			f.uid, f.guessed = uint32(n), false
		case err == nil:
			f.size = strconv.FormatUint(n, 10)
		}
		return rest, nil
	case "BODY[]", "BODY.PEEK[]", "RFC822": // RFC 3501 section 6.4.5: RFC822 is another name of BODY[]
		return x.wholeBody(value)
	}
	return x.value(value)
}

// knownItems are what the names begin with of items that may stand in a FETCH response of a server we know of.
var knownItems = [...]string{"UID", "RFC822", "BODY", "MODSEQ", "INTERNALDATE", "ENVELOPE", "EMAILID", "THREADID", "SAVEDATE", "PREVIEW", "X-GM-"}

// cutFlags passes over a list of flags, in which servers put names that no flag may have: an item, or
// the end, follows behind its last parenthesis.
func cutFlags(value []byte) (rest []byte, err error) {
	if atom, rest := cutAtom(value); strings.EqualFold(string(atom), "NIL") {
		return rest, nil
	}
	// The last parenthesis but one ends the list, where nothing but these follows.
	end := bytes.LastIndexByte(value[:max(bytes.LastIndexByte(value, ')'), 0)], ')')
	if end < len(bytes.TrimRight(value, ") \t"))-1 {
		end = -1
	}
	for i := range value {
		if value[i] != ')' {
			continue
		}
		rest = bytes.TrimLeft(value[i+1:], " \t")
		name, _, item := cutItem(rest)
		switch {
		case i == end, item && isKnown(name):
			return rest, nil
		}
	}
	return nil, errors.New("line ends inside parentheses")
}

// cutAtom cuts a value off that is neither list nor string.
func cutAtom(s []byte) (atom, rest []byte) {
	end := bytes.IndexAny(s, " \t)")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:]
}

// cutQuoted cuts a quoted string off.
func cutQuoted(s []byte) (quoted, rest []byte, err error) {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[:i+1], s[i+1:], nil
		}
	}
	return nil, nil, errors.New("line ends inside a string")
}

// wholeBody reads what follows BODY[]. "~{3}" is a literal8 (RFC 3516) and nothing else to us.
func (x *lexer) wholeBody(value []byte) (rest []byte, err error) {
	f := &x.fetch
	value = bytes.TrimPrefix(value, []byte("~"))
	if f.given || f.short != "" { // the first counts
		return x.value(value)
	}
	switch {
	case len(value) > 0 && value[0] == '{':
		if err := x.announce(value, x.limit); err != nil {
			return nil, err
		}
		if f.uid == 0 && x.uidOf != nil { // it comes behind the body
			f.uid, f.guessed = x.uidOf(x.number), true
		}
		f.given, x.body = true, true
		x.say(fmt.Sprintf("* %d FETCH (%sBODY[] {%d}", x.number, x.items(), x.literal), nil)
		return nil, nil
	case len(value) > 0 && value[0] == '"':
		quoted, rest, err := cutQuoted(value)
		f.short = string(quoted)
		return rest, err
	}
	atom, rest := cutAtom(value)
	if !strings.EqualFold(string(atom), "NIL") {
		return nil, errors.New("malformed FETCH")
	}
	f.short = "NIL"
	return rest, nil
}

// value passes over a value that nobody needs.
func (x *lexer) value(s []byte) (rest []byte, err error) {
	switch {
	case len(s) == 0:
		return nil, errors.New("malformed FETCH")
	case s[0] == '(':
		return x.leave(s)
	case s[0] == '"':
		_, rest, err = cutQuoted(s)
		return rest, err
	case s[0] == '{':
		return nil, x.announce(s, maxLiteral)
	}
	atom, rest := cutAtom(s)
	if len(atom) == 0 {
		return nil, errors.New("malformed FETCH")
	}
	return rest, nil
}

// leave passes over lists up to the parenthesis that closes the outermost, or up to a literal.
func (x *lexer) leave(s []byte) (rest []byte, err error) {
	for len(s) > 0 {
		switch s[0] {
		case '(':
			if x.depth++; x.depth > maxDepth {
				return nil, errors.New("parentheses too deep")
			}
		case ')':
			if x.depth--; x.depth == 0 {
				return s[1:], nil
			}
		case '"':
			if _, s, err = cutQuoted(s); err != nil {
				return nil, err
			}
			continue
		case '{':
			return nil, x.announce(s, maxLiteral)
		}
		s = s[1:]
	}
	return nil, errors.New("line ends inside parentheses")
}

// announce reads "{123}", which must be the last of its line. A few servers write blanks in or behind it, or "{123+}", which is a client's
// form (RFC 7888).
func (x *lexer) announce(s []byte, limit int64) error {
	s = bytes.TrimRight(s, " \t")
	if inner, ok := bytes.CutSuffix(s[min(1, len(s)):], []byte("}")); ok {
		s = append([]byte("{"), append(bytes.Trim(bytes.TrimSuffix(inner, []byte("+")), " \t"), '}')...)
	}
	n, ok := announced(s)
	if !ok || bytes.IndexByte(s, '}') != len(s)-1 {
		return errors.New("malformed literal")
	}
	if n > min(limit, x.limit) {
		return fmt.Errorf("literal of %d octets", n)
	}
	x.literal, x.partial = n, true
	return nil
}
