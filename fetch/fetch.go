// Package fetch defines an upstream mailbox independently of the protocol: its messages, how
// they are listed, retrieved and settled, and how an upstream can fail. It does no
// I/O. Packages pop3 (RFC 1939) and imap (RFC 3501, RFC 9051) implement [Mailbox];
// package fetchtest holds the suite that both pass.
package fetch

import (
	"context"
	"io"
	"time"
)

// Ref names one message of one [Listing].
type Ref struct {
	// Folder is the IMAP mailbox name, "" for POP3.
	Folder string
	// Validity is IMAP's UIDVALIDITY (RFC 9051 section 2.3.1.1), 0 for POP3.
	Validity uint32
	// UID is the IMAP UID in decimal or the POP3 unique-id (RFC 1939 section 7).
	// It is opaque and hostile: up to 1 KiB of any octets. It is "" where the server
	// gives none. Two messages of a POP3 listing may share one.
	UID string
	// Seq is unique within a listing: the POP3 message number or the IMAP UID. It
	// means nothing in another session.
	Seq uint32
	// Marked says that the message carried [DeliveredKeyword] when it was listed, as far as the session looks for that.
	Marked bool
	// Size is the size in octets that the server announced, -1 where it
	// announced none. Servers lie, so it serves for limits and progress only.
	Size int64
}

// Listing is what a folder held at one moment.
type Listing struct {
	// Refs are the messages in the server's order, oldest first.
	Refs []Ref
	// Validity is the folder's UIDVALIDITY, 0 for POP3.
	Validity uint32
	// Reusable says that a UID seen before may now name another message:
	// RFC 1939 section 7 allows it once the first one is gone.
	Reusable bool
	// NoUIDs says that the server names no message: every UID is "", and a message is known
	// again by its content only (POP3 without UIDL, RFC 1939 section 7).
	NoUIDs bool
	// ReadOnly says that nothing can be settled in this session.
	ReadOnly bool
	// MarkError is why [DeliveredKeyword] cannot be set or looked for in this folder, nil if it can, or if the session
	// does not look for it.
	MarkError error
	// Unlisted is the number of messages that the folder holds by the server's count and that it does not
	// list. The listing is not complete then: what is not in it has not gone.
	Unlisted int
	// Status is what the folder holds, if a later session can find by that what is new; else it is zero.
	Status Status
	// UIDNext is UIDNEXT as the server says it (RFC 9051 section 2.3.1.1), also of a listing without Status; 0 where it does not.
	UIDNext uint32
	// Earlier is the number of messages that the folder holds beside those that are listed: what it held when it was listed
	// before, see [Refresher].
	Earlier int
	// AtClose says that the session takes effect when Close succeeds, and not before: the server
	// then deletes, and some servers never show a message again that was retrieved (RFC 1939
	// sections 6 and 8).
	AtClose bool
	// Together says that several messages are asked for at once and that nothing but the order of the answers says which is
	// which (POP3 with PIPELINING). Of a set that did not all come it is not certain which came.
	Together bool
	// LoginDelay is the time that the server wants between two logins (RFC 2449 section 6.5), 0 if it named none.
	LoginDelay time.Duration
	// Expire is what the server says of how long it keeps messages (RFC 2449 section 6.7): a number of days, 0 for those that
	// were retrieved, or NEVER; "" if it says nothing.
	Expire string
}

// Surveyor is a [Mailbox] that tells beforehand what it could not do.
type Surveyor interface {
	// Obstacles says what stands in the way of these disposals in the folder that is open: each obstacle is an [*Error] that says
	// what to do about it. It changes nothing.
	Obstacles(ctx context.Context, disposals []Disposal) (obstacles []error, err error)
}

// Message is one retrieved message, handed to a [Sink].
type Message struct {
	Ref Ref
	// Size is the exact length of Body in octets where the protocol states
	// one (the IMAP literal), -1 where it does not (POP3).
	Size int64
	// Body reads the octets as the server holds them, transfer encoding
	// (dot-stuffing) undone and nothing else. The message is complete if and
	// only if Body returned io.EOF; any other error means that it is not.
	// Body is nil if Err is not nil, and must not be used after the sink returned.
	Body io.Reader
	// Err says why this one message could not be retrieved, while the session
	// goes on: Kind Gone, TooLarge, Incomplete or another of [Error].
	Err error
}

// Sink takes one message from [Mailbox.Retrieve]. It reads Body to its end.
// If it returns an error, Retrieve stops and returns that error.
type Sink func(Message) error

// Disposal is what becomes of a message upstream once its verdict is recorded.
type Disposal struct {
	Action Action
	// Target is the folder for Move, the keyword for Flag ("" means \Seen).
	Target string
}

// Action is the verb of a [Disposal].
type Action uint8

const (
	// Keep leaves the message as it is.
	Keep Action = iota
	// Delete removes it.
	Delete
	// Flag marks it with the keyword or system flag in Target. IMAP only.
	Flag
	// Move moves it to the folder in Target. IMAP only.
	Move
)

// Failure is one message that could not be settled.
type Failure struct {
	Ref Ref
	Err error
}

// Mailbox is one authenticated session with one upstream. It is used by one
// goroutine; only Abort may be called from another.
//
// Every method that blocks returns an error when its context ends. All errors are of type
// *[Error], except for those of a sink and of the context, which are returned as they are. After an
// error for which [EndsSession] is true, only Abort is allowed: what was asked of
// the server may still be under way.
type Mailbox interface {
	// Open selects folder ("" means the inbox) and lists it. It may be called
	// again for another folder. It changes nothing upstream but IMAP's flag \Recent.
	Open(ctx context.Context, folder string) (*Listing, error)

	// Retrieve fetches the messages of the open folder that refs name. It calls sink once
	// for each, in any order, from the calling goroutine. Commands go out together where the
	// server allows that, else one by one (POP3 without PIPELINING). Nothing changes upstream, not
	// even a \Seen flag. A nil result means that sink was called for every ref; a message that
	// has gone comes with Kind Gone. After an error for which [EndsSession] is false the refs that
	// sink was not called for may be asked for again, fewer at a time: the server refused them as a
	// set. An error of Kind TooLarge means that the message which sink had last was so far beyond
	// the limit that the session was ended.
	Retrieve(ctx context.Context, refs []Ref, sink Sink) error

	// Settle disposes of messages, a thousand at a time, with as few round trips as the server allows. It touches no
	// message that is not in refs, but for what imap.Options.PlainExpunge may remove. The result
	// names those that could not be settled; a message that an IMAP server claims to have removed
	// and still has is one of them. The error is about the session as a whole. With POP3,
	// deletions take effect only when Close succeeds (RFC 1939 section 6).
	Settle(ctx context.Context, d Disposal, refs []Ref) ([]Failure, error)

	// Close ends the session as the protocol asks and makes deletions final. After an error
	// it is unknown what became of them.
	Close(ctx context.Context) error

	// Leave ends the session. Where the listing is AtClose, nothing that happened in the session takes
	// effect. Leave waits a few seconds for the server to end the session, too, so
	// that the next one does not find the mailbox in use.
	Leave(ctx context.Context) error

	// Abort drops the connection at once. With POP3, nothing is deleted unless Close has
	// succeeded. It may be called at any time, more than once.
	Abort()
}

// Timeouts bound an upstream's silence and slowness, for all protocols. Time that a sink
// takes does not count.
type Timeouts struct {
	// Idle is how long one read or write may wait; 0 means 3 minutes.
	Idle time.Duration
	// Command is how long all reads of one step may wait: of one reply with POP3, of one call
	// of a method with IMAP; 0 means 10 minutes. One second is added for every MinRate octets received.
	Command time.Duration
	// MinRate is the slowest rate accepted, in octets a second; 0 means 1024.
	MinRate int64
}

// WithDefaults fills in what is zero.
func (t Timeouts) WithDefaults() Timeouts {
	if t.Idle <= 0 {
		t.Idle = 3 * time.Minute
	}
	if t.Command <= 0 {
		t.Command = 10 * time.Minute
	}
	if t.MinRate <= 0 {
		t.MinRate = 1024
	}
	return t
}
