package transfer_test

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestRefusalText: what becomes of refused mail is read from the form that it prints as.
func TestRefusalText(t *testing.T) {
	for text, want := range map[string]transfer.Refusal{
		"keep": {}, "delete": {Disposal: fetch.Disposal{Action: fetch.Delete}}, "move:Spam": {Disposal: fetch.Disposal{Action: fetch.Move, Target: "Spam"}},
		"quarantine:spam@example.org": {Quarantine: "spam@example.org"},
	} {
		r := transfer.Refusal{Quarantine: "x", Disposal: fetch.Disposal{Action: fetch.Delete}}
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%s is read as %+v, %v", text, r, err)
		}
		if back, err := want.MarshalText(); err != nil || string(back) != text || want.String() != text {
			t.Errorf("%+v is written as %q and prints as %s, %v; want %s", want, back, want, err, text)
		}
	}
	for text, why := range map[string]string{
		"": "want one of", "seen": "want one of keep, delete, move:FOLDER, quarantine:ADDRESS", "flag:x": "want one of", "Quarantine:x": "want one of",
		"quarantine": "quarantine needs an address: quarantine:ADDRESS", "quarantine:": "needs an address", "quarantine:a\x00b": "control character", "move": "move needs a folder", "delete:x": "takes nothing behind it",
	} {
		r := transfer.Refusal{Quarantine: "x"}
		if err := r.UnmarshalText([]byte(text)); err == nil || r != (transfer.Refusal{Quarantine: "x"}) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q is read as %+v, %v; want it left alone, and %q", text, r, err, why)
		}
	}
}
