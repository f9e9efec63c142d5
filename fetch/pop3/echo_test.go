package pop3_test

import (
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// TestPasswordOfOurOwnWords: a password that stands in the words of the protocol or of an error is not taken for an echo; what
// the server says is shown then.
func TestPasswordOfOurOwnWords(t *testing.T) {
	for _, password := range []string{"ERR", "PASS", "server", "said", "-ERR"} {
		o := plaintext()
		o.Credentials.Password = password
		script := "S: +OK hi\nC: CAPA\nS: +OK\nS: USER\nS: .\nC~ USER .*\nS: +OK\nC: PASS " + password + "\nS: -ERR renew it\nhangup"
		_, err := pop3.New(t.Context(), fetchtest.Play(t, script), o)
		if fetch.KindOf(err) != fetch.Auth || !strings.Contains(err.Error(), "renew it") {
			t.Errorf("%q: got %v, want the server's words", password, err)
		}
	}
}

// TestListingWithoutEnd: of a UIDL without end no more is read than fits into memory by far, whatever its lines are.
func TestListingWithoutEnd(t *testing.T) {
	const most = 4<<20 + 80*listable
	for name, line := range map[string]func(n int) string{
		"short ids": func(n int) string { return strconv.Itoa(n) + " a\r\n" },
		"long ids":  func(n int) string { return strconv.Itoa(n) + " " + strings.Repeat("u", 1000) + "\r\n" },
		"no ids":    func(int) string { return "\r\n" },
		"no lines":  func(int) string { return strings.Repeat("u", 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			said := 0
			var wg sync.WaitGroup
			wg.Go(func() {
				defer server.Close()
				in := make([]byte, 1<<10)
				reply := func(text string) bool {
					_, err := server.Read(in)
					if err == nil {
						_, err = io.WriteString(server, text)
					}
					return err == nil
				}
				_, _ = io.WriteString(server, "+OK hi\r\n")
				if !reply("+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\n.\r\n") || !reply("+OK\r\n") || !reply("+OK\r\n") || !reply("+OK\r\n") {
					return
				}
				for n := 1; said < 2*most; {
					var chunk strings.Builder
					for chunk.Len() < 64<<10 {
						chunk.WriteString(line(n))
						n++
					}
					written, err := io.WriteString(server, chunk.String())
					if said += written; err != nil {
						return
					}
				}
			})
			o := plaintext()
			o.MaxMessages = listable
			c, err := pop3.New(t.Context(), client, o)
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Open(t.Context(), "")
			c.Abort()
			wg.Wait()
			if fetch.KindOf(err) != fetch.Protocol || said > most {
				t.Errorf("got %v after %d octets", err, said)
			}
		})
	}
}
