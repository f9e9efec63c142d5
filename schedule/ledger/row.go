package ledger

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// What a row of the table record holds is guarded against damage, because SQLite has no checksums on the pages of a database:
//
//   - The key and all that a pass decides by have a sum, which every reader of a row compares.
//   - Queries choose by disposed and absent, so that damage could hide a row from those who compare its sum; and they change
//     for thousands of rows at once, which must not cost reading them. They have a code instead, which no damage to one octet
//     turns into the other, and a row counts as hidden only where it says exactly that.
//   - Nothing guards what only a person is shown: client, helo, sender, code, reply, queueid, why, author, subject, messageid
//     and dated. Nothing is decided by them, and damage there must not keep a mailbox from being fetched.

// The code of a flag. Each octet of the one differs from that of the other, and from those of 0 and 1, which SQLite tells apart
// by one bit (https://sqlite.org/fileformat2.html#record_format).
const (
	flagOff = 0x1e2d3c4b
	flagOn  = ^flagOff
	// sqlOff and sqlOn are the same for SQLite.
	sqlOff = "506281035"
	sqlOn  = "-506281036"
)

// codeOf returns the code of a flag.
func codeOf(on bool) int64 {
	if on {
		return flagOn
	}
	return flagOff
}

// isCode reports whether n is the code of a flag.
func isCode(n int64) bool { return n == flagOn || n == flagOff }

// live is the condition of [Ledger.Briefs]. A row whose flags are damaged meets it.
const live = `(disposed <> ` + sqlOn + ` OR absent <> ` + sqlOn + `)`

// whereUpstream is the condition that a message is upstream as far as is known, in the words of the file's version.
func (l *Ledger) whereUpstream() string {
	if l.version < 7 {
		return `disposed = 0 AND absent = 0`
	}
	return `disposed <> ` + sqlOn + ` AND absent <> ` + sqlOn
}

// guarded is what a pass decides by, beside the key and the flags.
type guarded struct {
	state, token, verdicts, recipients, fingerprint []byte

	dotSent                                int64 // 0 or 1
	judged, size, listed, attempts, doubts int64
	first, last, next, ran, acknowledged   int64 // in milliseconds
	breaks, charges, octets                int64
}

// checksum is the CRC-32C of a row.
func (g *guarded) checksum(mailbox int64, uid, hash []byte) int64 {
	parts := [...][]byte{uid, hash, g.state, g.token, g.verdicts, g.recipients, g.fingerprint}
	b := make([]byte, 0, 256)
	for _, n := range [...]int64{mailbox, g.dotSent, g.judged, g.size, g.listed, g.attempts, g.doubts,
		g.first, g.last, g.next, g.ran, g.acknowledged, g.breaks, g.charges, g.octets} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	for _, part := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Checksum(b, table)
	for _, part := range parts {
		sum = crc32.Update(sum, table, part)
	}
	return int64(sum)
}

// checksum6 is the sum of versions 1 to 6. Where version 1 has nothing to compare with it is that of version 1, and version 2
// likewise.
func (g *guarded) checksum6(mailbox int64, uid, hash []byte) int64 {
	parts := [][]byte{uid, hash, g.state, g.token}
	later := g.dotSent != 0 || g.judged != 0
	if len(g.verdicts) > 0 || later {
		parts = append(parts, g.verdicts)
	}
	if later {
		parts = append(parts, binary.BigEndian.AppendUint64([]byte{byte(g.dotSent)}, uint64(g.judged)))
	}
	return crc(mailbox, parts...)
}

// row is a row of the table record without what only a person is shown. Its octets are those of the database/sql.Rows that it was
// scanned from, until the next row.
type row struct {
	mailbox, sum     int64
	uid, hash        []byte
	disposed, absent int64
	guarded
}

// rowColumns returns the columns of a row in a file of this version, or what stands for them there.
func rowColumns(version int64) string {
	flags := `disposed, absent`
	if version < 7 {
		flags = codedFlags
	}
	added := `recipients, verdicts, ran, listed, acknowledged, breaks, charges, octets, dotsent, judged, fingerprint`
	switch version {
	case 1:
		added = `recipients, '', -1, 0, 0, 0, 0, 0, 0, 0, x''` // FirstFormat
	case 2:
		added = `recipients, verdicts, ran, 0, 0, 0, 0, 0, 0, 0, x''`
	case 3:
		added = `recipients, verdicts, ran, listed, acknowledged, breaks, charges, octets, dotsent, judged, x''`
	}
	return `mailbox, uid, hash, state, ` + flags + `, size, token, attempts, doubts, first, last, next, sum, ` + added
}

// codedFlags are the flags of versions 1 to 6, where they are 0 or 1, as they are now. What is neither stays damaged.
const codedFlags = `CASE disposed WHEN 0 THEN ` + sqlOff + ` WHEN 1 THEN ` + sqlOn + ` ELSE disposed END,
	CASE absent WHEN 0 THEN ` + sqlOff + ` WHEN 1 THEN ` + sqlOn + ` ELSE absent END`

// into is where [database/sql.Rows.Scan] puts rowColumns.
func (r *row) into() []any {
	raw := func(b *[]byte) *sql.RawBytes { return (*sql.RawBytes)(b) }
	return []any{&r.mailbox, raw(&r.uid), raw(&r.hash), raw(&r.state), &r.disposed, &r.absent, &r.size, raw(&r.token), &r.attempts, &r.doubts,
		&r.first, &r.last, &r.next, &r.sum, raw(&r.recipients), raw(&r.verdicts), &r.ran, &r.listed, &r.acknowledged,
		&r.breaks, &r.charges, &r.octets, &r.dotSent, &r.judged, raw(&r.fingerprint)}
}

// errUnsound is a row that is damaged.
var errUnsound = errors.New("a record is damaged")

// sound checks a row that was read from a file of this version.
func (r *row) sound(version int64) (s State, hash [sha256.Size]byte, err error) {
	s = canonical(string(r.state))
	sum := r.checksum
	if version < 7 {
		sum = r.checksum6
	}
	flags := isCode(r.disposed) && isCode(r.absent) && r.dotSent == flag(r.dotSent != 0)
	if !flags || s == "" || len(r.hash) != len(hash) || sum(r.mailbox, r.uid, r.hash) != r.sum {
		return "", hash, errUnsound
	}
	copy(hash[:], r.hash)
	return s, hash, nil
}

// keep copies the key, so that it outlives the next row. The driver returns nil for an empty BLOB and stores nil as NULL, which
// equals nothing: a message without a UID has an empty one.
func (r *row) keep() {
	r.uid, r.hash = append([]byte{}, r.uid...), append([]byte{}, r.hash...)
}
