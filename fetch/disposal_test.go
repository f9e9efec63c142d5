package fetch

import (
	"strings"
	"testing"
)

// TestDisposalText: a disposal is read from the form that it prints as.
func TestDisposalText(t *testing.T) {
	for text, want := range map[string]Disposal{
		"keep": {Action: Keep}, "delete": {Action: Delete}, "seen": {Action: Flag},
		"flag:$Truehop": {Action: Flag, Target: "$Truehop"}, "flag:done_1": {Action: Flag, Target: "done_1"},
		"move:INBOX/Done it": {Action: Move, Target: "INBOX/Done it"}, "move:a:b": {Action: Move, Target: "a:b"},
	} {
		var d Disposal
		if err := d.UnmarshalText([]byte(text)); err != nil || d != want {
			t.Errorf("%s is read as %+v, %v", text, d, err)
		}
		if back, err := want.MarshalText(); err != nil || string(back) != text || want.String() != text {
			t.Errorf("%+v is written as %q and prints as %s, %v; want %s", want, back, want, err, text)
		}
	}
	for text, why := range map[string]string{
		"": "want one of keep, delete, seen, flag:KEYWORD, move:FOLDER", "Keep": "want one of", "quarantine:x@example.org": "want one of", "x\x1b[2J": "want one of",
		"flag": "flag needs a keyword: flag:KEYWORD", "flag:": "flag needs a keyword", `flag:\Seen`: "no IMAP keyword", "flag:a b": "no IMAP keyword", "flag:ü": "no IMAP keyword",
		"flag:" + strings.Repeat("x", 65): "no IMAP keyword", "move": "move needs a folder: move:FOLDER", "move:": "move needs a folder", "move:a\r\nb": "control character", "keep:x": `"keep" takes nothing behind it; write keep alone`,
		"delete:": `"delete" takes nothing behind it; write delete alone`, "seen:x": `"seen" takes nothing behind it; write seen alone`,
	} {
		d := Disposal{Action: Delete}
		err := d.UnmarshalText([]byte(text))
		if err == nil || d != (Disposal{Action: Delete}) || !strings.Contains(err.Error(), why) || strings.ContainsAny(err.Error(), "\x1b\r\n") {
			t.Errorf("%q is read as %+v, %v; want it left alone, and %q", text, d, err, why)
		}
	}
}
