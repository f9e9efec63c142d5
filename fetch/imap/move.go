package imap

import (
	"errors"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

// move uses MOVE, else COPY and, for what was copied, deletion by UID.
func (s *settlement) move(target string) error {
	// The library falls back to EXPUNGE where it knows of no MOVE itself.
	atomic := s.c.Has("MOVE") && s.c.lib.Caps().Has(imapwire.CapMove)
	if !atomic && !s.c.Has("UIDPLUS") {
		s.addFailures(s.uids, &fetch.Error{Kind: fetch.Unsupported, Op: "UID MOVE",
			Err: errors.New("the server has neither MOVE nor UIDPLUS: nothing was moved")})
		return nil
	}
	if !atomic {
		return s.copyAndRemove(target)
	}
	results, err := s.each(sets(s.uids), func(set imapwire.UIDSet) pending {
		cmd := s.c.lib.Move(set, target)
		return await(set, "UID MOVE", func() error { _, err := cmd.Wait(); return err })
	})
	if err != nil {
		return err
	}
	copied := s.c.g.noted().copied
	var answered, uncopied []uint32 // of which OK was said; those of them that were not moved
	for _, r := range results {
		uids := members(r.set)
		if r.err == nil {
			answered = append(answered, uids...)
			// A command without COPYUID proves nothing (RFC 4315 section 3 allows that); what MOVE has taken away it has moved.
			if rest := outside(uids, copied); len(rest) < len(uids) {
				uncopied = append(uncopied, rest...)
			}
			continue
		}
		// Some of a set may have been moved before one of it could not be.
		gone := without(uids, s.c.g.unconfirmed(uids))
		s.addFailures(without(uids, without(gone, outside(gone, copied))), r.err)
	}
	left, err := s.confirm("UID MOVE", answered)
	if err != nil {
		return err
	}
	s.addFailures(without(uncopied, left), errNotMoved())
	return nil
}

// copyAndRemove copies messages and deletes those that COPYUID names (RFC 4315 section 3). A server need not send
// COPYUID, and without it nothing shows that there is a copy: its messages stay. So that no pass fills the
// target with copies, one message goes first.
func (s *settlement) copyAndRemove(target string) error {
	first, rest := s.uids[:1], s.uids[1:]
	results, err := s.copyTo(target, first)
	if err != nil {
		return err
	}
	if results[0].err == nil && len(s.c.g.unconfirmed(first)) > 0 && len(outside(first, s.c.g.noted().copied)) > 0 {
		s.addFailures(s.uids, &fetch.Error{Kind: fetch.Unsupported, Op: "UID COPY",
			Err:    errors.New("the server does not say what it has copied: nothing is deleted"),
			Advice: "choose delete, seen or a flag: the server has no MOVE"})
		return nil
	}
	more, err := s.copyTo(target, rest)
	if err != nil {
		return err
	}
	copied := s.c.g.noted().copied
	var twofold []uint32 // here and in the target
	for _, r := range append(results, more...) {
		uids := members(r.set)
		if r.err != nil {
			s.addFailures(uids, r.err)
			continue
		}
		behind := outside(uids, copied)
		left := s.c.g.unconfirmed(behind)
		s.addFailures(left, &fetch.Error{Kind: fetch.Refused, Op: "UID COPY",
			Err: errors.New("the server answered OK and did not copy the message")})
		s.addFailures(without(behind, left), errNotMoved())
		twofold = append(twofold, without(uids, behind)...)
	}
	if len(twofold) == 0 {
		return nil
	}
	return s.remove(sets(twofold))
}

func (s *settlement) copyTo(target string, uids []uint32) ([]result, error) {
	return s.each(sets(uids), func(set imapwire.UIDSet) pending {
		cmd := s.c.lib.Copy(set, target)
		return await(set, "UID COPY", func() error { _, err := cmd.Wait(); return err })
	})
}

func errNotMoved() error {
	return &fetch.Error{Kind: fetch.Gone, Op: "UID MOVE", Err: errors.New("the message was expunged before it could be moved")}
}
