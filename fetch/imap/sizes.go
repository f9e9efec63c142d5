package imap

import (
	"slices"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/truehop/truehop/fetch"
)

// sizes is what is known of the sizes of an open folder's messages.
type sizes struct {
	// judged are the messages, ascending, of which the server has said whether they are larger than Options.MaxSize.
	judged []uint32
	// large are those that are, ascending.
	large []uint32
}

// newSizes is what the server said of the messages of a listing: large is nil if it said nothing.
func newSizes(listed, large []uint32) sizes {
	if large == nil {
		return sizes{}
	}
	return sizes{slices.Clone(listed), large}
}

// toAsk returns those of ascending UIDs whose sizes are to be asked for: how large a large one is, and whether one is large where that is
// not known.
func (s sizes) toAsk(uids []uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool {
		_, judged := slices.BinarySearch(s.judged, uid)
		_, large := slices.BinarySearch(s.large, uid)
		return judged && !large
	})
}

// large returns the UIDs that the search for large messages found, ascending, and nil if the server has not said which those are. An error
// is one that ends the session.
func (c *Client) large(cmd *imapclient.SearchCommand) ([]uint32, error) {
	if cmd == nil {
		return nil, nil
	}
	found, err := cmd.Wait()
	if err = c.failed("UID SEARCH LARGER", err); err != nil {
		if fetch.EndsSession(err) {
			return nil, err
		}
		return nil, nil
	}
	if !c.g.noted().sized {
		return nil, nil
	}
	uids, err := c.uids(found.All)
	slices.Sort(uids)
	return uids, err
}
