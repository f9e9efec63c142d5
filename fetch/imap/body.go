package imap

import (
	"fmt"
	"io"

	imapwire "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/truehop/truehop/fetch"
)

func tooLarge(size, limit int64) *fetch.Error {
	return &fetch.Error{Kind: fetch.TooLarge, Op: "UID FETCH", Err: fmt.Errorf("%d octets, the limit is %d", size, limit)}
}

// body reads one message straight from the connection. It returns io.EOF only when
// the literal was as long as announced, the response that held it ended as it must,
// and the next one or the end of the command followed: a literal that is shorter
// than announced swallows some of what comes behind it, and only that shows it.
type body struct {
	client  *Client
	r       *retrieval
	cmd     *imapclient.FetchCommand
	message *imapclient.FetchMessageData
	literal imapwire.LiteralReader // nil: the server sent no body
	size    int64
	read    int64
	err     error // what Read returns from now on

	// Once complete: what follows.
	complete bool
	next     *imapclient.FetchMessageData
}

// seek goes to the message's body and returns its UID. The library hands over
// only messages whose UID comes first.
func (b *body) seek() (uid uint32) {
	for item := b.message.Next(); item != nil; item = b.message.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			uid = uint32(item.UID)
		case imapclient.FetchItemDataBodySection:
			s := item.Section // BODY[], and not a part of it
			whole := s.Specifier == imapwire.PartSpecifierNone && len(s.Part) == 0 && s.Partial == nil
			if item.Literal != nil && whole {
				b.literal, b.size = item.Literal, item.Literal.Size()
				return uid
			}
		}
	}
	return uid
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.literal.Read(p)
	b.read += int64(n)
	if err == nil {
		return n, nil
	}
	// From here on the library's goroutine reads; the literal must not be touched.
	if b.read < b.size {
		cause := b.client.g.why()
		if cause == nil {
			cause = io.ErrUnexpectedEOF
		}
		b.err = b.client.lost("UID FETCH", fmt.Errorf("%d of %d octets: %w", b.read, b.size, cause))
		return n, b.err
	}
	for b.message.Next() != nil { // flags may follow
	}
	b.next = b.cmd.Next()
	b.complete = true
	if b.next != nil {
		b.err = b.client.checkValidity("UID FETCH")
	} else {
		b.err = b.r.ended(b.cmd.Close())
	}
	if b.err == nil {
		b.err = io.EOF
	}
	return n, b.err
}

// abandon ends the connection before the command has ended. The library's goroutine
// may be waiting for a reader of this literal or of one in what comes next.
func (b *body) abandon() {
	b.client.g.fail(errAborted)
	switch {
	case b.complete:
		drain(b.cmd, b.next)
	case b.err == nil:
		n, _ := io.Copy(io.Discard, b.literal) // at most what is buffered
		if b.read += n; b.read == b.size {
			drain(b.cmd, b.message)
		}
	}
	b.err = errAborted
}

// drain takes what the library has ready after the end of the connection. Behind a
// literal that was cut, its goroutine reads, and nobody else may.
func drain(cmd *imapclient.FetchCommand, m *imapclient.FetchMessageData) {
	for ; m != nil; m = cmd.Next() {
		for item := m.Next(); item != nil; item = m.Next() {
			if !drainLiteral(item) {
				return
			}
		}
	}
}

// drainLiteral reads the item's literal, if it has one, and reports whether it was whole.
func drainLiteral(item imapclient.FetchItemData) bool {
	literal := literalOf(item)
	if literal == nil {
		return true
	}
	n, _ := io.Copy(io.Discard, literal)
	return n == literal.Size()
}

func literalOf(item imapclient.FetchItemData) imapwire.LiteralReader {
	switch item := item.(type) {
	case imapclient.FetchItemDataBodySection:
		return item.Literal
	case imapclient.FetchItemDataBinarySection:
		return item.Literal
	}
	return nil
}
