package imap

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
)

// The servers of these tests leave out a result of SEARCH that is empty, as iCloud's do.

// TestFlagWithoutAnEmptyResult: that no message lacks the flag shows in those that have it.
func TestFlagWithoutAnEmptyResult(t *testing.T) {
	const stored = "C: T4 UID STORE 7 +FLAGS.SILENT (\\Seen)\nS: T4 OK x\nC~ T5 UID SEARCH RETURN \\(ALL\\) UID 7 UNSEEN\nS: T5 OK SEARCH completed (took 2 ms)\n"
	const having = "C~ T6 UID SEARCH RETURN \\(ALL\\) UID 7 SEEN\n"
	for name, test := range map[string]struct {
		script           string
		session, message fetch.Kind
	}{
		"it has the flag":        {having + "S: * SEARCH 7\nS: T6 OK x\n", 0, 0},
		"it has not":             {having + "S: * SEARCH\nS: T6 OK x\n", 0, fetch.Refused},
		"it has gone":            {having + "S: * 1 EXPUNGE\nS: * SEARCH\nS: T6 OK x\n", 0, 0},
		"another has":            {having + "S: * SEARCH 8\nS: T6 OK x\n", 0, fetch.Refused},
		"no word of either":      {having + "S: T6 OK x\n", 0, fetch.Refused},
		"the second is refused":  {having + "S: T6 NO x\n", 0, fetch.Refused},
		"goodbye for an answer":  {having + "S: * BYE x\nclose", fetch.Unreachable, 0},
		"not now, for an answer": {having + "S: T6 NO [UNAVAILABLE] x\n", 0, fetch.Busy},
	} {
		t.Run(name, func(t *testing.T) {
			settleOne(t, begin+stored+test.script, fetch.Disposal{Action: fetch.Flag}, test.session, test.message)
		})
	}
}

// TestMoveByCopyWithoutAnEmptyResult: that nothing is marked \\Deleted shows in all that is not.
func TestMoveByCopyWithoutAnEmptyResult(t *testing.T) {
	const asked = "C: T4 UID SEARCH RETURN (ALL) DELETED\nS: T4 OK SEARCH completed (took 2 ms)\nC: T5 UID SEARCH RETURN (ALL) NOT (DELETED)\n"
	const moved = "C: T6 UID COPY 7 \"Done\"\nS: T6 OK [COPYUID 1 7 20] x\nC: T7 UID STORE 7 +FLAGS.SILENT (\\Deleted)\nS: T7 OK x\n" +
		"C: T8 UID STORE 7 +FLAGS.SILENT (\\Deleted)\nS: T8 OK x\nC: T9 UID EXPUNGE 7\nS: * 1 EXPUNGE\nS: T9 OK x\n"
	for name, test := range map[string]struct {
		script  string
		message fetch.Kind
	}{
		"all are not":       {asked + "S: * SEARCH 7\nS: T5 OK x\n" + moved, 0},
		"not all are not":   {asked + "S: * SEARCH\nS: T5 OK x\n", fetch.Refused},
		"no word of either": {asked + "S: T5 OK x\n", fetch.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			settleOne(t, begin+test.script, fetch.Disposal{Action: fetch.Move, Target: "Done"}, 0, test.message)
		})
	}
}

// TestSearchWithoutAnEmptyResult: that no message fits shows in all that do not. A server that says nothing of either did not search.
func TestSearchWithoutAnEmptyResult(t *testing.T) {
	const asked = "C: T4 UID SEARCH RETURN (ALL) UNSEEN\nS: T4 OK SEARCH completed (took 2 ms)\nC~ T5 UID SEARCH RETURN \\(ALL\\) NOT \\(UNSEEN\\)\n"
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
	}{
		"all do not":        {asked + "S: * SEARCH 7\nS: T5 OK x\n", 0},
		"not all do not":    {asked + "S: * 2 EXISTS\nS: * SEARCH 7\nS: T5 OK x\n", fetch.Unsupported},
		"no word of either": {asked + "S: T5 OK x\n", fetch.Unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := play(t, begin+test.script+"hangup")
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Search(t.Context(), fetch.Search{{Key: fetch.Seen, Not: true}})
			if len(got) > 0 || (err != nil) != (test.kind != 0) || fetch.KindOf(err) != test.kind {
				t.Errorf("got %v, %v of Kind %v, want Kind %v", got, err, fetch.KindOf(err), test.kind)
			}
		})
	}
	c, _, err := play(t, strings.NewReplacer("S: * 1 EXISTS", "S: * 0 EXISTS", "S: * ESEARCH (TAG \"T3\") UID ALL 7\n", "").Replace(begin)+asked+"S: T5 OK x\nhangup")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Search(t.Context(), fetch.Search{{Key: fetch.Seen, Not: true}}); err != nil || len(got) > 0 {
		t.Errorf("in an empty folder: %v, %v", got, err)
	}
}
