package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSanitize(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain words":            "plain words",
		"  trimmed \t":           "trimmed",
		"tab\there":              "tab here",
		"line\r\nline":           "line??line",
		"\x1b[2Jgone\x00\x7f":    "?[2Jgone??",
		"bidi \u202e\u2066x":     "bidi ??x",
		"zero\u200bwidth":        "zero?width",
		"next\u0085line":         "next?line",
		"separators\u2028\u2029": "separators??",
		"bad \xff\xfe utf-8":     "bad ? utf-8",
		"100%s %n":               "100%s %n",
		"grün 日本 🐱":              "grün 日本 🐱",
	} {
		if got := Sanitize(in); got != want {
			t.Errorf("Sanitize(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzSanitize(f *testing.F) {
	f.Add("plain")
	f.Add(strings.Repeat("€", 100))
	f.Add("a\x00\u202e\xff")
	f.Fuzz(func(t *testing.T, in string) {
		got := Sanitize(in)
		if !utf8.ValidString(got) || len(got) > maxText+len("...") || strings.ContainsAny(got, "\x00\r\n\t\x1b\u202e\u2028") {
			t.Errorf("Sanitize(%q) = %q", in, got)
		}
	})
}

func TestSanitizeCuts(t *testing.T) {
	for _, n := range []int{maxText - 1, maxText, maxText + 1, 1 << 20} {
		got := Sanitize(strings.Repeat("x", n))
		if cut := n > maxText; strings.HasSuffix(got, "...") != cut || len(got) > maxText+len("...") {
			t.Errorf("of %d octets %d are left: %q", n, len(got), got)
		}
	}
}

func TestError(t *testing.T) {
	for _, test := range []struct {
		err  Error
		want string
	}{
		{Error{Kind: Busy, Op: "PASS"}, "PASS: busy"},
		{Error{Kind: Auth, Op: "PASS", Text: `no "way"`}, `PASS: server said "no \"way\""`},
		{Error{Kind: Unreachable, Op: "RETR", Err: io.ErrUnexpectedEOF}, "RETR: unexpected EOF"},
		{Error{Kind: Protocol, Op: "UIDL", Text: "x", Err: errors.New("odd")}, `UIDL: server said "x": odd`},
		{Error{Op: "x"}, "x: unclassified"},
		// A certificate's names, for one, are anybody's words.
		{Error{Op: "TLS handshake", Err: errors.New("valid for a\r\n\x1b[2J\u202eb\xff, not c")}, "TLS handshake: valid for a???[2J?b?, not c"},
		{Error{Kind: 200, Op: "x"}, "x: kind-200"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	inner := &Error{Kind: Gone, Op: "RETR", Err: io.EOF}
	for _, test := range []struct {
		err  error
		want Kind
	}{
		{nil, Unclassified},
		{errors.New("x"), Unclassified},
		{inner, Gone},
		{fmt.Errorf("account: %w", inner), Gone},
		{&Error{Kind: Protocol, Err: inner}, Protocol},
		{errors.Join(errors.New("x"), inner), Gone},
	} {
		if got := KindOf(test.err); got != test.want {
			t.Errorf("KindOf(%v) = %v, want %v", test.err, got, test.want)
		}
	}
	if !errors.Is(inner, io.EOF) {
		t.Error("the cause is not found")
	}
}

// TestEndsSession: a refusal leaves client and server in step; what may have left octets under way does not.
func TestEndsSession(t *testing.T) {
	ends := map[Kind]bool{Unclassified: true, Unreachable: true, TLS: true, Protocol: true, TooLarge: true}
	for k := Unclassified; k <= Incomplete; k++ {
		err := fmt.Errorf("account: %w", &Error{Kind: k, Op: "RETR"})
		if got := EndsSession(err); got != ends[k] {
			t.Errorf("an error of Kind %v ends the session: %v, want %v", k, got, ends[k])
		}
	}
	if EndsSession(nil) {
		t.Error("success ends the session")
	}
	if !EndsSession(errors.New("the sink's")) || !EndsSession(context.Canceled) {
		t.Error("an error of a sink or a context does not end the session")
	}
}

func TestKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := Unclassified; k <= Incomplete; k++ {
		if name := k.String(); seen[name] || name == "" || strings.HasPrefix(name, "kind-") {
			t.Errorf("kind %d is called %q", k, name)
		}
		seen[k.String()] = true
	}
}
