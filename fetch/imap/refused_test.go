package imap

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
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
			c, err := New(t.Context(), fetchtest.Play(t, "S: * OK [CAPABILITY IMAP4rev1] ready\nC~ T1 LOGIN .*\nS: T1 OK "+test.login+
				"\nC: T2 CAPABILITY\nS: * CAPABILITY IMAP4rev1\nS: T2 OK x\nC: T3 SELECT \"Old mail\"\nC: T4 UID SEARCH ALL\nS: T3 "+test.reply+"\nS: T4 BAD x\n"), plaintext())
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
