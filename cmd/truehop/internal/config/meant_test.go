package config

import (
	"strings"
	"testing"
)

// TestWhatWasProbablyMeant: a value is suggested as it should stand, with what is behind a verb.
func TestWhatWasProbablyMeant(t *testing.T) {
	for line, says := range map[string]string{
		`on_delivered: "moved:Done"`:            `unknown value "moved:Done"; did you mean "move:Done"?`,
		`on_refused: "qarantine:q@example.org"`: `did you mean "quarantine:q@example.org"?`,
		`on_delivered: delte`:                   `did you mean "delete"?`,
		`on_delivered: "delte:Trash"`:           `did you mean "delete"?`,
		`first_run: newst 5`:                    `did you mean "newest 5"?`,
	} {
		_, err := Parse("truehop.yaml", []byte("state_dir: /s\naccounts:\n  work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org], "+line+"}\n"), Options{})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want it to say %s", line, err, says)
		}
	}
}
