package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// upgrade makes a ledger of an older version one of this, wholly or not at all.
func upgrade(ctx context.Context, db *sql.DB, from int64) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if from < 2 {
		err = upgradeFrom1(ctx, conn)
	}
	if err == nil && from < 3 {
		_, err = conn.ExecContext(ctx, from2to3)
	}
	if err == nil && from < 4 {
		_, err = conn.ExecContext(ctx, "ALTER TABLE record ADD COLUMN fingerprint BLOB NOT NULL DEFAULT x''")
	}
	if err == nil && from < 5 {
		_, err = conn.ExecContext(ctx, schemaLogin)
	}
	if err == nil && from < 6 {
		_, err = conn.ExecContext(ctx, addHeading+schemaTold)
	}
	if err == nil && from < 7 {
		err = upgradeFrom6(ctx, conn)
	}
	if err == nil && from < 8 {
		_, err = conn.ExecContext(ctx, schemaListing)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, schemaSource)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(schemaVersion)+"; COMMIT")
	}
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // err is what matters
	}
	return err
}

// upgradeFrom1 makes a ledger of version 1 one of version 2.
//
// Version 1 called more messages refused: those deferred for too long, those that could not be put to the MTA, and
// those for a recipient that the MTA did not want, by a status 5.1.x or perhaps by a 550 without a status (the reply has
// two spaces then). They are held now, because a policy for refused mail must not apply to them.
func upgradeFrom1(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, `
		ALTER TABLE record ADD COLUMN verdicts TEXT NOT NULL DEFAULT '';
		ALTER TABLE record ADD COLUMN ran INTEGER NOT NULL DEFAULT -1;`+ // FirstFormat
		schemaClock); err != nil {
		return err
	}
	rows, err := conn.QueryContext(ctx, "SELECT "+rowColumns(2)+` FROM record
		WHERE state = 'refused' AND disposed = 0 AND (code < 500 OR reply LIKE '550  %' OR reply LIKE '5__ 5.1.%')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var unrefused []row
	for rows.Next() {
		var r row
		if err := rows.Scan(r.into()...); err != nil {
			return err
		}
		if _, _, err := r.sound(2); err != nil {
			continue // damaged: an error for everybody who reads it
		}
		r.state = []byte(Held)
		r.sum = r.checksum6(r.mailbox, r.uid, r.hash)
		r.keep()
		unrefused = append(unrefused, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, r := range unrefused {
		if err := one(conn.ExecContext(ctx, "UPDATE record SET state = 'held', sum = ?4"+whereKey, r.mailbox, r.uid, r.hash, r.sum)); err != nil {
			return err
		}
	}
	return nil
}

// one returns an error unless a statement has changed one record.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n != 1 || err != nil {
		return errors.Join(fmt.Errorf("%w: it is not found by its key", errUnsound), err)
	}
	return nil
}

// from2to3 makes a ledger of version 2 one of version 3. A mailbox that it has records of was passed over before.
const from2to3 = `
		ALTER TABLE record ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;
		ALTER TABLE record ADD COLUMN acknowledged INTEGER NOT NULL DEFAULT 0;
		ALTER TABLE record ADD COLUMN breaks INTEGER NOT NULL DEFAULT 0;
		ALTER TABLE record ADD COLUMN charges INTEGER NOT NULL DEFAULT 0;
		ALTER TABLE record ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
		ALTER TABLE record ADD COLUMN dotsent INTEGER NOT NULL DEFAULT 0;
		ALTER TABLE record ADD COLUMN judged INTEGER NOT NULL DEFAULT 0;` +
	schemaOf3 + schemaJudged + `
		INSERT INTO caught_up SELECT DISTINCT account, folder, 0 FROM mailbox;`

// upgradeBatch is how many records an upgrade has in memory at once.
const upgradeBatch = 1000

// upgradeFrom6 makes a ledger of version 6 one of version 7: the flags of each record get their code, and its sum is over more. What
// is damaged stays an error for everybody who reads it.
func upgradeFrom6(ctx context.Context, conn *sql.Conn) error {
	// A pass never used that index: it reads the table in the order of its key. Each change of a record had to change it.
	if _, err := conn.ExecContext(ctx, "DROP INDEX record_live"); err != nil {
		return err
	}
	update, err := conn.PrepareContext(ctx, "UPDATE record SET disposed = ?4, absent = ?5, sum = ?6"+whereKey)
	if err != nil {
		return err
	}
	defer update.Close()
	var upgraded, all int64
	batch := []row{{mailbox: math.MinInt64}} // no record comes before it
	for len(batch) > 0 {
		if batch, err = recordsAfter(ctx, conn, batch[len(batch)-1]); err != nil {
			return err
		}
		for _, r := range batch {
			if err := one(update.ExecContext(ctx, r.mailbox, r.uid, r.hash, r.disposed, r.absent, r.sum)); err != nil {
				return err
			}
		}
		upgraded += int64(len(batch))
	}
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM record").Scan(&all); err != nil {
		return err
	}
	if upgraded != all {
		return fmt.Errorf("%w: %d of %d are found in the order of their keys", errUnsound, upgraded, all)
	}
	return nil
}

// recordsAfter returns records of version 6 that come behind last, with their flags and sums of version 7.
func recordsAfter(ctx context.Context, conn *sql.Conn, last row) (batch []row, err error) {
	rows, err := conn.QueryContext(ctx, "SELECT "+rowColumns(6)+` FROM record
		WHERE (mailbox, uid, hash) > (?, ?, ?) ORDER BY mailbox, uid, hash LIMIT ?`, last.mailbox, last.uid, last.hash, upgradeBatch)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := rows.Scan(r.into()...); err != nil {
			return nil, err
		}
		if _, _, err := r.sound(6); err == nil {
			r.sum = r.checksum(r.mailbox, r.uid, r.hash)
		}
		r.keep()
		batch = append(batch, r)
	}
	return batch, rows.Err()
}
