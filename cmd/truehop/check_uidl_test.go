package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/received"
)

// TestCheckSaysThatThereIsNoUIDL: what it costs is said before the first pass, even of an empty mailbox.
func TestCheckSaysThatThereIsNoUIDL(t *testing.T) {
	for lacking, want := range map[bool]bool{true: true, false: false} {
		server := &fakeserver.POP3{Store: fakeserver.NewStore(), User: "joe", Password: "sesame", NoUIDL: lacking}
		host, port, _ := strings.Cut(fetchtest.Listen(t, server.Serve).Addr(), ":")
		text := fmt.Sprintf("state_dir: %s\ninject: {address: \"127.0.0.1:25\"}\naccounts:\n  work: {protocol: pop3, host: %s, port: %s, tls: none, allow_plaintext: true, user: joe, password: sesame, recipients: [joe@example.org]}\n",
			t.TempDir(), host, port)
		cfg, err := config.Parse("truehop.yaml", []byte(text), configOptions())
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		found := checkAccount(t.Context(), cfg.Accounts["work"], received.Policy{}, cfg, os.Geteuid())
		found.Print(&out, true)
		if found.code != exitOK {
			t.Errorf("no UIDL %v: exit code %d\n%s", lacking, found.code, &out)
		}
		if got := strings.Contains(out.String(), "no UIDL: messages are known by their content"); got != want {
			t.Errorf("no UIDL %v: check says\n%s", lacking, &out)
		}
	}
}
