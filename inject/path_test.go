package inject

import (
	"strings"
	"testing"
)

// A path never ends a command or adds to it. A want of "!" is an error.
func TestParsePath(t *testing.T) {
	long := strings.Repeat("l", 64)
	for _, c := range []struct{ name, in, want string }{
		{"null sender", "", ""},
		{"plain", "a@example.org", "a@example.org"},
		{"all that an atom may hold", "first.last+tag=x@sub.example.org", "first.last+tag=x@sub.example.org"},
		{"line break behind the address", "a@example.org\r\nRCPT TO:<b@example.org>", "!"},
		{"line break in a quoted local-part", "\"a\r\nb\"@example.org", "!"},
		{"parameter behind the path", "a@b> SIZE=1", "!"},
		{"DSN parameter behind the path", "a@b> NOTIFY=NEVER", "!"},
		{"closing bracket", "a@example.org>", "!"},
		{"in brackets", "<a@example.org>", "!"},
		{"parameter in the local-part", "a> SIZE=1@example.org", `"a> SIZE=1"@example.org`},
		{"quoted space", `"a b"@example.org`, `"a b"@example.org`},
		{"quoted quote", `"a\"b"@example.org`, `"a\"b"@example.org`},
		{"needless escape", `"a\b"@example.org`, `ab@example.org`},
		{"quoted backslash", `"a\\b"@example.org`, `"a\\b"@example.org`},
		{"space in need of quotes", `a b@example.org`, `"a b"@example.org`},
		{"quote in need of quotes", `a"b@example.org`, `"a\"b"@example.org`},
		{"needless quotes", `"joe"@example.org`, `joe@example.org`},
		{"quoted at", `"a@b"@example.org`, `"a@b"@example.org`},
		{"two ats", `a@b@example.org`, `"a@b"@example.org`},
		{"leading dot", `.a@example.org`, `".a"@example.org`},
		{"two dots", `a..b@example.org`, `"a..b"@example.org`},
		{"open quote", `"unclosed@example.org`, `"\"unclosed"@example.org`},
		{"escape at the end", `"trailing\`, "!"},
		{"empty quoted local-part", `""@example.org`, "!"},
		{"source route", "@a.example,@b.example:c@example.org", "c@example.org"},
		{"bang path", "a!b!c@example.org", "a!b!c@example.org"},
		{"percent hack", "a%b@example.org", "a%b@example.org"},
		{"no domain", "a", "!"},
		{"empty domain", "a@", "!"},
		{"empty local-part", "@example.org", "!"},
		{"IPv4 literal", "a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"IPv6 literal", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
		{"open literal", "a@[192.0.2.1", "!"},
		{"bracket in a literal", "a@[x> y]", "!"},
		{"label with a leading hyphen", "a@-x.example", "!"},
		{"empty label", "a@x..example", "!"},
		{"space in the domain", "a@x example", "!"},
		{"trailing dot", "a@example.org.", "!"},
		{"long local-parts are in use", long + "l@example.org", long + "l@example.org"},
		{"local-part of 255", strings.Repeat("l", 255) + "@example.org", "!"},
		{"domain of 263", "a@" + strings.Repeat("d.", 130) + "org", "!"},
		{"NUL", "a\x00b@example.org", "!"},
		{"DEL", "a\x7fb@example.org", "!"},
		{"invalid UTF-8", "\xff@example.org", "!"},
		{"SMTPUTF8", "ä@bücher.example", "ä@bücher.example"},
	} {
		got, err := ParsePath(c.in)
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%s: ParsePath(%q) = %q (%v), want %q", c.name, c.in, got, err, c.want)
		}
	}
}

// A recipient is never what a mailer takes for an option, a command or a file.
func TestParseRecipient(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"user@example.org", "user@example.org"},
		{"user", "user"},
		{"Postmaster", "Postmaster"},
		{`"a b"`, `"a b"`},
		{"", "!"},
		{"-oQ/tmp", "!"},
		{"-f@example.org", "!"},
		{"|cmd", "!"},
		{`"|cmd"@example.org`, "!"},
		{"/file", "!"},
		{":include:/etc/passwd", "!"},
		{"a\nb@example.org", "!"},
		{"@example.org", "!"},
		{"user@example.org> NOTIFY=SUCCESS", "!"},
	} {
		got, err := ParseRecipient(c.in)
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("ParseRecipient(%q) = %q (%v), want %q", c.in, got, err, c.want)
		}
	}
}

// FuzzParsePath: what is accepted is one path, whole between angle brackets, and stays itself.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"", "a@b", `"a b"@c`, `"a\"b"@c`, "a@b> SIZE=1", "@a:b@c", "a\r\n@b", `"\"@b`, `a"@"b@c`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil || p == "" {
			return
		}
		if strings.ContainsAny(p, "\r\n\x00") || len(p) > maxPath {
			t.Fatalf("ParsePath(%q) = %q", s, p)
		}
		quoted := false
		for i := 0; i < len(p); i++ {
			switch ch := p[i]; {
			case ch == '\\' && quoted:
				i++
			case ch == '"':
				quoted = !quoted
			case !quoted && (ch == '>' || ch == '<' || ch <= ' '):
				t.Fatalf("ParsePath(%q) = %q ends at octet %d", s, p, i)
			}
		}
		if quoted {
			t.Fatalf("ParsePath(%q) = %q leaves a quote open", s, p)
		}
		if again, err := ParsePath(p); err != nil || again != p {
			t.Fatalf("ParsePath(%q) = %q, and of that %q, %v", s, p, again, err)
		}
	})
}
