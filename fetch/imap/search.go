package imap

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

var (
	_ fetch.Searcher = (*Client)(nil)
	_ fetch.Sizer    = (*Client)(nil)
)

// Search implements [fetch.Searcher] by one UID SEARCH. The library quotes each text, or sends it as a literal
// with CHARSET UTF-8.
func (c *Client) Search(ctx context.Context, s fetch.Search) (map[string]bool, error) {
	criteria, err := criteriaOf(s)
	if err != nil {
		return nil, err
	}
	if c.box == nil {
		return nil, notOpen("UID SEARCH")
	}
	found := map[string]bool{}
	err = c.run(ctx, maxSearchLine/searchCost/allowance, func() error {
		uids, err := c.searchBy(criteria)
		var refused *fetch.Error
		if errors.As(err, &refused) && refused.Kind == fetch.Refused {
			refused.Kind, refused.Advice = fetch.Unsupported, "the server does not take this search: correct or simplify it"
		}
		for _, uid := range uids {
			found[strconv.FormatUint(uint64(uid), 10)] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// criteriaOf translates a search. What is given twice holds twice: the stricter of two days or sizes.
func criteriaOf(s fetch.Search) (*imapwire.SearchCriteria, error) {
	all := &imapwire.SearchCriteria{}
	for _, c := range s {
		var one imapwire.SearchCriteria
		into := all
		if c.Not {
			into = &one
		}
		switch c.Key {
		case fetch.Since:
			if c.Day.After(into.Since) {
				into.Since = c.Day
			}
		case fetch.Before:
			if into.Before.IsZero() || c.Day.Before(into.Before) {
				into.Before = c.Day
			}
		case fetch.Larger:
			into.Larger = max(into.Larger, c.Size)
		case fetch.Smaller:
			if into.Smaller == 0 || c.Size < into.Smaller {
				into.Smaller = c.Size
			}
		case fetch.From, fetch.To, fetch.Cc, fetch.Subject, fetch.HeaderField:
			fields := map[fetch.SearchKey]string{fetch.From: "From", fetch.To: "To", fetch.Cc: "Cc", fetch.Subject: "Subject", fetch.HeaderField: c.Field}
			into.Header = append(into.Header, imapwire.SearchCriteriaHeaderField{Key: fields[c.Key], Value: c.Text})
		case fetch.Seen, fetch.Answered, fetch.Flagged, fetch.Draft, fetch.Keyword:
			if c.Not {
				all.NotFlag = append(all.NotFlag, flagOf(c))
			} else {
				all.Flag = append(all.Flag, flagOf(c))
			}
			continue
		default: // ages have been made days
			return nil, &fetch.Error{Kind: fetch.Unsupported, Op: "UID SEARCH", Err: fmt.Errorf("no search key %d", c.Key)}
		}
		if c.Not {
			all.Not = append(all.Not, one)
		}
	}
	return all, nil
}

// flagOf is the system flag or the keyword that a criterion goes by.
func flagOf(c fetch.Criterion) imapwire.Flag {
	switch c.Key {
	case fetch.Seen:
		return imapwire.FlagSeen
	case fetch.Answered:
		return imapwire.FlagAnswered
	case fetch.Flagged:
		return imapwire.FlagFlagged
	case fetch.Draft:
		return imapwire.FlagDraft
	}
	return imapwire.Flag(c.Text)
}

// Sizes implements [fetch.Sizer].
func (c *Client) Sizes(ctx context.Context, refs []fetch.Ref) (map[fetch.Ref]int64, error) {
	if len(refs) == 0 {
		return nil, ctx.Err()
	}
	if c.box == nil {
		return nil, notOpen("UID FETCH")
	}
	sizes := make(map[fetch.Ref]int64, len(refs))
	err := c.run(ctx, len(refs), func() error {
		b, _ := c.accept(refs)
		r := &retrieval{c: c, batch: b}
		for _, set := range sets(b.uids) {
			if err := r.ask(set, func(uid uint32, size int64) {
				if size >= 0 {
					sizes[b.refs[uid]] = size
				}
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return sizes, err
}
