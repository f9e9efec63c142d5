package transfer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

const (
	// memoryLimit is the size in octets up to which a message is spooled in
	// memory; a larger one goes to an unlinked temporary file.
	memoryLimit = 1 << 20
	// copySize is how many octets of a larger message are in memory at a time, and so what is kept there of one that was
	// announced as larger before it goes to a file.
	copySize = 64 << 10
	// headLimit bounds the header block that is looked at, in octets: one more than
	// [received.ReadChain] reads, so that it sees where a header goes on. What
	// lies beyond is carried, never read.
	headLimit = 1<<20 + 1
)

// spooled is one message held complete on this side: retrieved to its end
// before a word about it is said to the MTA.
type spooled struct {
	mem  []byte
	file *os.File // nil while the message is in memory
	size int64
	// hash is over the content without the fields that servers keep their own notes in; whole is over all of it,
	// as records of older versions have it. They mostly are the same.
	hash, whole [sha256.Size]byte
	fingerprint ledger.Fingerprint
	eightBit    bool // holds octets above 127
	nul         bool // holds octets of value 0
	// mbox is the length of the mbox lines in front of the message. They are part of what was retrieved and
	// of the hash, and are not injected: below a field of ours they would end the header.
	mbox int64
	// defect is why the header could not be looked at, else nil. Then it counts as empty.
	defect *Defect
	// head is the header block behind those with its closing empty line, or as much of it as headLimit allows.
	head []byte
}

// errSpool marks a failure of this side's disk or memory, as opposed to one of
// the upstream that the message is read from.
var errSpool = errors.New("the spool cannot be written")

// spoolError is what a pass ends with that could not spool a message. It has the ledger's type, since a
// person has to look into this side's disk in both cases.
func spoolError(dir string, cause error) error {
	e := &ledger.Error{Kind: ledger.IO, Op: "a message stays upstream", Path: dir, Err: cause}
	switch {
	case errors.Is(cause, syscall.ENOSPC), errors.Is(cause, syscall.EDQUOT), errors.Is(cause, syscall.EFBIG):
		e.Kind, e.Advice = ledger.Full, "free some space on this file system"
	case errors.Is(cause, fs.ErrPermission), errors.Is(cause, syscall.EROFS):
		e.Kind, e.Advice = ledger.Permission, "truehop check tells what is wrong with spool_dir"
	}
	return e
}

// spoolFull reports whether the spool takes no more, so that it is of no use to retrieve other messages: it is full or
// read-only.
func spoolFull(err error) bool {
	if !errors.Is(err, errSpool) {
		return false
	}
	return slices.ContainsFunc([]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EFBIG}, func(no error) bool { return errors.Is(err, no) })
}

// spool reads r to its end. hint is the announced size in octets, or negative;
// it saves work when right and does no harm when wrong.
func spool(r io.Reader, hint int64, dir string) (*spooled, error) {
	w := &spoolWriter{dir: dir, sum: sha256.New(), limit: memoryLimit}
	room := bytes.MinRead
	switch {
	case hint > memoryLimit:
		w.limit, room = copySize, copySize
	case hint > 0:
		room += int(hint)
	}
	w.mem = make([]byte, 0, room)
	if err := w.readAll(r); err != nil {
		if w.file != nil {
			_ = w.file.Close()
		}
		return nil, err
	}
	s := &spooled{mem: w.mem, file: w.file, size: w.size, eightBit: w.eightBit, nul: w.nul}
	if s.file != nil {
		s.mem = nil
	}
	w.sum.Sum(s.whole[:0])
	if err := s.examine(s.identify); err != nil {
		s.close()
		return nil, fmt.Errorf("%w: %w", errSpool, err)
	}
	return s, nil
}

// examine lets look go over the header. Of a message with which the program has a defect, all octets are its content.
func (s *spooled) examine(look func() error) (err error) {
	if s.defect = withoutPanic("cannot be read", func() { err = look() }); s.defect != nil {
		s.hash, s.fingerprint, s.mbox, s.head, err = s.whole, ledger.Fingerprint{}, 0, nil, nil
	}
	return err
}

// identify finds the header block, and computes hash and fingerprint.
func (s *spooled) identify() error {
	start, err := s.window(0)
	if err == nil && received.IsMboxLine(start) {
		if s.mbox, err = mboxLength(s.reader(0)); err == nil {
			start, err = s.window(s.mbox)
		}
	}
	if err != nil {
		return err
	}
	s.head = start[:min(headEnd(start), headLimit)]
	if s.file != nil {
		s.head = bytes.Clone(s.head) // and let go of the rest
	}
	s.hash, s.fingerprint = s.whole, fingerprint(s.head)
	kept, notes := withoutNotes(s.head)
	if !notes {
		return nil
	}
	sum := sha256.New()
	for _, part := range []io.Reader{
		io.LimitReader(s.reader(0), s.mbox), bytes.NewReader(kept), s.reader(s.mbox + int64(len(s.head))),
	} {
		if _, err := io.Copy(sum, part); err != nil {
			return err
		}
	}
	sum.Sum(s.hash[:0])
	return nil
}

// window returns the message from octet at on, as far as a header is looked at. Of a file it reads no more than that
// takes: most headers are short.
func (s *spooled) window(at int64) ([]byte, error) {
	if s.file == nil {
		return s.mem[at:], nil
	}
	limit := min(s.size-at, headLimit)
	b := make([]byte, min(limit, copySize))
	for {
		_, err := s.file.ReadAt(b, at)
		if err != nil || int64(len(b)) == limit || headEnd(b) < len(b) {
			return b, err
		}
		b = make([]byte, min(limit, 4*int64(len(b))))
	}
}

// mboxLength returns the length of the mbox lines at the beginning of a message.
func mboxLength(message io.Reader) (length int64, err error) {
	r := bufio.NewReader(message)
	for {
		start, err := r.Peek(received.MboxLook)
		if err != nil && !errors.Is(err, io.EOF) {
			return length, err
		}
		if !received.IsMboxLine(start) {
			return length, nil
		}
		for ended := false; !ended; {
			part, err := r.ReadSlice('\n')
			length += int64(len(part))
			switch {
			case errors.Is(err, io.EOF):
				return length, nil
			case err != nil && !errors.Is(err, bufio.ErrBufferFull):
				return length, err
			}
			ended = err == nil
		}
	}
}

// headEnd returns the length of the header block with its closing empty line,
// whichever line ends it uses; all of b where it has none.
func headEnd(b []byte) int {
	for at := 0; at < len(b); {
		eol := bytes.IndexByte(b[at:], '\n')
		if eol < 0 {
			return len(b)
		}
		line := b[at : at+eol]
		at += eol + 1
		if len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			return at
		}
	}
	return len(b)
}

// reader returns the message from octet at on. Several readers may be open at once.
func (s *spooled) reader(at int64) io.Reader {
	if s.file != nil {
		return io.NewSectionReader(s.file, at, s.size-at)
	}
	return bytes.NewReader(s.mem[at:])
}

// close frees what the message holds. It cannot fail in a way that matters: the
// file has no name any more.
func (s *spooled) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
	s.mem, s.head = nil, nil
}

// spoolWriter collects a message, in memory first, and computes on the way what
// needs every octet.
type spoolWriter struct {
	dir string
	// mem is the message, or what of it is not in file yet.
	mem []byte
	// limit is how many octets are kept in mem before they go to a file.
	limit    int
	file     *os.File
	sum      hash.Hash
	size     int64
	eightBit bool
	nul      bool
}

// readAll reads r to its end, straight into the memory where the octets stay or are written from.
func (w *spoolWriter) readAll(r io.Reader) error {
	for {
		if len(w.mem) == cap(w.mem) {
			w.mem = slices.Grow(w.mem, bytes.MinRead)
		}
		n, err := r.Read(w.mem[len(w.mem):cap(w.mem)])
		got := w.mem[len(w.mem) : len(w.mem)+n]
		_, _ = w.sum.Write(got) // a hash never fails
		w.eightBit = w.eightBit || hasEightBit(got)
		w.nul = w.nul || bytes.IndexByte(got, 0) >= 0
		w.size += int64(n)
		w.mem = w.mem[:len(w.mem)+n]
		ended := err == io.EOF // no error that wraps it: that is a connection that broke
		if err := w.store(ended); err != nil {
			return fmt.Errorf("%w: %w", errSpool, err)
		}
		switch {
		case ended:
			return nil
		case err != nil:
			return err
		}
	}
}

// store moves to the file what is to be there: all of a message above the limit, whenever the memory is full and when it
// has ended.
func (w *spoolWriter) store(ended bool) error {
	switch {
	case w.file == nil && len(w.mem) > w.limit:
		// The file has no name, so that nothing is left behind whatever becomes of the process.
		var err error
		if w.file, err = os.CreateTemp(w.dir, "spool-*"); err != nil {
			return err
		}
		if err := os.Remove(w.file.Name()); err != nil {
			return err
		}
	case w.file == nil, len(w.mem) < cap(w.mem) && !ended:
		return nil
	}
	_, err := w.file.Write(w.mem)
	if w.mem = w.mem[:0]; cap(w.mem) > 2*copySize {
		w.mem = make([]byte, 0, copySize)
	}
	return err
}

// hasEightBit reports whether p holds an octet above 127.
func hasEightBit(p []byte) bool {
	for ; len(p) >= 8; p = p[8:] {
		if binary.NativeEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
