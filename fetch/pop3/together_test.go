package pop3_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// TestOutOfStep: a server that announces PIPELINING and loses commands is told of; one by one, none are lost.
func TestOutOfStep(t *testing.T) {
	const login = "S: +OK\nC: CAPA\nS= \"+OK\\r\\nUSER\\r\\nUIDL\\r\\nPIPELINING\\r\\n.\\r\\n\"\nC~ USER .*\nS: +OK\nC~ PASS .*\nS: +OK\n"
	const listed = "C: UIDL\nC: LIST\nS= \"+OK\\r\\n1 a\\r\\n2 b\\r\\n.\\r\\n+OK\\r\\n1 3\\r\\n2 3\\r\\n.\\r\\n\"\n"
	for name, test := range map[string]struct {
		script string
		single bool
		told   int
		kind   fetch.Kind
	}{
		"LIST lost":                   {login + "C: UIDL\nC: LIST\nS: +OK\nS: .\nhangup", false, 1, fetch.Unreachable},
		"replies mixed":               {login + "C: UIDL\nC: LIST\nS: 1 a\nS: .\nhangup", false, 1, fetch.Protocol},
		"second RETR":                 {login + listed + "C: RETR 1\nC: RETR 2\nS: +OK\nS: x\nS: .\nhangup", false, 1, fetch.Unreachable},
		"one RETR twice":              {login + listed + "C: RETR 1\nC: RETR 2\nS= \"+OK\\r\\nx\\r\\n.\\r\\n+OK\\r\\nx\\r\\n.\\r\\n+OK\\r\\ny\\r\\n.\\r\\n\"\nhangup", false, 1, fetch.Protocol},
		"connection lost":             {login + "C: UIDL\nC: LIST\nclose", false, 1, fetch.Unreachable},
		"connection lost, one by one": {login + "C: UIDL\nclose", true, 0, fetch.Unreachable},
		"connection lost at RETR":     {login + listed + "C: RETR 1\nC: RETR 2\nclose", false, 0, fetch.Unreachable},
		"one by one": {login + "C: UIDL\nS= \"+OK\\r\\n1 a\\r\\n2 b\\r\\n.\\r\\n\"\nC: LIST\nS= \"+OK\\r\\n1 3\\r\\n2 3\\r\\n.\\r\\n\"\n" +
			"C: RETR 1\nS: +OK\nS: x\nS: .\nC: RETR 2\nS: +OK\nS: x\nS: .\nhangup", true, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := 0
				o := plaintext()
				o.OneByOne, o.OutOfStep = test.single, func(hungUp bool) {
					told++
					if hungUp != (name == "connection lost") {
						t.Errorf("hung up: %t", hungUp)
					}
				}
				o.Timeouts = pop3.Timeouts{Idle: time.Minute}
				c, err := pop3.New(t.Context(), fetchtest.Play(t, test.script), o)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Abort()
				listing, err := c.Open(t.Context(), "")
				if err == nil {
					if listing.Together == test.single {
						t.Errorf("one by one is %v, and messages are asked for together: %v", test.single, listing.Together)
					}
					_, _, err = fetchtest.Collect(t.Context(), c, listing.Refs)
				}
				if fetch.KindOf(err) != test.kind || told != test.told || fetch.IsOutOfStep(err) != (test.told > 0) {
					t.Errorf("told %d times, want %d: %v", told, test.told, err)
				}
			})
		})
	}
}
