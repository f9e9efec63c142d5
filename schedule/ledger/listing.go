package ledger

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// schemaListing is the table of [Ledger.LastListing].
const schemaListing = `
CREATE TABLE listing (
	account  TEXT NOT NULL,
	folder   TEXT NOT NULL,
	validity INTEGER NOT NULL,
	next     INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	modseq   INTEGER NOT NULL,
	whole    INTEGER NOT NULL,
	due      INTEGER NOT NULL,
	rules    TEXT NOT NULL,
	restores INTEGER NOT NULL,
	sum      INTEGER NOT NULL,
	PRIMARY KEY (account, folder)
) STRICT, WITHOUT ROWID;
`

// Listing is what a folder held when a pass had come to the end of it, and there was nothing left to do: every message had its
// record then. A pass that finds the folder as it was need not list it again. The zero value says that nothing is known.
type Listing struct {
	// Validity, Next, Messages and ModSeq are UIDVALIDITY, UIDNEXT, the number of messages and HIGHESTMODSEQ.
	Validity, Next, Messages uint32
	ModSeq                   uint64
	// Whole is when the folder was last listed as a whole.
	Whole time.Time
	// Due is what [Ledger.Tick] shows when time alone makes something of a message due, 0 for never.
	Due time.Duration
	// Rules stand for the configuration by which there was nothing left to do.
	Rules string
}

// LastListing returns what a folder held when a pass last came to its end. Where records were removed since, it is
// UIDVALIDITY and UIDNEXT alone, by which a folder that was set back is known; where the ledger was restored from a copy, nothing.
func (l *Ledger) LastListing(ctx context.Context, account, folder string) (Listing, error) {
	if l.version < 8 {
		return Listing{}, l.unchanged(ctx, nil) // it is open for reading only, and does not know
	}
	n, err := scanListing(l.db.QueryRowContext(ctx, selectListing, account, folder), account, folder)
	if err != nil {
		return Listing{}, l.readError(err)
	}
	return n, nil
}

const selectListing = `SELECT validity, next, messages, modseq, whole, due, rules, sum FROM listing
	WHERE account = ? AND folder = ? AND restores = (SELECT restores FROM origin)`

// scanListing reads a row of [selectListing]. One that is damaged is nothing: it only saves work.
func scanListing(row *sql.Row, account, folder string) (n Listing, err error) {
	var modseq, whole, due, sum int64
	err = row.Scan(&n.Validity, &n.Next, &n.Messages, &modseq, &whole, &due, &n.Rules, &sum)
	n.ModSeq, n.Whole, n.Due = uint64(modseq), fromMillis(whole), time.Duration(due)*time.Millisecond
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Listing{}, nil
	case err != nil:
		return Listing{}, err
	case sum != n.checksum(account, folder):
		return Listing{}, nil
	}
	return n, nil
}

// SetLastListing records what a folder holds, or with the zero value that nothing is known of it.
func (l *Ledger) SetLastListing(ctx context.Context, account, folder string, n Listing) error {
	if err := (&Key{Account: account, Folder: folder}).check(); err != nil {
		return err
	}
	return l.write(ctx, true, func(tx *tx) error {
		return tx.setListing(account, folder, n)
	})
}

func (t *tx) setListing(account, folder string, n Listing) error {
	if n == (Listing{}) {
		return t.exec("DELETE FROM listing WHERE account = ? AND folder = ?", account, folder)
	}
	return t.exec(`REPLACE INTO listing SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, restores, ? FROM origin`, account, folder,
		int64(n.Validity), int64(n.Next), int64(n.Messages), int64(n.ModSeq), millis(n.Whole), n.Due.Milliseconds(), n.Rules, n.checksum(account, folder))
}

// outdateListing has the folder listed as a whole, and keeps UIDNEXT, by which it can be seen to have been set back.
func (t *tx) outdateListing(account, folder string) error {
	last, err := scanListing(t.conn.QueryRowContext(context.Background(), selectListing, account, folder), account, folder)
	if err != nil {
		return err
	}
	var kept Listing
	if last.Next != 0 {
		kept = Listing{Validity: last.Validity, Next: last.Next}
	}
	return t.setListing(account, folder, kept)
}

// checksum guards what a listing says: a damaged one could hide mail.
func (n *Listing) checksum(account, folder string) int64 {
	var b []byte
	for _, v := range []uint64{uint64(n.Validity), uint64(n.Next), uint64(n.Messages), n.ModSeq, uint64(millis(n.Whole)), uint64(n.Due.Milliseconds())} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return crc(0, []byte(account), []byte(folder), b, []byte(n.Rules))
}

// BriefsOf is [Ledger.Briefs] for these UIDs only.
func (l *Ledger) BriefsOf(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]Brief, error) {
	return l.briefsOf(ctx, account, folder, validity, l.lives(), uids)
}

// Removed returns those of the records with these UIDs that [Ledger.Briefs] leaves out: messages that were disposed of and have gone since.
func (l *Ledger) Removed(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]Brief, error) {
	return l.briefsOf(ctx, account, folder, validity, "NOT "+l.lives(), uids)
}

// briefsOf returns the records with these UIDs that meet a condition.
func (l *Ledger) briefsOf(ctx context.Context, account, folder string, validity uint32, condition string, uids []string) (map[string][]Brief, error) {
	const atOnce = 500 // SQLite takes some ten thousand parameters
	found := map[string][]Brief{}
	none := func([]Brief) bool { return false }
	for some := range slices.Chunk(uids, atOnce) {
		octets := make([]any, len(some))
		for i, uid := range some {
			octets[i] = []byte(uid)
		}
		slab, err := l.briefs(ctx, account, folder, validity, none, condition+" AND uid IN (?"+strings.Repeat(", ?", len(some)-1)+")", octets...)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, byUID(slab))
	}
	return found, nil
}
