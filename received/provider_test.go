package received

import (
	"reflect"
	"strings"
	"testing"
)

// TestProvider: every profile is read by its name and gives its policy; auto goes by the account's host.
func TestProvider(t *testing.T) {
	for _, name := range Profiles() {
		var p Provider
		if err := p.UnmarshalText([]byte(name)); err != nil || string(p) != name {
			t.Errorf("%s is read as %q, %v", name, string(p), err)
		}
		if text, err := p.MarshalText(); err != nil || string(text) != name || p.String() != name {
			t.Errorf("%s is written as %q and prints as %s, %v", name, text, p, err)
		}
		want, _ := Profile(name)
		switch name {
		case "auto":
			want = Auto("imap.example.org")
		case "exim", "generic", "postfix": // these infer from the account's host as well
			want.org = "example.org"
		}
		if got := p.Policy("imap.example.org"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %+v, want %+v", name, got, want)
		}
	}
	if got, want := Provider("").Policy("imap.gmail.com"), Auto("imap.gmail.com"); !reflect.DeepEqual(got, want) || Provider("").String() != "auto" {
		t.Errorf("no name gives %+v, want %+v", got, want)
	}
	if got := Provider("nobody").Policy("imap.gmail.com"); !reflect.DeepEqual(got, Policy{}) {
		t.Errorf("a name that is none gives %+v, want the policy that trusts nobody", got)
	}
	for _, wrong := range []string{"", "Gmail", "nobody", "\x1b\n"} {
		p := Provider("gmail")
		if err := p.UnmarshalText([]byte(wrong)); err == nil || p != "gmail" || !strings.Contains(err.Error(), "fastmail, ") || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%q is read as %s, %v; want it left alone and the names listed", wrong, p, err)
		}
	}
}
