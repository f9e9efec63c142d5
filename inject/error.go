package inject

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind classifies an [Error].
type Kind uint8

const (
	// Unclassified is what nobody has classified: treated as temporary.
	Unclassified Kind = iota
	// Unreachable: no connection, a lost one, or silence.
	Unreachable
	// Misconfigured: the MTA will take nothing from us as things are set up: no
	// XCLIENT, not authorised for it, a server that only pretends (postscreen), a
	// required attribute missing, or a refusal before any client was presented.
	Misconfigured
	// TLS: STARTTLS is not offered or failed, or the certificate does not verify.
	TLS
	// Auth: the credentials were refused or the mechanism is not offered.
	Auth
	// Protocol: the MTA broke the protocol or left the bounds set for its replies.
	Protocol
	// Local: the body could not be read or BeforeDot said no.
	Local
	// Unsendable: the message cannot be sent to this MTA as it is: an address that no path of
	// RFC 5321 can hold, SMTPUTF8 not offered, a client that the carrier cannot name, a size
	// above the one that the MTA announces.
	Unsendable
	// Aborted: the context ended, or MayEnd said no.
	Aborted
)

var kindNames = [...]string{"unclassified", "unreachable", "misconfigured", "tls", "auth", "protocol", "local", "unsendable", "aborted"}

// String returns the kind's name as logs show it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind-" + strconv.Itoa(int(k))
}

// Error says why a message got no verdict of the MTA, or why an MTA cannot be used.
type Error struct {
	Kind Kind
	// Op is the step that failed in SMTP's words: "connect", "greeting", "XCLIENT".
	Op string
	// Text is what happened, in one sentence without a full stop, or "".
	Text string
	// Reply is what the MTA said, zero where it said nothing.
	Reply Reply
	// Advice says what to do about it, or "".
	Advice string
	// Err is the cause, or nil.
	Err error
}

// Error puts the step, the reply and the cause in one line.
func (e *Error) Error() string {
	parts := []string{e.Op}
	if e.Text != "" {
		parts = append(parts, e.Text)
	}
	if e.Reply.Code != 0 {
		parts = append(parts, "server said "+strconv.Quote(e.Reply.String()))
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 1 {
		parts = append(parts, e.Kind.String())
	}
	return strings.Join(parts, ": ")
}

// Hint returns what to do about it, or "".
func (e *Error) Hint() string { return e.Advice }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, else Unclassified.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unclassified
}

// errMalformed is wrapped by every error of the reply reader that is the server's fault.
var errMalformed = errors.New("malformed reply")

// classify makes an Error of what went wrong on the wire during op.
func classify(op string, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		if known.Op == "" {
			known.Op = op
		}
		return known
	}
	e := &Error{Kind: Unreachable, Op: op, Err: err}
	switch {
	case errors.Is(err, errMalformed):
		e.Kind = Protocol
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		e.Kind = Aborted
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Text, e.Err = "no reply in time", nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		e.Text, e.Err = "connection closed", nil
	}
	return e
}

// maxText bounds what is kept of a server's words, in octets.
const maxText = 400

// sanitize makes a server's words fit to be shown: at most maxText octets of valid
// UTF-8 without control, format or bidirectional characters, which become "?".
func sanitize(s string) string {
	cut := len(s) > maxText
	if cut {
		s = s[:maxText]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		s = strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if r == utf8.RuneError || !strconv.IsPrint(r) {
				return '?'
			}
			return r
		}, strings.ToValidUTF8(s, "?"))
	}
	if cut {
		s += "..."
	}
	return strings.TrimSpace(s)
}
