package imap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	imapwire "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/truehop/truehop/fetch"
)

// box is the open folder.
type box struct {
	name      string
	validity  uint32
	readOnly  bool
	permanent []string // nil: the server did not say
	sizes     sizes
}

// keeps reports whether the server keeps a flag for other sessions (RFC 9051 section 7.1, PERMANENTFLAGS).
func (b *box) keeps(flag imapwire.Flag) bool {
	if b.permanent == nil {
		return true
	}
	keyword := flag[0] != '\\'
	return slices.ContainsFunc(b.permanent, func(f string) bool {
		if f == string(imapwire.FlagWildcard) {
			return keyword
		}
		return strings.EqualFold(f, string(flag))
	})
}

// Open implements [fetch.Mailbox]. It costs one round trip: SELECT and UID SEARCH, with ESEARCH also those for marked
// messages and for large ones, go out together. Where UID SEARCH names fewer messages than there are, it is another. The UIDs of a folder without UIDVALIDITY, or with UIDNOTSTICKY,
// mean nothing in another session: such a listing is Reusable.
func (c *Client) Open(ctx context.Context, folder string) (*fetch.Listing, error) {
	return c.open(ctx, folder, fetch.Status{})
}

var _ fetch.Refresher = (*Client)(nil)

// OpenSince implements [fetch.Refresher]. It costs as many round trips as Open, and those of Open where the folder is not what it was.
func (c *Client) OpenSince(ctx context.Context, folder string, before fetch.Status) (*fetch.Listing, error) {
	return c.open(ctx, folder, before)
}

// open opens and lists a folder, as a whole if before is zero.
func (c *Client) open(ctx context.Context, folder string, before fetch.Status) (*fetch.Listing, error) {
	if folder == "" {
		folder = "INBOX"
	}
	if strings.ContainsAny(folder, "\x00\r\n") {
		return nil, &fetch.Error{Kind: fetch.NoFolder, Op: "SELECT", Err: errors.New("the name of a folder is one line")}
	}
	var listing *fetch.Listing
	messages := 0
	for _, wanted := range []bool{c.opts.Marks, c.opts.MaxSize > 0} {
		if wanted { // room for another list of UIDs
			messages += maxSearchLine / searchCost / allowance
		}
	}
	err := c.run(ctx, messages, func() (err error) {
		// Coremail, which 163.com, 126.com and yeah.net use, opens no folder for a client that has not said its name (RFC 2971).
		// Nobody else is told.
		if !c.identified && c.Has("ID") && c.Has("X-CM-EXT-1") {
			if err := c.identify(); err != nil {
				return err
			}
		}
		listing, err = c.selectAndSearch(folder, before)
		if c.refusedUnnamed(err) {
			if err := c.identify(); err != nil {
				return err
			}
			listing, err = c.selectAndSearch(folder, before)
		}
		if err == nil && listing == nil {
			listing, err = c.selectAndSearch(folder, fetch.Status{})
		}
		return err
	})
	return listing, err
}

// selectAndSearch opens the folder and lists what it holds, or what came since before. It returns no listing where that does not
// add up with what the server says.
func (c *Client) selectAndSearch(folder string, before fetch.Status) (*fetch.Listing, error) {
	since := &imapwire.SearchCriteria{}
	if before.Next != 0 {
		since.UID = []imapwire.UIDSet{{{Start: imapwire.UID(before.Next), Stop: 0}}} // n:*
	}
	said, err := c.askFor(folder, since)
	if err != nil {
		return nil, err
	}
	seen := said.seen
	// EXISTS is one of the responses that SELECT must have (RFC 9051 section 6.3.2); with it, servers leave out an
	// empty result, or refuse to search for one.
	switch {
	case fetch.EndsSession(said.searchErr), said.searchErr != nil && !seen.counted:
		return nil, said.searchErr
	case fetch.EndsSession(said.markErr):
		return nil, said.markErr
	case fetch.EndsSession(said.largeErr):
		return nil, said.largeErr
	case !seen.answered && !seen.counted:
		return nil, protocolError("UID SEARCH", "OK without a result", nil)
	}
	uids, err := c.uids(said.found.All)
	if err != nil {
		return nil, err
	}
	now, earlier := fetch.Status{Validity: seen.validity, Next: seen.next, Messages: seen.listed, ModSeq: seen.modseq}, 0
	if len(since.UID) > 0 {
		fresh, whole := before.Since(now, uids)
		unchanged := now.ModSeq != 0 && now.ModSeq == before.ModSeq
		marksMayHaveChanged := c.opts.Marks && !unchanged
		if !whole || seen.unstable || marksMayHaveChanged || said.searchErr != nil {
			return nil, nil
		}
		uids, earlier = fresh, int(before.Messages)
	}
	b := &box{name: folder, validity: seen.validity, readOnly: !seen.access.writable(), permanent: seen.access.flags}
	c.box = b
	marked, markErr := said.marked, said.markErr
	switch { // why no message can be marked, or which are
	case !c.opts.Marks, markErr != nil:
	case b.readOnly:
		markErr = &fetch.Error{Kind: fetch.Refused, Op: "UID STORE", Err: errors.New("the folder is read-only")}
	case !b.keeps(fetch.DeliveredKeyword):
		markErr = notKept(fetch.DeliveredKeyword)
	case !said.marksAsked:
		if marked, markErr = c.marked(c.searchMarks(since)); fetch.EndsSession(markErr) {
			return nil, markErr
		}
	}
	unlisted := 0
	exists := int(seen.listed)
	if said.searchErr != nil {
		exists = int(seen.count)
	}
	if earlier+len(uids) < exists {
		if uids, unlisted, err = c.listByFetch(uids, exists, said.searchErr); err != nil {
			return nil, err
		}
	}
	c.g.setView(uint32(earlier), uids)
	b.sizes = newSizes(uids, said.large)
	listing := &fetch.Listing{
		Earlier:   earlier,
		Refs:      makeRefs(b, uids, marked),
		Validity:  b.validity,
		Reusable:  b.validity == 0 || seen.unstable,
		ReadOnly:  b.readOnly,
		MarkError: markErr,
		Unlisted:  unlisted, UIDNext: nextOf(seen.next, uids),
	}
	if complete := unlisted == 0 && earlier+len(uids) == int(seen.listed); complete && !listing.Reusable {
		now.Next = max(now.Next, before.Next)
		if len(uids) > 0 { // UIDNEXT was said before the search, and one may have come between
			now.Next = max(now.Next, uids[len(uids)-1]+1)
		}
		listing.Status = now
	}
	return listing, nil
}

// nextOf returns UIDNEXT as a server said it, 0 if it said none, and where it lists higher UIDs what must come behind these: there are
// servers whose UIDNEXT stands still.
func nextOf(said uint32, uids []uint32) uint32 {
	if said == 0 || len(uids) == 0 {
		return said
	}
	return max(said, slices.Max(uids)+1)
}

// answers are what a server said to SELECT and to the searches that went out with it.
type answers struct {
	found     *imapwire.SearchData
	searchErr error
	// marksAsked says that the search for marked messages was sent, and is answered.
	marksAsked    bool
	marked, large []uint32
	markErr       error
	largeErr      error
	// seen is what came beside the results.
	seen notes
}

// askFor selects a folder and searches it. Its error is that of SELECT.
func (c *Client) askFor(folder string, among *imapwire.SearchCriteria) (a answers, err error) {
	c.box = nil
	c.g.amend(func(n *notes) { // nothing is known of this folder yet
		n.searches, n.access, n.unstable, n.validity = 0, access{}, false, 0
		n.next, n.modseq = 0, 0
		n.count, n.counted, n.sized = 0, false, false
		n.opening, n.answered, n.listed, n.intact, n.view = true, false, 0, false, nil
	})
	var selected *imapclient.SelectCommand
	var sent searches
	c.g.inOneWrite(func() {
		// SELECT, not EXAMINE: Settle needs it, and it changes but \Recent.
		selected = c.lib.Select(folder, nil)
		sent = c.searchTogether(among)
	})
	_, err = selected.Wait()
	if err == nil && sent.all == nil {
		sent.all = c.searchAll(among)
	}
	if sent.all != nil {
		a.found, a.searchErr = sent.all.Wait()
	}
	a.marked, a.markErr = c.marked(sent.marks)
	a.large, a.largeErr = c.large(sent.large)
	if err != nil {
		return a, c.together(c.notSelected(folder, err))
	}
	a.marksAsked = sent.marks != nil
	a.searchErr = c.together(c.failed("UID SEARCH", a.searchErr))
	a.seen = c.g.noted()
	refused := a.searchErr != nil && !c.opts.OneByOne && !a.seen.counted
	if early := refused || a.seen.early; early && !fetch.EndsSession(a.searchErr) {
		c.g.amend(func(n *notes) { n.opening, n.answered, n.intact = true, false, false }) // the next SEARCH command asks for the listing, as that one did
		a.found, a.searchErr = c.searchAll(among).Wait()
		a.searchErr, a.seen = c.failed("UID SEARCH", a.searchErr), c.g.noted()
		a.marksAsked, a.markErr, a.large = false, nil, nil // for they were asked for as early
	}
	return a, nil
}

// searches are the SEARCH commands that go out with SELECT. One that is to wait, or is not wanted, is nil.
type searches struct{ all, marks, large *imapclient.SearchCommand }

// searchTogether sends what can go out with SELECT.
func (c *Client) searchTogether(among *imapwire.SearchCriteria) searches {
	if c.opts.OneByOne {
		return searches{}
	}
	s := searches{all: c.searchAll(among)} // RFC 9051 section 5.5 has servers keep the order of SELECT and this
	if c.opts.Marks && c.Has("ESEARCH") {
		s.marks = c.searchMarks(among)
	}
	// The messages beyond the limit are searched for where the answer can be told from that of another search. Elsewhere
	// sizes are asked for by UID FETCH, of the messages that are to be retrieved.
	if c.opts.MaxSize > 0 && c.opts.MaxSize <= maxBody && c.Has("ESEARCH") {
		s.large = c.lib.UIDSearch(&imapwire.SearchCriteria{UID: among.UID, Larger: c.opts.MaxSize}, c.searchOptions())
	}
	return s
}

// searchAll asks for all of these messages.
func (c *Client) searchAll(among *imapwire.SearchCriteria) *imapclient.SearchCommand {
	return c.lib.UIDSearch(among, c.searchOptions())
}

// searchOptions ask for a result that names its command, where the server can do that (RFC 4731). Others answer two searches
// that go out together by two lines of which nothing says whose they are: Dovecot writes both before it ends the first. So
// without ESEARCH no search is sent while another is under way.
func (c *Client) searchOptions() *imapwire.SearchOptions {
	if !c.Has("ESEARCH") {
		return nil
	}
	return &imapwire.SearchOptions{ReturnAll: true}
}

// searchMarks asks for those of them that are marked as delivered.
func (c *Client) searchMarks(among *imapwire.SearchCriteria) *imapclient.SearchCommand {
	return c.lib.UIDSearch(&imapwire.SearchCriteria{UID: among.UID, Flag: []imapwire.Flag{fetch.DeliveredKeyword}}, c.searchOptions())
}

// marked returns the UIDs that the search for marked messages found, ascending. cmd is nil if there was none.
func (c *Client) marked(cmd *imapclient.SearchCommand) ([]uint32, error) {
	if cmd == nil {
		return nil, nil
	}
	found, err := cmd.Wait()
	if err != nil {
		return nil, c.failed("UID SEARCH KEYWORD", err)
	}
	uids, err := c.uids(found.All)
	slices.Sort(uids)
	return uids, err
}

// together marks an error of commands that were sent together.
func (c *Client) together(err error) error {
	if c.opts.OneByOne {
		return err
	}
	return fetch.MarkOutOfStep(err, true)
}

// notSelected classifies the refusal of SELECT and names the folder. After a login that was accepted with a fault, a refusal without
// a reason says nothing of the folder.
func (c *Client) notSelected(folder string, err error) error {
	err = c.failed("SELECT "+strconv.Quote(fetch.Sanitize(folder)), err)
	var refused *fetch.Error
	if errors.As(err, &refused) && refused.Kind == fetch.NoFolder && c.g.noted().faulty && readCode([]byte(refused.Text)).name == "" {
		refused.Kind = fetch.Busy
	}
	return err
}

// listByFetch lists the open folder in another way, as UID SEARCH was refused or has named but some of so many messages. It returns how
// many are still missing: there are servers that hide a message which they cannot read. refusal is that of UID SEARCH.
func (c *Client) listByFetch(found []uint32, exists int, refusal error) (uids []uint32, unlisted int, err error) {
	if exists > c.opts.MaxMessages {
		return nil, 0, protocolError("SELECT", fmt.Sprintf("%d messages, more than %d", exists, c.opts.MaxMessages), nil)
	}
	c.g.begin(exists)
	cmd := c.lib.Fetch(imapwire.UIDSet{{Start: 1, Stop: 0}}, &imapwire.FetchOptions{UID: true})
	for m := cmd.Next(); m != nil; m = cmd.Next() {
		for item := m.Next(); item != nil; item = m.Next() {
			if uid, ok := item.(imapclient.FetchItemDataUID); ok {
				found = append(found, uint32(uid.UID))
			} else if literalOf(item) != nil {
				c.g.fail(&brokenError{"a body that was not asked for"})
				drainLiteral(item)
				return nil, 0, c.lost("FETCH", nil)
			}
		}
	}
	again := c.failed("FETCH", cmd.Close())
	if fetch.EndsSession(again) {
		return nil, 0, again
	}
	slices.Sort(found)
	uids = slices.Compact(found)
	seen := c.g.noted()
	exists = min(exists, int(seen.count)) // one may have been expunged meanwhile
	unlisted = max(0, exists-len(uids))
	if unlisted > 0 && len(uids) == 0 {
		e := &fetch.Error{Kind: fetch.Incomplete, Op: "UID SEARCH", Err: fmt.Errorf("the folder has %d messages, and the server lists none", exists)}
		if refused := (*fetch.Error)(nil); errors.As(cmp.Or(again, refusal), &refused) {
			e.Text = refused.Text
		}
		return nil, 0, e
	}
	if unlisted > 0 {
		c.opts.Logger.LogAttrs(context.Background(), slog.LevelWarn, "the server does not list all messages",
			slog.String("folder", fetch.Sanitize(c.box.name)), slog.Int("listed", len(uids)), slog.Int("exist", exists))
	}
	return uids, unlisted, nil
}

// uids walks the ranges that the server gave. It trusts neither their number nor
// their bounds: "1:4294967295" is short enough to send.
func (c *Client) uids(all imapwire.NumSet) ([]uint32, error) {
	set, ok := all.(imapwire.UIDSet)
	if all != nil && !ok {
		return nil, protocolError("UID SEARCH", "the result is not of UIDs", nil)
	}
	total := int64(0)
	for _, r := range set {
		if r.Start == 0 || r.Stop < r.Start { // "*" is 0 here
			return nil, protocolError("UID SEARCH", "the result holds no UIDs", nil)
		}
		total += int64(r.Stop) - int64(r.Start) + 1
	}
	if total > int64(c.opts.MaxMessages) {
		return nil, protocolError("UID SEARCH", fmt.Sprintf("%d messages, more than %d", total, c.opts.MaxMessages), nil)
	}
	uids := make([]uint32, 0, total)
	for _, r := range set {
		for uid := int64(r.Start); uid <= int64(r.Stop); uid++ {
			uids = append(uids, uint32(uid))
		}
	}
	return uids, nil
}

// makeRefs makes refs that share one string, which holds all their UIDs. marked are the UIDs of the marked ones, ascending.
func makeRefs(b *box, uids, marked []uint32) []fetch.Ref {
	digits := make([]byte, 0, 10*len(uids))
	for _, uid := range uids {
		digits = strconv.AppendUint(digits, uint64(uid), 10)
	}
	shared, refs := string(digits), make([]fetch.Ref, len(uids))
	var scratch [10]byte
	for i, uid := range uids {
		n := len(strconv.AppendUint(scratch[:0], uint64(uid), 10))
		_, isMarked := slices.BinarySearch(marked, uid)
		refs[i] = fetch.Ref{Folder: b.name, Validity: b.validity, UID: shared[:n], Seq: uid, Size: -1, Marked: isMarked}
		shared = shared[n:]
	}
	return refs
}

// batch is refs by their UID. The server's answers are matched by UID only: sequence
// numbers shift whenever another client expunges.
type batch struct {
	uids []uint32 // ascending
	refs map[uint32]fetch.Ref
}

// accept sorts out the refs that do not name a message of the open folder.
func (c *Client) accept(refs []fetch.Ref) (b batch, foreign []fetch.Ref) {
	b.refs = make(map[uint32]fetch.Ref, len(refs))
	for _, ref := range refs {
		uid, err := strconv.ParseUint(ref.UID, 10, 32)
		if err != nil || uid == 0 || ref.Folder != c.box.name || ref.Validity != c.box.validity {
			foreign = append(foreign, ref)
			continue
		}
		if _, twice := b.refs[uint32(uid)]; !twice {
			b.refs[uint32(uid)] = ref
			b.uids = append(b.uids, uint32(uid))
		}
	}
	slices.Sort(b.uids)
	return b, foreign
}

func notOpen(op string) *fetch.Error {
	return &fetch.Error{Kind: fetch.NoFolder, Op: op, Err: errors.New("no folder is open")}
}

func foreignError(op string) *fetch.Error {
	return &fetch.Error{Kind: fetch.Gone, Op: op, Err: errors.New("the message is not of the folder that is open")}
}

// checkValidity fails if the folder got another UIDVALIDITY since it was opened: every
// UID may now name another message.
func (c *Client) checkValidity(op string) error {
	if now := c.g.noted().validity; now != c.box.validity {
		return protocolError(op, fmt.Sprintf("UIDVALIDITY changed from %d to %d in mid-session", c.box.validity, now), nil)
	}
	return nil
}

// maxSet bounds a set of UIDs in a command, in octets: RFC 7162 section 4 asks
// servers for lines of 8192 at least.
const maxSet = 7900

// sets compresses ascending UIDs into as few sets as lines of bounded length allow. A
// range never covers a UID that was not given.
func sets(uids []uint32) []imapwire.UIDSet {
	var (
		all    []imapwire.UIDSet
		set    imapwire.UIDSet
		octets int
	)
	for len(uids) > 0 {
		n := 1
		for n < len(uids) && uids[n] == uids[n-1]+1 {
			n++
		}
		r := imapwire.UIDRange{Start: imapwire.UID(uids[0]), Stop: imapwire.UID(uids[n-1])}
		uids = uids[n:]
		if octets += rangeLength(r); octets > maxSet {
			all, set, octets = append(all, set), nil, rangeLength(r)
		}
		set = append(set, r)
	}
	if set != nil {
		all = append(all, set)
	}
	return all
}

// rangeLength is the length of "first:last," at most.
func rangeLength(r imapwire.UIDRange) int {
	var scratch [24]byte
	n := len(strconv.AppendUint(scratch[:0], uint64(r.Stop), 10)) + 1
	if r.Start != r.Stop {
		n += len(strconv.AppendUint(scratch[:0], uint64(r.Start), 10)) + 1
	}
	return n
}

// members lists the UIDs of a set made by [sets].
func members(set imapwire.UIDSet) []uint32 {
	var uids []uint32
	for _, r := range set {
		for uid := r.Start; ; uid++ {
			uids = append(uids, uint32(uid))
			if uid == r.Stop {
				break
			}
		}
	}
	return uids
}
