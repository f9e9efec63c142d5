package main

import (
	"context"
	"slices"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// accountsChange is what has changed in the table of accounts: rows that are new or other, and names whose rows are gone.
type accountsChange struct {
	rows []config.Row
	gone []string
}

// follow has changes in the table of accounts adopted, until ctx ends.
func (s *service) follow(ctx context.Context, files *config.Config) {
	known := func() map[string]time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.cfg.Table().Changed()
	}
	away := false
	app.FollowAccounts(ctx, files, known, func(rows []config.Row, gone []string) {
		select {
		case s.changes <- accountsChange{rows, gone}:
		case <-ctx.Done():
		}
	}, func(err error) {
		if told := away == (err != nil); told {
			return
		}
		away = err != nil
		s.logger().NotFollowing(err)
	})
}

// adoptRows goes on by a changed table of accounts.
func (s *service) adoptRows(ctx context.Context, change accountsChange) {
	before := s.cfg // only the goroutine that this runs in changes it
	next := before.Table().With(change.rows, change.gone).Config()
	log := s.logger()
	err := s.adopt(ctx, next, log, func(come, gone []string) {
		for _, w := range next.Warnings {
			if !slices.Contains(before.Warnings, w) {
				log.Warning(w)
			}
		}
		if len(come)+len(gone) > 0 {
			log.Reloaded(come, gone)
			s.notify(s.manager.ready(len(next.Accounts)))
		}
	})
	if err != nil {
		log.NotReloaded(err)
	}
}

// newlySkipped are the rows that are no accounts in next, where that was not so, or for another reason, before.
func newlySkipped(before, next *config.Config) (rows []config.SkippedRow) {
	was := map[string]config.SkippedRow{}
	for _, row := range before.Skipped {
		was[row.Name] = row
	}
	for _, row := range next.Skipped {
		last, known := was[row.Name]
		same := known && last.Changed.Equal(row.Changed) && last.Error() == row.Error()
		if !same {
			rows = append(rows, row)
		}
	}
	return rows
}

// tellSkipped logs rows of the table that are no accounts, but for those that the log of this service, or of another by the same
// record, has been told of.
func (s *service) tellSkipped(ctx context.Context, rows []config.SkippedRow) {
	for _, row := range rows {
		if !s.app.TellSkipped(ctx, row).Known {
			s.logger().Skipped(row)
		}
	}
}
