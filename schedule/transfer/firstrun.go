package transfer

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// FirstRun is what to do with the mail that is found in a mailbox never seen before.
type FirstRun struct {
	Action FirstAction
	// Newest is the number of messages for DeliverNewest.
	Newest int
	// Since is the day for DeliverSince: a date, without a time and a zone.
	Since time.Time
}

// FirstAction is the verb of a [FirstRun].
type FirstAction uint8

const (
	// Ask stops if there are many messages, and says which flags continue.
	Ask FirstAction = iota
	// DeliverAll delivers everything.
	DeliverAll
	// AdoptAll records everything as done and delivers what comes later.
	AdoptAll
	// DeliverNewest delivers the newest messages by the order of the listing, and adopts the others.
	DeliverNewest
	// DeliverSince delivers what the server got on a day or later (INTERNALDATE), and adopts the others.
	DeliverSince
)

// The verbs of a first run as it stands in text.
const (
	verbAsk     = "ask"
	verbDeliver = "deliver"
	verbAdopt   = "adopt"
	verbNewest  = "newest"
	verbSince   = "since"
)

// maxNewest bounds the number behind newest.
const maxNewest = 1_000_000

// Words returns the forms that UnmarshalText reads.
func (FirstRun) Words() []string {
	return []string{verbAsk, verbDeliver, verbAdopt, verbNewest + " N", verbSince + " DAY"}
}

// String returns the form that UnmarshalText reads.
func (f FirstRun) String() string {
	switch f.Action {
	case DeliverAll:
		return verbDeliver
	case AdoptAll:
		return verbAdopt
	case DeliverNewest:
		return verbNewest + " " + strconv.Itoa(f.Newest)
	case DeliverSince:
		return verbSince + " " + f.Since.Format(time.DateOnly)
	}
	return verbAsk
}

// MarshalText returns the form that UnmarshalText reads.
func (f FirstRun) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads ask, deliver, adopt, newest N or since DAY.
func (f *FirstRun) UnmarshalText(text []byte) error {
	verb, argument, hasArgument := strings.Cut(string(text), " ")
	var made FirstRun
	switch verb {
	case verbAsk:
	case verbDeliver:
		made.Action = DeliverAll
	case verbAdopt:
		made.Action = AdoptAll
	case verbNewest:
		n, err := strconv.Atoi(argument)
		if err != nil || strconv.Itoa(n) != argument || n < 1 || n > maxNewest {
			return fmt.Errorf("%s needs a number of messages, 1 to %d, as in newest 50", verb, maxNewest)
		}
		made, hasArgument = FirstRun{Action: DeliverNewest, Newest: n}, false
	case verbSince:
		day, err := time.Parse(time.DateOnly, argument)
		if err != nil || day.Year() < 1900 {
			return fmt.Errorf("%s needs a day, as in since 2026-01-31", verb)
		}
		made, hasArgument = FirstRun{Action: DeliverSince, Since: day}, false
	default:
		return fmt.Errorf("unknown value %.60q; want one of %s", text, strings.Join(f.Words(), ", "))
	}
	if hasArgument {
		return fmt.Errorf("%q takes no argument", verb)
	}
	*f = made
	return nil
}

// adopts reports whether some or all of what is found is adopted.
func (f FirstRun) adopts() bool { return f.Action >= AdoptAll }

// adoptable returns those of a folder's unknown messages, oldest first, that are to be adopted, and the others. since
// holds the UIDs of those that came on First.Since or later.
func (f Flood) adoptable(unknown []fetch.Ref, since map[string]bool) (adopt, rest []fetch.Ref) {
	switch {
	case f.Adopt: // a person said so
		return unknown, nil
	case f.First.Action == DeliverNewest:
		n := max(0, len(unknown)-f.First.Newest)
		return unknown[:n], unknown[n:]
	case f.First.Action == DeliverSince:
		for _, ref := range unknown {
			if since[ref.UID] {
				rest = append(rest, ref)
			} else {
				adopt = append(adopt, ref)
			}
		}
		return adopt, rest
	}
	return unknown, nil
}

// adopt records what is unknown as done, as far as the rules say so, and takes it out of the plan. All of it is recorded in
// one step: of a part, the next pass would take the rest for new mail.
func (r *run) adopt(ctx context.Context, at folderKey, p *plan) error {
	now := r.clock.now()
	var rest []fetch.Ref
	unknown := p.retrieve[:0] // in place, for there may be a million
	for _, ref := range p.retrieve {
		if p.isNew(ref) || !p.hasOwnUID(ref) {
			unknown = append(unknown, ref)
		} else {
			rest = append(rest, ref)
		}
	}
	var since map[string]bool
	if flood := r.pass.Flood; flood.First.Action == DeliverSince && !flood.Adopt {
		var err error
		if since, err = r.search(ctx, fetch.Search{{Key: fetch.Since, Day: flood.First.Since}}); err != nil {
			return err
		}
	}
	unknown, spared := r.pass.Flood.adoptable(unknown, since)
	p.spared = map[fetch.Ref]bool{}
	for _, ref := range spared {
		p.spared[ref] = true
	}
	p.retrieve = append(rest, spared...)
	// Without a UID of its own a message can only be known by its content: it is adopted when it has come.
	unknown = slices.DeleteFunc(unknown, func(ref fetch.Ref) bool {
		if !p.hasOwnUID(ref) {
			p.retrieve = append(p.retrieve, ref)
		}
		return !p.hasOwnUID(ref)
	})
	err := r.pass.Ledger.PutSeq(ctx, func(yield func(ledger.Record) bool) {
		for _, ref := range unknown {
			rec := ledger.Record{Key: at.key(ref.UID, noHash), State: ledger.Adopted, Size: ref.Size, Listed: listedSize(ref), First: now, Last: now, Why: whyAdopted}
			if !yield(rec) {
				return
			}
		}
	})
	if err == nil {
		r.report.summary.Adopted += len(unknown)
	}
	return err
}
