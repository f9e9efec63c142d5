package imap

import (
	"reflect"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

func TestFolders(t *testing.T) {
	for name, test := range map[string]struct {
		says string
		want []fetch.Folder
		kind fetch.Kind
	}{
		"none": {says: "%T OK x\r\n"},
		"as usual": {says: "* LIST (\\HasNoChildren \\Junk) \"/\" Spam\r\n* LIST () \".\" \"two words\"\r\n%T OK x\r\n",
			want: []fetch.Folder{{Name: "Spam", Delimiter: "/", Attributes: []string{`\HasNoChildren`, `\Junk`}}, {Name: "two words", Delimiter: "."}}},
		"quotes and backslashes": {says: "* LIST () \"\\\\\" \"a\\\\b \\\"c\\\"\"\r\n%T OK x\r\n", want: []fetch.Folder{{Name: `a\b "c"`, Delimiter: `\`}}},
		"literals": {says: "* LIST () NIL {9}\r\na \"b\" (c)\r\n* LIST () NIL {2}\r\nxy (CHILDINFO (\"SUBSCRIBED\"))\r\n* LIST () NIL z\r\n%T OK x\r\n",
			want: []fetch.Folder{{Name: `a "b" (c)`}, {Name: "xy"}, {Name: "z"}}},
		"extended data": {says: "* LIST (\\Archive) \"/\" old (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n%T OK x\r\n", want: []fetch.Folder{{Name: "old", Delimiter: "/", Attributes: []string{`\Archive`}}}},
		"blanks without quotes": {says: "* LIST () \"/\" Sub folder 1\r\n* LIST () \"/\" INBOX/From\tSubject\t\r\n* LIST () \"\\\\\" a\\b c \r\n* LIST () \"/\" old mail (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n* LIST () \"/\" News (weekly)\r\n* LIST () \"/\" x (OLDNAME (y z))\r\n%T OK x\r\n",
			want: []fetch.Folder{{Name: "Sub folder 1", Delimiter: "/"}, {Name: "INBOX/From\tSubject\t", Delimiter: "/"}, {Name: `a\b c`, Delimiter: `\`}, {Name: "old mail", Delimiter: "/"}, {Name: "News (weekly)", Delimiter: "/"}, {Name: "x", Delimiter: "/"}}},
		"no attributes":      {says: "* LIST NIL \"/\" a\r\n%T OK x\r\n", want: []fetch.Folder{{Name: "a", Delimiter: "/"}}},
		"modified UTF-7":     {says: "* LIST () \"/\" Entw&APw-rfe\r\n* LIST () \"/\" \"&U,BTFw- &- &2D3eAA-\"\r\n%T OK x\r\n", want: []fetch.Folder{{Name: "Entwürfe", Delimiter: "/"}, {Name: "台北 & 😀", Delimiter: "/"}}},
		"UTF-8 all the same": {says: "* LIST () \"/\" \"Entwürfe\"\r\n%T OK x\r\n", want: []fetch.Folder{{Name: "Entwürfe", Delimiter: "/"}}},
		"names that cannot be read are left out": {says: "* LIST () \"/\" AT&T\r\n* LIST () \"/\" &AGE-\r\n* LIST () \"/\" &2D0-\r\n* LIST () \"/\" \"\xff\"\r\n* LIST () \"/\" ok\r\n%T OK x\r\n",
			want: []fetch.Folder{{Name: "ok", Delimiter: "/"}}},
		"names that would be asked for in another form are left out": {says: "* LIST () \"/\" &APw-&APY-\r\n* LIST () \"/\" &AAo-x\r\n* LIST () \"/\" &APw-&-&APY-\r\n* LIST () \"/\" &APw-x&APY-\r\n%T OK x\r\n",
			want: []fetch.Folder{{Name: "ü&ö", Delimiter: "/"}, {Name: "üxö", Delimiter: "/"}}},
		"lines that cannot be read are left out": {says: "* LIST\r\n* LIST (\r\n* LIST () \"/\r\n* LIST () \"/\" \r\n* LIST () \"/\" {0}\r\n\r\n* LSUB () \"/\" no\r\n* LIST () \"/\" ok\r\n%T OK x\r\n",
			want: []fetch.Folder{{Name: "ok", Delimiter: "/"}}},
		"refused": {says: "%T NO not now\r\n", kind: fetch.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			s := server(fakeserver.NewStore())
			s.Reply = func(verb, args string) (string, bool) {
				if verb != "LIST" {
					return "", false
				}
				if args != `"" "*"` {
					t.Errorf("LIST %s", args)
				}
				return test.says, true
			}
			c := dial(t, s, plaintext())
			got, err := c.Folders(t.Context())
			if fetch.KindOf(err) != test.kind {
				t.Fatalf("error %v", err)
			}
			if err == nil {
				for i := range got.List {
					if len(got.List[i].Attributes) == 0 {
						got.List[i].Attributes = nil
					}
				}
				if !reflect.DeepEqual(got.List, test.want) {
					t.Errorf("got %q, want %q", got.List, test.want)
				}
			}
			if _, err := c.Open(t.Context(), ""); err != nil {
				t.Errorf("the session did not go on: %v", err)
			}
		})
	}
}

func TestFoldersAsksForSpecialUses(t *testing.T) {
	for _, test := range []struct {
		capabilities []string
		asks         string
		labels       bool
	}{
		{nil, `"" "*"`, false},
		{[]string{"SPECIAL-USE"}, `"" "*"`, false},
		{[]string{"SPECIAL-USE", "LIST-EXTENDED"}, `"" "*" RETURN (SPECIAL-USE)`, false},
		{[]string{"X-GM-EXT-1"}, `"" "*"`, true},
	} {
		s := server(fakeserver.NewStore())
		s.Capabilities = test.capabilities
		asked := ""
		s.Reply = func(verb, args string) (string, bool) {
			if verb == "LIST" {
				asked = args
			}
			return "%T OK x\r\n", verb == "LIST"
		}
		found, err := dial(t, s, plaintext()).Folders(t.Context())
		if err != nil || asked != test.asks || found.Labels != test.labels {
			t.Errorf("%q: asked %s, %+v, %v", test.capabilities, asked, found, err)
		}
	}
}

// Patterns, special uses and names beyond ASCII, as Dovecot lists them; each folder that is listed can be opened.
func TestDovecotFolders(t *testing.T) {
	d := fetchtest.StartDovecot(t, fetchtest.DovecotOptions{Config: "namespace inbox {\n  mailbox Rubbish {\n    special_use = \\Junk\n  }\n  mailbox Stored {\n    special_use = \\Archive\n  }\n}\n"})
	for _, name := range []string{"Rubbish", "Stored", "Entw&APw-rfe", "Lists/go", "Lists/go/old", "Trash"} {
		d.Create(name)
		d.DeliverTo(name, []byte("Subject: in "+name+"\r\n\r\nx\r\n"))
	}
	c, err := dialDovecot(t.Context(), t, d, true, dovecotOptions(d))
	if err != nil {
		t.Fatal(err)
	}
	have, err := c.Folders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		s    fetch.Selection
		want string
	}{
		{fetch.Selection{"all"}, "INBOX,Entwürfe,Lists/go,Lists/go/old,Rubbish,Stored,Trash"},
		{fetch.Selection{"%", "!Trash"}, "INBOX,Entwürfe,Rubbish,Stored"},
		{fetch.Selection{"Lists/%"}, "Lists/go"},
		{fetch.Selection{`\Junk`, `\Archive`}, "Rubbish,Stored"},
		{fetch.Selection{"Entwü*"}, "Entwürfe"},
	} {
		names, missing := test.s.Choose(have)
		if got := strings.Join(names, ","); got != test.want || len(missing) > 0 {
			t.Errorf("%q chooses %s, missing %v; want %s of %+v", test.s, got, missing, test.want, have.List)
		}
		for _, name := range names {
			listing, err := c.Open(t.Context(), name)
			if err != nil || (name != "INBOX" && len(listing.Refs) != 1) {
				t.Errorf("%s: %v, %v", name, listing, err)
			}
		}
	}
}
