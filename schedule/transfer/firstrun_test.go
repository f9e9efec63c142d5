package transfer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/transfer"
)

// TestFirstRunInWords: each form is read and written; no other is read.
func TestFirstRunInWords(t *testing.T) {
	for text, want := range map[string]transfer.FirstRun{
		"ask": {}, "deliver": {Action: transfer.DeliverAll}, "adopt": {Action: transfer.AdoptAll}, "newest 50": {Action: transfer.DeliverNewest, Newest: 50},
		"since 2026-01-31": {Action: transfer.DeliverSince, Since: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)},
	} {
		var got transfer.FirstRun
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
		if written, err := want.MarshalText(); err != nil || string(written) != text {
			t.Errorf("%+v is written as %s, %v", want, written, err)
		}
	}
	for text, says := range map[string]string{
		"": "want one of ask", "Ask": "want one of ask", "ask 5": "takes no argument", "adopt ": "takes no argument", "newest": "as in newest 50", "newest 0": "as in newest 50",
		"newest -1": "as in newest 50", "newest 05": "as in newest 50", "newest 5 6": "as in newest 50", "newest  5": "as in newest 50", "newest 1000001": "1 to 1000000",
		"since": "as in since", "since 31.1.2026": "as in since", "since 2026-02-30": "as in since", "since 0001-01-01": "as in since", "\x1b": "want one of ask",
	} {
		got := transfer.FirstRun{Action: transfer.AdoptAll}
		err := got.UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), says) || got.Action != transfer.AdoptAll || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q is read as %+v, %v; want %q", text, got, err, says)
		}
	}
}
