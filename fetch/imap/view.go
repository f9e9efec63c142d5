package imap

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// view maps the sequence numbers of the open folder to messages (RFC 9051 section 2.3.1.2),
// as the server has reported them. Without it "* 3 EXPUNGE" names no message.
//
// A method that returns false has found a contradiction; the view must then be dropped.
type view struct {
	// chunks hold the UIDs of the listing that are still there, ascending and none empty:
	// in one slice, every EXPUNGE in a large folder would move half of it.
	chunks  [][]uint32
	earlier uint32 // how many messages come before those of the listing, whose UIDs are lower and not known here
	known   uint32 // how many UIDs the chunks hold
	first   uint32 // the lowest UID of the listing, and
	last    uint32 // the highest
	total   uint32 // how many messages there are, with those that came since the listing

	byNumber, byUID bool // there was an EXPUNGE, a VANISHED
}

const chunkSize = 512

// newView makes a view of a listing, ascending, with so many messages before it.
func newView(earlier uint32, uids []uint32) *view {
	v := &view{earlier: earlier, known: uint32(len(uids)), total: earlier + uint32(len(uids))}
	if len(uids) > 0 {
		v.first, v.last = uids[0], uids[len(uids)-1]
	}
	v.chunks = slices.Collect(slices.Chunk(slices.Clone(uids), chunkSize))
	return v
}

// expunge takes out one message by its sequence number (RFC 9051 section 7.5.1).
func (v *view) expunge(number uint32) bool {
	if number == 0 || number > v.total || v.byUID {
		return false
	}
	v.byNumber = true
	v.total--
	if number <= v.earlier {
		v.earlier--
		return true
	}
	i := int(number-v.earlier) - 1 // beyond the chunks is what came after the listing
	for c, chunk := range v.chunks {
		if i < len(chunk) {
			v.cut(c, i, i+1)
			break
		}
		i -= len(chunk)
	}
	return true
}

// vanish takes out messages by their UIDs (RFC 7162 section 3.2.10). A server reports all
// messages in this way, or none.
func (v *view) vanish(ranges []uidRange) bool {
	if v.byNumber {
		return false
	}
	v.byUID = true
	for _, r := range ranges {
		if v.earlier > 0 && r.first < v.first {
			return false // how many of the earlier ones that means is not known
		}
		c, _ := v.find(r.first)
		for c < len(v.chunks) && v.chunks[c][0] <= r.last {
			from, _ := slices.BinarySearch(v.chunks[c], r.first)
			to, last := slices.BinarySearch(v.chunks[c], r.last)
			if last {
				to++
			}
			before := len(v.chunks)
			v.total -= min(v.total, uint32(to-from))
			v.cut(c, from, to)
			if len(v.chunks) == before {
				c++
			}
		}
	}
	return true
}

// cut takes UIDs out of a chunk, and the chunk out of the view once it is empty.
func (v *view) cut(c, from, to int) {
	v.known -= uint32(to - from)
	v.chunks[c] = slices.Delete(v.chunks[c], from, to)
	if len(v.chunks[c]) == 0 {
		v.chunks = slices.Delete(v.chunks, c, c+1)
	}
}

// exists takes the number of messages in the folder: it never falls but by an EXPUNGE or VANISHED.
func (v *view) exists(total uint32) bool {
	v.total = total
	return uint64(total) >= uint64(v.earlier)+uint64(v.known)
}

// gone reports whether a message is known to have left the folder. Of one that is not of the
// listing nothing is known.
func (v *view) gone(uid uint32) bool {
	unknown := uid < v.first && v.earlier > 0
	if unknown || uid > v.last {
		return false
	}
	c, _ := v.find(uid)
	if c == len(v.chunks) {
		return true
	}
	_, found := slices.BinarySearch(v.chunks[c], uid)
	return !found
}

// at returns the UID of the message of this number, 0 for one that came after the listing.
func (v *view) at(number uint32) uint32 {
	i := int64(number) - int64(v.earlier) - 1
	for _, chunk := range v.chunks {
		if i >= 0 && i < int64(len(chunk)) {
			return chunk[i]
		}
		i -= int64(len(chunk))
	}
	return 0
}

// find returns the first chunk that ends with uid or behind it.
func (v *view) find(uid uint32) (int, bool) {
	return slices.BinarySearchFunc(v.chunks, uid, func(chunk []uint32, uid uint32) int {
		return cmp.Compare(chunk[len(chunk)-1], uid)
	})
}

// uidRange is "first:last" in what a server sends. It may be as wide as a UID is.
type uidRange struct{ first, last uint32 }

// parseRanges reads a set of UIDs (RFC 9051 section 9, uid-set), in which the ends of a range come
// in any order.
func parseRanges(text string) (ranges []uidRange, ok bool) {
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(part, ":")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 32)
		if err != nil || first == 0 {
			return nil, false
		}
		last, err := strconv.ParseUint(high, 10, 32)
		if err != nil || last == 0 {
			return nil, false
		}
		ranges = append(ranges, uidRange{uint32(min(first, last)), uint32(max(first, last))})
	}
	return ranges, true
}

// outside returns those of ascending UIDs that no range covers.
func outside(uids []uint32, ranges []uidRange) []uint32 {
	ranges = slices.SortedFunc(slices.Values(ranges), func(a, b uidRange) int { return cmp.Compare(a.first, b.first) })
	covered := uint32(0) // up to here, by the ranges that begin at or before the UID
	var rest []uint32
	for _, uid := range uids {
		for len(ranges) > 0 && ranges[0].first <= uid {
			covered = max(covered, ranges[0].last)
			ranges = ranges[1:]
		}
		if uid > covered {
			rest = append(rest, uid)
		}
	}
	return rest
}
