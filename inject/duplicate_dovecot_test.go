//go:build unix

package inject_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
)

// TestDovecotSieveDropsTheCopy: Sieve's duplicate test (RFC 7352) by the Truehop-ID keeps one of a message that was in doubt and
// is delivered again, so that it is in the mailbox once; another message is not taken for it.
func TestDovecotSieveDropsTheCopy(t *testing.T) {
	d := startDovecotLMTP(t)
	script := "require [\"duplicate\"];\nif duplicate :header \"Truehop-ID\" { discard; stop; }\n"
	if err := os.WriteFile(filepath.Join(d.dir, "mail", "seen.sieve"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	var messages []*inject.Message
	for i, header := range []string{"Truehop-ID: ONE\r\n", "Truehop-ID: ONE\r\nTruehop-Redelivery: possible\r\n", "Truehop-ID: TWO\r\n"} {
		m := message(i + 1)
		m.Header, m.To = []byte(header), []string{"user@example.org"}
		messages = append(messages, m)
	}
	for i, r := range injectAll(t, dialTo(t, d.addr), inject.Options{Dialect: inject.LMTP, Connections: 1}, messages...) {
		if r.Outcome != inject.Delivered {
			t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	files, err := filepath.Glob(filepath.Join(d.dir, "mail", "user", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var stored strings.Builder
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stored.Write(raw)
	}
	one, two := strings.Count(stored.String(), "Truehop-ID: ONE"), strings.Count(stored.String(), "Truehop-ID: TWO")
	if len(files) != 2 || one != 1 || two != 1 || strings.Contains(stored.String(), "Truehop-Redelivery") {
		t.Errorf("the mailbox has %d messages:\n%s", len(files), stored.String())
	}
}
