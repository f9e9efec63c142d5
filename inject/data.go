package inject

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A stuffer turns content into what may stand between DATA's 354 and the final dot:
// lines ending in CRLF, a dot doubled at the start of a line (RFC 5321 section 4.5.2). No
// server, however it understands line endings, finds an end in it.
//
//   - LF without CR becomes CRLF.
//   - One CR or more before LF are one line ending, as Postfix reads them.
//   - Any other CR becomes a space, as Postfix makes it: a line ending there could
//     end the header or begin a field that the upstream's reader did not see.
//   - Content that does not end with a line ending gets one.
//
// All other octets pass unchanged.
type stuffer struct {
	// sink takes the result, and says what ended the dialogue.
	sink func([]byte) *end
	// counted says that dots stay as they are: the content's length is told beforehand.
	counted bool
	// crs counts the CRs held back until what follows them is known.
	crs int
	// inLine says that the current line has begun.
	inLine bool
}

var (
	crlf     = []byte("\r\n")
	dot      = []byte(".")
	dotCRLF  = []byte(".\r\n")
	oneSpace = []byte(" ")
)

// write takes the next part of the content. It allocates nothing.
func (s *stuffer) write(p []byte) *end {
	for len(p) > 0 {
		n, e := s.release(p)
		if e != nil {
			return e
		}
		p = p[n:]
		if n, e = s.run(p); e != nil {
			return e
		}
		p = p[n:]
	}
	return nil
}

// release settles the CRs held back, knowing that p follows, and returns how much of p that used.
func (s *stuffer) release(p []byte) (int, *end) {
	if s.crs == 0 {
		return 0, nil
	}
	n := 0
	for n < len(p) && p[n] == '\r' {
		n++
	}
	s.crs += n
	if n == len(p) {
		return n, nil
	}
	if p[n] == '\n' {
		s.crs = 0
		s.inLine = false
		return n + 1, s.sink(crlf)
	}
	return n, s.spaces()
}

// spaces sends a space for each CR held back.
func (s *stuffer) spaces() *end {
	for ; s.crs > 0; s.crs-- {
		s.inLine = true
		if e := s.sink(oneSpace); e != nil {
			return e
		}
	}
	return nil
}

// run sends the longest run at the start of p that needs no change but dots, and
// returns its length. It ends before a CR that no LF follows, which it holds back.
func (s *stuffer) run(p []byte) (int, *end) {
	start, at := 0, 0 // p[start:at] is examined and not sent yet
	for at < len(p) {
		if !s.inLine && p[at] == '.' && !s.counted {
			if e := s.send(p[start:at], dot); e != nil {
				return 0, e
			}
			start = at
		}
		end := bytes.IndexByte(p[at:], '\n')
		line := p[at:]
		if end >= 0 {
			line = p[at : at+end]
		}
		cr := bytes.IndexByte(line, '\r')
		switch {
		case cr >= 0 && (end < 0 || cr != end-1):
			at += cr
			s.crs = 1
			s.inLine = s.inLine || cr > 0
			return at + 1, s.send(p[start:at])
		case end < 0:
			s.inLine = true
			return len(p), s.send(p[start:])
		case cr < 0: // bare LF
			if e := s.send(p[start:at+end], crlf); e != nil {
				return 0, e
			}
			at += end + 1
			start = at
		default:
			at += end + 1
		}
		s.inLine = false
	}
	return at, s.send(p[start:at])
}

func (s *stuffer) send(parts ...[]byte) *end {
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		if e := s.sink(p); e != nil {
			return e
		}
	}
	return nil
}

// finish ends the last line. It does not send the final dot.
func (s *stuffer) finish() *end {
	if e := s.spaces(); e != nil {
		return e
	}
	if !s.inLine {
		return nil
	}
	s.inLine = false
	return s.sink(crlf)
}

// content sends the header and the body, dot-stuffed or in chunks. What is left of it waits in
// a buffer for the dot, or to be the last chunk.
func (t *transaction) content() *end {
	if t.m.Body == nil {
		return t.local("content", errors.New("no body"))
	}
	body, err := t.m.Body()
	if err != nil {
		return t.local("content", err)
	}
	e := t.copy(body)
	if err := body.Close(); err != nil && e == nil {
		return t.local("content", err)
	}
	return e
}

func (t *transaction) copy(body io.Reader) *end {
	st := stuffer{sink: t.data}
	if t.chunked {
		t.s.chunk = t.s.chunk[:0]
		st = stuffer{sink: t.chunk, counted: true}
	} else {
		t.s.w.makeRoom(t.m.length())
	}
	if e := st.write(t.m.Header); e != nil {
		return e
	}
	buf := t.s.readBuffer(t.m.Size)
	var size int64
	for {
		n, err := body.Read(buf)
		size += int64(n)
		if e := st.write(buf[:n]); e != nil {
			return e
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return t.local("content", err)
		}
	}
	if t.m.Size >= 0 && size != t.m.Size {
		return t.local("content", fmt.Errorf("body has %d octets instead of %d", size, t.m.Size))
	}
	if t.s.o.Trace != nil {
		t.s.w.trace("C: ", fmt.Sprintf("(%d octets of content)", size+int64(len(t.m.Header))))
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

// data takes content that goes out behind DATA.
func (t *transaction) data(p []byte) *end {
	if err := t.s.w.putContent(p); err != nil {
		return t.interrupted(err)
	}
	return nil
}

// chunkSize is the length of all chunks of a message but the last, in octets. Each costs a
// round trip: what is sent without waiting for replies could not be given up cleanly.
const chunkSize = 128 << 10

// chunking reports whether content goes out by BDAT (RFC 3030 section 2).
func (s *Session) chunking() bool {
	return s.o.Chunking && s.ext.chunking && s.ext.pipelining && !s.o.LMTP
}

// chunk takes content that goes out by BDAT. A chunk that is full is sent when more follows, so
// that the last is empty only where the message is.
func (t *transaction) chunk(p []byte) *end {
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
func (t *transaction) sendChunk() *end {
	s := t.s
	if err := s.w.inStep(); err != nil {
		return lost(stageDATA, err)
	}
	s.putChunk("")
	if _, err := s.w.flush(s.o.Timeouts.Block); err != nil {
		return t.interrupted(err)
	}
	reply, _, err := s.w.read(s.o.Timeouts.Block)
	switch {
	case err != nil:
		return lost(stageDATA, err)
	case reply.class() != 2:
		return refusal(stageDATA, reply)
	}
	return nil
}

// putChunk adds the chunk at hand to the next write.
func (s *Session) putChunk(last string) {
	s.w.put("BDAT " + strconv.Itoa(len(s.chunk)) + last)
	s.w.out = append(s.w.out, s.chunk...)
	s.chunk = s.chunk[:0]
}
