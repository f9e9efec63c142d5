package config

import (
	"strings"
	"testing"
)

// TestStateHoldsNoPassword: what everybody sees who is shown the configuration has none in it, however libpq takes it; and what is no address is told.
func TestStateHoldsNoPassword(t *testing.T) {
	for state, want := range map[string]string{
		"postgres://u:canary@db.example.org/x":          "holds a password",
		"postgres://u@db.example.org/x?password=canary": "holds a password",
		"service=x password=canary":                     "holds a password",
		"service=x password = canary":                   "holds a password",
		"postgres://u@db.example.org/%zz":               "cannot be read as an address",
		"dbname=x":                                      "want postgres://",
		"service=a%zz":                                  "",
		"postgres://db.example.org:5432/x?user=u@x":     "",
		"postgres://u@db.example.org/x":                 "",
	} {
		_, err := Parse("test.yaml", []byte("state: "+state+"\n"), options())
		text := ""
		if err != nil {
			text = err.Error()
		}
		if about := strings.Contains(text, "state: "); about != (want != "") || !strings.Contains(text, want) || strings.Contains(text, "canary") {
			t.Errorf("%s: %s; want %q", state, text, want)
		}
	}
}
