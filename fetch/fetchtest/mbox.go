package fetchtest

import (
	"bytes"
	"os"
	"testing"
)

// mbox is an inbox in one file, as mail(1) has it, to which this delivers as a delivery agent does. No other process
// may have it open for writing meanwhile.
type mbox struct {
	path string
	uid  int
}

func (m mbox) Deliver(t testing.TB, folder string, messages ...[]byte) {
	t.Helper()
	if folder != "INBOX" {
		t.Fatalf("an mbox has no folder %s", folder)
	}
	var text bytes.Buffer
	for _, message := range messages {
		text.WriteString("From sender@example.com Mon Nov 23 12:00:00 2026\n")
		text.Write(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")))
		text.WriteString("\n")
	}
	file, err := os.OpenFile(m.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	must(t, err)
	defer file.Close()
	_, err = file.Write(text.Bytes())
	must(t, err)
	must(t, file.Chown(m.uid, m.uid))
	must(t, file.Close())
}

func (m mbox) Count(t testing.TB, folder string) int {
	t.Helper()
	text, err := os.ReadFile(m.path)
	if folder != "INBOX" || err != nil {
		t.Fatalf("the mbox of %s: %v", folder, err)
	}
	return bytes.Count(append([]byte("\n\n"), text...), []byte("\n\nFrom "))
}

// Create and Flagged are for servers that have folders and flags.
func (mbox) Create(t testing.TB, folder string) {
	t.Helper()
	t.Fatalf("an mbox has no folder %s", folder)
}

func (mbox) Flagged(t testing.TB, _, flag string) int {
	t.Helper()
	t.Fatalf("an mbox has no flag %s", flag)
	return 0
}
