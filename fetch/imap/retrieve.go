package imap

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"

	imapwire "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/truehop/truehop/fetch"
)

// maxAlone bounds the messages of one call that are asked for a second time, one by one.
const maxAlone = 20

// Retrieve implements [fetch.Mailbox]: one UID FETCH for all messages, or as many as
// the command's length makes it. A limit on their size costs another, for the sizes of those that Open did not find
// to be within it; a message that did not come costs another for itself.
func (c *Client) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	if len(refs) == 0 {
		return ctx.Err()
	}
	if c.box == nil {
		return notOpen("UID FETCH")
	}
	return c.run(ctx, len(refs), func() error {
		b, foreign := c.accept(refs)
		for _, ref := range foreign {
			if err := sink(fetch.Message{Ref: ref, Size: -1, Err: foreignError("UID FETCH")}); err != nil {
				return err
			}
		}
		r := &retrieval{c: c, batch: b, sink: sink, empty: map[uint32]bool{}}
		if c.opts.MaxSize > 0 {
			if err := r.skipLarge(); err != nil {
				return err
			}
		}
		var refusal *fetch.Error
		for _, set := range sets(r.missing()) {
			if err := r.fetch(set); err != nil {
				return err
			}
			if refusal = cmp.Or(r.refusal, refusal); r.busy() {
				break
			}
		}
		switch {
		case len(r.refs) == 0:
			return nil
		case refusal != nil && len(r.refs) > 1: // which of them is to blame, smaller sets tell
			return refusal
		case r.busy():
			return refusal
		}
		return r.retryMissing()
	})
}

// retrieval is one call of Retrieve. A message leaves batch.refs when the sink had it.
type retrieval struct {
	c *Client
	batch
	sink    fetch.Sink
	empty   map[uint32]bool // came with a body of no octets
	refusal *fetch.Error    // of the last FETCH, nil if it went well
}

// missing lists the messages that the sink has not had.
func (r *retrieval) missing() []uint32 {
	return slices.DeleteFunc(slices.Clone(r.uids), func(uid uint32) bool {
		_, waiting := r.refs[uid]
		return !waiting
	})
}

// skipLarge asks for the sizes that Open has left open, and calls the sink for the messages beyond the limit.
func (r *retrieval) skipLarge() error {
	for _, set := range sets(r.c.box.sizes.toAsk(r.uids)) {
		large := map[uint32]int64{}
		err := r.ask(set, func(uid uint32, size int64) {
			if size > r.c.opts.MaxSize {
				large[uid] = size
			}
		})
		if err != nil {
			return err
		}
		for _, uid := range slices.Sorted(maps.Keys(large)) {
			if err := r.give(uid, fetch.Message{Size: -1, Err: tooLarge(large[uid], r.c.opts.MaxSize)}); err != nil {
				return err
			}
		}
		if r.busy() {
			return r.refusal
		}
	}
	return nil
}

// busy reports whether the last FETCH was refused in a way that has nothing to do with its messages.
func (r *retrieval) busy() bool { return r.refusal != nil && r.refusal.Kind == fetch.Busy }

// ask fetches sizes and calls each for every message of ours that is there; a
// size that the server left out is -1.
func (r *retrieval) ask(set imapwire.UIDSet, each func(uid uint32, size int64)) error {
	r.c.g.amend(func(n *notes) { n.bodies = false })
	cmd := r.c.lib.Fetch(set, &imapwire.FetchOptions{UID: true, RFC822Size: true})
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		uid, size := uint32(0), int64(-1)
		for item := m.Next(); item != nil; item = m.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				uid = uint32(item.UID)
			case imapclient.FetchItemDataRFC822Size:
				size = item.Size
			default:
				if literalOf(item) != nil {
					r.c.g.fail(&brokenError{"a body that was not asked for"})
					drainLiteral(item)
					return r.c.lost("UID FETCH", nil)
				}
			}
		}
		if _, waiting := r.refs[uid]; waiting {
			each(uid, size)
		}
	}
	r.refusal = nil
	return r.ended(cmd.Close())
}

// ended judges the reply that ends a FETCH. NO means that some messages could not be
// fetched (RFC 9051 section 6.4.5): those will be missing.
func (r *retrieval) ended(err error) error {
	var refused *fetch.Error
	err = r.c.failed("UID FETCH", err)
	if errors.As(err, &refused) && !fetch.EndsSession(err) {
		r.refusal = refused
		err = nil
	}
	if err == nil {
		err = r.c.checkValidity("UID FETCH")
	}
	return err
}

// fetch asks for the messages of one set and hands over what comes. One FETCH is
// under way at a time: of several, real servers send bodies of the next before
// the end of the first, and the library would wait for both.
func (r *retrieval) fetch(set imapwire.UIDSet) error {
	r.refusal = nil
	section := &imapwire.FetchItemBodySection{Peek: true} // PEEK: \Seen stays as it is
	alone := uint32(0)
	if uids := members(set); len(uids) == 1 {
		alone = uids[0]
	}
	r.c.g.amend(func(n *notes) { n.bodies, n.alone = true, alone })
	cmd := r.c.lib.Fetch(set, &imapwire.FetchOptions{UID: true, BodySection: []*imapwire.FetchItemBodySection{section}})
	for m := cmd.Next(); m != nil; {
		b := &body{cmd: cmd, message: m, client: r.c, r: r}
		uid := b.seek()
		ref, waiting := r.refs[uid]
		if b.literal == nil || b.size == 0 || !waiting {
			// No body, or an empty one: Exchange and Dovecot say so of messages that
			// they cannot read. They stay in refs.
			r.empty[uid] = b.literal != nil
		} else {
			delete(r.refs, uid)
			message := fetch.Message{Ref: ref, Size: b.size, Body: b}
			if limit := r.c.opts.MaxSize; limit > 0 && b.size > limit {
				// The server had said otherwise a moment ago.
				message.Size, message.Body, message.Err = -1, nil, tooLarge(b.size, limit)
			}
			if err := r.sink(message); err != nil {
				b.abandon()
				return err
			}
		}
		// What is left of the message is passed over.
		if b.literal == nil {
			for m.Next() != nil {
			}
			m = cmd.Next()
			continue
		}
		if _, err := io.Copy(io.Discard, b); err != nil {
			b.abandon()
			return err
		}
		m = b.next
	}
	return r.ended(cmd.Close())
}

// retryMissing asks again for what did not come. Missing messages are looked for first: what the server
// has reported as expunged, or does not find, is gone; what is still there is asked for once more,
// alone, and then given up for this session. A FETCH without a word of a message proves nothing.
func (r *retrieval) retryMissing() error {
	sizes := map[uint32]int64{}
	for _, set := range sets(r.missing()) {
		if err := r.ask(set, func(uid uint32, size int64) { sizes[uid] = size }); err != nil {
			return err
		}
	}
	silent := slices.DeleteFunc(r.missing(), func(uid uint32) bool {
		_, present := sizes[uid]
		return present
	})
	left := r.c.g.unconfirmed(silent)
	if len(left) > 0 {
		found, err := r.c.searchFor(left)
		if fetch.EndsSession(err) {
			return err
		}
		if err == nil { // else nobody knows
			left = found
		}
	}
	if err := r.c.checkValidity("UID FETCH"); err != nil {
		return err
	}
	gone := without(silent, left)
	for n, uid := range r.missing() {
		size, present := sizes[uid]
		_, hasGone := slices.BinarySearch(gone, uid)
		var err error
		switch {
		case hasGone:
			err = r.give(uid, fetch.Message{Size: -1, Err: &fetch.Error{Kind: fetch.Gone, Op: "UID FETCH", Err: errors.New("expunged meanwhile")}})
		case present && size == 0 && r.empty[uid]: // empty by the server's RFC822.SIZE, too
			err = r.give(uid, fetch.Message{Body: strings.NewReader("")})
		case n < maxAlone:
			r.c.opts.Logger.LogAttrs(context.Background(), slog.LevelWarn, "message came without a body",
				slog.String("folder", r.c.box.name), slog.Uint64("uid", uint64(uid)))
			err = r.fetch(imapwire.UIDSet{{Start: imapwire.UID(uid), Stop: imapwire.UID(uid)}})
		default:
			return &fetch.Error{Kind: fetch.Incomplete, Op: "UID FETCH", Err: errors.New("the server does not send all that it was asked for")}
		}
		if err != nil {
			return err
		}
		if _, waiting := r.refs[uid]; !waiting {
			continue
		}
		why := &fetch.Error{Kind: fetch.Incomplete, Op: "UID FETCH", Err: errors.New("the server has the message and sends no body")}
		if r.refusal != nil {
			why = r.refusal
		}
		if err := r.give(uid, fetch.Message{Size: -1, Err: why}); err != nil {
			return err
		}
	}
	return nil
}

// give calls the sink for a message of which no body comes from the connection.
func (r *retrieval) give(uid uint32, m fetch.Message) error {
	m.Ref = r.refs[uid]
	delete(r.refs, uid)
	return r.sink(m)
}
