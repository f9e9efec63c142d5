package ui

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/truehop/truehop/schedule/transfer"
)

// Report is what run --report writes: what the passes did. It is safe for concurrent use.
type Report struct {
	mu    sync.Mutex
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// DryRun says that nothing was changed.
	DryRun bool `json:"dry_run"`
	// Exit is the exit code of the program.
	Exit     int             `json:"exit"`
	Accounts []AccountReport `json:"accounts"`
}

// AccountReport is what the pass over one account did.
type AccountReport struct {
	Account string `json:"account"`
	// Exit is the exit code that this account alone stands for.
	Exit          int     `json:"exit"`
	Error         *string `json:"error"`
	Hint          *string `json:"hint"`
	Listed        int     `json:"listed"`
	Delivered     int     `json:"delivered"`
	Deferred      int     `json:"deferred"`
	Waiting       int     `json:"waiting"`
	Refused       int     `json:"refused"`
	PartlyRefused int     `json:"partly_refused"`
	Quarantined   int     `json:"quarantined"`
	Held          int     `json:"held"`
	Doubt         int     `json:"doubt"`
	Adopted       int     `json:"adopted"`
	Failed        int     `json:"failed"`
	LeftOut       int     `json:"left_out"`
	Left          int     `json:"left"`
	Settled       int     `json:"settled"`
	Unsettled     int     `json:"unsettled"`
	Lost          int     `json:"lost"`
	Asked         int     `json:"asked"`
}

// NewReport begins a report.
func NewReport(began time.Time, dryRun bool) *Report {
	return &Report{Began: began, DryRun: dryRun, Accounts: []AccountReport{}}
}

// Add takes how the pass over an account ended.
func (r *Report) Add(account string, s transfer.Summary, err error, exit int) {
	a := AccountReport{
		Account: account, Exit: exit, Listed: s.Listed, Delivered: s.Delivered, Deferred: s.Deferred, Waiting: s.Waiting, Refused: s.Refused,
		PartlyRefused: s.PartlyRefused, Quarantined: s.Quarantined, Held: s.Held, Doubt: s.Doubt, Adopted: s.Adopted, Failed: s.Failed,
		LeftOut: s.LeftOut, Left: s.Left, Settled: s.Settled, Unsettled: s.Unsettled, Lost: s.Lost, Asked: s.Asked,
	}
	if err != nil {
		a.Error, a.Hint = orNil(lines(err.Error())), orNil(lines(Hint(err)))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Accounts = append(r.Accounts, a)
}

// Write ends the report and puts it into a file, whole or not at all: whoever reads the file finds this report or the one before.
func (r *Report) Write(path string, ended time.Time, exit int) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Ended, r.Exit = ended, exit
	f, err := os.CreateTemp(filepath.Dir(path), ".truehop-report-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	encoder := json.NewEncoder(escaped{f})
	encoder.SetEscapeHTML(false)
	err = errors.Join(encoder.Encode(r), f.Sync())
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
