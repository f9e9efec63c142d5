package pop3

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// body reads the octets of one message from the wire and undoes dot-stuffing
// (RFC 1939 section 3). It is byte-exact: only CRLF ends a line, only a dot between two
// CRLF ends the message, everything else is passed on as it is. A "\n.\n" that some
// reader took for the end would cut the message there and leave the rest to be read as replies.
//
// A line that starts with a dot loses it, stuffed or not, as the RFC says.
type body struct {
	w     *wire
	limit int64 // octets, 0 for none
	size  int64 // as LIST announced it, -1 for unknown
	more  bool  // commands behind this one are under way
	n     int64 // octets passed on
	err   error // sticky; io.EOF after the terminator
	cut   bool  // err is the limit's
	// What the last octet read from the wire was part of.
	lineStart bool // CRLF, or the beginning
	cr        bool // a CR
}

// Read returns io.EOF after the terminator and at no other time.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	total := 0
	for total < len(p) {
		if total > 0 && b.w.br.Buffered() == 0 {
			break // what is there is better than waiting for more
		}
		n, err := b.copyBuffered(p[total:])
		total += n
		b.n += int64(n)
		if b.limit > 0 && b.n > b.limit {
			b.cut, err = true, tooLarge(b.limit, fmt.Errorf("more than %d octets came", b.limit))
		}
		if err != nil {
			b.err = err
			break
		}
	}
	if total > 0 {
		return total, nil
	}
	return 0, b.err
}

// copyBuffered copies what is buffered, after waiting for at least one octet. Behind a dot that starts a line
// it waits until the end of the message and a stuffed dot can be told apart, and for no octet more.
func (b *body) copyBuffered(p []byte) (int, error) {
	br := b.w.br
	if _, err := br.Peek(1); err != nil {
		return 0, b.w.lost("RETR", err)
	}
	data, _ := br.Peek(br.Buffered())
	copied, used := b.unstuff(p, data)
	if used > 0 {
		_, err := br.Discard(used)
		return copied, err
	}
	head, err := br.Peek(2)
	if err == nil && head[1] == '\r' {
		head, err = br.Peek(3)
	}
	if err != nil {
		return 0, b.w.lost("RETR", err)
	}
	if string(head) == ".\r\n" {
		_, _ = br.Discard(3) // cannot fail after Peek
		return 0, b.atEnd()
	}
	b.lineStart, b.cr = false, false
	_, err = br.Discard(1)
	return 0, err
}

// atEnd returns io.EOF at the end of the message, and an error where text is behind it: a server that does not stuff dots, as GreenMail up to
// 1.6.9 and mailpit before May 2024, has sent a line with one alone, and what came is half of the message. One that writes line by line may not
// have sent the next by then. So where another reply is under way its begin is waited for: WildDuck up to 2025 sends it before the message has
// ended, and then what was left of that. Where none is, and LIST has announced more than came, NOOP's is waited for. For a message that is whole,
// of a server that counts otherwise, that costs a round trip.
func (b *body) atEnd() error {
	w, wait := b.w, 0
	short := b.n < b.size
	waits := short || b.more
	if waits {
		w.clock.restart()
		wait = 1
	}
	asks := short && !b.more
	if asks { // not by send: what is buffered may be the text
		w.trace("C", "NOOP")
		if err := w.write("NOOP", []byte("NOOP\r\n")); err != nil {
			return err
		}
	}
	for {
		next, err := w.br.Peek(max(wait, w.br.Buffered()))
		may, is := beginsReply(next)
		switch {
		case !may:
			return protocolError("RETR", "text behind the end of a message", next)
		case !waits, is, err != nil && b.more: // that error is the next message's
			if asks { // what the reply says does not matter
				if _, err := w.reply("NOOP"); err != nil {
					return err
				}
			}
			return io.EOF
		case err != nil:
			return w.lost("NOOP", err)
		}
		wait = len(next) + 1
	}
}

// maxReplyBegin is how many octets are looked at for the begin of a reply.
const maxReplyBegin = 64

// beginsReply reports whether what has come behind the end of a message may be a reply, be it one that nobody asked for, and
// whether that is certain.
func beginsReply(rest []byte) (may, is bool) {
	begin := strings.ToUpper(strings.TrimLeft(string(rest[:min(len(rest), maxReplyBegin)]), " \t\r\n"))
	for _, status := range []string{"+OK", "-ERR"} {
		may = may || strings.HasPrefix(begin, status[:min(len(begin), len(status))])
		is = is || strings.HasPrefix(begin, status)
	}
	return may, is || len(rest) >= maxReplyBegin
}

// unstuff copies data to p without the dots that start a line. It stops at one that
// may be the end of the message.
func (b *body) unstuff(p, data []byte) (copied, used int) {
	for copied < len(p) && used < len(data) {
		rest := data[used:]
		if b.lineStart && rest[0] == '.' {
			if len(rest) < 3 || string(rest[:3]) == ".\r\n" {
				break
			}
			b.lineStart, b.cr = false, false
			used++
			continue
		}
		n := b.toNextDot(rest[:min(len(rest), len(p)-copied)])
		copy(p[copied:], rest[:n])
		copied += n
		used += n
	}
	return copied, used
}

// toNextDot returns how many octets of data come before a dot that starts a line, and
// takes the state to the end of them.
func (b *body) toNextDot(data []byte) int {
	for at := 0; ; {
		i := bytes.Index(data[at:], newlineDot)
		if i < 0 {
			break
		}
		at += i
		cr := b.cr
		if at > 0 {
			cr = data[at-1] == '\r'
		}
		if cr {
			b.lineStart, b.cr = true, false
			return at + 1
		}
		at++
	}
	last := len(data) - 1
	before := b.cr
	if last > 0 {
		before = data[last-1] == '\r'
	}
	b.lineStart = data[last] == '\n' && before
	b.cr = data[last] == '\r'
	return len(data)
}

var newlineDot = []byte("\n.")
