package pop3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/truehop/truehop/fetch"
)

// Retrieve implements [fetch.Mailbox] by RETR: pipelined up to 16 KiB of commands
// (some 1,500) where the server announces PIPELINING, else one at a time. It calls
// sink in the order of refs.
//
// A message announced as larger than Options.MaxSize is not asked for and comes
// with Kind TooLarge. One that turns out larger has its Body end with that error; a sink that
// then returns nil goes on with the next. What a sink leaves of a Body is read
// and thrown away; beyond a bound the session is ended with an error of Kind TooLarge.
func (c *Client) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	return c.run(ctx, func() error {
		ask := make([]fetch.Ref, 0, len(refs))
		for _, ref := range refs {
			var why error
			switch {
			case !c.listed(ref), c.deleted[ref.Seq]:
				why = notListed("RETR")
			case c.opts.MaxSize > 0 && ref.Size > c.opts.MaxSize:
				why = tooLarge(c.opts.MaxSize, fmt.Errorf("announced with %d octets", ref.Size))
			default:
				ask = append(ask, ref)
				continue
			}
			if err := sink(fetch.Message{Ref: ref, Size: -1, Err: why}); err != nil {
				return c.stop(err)
			}
		}
		return c.pipeline("RETR", ask, func(ref fetch.Ref, r reply, more bool) error {
			m := fetch.Message{Ref: ref, Size: -1}
			if !r.ok {
				m.Err = r.messageFailure("RETR")
				if err := sink(m); err != nil {
					return c.stop(err)
				}
				return nil
			}
			b := &body{w: c.w, limit: c.opts.MaxSize, size: ref.Size, more: more, lineStart: true}
			m.Body = b
			if err := sink(m); err != nil {
				return c.stop(err)
			}
			// What the sink left is read, so that the next reply can be.
			if b.err == nil || b.cut {
				b.err, b.cut, b.limit = nil, false, 0
				n, err := io.Copy(io.Discard, io.LimitReader(b, drainBound))
				if err == nil && n == drainBound {
					return tooLarge(c.opts.MaxSize, errors.New("the message goes on far beyond the limit"))
				}
			}
			err := b.err
			b.err = errUnread
			if err != io.EOF {
				return err
			}
			return nil
		})
	})
}

func tooLarge(limit int64, err error) *fetch.Error {
	return &fetch.Error{Kind: fetch.TooLarge, Op: "RETR", Advice: fmt.Sprintf("the limit is %d octets", limit), Err: err}
}

// stop ends the session after a sink's error, which is returned as it is: the
// commands under way could only be followed by reading all they bring.
func (c *Client) stop(err error) error {
	c.ended = true
	c.Abort()
	return err
}

// pipeline sends verb for each ref and calls each with every reply in order, and whether more are to come. It
// keeps up to window octets of commands under way and refills when half are answered.
func (c *Client) pipeline(verb string, refs []fetch.Ref, each func(ref fetch.Ref, r reply, more bool) error) error {
	limit := 1 // octet under way, so that the next command waits for the reply to the last
	if c.pipelines() {
		limit = window
	}
	together := limit > 1 && len(refs) > 1
	var commands []byte
	next, outstanding := 0, 0
	for _, ref := range refs {
		if outstanding <= limit/2 {
			commands = commands[:0]
			for next < len(refs) && outstanding+len(commands) < limit {
				commands = appendCommand(commands, verb, refs[next].Seq)
				next++
			}
			var err error
			switch {
			case len(commands) == 0: // all are under way
			case outstanding == 0:
				text := string(commands[:len(commands)-len("\r\n")])
				err = c.w.send(text, text)
			default:
				c.w.trace("C", string(commands))
				err = c.w.write(verb, commands)
			}
			if err != nil {
				return err
			}
			outstanding += len(commands)
		}
		r, err := c.w.reply(verb)
		if err != nil {
			return c.asSent(together, false, err)
		}
		if r.isGoodbye() { // said while nothing was asked for: it is no answer about this message, and none comes
			return &fetch.Error{Kind: fetch.Unreachable, Op: verb, Text: fetch.Sanitize(r.text), Ends: true}
		}
		outstanding -= len(appendCommand(nil, verb, ref.Seq))
		if together && r.ok && verb == "RETR" {
			if err := c.notRefused(); err != nil {
				return c.asSent(together, false, err)
			}
		}
		if err := each(ref, r, outstanding > 0); err != nil {
			return c.asSent(together, false, err)
		}
	}
	if n := c.w.br.Buffered(); n > 0 && together { // else the next command tells
		extra, _ := c.w.br.Peek(n)
		return c.asSent(together, false, protocolError(verb, "more replies than commands", extra))
	}
	return nil
}

// notRefused returns an error if "-ERR" is what a message begins with. A server that says +OK before it opens the message
// ends such a one with no dot, and the next would be read as its rest.
func (c *Client) notRefused() error {
	const refusal = "-ERR"
	head, err := c.w.br.Peek(1)
	if err == nil && head[0] == refusal[0] {
		head, err = c.w.br.Peek(len(refusal))
	}
	switch {
	case err != nil:
		return c.w.lost("RETR", err)
	case string(head) == refusal:
		return protocolError("RETR", "-ERR behind +OK", head)
	}
	return nil
}

func appendCommand(b []byte, verb string, number uint32) []byte {
	b = append(b, verb...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(number), 10)
	return append(b, "\r\n"...)
}

// drainBound is how much of a message is read and thrown away to save the session.
const drainBound = 64 << 20

// errUnread is what a Body returns once its sink has returned.
var errUnread = errors.New("pop3: Body used after the sink returned")
