package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
)

// movable is a record that can be moved to another home.
type movable interface {
	Ledger
	Accounts(ctx context.Context) ([]string, error)
	Beside(ctx context.Context) (ledger.Beside, error)
	SetBeside(ctx context.Context, b ledger.Beside) error
}

// Moved is what Move has found and done.
type Moved struct {
	// Accounts and Messages are all that there are, Copied the messages that were not in the other home yet.
	Accounts, Messages, Copied int
}

// MoveError says why a record cannot be moved.
type MoveError struct {
	Place, Text, Advice string
}

func (e *MoveError) Error() string { return e.Place + ": " + e.Text }

// Hint says what to do about it.
func (e *MoveError) Hint() string { return e.Advice }

// Move copies the record from one place to another, both directories or databases, and compares what it has written with what it
// has read, row by row. What a run that was cut short has written is not written again. A place that has other rows is refused.
// No pass is made meanwhile over an account that the record knows.
func Move(ctx context.Context, cfg *config.Config, from, to string, progress func(account string, messages int)) (m Moved, err error) {
	source, err := openAt(ctx, cfg, from, true)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := openAt(ctx, cfg, to, false)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	names, err := source.Accounts(ctx)
	if err != nil {
		return m, err
	}
	there, err := target.Accounts(ctx)
	if err != nil {
		return m, err
	}
	if i := slices.IndexFunc(there, func(name string) bool { return !slices.Contains(names, name) }); i >= 0 {
		return m, otherRows(to, there[i])
	}
	for _, l := range []Ledger{source, target} {
		unlock, err := lockAll(ctx, l, names)
		defer unlock()
		if err != nil {
			return m, err
		}
	}
	for _, name := range there { // before anything is written
		if _, _, err := bothOf(ctx, source, target, to, name); err != nil {
			return m, err
		}
	}
	for _, name := range names {
		copied, all, err := moveAccount(ctx, source, target, to, name)
		if err != nil {
			return m, err
		}
		m.Accounts, m.Messages, m.Copied = m.Accounts+1, m.Messages+all, m.Copied+copied
		progress(name, all)
	}
	return m, moveBeside(ctx, source, target, to)
}

// lockAll locks accounts. A database that says nothing is waited for no longer than ctx lasts, neither by it nor by unlock: closing the record
// hands the leases back, or they end by themselves.
func lockAll(ctx context.Context, l Ledger, names []string) (unlock func(), err error) {
	shared, leased := l.(*postgres.Ledger)
	var locks []func() error
	unlock = func() {
		for _, each := range locks {
			if !leased || ctx.Err() == nil {
				_ = each()
			}
		}
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return unlock, err
		}
		var one func() error
		if leased {
			one, err = shared.LockContext(ctx, name)
		} else {
			one, err = l.Lock(name)
		}
		if err != nil {
			return unlock, err
		}
		locks = append(locks, one)
	}
	return unlock, nil
}

// openAt opens the record at a place for writing, because its accounts are locked. One that is to be read must be there.
func openAt(ctx context.Context, cfg *config.Config, place string, exists bool) (movable, error) {
	there := *cfg
	there.State, there.StateDir = "", place
	if postgres.IsURL(place) {
		there.State, there.StateDir = place, cfg.StateDir
	} else if _, err := os.Stat(filepath.Join(place, "ledger.db")); exists && err != nil {
		return nil, &MoveError{Place: place, Text: "there is no ledger", Advice: "name the state_dir that has it"}
	}
	opened, err := OpenLedger(ctx, &there)
	if err != nil {
		return nil, err
	}
	return opened.(movable), nil
}

func otherRows(place, account string) error {
	return &MoveError{Place: place, Text: fmt.Sprintf("it has another record of account %s", account),
		Advice: "move into a place that is empty, or that the same move has begun to fill"}
}

// moveAccount copies the records of an account that are not there yet, and wants all to be the same then.
func moveAccount(ctx context.Context, source, target Ledger, place, account string) (copied, all int, err error) {
	from, to, err := bothOf(ctx, source, target, place, account)
	if err != nil {
		return 0, 0, err
	}
	err = target.PutSeq(ctx, func(yield func(ledger.Record) bool) {
		for key, record := range from {
			if _, has := to[key]; !has && !yield(record) {
				return
			}
		}
	})
	if err != nil {
		return 0, 0, err
	}
	copied = len(from) - len(to)
	if to, err = byKey(ctx, target, account); err != nil {
		return copied, len(from), err
	}
	if !reflect.DeepEqual(from, to) {
		return copied, len(from), &MoveError{Place: place, Text: fmt.Sprintf("what was written of account %s is not what was read", account),
			Advice: "do not use it; report this"}
	}
	return copied, len(from), nil
}

// bothOf returns the records of an account here and there. All that are there must be here, too.
func bothOf(ctx context.Context, source, target Ledger, place, account string) (from, to map[ledger.Key]ledger.Record, err error) {
	if from, err = byKey(ctx, source, account); err != nil {
		return nil, nil, err
	}
	if to, err = byKey(ctx, target, account); err != nil {
		return nil, nil, err
	}
	for key, record := range to {
		if !reflect.DeepEqual(from[key], record) {
			return nil, nil, otherRows(place, account)
		}
	}
	return from, to, nil
}

func byKey(ctx context.Context, l Ledger, account string) (map[ledger.Key]ledger.Record, error) {
	records, err := l.List(ctx, ledger.Filter{Account: account})
	found := make(map[ledger.Key]ledger.Record, len(records))
	for _, r := range records {
		found[r.Key] = r
	}
	return found, err
}

// moveBeside copies what is kept beside the records.
func moveBeside(ctx context.Context, source, target movable, place string) error {
	want, err := source.Beside(ctx)
	if err != nil {
		return err
	}
	if err := target.SetBeside(ctx, want); err != nil {
		return err
	}
	got, err := target.Beside(ctx)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(got, want) {
		return &MoveError{Place: place, Text: "what was written of the accounts is not what was read", Advice: "do not use it; report this"}
	}
	return nil
}
