package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestStatusOfAPassThatDidNotSeeAll: messages that the server does not list are told, though the pass met no error.
func TestStatusOfAPassThatDidNotSeeAll(t *testing.T) {
	began := time.Date(2026, 11, 26, 1, 0, 0, 0, time.UTC)
	for _, ok := range []bool{true, false} {
		last := ledger.Pass{Began: began, Ended: began.Add(time.Second), OK: ok, Listed: 2, Error: "messages out of reach: 1"}
		var out strings.Builder
		NewAccountStatus("work", last, began, nil, nil, nil).Print(&out, "/state", began)
		if got := strings.Contains(out.String(), "did not see all: messages out of reach: 1"); got != ok || strings.Contains(out.String(), "FAILED") == ok {
			t.Errorf("a pass with OK %v is told as %q", ok, out.String())
		}
	}
}
