package fetch

import (
	"context"
	"time"
)

// Searcher is a [Mailbox] whose server can search the open folder.
type Searcher interface {
	// Search returns the UIDs of the messages that fit. It changes nothing.
	Search(ctx context.Context, s Search) (map[string]bool, error)
}

// Sizer is a [Mailbox] that can tell the sizes of messages where its listing does not.
type Sizer interface {
	// Sizes returns the sizes in octets that the server announces. What it does not say is left out.
	Sizes(ctx context.Context, refs []Ref) (map[Ref]int64, error)
}

// Search chooses the messages that all its criteria fit; without any it chooses all.
type Search []Criterion

// Criterion is one key of SEARCH (RFC 9051 section 6.4.4) with its argument.
type Criterion struct {
	Key SearchKey
	// Not turns it around.
	Not bool
	// Text is what is looked for in the header field that Key names, in any case; for Keyword the keyword.
	Text string
	// Field is the name of the field for HeaderField.
	Field string
	// Day is the day of Since and Before: a date, without a time and a zone.
	Day time.Time
	// Days is the age of Younger and Older.
	Days int
	// Size is the size in octets of Larger and Smaller.
	Size int64
}

// SearchKey is what a [Criterion] goes by.
type SearchKey uint8

// The keys. Since, Before, Younger and Older go by the day on which the server got the message (INTERNALDATE).
const (
	Seen SearchKey = iota
	Answered
	Flagged
	Draft
	Keyword
	Since
	Before
	Younger
	Older
	From
	To
	Cc
	Subject
	HeaderField
	Larger
	Smaller
)

// On returns the search with days in place of ages. Servers compare days, so what is exactly so many days old counts
// as younger.
func (s Search) On(today time.Time) Search {
	dated := make(Search, len(s))
	for i, c := range s {
		switch c.Key {
		case Younger:
			c.Key, c.Day = Since, day(today).AddDate(0, 0, -c.Days)
		case Older:
			c.Key, c.Day = Before, day(today).AddDate(0, 0, -c.Days)
		}
		dated[i] = c
	}
	return dated
}

func day(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}
