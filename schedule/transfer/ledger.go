package transfer

import (
	"context"
	"crypto/sha256"
	"iter"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// Ledger is what a pass asks of the record of messages, and tells it: see [ledger.Ledger], which is one. What a method has written is
// durable when it returns.
type Ledger interface {
	Put(ctx context.Context, r ledger.Record) error
	PutAll(ctx context.Context, rs []ledger.Record) error
	PutSeq(ctx context.Context, rs iter.Seq[ledger.Record]) error
	Replace(ctx context.Context, r ledger.Record, replaced []ledger.Key) error
	BeginJudged(ctx context.Context, r ledger.Record, replaced []ledger.Key, j ledger.Judgement) ledger.Pending
	SetDisposed(ctx context.Context, keys []ledger.Key) error
	SetAbsent(ctx context.Context, keys []ledger.Key, absent bool) error
	SetListed(ctx context.Context, key ledger.Key, size int64) error
	Remove(ctx context.Context, keys []ledger.Key) error

	Briefs(ctx context.Context, account, folder string, validity uint32) (map[string][]ledger.Brief, error)
	BriefsBut(ctx context.Context, account, folder string, validity uint32, atRest func([]ledger.Brief) bool) (map[string][]ledger.Brief, error)
	BriefsOf(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]ledger.Brief, error)
	Removed(ctx context.Context, account, folder string, validity uint32, uids []string) (map[string][]ledger.Brief, error)
	ByHash(ctx context.Context, account, folder string, hash [sha256.Size]byte) ([]ledger.Record, error)
	ByHashAnywhere(ctx context.Context, account string, hash [sha256.Size]byte) ([]ledger.Record, error)
	Unfinished(ctx context.Context, account string) ([]ledger.Record, error)
	List(ctx context.Context, f ledger.Filter) ([]ledger.Record, error)
	Generations(ctx context.Context, account, folder string) ([]uint32, error)
	Turns(ctx context.Context, account string) (map[string]ledger.Turn, error)

	Tick(ctx context.Context, account string, now time.Time) (ran time.Duration, err error)
	LastPass(ctx context.Context, account string) (last ledger.Pass, lastSuccess time.Time, err error)
	Trust(ctx context.Context, account, folder string) (ledger.Trust, error)
	LastListing(ctx context.Context, account, folder string) (ledger.Listing, error)
	SetLastListing(ctx context.Context, account, folder string, n ledger.Listing) error
	CaughtUp(ctx context.Context, account, folder string) error
	Sources(ctx context.Context, account string) (map[string]string, error)
	SetSource(ctx context.Context, s ledger.Source) error
	NextJudgement(ctx context.Context) (int64, error)
	Proof(ctx context.Context, target string) (ledger.Proof, error)
}
