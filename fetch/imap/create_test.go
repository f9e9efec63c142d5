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
			mustMove(t, c, box, refs[1:3], test.moved, test.words)
		})
	}
}

// TestTargetIsCreatedWhereMoveIsRefusedWithoutReason: RFC 9051 section 6.4.7 has TRYCREATE for a target that does not exist, and there are servers
// that say so in words of their own, or by BAD.
func TestTargetIsCreatedWhereMoveIsRefusedWithoutReason(t *testing.T) {
	for name, test := range map[string]struct {
		refusal string // of the command that names the target, until that exists
		created string // the answer to CREATE, "" for that of the server
		moved   int
	}{
		"no code":           {refusal: "NO Mailbox doesn't exist: New", moved: 2},
		"BAD":               {refusal: "BAD The folder could not be found.", moved: 2},
		"a code":            {refusal: "NO [TRYCREATE] no", moved: 2},
		"cannot be created": {refusal: "NO over quota", created: "NO it exists"},
		"will pass":         {refusal: "NO [UNAVAILABLE] later", created: "BAD who asked?"},
	} {
		for _, without := range [][]string{nil, {"MOVE"}} {
			t.Run(name+strings.Join(without, ""), func(t *testing.T) {
				box := fakeserver.NewStore()
				fetchtest.Fill(box, 3)
				s := server(box)
				s.Without = without
				var exists, asked atomic.Bool
				s.Reply = func(verb, args string) (string, bool) {
					switch {
					case verb == "CREATE":
						exists.Store(test.created == "")
						asked.Store(true)
						return "%T " + test.created + "\r\n", test.created != ""
					case exists.Load(), !strings.Contains(args, "New"):
						return "", false
					}
					return "%T " + test.refusal + "\r\n", true
				}
				opts := plaintext()
				opts.CreateFolders = true
				c, refs := open(t, s, opts)
				_, words, _ := strings.Cut(test.refusal, " ")
				mustMove(t, c, box, refs[1:3], test.moved, words)
				if passes := name == "will pass"; passes == asked.Load() {
					t.Errorf("CREATE was sent: %t", asked.Load())
				}
			})
		}
	}
}

// mustMove moves messages to the folder New, and wants so many of them to be there and words in the error of each other.
func mustMove(t *testing.T, c *Client, box *fakeserver.Store, refs []fetch.Ref, moved int, words string) {
	t.Helper()
	failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Move, Target: "New"}, refs)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(box.UIDs("New")); got != moved || len(failures) != len(refs)-moved {
		t.Errorf("%d messages were moved, want %d; failures %v", got, moved, failures)
	}
	if slices.ContainsFunc(failures, func(f fetch.Failure) bool { return !strings.Contains(f.Err.Error(), words) }) {
		t.Errorf("failures %v do not say %q", failures, words)
	}
}
