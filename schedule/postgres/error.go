package postgres

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/truehop/truehop/schedule/ledger"
)

const (
	hintAway   = "see that PostgreSQL runs and can be reached from here; truehop serve then goes on by itself"
	hintRights = "see examples/fleet/roles.sql for the rights of each role: truehop_node runs services, truehop_admin changes accounts, and the owner makes the tables, by truehop accounts prepare"
	hintLogin  = "correct the role's name or its password: of state that is state_password_file or another source, else ~/.pgpass"
	hintLetIn  = "see that the role exists, and that pg_hba.conf of the server lets it into this database from here"
	hintNone   = "correct the name of the database, or have its administrator create it"
	hintEmpty  = "let a role that may make the tables say truehop accounts prepare"
	hintOlder  = "end truehop on all machines, and let a role that owns the tables say truehop accounts prepare, by this version"
	hintFull   = "free some space on the server of the database"
	hintSlow   = "see what keeps the database busy; a statement_timeout, lock_timeout or transaction_timeout for the role of truehop must be longer than its slowest statement"
	hintMany   = "raise max_connections of the server, or lower passes: a service has as many connections as passes, up to 15, and 4 more"
)

// failed wraps err as a [*ledger.Error] of the kind that its cause shows. Errors of a context and those that are one already
// come back as they are.
func failed(op, name string, err error) error {
	var known *ledger.Error
	var secret *passwordError
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &secret):
		return secret.err
	}
	kind := kindOf(err)
	if kind == ledger.Unclassified {
		return err
	}
	e := &ledger.Error{Kind: kind, Op: op, Path: name, Err: oneLine(err)}
	if e.Advice = hint(kind, err); kind == ledger.Away {
		e.Op = "cannot be reached"
	}
	return e
}

// hint says what to do about an error of a kind, "" where there is nothing to say.
func hint(kind ledger.Kind, err error) string {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		switch said.Code {
		case "28P01":
			return hintLogin
		case "28000":
			return hintLetIn
		case "3D000":
			return hintNone
		case "57014", "25P04", "55P03":
			return hintSlow
		case "53300":
			return hintMany
		}
	}
	switch kind {
	case ledger.Away:
		return hintAway
	case ledger.NotFound:
		return hintEmpty
	case ledger.Permission:
		return hintRights
	case ledger.Full:
		return hintFull
	}
	return ""
}

// kindOf classifies what pgx returned; Unclassified is the end of the caller's context, or an answer without rows.
func kindOf(err error) ledger.Kind {
	var said *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, pgx.ErrNoRows):
		return ledger.Unclassified
	case errors.As(err, &said):
		return kindOfCode(said.Code)
	case errors.As(err, &connect), errors.Is(err, context.DeadlineExceeded):
		return ledger.Away
	case errors.Is(err, errUnsound):
		return ledger.Corrupt
	case errors.Is(err, errNoSchema):
		return ledger.NotFound
	}
	return ledger.Away // the connection broke
}

// kindOfCode classifies an SQLSTATE (PostgreSQL, appendix A).
func kindOfCode(code string) ledger.Kind {
	switch code {
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return ledger.Slow
	case "57014", "25P04": // query_canceled, as by statement_timeout, and transaction_timeout: the server is there
		return ledger.Slow
	case "53100": // disk_full
		return ledger.Full
	case "42501", "28000", "28P01", "25006": // insufficient_privilege, invalid authorization and password, read_only_sql_transaction
		return ledger.Permission
	case "42P01", "3F000": // no such table, schema: no pass has been made yet
		return ledger.NotFound
	case "3D000": // no such database: it was misspelt, or lost with all that is known
		return ledger.IO
	case fencedState:
		return ledger.Fenced
	}
	if len(code) < 2 {
		return ledger.IO
	}
	switch code[:2] {
	case "08", "57", "53": // connection exception, operator intervention, insufficient resources
		return ledger.Away
	case "XX": // internal error, data and index corrupted
		return ledger.Corrupt
	}
	return ledger.IO
}

// again reports whether the same can be asked again with hope, on another connection.
func again(err error) bool {
	switch kindOf(err) {
	case ledger.Away, ledger.Slow:
		return true
	}
	return false
}

// oneLine is a cause in one line; pgx's names user and addresses over several.
func oneLine(err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return errors.New(said.Severity + ": " + said.Message + " (SQLSTATE " + said.Code + ")")
	}
	text := err.Error()
	if i := strings.IndexByte(text, '\n'); i >= 0 {
		text = strings.TrimSuffix(text[:i], ":") + ": " + strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	}
	return errors.New(text)
}

// passwordError is a password that cannot be had.
type passwordError struct{ err error }

func (e *passwordError) Error() string { return e.err.Error() }

func errClosed() error { return &ledger.Error{Kind: ledger.Closed, Op: "is closed"} }
