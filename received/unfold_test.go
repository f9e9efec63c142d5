package received

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// unfoldSlowly does what unfold does, one octet at a time.
func unfoldSlowly(value []byte) (string, bool) {
	value = trimEnd(value)
	var b strings.Builder
	bad, blank := false, true
	for i, c := range value {
		next := byte('x')
		if i+1 < len(value) {
			next = value[i+1]
		}
		bad = bad || c == 0 || c == '\r' && next != '\n' || c == '\n' && next != ' ' && next != '\t'
		switch {
		case !isSpace(c):
			b.WriteByte(c)
			blank = false
		case !blank:
			b.WriteByte(' ')
			blank = true
		}
	}
	return b.String(), bad
}

func TestUnfold(t *testing.T) {
	const octets = "aaaaaaaaaaaaa b  \t\t\r\n\r\n\x00\x01(é"
	random := rand.New(rand.NewPCG(1, 2))
	for range randomTexts {
		value := make([]byte, random.IntN(40))
		for i := range value {
			value[i] = octets[random.IntN(len(octets))]
		}
		raw, got, err := unfold(value, value)
		want, bad := unfoldSlowly(value)
		if raw != string(value) {
			t.Fatalf("unfold(%q) gives %q as it is", value, raw)
		}
		if got != want || (err != nil) != bad {
			t.Fatalf("unfold(%q) = %q, %v; want %q, bad %v", value, got, err, want, bad)
		}
	}
}
