package fetch

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestLikePatternsOfLIST(t *testing.T) {
	for _, test := range []struct {
		pattern, name, delimiter string
		want                     bool
	}{
		{"*", "a/b", "/", true},
		{"%", "a/b", "/", false},
		{"%", "a", "/", true},
		{"%", "a/b", "", true}, // there are no levels
		{"%", "a/b", ".", true},
		{"a/%", "a/b", "/", true},
		{"a/%", "a/b/c", "/", false},
		{"a/*", "a/b/c", "/", true},
		{"a/*", "a", "/", false},
		{"a*", "a", "/", true},
		{"%/x", "a/x", "/", true},
		{"%/x", "a/b/x", "/", false},
		{"*/x", "a/b/x", "/", true},
		{"*%x", "a/b/x", "/", true},
		{"%*", "a/b", "/", true},
		{"*a%c", "a/a/abc", "/", true},
		{"*a%c", "a/b/c", "/", false},
		{"%a%", "bab", "/", true},
		{"Entwürfe*", "Entwürfe/alt", "/", true},
		{"", "", "/", true},
		{"a", "A", "/", false},
	} {
		if got := Like(test.pattern, test.name, test.delimiter); got != test.want {
			t.Errorf("%q fits %q (%q): %v", test.name, test.pattern, test.delimiter, got)
		}
	}
}

// A pattern is tried in time that does not explode with the number of its wildcards.
func TestLikeIsQuick(t *testing.T) {
	if Like(strings.Repeat("*a", 200), strings.Repeat("a", 4000)+"b", "/") || Like(strings.Repeat("%a", 200), strings.Repeat("a", 4000)+"b", "/") {
		t.Error("fits")
	}
}

func TestChooseFolders(t *testing.T) {
	have := &Folders{List: []Folder{
		{Name: "Trash", Delimiter: "/", Attributes: []string{`\Trash`}},
		{Name: "Lists/go", Delimiter: "/"}, {Name: "Lists", Delimiter: "/", Attributes: []string{`\NoSelect`}}, {Name: "Lists/go/old", Delimiter: "/"},
		{Name: "Everything", Delimiter: "/", Attributes: []string{`\all`}}, {Name: "Starred", Delimiter: "/", Attributes: []string{`\Flagged`}},
		{Name: "Ghost", Delimiter: "/", Attributes: []string{`\NonExistent`}},
		{Name: "Bulk", Delimiter: "/", Attributes: []string{`\HasNoChildren`, `\Junk`}}, {Name: "inbox", Delimiter: "/"},
	}}
	for name, test := range map[string]struct {
		s       Selection
		labels  bool
		want    []string
		missing []string
	}{
		"names, whether or not they exist": {s: Selection{"None", "INBOX"}, want: []string{"INBOX", "None"}},
		"all":                              {s: Selection{"all"}, want: []string{"inbox", "Bulk", "Lists/go", "Lists/go/old", "Trash"}},
		"all but":                          {s: Selection{"all", "!Trash", "!Lists/*"}, want: []string{"inbox", "Bulk"}},
		"all but a special use":            {s: Selection{"!\\Junk", "!\\trash", "*"}, want: []string{"inbox", "Lists/go", "Lists/go/old"}},
		"one level":                        {s: Selection{"Lists/%"}, want: []string{"Lists/go"}},
		"in the order of the items":        {s: Selection{"Trash", "Lists/*", "*"}, want: []string{"inbox", "Trash", "Lists/go", "Lists/go/old", "Bulk"}},
		"special use":                      {s: Selection{"INBOX", `\Junk`}, want: []string{"INBOX", "Bulk"}},
		"all mail by its use":              {s: Selection{`\All`}, want: []string{"Everything"}},
		"no such special use":              {s: Selection{"INBOX", `\Archive`}, want: []string{"INBOX"}, missing: []string{`the server names no folder \Archive`}},
		"nothing fits":                     {s: Selection{"INBOX", "News/*"}, want: []string{"INBOX"}, missing: []string{"no folder fits News/*"}},
		"what fits cannot be selected":     {s: Selection{"Lists"}, want: []string{"Lists"}},
		"what fits is excluded":            {s: Selection{"INBOX", "Tr*", "!Trash"}, want: []string{"INBOX"}},
		"inbox in any case":                {s: Selection{"InB*", "INBOX"}, want: []string{"inbox"}},
		"labels":                           {s: Selection{"INBOX", "*", `\Junk`}, labels: true, want: []string{"INBOX", "Bulk"}, missing: []string{"folders are labels here"}},
	} {
		names, missing := test.s.Choose(&Folders{List: have.List, Labels: test.labels})
		if !slices.Equal(names, test.want) {
			t.Errorf("%s: %q, want %q", name, names, test.want)
		}
		if len(missing) != len(test.missing) {
			t.Errorf("%s: missing %v, want %q", name, missing, test.missing)
			continue
		}
		for i, err := range missing {
			if !strings.Contains(err.Error(), test.missing[i]) {
				t.Errorf("%s: %v, want %q", name, err, test.missing[i])
			}
		}
	}
}

func TestSelectionByNameAlone(t *testing.T) {
	s := Selection{"INBOX", "Lists/*", `\Junk`, "!Lists/old", "Work"}
	if got := s.Names(); !reflect.DeepEqual(got, []string{"INBOX", "Work"}) {
		t.Errorf("names %q", got)
	}
	for name, want := range map[string]bool{"inbox": true, "Lists/go": true, "Lists/old": false, "Junk": false, "Work": true, "work": false} {
		if s.Takes(name) != want {
			t.Errorf("takes %s: %v", name, !want)
		}
	}
	for item, want := range map[string]bool{"INBOX": true, "a!b": true, "All": true, "all": false, "!x": false, `\Junk`: false, "a%": false, "*": false} {
		if (Selection{item}).Fixed() != want {
			t.Errorf("%s is fixed: %v", item, !want)
		}
	}
}
