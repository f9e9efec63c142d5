package injecttest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// bdat takes one chunk (RFC 3030 section 2). As with Postfix its octets are read whatever the
// reply will be, chunks behind a failed one are discarded, and a last one ends the message.
func (c *conn) bdat(rest string) {
	number, word, more := strings.Cut(rest, " ")
	size, err := strconv.ParseUint(number, 10, 31)
	malformed := err != nil
	if more && upper(word) != "LAST" {
		malformed = true
	}
	if malformed {
		c.say("501 5.5.4 Syntax: BDAT count [LAST]")
		c.over = true // what follows is no command
		return
	}
	m := &c.message
	take := c.inMail && len(m.To) > 0 && !c.failed
	if c.r.Buffered() == 0 {
		c.flush()
	}
	if take && !c.s.o.Discard {
		data := bytes.NewBuffer(m.Data)
		_, err = io.CopyN(data, c.r, int64(size))
		m.Data = data.Bytes()
		c.s.record("C: (" + strconv.FormatUint(size, 10) + " octets of content)")
	} else {
		_, err = io.CopyN(io.Discard, c.r, int64(size))
	}
	if err != nil {
		c.over = true
		return
	}
	switch {
	case !c.inMail:
		c.reply(BDAT, "503 5.5.1 Error: need RCPT command")
	case len(m.To) == 0:
		c.reply(BDAT, "554 5.5.1 Error: no valid recipients")
	case c.failed:
		c.reply(BDAT, fmt.Sprintf("551 5.0.0 Discarded %d bytes after earlier error", size))
	case !more:
		m.Octets, m.Chunks = m.Octets+int(size), m.Chunks+1
		c.failed = !c.reply(BDAT, fmt.Sprintf("250 2.0.0 Ok: %d bytes", size))
	default:
		m.Octets, m.Chunks = m.Octets+int(size), m.Chunks+1
		m.Bare = bare(m.Data)
		if len(m.Data) > 0 && !bytes.HasSuffix(m.Data, []byte("\r\n")) {
			m.Bare = true
		}
		if c.atDot = c.s.fault(DOT); c.atDot != nil && c.atDot.Early {
			c.atDot = nil
		}
		c.finish()
		return
	}
	c.inMail = c.inMail && !more
}
