package transfer_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// overIMAP has the world's passes speak with an IMAP server over its store.
func (w *world) overIMAP(server *fakeserver.IMAP) {
	server.Store, server.User, server.Password = w.store, "u", "correct horse"
	addr := fetchtest.Listen(w.t, server.Serve).Addr()
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		return imap.New(ctx, fetchtest.Dial(w.t, addr), imap.Options{Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true}})
	}
}

// TestFoldersByPattern: mail of all folders that are chosen is delivered, of a new one from the next pass on; what chooses nothing and what
// has gone is told and does not stop the others.
func TestFoldersByPattern(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = fetch.Selection{"INBOX", "Lists/*", `\Junk`, "!Lists/old"}
	w.overIMAP(&fakeserver.IMAP{Attributes: map[string]string{"Bulk": `\Junk`}})
	w.add(1)
	w.store.Add("Lists/go", mail(2))
	w.store.Add("Lists/old", mail(3))
	w.store.Add("Bulk", mail(4))
	w.store.Add("Other", mail(5))
	w.run()
	w.delivered(1, 2, 4)

	w.store.Add("Lists/new", mail(6))
	w.run()
	w.delivered(1, 2, 4, 6)

	w.pass.Folders = append(w.pass.Folders, `\Archive`, "News/*", "Gone")
	w.add(7)
	_, err := w.try()
	if fetch.KindOf(err) != fetch.NoFolder || !strings.Contains(err.Error(), `\Archive`) {
		t.Errorf("told: %v", err)
	}
	w.delivered(1, 2, 4, 6, 7)
}

// unwilling is a session with a server that cannot open some folders; ends says that it hangs up instead of saying so.
type unwilling struct {
	fetch.Mailbox
	folders []string
	ends    bool
}

func (u unwilling) Open(ctx context.Context, folder string) (*fetch.Listing, error) {
	if !slices.Contains(u.folders, folder) {
		return u.Mailbox.Open(ctx, folder)
	}
	if u.ends {
		u.Abort()
		return nil, &fetch.Error{Kind: fetch.Unreachable, Op: "SELECT " + folder}
	}
	return nil, &fetch.Error{Kind: fetch.Busy, Op: "SELECT " + folder}
}

// TestFolderThatCannotBeOpened: it is told and does not stop the others, until three in a row say that it is the server.
func TestFolderThatCannotBeOpened(t *testing.T) {
	for name, test := range map[string]struct {
		folders []string
		ends    bool
		want    []int
	}{
		"it is busy":         {[]string{"A"}, false, []int{1, 2}},
		"it ends sessions":   {[]string{"A"}, true, []int{1, 2}},
		"two end sessions":   {[]string{"A", "B"}, true, []int{1, 2}},
		"three end sessions": {[]string{"A", "B", "C"}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{}
			w.pass.Folders = fetch.Selection{"A", "B", "C", "INBOX", "Lists"}
			w.overIMAP(&fakeserver.IMAP{})
			for _, folder := range []string{"A", "B", "C"} {
				w.store.Create(folder)
			}
			w.add(1)
			w.store.Add("Lists", mail(2))
			dial := w.pass.Dial
			w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
				mailbox, err := dial(ctx)
				return unwilling{mailbox, test.folders, test.ends}, err
			}
			if _, err := w.try(); err == nil || !strings.Contains(err.Error(), "SELECT ") {
				t.Errorf("told: %v", err)
			}
			w.delivered(test.want...)
		})
	}
}

// TestFolderThatHasGoneIsTold: no pattern misses a folder that is not there any more, so the mail that waits in it is what tells.
func TestFolderThatHasGoneIsTold(t *testing.T) {
	w := newWorld(t)
	w.pass.Folders = fetch.Selection{"all"}
	w.overIMAP(&fakeserver.IMAP{})
	w.add(1)
	key := ledger.Key{Account: "work", Folder: "Lists/go", Validity: 1, UID: "1", Hash: [32]byte{1}}
	if err := w.ledger.Put(t.Context(), ledger.Record{Key: key, State: ledger.Deferred, First: w.clock, Last: w.clock}); err != nil {
		t.Fatal(err)
	}
	_, err := w.try()
	if fetch.KindOf(err) != fetch.NoFolder || !strings.Contains(err.Error(), "the folder Lists/go has gone") {
		t.Errorf("told: %v", err)
	}
	w.delivered(1)
}

// TestLabelsAreNoFolders: where one message is in several folders, no pattern is followed.
func TestLabelsAreNoFolders(t *testing.T) {
	w := newWorld(t)
	w.pass.Folders = fetch.Selection{"all"}
	w.overIMAP(&fakeserver.IMAP{Capabilities: []string{"X-GM-EXT-1"}})
	w.add(1)
	_, err := w.try()
	if fetch.KindOf(err) != fetch.Unsupported || !strings.Contains(err.Error(), "labels") {
		t.Errorf("told: %v", err)
	}
	w.delivered()
}

// TestMovedBetweenFoldersIsDeliveredOnce: mail that somebody moves or copies from one folder to another, in either direction of the
// pass, is known there; mail that was never delivered is not, and two messages of one folder stay two.
func TestMovedBetweenFoldersIsDeliveredOnce(t *testing.T) {
	for name, test := range map[string]struct {
		from, to string
		copied   bool
		after    fetch.Disposal
	}{
		"filed":                     {from: "INBOX", to: "Lists"},
		"taken back":                {from: "Lists", to: "INBOX"},
		"copied":                    {from: "INBOX", to: "Lists", copied: true},
		"deleted, and in the trash": {from: "INBOX", to: "Trash", after: fetch.Disposal{Action: fetch.Delete}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = test.after
			w.pass.Folders = fetch.Selection{"all"}
			w.overIMAP(&fakeserver.IMAP{})
			w.store.Create(test.to)
			w.store.Add(test.from, mail(1))
			w.run()
			w.delivered(1)
			switch {
			case test.copied, test.after.Action == fetch.Delete:
				w.store.Add(test.to, mail(1))
			default:
				if _, ok := w.store.Move(test.from, 1, test.to); !ok {
					t.Fatal("not moved")
				}
			}
			w.store.Add(test.to, mail(2))
			s := w.run()
			w.delivered(1, 2)
			known := slices.ContainsFunc(w.events, func(e transfer.Event) bool {
				return e.Kind == transfer.Recognised && e.Ref.Folder == test.to && e.Why == "known by its content in another folder"
			})
			if !known {
				t.Errorf("it was not told that the message is known: %+v", s)
			}
			for range 2 {
				if s := w.run(); s.Delivered != 0 {
					t.Errorf("a later pass: %+v", s)
				}
			}
			w.delivered(1, 2)
			if test.after.Action == fetch.Delete && len(w.store.List(test.to)) != 0 {
				t.Errorf("it is still in %s", test.to)
			}
		})
	}
}

// TestHeldInOneFolderIsNoVerdictForAnother: only what was delivered counts elsewhere.
func TestHeldInOneFolderIsNoVerdictForAnother(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = fetch.Selection{"INBOX", "Lists"}
	w.overIMAP(&fakeserver.IMAP{})
	w.store.Create("Lists")
	w.pass.Recipient = transfer.RecipientRule{}
	w.pass.Policy.MX, w.pass.Client.Unknown = []string{"elsewhere.example.net"}, transfer.Hold // no client is found
	w.add(1)
	w.run()
	w.delivered()
	w.pass.Policy.MX = []string{"mx.example.net"}
	if _, ok := w.store.Move("INBOX", 1, "Lists"); !ok {
		t.Fatal("not moved")
	}
	w.run()
	w.delivered(1)
}
