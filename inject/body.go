package inject

import (
	"errors"
	"io"
	"strconv"
	"time"
)

// content sends header, body and dot or last chunk, and takes the verdict.
func (t *transaction) content() bool {
	t.receipt.Stage = stageDATA
	if err := t.copyBody(); err != nil {
		return t.cutShort(err)
	}
	if t.m.BeforeDot != nil {
		if err := t.m.BeforeDot(t.ctx); err != nil {
			return t.local("not completed", err)
		}
	}
	if err := t.s.w.unsolicited(); err != nil {
		return t.early(err)
	}
	return t.finalDot()
}

// localError marks a failure on our side of the content.
type localError struct{ err error }

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// copyBody sends the header and the body, dot-stuffed or in chunks. What is left of it waits
// in a buffer for the dot, or to be the last chunk.
func (t *transaction) copyBody() (err error) {
	if t.m.Body == nil {
		return &localError{errors.New("no body")}
	}
	body, err := t.m.Body()
	if err != nil {
		return &localError{err}
	}
	defer func() { err = errors.Join(err, localOr(body.Close())) }()
	st := stuffer{sink: t.s.w.putContent}
	if t.chunked {
		t.s.chunk = t.s.chunk[:0]
		st = stuffer{sink: t.chunk, counted: true}
	} else {
		t.s.w.makeRoom(t.m.length())
	}
	if err := st.write(t.m.Header); err != nil {
		return err
	}
	buf := t.s.readBuffer(t.m.Size)
	var size int64
	for {
		n, rerr := body.Read(buf)
		size += int64(n)
		if err := st.write(buf[:n]); err != nil {
			return err
		}
		if errors.Is(rerr, io.EOF) {
			break
		}
		if rerr != nil {
			return &localError{rerr}
		}
	}
	if t.m.Size >= 0 && size != t.m.Size {
		return &localError{errors.New("body has " + strconv.FormatInt(size, 10) + " octets instead of " + strconv.FormatInt(t.m.Size, 10))}
	}
	if t.s.o.Trace != nil {
		t.s.w.trace("C: ", "("+strconv.FormatInt(size+int64(len(t.m.Header)), 10)+" octets of content)")
	}
	return st.finish()
}

// readBuffer returns a buffer for reading content, of a size if that is known.
func (s *Session) readBuffer(size int64) []byte {
	n := outSize
	if size >= 0 && size < outSize {
		n = int(size) + 1 // so that one read finds the end
	}
	if len(s.scratch) < n {
		s.scratch = make([]byte, n)
	}
	return s.scratch
}

func localOr(err error) error {
	if err == nil {
		return nil
	}
	return &localError{err}
}

// cutShort ends a transaction whose content could not be sent in full: never with a dot.
func (t *transaction) cutShort(err error) bool {
	var chunk *chunkError
	var local *localError
	switch {
	case errors.As(err, &chunk) && chunk.err != nil:
		return t.lost(stageDATA, chunk.err)
	case errors.As(err, &chunk):
		return t.negative(stageDATA, chunk.reply)
	case errors.As(err, &local):
		return t.local("content", local.err)
	}
	return t.interrupted(stageDATA, err)
}

// local ends a transaction because of our side of it. Within DATA nothing but closing the
// connection keeps what was sent from being taken; chunks without a last one are nothing.
func (t *transaction) local(text string, err error) bool {
	t.s.broken = t.s.broken || !t.chunked
	return t.conclude(stageDATA, &Error{Kind: Local, Op: stageDATA, Text: text, Err: err})
}

// early ends a transaction in which the server spoke before the dot. A refusal
// is one; nothing else can be a verdict on content that it has not seen in full.
func (t *transaction) early(err error) bool {
	if !errors.Is(err, errMalformed) {
		return t.lost(stageDATA, err)
	}
	reply, _, rerr := t.s.w.read(time.Second)
	if rerr != nil {
		return t.lost(stageDATA, rerr)
	}
	if reply.class() >= 4 {
		t.negative(stageDATA, reply)
	} else {
		t.fail(stageDATA, &Error{Kind: Protocol, Op: stageDATA, Reply: reply, Text: "reply before the final dot"})
	}
	t.s.broken = true
	return false
}

// finalDot sends the dot or the last chunk, behind it the next message's XCLIENT or QUIT, and
// reads the verdict.
func (t *transaction) finalDot() bool {
	s := t.s
	if t.chunked {
		s.putChunk(" LAST")
	} else {
		s.w.trace("C: ", ".")
		s.w.out = append(s.w.out, dotCRLF...)
	}
	end := len(s.w.out)
	t.follow()
	s.w.setDotSent(true)
	t.receipt.Stage = stageDot
	n, err := s.w.flush(s.o.Timeouts.Block)
	if err != nil {
		s.announced = nil
		if n < end { // the dot never left
			return t.interrupted(stageDATA, err)
		}
		s.broken = true // and yet the verdict may be waiting
	}
	if s.o.LMTP {
		return t.lmtpVerdicts()
	}
	reply, _, err := s.w.read(s.o.Timeouts.Dot)
	if err != nil {
		return t.doubt(err)
	}
	return t.judge(reply)
}

// follow puts behind the dot what may be sent before its reply (RFC 2920 section 3.1
// lets content begin a group): the next XCLIENT where the session can be reset in place,
// QUIT where it is spent.
func (t *transaction) follow() {
	s := t.s
	if !s.ext.pipelining || t.s.o.Carrier != XCLIENT {
		return
	}
	if s.spent {
		s.w.put("QUIT")
		s.quit = true
		return
	}
	if t.next == nil || s.o.XCLIENT == Off || s.offersXCLIENT() != nil {
		return
	}
	if m := t.next(); m != nil {
		client, _ := m.Client.Safe(s.o.Never)
		s.w.put(client.Commands(s.ext.xclient)[0])
		s.announced = m
	}
}

// judge takes the reply to the dot.
func (t *transaction) judge(reply Reply) bool {
	t.s.open = t.chunked && reply.class() != 2 // RFC 3030 does not say that a failed LAST ends it
	switch reply.class() {
	case 2:
		t.receipt.QueueID = queueID(reply.Text)
		return t.verdict(stageDot, Delivered, reply)
	case 4:
		return t.verdict(stageDot, Deferred, reply)
	case 5:
		if t.chunked && commandError(reply) {
			return t.negative(stageDot, reply)
		}
		return t.verdict(stageDot, Refused, reply)
	}
	return t.doubt(&Error{Kind: Protocol, Op: stageDot, Reply: reply, Text: "unexpected reply"})
}

// doubt ends a transaction whose dot was sent and got no reply that can be understood.
func (t *transaction) doubt(err error) bool {
	e := classify(stageDot, err)
	t.s.broken = true
	t.fresh = false
	t.receipt.Stage, t.receipt.Err, t.receipt.Reply = stageDot, e, e.Reply
	t.settle(InDoubt, e.Reply)
	return false
}

// lmtpVerdicts takes one reply to the dot for each recipient accepted (RFC 2033 section 4.2).
func (t *transaction) lmtpVerdicts() bool {
	t.s.open = false
	for i := range t.receipt.Recipients {
		r := &t.receipt.Recipients[i]
		if r.Reply.class() != 2 {
			continue
		}
		reply, _, err := t.s.w.read(t.s.o.Timeouts.Dot)
		if err == nil && reply.class() == 3 {
			err = &Error{Kind: Protocol, Op: stageDot, Reply: reply, Text: "unexpected reply"}
		}
		if err != nil {
			t.s.broken = true
			t.receipt.Err = classify(stageDot, err)
			t.doubtFrom(i)
			return false
		}
		r.Stage, r.Reply = stageDot, reply
		r.Outcome = [...]Outcome{2: Delivered, 4: Deferred, 5: Refused}[reply.class()]
		t.receipt.Reply = reply
		if r.Outcome == Delivered && t.receipt.QueueID == "" {
			t.receipt.QueueID = queueID(reply.Text)
		}
		t.s.broken = t.s.broken || closing(reply)
	}
	t.fresh = false
	t.sumUp()
	return false
}

// doubtFrom puts the recipients from i on whose verdict is missing in doubt.
func (t *transaction) doubtFrom(i int) {
	for ; i < len(t.receipt.Recipients); i++ {
		if r := &t.receipt.Recipients[i]; r.Reply.class() == 2 {
			r.Outcome, r.Stage, r.Reply = InDoubt, stageDot, Reply{}
		}
	}
	t.fresh = false
	t.sumUp()
}
