package inject

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// The last line of defence: what would make two commands of one, or
// cut one short, is not written, whatever was let through before.
func TestOneLine(t *testing.T) {
	for _, line := range []string{"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>", "EHLO a\nb", "EHLO a\rb", "EHLO a\x00b"} {
		written := &writes{}
		w := &wire{o: Options{}.withDefaults(), conn: written, in: newReplyReader(bytes.NewReader(nil))}
		if _, _, err := w.command(time.Second, line); err == nil || written.Len() > 0 {
			t.Errorf("%q: %v, written %q", line, err, written)
		}
	}
}

// writes is a connection that only takes.
type writes struct {
	net.Conn
	bytes.Buffer
}

func (w *writes) Write(p []byte) (int, error)     { return w.Buffer.Write(p) }
func (w *writes) Read(p []byte) (int, error)      { return w.Buffer.Read(p) }
func (w *writes) SetDeadline(time.Time) error     { return nil }
func (w *writes) SetReadDeadline(time.Time) error { return nil }
