package imap

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestBodyNobodyWaitsFor: a body is handed over for a message that the sink has not had, whatever the
// library lets pass. It is the one that lets a second answer about a message pass or not.
func TestBodyNobodyWaitsFor(t *testing.T) {
	c, listing, err := play(t, begin+"C: T4 UID FETCH 6:7 (UID BODY.PEEK[])\n"+
		"S: * 1 FETCH (UID 6 BODY[] {3}\nS: xyz)\nS: * 2 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 OK x\n")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	sink := func(m fetch.Message) error {
		raw, err := io.ReadAll(m.Body)
		got = append(got, m.Ref.UID+" "+string(raw))
		return err
	}
	err = c.run(t.Context(), 1, func() error {
		b, _ := c.accept(listing.Refs)
		r := &retrieval{c: c, batch: b, sink: sink, empty: map[uint32]bool{}}
		return r.fetch(imapwire.UIDSet{{Start: 6, Stop: 7}})
	})
	if err != nil || !slices.Equal(got, []string{"7 abc"}) {
		t.Errorf("the sink had %q, %v; want 7 abc only", got, err)
	}
}

// The sink may fail at any message and anywhere in it; the session ends, nothing hangs, and
// the sink's error comes back.
func TestSinkFails(t *testing.T) {
	full := errors.New("spool full")
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 200)
	store.Add("", []byte(strings.Repeat("x", 300_000)))
	for _, at := range []int{1, 2, 100, 200, 201} {
		for _, read := range []int64{0, 10, 1 << 30} {
			c, refs := open(t, server(store), plaintext())
			n := 0
			err := c.Retrieve(t.Context(), refs, func(m fetch.Message) error {
				if n++; n < at {
					return nil
				}
				_, _ = io.CopyN(io.Discard, m.Body, read)
				return full
			})
			if err != full || n != at {
				t.Errorf("failing at message %d after %d octets: got %v at %d", at, read, err, n)
			}
			if _, err := c.Open(t.Context(), ""); fetch.KindOf(err) != fetch.Unreachable {
				t.Errorf("the session went on: %v", err)
			}
		}
	}
}

// Abort from another goroutine ends a Retrieve wherever it is.
func TestAbortWhileRetrieving(t *testing.T) {
	store := fakeserver.NewStore()
	for range 50 {
		store.Add("", []byte(strings.Repeat("x", 50_000)))
	}
	for at := range 12 {
		c, refs := open(t, server(store), plaintext())
		n, done := 0, make(chan struct{})
		err := c.Retrieve(t.Context(), refs, func(m fetch.Message) error {
			if n++; n == 4*at+1 {
				go func() { defer close(done); c.Abort() }()
				<-done
			}
			_, err := io.Copy(io.Discard, m.Body)
			return err
		})
		if fetch.KindOf(err) != fetch.Unreachable {
			t.Errorf("aborted at message %d: got %v", 4*at+1, err)
		}
	}
}
