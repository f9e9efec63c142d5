// Package fetchtest holds what tests and benchmarks of a client need: the conformance suite that
// every [fetch.Mailbox] passes, scripted hostile peers, connections that are slow or break, and a
// private Dovecot. The servers in memory are in package fakeserver.
package fetchtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
)

// Upstream is what the suite knows of a protocol.
type Upstream struct {
	// Dial logs in to a server over store. It registers whatever it starts to be
	// stopped when the test ends.
	Dial func(t testing.TB, store *fakeserver.Store, o DialOptions) fetch.Mailbox
	// AddsCRLF says that a message without CRLF at its end gets one on the way.
	AddsCRLF bool
	// DeletesOnClose says that deletions happen when the session is closed, not before.
	DeletesOnClose bool
	// Folders says that there are folders and flags.
	Folders bool
}

// DialOptions are what some cases ask of Dial.
type DialOptions struct {
	// MaxSize is the largest message to retrieve, 0 for no limit.
	MaxSize int64
	// Exclusive has a server that can do so refuse a second session with the mailbox.
	Exclusive bool
	// Marks asks which messages carry [fetch.DeliveredKeyword].
	Marks bool
	// Wrap, if not nil, makes of the client's connection another.
	Wrap func(net.Conn) net.Conn
}

// Run checks that a protocol keeps the contract of [fetch.Mailbox].
func Run(t *testing.T, u Upstream) {
	s := suite{u}
	for name, test := range map[string]func(*testing.T){
		"list":            s.list,
		"retrieve":        s.retrieve,
		"exact":           s.exact,
		"large":           s.large,
		"changes nothing": s.changesNothing,
		"gone":            s.gone,
		"delete":          s.delete,
		"other client":    s.otherClient,
		"ended":           s.ended,
		"flag and move":   s.flagAndMove,
		"marks":           s.marks,
		"cancelled":       s.cancelled,
		"cut":             s.cut,
		"sink error":      s.sinkError,
		"reopen":          s.reopen,
		"leave":           s.leave,
	} {
		t.Run(name, test)
	}
}

type suite struct{ Upstream }

// Fill adds n short messages that differ.
func Fill(store *fakeserver.Store, n int) {
	for i := range n {
		store.Add("", fmt.Appendf(nil, "Subject: message %d\r\n\r\nbody %d\r\n", i+1, i+1))
	}
}

// open dials and opens the inbox.
func (s suite) open(t *testing.T, store *fakeserver.Store, o DialOptions) (fetch.Mailbox, *fetch.Listing) {
	t.Helper()
	box := s.Dial(t, store, o)
	t.Cleanup(box.Abort)
	listing, err := box.Open(t.Context(), "")
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return box, listing
}

// Collect retrieves refs and returns each message's octets by its ref, and its error if it
// came with one.
func Collect(ctx context.Context, box fetch.Mailbox, refs []fetch.Ref) (map[fetch.Ref][]byte, map[fetch.Ref]error, error) {
	octets, failed := map[fetch.Ref][]byte{}, map[fetch.Ref]error{}
	err := box.Retrieve(ctx, refs, func(m fetch.Message) error {
		if m.Err != nil {
			failed[m.Ref] = m.Err
			return nil
		}
		raw, err := io.ReadAll(m.Body)
		if err == nil && m.Size >= 0 && m.Size != int64(len(raw)) {
			err = fmt.Errorf("size is %d, Body has %d octets", m.Size, len(raw))
		}
		octets[m.Ref] = raw
		return err
	})
	return octets, failed, err
}

func (s suite) list(t *testing.T) {
	for _, n := range []int{0, 1, 7, 1000} {
		store := fakeserver.NewStore()
		Fill(store, n)
		_, listing := s.open(t, store, DialOptions{})
		if len(listing.Refs) != n {
			t.Fatalf("listed %d messages of %d", len(listing.Refs), n)
		}
		for i, m := range store.List("") {
			ref := listing.Refs[i]
			if ref.UID == "" || ref.Validity != listing.Validity {
				t.Errorf("message %d is listed as %+v, UIDVALIDITY %d", i+1, ref, listing.Validity)
			}
			if ref.Size >= 0 && ref.Size != m.Size {
				t.Errorf("message %d is listed with size %d, not %d", i+1, ref.Size, m.Size)
			}
			if i > 0 && ref.Seq <= listing.Refs[i-1].Seq {
				t.Errorf("message %d has number %d, the one before it %d", i+1, ref.Seq, listing.Refs[i-1].Seq)
			}
		}
	}
}

func (s suite) retrieve(t *testing.T) {
	store := fakeserver.NewStore()
	Fill(store, 20)
	box, listing := s.open(t, store, DialOptions{})
	odd := []fetch.Ref{listing.Refs[13], listing.Refs[2], listing.Refs[19], listing.Refs[0]}
	for _, refs := range [][]fetch.Ref{listing.Refs, odd, nil, listing.Refs[4:5]} {
		octets, failed, err := Collect(t.Context(), box, refs)
		if err != nil || len(octets) != len(refs) || len(failed) > 0 {
			t.Fatalf("%d of %d messages, %d failed: %v", len(octets), len(refs), len(failed), err)
		}
		for ref, raw := range octets {
			i := slices.Index(listing.Refs, ref)
			if want := fmt.Sprintf("Subject: message %d\r\n\r\nbody %d\r\n", i+1, i+1); i < 0 || string(raw) != want {
				t.Errorf("message %d: got %q", i+1, raw)
			}
		}
	}
	if err := box.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// Awkward are messages that careless clients change, by name.
func Awkward() map[string]string {
	eight := make([]byte, 256)
	for i := range eight {
		eight[i] = byte(i)
	}
	return map[string]string{
		"empty":             "",
		"one CRLF":          "\r\n",
		"no final newline":  "Subject: a\r\n\r\nb",
		"dots":              ".\r\n..\r\n...\r\n.a\r\n..b\r\na.\r\n.\r\n",
		"dot only":          ".",
		"dot dot only":      "..\r\n",
		"bare LF":           "a\nb\n.\nc\n\n.\r\n",
		"LF.LF":             "a\r\n\r\nb\n.\nc\r\n",
		"LF.CRLF":           "a\r\n\r\nb\n.\r\nc\r\n",
		"CRLF.LF":           "a\r\n\r\nb\r\n.\nc\r\n",
		"CR.CR":             "a\r.\rb\r\n",
		"CRCRLF dot":        "a\r\r\n.\r\r\n.b\r\n",
		"bare CR at end":    "a\r",
		"CRLF.CR":           "a\r\n.\rb\r\n",
		"NUL":               "a\x00b\r\n\x00.\r\n",
		"all octets":        string(eight) + "\r\n",
		"like replies":      "+OK\r\n-ERR no\r\n* OK\r\nA1 OK done\r\n)\r\n",
		"long line":         strings.Repeat("x", 200_000) + "\r\n",
		"many dots":         strings.Repeat(".\r\n", 50_000),
		"dots everywhere":   strings.Repeat("\r\n..", 40_000) + "\r\n",
		"newlines only":     strings.Repeat("\r\n", 70_000),
		"CR at 64 KiB":      strings.Repeat("y", 64<<10-1) + "\r\n.z\r\n",
		"literal lookalike": "{5}\r\nabcde {3+}\r\n",
	}
}

func (s suite) exact(t *testing.T) {
	store := fakeserver.NewStore()
	var names []string
	for name := range Awkward() {
		names = append(names, name)
		store.Add("", []byte(Awkward()[name]))
	}
	for _, wrap := range []func(net.Conn) net.Conn{nil, func(c net.Conn) net.Conn { return Split(c, 1021) }} {
		box, listing := s.open(t, store, DialOptions{Wrap: wrap})
		octets, failed, err := Collect(t.Context(), box, listing.Refs)
		if err != nil {
			t.Fatal(err)
		}
		for i, ref := range listing.Refs {
			want := Awkward()[names[i]]
			if s.AddsCRLF && want != "" && !strings.HasSuffix(want, "\r\n") {
				want += "\r\n"
			}
			if got := string(octets[ref]); got != want || failed[ref] != nil {
				t.Errorf("%s: got %d octets %.60q, want %d %.60q (%v)", names[i], len(got), got, len(want), want, failed[ref])
			}
		}
	}
}

func (s suite) large(t *testing.T) {
	t.Run("without a limit", func(t *testing.T) {
		raw := bytes.Repeat([]byte("0123456789.\r\n.\r\n"), 5<<16)
		store := fakeserver.NewStore()
		store.Add("", raw)
		box, listing := s.open(t, store, DialOptions{})
		octets, _, err := Collect(t.Context(), box, listing.Refs)
		if err != nil || !bytes.Equal(octets[listing.Refs[0]], raw) {
			t.Fatalf("%d octets of %d: %v", len(octets[listing.Refs[0]]), len(raw), err)
		}
	})
	t.Run("beyond the limit", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 1)
		store.Add("", bytes.Repeat([]byte("x\r\n"), 1000))
		Fill(store, 1)
		box, listing := s.open(t, store, DialOptions{MaxSize: 1000})
		octets, failed, err := Collect(t.Context(), box, listing.Refs)
		if err != nil || len(octets) != 2 || fetch.KindOf(failed[listing.Refs[1]]) != fetch.TooLarge {
			t.Errorf("got %d messages, %v, %v; want 2 and one of Kind too-large", len(octets), failed, err)
		}
	})
}

func (s suite) changesNothing(t *testing.T) {
	t.Run("to retrieve", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 3)
		box, listing := s.open(t, store, DialOptions{})
		if _, _, err := Collect(t.Context(), box, listing.Refs); err != nil {
			t.Fatal(err)
		}
		if err := box.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := store.List("")
		if len(left) != 3 {
			t.Fatalf("%d messages are left of 3", len(left))
		}
		for _, m := range left {
			if len(m.Flags) > 0 {
				t.Errorf("message %d has got flags %v", m.UID, m.Flags)
			}
		}
	})
	t.Run("to settle and keep", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 2)
		box, listing := s.open(t, store, DialOptions{})
		if failures, err := box.Settle(t.Context(), fetch.Disposal{}, listing.Refs); err != nil || len(failures) > 0 {
			t.Errorf("Settle with Keep: %v, %v", failures, err)
		}
		if err := box.Close(t.Context()); err != nil || len(store.UIDs("")) != 2 {
			t.Errorf("%d messages are left of 2: %v", len(store.UIDs("")), err)
		}
	})
}

func (s suite) gone(t *testing.T) {
	store := fakeserver.NewStore()
	Fill(store, 4)
	box, listing := s.open(t, store, DialOptions{})
	store.Remove("", 2)
	octets, failed, err := Collect(t.Context(), box, listing.Refs)
	if err != nil {
		t.Fatal(err)
	}
	if len(octets) != 3 || len(failed) != 1 || fetch.KindOf(failed[listing.Refs[1]]) != fetch.Gone {
		t.Errorf("got %d messages and %v, want 3 and one of Kind gone", len(octets), failed)
	}
	stranger := listing.Refs[0]
	stranger.UID, stranger.Seq = "4711", 4711
	if _, failed, err = Collect(t.Context(), box, []fetch.Ref{stranger}); err != nil || fetch.KindOf(failed[stranger]) != fetch.Gone {
		t.Errorf("a message never listed: got %v, %v; want Kind gone", failed[stranger], err)
	}
}

func (s suite) delete(t *testing.T) {
	store := fakeserver.NewStore()
	Fill(store, 6)
	box, listing := s.open(t, store, DialOptions{})
	doomed := []fetch.Ref{listing.Refs[4], listing.Refs[1]}
	failures, err := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, doomed)
	if err != nil || len(failures) > 0 {
		t.Fatalf("Settle: %v, %v", failures, err)
	}
	want := []uint32{1, 3, 4, 6}
	if s.DeletesOnClose {
		if got := store.UIDs(""); len(got) != 6 {
			t.Errorf("before Close %v are left, want all 6", got)
		}
	} else if got := store.UIDs(""); !slices.Equal(got, want) {
		t.Errorf("after Settle %v are left, want %v", got, want)
	}
	if err := box.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if got := store.UIDs(""); !slices.Equal(got, want) {
		t.Errorf("after Close %v are left, want %v", got, want)
	}
}

func (s suite) flagAndMove(t *testing.T) {
	store := fakeserver.NewStore()
	store.Create("Done")
	Fill(store, 3)
	box, listing := s.open(t, store, DialOptions{})
	_, flagErr := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Flag}, listing.Refs[:1])
	_, moveErr := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Move, Target: "Done"}, listing.Refs[1:2])
	if !s.Folders {
		if fetch.KindOf(flagErr) != fetch.Unsupported || fetch.KindOf(moveErr) != fetch.Unsupported {
			t.Errorf("got %v and %v, want Kind unsupported", flagErr, moveErr)
		}
		if err := box.Close(t.Context()); err != nil || len(store.UIDs("")) != 3 {
			t.Errorf("after the refusals: %v left, Close: %v", store.UIDs(""), err)
		}
		return
	}
	if flagErr != nil || moveErr != nil {
		t.Fatalf("Flag: %v, Move: %v", flagErr, moveErr)
	}
	if m, _ := store.Get("", 1); !slices.Contains(m.Flags, `\Seen`) {
		t.Errorf("flags of the flagged message: %v", m.Flags)
	}
	if got := store.UIDs(""); !slices.Equal(got, []uint32{1, 3}) || len(store.UIDs("Done")) != 1 {
		t.Errorf("after Move: inbox %v, Done %v", got, store.UIDs("Done"))
	}
}

func (s suite) cancelled(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 2)
		box, listing := s.open(t, store, DialOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := Collect(ctx, box, listing.Refs); !errors.Is(err, context.Canceled) {
			t.Errorf("Retrieve: got %v, want context canceled", err)
		}
	})
	t.Run("in the body", func(t *testing.T) {
		store := fakeserver.NewStore()
		store.Add("", bytes.Repeat([]byte("x\r\n"), 4<<20))
		Fill(store, 2)
		box, listing := s.open(t, store, DialOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		complete := false
		err := box.Retrieve(ctx, listing.Refs[:1], func(m fetch.Message) error {
			if _, err := io.ReadFull(m.Body, make([]byte, 1000)); err != nil {
				return err
			}
			cancel()
			_, err := io.Copy(io.Discard, m.Body)
			complete = err == nil
			return err
		})
		if complete || !errors.Is(err, context.Canceled) {
			t.Errorf("Retrieve: complete %v, error %v; want context canceled", complete, err)
		}
		if err := box.Close(t.Context()); err == nil {
			t.Error("Close of a cancelled session gave no error")
		}
		if got := len(store.UIDs("")); got != 3 {
			t.Errorf("%d messages are left of 3", got)
		}
	})
}

// cut breaks the connection at every offset of a retrieval.
func (s suite) cut(t *testing.T) {
	raw := "From: a@example.org\r\n\r\n.\r\n..\r\nbody\r\n.\r\n"
	store := fakeserver.NewStore()
	store.Add("", []byte(raw))
	for n := int64(0); ; n++ {
		var line *Cutter
		box, listing := s.open(t, store, DialOptions{Wrap: func(c net.Conn) net.Conn { line = Cut(c); return line }})
		line.Reads(n)
		var got []byte
		var bodyErr error
		err := box.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
			got, bodyErr = nil, m.Err
			if m.Err == nil {
				got, bodyErr = io.ReadAll(m.Body)
			}
			return nil
		})
		box.Abort()
		if bodyErr == nil && got != nil && string(got) != raw {
			t.Fatalf("cut after %d octets: Body ended well with %q", n, got)
		}
		if err == nil {
			if int(n) < len(raw) || string(got) != raw {
				t.Fatalf("cut after %d octets: Retrieve gave no error, got %q", n, got)
			}
			return
		}
		if n > 2000 {
			t.Fatalf("Retrieve fails even after %d octets: %v", n, err)
		}
	}
}

func (s suite) sinkError(t *testing.T) {
	store := fakeserver.NewStore()
	Fill(store, 5)
	for _, read := range []bool{false, true} {
		box, listing := s.open(t, store, DialOptions{})
		full, calls := errors.New("spool full"), 0
		err := box.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
			calls++
			if read {
				if _, err := io.Copy(io.Discard, m.Body); err != nil {
					t.Error(err)
				}
			}
			return full
		})
		if err != full || calls != 1 {
			t.Errorf("got %v after %d calls, want the sink's error after 1", err, calls)
		}
		box.Abort()
	}
	if got := len(store.UIDs("")); got != 5 {
		t.Errorf("%d messages are left of 5", got)
	}
}

func (s suite) reopen(t *testing.T) {
	t.Run("after a deletion", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 3)
		box, first := s.open(t, store, DialOptions{})
		if _, err := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, first.Refs[:1]); err != nil {
			t.Fatal(err)
		}
		second, err := box.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if len(second.Refs) != 2 || second.Refs[0].UID != first.Refs[1].UID {
			t.Fatalf("after a deletion the listing is %+v", second.Refs)
		}
		octets, failed, err := Collect(t.Context(), box, second.Refs)
		if err != nil || len(octets) != 2 || len(failed) > 0 {
			t.Errorf("got %d messages, %v, %v", len(octets), failed, err)
		}
	})
	t.Run("after a folder that does not exist", func(t *testing.T) {
		box := s.Dial(t, fakeserver.NewStore(), DialOptions{})
		t.Cleanup(box.Abort)
		if _, err := box.Open(t.Context(), "No such folder"); fetch.KindOf(err) != fetch.NoFolder {
			t.Errorf("got %v, want Kind no-folder", err)
		}
		if _, err := box.Open(t.Context(), ""); err != nil {
			t.Errorf("the inbox afterwards: %v", err)
		}
	})
}
