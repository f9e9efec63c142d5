package imap

import (
	"cmp"
	"context"
	"errors"
	"strings"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

// Settle implements [fetch.Mailbox].
//
// Delete and Move remove messages by UID alone: UID EXPUNGE (RFC 4315) or UID MOVE (RFC
// 6851). A server with neither cannot remove a message without removing what
// others marked \Deleted: there, Delete marks the messages and Move does nothing, and
// all of them are Failures of Kind Unsupported, unless Options.PlainExpunge is set.
//
// Many messages go by settledAtOnce at a time, each of which has the time of a call.
//
// An OK is no proof that a message has gone, or has its flag: see confirm and confirmFlag. Where it has not, it is a Failure.
func (c *Client) Settle(ctx context.Context, d fetch.Disposal, refs []fetch.Ref) ([]fetch.Failure, error) {
	if d.Action == fetch.Keep || len(refs) == 0 {
		return nil, ctx.Err()
	}
	if err := checkTarget(d); err != nil {
		return nil, err
	}
	if c.box == nil {
		return nil, notOpen("settle")
	}
	var s *settlement
	err := c.run(ctx, len(refs), func() error {
		b, foreign := c.accept(refs)
		s = &settlement{c: c, batch: b, all: b.uids}
		for _, ref := range foreign {
			s.failures = append(s.failures, fetch.Failure{Ref: ref, Err: foreignError("settle")})
		}
		if err := c.checkValidity("settle"); err != nil {
			return err
		}
		if c.box.readOnly {
			s.addFailures(s.uids, &fetch.Error{Kind: fetch.Refused, Op: "settle", Err: errors.New("the folder is read-only")})
			return nil
		}
		return s.inTurn(ctx, len(refs), d)
	})
	if s == nil {
		return nil, err
	}
	return s.failures, err
}

// settledAtOnce is how many messages one STORE, COPY or MOVE is for. A slow server may not end one for tens of thousands within the time of a
// call, at no pass, and what it has done by then does not count for the next.
const settledAtOnce = 1000

// inTurn settles the messages, so many at a time, of messages in all.
func (s *settlement) inTurn(ctx context.Context, messages int, d fetch.Disposal) error {
	for s.later = s.all; len(s.later) > 0; {
		n := min(len(s.later), settledAtOnce)
		s.uids, s.later = s.later[:n], s.later[n:]
		s.c.g.begin(messages) // EXPUNGE may remove more of them than these
		err := s.c.checkValidity("settle")
		switch {
		case err != nil:
		case d.Action == fetch.Delete:
			err = s.remove(sets(s.uids))
		case d.Action == fetch.Flag:
			err = s.flag(imapwire.Flag(d.Target))
		default: // checkTarget knows no other
			err = s.move(d.Target)
		}
		if err != nil {
			return err
		}
		fetch.Progress(ctx)
	}
	return nil
}

// checkTarget refuses what cannot be sent.
func checkTarget(d fetch.Disposal) error {
	wrong := func(why string) error {
		return &fetch.Error{Kind: fetch.Unsupported, Op: "settle", Err: errors.New(why)}
	}
	switch d.Action {
	case fetch.Delete:
	case fetch.Flag:
		name := strings.TrimPrefix(d.Target, `\`)
		if d.Target != "" && !isWord([]byte(strings.TrimPrefix(name, "$"))) {
			return wrong("a flag is a word, with \\ or $ before it or without")
		}
	case fetch.Move:
		if d.Target == "" || strings.ContainsAny(d.Target, "\x00\r\n") {
			return wrong("the name of a folder is one line, not empty")
		}
	default:
		return wrong("unknown action")
	}
	return nil
}

// settlement is one call of Settle.
type settlement struct {
	c     *Client
	batch // its uids are those that are settled now
	// all are those of the call, later those whose turn is yet to come.
	all, later []uint32
	failures   []fetch.Failure
	created    bool // the target of Move
}

// addFailures records that messages could not be settled.
func (s *settlement) addFailures(uids []uint32, why error) {
	for _, uid := range uids {
		s.failures = append(s.failures, fetch.Failure{Ref: s.refs[uid], Err: why})
	}
}

// giveUp records that neither these messages could be settled nor those whose turn is yet to come.
func (s *settlement) giveUp(uids []uint32, why error) {
	s.addFailures(uids, why)
	s.addFailures(s.later, why)
	s.later = nil
}

// result is how one command ended.
type result struct {
	set imapwire.UIDSet
	op  string
	err error
}

// each sends one command for each set, all at once, and waits until all have ended.
func (s *settlement) each(all []imapwire.UIDSet, send func(imapwire.UIDSet) pending) ([]result, error) {
	sent := make([]pending, len(all))
	for i, set := range all {
		sent[i] = send(set)
	}
	results := make([]result, len(sent))
	for i, p := range sent {
		results[i] = result{p.set, p.op, <-p.done}
	}
	for i := range results {
		results[i].err = s.c.failed(results[i].op, results[i].err)
		if fetch.EndsSession(results[i].err) {
			return nil, results[i].err
		}
	}
	return results, nil
}

// pending is a command under way.
type pending struct {
	set  imapwire.UIDSet
	op   string
	done chan error
}

// await takes a command's responses from the moment it was sent. If nobody takes them, the library stops
// reading, then the server does, and the next command cannot be written.
func await(set imapwire.UIDSet, op string, wait func() error) pending {
	p := pending{set, op, make(chan error, 1)}
	go func() { p.done <- wait() }() // ends with the connection at the latest
	return p
}

func (s *settlement) store(set imapwire.UIDSet, flag imapwire.Flag) pending {
	cmd := s.c.lib.Store(set, &imapwire.StoreFlags{Op: imapwire.StoreFlagsAdd, Silent: true, Flags: []imapwire.Flag{flag}}, nil)
	return await(set, "UID STORE", cmd.Close)
}

// remove deletes for good: UID STORE for all sets, and when that has ended UID EXPUNGE. To both sent
// together, Dovecot 2.3 says OK, and at times it expunges nothing.
// Should STORE fail where EXPUNGE goes well, EXPUNGE has removed nothing but what someone else had
// marked among these very messages.
func (s *settlement) remove(all []imapwire.UIDSet) error {
	stored, err := s.each(all, func(set imapwire.UIDSet) pending { return s.store(set, imapwire.FlagDeleted) })
	if err != nil {
		return err
	}
	if err := s.c.checkValidity("UID EXPUNGE"); err != nil {
		return err
	}
	if !s.c.Has("UIDPLUS") && s.c.opts.PlainExpunge {
		return s.plainExpunge(stored)
	}
	if !s.c.Has("UIDPLUS") {
		// There are servers that expunge at once, as Gmail does if its user wishes it.
		lacks := &fetch.Error{Kind: fetch.Unsupported, Op: "UID EXPUNGE",
			Err:    errors.New("the server lacks UIDPLUS: messages are marked \\Deleted and not removed"),
			Advice: "set plain_expunge: true if no other client marks messages there, let another client expunge, or settle by flag"}
		for _, r := range stored {
			s.addFailures(s.c.g.unconfirmed(members(r.set)), cmp.Or[error](r.err, lacks))
		}
		return nil
	}
	expunged, err := s.each(all, func(set imapwire.UIDSet) pending {
		return await(set, "UID EXPUNGE", s.c.lib.UIDExpunge(set).Close)
	})
	if err != nil {
		return err
	}
	var answered []uint32 // of which OK was said
	for i, set := range all {
		if why := cmp.Or(stored[i].err, expunged[i].err); why != nil {
			s.addFailures(s.c.g.unconfirmed(members(set)), why)
		} else {
			answered = append(answered, members(set)...)
		}
	}
	_, err = s.confirm("UID EXPUNGE", answered)
	return err
}

// notKept is the error of a flag that the server would drop.
func notKept(flag imapwire.Flag) *fetch.Error {
	return &fetch.Error{Kind: fetch.Unsupported, Op: "UID STORE", Err: errors.New("the server does not keep the flag " + string(flag))}
}

// flag marks the messages. A keyword that the server would drop is not sent.
func (s *settlement) flag(flag imapwire.Flag) error {
	if flag == "" {
		flag = imapwire.FlagSeen
	}
	if !s.c.box.keeps(flag) {
		s.giveUp(s.uids, notKept(flag))
		return nil
	}
	stored, err := s.each(sets(s.uids), func(set imapwire.UIDSet) pending { return s.store(set, flag) })
	if err != nil {
		return err
	}
	var answered []uint32 // of which OK was said
	for _, r := range stored {
		if r.err != nil {
			s.addFailures(members(r.set), r.err)
		} else {
			answered = append(answered, members(r.set)...)
		}
	}
	// Messages that do not have the flag although the server said OK to setting it are found in one round trip.
	if err := s.c.checkValidity("UID STORE"); err != nil || len(answered) == 0 {
		return err
	}
	lacking, err := s.c.searchFor(answered, flag)
	if fetch.EndsSession(err) {
		return err
	}
	if err != nil {
		s.addFailures(answered, err)
		return nil
	}
	s.addFailures(lacking, &fetch.Error{Kind: fetch.Refused, Op: "UID STORE", Err: errors.New("the server answered OK, and the message does not have the flag")})
	return s.c.checkValidity("UID STORE")
}
