package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/truehop/truehop/schedule/ledger"
)

// Options say which database holds the record, and how it is reached.
type Options struct {
	// URL is postgres://USER@HOST/DATABASE?…, or service=NAME for a section of a service file, or any other connection
	// string that libpq takes. It must not hold a password.
	URL string
	// Password, if not nil, is asked for the password before each connection is made; "" leaves that of ~/.pgpass or of a service file.
	Password func(context.Context) (string, error)
	// Connections bounds the connections of this process, beside the one by which it renews its leases; 0 is 8.
	Connections int
	// Patience and VerdictPatience are how long a write waits for a database that is away: any, and one that says what an MTA made of a
	// message, which would else be in doubt and come again. 0 is 5 s and 1 min.
	Patience, VerdictPatience time.Duration
	// Dial makes connections; nil is the network.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Holder names this process to others, as in "pid 4711 on mail.example.org"; "" is that.
	Holder string
	// Term is how long leases last that are not renewed, as when this process dies; 0 is 30 s.
	Term time.Duration
	// DotOver is how long after the end of a lease something that its holder has sent to an MTA may still arrive there: the longest write that
	// holds a dot, and the wait for its reply. 0 is 13 min.
	DotOver time.Duration
}

const (
	defaultConnections = 8
	// connectTime bounds the making of one connection.
	connectTime = 10 * time.Second
	// replyTime bounds the wait for the reply to one statement or group. A server that is silent for so long is gone.
	replyTime = time.Minute
)

// IsURL reports whether a text names a database of PostgreSQL, and no directory.
func IsURL(text string) bool {
	for _, begin := range []string{"postgres://", "postgresql://", "service="} {
		if strings.HasPrefix(text, begin) {
			return true
		}
	}
	return false
}

// dial makes the pool; it connects to nobody.
func dial(ctx context.Context, o Options, readOnly bool) (pool *pgxpool.Pool, name string, err error) {
	config, err := configure(o, readOnly)
	if err != nil {
		return nil, "", err
	}
	name = nameOf(config.ConnConfig)
	pool, err = pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, name, failed("cannot be used", name, err)
	}
	return pool, name, nil
}

// configure turns the options into those of the pool.
func configure(o Options, readOnly bool) (*pgxpool.Config, error) {
	misnamed := func(op, advice string, err error) error {
		return &ledger.Error{Kind: ledger.Misnamed, Op: op, Advice: advice, Err: err}
	}
	if holdsPassword(o.URL) {
		return nil, misnamed("the connection string of the database holds a password", "use password_file or another source of a password", nil)
	}
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		// The cause quotes the connection string, which may hold what should not be shown.
		return nil, misnamed("the connection string of the database cannot be read",
			"write postgres://USER@HOST/DATABASE, or service=NAME, in state or accounts_from; a section and the files that it names must be there", nil)
	}
	modeGiven := strings.Contains(o.URL, "sslmode=") || strings.Contains(o.URL, "ssl=") || os.Getenv("PGSSLMODE") != ""
	if !modeGiven && !verified(config.ConnConfig) {
		// pgx, as libpq, would go without TLS where the server offers none.
		if config, err = pgxpool.ParseConfig(withMode(o.URL)); err != nil {
			return nil, misnamed("the connection string of the database cannot be read", "", nil)
		}
	}
	if !verified(config.ConnConfig) {
		return nil, misnamed("the connection to the database would not be protected",
			"give state, or accounts_from where that names it, sslmode=verify-full, with sslrootcert=FILE where the server's authority is your own", nil)
	}
	c := config.ConnConfig
	c.ConnectTimeout = connectTime
	if o.Dial != nil {
		c.DialFunc = o.Dial
	}
	c.RuntimeParams["application_name"] = "truehop"
	c.RuntimeParams["search_path"] = "truehop"
	// Who waits for a lock sees what was committed meanwhile: a burial, what the node has taken; fence, the epoch.
	c.RuntimeParams["default_transaction_isolation"] = "read committed"
	c.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(replyTime.Milliseconds(), 10)
	if readOnly {
		c.RuntimeParams["default_transaction_read_only"] = "on"
	}
	config.MaxConns = int32(o.Connections)
	if o.Connections == 0 {
		config.MaxConns = defaultConnections
	}
	config.MinConns, config.MinIdleConns = 0, 0
	config.AfterConnect = ready
	// A session that has died is noticed by its first use, which is tried again on another.
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
	if o.Password != nil {
		config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
			password, err := o.Password(ctx)
			if err != nil {
				return &passwordError{err}
			}
			c.Password = cmp.Or(password, c.Password)
			return nil
		}
	}
	return config, nil
}

// holdsPassword reports whether a connection string holds a password: before the host, behind it, or as a word of libpq's other form, where spaces
// may stand around =.
func holdsPassword(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return strings.Contains(strings.Join(strings.Fields(text), ""), "password=")
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password") || u.Query().Has("sslpassword")
}

// verified reports whether each way to the server is by TLS with a certificate that is checked for its name, or does not
// leave the machine.
func verified(c *pgx.ConnConfig) bool {
	ok := trusted(c.Host, c.TLSConfig)
	for _, f := range c.Fallbacks {
		ok = ok && trusted(f.Host, f.TLSConfig)
	}
	return ok
}

// trusted is verified for one way. A host is this machine if it is a directory of UNIX sockets, or the loopback interface by its address or
// usual name.
func trusted(host string, t *tls.Config) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || strings.EqualFold(host, "localhost") {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsLoopback() {
		return true
	}
	return t != nil && !t.InsecureSkipVerify && t.ServerName != ""
}

// withMode adds sslmode=verify-full to a connection string.
func withMode(text string) string {
	switch {
	case !strings.Contains(text, "://"):
		return text + " sslmode=verify-full"
	case strings.Contains(text, "?"):
		return text + "&sslmode=verify-full"
	}
	return text + "?sslmode=verify-full"
}

// ready refuses a server that would not keep what it has been told, or that only follows another.
func ready(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, replyTime) // who waits for the connection may have gone, and it would keep its place in the pool
	defer cancel()
	var recovering bool
	var fsync string
	var s session
	// A session may raise synchronous_commit, and on is what makes a commit wait for the disk, here and at synchronous standbys.
	err := conn.QueryRow(ctx, `SELECT pg_is_in_recovery(), current_setting('fsync'),
		CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') THEN ''
		ELSE set_config('synchronous_commit', 'on', false) END,
		pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()`).Scan(&recovering, &fsync, nil, &s.pid, &s.began)
	conn.PgConn().CustomData()[sessionKey] = s
	switch {
	case err != nil:
		return err
	case recovering:
		return &ledger.Error{Kind: ledger.Permission, Op: "is a standby, and may know less than its primary",
			Path: nameOf(conn.Config()), Advice: "name the primary; with several hosts add target_session_attrs=primary"}
	case fsync != "on":
		return &ledger.Error{Kind: ledger.Permission, Op: "does not write to the disk (fsync = off)",
			Path: nameOf(conn.Config()), Advice: "set fsync = on in postgresql.conf: what a power cut takes away would be delivered twice or not at all"}
	}
	return nil
}

// nameOf names a database to a person, without user and password.
func nameOf(c *pgx.ConnConfig) string {
	if strings.HasPrefix(c.Host, "/") {
		return "database " + c.Database + " at " + c.Host
	}
	return "database " + c.Database + " at " + net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
}

// errNoSchema is a database without the tables of a ledger.
var errNoSchema = errors.New("it has no schema truehop")
