package imap

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
)

// TestServerThatWantsAName plays Coremail, which opens no folder for a client that has not said its name, and others, who are not told.
func TestServerThatWantsAName(t *testing.T) {
	const (
		unsafe = "NO SELECT Unsafe Login. Please contact the postmaster for help"
		named  = `ID \("name" "truehop"\)`
		answer = "S: * ID (\"name\" \"Coremail Imap\" \"vendor\" \"Mailtech\" \"TransID\" \"x\")\n"
		opened = "S: * 1 EXISTS\nS: * OK [UIDVALIDITY 5] x\nS: %S OK [READ-WRITE] x\nS: * SEARCH 7\nS: %U OK x\n"
	)
	choose := func(tag, next string) string { return "C: " + tag + " SELECT INBOX\nC: " + next + " UID SEARCH ALL\n" }
	open := func(tag, next string) string {
		return choose(tag, next) + strings.NewReplacer("%S", tag, "%U", next).Replace(opened)
	}
	for name, test := range map[string]struct {
		capabilities, script string
		kind                 fetch.Kind
	}{
		"by its capability":         {"ID X-CM-EXT-1", "C~ T2 " + named + "\n" + answer + "S: T2 OK ID completed\n" + open("T3", "T4"), 0},
		"by its words":              {"ID", choose("T2", "T3") + "S: T2 " + unsafe + "\nS: T3 BAD x\nC~ T4 " + named + "\n" + answer + "S: T4 OK x\n" + open("T5", "T6"), 0},
		"the name is refused":       {"ID X-CM-EXT-1", "C~ T2 " + named + "\nS: T2 BAD what\n" + open("T3", "T4"), 0},
		"the name is not enough":    {"ID", choose("T2", "T3") + "S: T2 " + unsafe + "\nS: T3 BAD x\nC~ T4 " + named + "\nS: T4 OK x\n" + choose("T5", "T6") + "S: T5 " + unsafe + "\nS: T6 BAD x\nsilence", fetch.Auth},
		"goodbye for an answer":     {"ID X-CM-EXT-1", "C~ T2 " + named + "\nS: * BYE no\nclose", fetch.Unreachable},
		"it takes no name":          {"X-CM-EXT-1", choose("T2", "T3") + "S: T2 " + unsafe + "\nS: T3 BAD x\nsilence", fetch.Auth},
		"another server, not asked": {"ID", open("T2", "T3"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, listing, err := play(t, "S: * OK [CAPABILITY IMAP4rev1] ready\nC~ T1 LOGIN .*\nS: T1 OK [CAPABILITY IMAP4rev1 "+test.capabilities+"] in\n"+test.script)
			switch {
			case test.kind != 0 && fetch.KindOf(err) != test.kind:
				t.Errorf("got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), test.kind)
			case test.kind == 0 && err != nil:
				t.Error(err)
			case test.kind == 0 && len(listing.Refs) != 1:
				t.Errorf("listed %+v", listing.Refs)
			}
		})
	}
}

// TestNameIsSaidOnce: the name holds for the session.
func TestNameIsSaidOnce(t *testing.T) {
	c, _, err := play(t, `S: * OK [CAPABILITY IMAP4rev1] ready
C~ T1 LOGIN .*
S: T1 OK [CAPABILITY IMAP4rev1 ID X-CM-EXT-1] in
C~ T2 ID .*
S: T2 OK x
C: T3 SELECT INBOX
C: T4 UID SEARCH ALL
S: * 0 EXISTS
S: * OK [UIDVALIDITY 5] x
S: T3 OK x
S: * SEARCH
S: T4 OK x
C: T5 SELECT INBOX
C: T6 UID SEARCH ALL
S: * 0 EXISTS
S: * OK [UIDVALIDITY 5] x
S: T5 OK x
S: * SEARCH
S: T6 OK x`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), ""); err != nil {
		t.Error(err)
	}
}
