package imap

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestAlertThatEchoesTheLogin: servers quote commands that they refuse, and what they quote at the login is the password. Any other
// ALERT is shown, as it must be (RFC 9051 section 7.1).
func TestAlertThatEchoesTheLogin(t *testing.T) {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
	for name, test := range map[string]struct {
		offered, script string
		shown           string
	}{
		"the LOGIN command, with its refusal": {"", "C~ T1 LOGIN .*\nS: T1 NO [ALERT] refused: LOGIN " + user + " " + password, ""},
		"the LOGIN command, beforehand":       {"", "C~ T1 LOGIN .*\nS: * NO [ALERT] LOGIN " + user + " \"" + password + "\" looks odd\nS: T1 NO no", ""},
		"in base64":                           {"AUTH=PLAIN SASL-IR", "C~ T1 AUTHENTICATE PLAIN .*\nS: * BAD [ALERT] what is " + plain + "\nS: T1 OK in\nC: T2 CAPABILITY\nS: T2 OK x", ""},
		"nothing of the kind":                 {"", "C~ T1 LOGIN .*\nS: * OK [ALERT] the mailbox is nearly full\nS: T1 NO no", "nearly full"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			o := plaintext()
			o.Secure, o.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
			c, err := New(t.Context(), fetchtest.Play(t, "S: * OK [CAPABILITY IMAP4rev1 "+test.offered+"] hi\n"+test.script+"\nsilence"), o)
			if err == nil {
				c.Abort()
			}
			for _, secret := range []string{password, plain} {
				if strings.Contains(log.String(), secret) {
					t.Errorf("the log holds the secret: %s", log.String())
				}
			}
			if !strings.Contains(log.String(), "server alert") || !strings.Contains(log.String(), test.shown) {
				t.Errorf("the log says %q, want an alert and %q in it", log.String(), test.shown)
			}
		})
	}
}
