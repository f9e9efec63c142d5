package config

import (
	"strings"
	"testing"
)

// TestStateDirIsToldOnce: what is below a wrong directory is no mistake of its own.
func TestStateDirIsToldOnce(t *testing.T) {
	accounts := "accounts: {work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org]}}\n"
	for line, wrong := range map[string]int{"state_dir: ~/state\n": 1, "state_dir: ~/state\nspool_dir: spool\n": 2} {
		_, err := Parse("truehop.yaml", []byte(line+accounts), Options{})
		if err == nil || strings.Count(err.Error(), "want an absolute path") != wrong {
			t.Errorf("%q: %v; want %d mistakes", line, err, wrong)
		}
	}
}

// TestWhatWasProbablyMeant: a value is suggested as it should stand, with what is behind a verb.
func TestWhatWasProbablyMeant(t *testing.T) {
	for line, says := range map[string]string{
		`on_delivered: "moved:Done"`:            `unknown value "moved:Done"; did you mean "move:Done"?`,
		`on_refused: "qarantine:q@example.org"`: `did you mean "quarantine:q@example.org"?`,
		`on_delivered: delte`:                   `did you mean "delete"?`,
		`on_delivered: "delte:Trash"`:           `did you mean "delete"?`,
		`first_run: newst 5`:                    `did you mean "newest 5"?`,
		`on_delivered: remove`:                  `did you mean "move:FOLDER"?`,
		`first_run: newst`:                      `did you mean "newest N"?`,
		`idle: yes`:                             `idle: want true or false, got "yes"`,
		`idle: "true"`:                          `idle: write true without quotes`,
		`port: many`:                            `port: want a whole number, got "many"`,
		`port: "0993"`:                          `port: want a whole number, got "0993"`,
		`port: "993"`:                           `port: write 993 without quotes`,
	} {
		_, err := Parse("truehop.yaml", []byte("state_dir: /s\naccounts:\n  work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org], "+line+"}\n"), Options{})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want it to say %s", line, err, says)
		}
	}
}
