package ledger

import (
	"context"
	"database/sql"
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
	if err == nil {
		_, err = conn.ExecContext(ctx, addHeading+schemaTold)
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
	type row struct {
		mailbox, sum int64
		uid, hash    []byte
		token        string
	}
	rows, err := conn.QueryContext(ctx, `SELECT mailbox, uid, hash, token, sum FROM record
		WHERE state = 'refused' AND disposed = 0 AND (code < 500 OR reply LIKE '550  %' OR reply LIKE '5__ 5.1.%')`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var unrefused []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.mailbox, &r.uid, &r.hash, &r.token, &r.sum); err != nil {
			return err
		}
		if _, _, err := sound(r.mailbox, r.uid, r.hash, guarded{state: string(Refused), token: r.token}, r.sum); err != nil {
			continue // damaged: an error for everybody who reads it
		}
		unrefused = append(unrefused, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, r := range unrefused {
		sum := checksum(r.mailbox, r.uid, r.hash, guarded{state: string(Held), token: r.token})
		if _, err := conn.ExecContext(ctx, "UPDATE record SET state = 'held', sum = ? WHERE mailbox = ? AND uid = ? AND hash = ?",
			sum, r.mailbox, r.uid, r.hash); err != nil {
			return err
		}
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
