package transfer_test

import (
	"encoding"
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/schedule/transfer"
)

// TestWords: each rule is read from the word that it is written as, and from no other.
func TestWords(t *testing.T) {
	checkWords(t, map[transfer.NoClient]string{transfer.PresentStandIn: "present", transfer.SendPlain: "plain", transfer.Hold: "hold", transfer.Skip: "skip", transfer.PresentUnavailable: "unavailable"})
	checkWords(t, map[transfer.Submission]string{transfer.SubmissionRelay: "relay", transfer.SubmissionClient: "client", transfer.SubmissionUnavailable: "unavailable"})
	checkWords(t, map[transfer.NameSource]string{transfer.RecordedName: "recorded", transfer.LookedUpName: "lookup"})
	checkWords(t, map[transfer.RecipientField]string{"delivered-to": "delivered-to", "x-original-to": "x-original-to", "envelope-to": "envelope-to",
		"x-envelope-to": "x-envelope-to", "x-delivered-to": "x-delivered-to", transfer.ReceivedFor: "received-for"})
	if got := transfer.NoClient(9).String(); got != "9" {
		t.Errorf("a number that is no constant prints as %q", got)
	}
}

func checkWords[T interface {
	comparable
	encoding.TextMarshaler
	Words() []string
}, P interface {
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
		if text, err := constant.MarshalText(); err != nil || string(text) != word || fmt.Sprint(constant) != word {
			t.Errorf("%s is written as %q and prints as %v, %v", word, text, constant, err)
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
