package imap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// searchedMail are the four messages that are searched.
func searchedMail() [][]byte {
	body := bytes.Repeat([]byte("text\r\n"), 1000)
	return [][]byte{
		[]byte("From: ann@example.org\r\nTo: joe@example.net\r\nSubject: say \"hi\" \\ )\r\n\r\n"),
		append([]byte("From: News <news@example.com>\r\nCc: ann@example.org\r\nList-Id: <go.example.com>\r\nSubject: large\r\n\r\n"), body...),
		[]byte("From: bob@example.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n"),
		[]byte("From: carl@example.org\r\nSubject: seen\r\n\r\n"),
	}
}

// searchCases are searches and the UIDs that they find where the third message is flagged and carries $Junk, and the fourth is seen.
func searchCases() []struct {
	name string
	s    fetch.Search
	want string
} {
	day := time.Now().UTC()
	yesterday, tomorrow := day.AddDate(0, 0, -2), day.AddDate(0, 0, 2)
	return []struct {
		name string
		s    fetch.Search
		want string
	}{
		{"all", nil, "1 2 3 4"},
		{"seen", fetch.Search{{Key: fetch.Seen}}, "4"},
		{"unseen", fetch.Search{{Key: fetch.Seen, Not: true}}, "1 2 3"},
		{"flagged", fetch.Search{{Key: fetch.Flagged}}, "3"},
		{"keyword", fetch.Search{{Key: fetch.Keyword, Text: "$Junk"}}, "3"},
		{"no keyword", fetch.Search{{Key: fetch.Keyword, Text: "$Junk", Not: true}}, "1 2 4"},
		{"neither answered nor a draft", fetch.Search{{Key: fetch.Answered, Not: true}, {Key: fetch.Draft, Not: true}}, "1 2 3 4"},
		{"since", fetch.Search{{Key: fetch.Since, Day: yesterday}}, "1 2 3 4"},
		{"since tomorrow", fetch.Search{{Key: fetch.Since, Day: tomorrow}}, ""},
		{"before", fetch.Search{{Key: fetch.Before, Day: yesterday}}, ""},
		{"not before", fetch.Search{{Key: fetch.Before, Day: yesterday, Not: true}, {Key: fetch.Before, Day: tomorrow}}, "1 2 3 4"},
		{"from", fetch.Search{{Key: fetch.From, Text: "ANN@"}}, "1"},
		{"to and not from", fetch.Search{{Key: fetch.To, Text: "joe"}, {Key: fetch.From, Text: "news", Not: true}}, "1"},
		{"cc", fetch.Search{{Key: fetch.Cc, Text: "ann"}}, "2"},
		{"a field", fetch.Search{{Key: fetch.HeaderField, Field: "List-Id", Text: "go.example"}}, "2"},
		{"a field, whatever it holds", fetch.Search{{Key: fetch.HeaderField, Field: "List-Id"}}, "2"},
		{"quotes, a backslash and a parenthesis", fetch.Search{{Key: fetch.Subject, Text: `"HI" \ )`}}, "1"},
		{"what looks like keys", fetch.Search{{Key: fetch.Subject, Text: `x" OR ALL ALL "`}}, ""},
		{"beyond ASCII", fetch.Search{{Key: fetch.Subject, Text: "grüße"}}, "3"},
		{"not beyond ASCII, and unseen", fetch.Search{{Key: fetch.Subject, Text: "grüße", Not: true}, {Key: fetch.Seen, Not: true}}, "1 2"},
		{"larger", fetch.Search{{Key: fetch.Larger, Size: 10}, {Key: fetch.Larger, Size: 5000}}, "2"},
		{"smaller", fetch.Search{{Key: fetch.Smaller, Size: 5000}, {Key: fetch.Smaller, Size: 9000}}, "1 3 4"},
		{"not larger", fetch.Search{{Key: fetch.Larger, Size: 5000, Not: true}}, "1 3 4"},
	}
}

// found runs each search.
func found(t *testing.T, c *Client) {
	t.Helper()
	for _, test := range searchCases() {
		uids, err := c.Search(t.Context(), test.s)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(uids)), " "); got != test.want {
			t.Errorf("%s: found %q, want %q", test.name, got, test.want)
		}
	}
}

func TestSearch(t *testing.T) {
	for _, without := range []string{"", "ESEARCH", "LITERAL+"} {
		t.Run("without "+without, func(t *testing.T) {
			s := server(fakeserver.NewStore())
			s.Without = []string{without}
			for _, raw := range searchedMail() {
				s.Store.AddMessage("", fakeserver.Message{Size: int64(len(raw)), Open: func() io.Reader { return bytes.NewReader(raw) }, Date: time.Now()})
			}
			s.Store.Update("", 4, func(m *fakeserver.Message) { m.Flags = []string{`\Seen`} })
			s.Store.Update("", 3, func(m *fakeserver.Message) { m.Flags = []string{`\Flagged`, "$Junk"} })
			c, _ := open(t, s, plaintext())
			found(t, c)
		})
	}
}

func TestDovecotSearch(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{})
	for _, raw := range searchedMail() {
		d.Deliver(raw)
	}
	c, err := dialDovecot(t.Context(), t, d, false, dovecotOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	listing, err := c.Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []struct {
		target string
		ref    fetch.Ref
	}{{"", listing.Refs[3]}, {`\Flagged`, listing.Refs[2]}, {"$Junk", listing.Refs[2]}} {
		if failed, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Flag, Target: mark.target}, []fetch.Ref{mark.ref}); err != nil || len(failed) > 0 {
			t.Fatal(failed, err)
		}
	}
	found(t, c)
	sizes, err := c.Sizes(t.Context(), listing.Refs)
	if err != nil || len(sizes) != 4 || sizes[listing.Refs[1]] != int64(len(searchedMail()[1])) {
		t.Errorf("sizes %v, %v", sizes, err)
	}
}

// TestSearchBeyondASCII: a server that offers IMAP4rev1 has to be told that a text is of UTF-8, though it offers IMAP4rev2 as well (RFC
// 9051 section 6.4.4); one of IMAP4rev2 alone knows.
func TestSearchBeyondASCII(t *testing.T) {
	const charset = "C: T4 UID SEARCH RETURN (ALL) CHARSET UTF-8 SUBJECT {2}\nS: + go on\nC: ü\n"
	for offered, search := range map[string]string{
		"IMAP4rev1":           charset,
		"IMAP4rev1 IMAP4rev2": charset,
		"IMAP4rev2":           "C: T4 UID SEARCH RETURN (ALL) SUBJECT \"ü\"\n",
	} {
		t.Run(offered, func(t *testing.T) {
			script := strings.Replace(begin, "IMAP4rev1 UIDPLUS ESEARCH] in", offered+" ESEARCH] in", 1) + search
			c, _, err := play(t, script+"S: * ESEARCH (TAG \"T4\") UID ALL 7\nS: T4 OK x")
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Search(t.Context(), fetch.Search{{Key: fetch.Subject, Text: "ü"}})
			if err != nil || !maps.Equal(got, map[string]bool{"7": true}) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestMessageWithoutAnUID: a server that gives a message no UID, by the number 0, does not keep the others from being listed.
func TestMessageWithoutAnUID(t *testing.T) {
	script := strings.NewReplacer("S: * 1 EXISTS", "S: * 2 EXISTS", "S: * ESEARCH (TAG \"T3\") UID ALL 7", "S: * SEARCH 0 7").Replace(begin)
	_, listing, err := play(t, script+"C: T4 UID FETCH 1:* (UID)\nS: * 1 FETCH (UID 0)\nS: * 2 FETCH (UID 7)\nS: T4 OK x\nhangup")
	if err != nil || len(listing.Refs) != 1 || listing.Refs[0].UID != "7" || listing.Unlisted != 1 {
		t.Errorf("got %+v, %v", listing, err)
	}
}

// TestSearchThatIsRefused: the error says what to do, and the session goes on.
func TestSearchThatIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		says string
		caps []string
		kind fetch.Kind
		hint string
	}{
		"the key":             {"%T BAD unknown search key\r\n", nil, fetch.Unsupported, "correct or simplify"},
		"the charset":         {"%T NO [BADCHARSET (US-ASCII)] no\r\n", nil, fetch.Unsupported, "correct or simplify"},
		"for the moment":      {"%T NO [UNAVAILABLE] later\r\n", nil, fetch.Busy, ""},
		"OK without a result": {"%T OK done\r\n", nil, fetch.Unsupported, "correct or simplify"},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(fakeserver.NewStore())
			s.Store.Add("", []byte("a\r\n\r\n"))
			s.Capabilities = test.caps
			s.Reply = func(verb, args string) (string, bool) {
				return test.says, verb == "UID SEARCH" && strings.Contains(args, "SUBJECT")
			}
			c, refs := open(t, s, plaintext())
			_, err := c.Search(t.Context(), fetch.Search{{Key: fetch.Subject, Text: "ü"}})
			if fetch.KindOf(err) != test.kind || !strings.Contains(hint(err), test.hint) {
				t.Errorf("got %v (hint %q), want kind %v", err, hint(err), test.kind)
			}
			if octets, _, err := fetchtest.Collect(t.Context(), c, refs); err != nil || len(octets) != 1 {
				t.Errorf("after it: %d messages, %v", len(octets), err)
			}
		})
	}
}

func hint(err error) string {
	var e *fetch.Error
	if errors.As(err, &e) {
		return e.Hint()
	}
	return ""
}

func TestSearchWantsAnOpenFolderAndDays(t *testing.T) {
	c := dial(t, server(fakeserver.NewStore()), plaintext())
	if _, err := c.Search(t.Context(), nil); fetch.KindOf(err) != fetch.NoFolder {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := c.Sizes(t.Context(), []fetch.Ref{{UID: "1"}}); fetch.KindOf(err) != fetch.NoFolder {
		t.Errorf("sizes without a folder: %v", err)
	}
	if _, err := c.Search(t.Context(), fetch.Search{{Key: fetch.Younger, Days: 1}}); fetch.KindOf(err) != fetch.Unsupported {
		t.Errorf("an age: %v", err)
	}
}

// TestSizes: only those that were asked for, and none that the server does not tell.
func TestSizes(t *testing.T) {
	s := server(fakeserver.NewStore())
	var mu sync.Mutex
	var asked []string
	s.Reply = func(verb, args string) (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if verb == "UID FETCH" {
			asked = append(asked, args)
			return "* 1 FETCH (UID 1 RFC822.SIZE 7)\r\n* 2 FETCH (UID 2)\r\n* 4 FETCH (UID 4 RFC822.SIZE 9)\r\n%T OK\r\n", true
		}
		return "", false
	}
	for n := range 4 {
		s.Store.Add("", fmt.Appendf(nil, "%d\r\n\r\n", n))
	}
	c, refs := open(t, s, plaintext())
	sizes, err := c.Sizes(t.Context(), refs[:3])
	if err != nil || !maps.Equal(sizes, map[fetch.Ref]int64{refs[0]: 7}) {
		t.Errorf("got %v, %v", sizes, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 || !strings.HasPrefix(asked[0], "1:3 ") {
		t.Errorf("asked %q", asked)
	}
}
