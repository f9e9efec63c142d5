package pop3

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truehop/truehop/fetch"
)

// entry is what a listing is remembered by, to check refs against.
type entry struct {
	number uint32
	uid    string
}

// Open implements [fetch.Mailbox]. POP3 has the inbox only. The numbers are UIDL's;
// LIST adds sizes where it agrees. What is odd in them is logged. UIDL is optional
// (RFC 1939 section 7): without it, the numbers are LIST's and the listing is NoUIDs.
func (c *Client) Open(ctx context.Context, folder string) (*fetch.Listing, error) {
	if folder != "" && !strings.EqualFold(folder, "INBOX") {
		return nil, &fetch.Error{Kind: fetch.NoFolder, Op: "open", Advice: "use IMAP", Err: errors.New("POP3 has the inbox only")}
	}
	listing := &fetch.Listing{Reusable: true, AtClose: true, Together: c.pipelines()}
	seconds, _, _ := strings.Cut(c.caps["LOGIN-DELAY"], " ") // RFC 2449 section 6.5
	if n, err := strconv.ParseUint(seconds, 10, 31); err == nil {
		listing.LoginDelay = time.Duration(n) * time.Second
	}
	expire, _, _ := strings.Cut(c.caps["EXPIRE"], " ")
	if _, err := strconv.ParseUint(expire, 10, 31); err == nil || strings.EqualFold(expire, "NEVER") {
		listing.Expire = strings.ToUpper(expire)
	}
	err := c.run(ctx, func() (err error) {
		c.index = nil
		*listing, err = c.list(*listing)
		return err
	})
	if err != nil {
		return nil, err
	}
	listing.Status = statusOf(listing)
	c.index = make([]entry, len(listing.Refs))
	for i, ref := range listing.Refs {
		c.index[i] = entry{ref.Seq, ref.UID}
	}
	return listing, nil
}

var _ fetch.Refresher = (*Client)(nil)

// OpenSince implements [fetch.Refresher]. POP3 names all messages each time. Where they are those of before, none is listed: nobody
// needs to compare them one by one with what is known.
func (c *Client) OpenSince(ctx context.Context, folder string, before fetch.Status) (*fetch.Listing, error) {
	listing, err := c.Open(ctx, folder)
	if err == nil && before != (fetch.Status{}) && listing.Status == before {
		listing.Refs, listing.Earlier, c.index = nil, len(listing.Refs), nil
	}
	return listing, err
}

// statusOf sums a listing up. ModSeq, which POP3 does not have, is a digest of all unique-ids and sizes in their order. A listing that does
// not tell each message from every other by its unique-id has no status: such messages are known by their content only.
func statusOf(l *fetch.Listing) fetch.Status {
	if l.NoUIDs || l.Unlisted > 0 {
		return fetch.Status{}
	}
	seed, seen := maphash.MakeSeed(), make(map[uint64]bool, len(l.Refs))
	digest := sha256.New()
	var b []byte
	for _, ref := range l.Refs {
		h := maphash.String(seed, ref.UID)
		if ref.UID == "" || seen[h] {
			return fetch.Status{}
		}
		seen[h] = true
		b = binary.BigEndian.AppendUint64(b[:0], uint64(len(ref.UID)))
		b = binary.BigEndian.AppendUint64(append(b, ref.UID...), uint64(ref.Size))
		digest.Write(b)
	}
	// An odd number is not 0, which is none; half of it fits into the signed numbers of databases.
	return fetch.Status{Messages: uint32(len(l.Refs)), ModSeq: binary.BigEndian.Uint64(digest.Sum(nil))>>1 | 1}
}

// list asks for UIDL and LIST, in one write where the server allows it, and completes l. STAT is asked
// only where both are refused.
func (c *Client) list(l fetch.Listing) (fetch.Listing, error) {
	together := c.pipelines()
	if together {
		if err := c.w.send("UIDL\r\nLIST", "UIDL LIST"); err != nil {
			return l, err
		}
	}
	refs, unread, noUIDL, err := c.readList("UIDL", !together)
	if err != nil {
		return l, c.asSent(together, true, err)
	}
	sizes, unreadSizes, noLIST, err := c.readList("LIST", !together)
	if err != nil {
		return l, c.asSent(together, true, err)
	}
	empty := noLIST == nil && len(sizes)+unreadSizes == 0
	if noLIST != nil && noUIDL != nil && noUIDL.Kind == fetch.Refused { // as some servers do where there is nothing to list
		stat, err := c.w.command("STAT") // RFC 1939 section 5
		if err != nil {
			return l, err
		}
		count, _, _ := strings.Cut(stat.text, " ")
		empty = stat.ok && count == "0" // a refusal says nothing
	}
	switch {
	case noUIDL == nil && noLIST == nil:
		l.Refs, l.Unlisted = refs, max(unread, c.addSizes(refs, sizes))
		return l, nil
	case noUIDL == nil:
		c.note("sizes are unknown", slog.String("reply", noLIST.Text))
		l.Refs, l.Unlisted = refs, unread
		return l, nil
	case noUIDL.Kind != fetch.Refused:
		return l, noUIDL
	case empty: // some servers refuse UIDL then, or both
		l.NoUIDs = !c.has("UIDL")
		return l, nil
	case c.has("UIDL"):
		return l, noUIDL // the server has UIDL, and cannot serve it now
	case noLIST != nil:
		return l, noLIST
	}
	c.w.log.LogAttrs(c.w.ctx, slog.LevelInfo, "no UIDL: messages are known by their content and downloaded each time",
		slog.String("reply", noUIDL.Text))
	l.Refs, l.NoUIDs, l.Unlisted = sizes, true, unreadSizes
	return l, nil
}

// asSent marks an error of commands that were sent together, with first if no others were before.
func (c *Client) asSent(together, first bool, err error) error {
	if together {
		return fetch.MarkOutOfStep(err, first)
	}
	return err
}

// Bounds of a listing, in octets: it is held in memory, and a unique-id of 1 KiB for each message
// would not fit there. RFC 1939 section 7 allows 70 octets for one.
const (
	listingSlack = 1 << 20
	listingShare = 80 // for each message of Options.MaxMessages
)

// maxNoted bounds how many rejected lines of one listing are logged.
const maxNoted = 5

// readList sends UIDL or LIST, unless it is under way already, and returns the messages of
// the reply by ascending number, and how many lines could not be read. A refusal is not an error: the session goes on.
func (c *Client) readList(verb string, send bool) (refs []fetch.Ref, rejected int, refusal *fetch.Error, err error) {
	if send {
		if err := c.w.send(verb, verb); err != nil {
			return nil, 0, nil, err
		}
	}
	r, err := c.w.reply(verb)
	if err != nil {
		return nil, 0, nil, err
	}
	if !r.ok {
		return nil, 0, r.failure(verb, fetch.Refused), nil
	}
	octets := listingSlack + listingShare*int64(c.opts.MaxMessages)
	for {
		line, end, err := c.w.listLine(verb)
		if err != nil {
			return nil, 0, nil, err
		}
		if end {
			break
		}
		if octets -= int64(len(line) + len("\r\n")); octets < 0 {
			return nil, 0, nil, c.tooLong(verb, fmt.Sprintf("the listing is longer than %d octets", listingSlack+listingShare*int64(c.opts.MaxMessages)))
		}
		if len(bytes.Trim(line, blanks)) == 0 {
			continue
		}
		if ref, ok := parseListing(verb, line); ok {
			refs = append(refs, ref)
		} else if rejected++; rejected <= maxNoted {
			c.note(verb+": line rejected", slog.String("line", fetch.Sanitize(string(line))))
		}
		if len(refs)+rejected > c.opts.MaxMessages {
			return nil, 0, nil, c.tooLong(verb, fmt.Sprintf("the listing has more than %d messages", c.opts.MaxMessages))
		}
	}
	byNumber := func(a, b fetch.Ref) int { return cmp.Compare(a.Seq, b.Seq) }
	if !slices.IsSortedFunc(refs, byNumber) {
		slices.SortStableFunc(refs, byNumber)
	}
	// Each number is to occur once. One with two unique-ids has neither: taking the wrong one could delete another message.
	kept, repeated := refs[:0], 0
	for _, ref := range refs {
		last := len(kept) - 1
		if last < 0 || kept[last].Seq != ref.Seq {
			kept = append(kept, ref)
			continue
		}
		kept[last].UID, kept[last].Size = "", -1
		repeated++
	}
	if repeated > 0 {
		c.note(verb+": numbers given twice", slog.Int("lines", repeated))
	}
	return kept, rejected, nil, nil
}

// tooLong is the error of a listing that would not fit into memory, if it ends at all.
func (c *Client) tooLong(verb, why string) *fetch.Error {
	e := protocolError(verb, why, nil)
	e.Advice = "use IMAP for a mailbox as large as that, or have old mail deleted or moved there; if it is not as large, the server is out of order"
	return e
}

// blanks stand between number and unique-id, or size. RFC 1939 section 3 allows one space; some servers write a tab, or
// begin the line with blanks.
const blanks = " \t"

// parseListing reads one line of UIDL (number, unique-id) or LIST (number, size).
func parseListing(verb string, line []byte) (fetch.Ref, bool) {
	line = bytes.Trim(line, blanks)
	digits, rest := line, []byte(nil)
	if end := bytes.IndexAny(line, blanks); end >= 0 {
		digits, rest = line[:end], bytes.TrimLeft(line[end:], blanks)
	}
	n, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil || n == 0 {
		return fetch.Ref{}, false
	}
	ref := fetch.Ref{Seq: uint32(n), Size: -1}
	if verb == "LIST" {
		// RFC 1939 section 5 lets a server add to a scan listing.
		if end := bytes.IndexAny(rest, blanks); end >= 0 {
			rest = rest[:end]
		}
		if size, err := strconv.ParseInt(string(rest), 10, 64); err == nil && size >= 0 {
			ref.Size = size
		}
		return ref, true
	}
	// A unique-id is opaque; one beyond all measure serves as none.
	if len(rest) <= maxUID {
		ref.UID = string(rest)
	}
	return ref, true
}

// addSizes takes the sizes of LIST for the messages of UIDL. What only one of
// them has is logged. It returns how many messages LIST has and UIDL has not.
func (c *Client) addSizes(refs, sizes []fetch.Ref) (more int) {
	i, matched := 0, 0
	for _, s := range sizes {
		for i < len(refs) && refs[i].Seq < s.Seq {
			i++
		}
		if i < len(refs) && refs[i].Seq == s.Seq {
			refs[i].Size = s.Size
			matched++
		}
	}
	if matched != len(refs) || matched != len(sizes) {
		c.note("UIDL and LIST disagree", slog.Int("uidl", len(refs)), slog.Int("list", len(sizes)), slog.Int("both", matched))
	}
	return len(sizes) - matched
}

func (c *Client) note(text string, attrs ...slog.Attr) {
	c.w.log.LogAttrs(c.w.ctx, slog.LevelWarn, text, attrs...)
}
