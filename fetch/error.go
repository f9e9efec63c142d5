package fetch

import (
	"cmp"
	"errors"
	"os"
	"strconv"
	"strings"
)

// Kind classifies an [Error]. The package that speaks the protocol decides it.
type Kind uint8

const (
	// Unclassified is an error without a known kind. It is treated as temporary.
	Unclassified Kind = iota
	// Unreachable: no connection, a lost one, or silence.
	Unreachable
	// TLS: no TLS where it is required, a certificate that does not verify, or
	// plaintext slipped into the upgrade.
	TLS
	// Auth: the credentials were refused, or no acceptable mechanism is offered.
	Auth
	// Protocol: the server broke the protocol or left the bounds set for it.
	Protocol
	// Busy: the server asks the client to come back later (IN-USE, LOGIN-DELAY, SYS/TEMP,
	// THROTTLED, UNAVAILABLE, OVERQUOTA).
	Busy
	// NoFolder: the folder does not exist or cannot be selected.
	NoFolder
	// Unsupported: the server lacks something that the configuration needs.
	Unsupported
	// Refused: the server said no to this command, and it is no other kind.
	Refused
	// Gone: this message is no longer there.
	Gone
	// TooLarge: this message is larger than the configured limit.
	TooLarge
	// Incomplete: the server answered without the body, or with less of it than
	// it announced.
	Incomplete
)

var kindNames = [...]string{"unclassified", "unreachable", "tls", "auth", "protocol", "busy",
	"no-folder", "unsupported", "refused", "gone", "too-large", "incomplete"}

// String returns the kind's name as logs show it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind-" + strconv.Itoa(int(k))
}

// Error is the one error type of all upstream protocols.
type Error struct {
	Kind Kind
	// Op is the step that failed in the protocol's words: "greeting", "STLS", "RETR".
	Op string
	// Text is what the server said, bounded and sanitised by [Sanitize], or "".
	Text string
	// Advice says what to do about it, or "".
	Advice string
	// Ends says that the session is over, whatever the Kind: the server said goodbye.
	Ends bool
	// OutOfStep says that commands were under way together and that their replies did not come as they should. A session that sends one
	// command at a time may fare better.
	OutOfStep bool
	// Err is the cause, or nil.
	Err error
}

// Error returns the step, the server's words and the cause in one line, which is safe to show.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Text != "" {
		b.WriteString(": server said ")
		b.WriteString(strconv.Quote(e.Text))
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(Printable(e.Err.Error()))
	}
	if e.Text == "" && e.Err == nil {
		b.WriteString(": ")
		b.WriteString(e.Kind.String())
	}
	return b.String()
}

// Hint returns what to do about it, or "".
func (e *Error) Hint() string { return e.Advice }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// EndsSession reports whether a session is over after a method of its [Mailbox] returned err, so that only
// Abort is allowed: the connection is lost, or client and server are out of step. An error
// that is not an *Error comes from a sink or a context and ends the session, too.
func EndsSession(err error) bool {
	if err == nil {
		return false
	}
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	if e.Ends {
		return true
	}
	switch e.Kind {
	case Protocol, TLS, Unreachable, Unclassified, TooLarge:
		return true
	}
	return false
}

// MarkOutOfStep marks err if it may come from commands that were sent together: a breach of the protocol, silence or, if they were the first of
// their session, the end of the connection.
func MarkOutOfStep(err error, first bool) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	silent := e.Kind == Unreachable && errors.Is(e.Err, os.ErrDeadlineExceeded)
	hungUp := first && HungUp(err)
	if e.Kind == Protocol || silent || hungUp {
		e.OutOfStep, e.Advice = true, cmp.Or(e.Advice, "the server may not bear commands that are sent together: set pipelining: off")
	}
	return err
}

// HungUp reports whether err is a connection that ended without a word.
func HungUp(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == Unreachable && !e.Ends && !errors.Is(e.Err, os.ErrDeadlineExceeded)
}

// IsOutOfStep reports whether err is so marked.
func IsOutOfStep(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.OutOfStep
}

// KindOf returns the kind of the first *Error in err's chain, else Unclassified.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unclassified
}

// maxText bounds what is kept of a server's words, in octets.
const maxText = 200

// Sanitize makes a server's words fit to be shown: at most 200 octets of valid UTF-8
// without control, format or bidirectional characters, which become "?".
func Sanitize(s string) string {
	cut := false
	if len(s) > maxText {
		s, cut = s[:maxText], true
	}
	s = Printable(s)
	if cut {
		s += "..."
	}
	return strings.TrimSpace(s)
}

// Printable replaces by "?" what could disturb a terminal or begin another line. Causes need it as
// well: an error about a certificate quotes the names in it, which anyone may choose.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if r == '\uFFFD' || !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
