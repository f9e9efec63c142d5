package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/ledger"
)

// RefusedError says that an upstream refuses an account's credentials, and that this is in the ledger: nobody
// logs in before Next, unless the credentials are changed.
type RefusedError struct {
	Account string
	// Times is how many logins in a row were refused.
	Times int
	Next  time.Time
	// Waits says that this login was not tried.
	Waits bool
	// Err is the refusal. It is a [*fetch.Error] of Kind [fetch.Auth].
	Err error
}

// Error says how it stands, and why.
func (e *RefusedError) Error() string {
	text := "login refused"
	if e.Times > 1 {
		text += fmt.Sprintf(" %d times in a row", e.Times)
	}
	return fmt.Sprintf("%s, tried again at %s: %v", text, e.Next.Local().Format("2006-01-02 15:04:05"), e.Err)
}

// Hint says what to do about it, and how not to wait.
func (e *RefusedError) Hint() string {
	then := "after correcting it: truehop check " + e.Account
	var cause *fetch.Error
	if errors.As(e.Err, &cause) && cause.Advice != "" {
		return cause.Advice + "; " + then
	}
	return then
}

// Unwrap returns the refusal.
func (e *RefusedError) Unwrap() error { return e.Err }

// holds reports whether a refusal keeps an account from logging in now, with credentials of this basis. A clock that
// is earlier than the refusal was set back, and Next may be far away.
func holds(r ledger.Refusal, now time.Time, basis string) bool {
	return r.Basis == basis && now.Before(r.Next) && !now.Before(r.Last)
}

// attempt is a login that was refused.
type attempt struct {
	began, ended time.Time
	// before and after are the basis of the credentials then: a token may have been renewed in between.
	before, after string
	reason        string
}

// refusedAgain returns the refusal as it is after another attempt. Attempts of several watchers at a time count once.
func refusedAgain(r ledger.Refusal, at attempt) ledger.Refusal {
	changed := r.Basis != at.before
	if together := r.Last.After(at.began) && !r.Last.After(at.ended); together && !changed {
		return r
	}
	if changed {
		r.Times = 0
	}
	r.Times++
	return ledger.Refusal{Times: r.Times, Last: at.ended, Next: at.ended.Add(schedule.BackOff(r.Times, true)), Basis: at.after, Reason: at.reason}
}

// loginWaits returns a [*RefusedError] if an account must not log in yet.
func (a *App) loginWaits(ctx context.Context, account *config.Account) error {
	r, err := a.ledger.Refusal(ctx, account.Name)
	now := a.setup().opts.Now() // not earlier: a watcher may have been refused in between
	if err != nil || !holds(r, now, account.LoginBasis(a.setup().cfg.Path)) {
		return err
	}
	return &RefusedError{Account: account.Name, Times: r.Times, Next: r.Next, Waits: true,
		Err: &fetch.Error{Kind: fetch.Auth, Op: "last time", Err: errors.New(r.Reason)}}
}

// applicant is who wants to log in.
type applicant uint8

const (
	aWatcher applicant = iota
	aPass
	aPerson // by a pass that does not wait for the time after a refusal
)

// logInInTurn is logInOnRecord when nobody else logs in to the account. Whoever was before may have been refused.
func (a *App) logInInTurn(ctx context.Context, account *config.Account, who applicant) (fetch.Mailbox, error) {
	leave, err := a.logins.enter(ctx, account.Name, who == aWatcher)
	if err != nil {
		return nil, err
	}
	defer leave()
	if who != aPerson {
		if err := a.loginWaits(ctx, account); err != nil {
			a.logins.note(account.Name, err)
			return nil, err
		}
	}
	return a.logInOnRecord(ctx, account)
}

// logInOnRecord is logIn that records whether the credentials were refused.
func (a *App) logInOnRecord(ctx context.Context, account *config.Account) (fetch.Mailbox, error) {
	at := attempt{began: a.setup().opts.Now(), before: account.LoginBasis(a.setup().cfg.Path)}
	mailbox, refusal := a.logIn(ctx, account)
	if refusal != nil && fetch.KindOf(refusal) != fetch.Auth {
		return mailbox, refusal // it says nothing about the credentials
	}
	at.ended, at.after = a.setup().opts.Now(), at.before
	if account.OAuth.Provider != "" {
		at.after = account.LoginBasis(a.setup().cfg.Path)
	}
	err := a.recordLogin(context.WithoutCancel(ctx), account.Name, at, refusal)
	if err != nil && mailbox != nil {
		mailbox.Abort()
		mailbox = nil
	}
	return mailbox, err
}

// recordLogin records how a login ended, and returns what its caller is told of that.
func (a *App) recordLogin(ctx context.Context, account string, at attempt, refusal error) error {
	a.logins.recording.Lock()
	defer a.logins.recording.Unlock()
	r, err := a.ledger.Refusal(ctx, account)
	if err != nil {
		return errors.Join(refusal, err)
	}
	if refusal == nil {
		if r == (ledger.Refusal{}) {
			return nil
		}
		return a.ledger.SetRefusal(ctx, account, ledger.Refusal{})
	}
	at.reason = refusal.Error()
	r = refusedAgain(r, at)
	if err := a.ledger.SetRefusal(ctx, account, r); err != nil {
		return errors.Join(refusal, err)
	}
	return &RefusedError{Account: account, Times: r.Times, Next: r.Next, Err: refusal}
}

// ForgetRefusal records that an account's credentials are good, if the ledger has it that they are refused.
func ForgetRefusal(ctx context.Context, cfg *config.Config, account string) error {
	looking, err := LookAtLedger(ctx, cfg)
	if ledger.KindOf(err) == ledger.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	r, err := looking.Refusal(ctx, account)
	if err = errors.Join(err, looking.Close()); err != nil || r == (ledger.Refusal{}) {
		return err
	}
	record, err := OpenLedger(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(record.SetRefusal(ctx, account, ledger.Refusal{}), record.Close())
}
