package imap

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestSizeThatGrows: a message is measured by the literal that comes, not by what the server said of its size before.
func TestSizeThatGrows(t *testing.T) {
	script := strings.Replace(begin, "C: T3 UID SEARCH RETURN (ALL) ALL\n", "C: T3 UID SEARCH RETURN (ALL) ALL\nC~ T4 UID SEARCH RETURN \\(ALL\\) LARGER 1[89]\n", 1) +
		"S: * ESEARCH (TAG \"T4\") UID\nS: T4 OK x\n" +
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

// TestSecure: the password goes over a connection that is said to be as good as under TLS, and over no other
// unless that is allowed.
func TestSecure(t *testing.T) {
	for _, c := range []struct{ secure, allowed, logsIn bool }{{true, false, true}, {false, true, true}, {false, false, false}} {
		o := plaintext()
		o.Secure, o.Credentials.AllowPlaintext, o.Timeouts = c.secure, c.allowed, Timeouts{Idle: 10 * time.Second}
		script := "S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\nhangup"
		if c.logsIn {
			script = begin
		}
		client, err := New(t.Context(), fetchtest.Play(t, script), o)
		if (err == nil) != c.logsIn {
			t.Errorf("secure %v, plaintext allowed %v: %v", c.secure, c.allowed, err)
			continue
		}
		if c.logsIn {
			t.Cleanup(client.Abort)
			if _, err := client.Open(t.Context(), ""); err != nil {
				t.Error(err)
			}
		}
	}
}
