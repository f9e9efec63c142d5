package imap

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestTargetIsCreatedWhereStatusIsRefusedWithoutReason: GNU Mailutils has neither MOVE nor UIDPLUS, and refuses STATUS of a folder
// that does not exist with no response code.
func TestTargetIsCreatedWhereStatusIsRefusedWithoutReason(t *testing.T) {
	for name, test := range map[string]struct {
		status  string // the refusal
		creates bool   // may the folder be created
		created string // the answer to CREATE, "" for that of the server
		moved   int
		words   string
	}{
		"no code":           {status: "NO STATUS Error opening mailbox", creates: true, moved: 2},
		"a code":            {status: "NO [NONEXISTENT] no such mailbox", creates: true, moved: 2},
		"not to be created": {status: "NO STATUS Error opening mailbox", words: "Error opening mailbox"},
		"cannot be created": {status: "NO STATUS Error opening mailbox", creates: true, created: "NO it exists", words: "Error opening mailbox"},
	} {
		t.Run(name, func(t *testing.T) {
			box := fakeserver.NewStore()
			fetchtest.Fill(box, 3)
			s := server(box)
			s.Without = []string{"MOVE", "UIDPLUS"}
			var exists atomic.Bool
			s.Reply = func(verb, _ string) (string, bool) {
				if verb == "CREATE" {
					exists.Store(true)
					return "%T " + test.created + "\r\n", test.created != ""
				}
				return "%T " + test.status + "\r\n", verb == "STATUS" && !exists.Load()
			}
			opts := plaintext()
			opts.PlainExpunge, opts.CreateFolders = true, test.creates
			c, refs := open(t, s, opts)
			failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Move, Target: "New"}, refs[1:3])
			if err != nil {
				t.Fatal(err)
			}
			if got := len(box.UIDs("New")); got != test.moved || len(failures) != 2-test.moved {
				t.Errorf("%d messages were moved, want %d; failures %v", got, test.moved, failures)
			}
			if slices.ContainsFunc(failures, func(f fetch.Failure) bool { return !strings.Contains(f.Err.Error(), test.words) }) {
				t.Errorf("failures %v do not say %q", failures, test.words)
			}
		})
	}
}
