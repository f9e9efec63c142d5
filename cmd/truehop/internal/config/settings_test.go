package config

import (
	"strings"
	"testing"
)

// TestSettingsAreWrittenAsRead: what config show prints can be given again as the value of its key.
func TestSettingsAreWrittenAsRead(t *testing.T) {
	text := []byte("state_dir: /s\naccounts: {work: {host: imap.example.net, user: joe, password_file: /p, recipients: [joe@example.org]}}\n")
	c, err := Parse("truehop.yaml", text, options())
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, s := range c.Settings() {
		if strings.HasPrefix(s.Value, "[") {
			continue // of a list, the environment has the items alone
		}
		tried++
		o := options()
		o.Environ = append(o.Environ, "TRUEHOP_"+strings.ToUpper(strings.ReplaceAll(s.Key, ".", "__"))+"="+s.Value)
		if _, err := Parse("truehop.yaml", text, o); err != nil {
			t.Errorf("%s is shown as %s, which is refused: %v", s.Key, s.Value, err)
		}
	}
	if tried < 30 {
		t.Errorf("only %d settings were tried", tried)
	}
}
