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

// move uses MOVE, else COPY and, for what was copied, deletion by UID.
func (s *settlement) move(target string) error {
	// The library falls back to EXPUNGE where it knows of no MOVE itself.
	atomic := s.c.Has("MOVE") && s.c.lib.Caps().Has(imapwire.CapMove)
	if !atomic {
		return s.copyAndDelete(target)
	}
	results, err := s.toTarget(target, s.uids, func(set imapwire.UIDSet) pending {
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

// copyAndDelete moves messages at a server without MOVE. What is marked \Deleted already is not copied: an earlier session
// marked it once there was a copy, and could not remove it. (If a person has marked it, it was to go anyway.) So a server
// that does not remove messages gets no second copy of them; and where none can be marked, none is copied at all.
func (s *settlement) copyAndDelete(target string) error {
	switch {
	case !s.c.Has("UIDPLUS") && !s.c.opts.PlainExpunge:
		s.giveUp(s.uids, &fetch.Error{Kind: fetch.Unsupported, Op: "UID MOVE",
			Err:    errors.New("the server has neither MOVE nor UIDPLUS: nothing was moved"),
			Advice: "set plain_expunge: true if no other client marks messages there, or settle by flag"})
		return nil
	case !s.c.box.keeps(imapwire.FlagDeleted): // RFC 4314 section 4: PERMANENTFLAGS shows what the login has a right to
		s.giveUp(s.uids, &fetch.Error{Kind: fetch.Refused, Op: "UID MOVE",
			Err:    errors.New("the server has no MOVE and lets nothing be marked \\Deleted here: nothing was copied"),
			Advice: "get the rights to delete messages in the folder, or settle by flag"})
		return nil
	}
	marked, err := s.c.markedDeleted()
	switch {
	case fetch.EndsSession(err):
		return err
	case err != nil:
		s.addFailures(s.uids, err)
		return nil
	case s.c.Has("UIDPLUS"):
		return s.copyAndRemove(target, marked)
	}
	return s.copyAndExpunge(target, marked)
}

// copyAndRemove copies messages and deletes those that COPYUID names (RFC 4315 section 3). A server need not send
// COPYUID, and without it nothing shows that there is a copy: its messages stay. So that no pass fills the
// target with copies, one message goes first, and is marked \Deleted before others are copied.
func (s *settlement) copyAndRemove(target string, marked []uint32) error {
	uncopied := without(s.uids, marked)
	twofold := without(s.uids, uncopied) // here and in the target
	first, rest := uncopied[:min(1, len(uncopied))], uncopied[min(1, len(uncopied)):]
	results, err := s.copyTo(target, first)
	if err != nil {
		return err
	}
	isThere := len(results) > 0 && results[0].err == nil && len(s.c.g.unconfirmed(first)) > 0
	if isThere && len(outside(first, s.c.g.noted().copied)) > 0 {
		s.giveUp(s.uids, &fetch.Error{Kind: fetch.Unsupported, Op: "UID COPY",
			Err:    errors.New("the server does not say what it has copied: nothing is deleted"),
			Advice: "choose delete, seen or a flag: the server has no MOVE"})
		return nil
	}
	if isThere {
		stored, err := s.each(sets(first), func(set imapwire.UIDSet) pending { return s.store(set, imapwire.FlagDeleted) })
		if err != nil {
			return err
		}
		if why := stored[0].err; why != nil {
			s.giveUp(s.uids, why)
			return nil
		}
	}
	more, err := s.copyTo(target, rest)
	if err != nil {
		return err
	}
	copied := s.c.g.noted().copied
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
	slices.Sort(twofold)
	return s.remove(sets(twofold))
}

func (s *settlement) copyTo(target string, uids []uint32) ([]result, error) {
	return s.toTarget(target, uids, func(set imapwire.UIDSet) pending {
		cmd := s.c.lib.Copy(set, target)
		return await(set, "UID COPY", func() error { _, err := cmd.Wait(); return err })
	})
}

// toTarget sends MOVE or COPY for messages. If that was refused, perhaps because the target folder is missing, and
// CreateFolders allows it, toTarget creates the folder and sends the command once more for what was refused. RFC 9051
// section 6.4.7 has TRYCREATE for that, but some servers say it in words only; CREATE of a folder that exists is refused
// and changes nothing.
func (s *settlement) toTarget(target string, uids []uint32, send func(imapwire.UIDSet) pending) ([]result, error) {
	results, err := s.each(sets(uids), send)
	if err != nil || !s.c.opts.CreateFolders || s.created {
		return results, err
	}
	lacking := func(r result) bool {
		return r.err != nil && slices.Contains([]fetch.Kind{fetch.NoFolder, fetch.Refused}, fetch.KindOf(r.err))
	}
	var refused []imapwire.UIDSet
	var done []result
	for _, r := range results {
		if lacking(r) {
			refused = append(refused, r.set)
		} else {
			done = append(done, r)
		}
	}
	if len(refused) == 0 {
		return results, nil
	}
	if err := s.create(target); fetch.EndsSession(err) {
		return nil, err
	} else if err != nil {
		for i := range results {
			if fetch.KindOf(results[i].err) == fetch.NoFolder {
				results[i].err = err
			}
		}
		return results, nil
	}
	again, err := s.each(refused, send)
	return append(done, again...), err
}

// create creates the target.
func (s *settlement) create(target string) error {
	s.created = true
	err := s.c.failed("CREATE", s.c.lib.Create(target, nil).Wait())
	if err == nil {
		s.c.opts.Logger.LogAttrs(context.Background(), slog.LevelInfo, "folder created", slog.String("folder", fetch.Sanitize(target)))
	}
	return err
}

// copyAndExpunge moves messages at a server without UIDPLUS: it says nothing of what COPY has copied, so the messages of
// the target are counted before and after. What could not be removed afterwards would be copied again by the next pass, so
// nothing is copied while others have messages marked \Deleted.
func (s *settlement) copyAndExpunge(target string, marked []uint32) error {
	if foreign := without(marked, s.all); len(foreign) > 0 {
		s.giveUp(s.uids, othersMarked(len(foreign)))
		return nil
	}
	uncopied := without(s.uids, marked)
	if len(uncopied) == 0 {
		return s.remove(sets(s.uids))
	}
	before, err := s.c.messagesIn(target)
	// A server need not say why when it refuses STATUS of a folder that does not exist, so a target that may be created
	// is: of one that exists, CREATE is refused and changes nothing.
	lacking := fetch.KindOf(err) == fetch.NoFolder || fetch.KindOf(err) == fetch.Refused
	if lacking && s.c.opts.CreateFolders && !s.created {
		switch refused := s.create(target); {
		case refused == nil:
			before, err = s.c.messagesIn(target)
		case fetch.EndsSession(refused):
			return refused
		}
	}
	if fetch.EndsSession(err) {
		return err
	}
	if err != nil {
		s.addFailures(s.uids, err)
		return nil
	}
	results, err := s.copyTo(target, uncopied)
	if err != nil {
		return err
	}
	twofold := without(s.uids, uncopied)
	var copied []uint32
	for _, r := range results {
		if r.err != nil {
			s.addFailures(members(r.set), r.err)
			continue
		}
		copied = append(copied, members(r.set)...)
	}
	after, err := s.c.messagesIn(target)
	if fetch.EndsSession(err) {
		return err
	}
	if more := after - before; err == nil && more < int64(len(copied)) {
		err = &fetch.Error{Kind: fetch.Refused, Op: "UID COPY", Err: fmt.Errorf("the server answered OK, and its folder has %d more messages, not %d: nothing is deleted", more, len(copied))}
	}
	if err != nil {
		s.addFailures(copied, err)
		copied = nil
	}
	twofold = append(twofold, copied...)
	if len(twofold) == 0 {
		return nil
	}
	slices.Sort(twofold)
	return s.remove(sets(twofold))
}

// messagesIn counts the messages of another folder by STATUS (RFC 9051 section 6.3.11).
func (c *Client) messagesIn(folder string) (int64, error) {
	c.g.amend(func(n *notes) { n.messages = -1 })
	_, err := c.lib.Status(folder, &imapwire.StatusOptions{NumMessages: true}).Wait()
	if err = c.failed("STATUS", err); err != nil {
		return 0, err
	}
	n := c.g.noted().messages
	if n < 0 {
		return 0, &fetch.Error{Kind: fetch.Refused, Op: "STATUS", Err: errors.New("the server does not say how many messages the folder has")}
	}
	return n, nil
}

func errNotMoved() error {
	return &fetch.Error{Kind: fetch.Gone, Op: "UID MOVE", Err: errors.New("the message was expunged before it could be moved")}
}
