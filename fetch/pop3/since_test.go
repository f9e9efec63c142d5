package pop3_test

import (
	"fmt"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// TestOpenSince: a mailbox that is as it was lists nothing; one that is not lists all, and so does one whose unique-ids tell no message
// from another.
func TestOpenSince(t *testing.T) {
	const before = "1 a\r\n2 b\r\n"
	const sizes = "1 100\r\n2 200\r\n"
	for name, c := range map[string]struct {
		uids, sizes string // at first, if not those
		then, sized string
		asItWas     bool
	}{
		"as it was":                        {then: before, sized: sizes, asItWas: true},
		"empty, and still":                 {uids: "-", sizes: "-", asItWas: true},
		"in another form":                  {then: " 1 a \r\n2\tb\r\n", sized: "1 100 x\r\n2 200\r\n", asItWas: true},
		"one more":                         {then: before + "3 c\r\n", sized: sizes + "3 1\r\n"},
		"one less":                         {then: "1 b\r\n", sized: "1 200\r\n"},
		"none left":                        {},
		"another in its place":             {then: "1 a\r\n2 c\r\n", sized: sizes},
		"another size":                     {then: before, sized: "1 100\r\n2 201\r\n"},
		"another order":                    {then: "1 b\r\n2 a\r\n", sized: "1 200\r\n2 100\r\n"},
		"a size that is gone":              {then: before, sized: "1 100\r\n"},
		"the boundary between them moved":  {uids: "1 ab\r\n2 c\r\n", then: "1 a\r\n2 bc\r\n", sized: sizes},
		"two of one name":                  {uids: "1 a\r\n2 a\r\n", then: "1 a\r\n2 a\r\n", sized: sizes},
		"one without a name":               {uids: "1 a\r\n2\r\n", then: "1 a\r\n2\r\n", sized: sizes},
		"a message that is not in UIDL":    {sizes: sizes + "3 1\r\n", then: before, sized: sizes + "3 1\r\n"},
		"a line that says nothing, always": {uids: before + "x y\r\n", then: before + "x y\r\n", sized: sizes},
	} {
		t.Run(name, func(t *testing.T) {
			first := listing(t, or(c.uids, before), or(c.sizes, sizes), fetch.Status{})
			second := listing(t, c.then, c.sized, first.Status)
			if asItWas := second.Status != (fetch.Status{}) && len(second.Refs) == 0 && second.Earlier == len(first.Refs); asItWas != c.asItWas {
				t.Errorf("is as it was: %v, want %v\nbefore %+v\nnow %+v", asItWas, c.asItWas, first, second)
			}
			if all := listing(t, c.then, c.sized, fetch.Status{}); !c.asItWas && len(second.Refs) != len(all.Refs) {
				t.Errorf("%d of %d messages are listed", len(second.Refs), len(all.Refs))
			}
		})
	}
}

// or returns s, the other where it is empty, and nothing for a dash.
func or(s, other string) string {
	switch s {
	case "":
		return other
	case "-":
		return ""
	}
	return s
}

// listing is the listing of a mailbox that was as in before.
func listing(t *testing.T, uids, sizes string, before fetch.Status) *fetch.Listing {
	t.Helper()
	script := loggedIn + fmt.Sprintf("\tC: UIDL\n\tC: LIST\n\tS= %q\n\tS= %q\n", "+OK\r\n"+uids+".\r\n", "+OK\r\n"+sizes+".\r\n")
	client, err := pop3.New(t.Context(), fetchtest.Play(t, script), plaintext())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Abort()
	l, err := client.OpenSince(t.Context(), "", before)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
