package inject_test

import (
	"encoding"
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
)

// TestWords: each option is read from the word that it prints as, and from no other.
func TestWords(t *testing.T) {
	checkWords(t, map[inject.Dialect]string{inject.SMTP: "smtp", inject.LMTP: "lmtp"})
	checkWords(t, map[inject.Mode]string{inject.Required: "required", inject.IfAvailable: "if-available", inject.Off: "off"})
	checkWords(t, map[inject.Carrier]string{inject.XCLIENT: "xclient", inject.XFORWARD: "xforward", inject.PROXYv1: "proxy-v1", inject.PROXYv2: "proxy-v2"})
	checkWords(t, map[inject.DSN]string{inject.DSNDefault: "default", inject.DSNNever: "never"})
	checkWords(t, map[inject.EightBitPolicy]string{inject.SendAnyway: "send", inject.RefuseEightBit: "refuse"})
	checkWords(t, map[inject.NULPolicy]string{inject.SendNUL: "send", inject.RefuseNUL: "refuse"})
	if got := inject.Mode(9).String(); got != "9" {
		t.Errorf("a number that is no constant prints as %q", got)
	}
}

// option is a type of Options that has words.
type option interface {
	comparable
	encoding.TextMarshaler
	fmt.Stringer
	Words() []string
}

func checkWords[T option, P interface {
	*T
	encoding.TextUnmarshaler
}](t *testing.T, words map[T]string) {
	t.Helper()
	var zero T
	if got := zero.Words(); len(got) != len(words) {
		t.Errorf("%T has the words %q, want %d", zero, got, len(words))
	}
	for constant, word := range words {
		var read T
		if err := P(&read).UnmarshalText([]byte(word)); err != nil || read != constant {
			t.Errorf("%s is read as %v, %v", word, read, err)
		}
		if text, err := constant.MarshalText(); err != nil || string(text) != word || constant.String() != word {
			t.Errorf("%s is written as %q and prints as %s, %v", word, text, constant, err)
		}
		for _, wrong := range []string{"", strings.ToUpper(word), word + " ", "0", "\x1b[31m\n"} {
			read := constant
			err := P(&read).UnmarshalText([]byte(wrong))
			if err == nil || read != constant || !strings.Contains(err.Error(), word) || strings.ContainsAny(err.Error(), "\x1b\n") {
				t.Errorf("%q is read as %v, %v; want it left alone and the words named", wrong, read, err)
			}
		}
	}
}
