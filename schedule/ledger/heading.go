package ledger

import "time"

// Heading is what a message says of itself, so that a person knows which one is meant. Its sender wrote it: nothing is
// decided by it. It is decoded and in one line, and the zero value says that nothing is known.
type Heading struct {
	// From is the author as "Name <address>", Subject what it is about, MessageID the identifier without its brackets.
	From, Subject, MessageID string
	// Date is when the author sent it, by the author's clock. The ledger keeps no zone.
	Date time.Time
}

// The columns of a Heading came with version 6.
const (
	headingColumns = `author, subject, messageid, dated`
	noHeading      = `'', '', '', 0`
	addHeading     = `
		ALTER TABLE record ADD COLUMN author TEXT NOT NULL DEFAULT '';
		ALTER TABLE record ADD COLUMN subject TEXT NOT NULL DEFAULT '';
		ALTER TABLE record ADD COLUMN messageid TEXT NOT NULL DEFAULT '';
		ALTER TABLE record ADD COLUMN dated INTEGER NOT NULL DEFAULT 0;`
)
