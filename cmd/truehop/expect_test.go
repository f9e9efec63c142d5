package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestMTAIsReachedWhileMessagesAreRetrieved: an upstream hands over no message before the listener that the mail goes to has a
// connection. No other listener gets one, and where nothing is new none does.
func TestMTAIsReachedWhileMessagesAreRetrieved(t *testing.T) {
	for name, to := range map[string]struct{ inject, account string }{
		"judged":         {"{address: %s}", ""},
		"without filter": {"{plain: %s, address: %s}", "\n    filter: false"},
	} {
		t.Run(name, func(t *testing.T) {
			mta := injecttest.New(injecttest.Options{})
			t.Cleanup(func() { _ = mta.Close() })
			reached := make(chan struct{})
			var once sync.Once
			relay := fetchtest.Listen(t, func(conn net.Conn) {
				once.Do(func() { close(reached) })
				server, err := mta.Dial(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				var both sync.WaitGroup
				both.Go(func() { _, _ = io.Copy(server, conn); _ = server.Close() })
				both.Go(func() { _, _ = io.Copy(conn, server); _ = conn.Close() })
				both.Wait()
			})
			other := fetchtest.Listen(t, func(net.Conn) { t.Error("the listener that no mail goes to has a connection") })
			store := fakeserver.NewStore()
			store.Add("INBOX", scriptMail(1))
			upstream := &fakeserver.POP3{Store: store, User: "u", Password: "p", Reply: func(verb, _ string) (string, bool) {
				if verb == "RETR" {
					select {
					case <-reached:
					case <-time.After(20 * time.Second):
						t.Error("the MTA has no connection when the first message is retrieved")
					}
				}
				return "", false
			}}
			host, port, err := net.SplitHostPort(fetchtest.Listen(t, upstream.Serve).Addr())
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "truehop.yaml")
			inject := strings.Replace(strings.Replace(to.inject, "%s", relay.Addr(), 1), "%s", other.Addr(), 1)
			text := fmt.Sprintf("state_dir: %s\ninject: %s\naccounts:\n  work:\n    protocol: pop3\n    host: %s\n    port: %s\n    tls: none\n    allow_plaintext: true\n    user: u\n    password: p\n    recipients: [alice@example.net]\n    mx: [mx.example.net]\n    on_delivered: keep%s\n",
				filepath.Join(dir, "state"), inject, host, port, to.account)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				must(t, exitOK, "run", "--config", path)
				if len(mta.Messages()) != 1 || mta.Sessions() != 1 {
					t.Errorf("%d messages in %d sessions", len(mta.Messages()), mta.Sessions())
				}
			}
		})
	}
}
