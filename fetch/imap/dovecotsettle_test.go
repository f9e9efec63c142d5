package imap

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestDovecotSettled settles many messages in sets as verdicts come in: of many sizes, scattered over the
// folder, alone or while other sessions have it open. What was told as settled is not there for
// another session. With UID STORE and UID EXPUNGE in one segment, Dovecot 2.3 said OK in both deletions
// and expunged nothing of one set.
func TestDovecotSettled(t *testing.T) {
	remove := fetch.Disposal{Action: fetch.Delete}
	move := fetch.Disposal{Action: fetch.Move, Target: "Done"}
	for name, test := range map[string]struct {
		d        fetch.Disposal
		visitors bool
		config   string
		done     int
	}{
		"delete":           {d: remove},
		"delete, visitors": {d: remove, visitors: true},
		"move, visitors":   {d: move, visitors: true, done: scattered},
		"copy, visitors":   {d: move, visitors: true, done: scattered, config: "imap_capability = IMAP4rev1 SASL-IR UIDPLUS ESEARCH IDLE"},
	} {
		t.Run(name, func(t *testing.T) {
			d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{Config: test.config})
			d.Create("Done")
			for i := range scattered {
				d.Deliver(fmt.Appendf(nil, "Subject: %d\r\n\r\nbody\r\n", i))
			}
			if test.visitors {
				defer visit(t, d)()
			}
			o := dovecotOptions(d)
			o.Credentials.AllowPlaintext = true
			c, err := New(t.Context(), &together{Conn: fetchtest.Dial(t, d.IMAPAddr)}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			if test.config != "" && c.Has("MOVE") {
				t.Fatal("the server offers MOVE")
			}
			told := settleScattered(t, c, test.d)
			if len(told) != scattered {
				t.Errorf("%d messages of %d were told as settled", len(told), scattered)
			}
			for _, ref := range listDovecot(t, d) {
				if told[ref.UID] {
					t.Errorf("message %s was told as settled and is still there", ref.UID)
				}
			}
			if done := len(d.Messages("Done")); done != test.done {
				t.Errorf("%d messages in Done, want %d", done, test.done)
			}
		})
	}
}

// settleScattered settles the whole inbox in sets of many sizes and returns what is told as settled.
func settleScattered(t *testing.T, c *Client, d fetch.Disposal) map[string]bool {
	t.Helper()
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	refs, told, random := listing.Refs, map[string]bool{}, rand.New(rand.NewPCG(1, 1))
	random.Shuffle(len(refs), func(i, j int) { refs[i], refs[j] = refs[j], refs[i] })
	for len(refs) > 0 {
		set := refs[:min(1+random.IntN(scattered*3/5), len(refs))]
		refs = refs[len(set):]
		failures, err := c.Settle(t.Context(), d, set)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range set {
			told[ref.UID] = true
		}
		for _, f := range failures {
			delete(told, f.Ref.UID)
		}
		if len(failures) > 0 {
			t.Errorf("%d of %d messages were not settled: %v", len(failures), len(set), failures[0].Err)
		}
	}
	return told
}

// visit has two other sessions in the inbox: one waits for mail, one marks messages again and again.
func visit(t *testing.T, d *fetchtest.Dovecot) (leave func()) {
	t.Helper()
	var sessions []*Client
	for range 2 {
		c, err := dialDovecot(t.Context(), t, d, true, dovecotOptions(d))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, c)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = sessions[0].Watch(t.Context(), time.Hour) })
	wg.Go(func() {
		for {
			listing, err := sessions[1].Open(t.Context(), "")
			if err != nil {
				return
			}
			_, err = sessions[1].Settle(t.Context(), fetch.Disposal{Action: fetch.Flag, Target: "$Visited"}, listing.Refs[:len(listing.Refs)/2])
			if err != nil {
				return
			}
		}
	})
	return func() {
		for _, c := range sessions {
			c.Abort()
		}
		wg.Wait()
	}
}

// listDovecot lists the inbox in a session of its own.
func listDovecot(t *testing.T, d *fetchtest.Dovecot) []fetch.Ref {
	t.Helper()
	c, err := dialDovecot(t.Context(), t, d, true, dovecotOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return listing.Refs
}

// together sends in one segment what is written within a few milliseconds, as a network may.
type together struct {
	net.Conn
	mu     sync.Mutex
	octets []byte
}

func (c *together) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.octets) == 0 {
		time.AfterFunc(3*time.Millisecond, c.send)
	}
	c.octets = append(c.octets, p...)
	return len(p), nil
}

func (c *together) send() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Conn.Write(c.octets) // the next read shows an error
	c.octets = c.octets[:0]
}
