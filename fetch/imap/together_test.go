package imap

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestOpenOneByOne: SEARCH waits for the reply to SELECT.
func TestOpenOneByOne(t *testing.T) {
	const login = "S: * OK [CAPABILITY IMAP4rev1] ready\nC~ T1 LOGIN .*\nS: T1 OK [CAPABILITY IMAP4rev1] in\nC: T2 SELECT INBOX\n"
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
	}{
		"listed":  {"S: * 1 EXISTS\nS: T2 OK x\nC: T3 UID SEARCH ALL\nS: * SEARCH 7\nS: T3 OK x\nhangup", 0},
		"refused": {"S: T2 NO no such folder\nhangup", fetch.NoFolder},
	} {
		t.Run(name, func(t *testing.T) {
			o := plaintext()
			o.OneByOne = true
			c, err := New(t.Context(), fetchtest.Play(t, login+test.script), o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			listing, err := c.Open(t.Context(), "")
			listed := err == nil && len(listing.Refs) == 1
			if fetch.KindOf(err) != test.kind || listed != (test.kind == 0) {
				t.Errorf("got %v, %v", listing, err)
			}
		})
	}
}

// TestSearchAnsweredBeforeSelect: a result that comes before the folder is open may be that of another, and says nothing of this one.
func TestSearchAnsweredBeforeSelect(t *testing.T) {
	const (
		login    = "S: * OK [CAPABILITY IMAP4rev1 ESEARCH] ready\nC~ T1 LOGIN .*\nS: T1 OK [CAPABILITY IMAP4rev1 ESEARCH] in\n"
		inbox    = "C: T2 SELECT INBOX\nC: T3 UID SEARCH RETURN (ALL) ALL\nS: * 2 EXISTS\nS: T2 OK [READ-WRITE] x\nS: * ESEARCH (TAG \"T3\") UID ALL 7:8\nS: T3 OK x\n"
		work     = "C~ T4 SELECT \"?Work\"?\nC: T5 UID SEARCH RETURN (ALL) ALL\n"
		selected = "S: * 1 EXISTS\nS: * OK [UIDVALIDITY 5] x\nS: * OK [UIDNEXT 4] x\nS: T4 OK [READ-WRITE] x\n"
		again    = "C: T6 UID SEARCH RETURN (ALL) ALL\nS: * ESEARCH (TAG \"T6\") UID ALL 3\nS: T6 OK x\n"
	)
	for name, script := range map[string]string{
		"in order":                      selected + "S: * ESEARCH (TAG \"T5\") UID ALL 3\nS: T5 OK x\n",
		"of the folder before":          "S: * ESEARCH (TAG \"T5\") UID ALL 7:8\nS: T5 OK x\n" + selected + again,
		"of the folder before, end due": "S: * ESEARCH (TAG \"T5\") UID ALL 7:8\n" + selected + "S: T5 OK x\n" + again,
		"of no folder":                  "S: * ESEARCH (TAG \"T5\") UID\nS: T5 OK x\n" + selected + again,
		"without a result":              "S: T5 OK x\n" + selected + again,
		"refused":                       "S: T5 BAD no folder\n" + selected + again,
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := play(t, login+inbox+work+script)
			if err != nil {
				t.Fatal(err)
			}
			listing, err := c.Open(t.Context(), "Work")
			if err != nil {
				t.Fatal(err)
			}
			if len(listing.Refs) != 1 || listing.Refs[0].UID != "3" || listing.Status.Messages != 1 {
				t.Errorf("listed %v, to be remembered as %+v; want UID 3 alone", listing.Refs, listing.Status)
			}
		})
	}
}

// TestOutOfStep: replies that do not fit commands which were sent together are told, those to single commands are not.
func TestOutOfStep(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		single bool
		told   int
	}{
		"another's tag":      {"C: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\nS: T9 OK x\nhangup", false, 1},
		"silence":            {"C: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\nS: T2 OK x\nhangup", false, 1},
		"refused":            {"C: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\nS: T2 NO x\nS: T3 NO x\nhangup", false, 0},
		"closed":             {"C: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\nclose", false, 1},
		"closed, one by one": {"C: T2 SELECT INBOX\nclose", true, 0},
		"BYE":                {"C: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\nS: * BYE x\nclose", false, 0},
		"one by one":         {"C: T2 SELECT INBOX\nS: T9 OK x\nhangup", true, 0},
	} {
		t.Run(name, inBubble(func(t *testing.T) {
			told := 0
			o := plaintext()
			o.OneByOne, o.OutOfStep = test.single, func(hungUp bool) {
				told++
				if hungUp != (name == "closed") {
					t.Errorf("hung up: %t", hungUp)
				}
			}
			o.Timeouts = Timeouts{Idle: time.Minute}
			c, err := New(t.Context(), fetchtest.Play(t, "S: * OK [CAPABILITY IMAP4rev1] ready\nC~ T1 LOGIN .*\nS: T1 OK [CAPABILITY IMAP4rev1] in\n"+test.script), o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			_, err = c.Open(t.Context(), "")
			if err == nil || told != test.told || fetch.IsOutOfStep(err) != (test.told > 0) {
				t.Errorf("told %d times, want %d: %v", told, test.told, err)
			}
		}))
	}
}

// inBubble is a test that runs by a clock of its own.
func inBubble(test func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, test) }
}
