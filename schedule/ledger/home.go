package ledger

import (
	"encoding/json"
	"slices"
	"time"
)

// What follows is for another home of the record than this package's, so that both keep the same.

// Check refuses records that no home can keep: an error of Kind [Invalid].
func Check(rs ...Record) error { return checkAll(rs...) }

// Check refuses a key that no home can keep: an error of Kind [Invalid].
func (k *Key) Check() error { return k.check() }

// Kept returns r with its text as every home keeps it: cut, but for Recipients.
func Kept(r Record) Record {
	for _, text := range []*string{&r.Token, &r.Client, &r.HELO, &r.Sender, &r.Reply, &r.QueueID, &r.Why,
		&r.Heading.From, &r.Heading.Subject, &r.Heading.MessageID} {
		*text = cut(*text)
	}
	r.Verdicts = slices.Clone(r.Verdicts)
	for i := range r.Verdicts {
		r.Verdicts[i].Reply = cut(r.Verdicts[i].Reply)
	}
	return r
}

// Cut bounds a text as every home does before it keeps it.
func Cut(s string) string { return cut(s) }

// VerdictsText returns verdicts as a home stores them, "" for none.
func VerdictsText(vs []Verdict) (string, error) {
	if len(vs) == 0 {
		return "", nil
	}
	text, err := json.Marshal(vs)
	return string(text), err
}

// Millis returns a time as a home stores it: in milliseconds since 1970, 0 for none.
func Millis(t time.Time) int64 { return millis(t) }

// FromMillis returns the time that [Millis] stored.
func FromMillis(ms int64) time.Time { return fromMillis(ms) }

// Known returns the state with this name, or "" where there is none.
func Known(name string) State { return canonical(name) }

// Clock is the clock of an account: see [Ledger.Tick].
type Clock struct {
	// At is the time of the last tick, and Ran what had passed by then. Latest is the latest time of any tick, and Base
	// what had passed by then.
	At, Latest time.Time
	Ran, Base  time.Duration
}

// Tick returns the clock as it is at a wall clock's now.
func (c Clock) Tick(now time.Time) Clock {
	next := clock{at: c.At, ran: c.Ran, latest: c.Latest, base: c.Base}.tick(now)
	return Clock{At: next.at, Ran: next.ran, Latest: next.latest, Base: next.base}
}

// JudgementsKept bounds the judgements that a home remembers.
const JudgementsKept = judgementsKept

// NewProof makes a [Proof] of the numbers under which clients had mail taken last, and of those of the passes that
// began before they last had mail refused; 0 stands for never.
func NewProof(taken, refused []int64) Proof {
	slices.Sort(taken)
	slices.Sort(refused)
	return Proof{taken: taken, refused: refused}
}

// Begun is a write that a home has begun. It sends on done, which has room for it, once the write is durable or has failed.
func Begun(done chan error) Pending { return Pending{w: &write{done: done}} }

// NotBegun is a write that was never begun because of err.
func NotBegun(err error) Pending { return Pending{err: err} }

// PrepareDir creates a directory as [Open] does, and refuses one that cannot be trusted or written.
func PrepareDir(dir string) error { return prepareDir(dir) }
