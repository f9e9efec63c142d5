package imap

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
)

// What SELECT says of the right to change a folder.
func TestReadOnly(t *testing.T) {
	for name, test := range map[string]struct {
		said     string
		readOnly bool
	}{
		"READ-WRITE":                          {"S: T2 OK [READ-WRITE] x", false},
		"READ-ONLY":                           {"S: T2 OK [READ-ONLY] x", true},
		"neither":                             {"S: T2 OK x", true},
		"flags are kept":                      {"S: * OK [PERMANENTFLAGS (\\Deleted \\Seen)] x\nS: T2 OK x", false},
		"flags are kept, and READ-ONLY":       {"S: * OK [PERMANENTFLAGS (\\Deleted \\Seen)] x\nS: T2 OK [READ-ONLY] x", true},
		"no flags are kept":                   {"S: * OK [PERMANENTFLAGS ()] x\nS: T2 OK x", true},
		"no flags are kept, and READ-WRITE":   {"S: * OK [PERMANENTFLAGS ()] x\nS: T2 OK [READ-WRITE] x", true},
		"READ-ONLY after the last READ-WRITE": {"S: T2 OK [READ-WRITE] x\nS: * OK [READ-ONLY] x", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, listing, err := play(t, strings.Replace(begin, "S: T2 OK [READ-WRITE] x", test.said, 1)+"hangup")
			if err != nil || listing.ReadOnly != test.readOnly {
				t.Errorf("got %+v, %v; want ReadOnly %v", listing, err, test.readOnly)
			}
		})
	}
}

// TestReadOnlyFolderIsLeftAlone: what cannot be changed is not asked to change, whatever the disposal, and that is told of each message.
func TestReadOnlyFolderIsLeftAlone(t *testing.T) {
	for _, d := range []fetch.Disposal{{Action: fetch.Delete}, {Action: fetch.Flag}, {Action: fetch.Move, Target: "Done"}} {
		c, listing, err := play(t, strings.Replace(begin, "[READ-WRITE]", "[READ-ONLY]", 1)+"hangup")
		if err != nil {
			t.Fatal(err)
		}
		failures, err := c.Settle(t.Context(), d, listing.Refs) // the script has no line for a command
		if err != nil || len(failures) != 1 || fetch.KindOf(failures[0].Err) != fetch.Refused || !strings.Contains(failures[0].Err.Error(), "the folder is read-only") {
			t.Errorf("%v: %v, %v", d, failures, err)
		}
	}
}
