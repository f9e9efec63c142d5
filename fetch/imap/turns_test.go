package imap

import (
	"context"
	"crypto/tls"
	"reflect"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// The commands of each turn of a session, the connection's own apart.
var (
	opening   = []string{"SELECT", "UID SEARCH", "UID SEARCH"} // all messages, and those above the limit
	farewell  = []string{"LOGOUT"}
	nothing   = [][]string{opening, farewell}
	oneIsNew  = [][]string{opening, {"UID FETCH"}, farewell}
	proven    = []string{"AUTHENTICATE"}
	askedOnce = []string{"CAPABILITY"}
)

// TestTurns counts the turns of a session: three where there is nothing new, four with one new message.
func TestTurns(t *testing.T) {
	for _, test := range []struct {
		name     string
		server   fakeserver.IMAP
		messages int
		want     [][]string
	}{
		{"nothing new", fakeserver.IMAP{}, 0, append([][]string{proven}, nothing...)},
		{"one new message", fakeserver.IMAP{}, 1, append([][]string{proven}, oneIsNew...)},
		{"a hundred new messages", fakeserver.IMAP{}, 100, append([][]string{proven}, oneIsNew...)},
		{"capabilities are not volunteered", fakeserver.IMAP{QuietCapabilities: true}, 1,
			append([][]string{askedOnce, proven, askedOnce}, oneIsNew...)},
		{"capabilities are volunteered on a line of their own",
			fakeserver.IMAP{QuietCapabilities: true, Before: func(verb, _ string) string {
				return map[string]string{"AUTHENTICATE": "* CAPABILITY IMAP4rev1 ESEARCH\r\n"}[verb]
			}}, 1, append([][]string{askedOnce, proven}, oneIsNew...)},
		{"without ESEARCH", fakeserver.IMAP{Without: []string{"ESEARCH"}}, 1,
			[][]string{proven, {"SELECT", "UID SEARCH"}, {"UID FETCH"}, {"UID FETCH"}, farewell}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &test.server
			s.Store, s.User, s.Password = fakeserver.NewStore(), user, password
			fetchtest.Fill(s.Store, test.messages)
			line := fetchtest.CountTurns(fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()), test.want...)
			poll(t, line, plaintext(), test.messages)
			if got := line.Sent(); !reflect.DeepEqual(got, test.want) {
				t.Errorf("%d turns %q, want %d: %q", len(got), got, len(test.want), test.want)
			}
		})
	}
}

// TestDovecotTurns counts them with a real server.
func TestDovecotTurns(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{Mechanisms: []string{"PLAIN"}}) // SCRAM takes two turns more
	for messages, want := range [][][]string{nothing, oneIsNew} {
		want = append([][]string{proven}, want...)
		secure := tls.Client(fetchtest.Dial(t, d.IMAPSAddr), &tls.Config{RootCAs: d.CA, ServerName: "localhost"})
		line := fetchtest.CountTurns(secure, want...)
		o := dovecotOptions(d)
		o.Secure = true
		poll(t, line, o, messages)
		if got := line.Sent(); !reflect.DeepEqual(got, want) {
			t.Errorf("%d turns %q, want %d: %q", len(got), got, len(want), want)
		}
		t.Logf("%d new messages: %d turns", messages, len(want))
		d.Deliver([]byte("Subject: one\r\n\r\ntext\r\n"))
	}
}

// poll is a session that retrieves what there is.
func poll(t *testing.T, line *fetchtest.Turns, o Options, messages int) {
	t.Helper()
	o.MaxSize = 1 << 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a client that waits in mid-turn waits for ever
	defer cancel()
	c, err := New(ctx, line, o)
	if err != nil {
		t.Fatalf("New: %v, after %q", err, line.Sent())
	}
	defer c.Abort()
	listing, err := c.Open(ctx, "")
	if err != nil || len(listing.Refs) != messages {
		t.Fatalf("Open: %v, %+v of %d messages, after %q", err, listing, messages, line.Sent())
	}
	octets, failed, err := fetchtest.Collect(ctx, c, listing.Refs)
	if err != nil || len(failed) > 0 || len(octets) != messages {
		t.Fatalf("%d messages came of %d: %v, %v, after %q", len(octets), messages, failed, err, line.Sent())
	}
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
}
