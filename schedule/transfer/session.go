package transfer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/truehop/truehop/fetch"
)

// A POP3 session that ends with QUIT enters the UPDATE state (RFC 1939 section 6): what was deleted goes, and
// many servers never show again what was retrieved (section 8). So a session ends with QUIT only if everything
// retrieved in it was delivered. Otherwise the pass leaves without QUIT, and a second session, in which nothing is
// retrieved, makes the deletions.

const (
	// loginPatience is how long a pass waits for a server that wants time between two logins.
	loginPatience = 30 * time.Second
	// overdueAfter is how long mail that is to be deleted waits before it goes first.
	overdueAfter = 24 * time.Hour
	// maxSessions bounds the sessions of a pass. What is ready to be settled may cost one more.
	maxSessions = 20
)

// session is the session with the upstream under way. A pass may have several, one after the other.
type session struct {
	dial    func(context.Context) (fetch.Mailbox, error)
	mailbox fetch.Mailbox
	// loggedIn is when it began, logins how many there were.
	loggedIn time.Time
	logins   int
	// used says that messages were asked for in it, over that it has ended.
	used, over bool
	// folder is the open one, listing what it holds in this session, first what it held in the pass's first.
	folder         string
	listing, first *fetch.Listing
	// again names in a later session the messages of the first listing, as far as that is certain.
	again map[fetch.Ref]fetch.Ref
	// asked are the messages of the first listing that the pass has had deleted in sessions that are over.
	asked map[fetch.Ref]bool
	// sizes are those of the messages that were retrieved, where the first listing had another.
	sizes map[fetch.Ref]int64
	// mustStay counts the messages that were retrieved and that the upstream must not forget yet.
	mustStay atomic.Int64
}

// login begins a session.
func (s *session) login(ctx context.Context) error {
	mailbox, err := s.dial(ctx)
	if err != nil {
		return err
	}
	s.mailbox, s.loggedIn, s.used, s.over = mailbox, time.Now(), false, false
	s.logins++
	return nil
}

// open opens a folder and lists it, or what came since.
func (s *session) open(ctx context.Context, folder string, since fetch.Status) error {
	list := func() (*fetch.Listing, error) {
		if r, ok := s.mailbox.(fetch.Refresher); ok && since != (fetch.Status{}) {
			return r.OpenSince(ctx, folder, since)
		}
		return s.mailbox.Open(ctx, folder)
	}
	listing, err := list()
	if fetch.IsOutOfStep(err) { // dial knows of it by now
		if err = s.relogin(ctx); err == nil {
			listing, err = list()
		}
	}
	if err != nil {
		return err
	}
	s.folder, s.listing, s.first = folder, listing, listing
	s.asked, s.sizes = map[fetch.Ref]bool{}, map[fetch.Ref]int64{}
	return nil
}

// relogin begins another session in the same pass, not before the server wants one (RFC 2449 section 6.5).
// A server that has not noticed yet that the last session has ended is asked again.
func (s *session) relogin(ctx context.Context) error {
	s.end()
	delay := time.Duration(0)
	if s.listing != nil {
		delay = s.listing.LoginDelay - time.Since(s.loggedIn)
	}
	if delay > loginPatience {
		return &fetch.Error{Kind: fetch.Busy, Op: "log in again", Advice: "the next pass goes on",
			Err: fmt.Errorf("the server wants %v between two logins", s.listing.LoginDelay)}
	}
	var err error
	for _, wait := range []time.Duration{delay, time.Second, 3 * time.Second, 5 * time.Second} {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		if err = s.login(ctx); fetch.KindOf(err) != fetch.Busy {
			return err
		}
	}
	return err
}

// end drops the connection.
func (s *session) end() {
	s.mailbox.Abort()
	s.over = true
}

// rematch finds the messages of a pass's first listing in that of a later session: by UID and size, and never by
// number. asked are those that the pass has had deleted meanwhile, sizes those as retrieved where the
// server had announced others. A UID may be given to another message once the first has gone (RFC 1939
// section 7), and new messages come last; so where the old ones are not all there, in their order and of
// their sizes, something has happened by another hand and nothing is certain.
func rematch(first, now *fetch.Listing, asked map[fetch.Ref]bool, sizes map[fetch.Ref]int64) map[fetch.Ref]fetch.Ref {
	if first.Validity != now.Validity {
		return nil
	}
	again := make(map[fetch.Ref]fetch.Ref, len(first.Refs))
	if !first.Reusable {
		here := make(map[string]fetch.Ref, len(now.Refs))
		for _, ref := range now.Refs {
			here[ref.UID] = ref
		}
		for _, ref := range first.Refs {
			if found, ok := here[ref.UID]; ok {
				again[ref] = found
			}
		}
		return again
	}
	rest := now.Refs
	for _, ref := range first.Refs {
		if len(rest) == 0 || rest[0].UID != ref.UID {
			if !asked[ref] {
				return nil
			}
			continue
		}
		// Some servers announce the exact size once they have sent the message.
		exact, retrieved := sizes[ref]
		isExact := retrieved && rest[0].Size == exact
		if rest[0].Size != ref.Size && !isExact {
			return nil
		}
		if ref.UID != "" {
			again[ref] = rest[0]
		}
		rest = rest[1:]
	}
	return again
}
