package inject

import (
	"context"
	"io"
	"strconv"
)

// Message is one message to inject. It must not be changed before done was called.
type Message struct {
	// Client is whom to present. The zero Client is an unknown one.
	Client Client
	// From is the reverse-path without angle brackets, "" for the null sender. It
	// must satisfy [ParsePath].
	From string
	// To holds the forward-paths, at least one. They must satisfy [ParseRecipient].
	To []string
	// Size is the exact length of Body in octets, or negative if not known. A body
	// of another length is never completed.
	Size int64
	// Body opens the content. It is called anew for each attempt.
	Body func() (io.ReadCloser, error)
	// Header is put on top of the content: whole lines ending in CRLF, or nothing.
	Header []byte
	// EightBit says that the content holds octets above 127: BODY=8BITMIME is declared
	// where it is offered (RFC 6152); Options.EightBit says what to do where it is not.
	EightBit bool
	// NUL says that the content holds octets of value 0, see Options.NUL.
	NUL bool
	// UTF8 asks for SMTPUTF8 (RFC 6531). A local-part that is not ASCII asks for it by itself; domains are sent in ASCII.
	UTF8 bool
	// BeforeDot, if not nil, is called once in each attempt, when all but the final
	// dot or last chunk has been sent or buffered. An error means that it is not sent.
	BeforeDot func(context.Context) error
	// MayEnd, if not nil, is asked right before the write that holds the final dot or last chunk, after BeforeDot. An error means
	// that this is not written and the connection is closed. It must not block: what it finds has to be true still at the write.
	MayEnd func() error
	// DryRun goes as far as RCPT and then resets. The Outcome of a dry run is Deferred
	// unless the MTA refused; Stage "RCPT" with a 2xx Reply says that it would go on.
	DryRun bool
}

// length is the length of header and body in octets, negative if it is not known.
func (m *Message) length() int64 {
	if m.Size < 0 {
		return -1
	}
	return m.Size + int64(len(m.Header))
}

// Outcome is what became of a message, or of one recipient.
type Outcome uint8

const (
	// Deferred: not delivered, may be tried again.
	Deferred Outcome = iota
	// Delivered: the MTA has taken responsibility for it.
	Delivered
	// Refused: the MTA said 5xx, in the Reply.
	Refused
	// InDoubt: the dot was sent and no reply understood (RFC 1047). It may have been delivered.
	InDoubt
	// Withheld: the MTA was not asked, because the message cannot be sent to it as it is. Err, of Kind
	// [Unsendable], says why. Another attempt would end in the same way.
	Withheld
)

var outcomeNames = [...]string{"deferred", "delivered", "refused", "in-doubt", "withheld"}

// String returns the outcome's name as logs show it.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "outcome-" + strconv.Itoa(int(o))
}

// Reply is one reply of the MTA, bounded and fit to be shown. Code 0 means none.
type Reply struct {
	Code int
	// Enhanced is the status code of RFC 3463 ("4.7.1"), "" where none was given.
	Enhanced string
	// Text is the rest, lines joined by " / ".
	Text string
}

// String puts the reply together as it was said.
func (r Reply) String() string {
	if r.Code == 0 {
		return ""
	}
	s := strconv.Itoa(r.Code)
	if r.Enhanced != "" {
		s += " " + r.Enhanced
	}
	if r.Text != "" {
		s += " " + r.Text
	}
	return s
}

// class is the first digit of the code (RFC 5321 section 4.2.1).
func (r Reply) class() int { return r.Code / 100 }

// Stages of a dialogue, as Receipt.Stage and Error.Op name them.
const (
	stageConnect  = "connect"
	stageGreeting = "greeting"
	stageEHLO     = "EHLO"
	stageHELO     = "HELO"
	stageXCLIENT  = "XCLIENT"
	stageMAIL     = "MAIL"
	stageRCPT     = "RCPT"
	stageDATA     = "DATA"
	stageDot      = "dot"
)

// Receipt is what became of one message.
type Receipt struct {
	// Outcome sums up Recipients: InDoubt if any is in doubt, else Deferred if any is
	// deferred, else Delivered if any got it, else Refused; Withheld if all are.
	Outcome Outcome
	// Stage is how far it went: "connect", "greeting", "EHLO", "XCLIENT", "MAIL",
	// "RCPT", "DATA" or "dot".
	Stage string
	// Reply is the MTA's reply that decided, zero where none did.
	Reply Reply
	// QueueID is the MTA's name for the message where its reply gave one.
	QueueID string
	// Recipients has one entry for each of Message.To, in that order.
	Recipients []RecipientReceipt
	// Presented are the attributes of the client that the MTA was given, zero where it was given none. A PROXY header has no
	// name, XCLIENT and XFORWARD only what the MTA offers to take. ClientGiven says that it was given any, if only that the
	// client is unknown.
	Presented   Client
	ClientGiven bool
	// Note says in what the dialogue differed from what was asked, or "".
	Note string
	// Err is nil where the MTA gave a verdict.
	Err *Error
	// BeforeClient says that it went wrong before this client was presented: there was no session, or none in which
	// a client can be. So it says nothing about the message.
	BeforeClient bool
}

// RecipientReceipt is what became of one recipient.
type RecipientReceipt struct {
	Address string
	Outcome Outcome
	// Stage is where the Reply came, as in [Receipt]: a recipient may have been refused at RCPT
	// and the others at the dot.
	Stage string
	Reply Reply
}
