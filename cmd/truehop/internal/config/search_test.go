package config

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
)

func TestSearch(t *testing.T) {
	day := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]fetch.Search{
		"":                                       nil,
		"  ":                                     nil,
		"seen":                                   {{Key: fetch.Seen}},
		"not seen":                               {{Key: fetch.Seen, Not: true}},
		"unseen":                                 {{Key: fetch.Seen, Not: true}},
		"not unseen":                             {{Key: fetch.Seen}},
		"not not seen":                           {{Key: fetch.Seen}},
		"flagged  answered":                      {{Key: fetch.Flagged}, {Key: fetch.Answered}},
		"not draft":                              {{Key: fetch.Draft, Not: true}},
		"not keyword $Junk":                      {{Key: fetch.Keyword, Text: "$Junk", Not: true}},
		"since 2026-01-31 not before 2026-01-31": {{Key: fetch.Since, Day: day}, {Key: fetch.Before, Day: day, Not: true}},
		"younger 30d older 48h":                  {{Key: fetch.Younger, Days: 30}, {Key: fetch.Older, Days: 2}},
		`from ann@example.org to "a b" cc Grüße`: {{Key: fetch.From, Text: "ann@example.org"}, {Key: fetch.To, Text: "a b"}, {Key: fetch.Cc, Text: "Grüße"}},
		`subject "say \"hi\" \\ )" seen`:         {{Key: fetch.Subject, Text: `say "hi" \ )`}, {Key: fetch.Seen}},
		`subject "not"`:                          {{Key: fetch.Subject, Text: "not"}},
		"subject not not seen":                   {{Key: fetch.Subject, Text: "not"}, {Key: fetch.Seen, Not: true}},
		`header List-Id go.example`:              {{Key: fetch.HeaderField, Field: "List-Id", Text: "go.example"}},
		`not header List-Id ""`:                  {{Key: fetch.HeaderField, Field: "List-Id", Not: true}},
		"larger 10KiB not smaller 1MB":           {{Key: fetch.Larger, Size: 10 << 10}, {Key: fetch.Smaller, Size: 1e6, Not: true}},
	} {
		var got Search
		if err := got.UnmarshalText([]byte(text)); err != nil || !reflect.DeepEqual(got.Search, want) {
			t.Errorf("%q is read as %+v, %v; want %+v", text, got.Search, err, want)
		}
		var again Search
		if err := again.UnmarshalText([]byte(got.String())); err != nil || !reflect.DeepEqual(again.Search, want) {
			t.Errorf("%q is printed as %q", text, got)
		}
	}
}

// FuzzSearch: whatever is read is fit to be sent: no text with a control character, nothing without bounds.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{"unseen", `from "a \"b" not header X-A ""`, "since 2026-01-31 larger 3KiB", "keyword $x younger 3d", "subject \x00", `subject "`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s Search
		if err := s.UnmarshalText([]byte(text)); err != nil {
			if len(s.Search) > 0 || strings.ContainsAny(err.Error(), "\r\n\x1b\x00") {
				t.Errorf("%q: %q, and it is %+v", text, err, s)
			}
			return
		}
		for _, c := range s.Search {
			if strings.ContainsFunc(c.Text+c.Field, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(c.Text) > maxSearchText || len(c.Field) > 76 {
				t.Errorf("%q is read as %+v", text, c)
			}
			if c.Size < 0 || c.Days < 0 {
				t.Errorf("%q is read as %+v", text, c)
			}
		}
	})
}
