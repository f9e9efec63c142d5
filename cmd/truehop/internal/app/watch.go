package app

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/schedule"
)

const (
	// watchPause and maxWatchPause space the attempts to get a lost connection back.
	watchPause    = 30 * time.Second
	maxWatchPause = 30 * time.Minute
	// loginTime is more than a login and the listing of a folder take, with all their limits.
	loginTime = time.Hour
	// roomTime is more than passes between two signs of life of one that waits for a connection.
	roomTime = 2 * time.Minute
	// maxWatched bounds the folders of an account that are watched: each takes a connection, and servers allow few.
	maxWatched = 5
)

// errNoRoom is told once where no connection is left to wait for new mail on.
var errNoRoom = &fetch.Error{Kind: fetch.Unsupported, Op: "IDLE",
	Err: errors.New("other accounts have all the connections that idle_connections and idle_per_host allow; mail is fetched by schedule until there is one")}

// errNoIDLE is told once where new mail is not announced.
var errNoIDLE = &fetch.Error{Kind: fetch.Unsupported, Op: "IDLE", Err: errors.New("the server does not offer it, and is asked every minute instead")}

// Watch waits for new mail by IMAP IDLE (RFC 2177), on a connection for each of the account's first folders beside that of the passes,
// until ctx ends. When mail has arrived, wake gets a value, if it has room.
func (a *App) Watch(ctx context.Context, account *config.Account, wake chan<- struct{}) {
	for _, folder := range Watched(account) {
		w := &watched{folder: folder, wake: wake}
		a.watchers.Go(func() {
			lasts := func(within time.Duration) {
				if f := a.setup().opts.Watching; f != nil {
					f(account.Name, w.folder, within)
				}
			}
			defer lasts(-1)
			a.watch(ctx, account.Name, account.Upstream(), lasts, func(ctx context.Context) error { return a.idle(ctx, account, w, lasts) })
		})
	}
}

// Idles are the connections that watchers may have.
func (a *App) Idles() *schedule.Slots { return &a.idles }

// Watched returns the folders of an account on which new mail is waited for.
func Watched(account *config.Account) []string {
	if account.Protocol != config.IMAP || !account.Idle {
		return nil
	}
	return watchable(account.Selection())
}

// watchable returns the folders to watch: the inbox first, where anything but names is chosen, since most new mail comes
// there or passes through it, and the names, but not all of them.
func watchable(s fetch.Selection) []string {
	names := s.Names()
	if !s.Fixed() && !slices.Contains(s, "!INBOX") && !slices.ContainsFunc(names, isInbox) {
		names = append([]string{"INBOX"}, names...)
	}
	return names[:min(maxWatched, len(names))]
}

// watched is one folder that is watched.
type watched struct {
	folder string
	wake   chan<- struct{}
	// validity and highest are the UIDVALIDITY and the highest UID that were seen last; known says that there was a look.
	validity uint32
	highest  uint64
	known    bool
	toldOnce bool // that there is no IDLE
}

// arrived wakes the account's owner.
func (w *watched) arrived() {
	select {
	case w.wake <- struct{}{}:
	default: // one is waiting already
	}
}

// look wakes if mail has come since the last connection: nobody has announced it.
func (w *watched) look(l *fetch.Listing) {
	highest := newest(l)
	if isNew := l.Validity != w.validity || highest > w.highest; isNew && w.known {
		w.arrived()
	}
	w.validity, w.highest, w.known = l.Validity, highest, true
}

// newest is the highest UID in a folder, 0 if that is empty.
func newest(l *fetch.Listing) (highest uint64) {
	for _, ref := range l.Refs {
		if uid, err := strconv.ParseUint(ref.UID, 10, 32); err == nil {
			highest = max(highest, uid)
		}
	}
	return highest
}

// unseen reports whether the newest message in a folder has no record: it may have come after the last pass, when nobody watched.
func (a *App) unseen(ctx context.Context, account, folder string, l *fetch.Listing) (bool, error) {
	highest := newest(l)
	if highest == 0 {
		return false, nil
	}
	names := []string{folder}
	if isInbox(folder) { // passes call it as the server lists it, if it was chosen by a pattern
		recorded, err := a.ledger.Folders(ctx, account)
		if err != nil {
			return false, err
		}
		names = slices.DeleteFunc(recorded, func(name string) bool { return !isInbox(name) })
	}
	uid := strconv.FormatUint(highest, 10)
	for _, name := range names {
		known, err := a.ledger.BriefsOf(ctx, account, name, l.Validity, []string{uid})
		if err != nil || len(known[uid]) > 0 {
			return false, err
		}
	}
	return true, nil
}

// isInbox reports whether a folder is the inbox, whose name is the same in any case (RFC 9051 section 5.1).
func isInbox(folder string) bool { return strings.EqualFold(folder, "INBOX") }

// watch keeps a connection with the upstream, and wakes when mail arrives. What arrives while there
// is none wakes when there is one again. While the credentials stand refused it leaves the next login to a pass.
func (a *App) watch(ctx context.Context, account, upstream string, lasts func(within time.Duration), idle func(context.Context) error) {
	pause, told := watchPause, false
	for {
		lasts(0)
		slot := a.idles.Ask(upstream)
		waits := func(time.Duration) {
			lasts(roomTime)
			if f := a.setup().opts.NotWatching; f != nil && !told {
				told = true
				f(account, errNoRoom)
			}
		}
		if !slot.Wait(ctx, waits) {
			slot.Give()
			return
		}
		lasts(0)
		connected, leave, ok := a.shares.join(ctx, account)
		if !ok {
			slot.Give()
			return
		}
		began := time.Now()
		err := idle(connected)
		yielded := connected.Err() != nil
		leave()
		slot.Give() // who waits for one comes first
		if ctx.Err() != nil {
			return
		}
		if yielded {
			continue // to a pass, after which there is room again
		}
		if f := a.setup().opts.NotWatching; f != nil {
			f(account, err)
		}
		if time.Since(began) > maxWatchPause {
			pause = watchPause
		}
		lasts(pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		lasts(0)
		pause = min(2*pause, maxWatchPause)
		a.logins.await(ctx, account)
	}
}

// idle keeps one connection and watches until the connection ends, and returns why it did.
func (a *App) idle(ctx context.Context, account *config.Account, w *watched, lasts func(within time.Duration)) error {
	// A watcher is not told of another secret in the table, which makes another account that is the same otherwise. The password
	// that was replaced would be refused, and providers lock accounts over that. An account that differs in more is watched by others soon.
	if now := a.setup().cfg.Accounts[account.Name]; now != nil && now.Same(account) {
		account = now
	}
	lasts((maxWatched + 1) * loginTime) // after the other watchers, and a pass
	mailbox, err := a.logInInTurn(ctx, account, aWatcher)
	lasts(loginTime)
	if err != nil {
		return err
	}
	defer mailbox.Abort()
	client, ok := mailbox.(*imap.Client)
	if !ok {
		return &fetch.Error{Kind: fetch.Unsupported, Op: "IDLE", Err: errors.New("not IMAP")}
	}
	listing, err := client.Open(ctx, w.folder)
	if err != nil {
		return err
	}
	if f := a.setup().opts.NotWatching; f != nil && !client.CanWatch() && !w.toldOnce {
		w.toldOnce = true
		f(account.Name, errNoIDLE)
	}
	if !w.known {
		unseen, err := a.unseen(ctx, account.Name, w.folder, listing)
		if err != nil {
			return err
		}
		if unseen {
			w.arrived()
		}
	}
	w.look(listing)
	return attend(ctx, client, account, w, lasts)
}

// attend watches the open folder until the connection ends, and returns why it did.
func attend(ctx context.Context, client *imap.Client, account *config.Account, w *watched, lasts func(within time.Duration)) error {
	// Where IDLE is not to be had, a server that is slow may take its time for the reply to each question.
	questions := account.IdleRenewal/time.Minute + 4
	for {
		lasts(account.IdleRenewal + questions*account.Timeout)
		arrived, err := client.Watch(ctx, account.IdleRenewal)
		if arrived {
			w.arrived()
		}
		if err != nil {
			return err
		}
	}
}
