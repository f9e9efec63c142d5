package imap

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// TestRefusedFolder: the error names the folder, and a refusal that will pass is not taken for a folder that is missing.
func TestRefusedFolder(t *testing.T) {
	const exchange = `[Error="Microsoft.Exchange.X:Cross Server access is not allowed" Service=Imap4] LOGIN completed.`
	for name, test := range map[string]struct {
		login, reply string
		kind         fetch.Kind
	}{
		"no reason":                    {"in", "NO SELECT failed", fetch.NoFolder},
		"no reason after a faulty OK":  {exchange, "NO SELECT failed", fetch.Busy},
		"a reason after a faulty OK":   {exchange, "NO [NONEXISTENT] x", fetch.NoFolder},
		"not connected":                {exchange, "BAD User is authenticated but not connected.", fetch.Busy},
		"limit":                        {"in", "NO Command limit exceeded", fetch.Busy},
		"switched off at the provider": {"in", "NO [ALERT] Your account is not enabled for IMAP use.", fetch.Auth},
	} {
		t.Run(name, func(t *testing.T) {
			// The library asks for the capabilities as well, at a time of its own: a server answers, where a script would be in step.
			server := server(fakeserver.NewStore())
			server.QuietCapabilities = true
			server.Reply = func(verb, _ string) (string, bool) {
				reply, ok := map[string]string{
					"LOGIN": "OK " + test.login, "AUTHENTICATE": "OK " + test.login, "SELECT": test.reply, "UID SEARCH": "BAD x",
				}[verb]
				return "%T " + reply + "\r\n", ok
			}
			c, err := New(t.Context(), fetchtest.Dial(t, fetchtest.Listen(t, server.Serve).Addr()), plaintext())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Abort)
			_, err = c.Open(t.Context(), "Old mail")
			if fetch.KindOf(err) != test.kind || !strings.Contains(err.Error(), `SELECT "Old mail": server said`) {
				t.Errorf("got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), test.kind)
			}
		})
	}
}
