package imap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// A sink may take as long as it likes: the deadlines are for the server.
func TestSlowSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 99_998) + "\\r\\n"
		c, listing, err := play(t, begin+fetch7+`S= "* 1 FETCH (UID 7 BODY[] {100000}\r\n`+body+`)\r\nT4 OK x\r\n"`)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
			time.Sleep(time.Hour)
			_, err := io.CopyN(io.Discard, m.Body, 50_000)
			time.Sleep(time.Hour)
			n, rest := io.Copy(io.Discard, m.Body)
			if n != 50_000 {
				t.Errorf("%d octets at last, want 50,000", n)
			}
			time.Sleep(time.Hour)
			return errors.Join(err, rest)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// The server falls silent, or does not even read, at any step.
func TestSilence(t *testing.T) {
	for name, script := range map[string]string{
		"greeting":     "silence",
		"half a line":  "S= \"* OK hel\"\nsilence",
		"capabilities": "S: * OK x\nC: H0 CAPABILITY\nS: * CAPABILITY IMAP4rev1\nsilence",
		"login":        "S: * OK [CAPABILITY IMAP4rev1] x\nC~ T1 LOGIN .*\nsilence",
		"select":       strings.SplitAfter(begin, "(ALL) ALL\n")[0] + "silence",
		"fetch":        begin + fetch7 + "silence",
		"literal":      begin + fetch7 + "S: * 1 FETCH (UID 7 BODY[] {300}\nS: some\nsilence",
		"behind it":    begin + fetch7 + `S= "* 1 FETCH (UID 7 BODY[] {3}\r\nabc"` + "\nsilence",
		"before OK":    begin + fetch7 + "S: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nsilence",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				c, listing, err := play(t, script)
				if err == nil {
					err = c.Retrieve(t.Context(), listing.Refs, func(m fetch.Message) error {
						if raw, err := io.ReadAll(m.Body); err == nil {
							t.Errorf("a message came: %q", raw)
						}
						return nil
					})
				}
				took := time.Since(begun)
				if fetch.KindOf(err) != fetch.Unreachable || took != 10*time.Second {
					t.Errorf("got %v after %v, want Kind unreachable after 10 s", err, took)
				}
			})
		})
	}
	t.Run("the server does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn, peer := net.Pipe()
			defer peer.Close()
			go func() { _, _ = io.WriteString(peer, "* OK x\r\n") }() // and reads nothing
			begun := time.Now()
			_, err := New(t.Context(), conn, plaintext())
			if took := time.Since(begun); fetch.KindOf(err) != fetch.Unreachable || took != 3*time.Minute {
				t.Errorf("got %v after %v, want Kind unreachable after 3 minutes", err, took)
			}
		})
	})
}

// The context ends each method at once, wherever the server keeps it waiting.
func TestContext(t *testing.T) {
	for name, script := range map[string]string{
		"greeting": "silence",
		"login":    "S: * OK [CAPABILITY IMAP4rev1] x\nC~ T1 LOGIN .*\nsilence",
		"select":   strings.SplitAfter(begin, "(ALL) ALL\n")[0] + "silence",
		"fetch":    begin + fetch7 + "silence",
		"literal":  begin + fetch7 + "S: * 1 FETCH (UID 7 BODY[] {300}\nS: some\nsilence",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				c, err := New(ctx, fetchtest.Play(t, script), plaintext())
				if err == nil {
					defer c.Abort()
					var listing *fetch.Listing
					if listing, err = c.Open(ctx, ""); err == nil {
						err = c.Retrieve(ctx, listing.Refs, func(m fetch.Message) error {
							_, err := io.Copy(io.Discard, m.Body)
							return err
						})
					}
				}
				if took := time.Since(begun); err != context.DeadlineExceeded || took != time.Second {
					t.Errorf("got %v after %v, want deadline exceeded after 1 s", err, took)
				}
			})
		})
	}
}

// TLS that ends without close_notify inside a literal is a message cut short.
func TestTLSTruncation(t *testing.T) {
	serverTLS, client := fakeserver.TLS()
	store := fakeserver.NewStore()
	store.Add("", bytes.Repeat([]byte("x"), 2<<20))
	s := server(store)
	s.TLS, s.Implicit = serverTLS, true
	line := fetchtest.Cut(fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr()))
	o := starttls(client)
	o.StartTLS = false
	c, err := New(t.Context(), tls.Client(line, client), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	line.Reads(500_000)
	_, _, err = fetchtest.Collect(t.Context(), c, listing.Refs)
	if fetch.KindOf(err) != fetch.Unreachable || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want Kind unreachable and an unexpected EOF", err)
	}
}
