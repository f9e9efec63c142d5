package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// session is a session as the server knows it. A process ID may come again, but not with the same begin.
type session struct {
	pid   int32
	began time.Time
}

// sessionKey is where a connection has its session.
const sessionKey = "session"

// errStillThere is a session that broke and that the server has not ended yet.
var errStillThere = errors.New("the server still has a session that broke")

// release gives a connection back, and notes its session if it broke.
func (w *writer) release(conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() {
		if s, ok := conn.Conn().PgConn().CustomData()[sessionKey].(session); ok {
			w.broken = append(w.broken, s)
		}
	}
	conn.Release()
}

// endBroken has the server end the sessions that broke under a group, and fails until it has. The group may still be on its way there, in the
// buffers of a network that was away or behind a lock. If it took effect after it was sent again, and after later writes, it would undo those,
// under a lease that still lasts: a message that was delivered would go out once more.
func (w *writer) endBroken(ctx context.Context, conn *pgxpool.Conn) error {
	for len(w.broken) > 0 {
		s := w.broken[0]
		ended, err := conn.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2", s.pid, s.began)
		if err != nil {
			return err
		}
		if ended.RowsAffected() > 0 { // it has been told to end, and may be about to commit
			return errStillThere
		}
		w.broken = w.broken[1:]
	}
	return nil
}
