// Package ledger is the durable record of what became of every message: delivered,
// deferred, refused, in doubt and so on (see [State]). It keeps mail from being delivered
// twice or not at all. Hence a write has reached the disk when it returns, no record
// expires, and a file that is damaged, empty or not a ledger is refused and never replaced.
//
// The record is an SQLite database in WAL mode with synchronous=FULL. One
// goroutine owns the only writing connection and commits all writes that wait in
// one transaction, so that one fsync serves them all; a verdict for which nobody
// waits lets a few milliseconds pass for the next write to join it. Readers have a connection
// of their own and neither block the writer nor wait for it.
//
// Layout of the state directory:
//
//	ledger.db           the database, with ledger.db-wal and ledger.db-shm beside it
//	ledger.reserve      1 MiB set aside for verdicts on a full disk; ledger.db-wal holds on to 2 MiB more
//	lock/ACCOUNT        flock: one process at a time works on an account
package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the parts of a [Key] and of the text in a [Record], in octets. A key
// beyond them is an error of Kind [Invalid]; text is cut, but for Recipients, which
// the configuration bounds: an address that was cut off would never get the message.
const (
	maxAccount = 128
	maxFolder  = 1024
	maxUID     = 1024
	maxText    = 512
)

// Key identifies a message. A UID alone does not: RFC 1939 section 7 lets two
// messages of one mailbox share one and lets it come back for another message,
// and UIDVALIDITY may change (RFC 9051 section 2.3.1.1). Hence the content.
type Key struct {
	Account, Folder string
	Validity        uint32
	// UID is opaque: any octets, at most 1 KiB, "" where the server gives none.
	UID string
	// Hash is the SHA-256 of the message without the header fields in which servers keep notes of their own
	// (Status, X-UID and the like). Records of older versions have that of the whole message.
	Hash [sha256.Size]byte
}

func (k *Key) check() error {
	switch {
	case k.Account == "" || len(k.Account) > maxAccount:
		return &Error{Kind: Invalid, Op: "account name is empty or longer than 128 octets"}
	case len(k.Folder) > maxFolder:
		return &Error{Kind: Invalid, Op: "folder name is longer than 1024 octets"}
	case len(k.UID) > maxUID:
		return &Error{Kind: Invalid, Op: "UID is longer than 1024 octets"}
	}
	return nil
}

// Record is all that is kept of a message. Times have a resolution of one
// millisecond. Text is stored as given, cut after 512 octets, but for Recipients.
type Record struct {
	Key
	State State
	// Disposed says that the message is settled upstream: its disposal was asked
	// for and confirmed.
	Disposed bool
	// Absent says that a later complete listing did not hold the message.
	Absent bool
	// Size is the size in octets as retrieved, Listed the one that the server's listing announced then, 0 if
	// none. Servers count the octets of a line end differently.
	Size, Listed int64
	// Token is the Truehop-ID.
	Token string
	// Attempts counts injections begun, Doubts those that ended in doubt; one before the ledger's time, if it may be
	// older than the mailbox, counts too.
	Attempts, Doubts int
	// First is when the message was first seen, Last the time of the last
	// change, Next the time before which a deferred one is not tried again.
	First, Last, Next time.Time
	// Client, HELO, Sender and Recipients are what was presented to the MTA.
	Client, HELO, Sender, Recipients string
	// Code and Reply are the MTA's last words, QueueID its name for the message.
	Code    int
	Reply   string
	QueueID string
	// Why explains State to a person.
	Why string
	// Verdicts say what became of single recipients, if not all of them got the message at once.
	// A recipient without a verdict still waits.
	Verdicts []Verdict
	// Ran is what [Ledger.Tick] returned when the record got its State, or FirstFormat.
	Ran time.Duration
	// Acknowledged is when a person took note that the message is [Lost].
	Acknowledged time.Time
	// Breaks counts the sessions with the upstream that ended at this message, or in which it was listed and not
	// handed over; Charges those of them that no other message and no fault of the server accounts for. Octets is
	// how much of it has come at most. All are 0 once it has been retrieved.
	Breaks, Charges int
	Octets          int64
	// DotSent says that a dot was sent and no recipient's 2xx or 5xx followed for all of them: the MTA may have the
	// message all the same, for it may answer 4xx after it has taken it.
	DotSent bool
	// Judged is the number of the last [Judgement] when [Ledger.PutJudged] recorded State; those after it have higher ones.
	Judged int64
	// Fingerprint tells the message from others where its content was changed at the server.
	Fingerprint Fingerprint
	// Heading names the message to a person.
	Heading Heading
}

// Fingerprint is a sum over what tells a message from all others, and what no server rewrites; zero where it has nothing of
// the kind, or where a ledger of version 3 or older recorded it.
type Fingerprint [16]byte

// bytes returns the sum as it is stored, empty for zero.
func (f Fingerprint) bytes() []byte {
	if f == (Fingerprint{}) {
		return []byte{}
	}
	return f[:]
}

// FirstFormat is Ran of a record that a ledger of version 1 held and nothing has changed since: it has no Verdicts,
// and left out of Recipients who had the message or was refused it.
const FirstFormat = -time.Millisecond

// Verdict is what became of one recipient of a message.
type Verdict struct {
	Address string `json:"recipient"`
	// State is Delivered, Refused or Held.
	State State `json:"state"`
	// Reply is the MTA's.
	Reply string `json:"reply"`
}

// String returns the verdict in one line.
func (v Verdict) String() string { return v.Address + " " + string(v.State) + ": " + v.Reply }

// Brief is the part of a [Record] that a pass decides by.
type Brief struct {
	UID              string
	Hash             [sha256.Size]byte
	State            State
	Disposed, Absent bool
	Attempts, Doubts int
	Next             time.Time
	Token            string
	First            time.Time
	Ran              time.Duration
	Size, Listed     int64
	// Suspect says that Record.Breaks is not 0.
	Suspect     bool
	DotSent     bool
	Judged      int64
	Fingerprint Fingerprint
}

// Turn is when messages of a folder had their turn, a millisecond after what [Ledger.Tick] showed: one that was tried for the first time, and one
// that was tried again; 0 if none was.
type Turn struct {
	First, Again time.Duration
	// Waiting says that there are messages to be tried again.
	Waiting bool
}

// Filter selects records. Empty fields select all.
type Filter struct {
	Account string
	States  []State
	UID     string
	// Tokens selects the messages with one of these Truehop-IDs.
	Tokens []string
	// Client, Sender and QueueID are compared as they stand in the record.
	Client, Sender, QueueID string
	// MessageID is compared with that of the heading.
	MessageID string
	// Since selects what changed then or later.
	Since time.Time
	// Upstream selects messages that are upstream as far as is known: not disposed of, and not gone.
	Upstream bool
	// Unacknowledged selects what no person has taken note of, see [Record.Acknowledged].
	Unacknowledged bool
	// Limit is the most records to return, the newest first; 0 means all of them.
	Limit int
}

// Pass sums up one pass over an account.
type Pass struct {
	Began, Ended time.Time
	// OK says that the pass saw the whole account and met no error.
	OK bool
	// Refused counts what was refused for some or all recipients, put into quarantine or not.
	Listed, Delivered, Deferred, Refused, Held, InDoubt int
	// Error is why the pass failed, or "", Hint what to do about it, and Exit the exit code of a program that made this pass alone, if
	// that is known.
	Error, Hint string
	Exit        int
}

// Ledger is an open record. Its methods may be called from several goroutines.
// Errors are of type *[Error], but for those of a context, returned as they are.
type Ledger struct {
	dir      string // absolute
	readOnly bool
	version  int64                // of the file's format
	inUse    *os.File             // the directory, flocked while the ledger is open
	fsync    func(*os.File) error // of the directory; tests watch it
	db       *sql.DB              // reads
	queries  queries              // that it has prepared
	writer   *writer              // nil if readOnly
	close    sync.Once
	closing  atomic.Bool
	closed   error // what Close returned
}

// Put inserts r, or replaces the record of the same key, and returns once that
// is durable. If ctx ends first, nothing was written; once the write has begun,
// Put waits for its end. With the disk full, space that was set aside serves
// every State but [Sending] and [Adopted], which fail with Kind [Full].
func (l *Ledger) Put(ctx context.Context, r Record) error {
	return l.PutAll(ctx, []Record{r})
}

// PutAll is [Ledger.Put] for several records: all are written, or none.
func (l *Ledger) PutAll(ctx context.Context, rs []Record) error {
	return l.PutSeq(ctx, slices.Values(rs))
}

// PutSeq is [Ledger.PutAll] for records that need not be in memory at once. It goes through them twice.
func (l *Ledger) PutSeq(ctx context.Context, rs iter.Seq[Record]) error {
	allEnd, none := true, true
	for r := range rs {
		if err := checkAll(r); err != nil {
			return err
		}
		allEnd, none = allEnd && r.State.endsAttempt(), false
	}
	if none {
		return nil
	}
	return l.write(ctx, allEnd, func(tx *tx) error {
		for r := range rs {
			if err := tx.put(&r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Replace is [Ledger.Put] for a message that had other records before: they go in the same transaction, so that no
// message is ever recorded twice. Keys without a record are ignored.
func (l *Ledger) Replace(ctx context.Context, r Record, replaced []Key) error {
	if err := checkAll(r); err != nil {
		return err
	}
	return l.write(ctx, r.State.endsAttempt(), func(tx *tx) error { return tx.replace(&r, replaced) })
}

// SetDisposed records that these messages are settled upstream, in one
// transaction. Keys without a record are ignored.
func (l *Ledger) SetDisposed(ctx context.Context, keys []Key) error {
	return l.change(ctx, keys, func(tx *tx) *sql.Stmt { return tx.disposed })
}

// SetAbsent records whether a complete listing held these messages, in one
// transaction. Keys without a record are ignored.
func (l *Ledger) SetAbsent(ctx context.Context, keys []Key, absent bool) error {
	return l.change(ctx, keys, func(tx *tx) *sql.Stmt { return tx.absent }, codeOf(absent))
}

// SetListed records the size that the listing announces for a message. A key without a record is ignored.
func (l *Ledger) SetListed(ctx context.Context, key Key, size int64) error {
	return l.write(ctx, true, func(tx *tx) error { return tx.setListed(&key, size) })
}

// Remove deletes the records with these keys, in one transaction. Keys without a record are ignored.
func (l *Ledger) Remove(ctx context.Context, keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	return l.write(ctx, true, func(tx *tx) error { return tx.remove(keys) })
}

// change executes a statement for each key.
func (l *Ledger) change(ctx context.Context, keys []Key, stmt func(*tx) *sql.Stmt, args ...any) error {
	if len(keys) == 0 {
		return nil
	}
	return l.write(ctx, true, func(tx *tx) error { return tx.change(keys, stmt(tx), args...) })
}

// PassBegan records the begin of a pass. It stands as not OK until PassEnded.
func (l *Ledger) PassBegan(ctx context.Context, account string, p Pass) error {
	p.OK, p.Ended = false, time.Time{}
	return l.putPass(ctx, account, p)
}

// PassEnded records the end of a pass, and if it is OK, the time of the last success.
func (l *Ledger) PassEnded(ctx context.Context, account string, p Pass) error {
	return l.putPass(ctx, account, p)
}

// failureParts separates Error, Hint and Exit in the column that older versions read as Error.
const failureParts = "\x1e"

// failure is how Error, Hint and Exit are stored.
func (p *Pass) failure() string {
	text := cut(strings.ReplaceAll(p.Error, failureParts, "?"))
	if bare := p.Hint == "" && p.Exit == 0; bare || p.Error == "" {
		return text
	}
	return strings.Join([]string{text, cut(strings.ReplaceAll(p.Hint, failureParts, "?")), strconv.Itoa(p.Exit)}, failureParts)
}

// setFailure reads what failure has written, or an older version.
func (p *Pass) setFailure(stored string) {
	parts := strings.Split(stored, failureParts)
	p.Error = parts[0]
	if len(parts) == 3 {
		p.Hint = parts[1]
		p.Exit, _ = strconv.Atoi(parts[2]) // 0 where it is none
	}
}

func (l *Ledger) putPass(ctx context.Context, account string, p Pass) error {
	if err := (&Key{Account: account}).check(); err != nil {
		return err
	}
	return l.write(ctx, true, func(tx *tx) error {
		_, err := tx.passed.Exec(account, millis(p.Began), millis(p.Ended), flag(p.OK), p.Listed,
			p.Delivered, p.Deferred, p.Refused, p.Held, p.InDoubt, p.failure())
		return err
	})
}
