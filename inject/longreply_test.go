package inject_test

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestLongReply: the code of a reply counts, however long its text is: a refusal is no doubt.
func TestLongReply(t *testing.T) {
	for code, want := range map[string]inject.Outcome{"250 ": inject.Delivered, "451 ": inject.Deferred, "550 ": inject.Refused} {
		bubble(t, code, func(t *testing.T) {
			fault := injecttest.Fault{Stage: injecttest.DOT, Nth: 1, Reply: code + strings.Repeat("see https://example.org/ ", 400)}
			r, _, _ := one(t, injecttest.Options{Faults: []injecttest.Fault{fault}}, inject.Options{})
			if r.Outcome != want || r.Stage != "dot" {
				t.Errorf("%v at %s, want %v: %v", r.Outcome, r.Stage, want, r.Err)
			}
		})
	}
}
