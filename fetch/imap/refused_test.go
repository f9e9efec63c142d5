package imap

import (
	"cmp"
	"io"
	"strconv"
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
		folder       string // "Old mail" unless said
	}{
		"its name tells of a refused login": {"in", "NO Suspicious mail doesn't exist.", fetch.NoFolder, "Suspicious mail"},
		"its name tells of a busy server":   {"in", "NO Maintenance doesn't exist.", fetch.NoFolder, "Maintenance"},
		"a busy server":                     {"in", "NO Server Unavailable. 15", fetch.Busy, "Maintenance"},
		"no reason":                         {"in", "NO SELECT failed", fetch.NoFolder, ""},
		"no reason after a faulty OK":       {exchange, "NO SELECT failed", fetch.Busy, ""},
		"a reason after a faulty OK":        {exchange, "NO [NONEXISTENT] x", fetch.NoFolder, ""},
		"not connected":                     {exchange, "BAD User is authenticated but not connected.", fetch.Busy, ""},
		"limit":                             {"in", "NO Command limit exceeded", fetch.Busy, ""},
		"switched off at the provider":      {"in", "NO [ALERT] Your account is not enabled for IMAP use.", fetch.Auth, ""},
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
			folder := cmp.Or(test.folder, "Old mail")
			_, err = c.Open(t.Context(), folder)
			if fetch.KindOf(err) != test.kind || !strings.Contains(err.Error(), "SELECT "+strconv.Quote(folder)+": server said") {
				t.Errorf("got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), test.kind)
			}
		})
	}
}

// A set that the server refuses leaves open which of its messages is to blame: what came has come, the rest is left to
// the caller, and the session goes on.
func TestRefusedSetCanBeAskedForInParts(t *testing.T) {
	two := strings.NewReplacer("* SEARCH 7", "* SEARCH 7 8 9", "ALL 7", "ALL 7:9").Replace(begin)
	if two == begin {
		t.Fatal("the dialogue lists no UID 7")
	}
	for words, kind := range map[string]fetch.Kind{"cannot": fetch.Refused, "[SERVERBUG] x": fetch.Busy, "[UNAVAILABLE] x": fetch.Busy} {
		t.Run(words, func(t *testing.T) {
			c, listing, err := play(t, two+"C: T4 UID FETCH 7:9 (UID BODY.PEEK[])\nS: * 1 FETCH (UID 7 BODY[] {3}\nS: abc)\nS: T4 NO "+words+
				"\nC: T5 UID FETCH 9 (UID BODY.PEEK[])\nS: * 3 FETCH (UID 9 BODY[] {3}\nS: def)\nS: T5 OK x\n")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			sink := func(m fetch.Message) error {
				if m.Err != nil {
					t.Errorf("%s: %v", m.Ref.UID, m.Err)
					return nil
				}
				raw, err := io.ReadAll(m.Body)
				got = append(got, m.Ref.UID+" "+string(raw))
				return err
			}
			if err := c.Retrieve(t.Context(), listing.Refs, sink); fetch.KindOf(err) != kind || fetch.EndsSession(err) {
				t.Errorf("Retrieve: %v, want kind %v and the session to go on", err, kind)
			}
			if err := c.Retrieve(t.Context(), listing.Refs[2:], sink); err != nil {
				t.Errorf("Retrieve: %v", err)
			}
			if want := "7 abc,9 def"; strings.Join(got, ",") != want {
				t.Errorf("%q came, want %q", got, want)
			}
		})
	}
}
