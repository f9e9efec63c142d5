package transfer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/iotest"
)

// TestLargeMessageIsSpooledInAFile: up to the limit a message is in memory, above it in a file without a name, whatever the
// upstream said of its size; of one that was announced as larger, no more than a little is read into memory first.
func TestLargeMessageIsSpooledInAFile(t *testing.T) {
	for _, size := range []int{0, 1, copySize, copySize + bytes.MinRead + 1, memoryLimit, memoryLimit + 1, 3 * memoryLimit} {
		for _, hint := range []int64{-1, 0, 1, int64(size), memoryLimit, 1 << 40} {
			dir := t.TempDir()
			raw := append([]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)...)[:size]
			s, err := spool(bytes.NewReader(raw), hint, dir)
			if err != nil {
				t.Fatal(err)
			}
			limit := memoryLimit
			if hint > memoryLimit {
				limit = copySize
			}
			if onDisk := s.file != nil; onDisk != (size > limit) || onDisk == (len(s.mem) > 0) && size > 0 {
				t.Errorf("%d octets, announced as %d: in a file %v, %d in memory", size, hint, onDisk, len(s.mem))
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left in the directory: %v, %v", left, err)
			}
			got, err := io.ReadAll(s.reader(0))
			if err != nil || !bytes.Equal(got, raw) || s.size != int64(size) || s.whole != sha256.Sum256(raw) {
				t.Errorf("%d octets came back as %d, size %d, %v", size, len(got), s.size, err)
			}
			s.close()
		}
	}
}

// TestSpoolTakesWhatReadersMayDo: octets that come one at a time, and with the end of the message or an error.
func TestSpoolTakesWhatReadersMayDo(t *testing.T) {
	broken := fmt.Errorf("connection lost: %w", io.EOF)
	for _, size := range []int{10, copySize + 1000, memoryLimit + 1000} {
		raw := bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size]
		for name, read := range map[string]func(io.Reader) io.Reader{
			"one at a time": iotest.OneByteReader,
			"with the end":  iotest.DataErrReader,
			"halves":        iotest.HalfReader,
		} {
			for _, hint := range []int64{-1, int64(size)} {
				s, err := spool(read(bytes.NewReader(raw)), hint, t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(s.reader(0)); err != nil || !bytes.Equal(got, raw) || s.whole != sha256.Sum256(raw) {
					t.Errorf("%d octets %s, announced as %d, came back as %d, %v", size, name, hint, len(got), err)
				}
				s.close()
				dir := t.TempDir()
				if s, err := spool(read(io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(broken))), hint, dir); err != broken || s != nil {
					t.Errorf("%d octets %s of a connection that broke: %v, %v", size, name, s, err)
				}
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("left in the directory: %v, %v", left, err)
				}
			}
		}
	}
}

// TestHeaderOfASpooledFileIsWhole: a header in a file is looked at as far as one in memory is, however long it is.
func TestHeaderOfASpooledFileIsWhole(t *testing.T) {
	for _, mbox := range []string{"", "From someone@example.net Mon Jan  5 10:00:00 2026\r\n"} {
		for _, header := range []int{0, copySize - 2, copySize, 4*copySize - 2, 5 * copySize, headLimit - 1, headLimit + 5} {
			head := append(bytes.Repeat([]byte("X-Note: 0123456\n"), header/16+1)[:header], "\n\n"...)
			raw := append([]byte(mbox), append(head, bytes.Repeat([]byte("body\n"), memoryLimit/5+1)...)...)
			s, err := spool(bytes.NewReader(raw), -1, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			want := head[:min(headEnd(head), headLimit)]
			if s.file == nil || s.mbox != int64(len(mbox)) || !bytes.Equal(s.head, want) {
				t.Errorf("%d octets of header behind %d of mbox lines: %d and %d", len(want), len(mbox), len(s.head), s.mbox)
			}
			s.close()
		}
	}
}
