package inject

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// stuffed returns content as it goes over the wire with its final dot, written in pieces.
func stuffed(content []byte, piece int) []byte {
	var out []byte
	s := stuffer{sink: func(p []byte) *end { out = append(out, p...); return nil }}
	for p := range slices.Chunk(content, piece) {
		_ = s.write(p)
	}
	_ = s.finish()
	return append(out, dotCRLF...)
}

var (
	manyCR = regexp.MustCompile("\r+\n")
	loneCR = regexp.MustCompile("\r")
)

// canonical is what must arrive, by another road than the stuffer's.
func canonical(content []byte) []byte {
	b := manyCR.ReplaceAll(content, []byte("\n"))
	b = loneCR.ReplaceAll(b, []byte(" "))
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	return bytes.ReplaceAll(b, []byte("\n"), crlf)
}

// decoders are the ways in which servers find the end of DATA: each returns the line endings
// that it knows, the longest first.
var decoders = map[string][]string{
	"strict":          {"\r\n"},
	"LF-lenient":      {"\r\n", "\n"},
	"CR-lenient":      {"\r\n", "\r"},
	"sendmail-like":   {"\r\n", "\n", "\r"},
	"Postfix-like":    {"\r\r\r\n", "\r\r\n", "\r\n", "\n"},
	"NUL-is-nothing":  {"\x00\r\n", "\r\n", "\n"},
	"LF-CR is an end": {"\n\r", "\r\n", "\n", "\r"},
}

// firstDot returns the position behind the first line that is a dot, -1 if there is none.
func firstDot(wire []byte, endings []string) int {
	ending := func(at int) int {
		for _, e := range endings {
			if bytes.HasPrefix(wire[at:], []byte(e)) {
				return len(e)
			}
		}
		return 0
	}
	start := true
	for i := 0; i < len(wire); {
		if start && wire[i] == '.' {
			if n := ending(i + 1); n > 0 {
				return i + 1 + n
			}
		}
		if n := ending(i); n > 0 {
			i, start = i+n, true
			continue
		}
		i, start = i+1, false
	}
	return -1
}

// checkStuffed: every decoder finds the end where it is, and the strict one what was meant.
func checkStuffed(t *testing.T, content []byte) {
	t.Helper()
	want := stuffed(content, len(content)+1)
	for _, piece := range []int{1, 2, 3, 7} {
		if got := stuffed(content, piece); !bytes.Equal(got, want) {
			t.Fatalf("%q in pieces of %d is %q, at once %q", content, piece, got, want)
		}
	}
	for name, endings := range decoders {
		if at := firstDot(want, endings); at != len(want) {
			t.Fatalf("%q: a %s server ends it at octet %d of %d: %q", content, name, at, len(want), want)
		}
	}
	body := bytes.TrimSuffix(want, dotCRLF)
	if bytes.Contains(bytes.ReplaceAll(body, crlf, nil), []byte("\n")) || bytes.Contains(bytes.ReplaceAll(body, crlf, nil), []byte("\r")) {
		t.Fatalf("%q leaves a bare CR or LF: %q", content, want)
	}
	unstuffed := bytes.ReplaceAll(append(slices.Clone(crlf), body...), []byte("\r\n."), crlf)[2:]
	if !bytes.Equal(unstuffed, canonical(content)) {
		t.Fatalf("%q arrives as %q, want %q", content, unstuffed, canonical(content))
	}
}

// smuggled is what an attacker wants a server to take for a second message.
const smuggled = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"

// endingsOfData are the ends of DATA that one server or another has taken.
func endingsOfData() []string {
	return []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\n.\r\r\n", "\r\r\n.\r\n", "\r\n.\x00\r\n", "\n\x00.\r\n",
		"\r\n.\r\n", "\r\n\x00.\r\n", "\n.\r\r\n", "\r\r\n.\r\r\n", "\r\n.\x00\n", "\n\n.\n\n", "\r.\n", "\n.\r"}
}

// Lines end with CRLF, none starts with a dot of its own, and all other octets stay.
func TestStuffer(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", ".\r\n"},
		{"no header", "\r\nbody\r\n", "\r\nbody\r\n.\r\n"},
		{"dots at the start of lines", ".\r\n..\r\n...\r\n.a\r\na.\r\n", "..\r\n...\r\n....\r\n..a\r\na.\r\n.\r\n"},
		{"a dot only", ".", "..\r\n.\r\n"},
		{"a dot last", "a\r\n.", "a\r\n..\r\n.\r\n"},
		{"no final newline", "a", "a\r\n.\r\n"},
		{"bare LF", "a\nb\n", "a\r\nb\r\n.\r\n"},
		{"bare CR", "a\rb\r", "a b \r\n.\r\n"},
		{"CR CR LF", "a\r\r\nb", "a\r\nb\r\n.\r\n"},
		{"CR at a line's start", "\r.\r\n", " .\r\n.\r\n"},
		{"NUL, SUB, BOM", "\xef\xbb\xbf\x00\x1a", "\xef\xbb\xbf\x00\x1a\r\n.\r\n"},
		{"octets above 127", "\xff\xfe\x80\r\n", "\xff\xfe\x80\r\n.\r\n"},
		{"From lines are left alone", "From x\r\n>From y\r\n", "From x\r\n>From y\r\n.\r\n"},
	} {
		if got := stuffed([]byte(c.in), 1<<20); string(got) != c.want {
			t.Errorf("%s: %q becomes %q, want %q", c.name, c.in, got, c.want)
		}
		checkStuffed(t, []byte(c.in))
	}
	for _, end := range endingsOfData() {
		checkStuffed(t, []byte("Subject: x\r\n\r\nhello"+end+smuggled))
		checkStuffed(t, []byte(end))
	}
}

// TestStufferExhaustive tries all contents of the octets that matter, up to a length.
func TestStufferExhaustive(t *testing.T) {
	alphabet := []byte("\r\n.a")
	content := make([]byte, 0, stuffedLength)
	var try func()
	try = func() {
		checkStuffed(t, content)
		if len(content) == cap(content) {
			return
		}
		for _, ch := range alphabet {
			content = append(content, ch)
			try()
			content = content[:len(content)-1]
		}
	}
	try()
}

func FuzzStuffer(f *testing.F) {
	for _, end := range endingsOfData() {
		f.Add([]byte("hello" + end + smuggled))
	}
	f.Fuzz(func(t *testing.T, content []byte) { checkStuffed(t, content) })
}

// One line of 10 MB passes in constant memory.
func TestLongLine(t *testing.T) {
	chunk := bytes.Repeat([]byte("x"), outSize)
	size := 0
	s := stuffer{sink: func(p []byte) *end { size += len(p); return nil }}
	allocs := testing.AllocsPerRun(1, func() {
		for range 10 << 20 / outSize {
			_ = s.write(chunk)
		}
	})
	if _ = s.finish(); size != 2*10<<20+2 || allocs != 0 {
		t.Errorf("%d octets, %v allocations", size, allocs)
	}
}

func BenchmarkStuffer(b *testing.B) {
	for name, line := range map[string]string{
		"CRLF": strings.Repeat("x", 70) + "\r\n",
		"LF":   strings.Repeat("x", 70) + "\n",
		"dots": "." + strings.Repeat("x", 69) + "\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			chunk := bytes.Repeat([]byte(line), outSize/len(line))
			out := make([]byte, 0, outSize)
			s := stuffer{sink: func(p []byte) *end {
				if len(out)+len(p) > cap(out) {
					out = out[:0]
				}
				out = append(out, p...)
				return nil
			}}
			b.SetBytes(int64(len(chunk)))
			b.ReportAllocs()
			for b.Loop() {
				_ = s.write(chunk)
			}
		})
	}
}
