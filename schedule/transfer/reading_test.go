package transfer

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
)

// readBeyond is a reader with a defect.
func readBeyond(head []byte) *received.Chain {
	_ = head[len(head)]
	return nil
}

// TestDefectIsTold: what panics while a header is read is told in one line with what and where, and is bounded; the stack is
// for who mends it.
func TestDefectIsTold(t *testing.T) {
	var none *received.Chain
	for _, c := range []struct {
		name  string
		chain func([]byte) *received.Chain
		says  string
	}{
		{"an index out of range", readBeyond, "; index out of range [17] with length 17, in transfer.readBeyond (reading_test.go:"},
		{"no pointer", func([]byte) *received.Chain { return none }, "nil pointer dereference, in received."},
		{"an error", func([]byte) *received.Chain { panic(errors.New("odd")) }, "; odd, in transfer.TestDefectIsTold.func"},
		{"hostile words", func([]byte) *received.Chain { panic("a\x1b[2Jb\r\nc" + strings.Repeat("x", 5000)) }, "; a?[2Jb??cxxx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reader := Reader{Chain: c.chain}
			got := reader.Read([]byte("Subject: a text\r\n"), time.Now())
			const begins = "cannot be read: a defect of truehop; "
			if got.Defect == nil || !strings.HasPrefix(got.Defect.Why, begins) || !strings.Contains(got.Defect.Why, c.says) {
				t.Fatalf("read %+v with the defect %+v, want %q in it", got, got.Defect, c.says)
			}
			if strings.ContainsAny(got.Defect.Why, "\x1b\r\n") || len(got.Defect.Why) > 500 {
				t.Errorf("it says %q", got.Defect.Why)
			}
			if !strings.Contains(got.Defect.Stack, "reading.go") {
				t.Errorf("the stack is %s", got.Defect.Stack)
			}
			if got.Run.Treatment != HeldBack || got.Run.Why != got.Defect.Why || got.Boundary.Found || len(got.Chain.Hops) > 0 {
				t.Errorf("read %+v", got)
			}
		})
	}
}

// TestSpooledMessageWithADefect: what cannot be looked at is one message like another, by all its octets, and is held.
func TestSpooledMessageWithADefect(t *testing.T) {
	raw := []byte("From x\r\nStatus: RO\r\nSubject: a text\r\n\r\nbody\r\n")
	s, err := spool(bytes.NewReader(raw), -1, t.TempDir())
	if err != nil || s.hash == s.whole || s.mbox == 0 || s.defect != nil {
		t.Fatalf("spooled as %+v: %v", s, err)
	}
	fails := errors.New("disk")
	if err := s.examine(func() error { return fails }); !errors.Is(err, fails) || s.defect != nil {
		t.Errorf("a look that fails: %v, defect %v", err, s.defect)
	}
	if err := s.examine(func() error { panic("odd") }); err != nil {
		t.Errorf("a look that panics: %v", err)
	}
	if s.defect == nil || s.hash != s.whole || s.mbox != 0 || s.head != nil || s.fingerprint != (ledger.Fingerprint{}) {
		t.Errorf("it is %+v", s)
	}
	w := &pipeline{pass: &Pass{}, clock: &clock{}, plan: &plan{}}
	m := &message{spool: s}
	if ready, err := w.prepare(m); ready || err != nil || m.record().State != ledger.Held || m.record().Why != s.defect.Why {
		t.Errorf("ready %v, %v: %+v", ready, err, m.record())
	}
}
