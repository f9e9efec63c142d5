package inject

import (
	"strings"
	"testing"
)

// TestParsePath covers T-ENV-01 to T-ENV-05 and T-ENV-10. A want of "!" is an error.
func TestParsePath(t *testing.T) {
	long := strings.Repeat("l", 64)
	for _, c := range []struct{ id, in, want string }{
		{"T-ENV-10", "", ""},
		{"", "a@example.org", "a@example.org"},
		{"", "first.last+tag=x@sub.example.org", "first.last+tag=x@sub.example.org"},
		{"T-ENV-01", "a@example.org\r\nRCPT TO:<b@example.org>", "!"},
		{"T-ENV-01", "\"a\r\nb\"@example.org", "!"},
		{"T-ENV-02", "a@b> SIZE=1", "!"},
		{"T-ENV-02", "a@b> NOTIFY=NEVER", "!"},
		{"T-ENV-02", "a@example.org>", "!"},
		{"T-ENV-02", "<a@example.org>", "!"},
		{"T-ENV-02", "a> SIZE=1@example.org", `"a> SIZE=1"@example.org`},
		{"T-ENV-03", `"a b"@example.org`, `"a b"@example.org`},
		{"T-ENV-03", `"a\"b"@example.org`, `"a\"b"@example.org`},
		{"T-ENV-03", `"a\b"@example.org`, `ab@example.org`},
		{"T-ENV-03", `"a\\b"@example.org`, `"a\\b"@example.org`},
		{"T-ENV-03", `a b@example.org`, `"a b"@example.org`},
		{"T-ENV-03", `a"b@example.org`, `"a\"b"@example.org`},
		{"T-ENV-03", `"joe"@example.org`, `joe@example.org`},
		{"T-ENV-03", `"a@b"@example.org`, `"a@b"@example.org`},
		{"T-ENV-03", `a@b@example.org`, `"a@b"@example.org`},
		{"T-ENV-03", `.a@example.org`, `".a"@example.org`},
		{"T-ENV-03", `a..b@example.org`, `"a..b"@example.org`},
		{"T-ENV-03", `"unclosed@example.org`, `"\"unclosed"@example.org`},
		{"T-ENV-03", `"trailing\`, "!"},
		{"T-ENV-03", `""@example.org`, "!"},
		{"T-ENV-04", "@a.example,@b.example:c@example.org", "c@example.org"},
		{"T-ENV-04", "a!b!c@example.org", "a!b!c@example.org"},
		{"T-ENV-04", "a%b@example.org", "a%b@example.org"},
		{"T-ENV-04", "a", "!"},
		{"T-ENV-04", "a@", "!"},
		{"T-ENV-04", "@example.org", "!"},
		{"T-ENV-04", "a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"T-ENV-04", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"},
		{"T-ENV-04", "a@[192.0.2.1", "!"},
		{"T-ENV-04", "a@[x> y]", "!"},
		{"T-ENV-04", "a@-x.example", "!"},
		{"T-ENV-04", "a@x..example", "!"},
		{"T-ENV-04", "a@x example", "!"},
		{"T-ENV-04", "a@example.org.", "!"},
		{"T-ENV-05 long local-parts are in use", long + "l@example.org", long + "l@example.org"},
		{"T-ENV-05", strings.Repeat("l", 255) + "@example.org", "!"},
		{"T-ENV-05", "a@" + strings.Repeat("d.", 130) + "org", "!"},
		{"T-ENV-05", "a\x00b@example.org", "!"},
		{"T-ENV-05", "a\x7fb@example.org", "!"},
		{"T-ENV-05", "\xff@example.org", "!"},
		{"SMTPUTF8", "ä@bücher.example", "ä@bücher.example"},
	} {
		got, err := ParsePath(c.in)
		if err != nil {
			got = "!"
		}
		if got != c.want {
			t.Errorf("%s: ParsePath(%q) = %q (%v), want %q", c.id, c.in, got, err, c.want)
		}
	}
}

// TestParseRecipient covers T-ENV-09.
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
