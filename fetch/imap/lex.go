package imap

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	maxDescents   = 1000      // in a list of UIDs that the library gets as it came
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
	prose // no response at all: the second line of an alert, for one
)

// lexer reads the server's stream line by line and says anew, in pass, what of it the library needs. The library ends
// the session over what it cannot read, whoever needs it; so it gets nothing that truehop does not use, and
// the rest in one form. What the guard takes for the inside of a literal is not looked at, so a line that might be
// read in two ways is refused.
type lexer struct {
	kind    lineKind
	tag     []byte // "T7", "*"; valid until the next line
	name    []byte // "FETCH", "OK", in upper case; valid until the next line
	text    []byte // what follows name; valid until the next line
	number  uint32 // of "* 12 EXISTS"
	pass    []byte // the line for the library, nil for none; valid until the next line
	depth   int
	partial bool  // the next line continues this one behind a literal
	literal int64 // the size of the literal that follows this line, -1 for none
	body    bool  // that literal is a whole message, and for the library
	limit   int64 // of a message's size
	fetch   fetchResponse
	// uidOf returns the UID of a message by its number, 0 where that is not certain.
	uidOf func(number uint32) uint32
	// bodies reports whether whole messages are asked for.
	bodies func() bool
	// asked returns the tag of the SEARCH command that a response to tag, "" for an unknown one, can only belong to, and whether
	// there is another way to what it asks for.
	asked func(tag string) (string, bool)
	// prose reports whether a line that is no response may be passed over.
	prose func() bool
	// line says that the literal which has just been read ended in LF.
	line bool
}

// next takes one line with its end, which should be CRLF and is LF with a few servers.
func (x *lexer) next(line []byte) error {
	x.literal, x.body, x.pass = -1, false, x.pass[:0]
	rest := bytes.TrimRight(line[:len(line)-1], "\r") // CR CR LF has been seen, too
	first := !x.partial
	if first {
		rest = bytes.TrimLeft(rest, "\x00") // some servers pad
		err := x.head(rest)
		if errors.Is(err, errNoResponse) && x.isProse(rest) {
			x.kind, x.name, x.text, x.pass = prose, nil, rest, x.pass[:0]
			return nil
		}
		if err != nil {
			return err
		}
		rest = x.text
	}
	if x.kind == data || x.kind == search {
		if bytes.ContainsAny(rest, "\x00\r") {
			return errors.New("bare CR or NUL outside a literal")
		}
	}
	switch x.kind {
	case continuation:
		x.say("+ ", rest)
	case tagged, untagged:
		x.status()
	case search:
		return x.found()
	case other:
		// Nobody needs it: it is passed over with its literals.
		x.pass, x.partial = x.pass[:0], false
		if _, ok := announced(rest); ok {
			return x.announce(rest[bytes.LastIndexByte(rest, '{'):], maxLiteral)
		}
	case data:
		switch string(x.name) {
		case "FETCH":
			err := x.fetched(rest, first)
			if err != nil && first && needless(rest) {
				x.pass, x.partial, x.depth = x.pass[:0], false, 0
				return nil
			}
			return err
		case "CAPABILITY":
			if list := capabilityList(string(x.text)); list != "" {
				x.say(" CAPABILITY ", []byte(list))
			} else {
				x.pass = x.pass[:0]
			}
		default: // EXISTS and EXPUNGE are said anew
			x.pass = append(strconv.AppendUint(append(x.pass, ' '), uint64(x.number), 10), ' ')
			x.say(string(x.name), nil)
		}
	}
	return nil
}

// say appends to what the library gets, as a line.
func (x *lexer) say(words string, more []byte) {
	x.pass = append(append(append(x.pass, words...), printable(more)...), "\r\n"...)
}

// printable is text without what no line may hold.
func printable(text []byte) []byte {
	if !bytes.ContainsAny(text, "\x00\r") {
		return text
	}
	return bytes.Map(func(r rune) rune {
		if r == 0 || r == '\r' {
			return '?'
		}
		return r
	}, text)
}

// head reads "+ ", "* OK ", "* 12 FETCH " or "T7 OK " (RFC 9051 section 2.2.2), with as many spaces as there are. An
// empty line is no response, and no harm.
func (x *lexer) head(line []byte) error {
	x.depth, x.partial, x.number = 0, false, 0
	if len(line) > 0 && line[0] == '+' {
		x.kind, x.name, x.text = continuation, line[:1], bytes.TrimPrefix(line[1:], []byte(" "))
		return nil
	}
	if readCode(line).name == "COPYUID" { // Exchange 2013 leaves out what stands before it
		line = append([]byte("* OK "), line...)
	}
	first, rest := cutWord(line)
	x.tag = first
	if len(first) == 0 {
		x.kind, x.name, x.text = other, nil, nil
		return nil
	}
	x.name, x.text = cutName(rest)
	numbered := isNumber(x.name)
	if numbered {
		n, err := strconv.ParseUint(string(x.name), 10, 32)
		if err != nil {
			return errors.New("number beyond 32 bits")
		}
		x.number = uint32(n)
		x.name, x.text = cutName(x.text)
	}
	star := string(first) == "*"
	if star && !numbered && len(x.name)+len(x.text) == 0 { // nothing is said
		x.kind = other
		return nil
	}
	if tag := star || isWord(first); !tag || !isWord(x.name) || isNumber(x.name) {
		return errNoResponse
	}
	x.name = bytes.ToUpper(x.name)
	switch string(x.name) {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		x.kind = untagged
	case "SEARCH", "ESEARCH":
		x.kind = search
	case "CAPABILITY", "EXISTS", "FETCH", "EXPUNGE":
		x.kind = data
	default:
		x.kind = other
	}
	status := x.kind == untagged
	switch {
	case numbered && status, numbered && !star:
		return errNoResponse
	case !star && !status:
		return fmt.Errorf("tagged line is none of OK, NO, BAD: %w", errNoResponse)
	case !star:
		x.kind = tagged
	}
	x.pass = append(x.pass, first...)
	return nil
}

// errNoResponse is the error of a line that is no response.
var errNoResponse = errors.New("line is no response")

// isProse reports whether a line that is no response says nothing to truehop and can be passed over: servers break their alerts over lines. What
// bears a tag of truehop's own is no prose, and neither is what might be the beginning of a literal.
func (x *lexer) isProse(line []byte) bool {
	first, _ := cutWord(line)
	number, tagged := bytes.CutPrefix(bytes.ToUpper(first), []byte("T")) // as the library writes its tags
	ours := tagged && len(number) > 0 && isNumber(number)
	literal := bytes.HasSuffix(bytes.TrimRight(line, " \t"), []byte("}"))
	return !ours && !literal && x.prose != nil && x.prose()
}

// cutName is cutWord for the name of a response. A few servers leave out the space before the parenthesis or bracket behind it.
func cutName(s []byte) (name, rest []byte) {
	name, rest = cutWord(s)
	if end := bytes.IndexAny(name, "(["); end >= 0 {
		return name[:end], bytes.TrimLeft(s, " \t")[end:]
	}
	return name, rest
}

// cutWord splits at the first blanks, after those that s begins with.
func cutWord(s []byte) (word, rest []byte) {
	s = bytes.TrimLeft(s, " \t")
	end := bytes.IndexAny(s, " \t")
	if end < 0 {
		return s, nil
	}
	return s[:end], bytes.TrimLeft(s[end:], " \t")
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

// status says a status response anew: its code, if the library can read it, and its text.
func (x *lexer) status() {
	x.pass = append(append(append(x.pass, ' '), x.name...), ' ')
	c := readCode(x.text)
	switch c.name {
	case "":
		if len(c.text) > 0 && c.text[0] == '[' { // the library would take it for a code
			x.pass = append(x.pass, '(')
			c.text = c.text[1:]
		}
		x.say("", c.text)
		return
	case "CAPABILITY":
		if list := capabilityList(c.arguments); list != "" {
			x.say("[CAPABILITY "+list+"] ", c.text)
			return
		}
	case "UIDVALIDITY", "UIDNEXT":
		if n, err := strconv.ParseUint(c.arguments, 10, 32); err == nil && n > 0 {
			x.say("["+c.name+" "+strconv.FormatUint(n, 10)+"] ", c.text)
			return
		}
	case "COPYUID", "APPENDUID", "PERMANENTFLAGS", "HIGHESTMODSEQ", "UNSEEN", "BADCHARSET", "MAILBOXID": // with arguments, or none of them
	default:
		// The library passes over a code that it does not know, and over its text.
		x.pass = append(append(append(x.pass, '['), c.name...), "] "...)
		if c.arguments != "" {
			x.pass = append(append(append(x.pass, '('), printable([]byte(c.arguments))...), ") "...)
		}
		x.say("", c.text)
		return
	}
	name := "(" + c.name
	if c.arguments != "" {
		name += " " + c.arguments
	}
	x.say("", append([]byte(name+") "), c.text...))
}

// code is the response code of a status response (RFC 9051 section 7.1). Name is in upper case, "" for none.
type code struct {
	name, arguments string
	text            []byte // behind it
}

// readCode reads "[NAME arguments] text". Flags may hold brackets, though they must not: Gmail gives them the names
// of its users' labels. A list of capabilities that nothing ends takes the whole line.
func readCode(text []byte) code {
	none := code{text: text}
	inner, found := bytes.CutPrefix(text, []byte("["))
	if !found {
		return none
	}
	end := bytes.IndexAny(inner, " ]")
	if end < 0 {
		return none
	}
	name := string(bytes.ToUpper(inner[:end]))
	if !isWord([]byte(name)) {
		return none
	}
	rest, text := []byte(nil), inner[end+1:]
	if inner[end] == ' ' {
		last := bytes.IndexByte(inner, ']')
		if name == "PERMANENTFLAGS" {
			if closing := bytes.LastIndex(inner, []byte(")]")); closing >= 0 {
				last = max(last, closing+1)
			}
		}
		switch {
		case last >= 0:
			rest, text = inner[end+1:last], inner[last+1:]
		case name == "CAPABILITY":
			rest, text = inner[end+1:], nil
		default:
			return none
		}
	}
	return code{name, string(bytes.TrimSpace(rest)), bytes.TrimLeft(text, " \t")}
}

// capabilities returns what a server lists, without quotes, and without what is no capability.
func capabilities(text string) []string {
	var list []string
	for name := range strings.FieldsSeq(text) {
		name = strings.Trim(name, `"[]()`)
		odd := strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`(){%*"\]`, r) })
		if name != "" && !odd && len(list) < maxCapabilities {
			list = append(list, name)
		}
	}
	return list
}

// capabilityList returns capabilities as the library should see them. It sends names of folders in UTF-8 to whoever
// announces IMAP4rev2, but that must be enabled first where IMAP4rev1 is offered, too (RFC 9051 section 6.3.1).
func capabilityList(text string) string {
	list := capabilities(text)
	if slices.ContainsFunc(list, func(name string) bool { return strings.EqualFold(name, "IMAP4rev1") }) {
		for i, name := range list {
			if strings.EqualFold(name, "IMAP4rev2") {
				list[i] = "IMAP4rev1"
			}
		}
	}
	return strings.Join(list, " ")
}

// found says SEARCH and ESEARCH anew, in ascending order where it matters. What a server may add behind the numbers (RFC 7162 section 3.1.5) is
// left out. A result that cannot be read counts as none where there is another way.
func (x *lexer) found() error {
	tag, uids, err := x.result()
	if err == nil {
		uids, err = inOrder(uids)
	}
	asked, dispensable := "", false
	if x.asked != nil {
		asked, dispensable = x.asked(tag)
	}
	tag = cmp.Or(tag, asked)
	switch extended := string(x.name) == "ESEARCH"; {
	case errors.Is(err, errNotRead) && dispensable, err == nil && extended && tag == "":
		x.kind, x.pass = other, x.pass[:0]
		return nil
	case err != nil:
		return err
	case extended && len(uids) == 0:
		x.say(fmt.Sprintf(" ESEARCH (TAG %q) UID", tag), nil)
	case extended:
		x.say(fmt.Sprintf(" ESEARCH (TAG %q) UID ALL ", tag), uids)
	case len(uids) == 0:
		x.say(" SEARCH", nil)
	default:
		x.say(" SEARCH ", uids)
	}
	return nil
}

// errNotRead is the error of a SEARCH or ESEARCH response that is nonsense.
var errNotRead = errors.New("SEARCH result is not of UIDs")

// result reads a SEARCH response, "1 2 3", or what truehop asks of ESEARCH: `(TAG "T3") UID ALL 1:3,7` (RFC 4731 section 3.1). tag is ""
// where it names none.
func (x *lexer) result() (tag string, uids []byte, err error) {
	if string(x.name) == "SEARCH" {
		text, more, _ := bytes.Cut(x.text, []byte("("))
		if len(more) > 0 && !bytes.HasPrefix(bytes.ToUpper(more), []byte("MODSEQ")) {
			return "", nil, errNotRead
		}
		words := slices.DeleteFunc(bytes.Fields(text), func(word []byte) bool { return string(word) == "0" }) // no UID
		if !slices.ContainsFunc(words, func(word []byte) bool { return !isNumber(word) }) {
			return "", bytes.Join(words, []byte(" ")), nil
		}
		return "", nil, errNotRead
	}
	rest := bytes.TrimLeft(x.text, " \t")
	if inner, opened := bytes.CutPrefix(rest, []byte("(")); opened {
		correlator, behind, closed := bytes.Cut(inner, []byte(")"))
		words := strings.Fields(string(correlator))
		if !closed || len(words) != 2 || !strings.EqualFold(words[0], "TAG") {
			return "", nil, errNotRead
		}
		tag = strings.Trim(words[1], `"`)
		if !isWord([]byte(tag)) {
			return "", nil, errNotRead
		}
		rest = behind
	}
	words := bytes.Fields(bytes.ToUpper(rest))
	isUID := len(words) > 0 && string(words[0]) == "UID"
	if isUID {
		words = words[1:]
	}
	for ; len(words) > 1; words = words[2:] {
		if string(words[0]) == "ALL" {
			uids = bytes.Trim(words[1], `"`)
		}
	}
	odd := bytes.ContainsFunc(uids, func(r rune) bool { return !strings.ContainsRune("0123456789,:*", r) })
	numbers := len(uids) > 0 && !isUID // of messages, perhaps
	if len(words) > 0 || odd || numbers {
		return tag, nil, errNotRead
	}
	return tag, uids, nil
}

// announced reads the literal that a line ends with: "{12}".
func announced(line []byte) (octets int64, ok bool) {
	i := bytes.LastIndexByte(line, '{')
	if i < 0 || !bytes.HasSuffix(line, []byte("}")) || !isNumber(line[i+1:len(line)-1]) {
		return 0, false
	}
	n, err := strconv.ParseInt(string(line[i+1:len(line)-1]), 10, 64)
	if err != nil {
		return 0, false
	}
	return n, true
}

// inOrder sorts a list of UIDs that falls more than now and then, as that of a server does which lists the newest first: the library sorts by
// insertion. One that is beyond 32 bits is errNotRead.
func inOrder(s []byte) ([]byte, error) {
	last, n, descents := uint64(0), uint64(0), 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && '0' <= s[i] && s[i] <= '9' {
			n = min(n*10+uint64(s[i]-'0'), 1<<40)
			continue
		}
		if n > 1<<32-1 {
			return nil, errNotRead
		}
		if n > 0 && n < last {
			descents++
		}
		if n > 0 {
			last, n = n, 0
		}
	}
	if descents <= maxDescents {
		return s, nil
	}
	separator := ","
	if bytes.IndexByte(s, ' ') >= 0 {
		separator = " "
	}
	items := strings.Split(string(s), separator)
	first := func(item string) uint64 {
		begin, _, _ := strings.Cut(item, ":")
		n, _ := strconv.ParseUint(begin, 10, 32) // "*" is 0, and refused later
		return n
	}
	slices.SortStableFunc(items, func(a, b string) int { return cmp.Compare(first(a), first(b)) })
	return []byte(strings.Join(items, separator)), nil
}
