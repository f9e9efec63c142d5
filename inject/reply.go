package inject

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxReplyLine is what is kept of a line, four times RFC 5321 section 4.5.3.1.5: servers put long texts
	// and URLs into refusals. Some put more: the code of such a line counts, its rest is skipped.
	maxReplyLine = 2048
	// maxSkipped bounds what is skipped of a line.
	maxSkipped = 64 << 10
	// maxReplyLines bounds one reply; the longest seen is an EHLO's, of some twenty.
	maxReplyLines = 200
)

// replyReader reads the replies of RFC 5321 section 4.2.
type replyReader struct {
	r     *bufio.Reader
	text  []byte   // of all lines of the reply at hand
	ends  []int    // of each line in text
	lines []string // of the last reply
	// err ends the reading: the last reply went wrong.
	err error
}

func newReplyReader(r io.Reader) *replyReader {
	return &replyReader{r: bufio.NewReaderSize(r, maxReplyLine)}
}

// read reads one reply. The lines are its texts as sent, in a slice that is valid until the
// next call; they serve EHLO. Errors wrap errMalformed, or come from the reader below.
// A reply that says no and then goes wrong has said no: its error is left to the next call, for
// nothing behind it can be told apart.
func (rr *replyReader) read() (Reply, []string, error) {
	if rr.err != nil {
		return Reply{}, nil, rr.err
	}
	code, err := rr.readLines()
	switch {
	case err == nil:
	case code >= 400:
		rr.err = err
	default:
		return Reply{}, nil, err
	}
	// One allocation makes strings of all lines, for an EHLO reply comes with each message.
	text, start := string(rr.text), 0
	rr.lines = rr.lines[:0]
	for _, end := range rr.ends {
		rr.lines = append(rr.lines, text[start:end])
		start = end
	}
	return makeReply(code, rr.lines), rr.lines, nil
}

// readLines reads the lines of one reply. With an error it returns the code that the lines before had, 0 where there was
// none.
func (rr *replyReader) readLines() (code int, err error) {
	rr.text, rr.ends = rr.text[:0], rr.ends[:0]
	for more := true; more; {
		line, err := rr.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			line = append(bytes.Clone(line), '\n')
			err = rr.skipLine()
		}
		switch {
		case len(rr.ends) == maxReplyLines:
			line, err = nil, fmt.Errorf("%w: more than %d lines", errMalformed, maxReplyLines)
		case errors.Is(err, io.EOF) && len(line) > 0:
			err = io.ErrUnexpectedEOF
		}
		if err != nil && len(line) == 0 {
			return code, err
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")) // a bare LF ends it too
		now, goesOn, text, bad := parseReplyLine(line)
		switch {
		case bad != nil && err != nil:
			return code, err
		case bad != nil:
			return code, bad
		case code != 0 && now != code:
			// RFC 5321 section 4.2.1: all lines carry the same code. One that does
			// not may belong to another reply. Two that say no are taken for the milder.
			err = fmt.Errorf("%w: code %d continued by %q", errMalformed, code, sanitize(string(line)))
			if min(code, now) < 400 {
				return 0, err
			}
			return min(code, now), err
		}
		code, more = now, goesOn
		rr.text = append(rr.text, text...)
		rr.ends = append(rr.ends, len(rr.text))
		if err != nil {
			return code, err
		}
	}
	return code, nil
}

// skipLine reads up to the end of a line of which the beginning has been read.
func (rr *replyReader) skipLine() error {
	for skipped := 0; skipped < maxSkipped; {
		rest, err := rr.r.ReadSlice('\n')
		switch {
		case err == nil:
			return nil
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
		skipped += len(rest)
	}
	return fmt.Errorf("%w: line longer than %d octets", errMalformed, maxSkipped)
}

// parseReplyLine takes "250-text", "250 text" and "250", which RFC 5321 section 4.2 tells
// clients to accept.
func parseReplyLine(line []byte) (code int, more bool, text []byte, err error) {
	bad := func() (int, bool, []byte, error) {
		return 0, false, nil, fmt.Errorf("%w: %q", errMalformed, sanitize(string(line)))
	}
	if len(line) < 3 {
		return bad()
	}
	for _, ch := range line[:3] {
		if ch < '0' || ch > '9' {
			return bad()
		}
		code = code*10 + int(ch-'0')
	}
	if code < 200 || code > 599 {
		return bad()
	}
	if len(line) == 3 {
		return code, false, nil, nil
	}
	switch line[3] {
	case '-':
		more = true
	case ' ', '\t':
	default:
		return bad()
	}
	return code, more, line[4:], nil
}

// BehindQuotes returns what Text says behind the addresses that it may quote, in which a sender can write what it likes, in
// lower case.
func (r Reply) BehindQuotes() string {
	return strings.ToLower(r.Text[strings.LastIndexByte(r.Text, '>')+1:])
}

func makeReply(code int, lines []string) Reply {
	reply := Reply{Code: code}
	var rest string
	reply.Enhanced, rest = enhancedCode(code, lines[0])
	if len(lines) == 1 || code == 250 { // what follows in an EHLO reply is for parseExtensions
		reply.Text = sanitize(rest)
		return reply
	}
	texts := append([]string{rest}, lines[1:]...)
	if reply.Enhanced != "" { // RFC 2034 repeats it on each line
		for i, t := range texts[1:] {
			texts[i+1] = strings.TrimPrefix(t, reply.Enhanced+" ")
		}
	}
	size := 0
	for i, t := range texts {
		if size += len(t); size > maxText {
			texts = texts[:i+1]
			break
		}
	}
	reply.Text = sanitize(strings.Join(texts, " / "))
	return reply
}

// enhancedCode splits the status code of RFC 3463 off a text. Its class must be that of
// the reply (RFC 2034 section 4).
func enhancedCode(code int, text string) (enhanced, rest string) {
	word, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(word) > 9 || len(parts) != 3 || len(parts[0]) != 1 || int(parts[0][0]-'0') != code/100 {
		return "", text
	}
	for _, p := range parts[1:] {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return "", text
		}
	}
	return word, rest
}

// queueID finds the MTA's name for the message in its reply to the dot: "queued as X"
// (Postfix, and Haraka with a capital), "OK id=X" (Exim), "Message Queued (X)" (Haraka), "X Message accepted for delivery" (sendmail, OpenSMTPD).
func queueID(text string) string {
	var id string
	if _, after, ok := strings.Cut(text, "ueued as "); ok {
		id, _, _ = strings.Cut(after, " ")
	} else if _, after, ok := strings.Cut(text, "Queued ("); ok {
		id, _, _ = strings.Cut(after, ")")
	} else if _, after, ok := strings.Cut(text, "id="); ok {
		id, _, _ = strings.Cut(after, " ")
	} else if before, _, ok := strings.Cut(text, " Message accepted for delivery"); ok {
		id = before[strings.LastIndexByte(before, ' ')+1:]
	}
	id = strings.TrimRight(id, ".,;")
	if len(id) > 64 {
		return ""
	}
	for i := 0; i < len(id); i++ {
		if !alnum(id[i]) && id[i] != '-' && id[i] != '.' && id[i] != '_' {
			return ""
		}
	}
	return id
}

// extensions are what an EHLO reply offers.
type extensions struct {
	lines      []string
	pipelining bool
	eightBit   bool
	utf8       bool
	dsn        bool
	chunking   bool
	startTLS   bool
	size       bool
	sizeLimit  int64
	auth       []string
	xclient    []string // nil if not offered
	xforward   []string // likewise
}

// parseExtensions reads the lines of an EHLO reply but the first (RFC 5321 section 4.1.1.1).
func parseExtensions(lines []string) extensions {
	var x extensions
	if len(lines) == 0 {
		return x
	}
	x.lines = slices.Clone(lines[1:])
	for _, line := range x.lines {
		keyword, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(keyword) {
		case "PIPELINING":
			x.pipelining = true
		case "8BITMIME":
			x.eightBit = true
		case "SMTPUTF8":
			x.utf8 = true
		case "DSN":
			x.dsn = true
		case "CHUNKING":
			x.chunking = true
		case "STARTTLS":
			x.startTLS = true
		case "SIZE":
			x.size = true
			if n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 62); err == nil {
				x.sizeLimit = int64(n) // RFC 1870 section 4; 0 is no limit
			}
		case "AUTH":
			x.auth = strings.Fields(strings.ToUpper(rest))
		case "XCLIENT":
			x.xclient = strings.Fields(strings.ToUpper(rest))
		case "XFORWARD":
			x.xforward = strings.Fields(strings.ToUpper(rest))
		}
	}
	return x
}
