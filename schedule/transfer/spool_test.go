package transfer

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"testing"
)

// TestLargeMessageIsSpooledInAFile: up to the limit a message is in memory, above it in a file without a name, whatever the
// upstream said of its size.
func TestLargeMessageIsSpooledInAFile(t *testing.T) {
	for _, size := range []int{0, 1, memoryLimit, memoryLimit + 1, 3 * memoryLimit} {
		for _, hint := range []int64{-1, 0, 1, int64(size), memoryLimit, 1 << 40} {
			dir := t.TempDir()
			raw := append([]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)...)[:size]
			s, err := spool(bytes.NewReader(raw), hint, dir)
			if err != nil {
				t.Fatal(err)
			}
			if onDisk := s.file != nil; onDisk != (size > memoryLimit) || onDisk == (len(s.mem) > 0) && size > 0 {
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
