package postgres

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/truehop/truehop/schedule/ledger"
)

// steps lead from one version of the schema to the next: the first makes version 1 of an empty database.
func steps() []string {
	return []string{schemaLedger + schemaListing + schemaLease + schemaAccounts, schemaSource}
}

// schemaLedger is the record. Text that a peer or a sender wrote is bytea, because it may hold any octets and text of
// PostgreSQL may not. Times are milliseconds since 1970, 0 for none.
const schemaLedger = `
CREATE TABLE truehop.format (
	one     boolean PRIMARY KEY DEFAULT true CHECK (one),
	version bigint NOT NULL
);
INSERT INTO truehop.format (version) VALUES (0);
CREATE TABLE truehop.mailbox (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	account  text NOT NULL,
	folder   bytea NOT NULL,
	validity bigint NOT NULL,
	UNIQUE (account, folder, validity)
);
CREATE TABLE truehop.record (
	mailbox      bigint NOT NULL,
	uid          bytea NOT NULL,
	hash         bytea NOT NULL,
	state        text NOT NULL,
	disposed     boolean NOT NULL,
	absent       boolean NOT NULL,
	size         bigint NOT NULL,
	listed       bigint NOT NULL,
	token        bytea NOT NULL,
	attempts     bigint NOT NULL,
	doubts       bigint NOT NULL,
	first        bigint NOT NULL,
	last         bigint NOT NULL,
	next         bigint NOT NULL,
	client       bytea NOT NULL,
	helo         bytea NOT NULL,
	sender       bytea NOT NULL,
	recipients   bytea NOT NULL,
	code         bigint NOT NULL,
	reply        bytea NOT NULL,
	queueid      bytea NOT NULL,
	why          bytea NOT NULL,
	verdicts     text NOT NULL,
	ran          bigint NOT NULL,
	acknowledged bigint NOT NULL,
	breaks       bigint NOT NULL,
	charges      bigint NOT NULL,
	octets       bigint NOT NULL,
	dotsent      boolean NOT NULL,
	judged       bigint NOT NULL,
	fingerprint  bytea NOT NULL,
	author       bytea NOT NULL,
	subject      bytea NOT NULL,
	messageid    bytea NOT NULL,
	dated        bigint NOT NULL,
	PRIMARY KEY (mailbox, uid, hash)
);
CREATE INDEX record_hash ON truehop.record (hash);
CREATE INDEX record_unfinished ON truehop.record (mailbox) WHERE ` + unfinished + `;
CREATE TABLE truehop.pass (
	account   text PRIMARY KEY,
	began     bigint NOT NULL DEFAULT 0,
	ended     bigint NOT NULL DEFAULT 0,
	ok        boolean NOT NULL DEFAULT false,
	listed    bigint NOT NULL DEFAULT 0,
	delivered bigint NOT NULL DEFAULT 0,
	deferred  bigint NOT NULL DEFAULT 0,
	refused   bigint NOT NULL DEFAULT 0,
	held      bigint NOT NULL DEFAULT 0,
	doubt     bigint NOT NULL DEFAULT 0,
	error     bytea NOT NULL DEFAULT '',
	hint      bytea NOT NULL DEFAULT '',
	exit      bigint NOT NULL DEFAULT 0,
	success   bigint NOT NULL DEFAULT 0,
	clock_at     bigint NOT NULL DEFAULT 0,
	clock_ran    bigint NOT NULL DEFAULT 0,
	clock_latest bigint NOT NULL DEFAULT 0,
	clock_base   bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE TABLE truehop.login (
	account text PRIMARY KEY,
	times   bigint NOT NULL,
	last    bigint NOT NULL,
	next    bigint NOT NULL,
	told    boolean NOT NULL,
	basis   bytea NOT NULL,
	reason  bytea NOT NULL
);
CREATE TABLE truehop.told (
	account text PRIMARY KEY,
	what    bytea NOT NULL,
	since   bigint NOT NULL,
	at      bigint NOT NULL,
	times   bigint NOT NULL
);
CREATE SEQUENCE truehop.judgement MINVALUE 0 START 0;
SELECT setval('truehop.judgement', 0);
CREATE TABLE truehop.judged (
	target  bytea NOT NULL,
	client  bytea NOT NULL,
	taken   bigint NOT NULL,
	refused bigint NOT NULL,
	last    bigint NOT NULL,
	PRIMARY KEY (target, client)
);
CREATE INDEX judged_last ON truehop.judged (last);
CREATE TABLE truehop.origin (
	one      boolean PRIMARY KEY DEFAULT true CHECK (one),
	cluster  bigint NOT NULL,
	relation bigint NOT NULL,
	restores bigint NOT NULL
);
INSERT INTO truehop.origin (cluster, relation, restores) VALUES (0, 0, 0);
CREATE TABLE truehop.caught_up (
	account  text NOT NULL,
	folder   bytea NOT NULL,
	restores bigint NOT NULL,
	PRIMARY KEY (account, folder)
);
`

// unfinished is the condition of [Ledger.Unfinished].
const unfinished = `state IN ('sending', 'deferred', 'doubt', 'lost')`

// migrationLock is the key of the advisory lock under which the schema is changed: "Thop".
const migrationLock = 0x54686f70

// migrate brings the schema to the version of this program, and refuses one that is newer. Where it is the same
// nothing is written, so that a role without the right to change tables can open it.
func migrate(ctx context.Context, pool *pgxpool.Pool, name string, readOnly bool) error {
	want := int64(len(steps()))
	asking, cancel := context.WithTimeout(ctx, replyTime) // a server that says nothing is not waited for in silence
	version, err := versionOf(asking, pool)
	cancel()
	if err != nil {
		return failed("cannot be read", name, err)
	}
	switch {
	case version > want:
		return tooNew(version, want, name)
	case version == want:
		return nil
	case readOnly && version == 0:
		return failed("cannot be read", name, errNoSchema)
	case readOnly:
		return &ledger.Error{Kind: ledger.Busy, Op: "has format " + strconv.FormatInt(version, 10) + ", older than " + strconv.FormatInt(want, 10),
			Path: name, Advice: hintOlder}
	}
	return failed("cannot be brought to format "+strconv.FormatInt(want, 10), name, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		// Another process may have done it while this one waited for the lock.
		version, err := versionOf(ctx, tx)
		if err != nil {
			return err
		}
		if version > want {
			return tooNew(version, want, name)
		}
		if version > 0 && version < want {
			if err := nobodyWorks(ctx, tx, name); err != nil {
				return err
			}
		}
		if version == 0 {
			// IF NOT EXISTS wants the right to make schemas, even where there is nothing to make.
			if _, err := tx.Exec(ctx, "DO $$ BEGIN IF to_regnamespace('truehop') IS NULL THEN CREATE SCHEMA truehop; END IF; END $$"); err != nil {
				return err
			}
		}
		for _, step := range steps()[version:] {
			// Without arguments pgx sends all statements at once.
			if _, err := tx.Exec(ctx, step); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, "UPDATE truehop.format SET version = $1", want)
		return err
	}))
}

// MayPrepare reports whether the role that reaches a database may make the tables of a record there.
func MayPrepare(ctx context.Context, o Options) (may bool, err error) {
	pool, name, err := dial(ctx, o, true)
	if err != nil {
		return false, err
	}
	defer pool.Close()
	err = pool.QueryRow(ctx, `SELECT CASE WHEN to_regnamespace('truehop') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
		ELSE has_schema_privilege('truehop', 'CREATE') END`).Scan(&may)
	return may, failed("cannot be read", name, err)
}

// nobodyWorks refuses to change the schema while other processes work by the old one.
func nobodyWorks(ctx context.Context, tx pgx.Tx, name string) error {
	var holder *string
	err := tx.QueryRow(ctx, "SELECT max(name) FROM truehop.node WHERE expires > clock_timestamp()").Scan(&holder)
	if err != nil || holder == nil {
		return err
	}
	return &ledger.Error{Kind: ledger.Busy, Op: "is in use by an older truehop", Path: name, Holder: *holder,
		Advice: "end truehop on all machines, bring one to the new version first, then the others"}
}

// versionOf returns the version of the schema, 0 where there is none.
func versionOf(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (version int64, err error) {
	var exists bool
	// A read of the catalog sees what was committed while the lock was waited for; to_regclass may not.
	if err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'truehop' AND c.relname = 'format')`).Scan(&exists); err != nil {
		return 0, err
	}
	if !exists {
		return 0, nil
	}
	err = db.QueryRow(ctx, "SELECT version FROM truehop.format").Scan(&version)
	// PostgreSQL shows what a transaction did before it tells the other sessions of the new names. Who has not heard of
	// them waits for the lock, which is released later.
	if undefined := (*pgconn.PgError)(nil); errors.As(err, &undefined) && undefined.Code == "42P01" {
		return 0, nil
	}
	return version, err
}

func tooNew(version, want int64, name string) error {
	return &ledger.Error{Kind: ledger.Version, Op: "has format " + strconv.FormatInt(version, 10) + ", newer than " + strconv.FormatInt(want, 10),
		Path: name, Advice: "it was written by a newer truehop: run that one"}
}

// noteOrigin compares the database with the one that the record was in when it was last opened, and counts a restore where
// they differ: what came back from a dump lies in another table, or in another cluster.
func noteOrigin(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `UPDATE truehop.origin
		SET restores = restores + (origin.cluster <> 0)::int, cluster = now.cluster, relation = now.relation
		FROM (SELECT system_identifier AS cluster, 'truehop.record'::regclass::oid::bigint AS relation FROM pg_control_system()) now
		WHERE (origin.cluster, origin.relation) <> (now.cluster, now.relation)`)
	return err
}
