package ui

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// AccountRow is what `accounts list --json` and `accounts check --json` print of a row in the table of accounts, one object a line.
type AccountRow struct {
	Account string `json:"account"`
	Enabled bool   `json:"enabled"`
	// Host and User are those that hold after defaults; null where the row is wrong or not enabled.
	Host *string `json:"host"`
	User *string `json:"user"`
	// Secret says that the row has a password, which is encrypted.
	Secret  bool      `json:"secret"`
	Changed time.Time `json:"changed"`
	// Problems say why the row is no account; it is skipped then.
	Problems []string `json:"problems"`
}

// NewAccountRow is a row as it counts in cfg.
func NewAccountRow(row config.Row, cfg *config.Config) AccountRow {
	r := AccountRow{Account: row.Name, Enabled: row.Enabled, Secret: len(row.Secret) > 0, Changed: row.Changed, Problems: []string{}}
	if i := slices.IndexFunc(cfg.Skipped, func(s config.SkippedRow) bool { return s.Name == row.Name }); i >= 0 {
		for _, p := range cfg.Skipped[i].Problems {
			p.Source = ""
			r.Problems = append(r.Problems, p.String())
		}
	} else if a := cfg.Accounts[row.Name]; a != nil {
		r.Host, r.User = &a.Host, &a.User
	}
	return r
}

// PrintAccountRows writes rows of the table of accounts as a table.
func PrintAccountRows(w io.Writer, rows []AccountRow) {
	t := newTable(w, "ACCOUNT", "ENABLED", "PASSWORD", "HOST", "USER", "CHANGED", "PROBLEM")
	for _, r := range rows {
		t.row(r.Account, yesNo(r.Enabled), yesNo(r.Secret), orDash(text(r.Host)), orDash(text(r.User)), when(&r.Changed), orDash(strings.Join(r.Problems, "; ")))
	}
	t.flush()
}

// PrintJSON writes the row as one object on a line.
func (r AccountRow) PrintJSON(w io.Writer) error { return printJSON(w, r) }

func yesNo(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
