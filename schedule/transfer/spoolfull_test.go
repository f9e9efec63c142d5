package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// filling is a session during which the spool fills up: at the second message, after 10 octets.
type filling struct {
	*session
	cause      error
	downloaded *int
}

func (f *filling) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	for _, ref := range refs {
		m, _ := f.store.Get(ref.Folder, f.uid(ref))
		var body io.Reader = bytes.NewReader(m.Raw())
		if bytes.Contains(m.Raw(), []byte("Subject: number 2\r\n")) && f.cause != nil {
			full := iotest.ErrReader(fmt.Errorf("%w: %w", transfer.ErrSpool, f.cause))
			body = io.MultiReader(io.LimitReader(body, 10), full, body)
		}
		err := sink(fetch.Message{Ref: ref, Size: -1, Body: readerFunc(func(p []byte) (int, error) {
			n, err := body.Read(p)
			*f.downloaded += n
			return n, err
		})})
		if err != nil {
			return err
		}
	}
	return nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestSpoolThatIsFullStopsRetrieval: nothing is downloaded to be thrown away. What came before is delivered, and the next
// pass goes on behind the message that did not fit.
func TestSpoolThatIsFullStopsRetrieval(t *testing.T) {
	for _, c := range []struct {
		cause error
		kind  ledger.Kind
	}{
		{syscall.ENOSPC, ledger.Full}, {syscall.EDQUOT, ledger.Full}, {syscall.EFBIG, ledger.Full}, {syscall.EROFS, ledger.Permission},
	} {
		for name, reusable := range map[string]bool{"imap": false, "pop3": true} {
			t.Run(fmt.Sprint(name, " ", c.cause), func(t *testing.T) {
				w := newWorld(t)
				w.reusable = reusable
				downloaded, cause := 0, c.cause
				w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
					box, err := w.dial(ctx)
					return &filling{box.(*session), cause, &downloaded}, err
				}
				for n := range 5 {
					w.add(n + 1)
				}
				s, err := w.try()
				hint, ok := err.(interface{ Hint() string })
				if ledger.KindOf(err) != c.kind || !ok || hint.Hint() == "" {
					t.Errorf("the pass ended with %v, want kind %v and what to do about it", err, c.kind)
				}
				if want := len(mail(1)) + 10; downloaded != want {
					t.Errorf("%d octets were downloaded, want %d", downloaded, want)
				}
				if s.Delivered != 1 || s.Failed != 1 || s.Settled != 1 {
					t.Errorf("summary %+v, want one delivered and settled, and one failed", s)
				}
				w.run()
				w.delivered(1, 3, 4, 5)
				cause = nil
				w.clock = w.clock.Add(time.Hour)
				w.run()
				w.delivered(1, 3, 4, 5, 2)
				w.left(0)
			})
		}
	}
}
