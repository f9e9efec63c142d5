package inject

import "bytes"

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
	sink func([]byte) error
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
func (s *stuffer) write(p []byte) error {
	for len(p) > 0 {
		n, err := s.release(p)
		if err != nil {
			return err
		}
		p = p[n:]
		if n, err = s.run(p); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// release settles the CRs held back, knowing that p follows, and returns how much of p that used.
func (s *stuffer) release(p []byte) (int, error) {
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
func (s *stuffer) spaces() error {
	for ; s.crs > 0; s.crs-- {
		s.inLine = true
		if err := s.sink(oneSpace); err != nil {
			return err
		}
	}
	return nil
}

// run sends the longest run at the start of p that needs no change but dots, and
// returns its length. It ends before a CR that no LF follows, which it holds back.
func (s *stuffer) run(p []byte) (int, error) {
	start, at := 0, 0 // p[start:at] is examined and not sent yet
	for at < len(p) {
		if !s.inLine && p[at] == '.' && !s.counted {
			if err := s.send(p[start:at], dot); err != nil {
				return 0, err
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
			if err := s.send(p[start:at+end], crlf); err != nil {
				return 0, err
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

func (s *stuffer) send(parts ...[]byte) error {
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		if err := s.sink(p); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the last line. It does not send the final dot.
func (s *stuffer) finish() error {
	if err := s.spaces(); err != nil {
		return err
	}
	if !s.inLine {
		return nil
	}
	s.inLine = false
	return s.sink(crlf)
}
