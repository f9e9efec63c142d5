package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/sealed"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestWatcherLeavesRefusedCredentialsToTheSchedule: a watcher whose login was refused, or whose account's was in a pass, does
// not log in again before a pass could. After other failures it does.
func TestWatcherLeavesRefusedCredentialsToTheSchedule(t *testing.T) {
	lost := &fetch.Error{Kind: fetch.Unreachable, Op: "IDLE"}
	for name, c := range map[string]struct {
		login, pass error // of the watcher, of the pass that follows
		few         bool
	}{
		"refused":                 {&fetch.Error{Kind: fetch.Auth, Op: "LOGIN"}, nil, true},
		"no password to be had":   {&config.SecretError{}, nil, true},
		"refused to the pass":     {lost, &fetch.Error{Kind: fetch.Auth, Op: "LOGIN"}, true},
		"lost":                    {lost, nil, false},
		"lost, the pass as well":  {lost, lost, false},
		"something unclassified":  {errors.New("odd"), nil, false},
		"busy":                    {&fetch.Error{Kind: fetch.Busy, Op: "LOGIN"}, nil, false},
		"another account refused": {lost, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				var a App
				if name == "another account refused" {
					a.logins.note("other", &fetch.Error{Kind: fetch.Auth})
				}
				var logins atomic.Int64
				a.watchers.Go(func() {
					a.watch(ctx, "work", "imap.example.com:993", func(time.Duration) {}, func(context.Context) error {
						logins.Add(1)
						a.logins.note("work", c.login)
						return c.login
					})
				})
				synctest.Wait()
				if c.pass != nil {
					a.logins.note("work", c.pass)
				}
				time.Sleep(24 * time.Hour) // the bubble's
				synctest.Wait()
				if few := logins.Load() == 1; few != c.few {
					t.Errorf("%d logins in a day", logins.Load())
				}
				before := logins.Load()
				a.logins.note("work", nil)
				synctest.Wait()
				if c.few && logins.Load() != before+1 {
					t.Errorf("a pass has logged in, and the watcher did not")
				}
				cancel()
				a.watchers.Wait()
			})
		})
	}
}

// TestWatchedFolders: names are watched as they are given; with patterns the inbox is, unless it is taken out.
func TestWatchedFolders(t *testing.T) {
	for _, c := range []struct{ chosen, want fetch.Selection }{
		{fetch.Selection{"INBOX"}, fetch.Selection{"INBOX"}},
		{fetch.Selection{"A", "B", "C", "D", "E", "F"}, fetch.Selection{"A", "B", "C", "D", "E"}},
		{fetch.Selection{"all"}, fetch.Selection{"INBOX"}},
		{fetch.Selection{"Lists/*", "Work", `\Junk`}, fetch.Selection{"INBOX", "Work"}},
		{fetch.Selection{"inbox", "Lists/*"}, fetch.Selection{"inbox"}},
		{fetch.Selection{"all", "!INBOX"}, nil},
	} {
		if got := watchable(c.chosen); !slices.Equal(got, c.want) {
			t.Errorf("of %q: %q, want %q", c.chosen, got, c.want)
		}
	}
}

// TestWatcherSeesWhatCameBeforeIt: mail that no pass has seen when a folder begins to be watched is not left to the schedule.
func TestWatcherSeesWhatCameBeforeIt(t *testing.T) {
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, uid := range []string{"9", "10"} {
		key := ledger.Key{Account: "work", Folder: "INBOX", Validity: 7, UID: uid}
		if err := l.Put(t.Context(), ledger.Record{Key: key, State: ledger.Held}); err != nil {
			t.Fatal(err)
		}
	}
	// Some servers list the inbox as Inbox, and by a pattern it is known by that name.
	listed := ledger.Key{Account: "all", Folder: "Inbox", Validity: 7, UID: "10"}
	if err := l.Put(t.Context(), ledger.Record{Key: listed, State: ledger.Held}); err != nil {
		t.Fatal(err)
	}
	a := App{ledger: l}
	for name, c := range map[string]struct {
		account, folder string
		validity        uint32
		uids            []string
		want            bool
	}{
		"no mail":                     {"work", "INBOX", 7, nil, false},
		"all of it has a record":      {"work", "INBOX", 7, []string{"9", "10"}, false},
		"the newest is gone upstream": {"work", "INBOX", 7, []string{"9"}, false},
		"a newer one":                 {"work", "INBOX", 7, []string{"11", "9", "10"}, true},
		"UIDs begin anew":             {"work", "INBOX", 8, []string{"10"}, true},
		"another folder":              {"work", "Lists", 7, []string{"10"}, true},
		"another account":             {"home", "INBOX", 7, []string{"10"}, true},
		"the inbox in other letters":  {"all", "INBOX", 7, []string{"10"}, false},
		"there, a newer one":          {"all", "INBOX", 7, []string{"10", "11"}, true},
		"an ordinary folder is not":   {"work", "lists", 7, []string{"10"}, true},
	} {
		listing := &fetch.Listing{Validity: c.validity}
		for _, uid := range c.uids {
			listing.Refs = append(listing.Refs, fetch.Ref{UID: uid})
		}
		if got, err := a.unseen(t.Context(), c.account, c.folder, listing); got != c.want || err != nil {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

// TestWatcherShowsThatItLives: a watcher says at each step by when it takes the next one, and keeps to that.
func TestWatcherShowsThatItLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var a App
		var due time.Time // zero while it waits for a pass
		turns := 0
		tell := func(within time.Duration) {
			turns++
			if !due.IsZero() && time.Now().After(due) {
				t.Errorf("it is %v late", time.Since(due))
			}
			if due = time.Now().Add(within); within == 0 {
				due = time.Time{}
			}
		}
		a.watchers.Go(func() {
			a.watch(ctx, "work", "imap.example.com:993", tell, func(context.Context) error {
				tell(10 * time.Minute)
				time.Sleep(9 * time.Minute)
				return &fetch.Error{Kind: fetch.Unreachable, Op: "IDLE"}
			})
		})
		time.Sleep(24 * time.Hour)
		cancel()
		a.watchers.Wait()
		if turns < 3*24 {
			t.Errorf("%d turns in a day", turns)
		}
	})
}

// TestWatchersKeepToTheirRoom: of those at one upstream only so many are connected as may be, each that has to wait is told of once, and another upstream has
// its own room. Where one ends, the next takes its place.
func TestWatchersKeepToTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var a App
		told := map[string]int{}
		a.current.opts.NotWatching = func(account string, err error) {
			if errors.Is(err, errNoRoom) {
				told[account]++
			}
		}
		a.idles.Resize(3, 2)
		var mu sync.Mutex
		connected := map[string]bool{}
		first, leave := context.WithCancel(ctx)
		begin := func(ctx context.Context, account, upstream string) {
			a.watchers.Go(func() {
				a.watch(ctx, account, upstream, func(time.Duration) {}, func(ctx context.Context) error {
					mu.Lock()
					connected[account] = true
					mu.Unlock()
					<-ctx.Done()
					mu.Lock()
					delete(connected, account)
					mu.Unlock()
					return ctx.Err()
				})
			})
			synctest.Wait()
		}
		watching := func(want ...string) {
			t.Helper()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if got := slices.Sorted(maps.Keys(connected)); !slices.Equal(got, want) {
				t.Errorf("%v are connected, want %v", got, want)
			}
		}
		begin(first, "a", "one")
		begin(ctx, "b", "one")
		begin(ctx, "c", "one")
		begin(ctx, "d", "two")
		begin(ctx, "e", "two")
		watching("a", "b", "d")
		leave()
		watching("b", "c", "d")
		if !maps.Equal(told, map[string]int{"c": 1, "e": 1}) {
			t.Errorf("told of %v, want once of c and of e", told)
		}
		if a.shares.yield("e") {
			t.Error("a watcher without a connection has made room for a pass")
		}
		cancel()
		a.watchers.Wait()
	})
}

// TestWatcherLogsInByTheSecretOfNow: where only the secret of a row of the table has changed, a watcher whose connection is lost shows the new
// password, and not once more the old one.
func TestWatcherLogsInByTheSecretOfNow(t *testing.T) {
	const identity = "AGE-SECRET-KEY-1APTTL0MFF6QRTM9RCNVX38XKHN73P77N6UTSSNDJ69V2ZF03K3KQSNLUJ5" // it opens nothing but what tests seal
	keys, err := sealed.ParseKeys([]byte(identity))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key")
	if err := os.WriteFile(keyFile, []byte(identity+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base, err := config.Parse("truehop.yaml", []byte("state_dir: "+filepath.Join(dir, "state")+
		"\naccounts_from: service=truehop\naccounts_key_file: "+keyFile+"\n"), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	idles, conns := make(chan struct{}, 1), make(chan net.Conn, 1)
	store := fakeserver.NewStore()
	var password atomic.Value
	upstream := fetchtest.Listen(t, func(conn net.Conn) {
		conns <- conn
		(&fakeserver.IMAP{Store: store, User: "joe", Password: password.Load().(string), Reply: func(verb, _ string) (string, bool) {
			if verb == "IDLE" {
				idles <- struct{}{}
			}
			return "", false
		}}).Serve(conn)
	}).Addr()
	host, port, err := net.SplitHostPort(upstream)
	if err != nil {
		t.Fatal(err)
	}
	settings := fmt.Appendf(nil, `{"host": %q, "port": %s, "user": "joe", "tls": "none", "allow_plaintext": true,
		"recipients": ["joe@example.org"]}`, host, port)
	accountsBy := func(secret string) *config.Config {
		password.Store(secret)
		sealed, err := keys.Seal("work", secret)
		if err != nil {
			t.Fatal(err)
		}
		table := config.NewTable(base)
		table.Set(config.Row{Name: "work", Settings: settings, Enabled: true, Secret: sealed})
		cfg := table.Config()
		if len(cfg.Skipped) > 0 {
			t.Fatal(cfg.Skipped[0])
		}
		return cfg
	}
	cfg := accountsBy("old")
	a, err := Open(t.Context(), cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.WithoutCancel(t.Context()))
	account, w := cfg.Accounts["work"], &watched{folder: "INBOX", wake: make(chan struct{}, 1)}
	for _, secret := range []string{"old", "new"} {
		if err := a.Reload(accountsBy(secret), Options{}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- a.idle(t.Context(), account, w, func(time.Duration) {}) }()
		conn := <-conns
		select {
		case <-idles:
		case err := <-ended:
			t.Fatalf("with the %s password in the table it does not come to IDLE: %v", secret, err)
		}
		_ = conn.Close()
		if err := <-ended; fetch.KindOf(err) != fetch.Unreachable {
			t.Errorf("its connection was cut: %v", err)
		}
	}
}

// TestWatcherOfASlowServerIsNotLate: a server without IDLE that takes nearly as long as it may for each reply keeps its watcher
// within the time that it has told.
func TestWatcherOfASlowServerIsNotLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		account := &config.Account{Name: "work", Protocol: config.IMAP, TLS: config.NoTLS, AllowPlaintext: true, IdleRenewal: 9 * time.Minute}
		account.Timeout = 3 * time.Minute
		store := fakeserver.NewStore()
		near, far := net.Pipe()
		server := &fakeserver.IMAP{Store: store, User: "joe", Password: "p", Without: []string{"IDLE"}, Reply: func(verb, _ string) (string, bool) {
			if verb == "NOOP" {
				time.Sleep(account.Timeout - time.Second)
			}
			return "", false
		}}
		var serving sync.WaitGroup
		serving.Go(func() { server.Serve(far) })
		defer serving.Wait()
		o := IMAPOptions(account, sasl.Credentials{User: "joe", Password: "p"}, nil, nil)
		o.Secure = true // as far as it can know
		client, err := imap.New(t.Context(), near, o)
		if err == nil {
			_, err = client.Open(t.Context(), "INBOX")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer client.Abort()
		var due time.Time
		turns := 0
		tell := func(within time.Duration) {
			if turns++; turns > 1 && time.Now().After(due) {
				t.Errorf("it is %v late", time.Since(due))
			}
			due = time.Now().Add(within)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		err = attend(ctx, client, account, &watched{folder: "INBOX", wake: make(chan struct{}, 1)}, tell)
		if ctx.Err() == nil || turns < 10 {
			t.Errorf("it ends after %d turns with %v", turns, err)
		}
	})
}
