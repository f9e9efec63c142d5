package inject

import (
	"strings"
	"testing"
)

// A domain has a form in ASCII, a local-part has none.
func TestASCIIPath(t *testing.T) {
	for path, want := range map[string]string{
		"":                           "",
		"user":                       "user",
		"user@example.org":           "user@example.org",
		"user@bücher.example":        "user@xn--bcher-kva.example",
		"user@BÜCHER.example":        "user@xn--bcher-kva.example",
		`"a@ b"@bücher.example`:      `"a@ b"@xn--bcher-kva.example`,
		"user@xn--bcher-kva.example": "user@xn--bcher-kva.example",
		"user@straße.example":        "user@xn--strae-oqa.example",
		"user@例え.example":            "user@xn--r8jz45g.example",
		"user@[192.0.2.1]":           "user@[192.0.2.1]",
		"jürgen":                     "none",
		"jürgen@example.org":         "none",
		"jürgen@bücher.example":      "none",
		"user@bü cher.example":       "none",
		"user@-bücher.example":       "none",
		"user@" + strings.Repeat("ü.", 60) + "example": "none", // longer than a path may be
	} {
		got, ok := asciiPath(path)
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%.40s: %s, want %s", path, got, want)
		}
	}
}
