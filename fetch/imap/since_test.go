package imap

import (
	"crypto/tls"
	"reflect"
	"slices"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestOpenSince: what is new is listed without what is old where all the server says adds up, in one turn, and else the folder is
// listed as a whole, in one more.
func TestOpenSince(t *testing.T) {
	condstore := []string{"CONDSTORE"}
	add := func(n int) func(*fakeserver.Store) { return func(s *fakeserver.Store) { fetchtest.Fill(s, n) } }
	still := func(what string, at uint64) func(string, uint64) uint64 {
		return func(name string, truth uint64) uint64 {
			if name == what {
				return at
			}
			return truth
		}
	}
	for name, test := range map[string]struct {
		server fakeserver.IMAP
		marks  bool
		change func(*fakeserver.Store)
		lies   func(name string, truth uint64) uint64 // in the second session
		since  bool                                   // only what is new is listed
		listed []uint32
		turns  int
	}{
		"nothing has changed":              {change: add(0), since: true, turns: 1},
		"nothing, with CONDSTORE":          {server: fakeserver.IMAP{Capabilities: condstore}, change: add(0), since: true, turns: 1},
		"nothing, without ESEARCH":         {server: fakeserver.IMAP{Without: []string{"ESEARCH"}}, change: add(0), since: true, turns: 1},
		"two are new":                      {change: add(2), since: true, listed: []uint32{5, 6}, turns: 1},
		"two are new, with CONDSTORE":      {server: fakeserver.IMAP{Capabilities: condstore}, change: add(2), since: true, listed: []uint32{5, 6}, turns: 1},
		"two are new, without ESEARCH":     {server: fakeserver.IMAP{Without: []string{"ESEARCH"}}, change: add(2), since: true, listed: []uint32{5, 6}, turns: 1},
		"nothing, and marks cannot change": {server: fakeserver.IMAP{Capabilities: condstore}, marks: true, change: add(0), since: true, turns: 1},
		"nothing, and marks may change":    {marks: true, change: add(0), listed: []uint32{1, 2, 3, 4}, turns: 2},
		"one has gone":                     {change: func(s *fakeserver.Store) { s.Remove("", 2) }, listed: []uint32{1, 3, 4}, turns: 2},
		"one has gone and one is new": {change: func(s *fakeserver.Store) { s.Remove("", 4); fetchtest.Fill(s, 1) },
			listed: []uint32{1, 2, 3, 5}, turns: 2},
		"another UIDVALIDITY":                       {change: func(s *fakeserver.Store) { s.SetValidity("", 9) }, listed: []uint32{1, 2, 3, 4}, turns: 2},
		"UIDNEXT stands still":                      {change: add(1), lies: still("UIDNEXT", 5), since: true, listed: []uint32{5}, turns: 1},
		"UIDNEXT is not said":                       {change: add(1), lies: still("UIDNEXT", 0), since: true, listed: []uint32{5}, turns: 1},
		"UIDNEXT falls":                             {change: add(1), lies: still("UIDNEXT", 2), listed: []uint32{1, 2, 3, 4, 5}, turns: 2},
		"HIGHESTMODSEQ stands still, something new": {server: fakeserver.IMAP{Capabilities: condstore}, change: add(1), lies: still("HIGHESTMODSEQ", 5), listed: []uint32{1, 2, 3, 4, 5}, turns: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.server
			s.Store, s.User, s.Password = fakeserver.NewStore(), user, password
			fetchtest.Fill(s.Store, 4)
			o := plaintext()
			o.Marks = test.marks
			session := func(open func(*Client) (*fetch.Listing, error)) *fetch.Listing {
				t.Helper()
				c, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Abort()
				listing, err := open(c)
				if err != nil {
					t.Fatal(err)
				}
				octets, failed, err := fetchtest.Collect(t.Context(), c, listing.Refs)
				if err != nil || len(failed) > 0 || len(octets) != len(listing.Refs) {
					t.Errorf("%d of %d listed messages come: %v, %v", len(octets), len(listing.Refs), failed, err)
				}
				return listing
			}
			first := session(func(c *Client) (*fetch.Listing, error) { return c.Open(t.Context(), "") })
			if first.Earlier != 0 || len(first.Refs) != 4 || first.Status.Messages != 4 || first.Status.Next != 5 {
				t.Fatalf("the first listing is %+v", first)
			}
			test.change(s.Store)
			s.Counter = test.lies
			turns := 0
			s.Reply = func(verb, _ string) (string, bool) {
				if verb == "SELECT" {
					turns++
				}
				return "", false
			}
			second := session(func(c *Client) (*fetch.Listing, error) { return c.OpenSince(t.Context(), "", first.Status) })
			var uids []uint32
			for _, ref := range second.Refs {
				uids = append(uids, ref.Seq)
			}
			earlier := 0
			if test.since {
				earlier = 4
			}
			if !slices.Equal(uids, test.listed) || second.Earlier != earlier || turns != test.turns {
				t.Errorf("listed are %v and %d earlier ones, in %d turns; want %v, %d, %d", uids, second.Earlier, turns, test.listed, earlier, test.turns)
			}
			third := session(func(c *Client) (*fetch.Listing, error) { return c.OpenSince(t.Context(), "", second.Status) })
			isTruth := test.lies == nil && !test.marks
			if isTruth && (len(third.Refs) > 0 || third.Earlier != len(s.Store.UIDs(""))) {
				t.Errorf("when nothing has changed since, the listing is %+v", third)
			}
		})
	}
}

// TestDovecotOpenSince: a poll that finds nothing new names no message, and one that finds some names these.
func TestDovecotOpenSince(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{Mechanisms: []string{"PLAIN"}})
	for range 3 {
		d.Deliver([]byte("Subject: old\r\n\r\ntext\r\n"))
	}
	var before fetch.Status
	want := [][]string{proven, {"SELECT", "UID SEARCH"}, {"UID FETCH"}, farewell}
	for round, listed := range []int{3, 0, 1, 0} {
		if round == 2 {
			d.Deliver([]byte("Subject: new\r\n\r\ntext\r\n"))
		}
		turns := want
		if listed == 0 {
			turns = [][]string{proven, {"SELECT", "UID SEARCH"}, farewell}
		}
		secure := tls.Client(fetchtest.Dial(t, d.IMAPSAddr), &tls.Config{RootCAs: d.CA, ServerName: "localhost"})
		line := fetchtest.CountTurns(secure, turns...)
		o := dovecotOptions(d)
		o.Secure = true
		c, err := New(t.Context(), line, o)
		if err != nil {
			t.Fatal(err)
		}
		listing, err := c.OpenSince(t.Context(), "", before)
		if err != nil || len(listing.Refs) != listed {
			t.Fatalf("round %d: %+v, %v; want %d messages", round, listing, err, listed)
		}
		if octets, failed, err := fetchtest.Collect(t.Context(), c, listing.Refs); err != nil || len(failed) > 0 || len(octets) != listed {
			t.Errorf("round %d: %d messages come: %v, %v", round, len(octets), failed, err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := line.Sent(); listed == 0 && !reflect.DeepEqual(got, turns) {
			t.Errorf("round %d: turns are %q, want %q", round, got, turns)
		}
		if before = listing.Status; before.Next == 0 {
			t.Errorf("round %d: the status is %+v", round, before)
		}
	}
}
