package postgres

import (
	"context"
	"time"
)

// Setting returns a setting of the sessions of l.
func Setting(ctx context.Context, l *Ledger, name string) (value string) {
	if err := l.pool.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value); err != nil {
		return err.Error()
	}
	return value
}

// SetReplyTime bounds the wait for each reply to the writer of l.
func SetReplyTime(l *Ledger, limit time.Duration) { l.writer.reply = limit }

// SetListenReplyTime bounds the wait for each reply to who listens to a.
func SetListenReplyTime(a *Accounts, limit time.Duration) { a.reply = limit }
