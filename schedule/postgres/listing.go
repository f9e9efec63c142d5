package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
)

// schemaListing is the table of [Ledger.LastListing].
const schemaListing = `
CREATE TABLE truehop.listing (
	account  text NOT NULL,
	folder   bytea NOT NULL,
	validity bigint NOT NULL,
	next     bigint NOT NULL,
	messages bigint NOT NULL,
	modseq   bigint NOT NULL,
	whole    bigint NOT NULL,
	due      bigint NOT NULL,
	rules    bytea NOT NULL,
	restores bigint NOT NULL,
	PRIMARY KEY (account, folder)
);
`

const (
	forgetListing  = "DELETE FROM truehop.listing WHERE account = $1 AND folder = $2"
	outdateListing = "UPDATE truehop.listing SET messages = 0, modseq = 0, whole = $3, due = 0, rules = '' WHERE account = $1 AND folder = $2"
)

// LastListing returns what a folder held when a pass last came to its end. Where records were removed since, it is
// UIDVALIDITY and UIDNEXT alone, by which a folder that was set back is known; where the database was restored from a copy, nothing.
func (l *Ledger) LastListing(ctx context.Context, account, folder string) (n ledger.Listing, err error) {
	var validity, next, messages, modseq, whole, due int64
	var rules []byte
	found, err := l.one(ctx, []any{&validity, &next, &messages, &modseq, &whole, &due, &rules},
		`SELECT validity, next, messages, modseq, whole, due, rules FROM truehop.listing
		WHERE account = $1 AND folder = $2 AND restores = (SELECT restores FROM truehop.origin)`, account, []byte(folder))
	if err != nil || !found {
		return ledger.Listing{}, err
	}
	return ledger.Listing{Validity: uint32(validity), Next: uint32(next), Messages: uint32(messages), ModSeq: uint64(modseq),
		Whole: ledger.FromMillis(whole), Due: time.Duration(due) * time.Millisecond, Rules: string(rules)}, nil
}

// SetLastListing records what a folder holds, or with the zero value that nothing is known of it.
func (l *Ledger) SetLastListing(ctx context.Context, account, folder string, n ledger.Listing) error {
	if err := (&ledger.Key{Account: account, Folder: folder}).Check(); err != nil {
		return err
	}
	return l.write(ctx, &write{accounts: []string{account}, queue: func(b *batch) error {
		if n == (ledger.Listing{}) {
			b.exec(forgetListing, account, []byte(folder))
			return nil
		}
		b.exec(`INSERT INTO truehop.listing SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, restores FROM truehop.origin
			ON CONFLICT (account, folder) DO UPDATE SET validity = excluded.validity, next = excluded.next, messages = excluded.messages,
			modseq = excluded.modseq, whole = excluded.whole, due = excluded.due, rules = excluded.rules, restores = excluded.restores`,
			account, []byte(folder), int64(n.Validity), int64(n.Next), int64(n.Messages), int64(n.ModSeq), ledger.Millis(n.Whole), n.Due.Milliseconds(), []byte(n.Rules))
		return nil
	}})
}

// outdateListings has the folders of these keys listed as a whole, since a message without a record is new.
func (b *batch) outdateListings(keys []ledger.Key) {
	done := map[[2]string]bool{}
	for i := range keys {
		at := [2]string{keys[i].Account, keys[i].Folder}
		if !done[at] {
			b.exec(outdateListing, at[0], []byte(at[1]), ledger.Millis(time.Time{}))
		}
		done[at] = true
	}
}

// BriefsOf is [Ledger.Briefs] for these UIDs only.
func (l *Ledger) BriefsOf(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]ledger.Brief, error) {
	return l.briefsOf(ctx, account, folder, validity, lives, uids)
}

// Removed returns those of the records with these UIDs that Briefs leaves out: messages that were disposed of and have gone since.
func (l *Ledger) Removed(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]ledger.Brief, error) {
	return l.briefsOf(ctx, account, folder, validity, "NOT "+lives, uids)
}

// briefsOf returns the records with these UIDs that meet a condition.
func (l *Ledger) briefsOf(ctx context.Context, account, folder string, validity uint32, where string, uids []string) (map[string][]ledger.Brief, error) {
	if len(uids) == 0 {
		return map[string][]ledger.Brief{}, nil
	}
	octets := make([][]byte, len(uids))
	for i, uid := range uids {
		octets[i] = []byte(uid)
	}
	return l.briefs(ctx, nil, where+" AND uid = ANY($4)", account, []byte(folder), int64(validity), octets)
}

// lives is the condition of Briefs: a message that was disposed of and has gone since does not meet it.
const lives = "(NOT (disposed AND absent))"

// briefs returns the records of one generation of a folder for which a condition holds, by UID.
func (l *Ledger) briefs(ctx context.Context, atRest func([]ledger.Brief) bool, where string, args ...any) (map[string][]ledger.Brief, error) {
	var slab []ledger.Brief
	group := 0 // where the records of the last UID begin
	var r row
	into := r.into()
	err := l.each(ctx, func() { slab, group = nil, 0 }, func(rows pgx.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := r.decode(); err != nil {
			return err
		}
		b := ledger.Brief{
			UID: r.UID, Hash: r.Hash, State: r.State, Disposed: r.Disposed, Absent: r.Absent, Attempts: r.Attempts, Doubts: r.Doubts,
			Next: r.Next, Token: r.Token, First: r.First, Ran: r.Ran, Size: r.Size, Listed: r.Listed, Suspect: r.Breaks > 0,
			DotSent: r.DotSent, Judged: r.Judged, Fingerprint: r.Fingerprint,
		}
		if group < len(slab) && slab[group].UID != b.UID {
			slab, group = ledger.WithoutThoseAtRest(slab, group, atRest)
		}
		slab = append(slab, b)
		return nil
	}, "SELECT uid, hash, "+recordColumns+` FROM truehop.record WHERE mailbox =
		(SELECT id FROM truehop.mailbox WHERE account = $1 AND folder = $2 AND validity = $3)
		AND `+where+` ORDER BY uid, hash`, args...)
	if err != nil {
		return nil, err
	}
	slab, _ = ledger.WithoutThoseAtRest(slab, group, atRest)
	byUID := make(map[string][]ledger.Brief, len(slab))
	for from := 0; from < len(slab); {
		to := from + 1
		for to < len(slab) && slab[to].UID == slab[from].UID {
			to++
		}
		byUID[slab[from].UID] = slab[from:to:to]
		from = to
	}
	return byUID, nil
}
