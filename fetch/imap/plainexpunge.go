package imap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

// plainExpunge removes the messages of this settlement, which are marked \Deleted, at a server without UIDPLUS. EXPUNGE (RFC
// 9051 section 6.4.3) removes whatever is marked, by whomever. So it is said directly after the server has named all
// that is marked, and only if that is ours alone. What another client marks in the moment between goes with it;
// the server's EXPUNGE responses tell, and it is logged.
func (s *settlement) plainExpunge(stored []result) error {
	var ours []uint32 // of which OK was said
	for _, r := range stored {
		if r.err != nil {
			s.addFailures(members(r.set), r.err)
			continue
		}
		ours = append(ours, members(r.set)...)
	}
	slices.Sort(ours)
	marked, err := s.c.markedDeleted()
	if fetch.EndsSession(err) {
		return err
	}
	if err != nil || len(ours) == 0 {
		s.addFailures(ours, err)
		return nil
	}
	if foreign := without(marked, s.all); len(foreign) > 0 {
		s.giveUp(ours, othersMarked(len(foreign)))
		return nil
	}
	before := s.c.g.noted().expunged
	s.c.g.expunges.Store(true)
	if err := s.c.failed("EXPUNGE", s.c.lib.Expunge().Close()); fetch.EndsSession(err) {
		return err
	} else if err != nil {
		s.addFailures(s.c.g.unconfirmed(ours), err)
		return nil
	}
	// An earlier session may have marked some whose turn is yet to come, which went with these.
	later := without(s.later, marked)
	ours = append(ours, without(s.later, later)...)
	s.later = later
	slices.Sort(ours)
	marks := len(ours) + len(without(marked, ours))
	if more := s.c.g.noted().expunged - before - marks; more > 0 {
		s.c.opts.Logger.LogAttrs(context.Background(), slog.LevelWarn, "EXPUNGE removed more than was ours: another client had just marked it",
			slog.String("folder", fetch.Sanitize(s.c.box.name)), slog.Int("messages", more))
	}
	_, err = s.confirm("EXPUNGE", ours)
	return err
}

// markedDeleted returns the UIDs of all messages of the folder that are marked \Deleted.
func (c *Client) markedDeleted() ([]uint32, error) {
	return c.searchBy(&imapwire.SearchCriteria{Flag: []imapwire.Flag{imapwire.FlagDeleted}})
}

func othersMarked(n int) *fetch.Error {
	return &fetch.Error{Kind: fetch.Refused, Op: "EXPUNGE",
		Err:    fmt.Errorf("%d messages that are not ours are marked \\Deleted, and EXPUNGE would remove them: nothing is removed", n),
		Advice: "have the client that marked them expunge them"}
}

// searchBy asks which messages of the folder fit. An OK without a result may be that of a server which leaves out an empty one, as iCloud's
// does. It is taken for that where the same server names all messages of the folder as those that do not fit.
func (c *Client) searchBy(criteria *imapwire.SearchCriteria) ([]uint32, error) {
	found, answered, err := c.searchAnswered(criteria)
	if err != nil || answered {
		return found, err
	}
	rest, _, err := c.searchAnswered(&imapwire.SearchCriteria{Not: []imapwire.SearchCriteria{*criteria}})
	if err != nil {
		return nil, err
	}
	if seen := c.g.noted(); !seen.counted || len(rest) < int(seen.count) {
		return nil, &fetch.Error{Kind: fetch.Refused, Op: "UID SEARCH", Err: errors.New("OK without a result")}
	}
	return nil, nil
}

// searchAnswered is searchBy without a second question. answered reports whether there was a result.
func (c *Client) searchAnswered(criteria *imapwire.SearchCriteria) (found []uint32, answered bool, err error) {
	before := c.g.noted().searches
	data, err := c.lib.UIDSearch(criteria, c.searchOptions()).Wait()
	if err = c.failed("UID SEARCH", err); err != nil {
		return nil, false, err
	}
	found, err = c.uids(data.All)
	slices.Sort(found)
	return found, c.g.noted().searches > before, err
}
