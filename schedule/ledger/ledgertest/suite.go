// Package ledgertest holds a home of the record to what package ledger promises.
package ledgertest

import (
	"context"
	"crypto/sha256"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// Home is what every home of the record does: see [ledger.Ledger].
type Home interface {
	Lock(account string) (unlock func() error, err error)

	Put(ctx context.Context, r ledger.Record) error
	PutAll(ctx context.Context, rs []ledger.Record) error
	PutSeq(ctx context.Context, rs iter.Seq[ledger.Record]) error
	Replace(ctx context.Context, r ledger.Record, replaced []ledger.Key) error
	PutJudged(ctx context.Context, r ledger.Record, replaced []ledger.Key, j ledger.Judgement) error
	BeginJudged(ctx context.Context, r ledger.Record, replaced []ledger.Key, j ledger.Judgement) ledger.Pending
	SetDisposed(ctx context.Context, keys []ledger.Key) error
	SetAbsent(ctx context.Context, keys []ledger.Key, absent bool) error
	SetListed(ctx context.Context, key ledger.Key, size int64) error
	Remove(ctx context.Context, keys []ledger.Key) error

	Briefs(ctx context.Context, account, folder string, validity uint32) (map[string][]ledger.Brief, error)
	BriefsBut(ctx context.Context, account, folder string, validity uint32, atRest func([]ledger.Brief) bool) (map[string][]ledger.Brief, error)
	Removed(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]ledger.Brief, error)
	BriefsOf(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]ledger.Brief, error)
	ByHash(ctx context.Context, account, folder string, hash [sha256.Size]byte) ([]ledger.Record, error)
	ByHashAnywhere(ctx context.Context, account string, hash [sha256.Size]byte) ([]ledger.Record, error)
	Unfinished(ctx context.Context, account string) ([]ledger.Record, error)
	List(ctx context.Context, f ledger.Filter) ([]ledger.Record, error)
	Generations(ctx context.Context, account, folder string) ([]uint32, error)
	Folders(ctx context.Context, account string) ([]string, error)
	Turns(ctx context.Context, account string) (map[string]ledger.Turn, error)
	Counts(ctx context.Context, account string) (map[ledger.State]int, error)
	CountsByAccount(ctx context.Context, accounts []string) (map[string]map[ledger.State]int, error)
	Overviews(ctx context.Context, accounts []string) ([]ledger.Overview, error)

	PassBegan(ctx context.Context, account string, p ledger.Pass) error
	PassEnded(ctx context.Context, account string, p ledger.Pass) error
	LastPass(ctx context.Context, account string) (last ledger.Pass, lastSuccess time.Time, err error)
	Tick(ctx context.Context, account string, now time.Time) (time.Duration, error)
	Ran(ctx context.Context, account string) (time.Duration, error)
	Trust(ctx context.Context, account, folder string) (ledger.Trust, error)
	CaughtUp(ctx context.Context, account, folder string) error
	LastListing(ctx context.Context, account, folder string) (ledger.Listing, error)
	SetLastListing(ctx context.Context, account, folder string, n ledger.Listing) error
	Sources(ctx context.Context, account string) (map[string]string, error)
	SetSource(ctx context.Context, s ledger.Source) error
	Refusal(ctx context.Context, account string) (ledger.Refusal, error)
	SetRefusal(ctx context.Context, account string, r ledger.Refusal) error
	Told(ctx context.Context, account string) (ledger.Told, error)
	SetTold(ctx context.Context, account string, t ledger.Told) error
	NextJudgement(ctx context.Context) (int64, error)
	Proof(ctx context.Context, target string) (ledger.Proof, error)

	Close() error
}

// Run runs the suite. Each call of fresh makes an empty place for a record, and returns what opens a home there, as often as it is
// called.
func Run(t *testing.T, fresh func(*testing.T) (open func() (Home, error))) {
	s := suite{fresh: func(t *testing.T) place { return place{fresh(t)} }}
	for _, one := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"round trip", s.roundTrip},
		{"put replaces by key", s.putReplacesByKey},
		{"identity", s.identity},
		{"flags", s.flags},
		{"list filters", s.listFilters},
		{"remove", s.remove},
		{"invalid", s.invalid},
		{"text is cut", s.textIsCut},
		{"recipients are not cut", s.recipientsAreNotCut},
		{"canceled", s.canceled},
		{"closed", s.closed},
		{"clock jumps", s.clockJumps},
		{"heading is kept", s.headingIsKept},
		{"breaks are kept", s.breaksAreKept},
		{"change of what has no record", s.changeOfWhatHasNoRecord},
		{"concurrent", s.concurrent},
		{"passes", s.passes},
		{"told outlives the process", s.toldOutlivesTheProcess},
		{"overviews", s.overviews},
		{"refusal outlives the process", s.refusalOutlivesTheProcess},
		{"turns", s.turns},
		{"tick", s.tick},
		{"clock is read without moving it", s.clockIsReadWithoutMovingIt},
		{"proof counts clients since a refusal", s.proofCountsClientsSinceARefusal},
		{"refusals of one pass do not count against one another", s.refusalsOfOnePassDoNotCountAgainstOneAnother},
		{"a judgement that is not recorded does not count", s.aJudgementThatIsNotRecordedDoesNotCount},
		{"replace", s.replace},
		{"sequence is one transaction", s.sequenceIsOneTransaction},
		{"many keys", s.manyKeys},
		{"listed is kept", s.listedIsKept},
		{"what is begun comes first", s.whatIsBegunComesFirst},
		{"unfinished and content", s.unfinishedAndContent},
		{"trust", s.trust},
		{"lock", s.lock},
		{"what a pass ended with", s.whatAPassEndedWith},
		{"listing outlives the process", s.listingOutlivesTheProcess},
		{"sources outlive the process", s.sourcesOutliveTheProcess},
		{"listing ends with its records", s.listingEndsWithItsRecords},
		{"briefs of some UIDs", s.briefsOfSomeUIDs},
		{"at rest left out", s.atRestLeftOut},
	} {
		t.Run(one.name, one.run)
	}
}

type suite struct{ fresh func(*testing.T) place }

// place is where a record is.
type place struct{ openHome func() (Home, error) }

// home is an open record with all accounts that the suite uses under lock.
type home struct {
	Home
	unlocks []func() error
	ended   bool
}

// open opens the record and locks the accounts. At the end of the test it is closed.
func (p place) open(t *testing.T) *home {
	t.Helper()
	opened, err := p.openHome()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	h := &home{Home: opened}
	for _, account := range []string{"work", "home", "club", "gone", "a", "b", strings.Repeat("a", maxAccount)} {
		h.unlocks = append(h.unlocks, must[func() error](t)(h.Lock(account)))
	}
	t.Cleanup(func() { h.end(t) })
	return h
}

// end unlocks the accounts and closes the record.
func (h *home) end(t *testing.T) {
	t.Helper()
	if h.ended {
		return
	}
	h.ended = true
	for _, unlock := range h.unlocks {
		if err := unlock(); err != nil && ledger.KindOf(err) != ledger.Closed {
			t.Errorf("unlock: %v", err)
		}
	}
	if err := h.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// Bounds of package ledger.
const (
	maxAccount = 128
	maxFolder  = 1024
	maxUID     = 1024
	maxText    = 512
)

// must returns v, or fails the test.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func key(uid string) ledger.Key {
	return ledger.Key{Account: "work", Folder: "INBOX", Validity: 7, UID: uid, Hash: sha256.Sum256([]byte(uid))}
}

func record(uid string, s ledger.State) ledger.Record {
	at := time.UnixMilli(1_700_000_000_123)
	return ledger.Record{
		Key: key(uid), State: s, Size: 4321, Token: "tok-" + uid, Attempts: 2, Doubts: 1,
		First: at, Last: at.Add(time.Minute), Next: at.Add(time.Hour),
		Client: "192.0.2.1", HELO: "mx.example.org", Sender: "a@example.org", Recipients: "b@example.net",
		Code: 250, Reply: "2.0.0 Ok: queued as 4Xyz", QueueID: "4Xyz", Why: "accepted",
	}
}

// heading is one with all its parts.
func heading() ledger.Heading {
	return ledger.Heading{From: "Zoë <zoe@example.org>", Subject: "Grüße", MessageID: "1@example.org", Date: time.UnixMilli(1_700_000_000_000)}
}

func put(t testing.TB, l Home, rs ...ledger.Record) {
	t.Helper()
	if err := l.PutAll(t.Context(), rs); err != nil {
		t.Fatalf("PutAll: %v", err)
	}
}

func list(t testing.TB, l Home, f ledger.Filter) []ledger.Record {
	t.Helper()
	return must[[]ledger.Record](t)(l.List(t.Context(), f))
}

func refusal(t *testing.T, l Home, account string) ledger.Refusal {
	t.Helper()
	return must[ledger.Refusal](t)(l.Refusal(t.Context(), account))
}
