package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// markedUIDs are the UIDs of the marked messages of a listing.
func markedUIDs(listing *fetch.Listing) string {
	var uids []string
	for _, ref := range listing.Refs {
		if ref.Marked {
			uids = append(uids, ref.UID)
		}
	}
	return strings.Join(uids, " ")
}

// TestMarksAreAskedForWithTheListing: the search for marked messages goes out with SELECT and the listing, before any of
// them is answered, and whatever the server makes of it the listing stands. Where results do not name their command it
// goes out when the listing has come, and not where no mark can be set.
func TestMarksAreAskedForWithTheListing(t *testing.T) {
	type trial struct {
		script string
		marked string
		fails  bool
	}
	const (
		begin = "S: * OK [CAPABILITY IMAP4rev1] ready\nC~ T1 LOGIN .*\n"
		with  = begin + "S: T1 OK [CAPABILITY IMAP4rev1 ESEARCH] in\nC: T2 SELECT INBOX\nC: T3 UID SEARCH RETURN (ALL) ALL\n" +
			"C: T4 UID SEARCH RETURN (ALL) KEYWORD $TruehopDelivered\nS: * OK [UIDVALIDITY 5] x\nS: * 3 EXISTS\n"
		without  = begin + "S: T1 OK [CAPABILITY IMAP4rev1] in\nC: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\nS: * OK [UIDVALIDITY 5] x\nS: * 3 EXISTS\n"
		selected = "S: T2 OK [READ-WRITE] x\n"
		some     = "S: * OK [PERMANENTFLAGS (\\Seen)] x\n"
		ours     = "S: * OK [PERMANENTFLAGS (\\Seen $truehopdelivered)] x\n"
		readOnly = "S: T2 OK [READ-ONLY] x\n"
		listed   = "S: * ESEARCH (TAG \"T3\") UID ALL 3:4,9\nS: T3 OK x\n"
		plain    = "S: * SEARCH 3 4 9\nS: T3 OK x\n"
		asked    = "C: T4 UID SEARCH KEYWORD $TruehopDelivered\n"
	)
	found := func(uids string) string { return "S: * ESEARCH (TAG \"T4\") UID" + uids + "\nS: T4 OK x\n" }
	for name, test := range map[string]trial{
		"some":                         {with + selected + listed + found(" ALL 4,9"), "4 9", false},
		"none":                         {with + selected + listed + found(""), "", false},
		"no result":                    {with + selected + listed + "S: T4 OK x\n", "", false},
		"refused":                      {with + selected + listed + "S: T4 NO no keywords here\n", "", true},
		"not understood":               {with + selected + listed + "S: T4 BAD what\n", "", true},
		"one that is not listed":       {with + selected + listed + found(" ALL 4,11"), "4", false},
		"in no order":                  {with + selected + listed + found(" ALL 9,3"), "3 9", false},
		"found before the listing":     {with + selected + found(" ALL 4") + listed, "4", false},
		"both before the first ends":   {with + selected + "S: * ESEARCH (TAG \"T3\") UID ALL 3:4,9\nS: * ESEARCH (TAG \"T4\") UID ALL 4\nS: T3 OK x\nS: T4 OK x\n", "4", false},
		"the listing by FETCH":         {with + selected + "S: * ESEARCH (TAG \"T3\") UID ALL 3\nS: T3 OK x\n" + found(" ALL 4") + "C: T5 UID FETCH 1:* (UID)\nS: * 2 FETCH (UID 4)\nS: * 3 FETCH (UID 9)\nS: T5 OK x\n", "4", false},
		"read-only":                    {with + readOnly + listed + found(" ALL 4"), "4", true},
		"no keywords are kept":         {with + some + selected + listed + found(" ALL 4"), "4", true},
		"this keyword is kept":         {with + ours + selected + listed + found(""), "", false},
		"new mail between":             {with + selected + listed + "S: * 4 EXISTS\n" + found(" ALL 4"), "4", false},
		"no ESEARCH":                   {without + selected + plain + asked + "S: * SEARCH 9 4\nS: T4 OK x\n", "4 9", false},
		"no ESEARCH, none":             {without + selected + plain + asked + "S: * SEARCH\nS: T4 OK x\n", "", false},
		"no ESEARCH, refused":          {without + selected + plain + asked + "S: T4 BAD what\n", "", true},
		"no ESEARCH, no keywords kept": {without + some + selected + plain, "", true},
		"no ESEARCH, read-only":        {without + readOnly + plain, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			o := plaintext()
			o.Marks = true
			c, err := New(t.Context(), fetchtest.Play(t, test.script), o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			listing, err := c.Open(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if got := markedUIDs(listing); got != test.marked || len(listing.Refs) != 3 {
				t.Errorf("%d messages are listed and %q marked, want 3 and %q", len(listing.Refs), got, test.marked)
			}
			if (listing.MarkError != nil) != test.fails {
				t.Errorf("no mark can be set for %v", listing.MarkError)
			}
		})
	}
}

// TestFlagsAreConfirmedSetBySet: without ESEARCH nothing says whose result is whose, and a server may write the results of two
// searches before it ends the first. So one search waits for the other, and no flag that was set is told as missing.
func TestFlagsAreConfirmedSetBySet(t *testing.T) {
	const many = settledAtOnce
	var listed, first, second strings.Builder
	uids := make([]uint32, many) // no two of them next to each other
	for n := range uids {
		uids[n] = uint32(2*n + 1_000_000_000)
		fmt.Fprintf(&listed, " %d", uids[n])
	}
	all := sets(uids)
	if len(all) < 2 {
		t.Fatal("the messages fit into one set")
	}
	script := "S: * OK [CAPABILITY IMAP4rev1] ready\nC~ T1 LOGIN .*\nS: T1 OK [CAPABILITY IMAP4rev1] in\nC: T2 SELECT INBOX\nC: T3 UID SEARCH ALL\n" +
		fmt.Sprintf("S: * %d EXISTS\nS: * OK [UIDVALIDITY 5] x\nS: T2 OK [READ-WRITE] x\nS: * SEARCH%s\nS: T3 OK x\n", many, &listed)
	for n, set := range all {
		fmt.Fprintf(&first, "C: T%d UID STORE %s +FLAGS.SILENT (\\Seen)\n", 4+n, set)
	}
	for n := range all {
		fmt.Fprintf(&first, "S: T%d OK x\n", 4+n)
	}
	for n, set := range all {
		tag := 4 + len(all) + n
		fmt.Fprintf(&second, "C: T%d UID SEARCH UID %s UNSEEN\nS: * SEARCH\nS: T%d OK x\n", tag, set, tag)
	}
	c, err := New(t.Context(), fetchtest.Play(t, script+first.String()+second.String()), plaintext())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Flag}, listing.Refs); err != nil || len(failures) > 0 {
		t.Errorf("%d failures, %v", len(failures), err)
	}
}

// TestMarksWithoutAListing: where the folder cannot be listed, the answer to the search for marks is no listing.
func TestMarksWithoutAListing(t *testing.T) {
	const in = `
S: * OK [CAPABILITY IMAP4rev1] ready
C~ T1 LOGIN .*
S: T1 OK [CAPABILITY IMAP4rev1 ESEARCH] in
C: T2 SELECT INBOX
C: T3 UID SEARCH RETURN (ALL) ALL
C: T4 UID SEARCH RETURN (ALL) KEYWORD $TruehopDelivered
`
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
	}{
		"no folder":                 {"S: T2 NO gone\nS: T3 BAD no folder\nS: T4 BAD no folder\n", fetch.NoFolder},
		"no result but of marks":    {"S: T2 OK x\nS: T3 OK x\nS: * ESEARCH (TAG \"T4\") UID ALL 3\nS: T4 OK x\nhangup", fetch.Protocol},
		"listing refused":           {"S: T2 OK x\nS: T3 NO x\nS: * ESEARCH (TAG \"T4\") UID ALL 3\nS: T4 OK x\nC: T5 UID SEARCH RETURN (ALL) ALL\nS: T5 NO x\n", fetch.Refused},
		"the connection ends there": {"S: T2 OK x\nS: * ESEARCH (TAG \"T3\") UID ALL 3\nS: T3 OK x\nclose", fetch.Unreachable},
		"all the UIDs are marked":   {"S: T2 OK x\nS: * ESEARCH (TAG \"T3\") UID ALL 3\nS: T3 OK x\nS: * ESEARCH (TAG \"T4\") UID ALL 1:4294967295\nS: T4 OK x\nhangup", fetch.Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			o := plaintext()
			o.Marks = true
			c, err := New(t.Context(), fetchtest.Play(t, in+test.script), o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			if listing, err := c.Open(t.Context(), ""); fetch.KindOf(err) != test.kind || listing != nil {
				t.Errorf("got %v of Kind %v and %v, want Kind %v", err, fetch.KindOf(err), listing, test.kind)
			}
		})
	}
}

// TestMarksBetweenExpunges: what is expunged between the listing and the answer to the search for marks leaves no
// wrong idea of which sequence number is which message: the message that was not asked for stays.
func TestMarksBetweenExpunges(t *testing.T) {
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 4)
	s := server(store)
	s.Before = func(verb, args string) string {
		if verb == "UID SEARCH" && strings.Contains(args, "KEYWORD") {
			store.Remove("", 1)
			store.Add("", []byte("Subject: new\r\n\r\n"))
		}
		return ""
	}
	o := plaintext()
	o.Marks = true
	c, refs := open(t, s, o)
	failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs[1:3])
	if err != nil || len(failures) > 0 {
		t.Errorf("Settle: %v, %v", failures, err)
	}
	if got, want := store.UIDs(""), []uint32{4, 5}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
}

// TestManyMarks: a million messages of which all are marked fit into what a server may send, also by SEARCH; fewer where the race detector counts.
func TestManyMarks(t *testing.T) {
	const many, first = manyMarked, 4_000_000_000
	var uids strings.Builder
	for n := range uint32(many) {
		fmt.Fprintf(&uids, " %d", first+n)
	}
	o := plaintext()
	o.Marks = true
	s := server(fakeserver.NewStore())
	s.Without = []string{"ESEARCH"}
	s.Reply = func(verb, _ string) (string, bool) {
		return "* SEARCH" + uids.String() + "\r\n%T OK\r\n", verb == "UID SEARCH"
	}
	c := dial(t, s, o)
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(listing.Refs); got != many || !listing.Refs[0].Marked || !listing.Refs[many-1].Marked {
		t.Errorf("%d are listed, want %d and all marked", got, many)
	}
}

// TestDovecotKeepsMarks: a real server keeps the mark for other sessions, and through a move.
func TestDovecotKeepsMarks(t *testing.T) {
	for name, capability := range map[string]string{"as it is": "", "no ESEARCH": "imap_capability = IMAP4rev1 SASL-IR UIDPLUS MOVE"} {
		t.Run(name, func(t *testing.T) {
			d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{Config: capability})
			d.Create("Done")
			for n := range 5 {
				d.Deliver(fmt.Appendf(nil, "Subject: %d\r\n\r\nbody\r\n", n))
			}
			o := dovecotOptions(d)
			o.Marks = true
			opened := func(folder string) (*Client, *fetch.Listing) {
				t.Helper()
				c, err := dialDovecot(t.Context(), t, d, true, o)
				if err != nil {
					t.Fatal(err)
				}
				listing, err := c.Open(t.Context(), folder)
				if err != nil {
					t.Fatal(err)
				}
				if listing.MarkError != nil {
					t.Errorf("%s takes no marks: %v", folder, listing.MarkError)
				}
				return c, listing
			}
			settle := func(c *Client, disposal fetch.Disposal, refs ...fetch.Ref) {
				t.Helper()
				if failures, err := c.Settle(t.Context(), disposal, refs); err != nil || len(failures) > 0 {
					t.Fatalf("Settle: %v, %v", failures, err)
				}
			}
			c, listing := opened("INBOX")
			if got := markedUIDs(listing); got != "" {
				t.Errorf("marked at first are %s", got)
			}
			settle(c, fetch.Disposal{Action: fetch.Flag, Target: fetch.DeliveredKeyword}, listing.Refs[1], listing.Refs[3])
			c, listing = opened("INBOX")
			if got := markedUIDs(listing); got != "2 4" {
				t.Errorf("marked are %q, want 2 4", got)
			}
			settle(c, fetch.Disposal{Action: fetch.Move, Target: "Done"}, listing.Refs[0], listing.Refs[1])
			if _, listing = opened("Done"); len(listing.Refs) != 2 || markedUIDs(listing) != listing.Refs[1].UID {
				t.Errorf("moved are %+v, want two messages and the second marked", listing.Refs)
			}
		})
	}
}
