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
	// sink takes the result. It returns what ended the dialogue, if that did.
	sink func([]byte) *end
	// counted says that the length is sent ahead of the content, and dots stay as they are.
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
		if s.crs > 0 { // held back: now it shows what follows them
			n := 0
			for n < len(p) && p[n] == '\r' {
				n++
			}
			s.crs += n
			if p = p[n:]; len(p) == 0 {
				return nil
			}
			if p[0] == '\n' {
				s.crs, s.inLine = 0, false
				p = p[1:]
				if e := s.sink(crlf); e != nil {
					return e
				}
			} else if e := s.spaces(); e != nil {
				return e
			}
		}
		n, e := s.run(p)
		if e != nil {
			return e
		}
		p = p[n:]
	}
	return nil
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
		line := p[at:]
		lf := bytes.IndexByte(line, '\n')
		if lf >= 0 {
			line = line[:lf]
		}
		cr := bytes.IndexByte(line, '\r')
		ending := lf >= 0 && cr == lf-1
		switch {
		case cr >= 0 && !ending:
			at += cr
			s.crs = 1
			s.inLine = s.inLine || cr > 0
			return at + 1, s.send(p[start:at])
		case lf < 0:
			s.inLine = true
			return len(p), s.send(p[start:])
		case cr < 0: // bare LF
			if e := s.send(p[start:at+lf], crlf); e != nil {
				return 0, e
			}
			start = at + lf + 1
		}
		at += lf + 1
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

// content sends the header and the body, dot-stuffed or in chunks. Its last part stays in a
// buffer, to go out with the dot or as the last chunk.
func (t *transaction) content() (e *end) {
	if t.m.Body == nil {
		return t.local("content", errors.New("no body"))
	}
	body, err := t.m.Body()
	if err != nil {
		return t.local("content", err)
	}
	defer func() {
		if err := body.Close(); err != nil && e == nil {
			e = t.local("content", err)
		}
	}()
	s := t.s
	var st stuffer
	if t.chunked {
		s.chunk = s.chunk[:0]
		st = stuffer{sink: t.chunk, counted: true}
	} else {
		st.sink = func(p []byte) *end {
			if err := s.w.putContent(p); err != nil {
				return t.interrupted(err)
			}
			return nil
		}
		// Room for short content, so that it goes out in one write with the dot.
		room := outSize
		if n := t.m.length(); n >= 0 && n < outSize/2 {
			room = int(n+n/8) + lineSize // dots doubled, CR added
		}
		if cap(s.w.out) < room {
			s.w.out = make([]byte, 0, room)
		}
	}
	if e := st.write(t.m.Header); e != nil {
		return e
	}
	room := outSize
	if t.m.Size >= 0 && t.m.Size < outSize {
		room = int(t.m.Size) + 1 // so that one read finds the end
	}
	if len(s.scratch) < room {
		s.scratch = make([]byte, room)
	}
	var size int64
	for {
		n, err := body.Read(s.scratch)
		size += int64(n)
		if e := st.write(s.scratch[:n]); e != nil {
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
	if s.o.Trace != nil {
		s.w.trace("C: ", fmt.Sprintf("(%d octets of content)", size+int64(len(t.m.Header))))
	}
	return st.finish()
}

// chunkSize is the length of all chunks of a message but the last, in octets. Each costs a
// round trip, for a message could not be given up cleanly while replies to its chunks are due.
const chunkSize = 128 << 10

// chunk takes content that goes out by BDAT (RFC 3030 section 2). A full chunk is sent when more
// follows, so that the last one is empty only if the message is.
func (t *transaction) chunk(p []byte) *end {
	s := t.s
	for len(p) > 0 {
		if len(s.chunk) == chunkSize {
			if err := s.w.inStep(); err != nil {
				return lost(stageDATA, err)
			}
			s.putChunk("")
			if _, err := s.w.flush(s.o.Timeouts.Block); err != nil {
				return t.interrupted(err)
			}
			reply, _, err := s.w.read(s.o.Timeouts.Block)
			if err != nil {
				return lost(stageDATA, err)
			}
			if reply.class() != 2 {
				return refusal(stageDATA, reply)
			}
		}
		n := min(len(p), chunkSize-len(s.chunk))
		s.chunk = append(s.chunk, p[:n]...)
		p = p[n:]
	}
	return nil
}

// putChunk adds BDAT and its chunk to the next write.
func (s *Session) putChunk(last string) {
	s.w.put("BDAT " + strconv.Itoa(len(s.chunk)) + last)
	s.w.out = append(s.w.out, s.chunk...)
	s.chunk = s.chunk[:0]
}
