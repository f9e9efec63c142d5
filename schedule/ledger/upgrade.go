package ledger

import (
	"context"
	"database/sql"
	"strconv"
)

// upgrade makes a ledger of version 1 one of version 2, wholly or not at all.
//
// Version 1 called more messages refused: those deferred for too long, those that could not be put to the MTA, and
// those for a recipient that the MTA did not want, by a status 5.1.x or perhaps by a 550 without a status (the reply has
// two spaces then). They are held now, because a policy for refused mail must not apply to them.
func upgrade(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err = upgradeFrom1(ctx, conn)
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // err is what matters
	}
	return err
}

func upgradeFrom1(ctx context.Context, conn *sql.Conn) error {
	if _, err := conn.ExecContext(ctx, `
		ALTER TABLE record ADD COLUMN verdicts TEXT NOT NULL DEFAULT '';
		ALTER TABLE record ADD COLUMN ran INTEGER NOT NULL DEFAULT -1;`+ // FirstFormat
		schemaClock+
		"PRAGMA user_version = "+strconv.Itoa(schemaVersion)); err != nil {
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
		if _, _, err := sound(r.mailbox, r.uid, r.hash, string(Refused), r.token, "", r.sum); err != nil {
			continue // damaged: an error for everybody who reads it
		}
		unrefused = append(unrefused, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, r := range unrefused {
		sum := checksum(r.mailbox, r.uid, r.hash, string(Held), r.token, "")
		if _, err := conn.ExecContext(ctx, "UPDATE record SET state = 'held', sum = ? WHERE mailbox = ? AND uid = ? AND hash = ?",
			sum, r.mailbox, r.uid, r.hash); err != nil {
			return err
		}
	}
	return nil
}
