package imap

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestSizeThatGrows: a message is measured by the literal that comes, not by the size that was announced.
func TestSizeThatGrows(t *testing.T) {
	script := begin + "C: T4 UID FETCH 7 (UID RFC822.SIZE)\nS: * 1 FETCH (UID 7 RFC822.SIZE 10)\nS: T4 OK x\n" +
		"C: T5 UID FETCH 7 (UID BODY.PEEK[])\nS: * 1 FETCH (UID 7 BODY[] {19}\nS: " + strings.Repeat("x", 17) + "\nS: )\nS: T5 OK x\n"
	for limit, large := range map[int64]bool{18: true, 19: false} {
		o := plaintext()
		o.MaxSize, o.Timeouts = limit, Timeouts{Idle: 10 * time.Second}
		c, err := New(t.Context(), fetchtest.Play(t, script), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Abort)
		listing, err := c.Open(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []fetch.Message
		if err := c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
			got = append(got, m)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		var e *fetch.Error
		if len(got) != 1 || (errors.As(got[0].Err, &e) && e.Kind == fetch.TooLarge) != large || (got[0].Body == nil) != large {
			t.Errorf("with a limit of %d octets: %+v, want it too large: %v", limit, got, large)
		}
	}
}
