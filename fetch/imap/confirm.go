package imap

import (
	"cmp"
	"errors"
	"slices"

	imapwire "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/truehop/truehop/fetch"
)

// confirm finds out which messages are still there although the commands that were to remove them were
// answered OK. It adds them to the failures and returns them. A message that the server has reported by EXPUNGE
// or VANISHED has gone, whoever expunged it. About the others confirm asks the server, once for all of them.
func (s *settlement) confirm(op string, uids []uint32) (left []uint32, err error) {
	if err := s.c.checkValidity(op); err != nil {
		return nil, err
	}
	doubtful := s.c.g.unconfirmed(uids)
	if len(doubtful) == 0 {
		return nil, nil
	}
	found, err := s.c.searchFor(doubtful)
	if fetch.EndsSession(err) {
		return nil, err
	}
	if err != nil {
		s.addFailures(doubtful, err)
		return doubtful, nil
	}
	if err := s.c.checkValidity(op); err != nil {
		return nil, err
	}
	left = s.c.g.unconfirmed(found) // the answer may have brought the EXPUNGE that was due
	// The view is given up if it still holds one of those that have gone: the server reports late or not at all, and
	// whatever EXPUNGE comes next would be taken for another message's.
	gone := without(doubtful, found)
	s.c.g.amend(func(n *notes) {
		if v := n.view; v != nil && slices.ContainsFunc(gone, func(uid uint32) bool { return !v.gone(uid) }) {
			n.view = nil
		}
	})
	s.addFailures(left, &fetch.Error{Kind: fetch.Refused, Op: op, Err: errors.New("the server answered OK, but the message is still there")})
	return left, nil
}

// searchFor asks which of these messages, ascending, the folder holds without any of these flags, in one round trip, without
// ESEARCH in one for each set. There are servers that leave out a result which is empty, iCloud's for one: if all messages
// have the flags, which is what is hoped for. Then the question is turned round.
func (c *Client) searchFor(uids []uint32, lacking ...imapwire.Flag) ([]uint32, error) {
	found, answered, err := c.searchSets(uids, imapwire.SearchCriteria{NotFlag: lacking})
	if err != nil || answered {
		return found, err
	}
	if len(lacking) > 0 {
		having, answered, err := c.searchSets(uids, imapwire.SearchCriteria{Flag: lacking})
		if err != nil || answered {
			return c.g.unconfirmed(without(uids, having)), err
		}
	}
	return nil, &fetch.Error{Kind: fetch.Refused, Op: "UID SEARCH",
		Err: errors.New("OK without a result: it is not known what became of the message")}
}

// searchSets asks which of these messages fit. answered reports whether each search had a result.
func (c *Client) searchSets(uids []uint32, criteria imapwire.SearchCriteria) (fit []uint32, answered bool, err error) {
	before := c.g.noted().searches
	var sent []*imapclient.SearchCommand
	for _, set := range sets(uids) {
		criteria.UID = []imapwire.UIDSet{set}
		cmd := c.lib.UIDSearch(&criteria, c.searchOptions())
		if !c.Has("ESEARCH") {
			_, _ = cmd.Wait() // its error is taken below
		}
		sent = append(sent, cmd)
	}
	var found []uint32
	var refusal error
	for _, cmd := range sent {
		data, err := cmd.Wait()
		if err = c.failed("UID SEARCH", err); fetch.EndsSession(err) {
			return nil, false, err
		}
		refusal = cmp.Or(refusal, err)
		some, err := c.uids(data.All)
		if err != nil {
			return nil, false, err
		}
		found = append(found, some...)
	}
	if refusal != nil {
		return nil, false, refusal
	}
	slices.Sort(found)
	fit = without(uids, without(uids, found)) // a server may name more than it was asked about
	return fit, c.g.noted().searches-before >= len(sent), nil
}

// without returns the UIDs of the first list that are not in the second; both ascend.
func without(uids, others []uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool {
		_, found := slices.BinarySearch(others, uid)
		return found
	})
}
