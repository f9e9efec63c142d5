package inject

import "strconv"

// chunkSize is the length of all chunks of a message but the last, in octets. Each costs a
// round trip: what is sent without waiting for replies could not be given up cleanly.
const chunkSize = 128 << 10

// chunking reports whether content goes out by BDAT (RFC 3030 section 2).
func (s *Session) chunking() bool {
	return s.o.Chunking && s.ext.chunking && s.ext.pipelining && !s.o.LMTP
}

// chunkError ends a message at a chunk before its last: by a reply, or err if none came.
type chunkError struct {
	reply Reply
	err   error
}

func (e *chunkError) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return e.reply.String()
}

// chunk adds content to the chunk at hand. One that is full goes out when more follows, so
// that the last is empty only where the message is.
func (t *transaction) chunk(p []byte) error {
	s := t.s
	for len(p) > 0 {
		if len(s.chunk) == chunkSize {
			if e := t.sendChunk(); e != nil {
				return e
			}
		}
		n := min(len(p), chunkSize-len(s.chunk))
		s.chunk = append(s.chunk, p[:n]...)
		p = p[n:]
	}
	return nil
}

// sendChunk sends a chunk that is not the last and takes its reply.
func (t *transaction) sendChunk() error {
	s := t.s
	if err := s.w.inStep(); err != nil {
		return &chunkError{err: err}
	}
	s.putChunk("")
	if _, err := s.w.flush(s.o.Timeouts.Block); err != nil {
		reply, _, err := s.w.lastReply(err)
		return &chunkError{reply, err}
	}
	reply, _, err := s.w.read(s.o.Timeouts.Block)
	if err != nil || reply.class() != 2 {
		return &chunkError{reply, err}
	}
	return nil
}

// putChunk adds the chunk at hand to the next write.
func (s *Session) putChunk(last string) {
	s.w.put("BDAT " + strconv.Itoa(len(s.chunk)) + last)
	s.w.out = append(s.w.out, s.chunk...)
	s.chunk = s.chunk[:0]
}
