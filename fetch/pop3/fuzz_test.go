package pop3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/sasl"
)

// tape is a connection to a server that says what it says, whatever it is sent.
type tape struct {
	io.Reader
}

func (tape) Write(p []byte) (int, error)      { return len(p), nil }
func (tape) Close() error                     { return nil }
func (tape) LocalAddr() net.Addr              { return nil }
func (tape) RemoteAddr() net.Addr             { return nil }
func (tape) SetDeadline(time.Time) error      { return nil }
func (tape) SetReadDeadline(time.Time) error  { return nil }
func (tape) SetWriteDeadline(time.Time) error { return nil }

// lockstep hands out one reply at a time, so that the client sees no octets early.
type lockstep struct{ parts [][]byte }

func (l *lockstep) Read(p []byte) (int, error) {
	if len(l.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.parts[0])
	if l.parts[0] = l.parts[0][n:]; len(l.parts[0]) == 0 {
		l.parts = l.parts[1:]
	}
	return n, nil
}

func wireOver(r io.Reader) *wire {
	return newWire(tape{r}, Timeouts{}.WithDefaults(), slog.New(slog.DiscardHandler))
}

// unstuff is what body must agree with, written another way: by whole lines.
func unstuff(raw string) (message, rest string, complete bool) {
	var b strings.Builder
	for {
		line, after, ok := strings.Cut(raw, "\r\n")
		if !ok {
			return b.String(), "", false
		}
		if line == "." {
			return b.String(), after, true
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
		raw = after
	}
}

func checkBody(t *testing.T, raw []byte, chunk int) {
	t.Helper()
	var source io.Reader = bytes.NewReader(raw)
	if chunk%2 == 1 {
		source = &lockstep{[][]byte{raw[:min(chunk, len(raw))], raw[min(chunk, len(raw)):]}}
		if len(raw) <= chunk {
			source = bytes.NewReader(raw)
		}
	}
	w := wireOver(source)
	b := &body{w: w, lineStart: true}
	var got []byte
	p := make([]byte, chunk%100+1)
	var err error
	for err == nil {
		var n int
		n, err = b.Read(p)
		got = append(got, p[:n]...)
	}
	want, rest, complete := unstuff(string(raw))
	if complete {
		left, _ := io.ReadAll(w.br)
		may, _ := beginsReply([]byte(rest))
		noticed := fetch.KindOf(err) == fetch.Protocol && !may
		ended := err == io.EOF || noticed
		if !ended || string(got) != want || string(left) != rest {
			t.Errorf("from %q: got %q, %v, left %q; want %q and %q left", raw, got, err, left, want, rest)
		}
		return
	}
	if err == io.EOF || errors.Is(err, io.EOF) || fetch.KindOf(err) != fetch.Unreachable || !strings.HasPrefix(string(got), want) {
		t.Errorf("from %q: got %q, %v; want an error and %q first", raw, got, err, want)
	}
}

func FuzzBody(f *testing.F) {
	for _, raw := range []string{".\r\n", "a\r\n.\r\nb", "..\r\n.\r\n", "\r\n.\r\n", "a\n.\n", "a\r.\r\n.\r\n", ".\r\r\n.\r\n", "\r\r\n..\r\n.\r\n", ".a\r\n.", ".\r"} {
		for _, chunk := range []uint16{1, 2, 3, 99} {
			f.Add([]byte(raw), chunk)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, chunk uint16) { checkBody(t, raw, int(chunk)) })
}

// TestBodyExhaustive tries every short string over the octets that matter.
func TestBodyExhaustive(t *testing.T) {
	const alphabet = "\r\n.a"
	for length := 0; length <= 6; length++ {
		total := 1 << (2 * length)
		for n := range total {
			raw := make([]byte, length)
			for i := range raw {
				raw[i] = alphabet[n>>(2*i)&3]
			}
			checkBody(t, raw, n%7)
			checkBody(t, append(raw, "\r\n.\r\n+OK"...), n%5)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, line := range []string{"+OK", "-ERR [IN-USE] x", "+OK [", "-ERR ]", "+ ", "", "-ERR [SYS/TEMP"} {
		f.Add([]byte(line))
	}
	f.Add([]byte("-ERR\x00"))
	f.Add([]byte("\t+ok,x"))
	status := regexp.MustCompile(`^[ \t]*(?:(\+(?i:OK))|-(?i:ERR))(?:[^A-Za-z0-9]|$)`)
	f.Fuzz(func(t *testing.T, line []byte) {
		r, ok := parseReply(line)
		if found := status.FindSubmatch(line); ok != (found != nil) || ok && r.ok != (found[1] != nil) {
			t.Errorf("%q: got %+v, %v", line, r, ok)
		}
		e := r.failure("PASS", fetch.Auth)
		if e.Kind == fetch.Unclassified || len(e.Text) > 300 || strings.ContainsAny(e.Text, "\r\n\x00\x1b") {
			t.Errorf("%q: classified as %+v", line, e)
		}
	})
}

func FuzzListing(f *testing.F) {
	for _, line := range []string{"1 a", "0 a", "-1", "2147483648 x", "1", "1 ", "3 100 extra", "3 -1", "9 99999999999999999999"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, verb := range []string{"UIDL", "LIST"} {
			ref, ok := parseListing(verb, line)
			if ok && (ref.Seq == 0 || ref.Seq > 1<<31-1 || len(ref.UID) > maxUID || ref.Size < -1) {
				t.Errorf("%s %q: got %+v", verb, line, ref)
			}
			if ok && verb == "UIDL" && ref.UID != "" && !bytes.Contains(line, []byte(ref.UID)) {
				t.Errorf("%q: the UID %q is not in it", line, ref.UID)
			}
		}
	})
}

// FuzzSession lets a server say anything, cut into replies at "|".
func FuzzSession(f *testing.F) {
	f.Add([]byte("+OK\r\n|+OK\r\nUIDL\r\nPIPELINING\r\nUSER\r\n.\r\n|+OK\r\n|+OK\r\n|+OK\r\n1 a\r\n.\r\n+OK\r\n1 5\r\n.\r\n|+OK\r\nabc\r\n.\r\n|+OK\r\n|+OK\r\n"))
	f.Add([]byte("+OK\r\n|-ERR\r\n|+OK\r\n|+OK\r\n|-ERR\r\n|+OK\r\n1 5\r\n.\r\n|-ERR\r\n|-ERR\r\n|-ERR\r\n"))
	f.Add([]byte("+OK\r\n|+OK\r\nSASL LOGIN\r\n.\r\n|+ \r\n|+ \r\n|+OK\r\n|"))
	f.Fuzz(func(t *testing.T, said []byte) {
		opts := Options{MaxSize: 100, MaxMessages: 50}
		opts.Credentials = sasl.Credentials{User: "u", Password: "p", AllowPlaintext: true}
		client, err := New(context.Background(), tape{&lockstep{split(said)}}, opts)
		checkError(t, err)
		if err != nil {
			return
		}
		listing, err := client.Open(context.Background(), "")
		checkError(t, err)
		if err == nil {
			calls := 0
			err = client.Retrieve(context.Background(), listing.Refs, func(m fetch.Message) error {
				calls++
				if m.Err == nil {
					_, m.Err = io.Copy(io.Discard, m.Body)
				}
				checkError(t, m.Err)
				return nil
			})
			if checkError(t, err); err == nil && calls != len(listing.Refs) {
				t.Errorf("%d calls for %d refs", calls, len(listing.Refs))
			}
			_, err = client.Settle(context.Background(), fetch.Disposal{Action: fetch.Delete}, listing.Refs)
			checkError(t, err)
		}
		checkError(t, client.Close(context.Background()))
	})
}

func split(said []byte) (parts [][]byte) {
	for part := range bytes.SplitSeq(said, []byte{'|'}) {
		if len(part) > 0 {
			parts = append(parts, part)
		}
	}
	return parts
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var e *fetch.Error
	if err != nil && (!errors.As(err, &e) || e.Kind == fetch.Unclassified || errors.Is(err, io.EOF)) {
		t.Errorf("got %T %v, want a classified *fetch.Error", err, err)
	}
}

// endless repeats one text.
type endless struct {
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.text[e.at:])
		n += c
		e.at = (e.at + c) % len(e.text)
	}
	return n, nil
}

func BenchmarkUnstuff(b *testing.B) {
	for name, line := range map[string]string{
		"lines of 64":  strings.Repeat("x", 62) + "\r\n",
		"lines of 998": strings.Repeat("x", 996) + "\r\n",
		"only dots":    "..\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			body := &body{w: wireOver(&endless{text: bytes.Repeat([]byte(line), 1000)}), lineStart: true}
			p := make([]byte, 32<<10)
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if _, err := io.ReadFull(body, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
