package postgres

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// schemaAccounts is the table of accounts, for those who keep them in the database. Who writes it is told of by name to all
// who listen, once the transaction is committed; changed is another time after each change, so that what was missed is found
// by comparing.
const schemaAccounts = `
CREATE TABLE truehop.account (
	name     text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
	settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(settings) = 'object'),
	enabled  boolean NOT NULL DEFAULT true,
	secret   bytea,
	changed  timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN truehop.account.settings IS 'keys of an account, as in a configuration file';
COMMENT ON COLUMN truehop.account.secret IS 'a file of age that holds two lines, the name of the account and its password';
CREATE FUNCTION truehop.account_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		PERFORM pg_notify('truehop_account', '');
		RETURN NULL;
	END IF;
	IF TG_OP <> 'INSERT' THEN
		PERFORM pg_notify('truehop_account', OLD.name);
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	PERFORM pg_notify('truehop_account', NEW.name);
	NEW.changed := clock_timestamp();
	IF TG_OP = 'UPDATE' AND NEW.changed <= OLD.changed THEN
		NEW.changed := OLD.changed + interval '1 microsecond';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER account_changed BEFORE INSERT OR UPDATE OR DELETE ON truehop.account
	FOR EACH ROW EXECUTE FUNCTION truehop.account_changed();
CREATE TRIGGER account_emptied AFTER TRUNCATE ON truehop.account
	FOR EACH STATEMENT EXECUTE FUNCTION truehop.account_changed();
`

// Account is a row of the table of accounts.
type Account struct {
	Name string
	// Settings is a JSON object.
	Settings []byte
	Enabled  bool
	// Secret is the password in an encrypted form, empty if there is none.
	Secret []byte
	// Changed is when the row was written. The database sets it.
	Changed time.Time
}

// Accounts is the table of accounts in a database.
type Accounts struct {
	pool *pgxpool.Pool
	name string
	// reply bounds the wait for a reply to who listens.
	reply time.Duration
}

// accountConnections is one for reading and one for listening.
const accountConnections = 2

// OpenAccounts opens the table. Where readOnly is false it makes the schema, or brings it to the version of this program.
func OpenAccounts(ctx context.Context, o Options, readOnly bool) (*Accounts, error) {
	o.Connections = accountConnections
	pool, name, err := dial(ctx, o, readOnly)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, pool, name, readOnly); err != nil {
		pool.Close()
		return nil, err
	}
	return &Accounts{pool: pool, name: name, reply: replyTime}, nil
}

// Close ends the connections.
func (a *Accounts) Close() { a.pool.Close() }

const accountColumns = "SELECT name, settings::text, enabled, coalesce(secret, ''), changed FROM truehop.account "

// List reads all rows, by name.
func (a *Accounts) List(ctx context.Context) ([]Account, error) {
	return a.read(ctx, accountColumns+"ORDER BY name")
}

// Named reads the rows with these names, as far as there are any.
func (a *Accounts) Named(ctx context.Context, names []string) ([]Account, error) {
	return a.read(ctx, accountColumns+"WHERE name = ANY($1) ORDER BY name", names)
}

// OfUser reads the rows whose settings name this user.
func (a *Accounts) OfUser(ctx context.Context, user string) ([]Account, error) {
	return a.read(ctx, accountColumns+"WHERE settings->>'user' = $1 ORDER BY name", user)
}

func (a *Accounts) read(ctx context.Context, query string, args ...any) ([]Account, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	rows, err := a.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, failed("cannot be read", a.name, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Account])
	return all, failed("cannot be read", a.name, err)
}

// Difference reads the rows that were not written when known says so, and names the rows of known that are gone.
func (a *Accounts) Difference(ctx context.Context, known map[string]time.Time) (differ []Account, gone []string, err error) {
	names, times := make([]string, 0, len(known)), make([]time.Time, 0, len(known))
	for name, changed := range known {
		names, times = append(names, name), append(times, changed)
	}
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	// Both by one snapshot.
	err = pgx.BeginTxFunc(ctx, a.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, accountColumns+`WHERE NOT EXISTS (
			SELECT FROM unnest($1::text[], $2::timestamptz[]) AS known (n, at) WHERE n = name AND at = changed) ORDER BY name`, names, times)
		if err != nil {
			return err
		}
		if differ, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Account]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT n FROM unnest($1::text[]) AS known (n)
			WHERE NOT EXISTS (SELECT FROM truehop.account WHERE name = n) ORDER BY n`, names)
		if err != nil {
			return err
		}
		gone, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, nil, failed("cannot be read", a.name, err)
	}
	return differ, gone, nil
}

// ErrExists is the cause of an error of [Accounts.Add] for a name that is taken.
var ErrExists = errors.New("there is a row of that name")

// Add writes a new row.
func (a *Accounts) Add(ctx context.Context, row Account) error {
	done, err := a.exec(ctx, `INSERT INTO truehop.account (name, settings, enabled, secret) VALUES ($1, $2::text::jsonb, $3, $4)
		ON CONFLICT (name) DO NOTHING`, row.Name, string(row.Settings), row.Enabled, orNull(row.Secret))
	if err == nil && done == 0 {
		return ErrExists
	}
	return err
}

// Change replaces a row that was read before, unless somebody else has written it since: then it returns false.
func (a *Accounts) Change(ctx context.Context, row Account) (bool, error) {
	done, err := a.exec(ctx, `UPDATE truehop.account SET settings = $2::text::jsonb, enabled = $3, secret = $4 WHERE name = $1 AND changed = $5`,
		row.Name, string(row.Settings), row.Enabled, orNull(row.Secret), row.Changed)
	return done > 0, err
}

// Remove deletes rows and returns how many there were.
func (a *Accounts) Remove(ctx context.Context, names []string) (int, error) {
	return a.exec(ctx, "DELETE FROM truehop.account WHERE name = ANY($1)", names)
}

func (a *Accounts) exec(ctx context.Context, statement string, args ...any) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	tag, err := a.pool.Exec(ctx, statement, args...)
	return int(tag.RowsAffected()), failed("cannot be written", a.name, err)
}

func orNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

const (
	// accountGather is how long a change waits for others: who writes many rows writes them one after the other.
	accountGather = 200 * time.Millisecond
	// mostNamed is how many changes are told by name.
	mostNamed = 1000
)

// Listen tells changed of rows that were written or removed, by name, until the connection is lost, changed fails, or ctx
// ends. Without names any row may have been: so it begins, and so it says again after each full, as a net below.
func (a *Accounts) Listen(ctx context.Context, full time.Duration, changed func(names []string) error) error {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return failed("cannot be listened to", a.name, err)
	}
	// A session that listens is of no use to others.
	defer func() { _ = conn.Hijack().Close(context.WithoutCancel(ctx)) }()
	for {
		// Said again it changes nothing, and shows whether the connection still lives.
		asking, cancel := context.WithTimeout(ctx, a.reply)
		_, err := conn.Exec(asking, "LISTEN truehop_account")
		cancel()
		if err != nil {
			return failed("cannot be listened to", a.name, err)
		}
		if err := changed(nil); err != nil {
			return err
		}
		for until, all := time.Now().Add(full), false; !all && time.Now().Before(until); {
			var names []string
			if names, all, err = gather(ctx, conn.Conn(), time.Until(until)); err != nil {
				return failed("cannot be listened to", a.name, err)
			}
			if len(names) > 0 && !all {
				if err := changed(names); err != nil {
					return err
				}
			}
		}
	}
}

// gather waits for a notification, at most for within, and for those that follow it closely. all says that they do not name all
// that has changed.
func gather(ctx context.Context, conn *pgx.Conn, within time.Duration) (names []string, all bool, err error) {
	until := time.Now().Add(within)
	for {
		waiting, cancel := context.WithDeadline(ctx, until)
		n, err := conn.WaitForNotification(waiting)
		over := waiting.Err() != nil
		cancel()
		switch {
		case err != nil && over && ctx.Err() == nil && !conn.IsClosed():
			slices.Sort(names)
			return slices.Compact(names), all, nil
		case err != nil:
			return nil, false, err
		case len(names) == 0 && !all:
			until = time.Now().Add(accountGather)
		}
		if n.Payload == "" || len(names) == mostNamed {
			all = true
			continue
		}
		names = append(names, n.Payload)
	}
}
