package imap

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
)

// through returns what a guard lets pass of what a server sends, and why it stopped.
func through(t testing.TB, said string, change func(*guard)) (string, error) {
	t.Helper()
	client, server := net.Pipe()
	g := guardOver(client, Options{Timeouts: Timeouts{Idle: 5 * time.Second}})
	g.begin(0)
	if change != nil {
		change(g)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(server, said)
		_ = server.Close()
	}()
	passed, err := io.ReadAll(g)
	if err != nil {
		t.Errorf("the guard showed %v; only io.EOF is safe", err)
	}
	_ = client.Close()
	<-done
	return string(passed), g.why()
}

func TestGuardPasses(t *testing.T) {
	for _, said := range []string{
		"* OK [CAPABILITY IMAP4rev1] ready\r\n",
		"* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\nT1 OK [READ-WRITE] x\r\n",
		"t1 NO [TRYCREATE] (unbalanced \"text {5}\r\n",
		"+ Y2hhbGxlbmdl\r\n+ \r\n+ idling {3}\r\n",
		"* 4294967295 EXISTS\r\n* 3 EXPUNGE\r\n",
		"* SEARCH\r\n* SEARCH 1 2 3\r\n* ESEARCH (TAG \"T3\") UID ALL 1:3,7\r\n",
		"* 1 FETCH (UID 7 BODY[] {5}\r\na\r(\"{)\r\nT1 OK done\r\n",
		"* 1 FETCH (UID 7 RFC822.SIZE 5 BODY[] {0}\r\n)\r\n",
		"* 1 FETCH (UID 7 BODY[] NIL)\r\n* 1 FETCH (UID 7 BODY[] \"a \\\" b\")\r\n",
	} {
		if got, err := through(t, said, nil); got != said || err != io.ErrUnexpectedEOF {
			t.Errorf("of %q\npassed %q (%v)", said, got, err)
		}
	}
}

// The library gets what truehop asks for, in one form, and nothing of the rest: it ends the session over what
// it cannot read.
func TestGuardSaysAnew(t *testing.T) {
	nothing := ""
	for said, want := range map[string]string{
		// What nobody needs.
		"* VANISHED 1:5\r\n* 1 EXISTS\r\n":                                  "* 1 EXISTS\r\n",
		"* XUNKNOWN (a \"b\" {4}\r\n(\"{\r) c\r\n* 1 EXISTS\r\n":            "* 1 EXISTS\r\n",
		"* XUNKNOWN ((\"\r\n* 1 EXISTS\r\n":                                 "* 1 EXISTS\r\n",
		"* LIST () \"/\" {5}\r\nINBOX\r\nT1 OK done\r\n":                    "T1 OK done\r\n",
		"* QUOTA a (" + strings.Repeat("x", 60000) + ")\r\n* 2 EXPUNGE\r\n": "* 2 EXPUNGE\r\n",
		"* 1 RECENT\r\n* ENABLED X\r\n\r\n":                                 nothing,
		"* FLAGS (\\Seen [Gmail]/x a(b)c * ] \r\n* FLAGS\r\n":               nothing,
		// Spaces and ends of lines.
		"*  1  EXISTS \r\n* 2\tEXPUNGE\n":                          "* 1 EXISTS\r\n* 2 EXPUNGE\r\n",
		"* SEARCH  1 2  \r\n* search \n":                           "* SEARCH 1 2\r\n* SEARCH\r\n",
		"* SEARCH 1 2 (MODSEQ 9)\r\n":                              "* SEARCH 1 2\r\n",
		"* SEARCH 0 1 0\r\n* SEARCH 0\r\n":                         "* SEARCH 1\r\n* SEARCH\r\n",
		"* esearch  (tag T3)uid  MIN 1 COUNT 3 all \"1:3\" \r\n":   "* ESEARCH (TAG \"T3\") UID ALL 1:3\r\n",
		"* ESEARCH (TAG \"T3\") UID\r\n* ESEARCH (TAG \"T4\")\r\n": "* ESEARCH (TAG \"T3\") UID\r\n* ESEARCH (TAG \"T4\") UID\r\n",
		"*\r\n* \r\n* 1 FETCH\r\n* 1 EXISTS\r\n":                   "* 1 EXISTS\r\n",
		"* 1 EXISTS\r\r\n* SEARCH 1 2\r\r\n":                       "* 1 EXISTS\r\n* SEARCH 1 2\r\n",
		"* OK[X y\r\nT1 OK[READ-WRITE] x\r\n* LIST() \"/\" a\r\n":  "* OK (X y\r\nT1 OK [READ-WRITE] x\r\n",
		"\x00\x00* 1 EXISTS\r\n\x00T1 OK x\r\n\x00\r\n":            "* 1 EXISTS\r\nT1 OK x\r\n",
		"* OK a\rb\x00c\r\n* OK\r\n":                               "* OK a?b?c\r\n* OK \r\n",
		// Capabilities.
		"* CAPABILITY IMAP4rev1 IMAP4rev2 IDLE\r\n":                 "* CAPABILITY IMAP4rev1 IMAP4rev1 IDLE\r\n",
		"* CAPABILITY IMAP4rev2 IDLE\r\n":                           "* CAPABILITY IMAP4rev2 IDLE\r\n",
		"T1 OK [CAPABILITY imap4rev2 imap4rev1] in\r\n":             "T1 OK [CAPABILITY IMAP4rev1 imap4rev1] in\r\n",
		"* CAPABILITY \"IMAP4rev1\"  \"IDLE\" (x) a%b \r\n":         "* CAPABILITY IMAP4rev1 IDLE x\r\n",
		"* OK [CAPABILITY IMAP4rev1 IDLE ] ready\r\n":               "* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n",
		"T1 OK [CAPABILITY IMAP4rev1 IDLE\r\n":                      "T1 OK [CAPABILITY IMAP4rev1 IDLE] \r\n",
		"* CAPABILITY (((\r\n* OK [CAPABILITY] x\r\n* 1 EXISTS\r\n": "* OK (CAPABILITY) x\r\n* 1 EXISTS\r\n",
		// Response codes that are not needed, or cannot be read.
		"* OK [COPYUID 1 2 *] x\r\nT1 OK [CopyUID] x\r\n":               "* OK (COPYUID 1 2 *) x\r\nT1 OK (COPYUID) x\r\n",
		"[COPYUID 124 10 233]\r\n* 1 EXPUNGE\r\n":                       "* OK (COPYUID 124 10 233) \r\n* 1 EXPUNGE\r\n",
		"* OK [PERMANENTFLAGS (\\*)\r\n":                                "* OK (PERMANENTFLAGS (\\*)\r\n",
		"* OK [PERMANENTFLAGS (a]b) x\r\n":                              "* OK (PERMANENTFLAGS (a) b) x\r\n",
		"* OK [PERMANENTFLAGS (\\Seen a]b [c] \\*)] ok\r\n":             "* OK (PERMANENTFLAGS (\\Seen a]b [c] \\*)) ok\r\n",
		"T1 OK [Error=\"AuthFailed\" Ctx=\"a]b\"] in\r\n":               "T1 OK (Error=\"AuthFailed\" Ctx=\"a]b\"] in\r\n",
		"T1 NO [UNAVAILABLE \"a\" (] x\r\nT1 NO [inuse] x\r\n":          "T1 NO [UNAVAILABLE] (\"a\" () x\r\nT1 NO [INUSE] x\r\n",
		"* OK [UIDVALIDITY 99999999999] x\r\n* OK [UIDNEXT zero] y\r\n": "* OK (UIDVALIDITY 99999999999) x\r\n* OK (UIDNEXT zero) y\r\n",
		"* OK [X y\r\n* 1 EXISTS\r\n* OK [] z\r\n":                      "* OK (X y\r\n* 1 EXISTS\r\n* OK (] z\r\n",
		"* ok lower case\r\n":                                           "* OK lower case\r\n",
		// FETCH.
		"* 1 FETCH (UID 7 BODY[] ~{3}\r\nabc)\r\n":                                        "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		"* 1 FETCH (UID 7 BODY[] {3}\nabc)\n":                                             "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		"* 1 FETCH (UID 7 BODY[]{3}\r\nabc)\r\n":                                          "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		"* 1 FETCH (UID 7 BODY[] {3} \r\nabc)\r\n":                                        "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		"* 1 FETCH (UID 7 BODY[] {3+}\r\nabc)\r\n":                                        "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		"* 1 FETCH (UID 7 RFC822 {3}\r\nabc)\r\n":                                         "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		"* 1 FETCH (FLAGS NIL UID 7)\r\n* 2 FETCH (FLAGS NIL)\r\n":                        "* 1 FETCH (UID 7)\r\n",
		"* 1 FETCH  (FLAGS (\\Seen [x] a(b)c)d *) UID 7  RFC822.SIZE 3 )\r\n":             "* 1 FETCH (UID 7 RFC822.SIZE 3)\r\n",
		"* 1 FETCH (X-GM-LABELS (\"a) b\" {3}\r\n(\"{ c) UID 7)\r\n":                      "* 1 FETCH (UID 7)\r\n",
		"* 1 FETCH (ENVELOPE ((NIL \"x\")) MODSEQ (9) BODY[HEADER] {3}\r\nabc UID 5)\r\n": "* 1 FETCH (UID 5)\r\n",
		"* 1 FETCH (UID 0)\r\n* 2 FETCH (UID 0 FLAGS ())\r\n* 3 FETCH (UID 7)\r\n":        "* 3 FETCH (UID 7)\r\n",
		"* 1 FETCH (FLAGS (\\Seen))\r\n* 1 FETCH ()\r\n":                                  nothing,
		"* 1 FETCH (UID 7 BODY[] {1}\r\nx FLAGS (\\Seen) UID 7)\r\n":                      "* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\n",
		"* 1 FETCH (UID 7 BODY[] {1}\r\nx BODY[] {2}\r\nyz BODY[] NIL)\r\n":               "* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\n",
		"* 1 FETCH (UID 7 BODY[] {2}\r\n\r\nFLAGS (\\Seen) UID 7)\r\n":                    "* 1 FETCH (UID 7 BODY[] {2}\r\n\r\n)\r\n",
		"* 1 FETCH(UID 7 BODY[] {3}\r\r\nabc)\r\r\n":                                      "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		"* 1 FETCH ( UID 7 BODY [] { 3 }\r\nabc BODY (\"x\") BODY [TEXT] NIL )\r\n":       "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n",
		// FETCH that cannot be read and holds nothing.
		"* 1 FETCH (UID 1\r\n* 1 FETCH UID 1)\r\n* 1 FETCH (FLAGS \\Seen)\r\n* 1 FETCH (UID 99999999999)\r\n": nothing,
		"* 1 FETCH (FLAGS (\\Seen)UID 7)\r\n* 1 FETCH (X \"a\r\n* 2 FETCH (UID 7)\r\n":                        "* 1 FETCH (UID 7)\r\n* 2 FETCH (UID 7)\r\n",
		"* 1 FETCH (BODY[]<0> {3}\r\nabc UID 7 BODY[TEXT] \"x\")\r\n":                                         "* 1 FETCH (UID 7)\r\n",
	} {
		if got, err := through(t, said, nil); got != want || err != io.ErrUnexpectedEOF {
			t.Errorf("of %.80q\npassed %q, want\n%q (%v)", said, got, want, err)
		}
	}
}

// A list of UIDs that falls all the way is sorted before the library gets it.
func TestGuardSortsALongList(t *testing.T) {
	var falling, rising []string
	for n := range 3000 {
		falling = append(falling, fmt.Sprint(3000-n))
		rising = append(rising, fmt.Sprint(1+n))
	}
	for form, separator := range map[string]string{"* SEARCH %s\r\n": " ", "* ESEARCH (TAG \"T3\") UID ALL %s,3001:3003\r\n": ","} {
		said, want := fmt.Sprintf(form, strings.Join(falling, separator)), fmt.Sprintf(form, strings.Join(rising, separator))
		if got, err := through(t, said, nil); got != want || err != io.ErrUnexpectedEOF {
			t.Errorf("of %.80q\npassed %.80q, want\n%.80q (%v)", said, got, want, err)
		}
	}
}

// A line that is no response is passed over where the library reads and no message can be meant.
func TestGuardPassesProse(t *testing.T) {
	const ends = "T1 OK in\r\n"
	for said, pass := range map[string]bool{
		"Please delete some mail.\r\n":          true,
		"* (see https://example.org/quota)\r\n": true,
		"421 too busy\r\n":                      true,
		"Is that so {12}\r\n":                   false,
		"T1 OKAY\r\n":                           false,
		"T1 SEARCH 1\r\n":                       false,
		"* 4294967296 EXISTS\r\n":               false,
	} {
		for _, bodies := range []bool{false, true} {
			got, err := through(t, said+ends, func(g *guard) { g.secured, g.notes.bodies = true, bodies })
			_, broken := err.(*brokenError)
			if want := pass && !bodies; broken == want || (got == ends) != want {
				t.Errorf("of %q, bodies asked for: %t, passed %q (%v)", said, bodies, got, err)
			}
		}
	}
}

// The UID may come behind the body. Before it is confirmed, the message is that of its number, or the only
// one that was asked for.
func TestGuardFindsTheUIDBehindTheBody(t *testing.T) {
	known := func(g *guard) { g.notes.view = newView(0, []uint32{5, 7, 9}) }
	alone := func(g *guard) { g.notes.alone = 7 }
	for _, c := range []struct {
		said, want string
		before     func(*guard)
		refused    bool
	}{
		{"* 2 FETCH (BODY[] {1}\r\nx UID 7)\r\n", "* 2 FETCH (UID 7 BODY[] {1}\r\nx)\r\n", known, false},
		{"* 2 FETCH (BODY[] {1}\r\nx UID 7)\r\n", "* 2 FETCH (UID 7 BODY[] {1}\r\nx)\r\n", alone, false},
		{"* 2 FETCH (BODY[] {1}\r\nx UID 9)\r\n", "* 2 FETCH (UID 7 BODY[] {1}\r\nx", known, true},
		{"* 2 FETCH (BODY[] {1}\r\nx)\r\n", "* 2 FETCH (UID 7 BODY[] {1}\r\nx", alone, true},
		{"* 2 FETCH (UID 0 BODY[] {1}\r\nx)\r\n", "* 2 FETCH (UID 7 BODY[] {1}\r\nx", alone, true},
		{"* 2 FETCH (BODY[] {1}\r\nx UID 0)\r\n", "* 2 FETCH (UID 7 BODY[] {1}\r\nx", known, true},
	} {
		got, err := through(t, c.said, c.before)
		if _, broken := err.(*brokenError); got != c.want || broken != c.refused {
			t.Errorf("of %q\npassed %q (%v), want %q", c.said, got, err, c.want)
		}
	}
}

// Malformed replies, literals that lie about their size, floods, and every way to make the guard take for a
// literal what the library takes for lines.
func TestGuardRefuses(t *testing.T) {
	deep := strings.Repeat("(", 100_000)
	for name, said := range map[string]string{
		"reply OKAY":                        "T1 OKAY done\r\n",
		"reply NONE":                        "T1 NONE\r\n",
		"literal {-1}":                      "* 1 FETCH (UID 1 BODY[] {-1}\r\nabc)\r\n",
		"literal {99999999999}":             "* 1 FETCH (UID 1 BODY[] {99999999999}\r\nabc)\r\n",
		"literal of 20 digits":              "* 1 FETCH (UID 1 BODY[] {18446744073709551617}\r\nabc)\r\n",
		"literal {+3}":                      "* 1 FETCH (UID 1 BODY[] {+3}\r\nabc)\r\n",
		"more than stated, as no item":      "* 1 FETCH (UID 1 BODY[] {2}\r\n\r\nD 7)\r\n",
		"empty, and more than stated":       "* 1 FETCH (UID 1 BODY[] {2}\r\n\r\n BODY[TEXT] {0}\r\nUID 7)\r\n",
		"a literal in FETCH without an end": "* 1 FETCH (X \"abc {5}\r\n",
		"a message in FETCH without an end": "* 1 FETCH (UID 1 BODY[] \"abc\r\n",
		"more than stated, as items":        "* 1 FETCH (UID 1 BODY[] {3}\r\nabcFLAGS ())\r\n",
		"longer than stated":                "* 1 FETCH (UID 1 BODY[] {3}\r\nabc more text\r\n)\r\n",
		"shorter than stated":               "* 1 FETCH (UID 1 BODY[] {30}\r\nabc)\r\nT1 OK done\r\n* 1 EXISTS and more\r\n",
		"nested without end":                "* 1 FETCH (BODYSTRUCTURE " + deep + "\r\n",
		"nested too deep, no end":           "* 1 FETCH (BODYSTRUCTURE " + deep[:40] + "\r\n",
		"nested too deep, closed":           "* 1 FETCH (BODYSTRUCTURE " + deep[:40] + strings.Repeat(")", 41) + "\r\n",
		"other literal too long":            "* LIST () \"/\" {65537}\r\n",
		"header as a literal":               "* 1 FETCH (UID 7 BODY[HEADER] {65537}\r\n",
		"literal in status text":            "* OK {5}\r\nBODY[] {4}\r\n",
		"text behind literal":               "* 1 FETCH (UID 1 BODY[] {3} x\r\nabc)\r\n",
		"ESEARCH of words":                  "* ESEARCH (TAG \"T3\") UID ALL one\r\n",
		"ESEARCH of numbers":                "* ESEARCH (TAG \"T3\") ALL 1:3\r\n",
		"SEARCH in parentheses":             "* SEARCH (1 2)\r\n",
		"string over the line":              "* 1 FETCH (UID 1 BODY[] \"abc\r\n{5}\r\n\")\r\n",
		"escaped quote":                     "* 1 FETCH (UID 1 BODY[] \"abc\\\"\r\n",
		"no response":                       "hello\r\n",
		"two UIDs":                          "* 1 FETCH (UID 1 BODY[] {1}\r\nx UID 2)\r\n",
		"SEARCH of words":                   "* SEARCH 1 two\r\n",
		"CR in a FETCH":                     "* 1 FETCH (UID 1\rBODY[] {3}\r\nabc)\r\n",
		"33 bits":                           "* 4294967296 EXISTS\r\n",
		"numbered status":                   "* 1 OK [X] y\r\n",
		"tagged data":                       "T1 SEARCH 1\r\n",
		"long line":                         "* OK " + strings.Repeat("x", 70_000) + "\r\n",
		"line without end":                  "* OK " + strings.Repeat("x", 200_000),
		"long SEARCH":                       "* SEARCH " + strings.Repeat("1", maxSearchLine) + "\r\n",
		"100,001 lines":                     strings.Repeat("* 1 EXISTS\r\n", 100_001),
		"lines without end":                 strings.Repeat("* OK "+strings.Repeat("x", 60_000)+"\r\n", 50),
	} {
		t.Run(name, func(t *testing.T) {
			passed, err := through(t, said, nil)
			if _, broken := err.(*brokenError); !broken {
				t.Errorf("of %.100q the guard passed %.100q and ended with %v, want a refusal", said, passed, err)
			}
		})
	}
}

func TestGuardMaxSize(t *testing.T) {
	limit := func(g *guard) { g.lex.limit = 10 }
	if _, err := through(t, "* 1 FETCH (UID 1 BODY[] {10}\r\n0123456789)\r\n", limit); err != io.ErrUnexpectedEOF {
		t.Errorf("a message of the limit: %v", err)
	}
	if _, err := through(t, "* 1 FETCH (UID 1 BODY[] {11}\r\n0123456789a)\r\n", limit); err == io.ErrUnexpectedEOF {
		t.Error("a message beyond the limit passed")
	}
}

// recorder is a net.Conn that keeps what is written.
type recorder struct {
	net.Conn
	bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error)      { return r.Buffer.Write(p) }
func (r *recorder) Read([]byte) (int, error)         { return 0, io.EOF }
func (r *recorder) Close() error                     { return nil }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

// Whatever the library does, EXPUNGE and CLOSE are never sent.
func TestGuardWrites(t *testing.T) {
	for said, want := range map[string]string{
		"T1 NOOP\r\n":                    "T1 NOOP\r\n",
		"=\r\n":                          "\r\n",
		"T1 AUTHENTICATE X =\r\n":        "T1 AUTHENTICATE X =\r\n",
		"T1 UID EXPUNGE 1:3\r\n":         "T1 UID EXPUNGE 1:3\r\n",
		"T1 EXPUNGE\r\n":                 "",
		"T1 expunge\r\n":                 "",
		"T1 CLOSE\r\n":                   "",
		"T1 SELECT \"CLOSE\"\r\n":        "T1 SELECT \"CLOSE\"\r\n",
		"T1 UID MOVE 1 \"EXPUNGE\"\r\n":  "T1 UID MOVE 1 \"EXPUNGE\"\r\n",
		"T1 LOGIN a {5+}\r\nx CLOSE\r\n": "T1 LOGIN a {5+}\r\nx CLOSE\r\n",
	} {
		r := &recorder{}
		g := guardOver(r, Options{})
		n, err := g.Write([]byte(said))
		if r.String() != want || (err != nil) != (want == "") || err == nil && n != len(said) {
			t.Errorf("%q went out as %q, want %q (%d, %v)", said, r.String(), want, n, err)
		}
	}
}

// Silence, and a server that keeps talking just enough.
func TestGuardDeadlines(t *testing.T) {
	for name, test := range map[string]struct {
		every time.Duration // between two octets
		want  error
		after time.Duration
	}{
		"silence":   {time.Hour, errSilent, 3 * time.Minute},
		"slowloris": {50 * time.Second, errSlow, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				g := guardOver(client, Options{})
				stop := make(chan struct{})
				go func() {
					for err := error(nil); err == nil; {
						select {
						case <-time.After(test.every):
							_, err = server.Write([]byte("x"))
						case <-stop:
							return
						}
					}
				}()
				defer close(stop)
				g.begin(0)
				begin := time.Now()
				_, _ = io.ReadAll(g)
				if took := time.Since(begin); g.why() != test.want || took < test.after || took > test.after+time.Minute {
					t.Errorf("ended after %v with %v, want %v with %v", took, g.why(), test.after, test.want)
				}
				_ = server.Close()
			})
		})
	}
}

// Between two calls the server may be silent for as long as it likes; a call that
// begins while a read waits ends that read in time.
func TestGuardRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer server.Close()
		g := guardOver(client, Options{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.ReadAll(g)
		}()
		g.begin(0)
		g.end()
		time.Sleep(24 * time.Hour)
		if err := g.why(); err != nil {
			t.Fatalf("between calls the connection ended: %v", err)
		}
		g.begin(0)
		begin := time.Now()
		<-ended
		if took := time.Since(begin); took != 3*time.Minute || g.why() != errSilent {
			t.Errorf("ended after %v with %v, want %v with silence", took, g.why(), g.t.Idle)
		}
	})
}

// FuzzGuard feeds the guard anything: it must end, and what it passes must be lines
// and literals that it would pass again.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{
		"* OK [CAPABILITY IMAP4rev1] ready\r\n",
		"* 1 FETCH (UID 7 BODY[] {5}\r\na\r(\"{ FLAGS (\\Seen))\r\nT1 OK done\r\n",
		"* ESEARCH (TAG \"T3\") UID ALL 1:3,7\r\n* SEARCH 1 2\r\n+ x\r\n",
		"* LIST () \"/\" {5}\r\nINBOX\r\n* OK [A b]\r\n* 1 FETCH (BODY[] ~{1}\r\nx)\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		passed, err := through(t, string(said), nil)
		if err == nil {
			t.Fatal("the guard ended for no reason")
		}
		again, _ := through(t, passed, nil)
		if again != passed {
			t.Errorf("passed %q, and of that %q", passed, again)
		}
	})
}

// TestStatusError: what the code and the words leave open, the command decides.
func TestStatusError(t *testing.T) {
	for _, test := range []struct {
		op, text string
		want     fetch.Kind
	}{
		{"LOGIN", "no such thing", fetch.Auth},
		{"AUTHENTICATE PLAIN", "[REFERRAL imap://evil.example/] x", fetch.Auth},
		{"LOGIN", "Server Unavailable. 15", fetch.Busy},
		{"AUTHENTICATE PLAIN", "[ALERT] Too many simultaneous connections.", fetch.Busy},
		{"LOGIN", "[inuse] x", fetch.Busy},
		{`SELECT "a b"`, "no such thing", fetch.NoFolder},
		{`SELECT "busy"`, "User is authenticated but not connected.", fetch.Busy},
		{`SELECT "a b"`, "IMAP access is disabled", fetch.Auth},
		{"greeting", "go away", fetch.Refused},
		{"greeting", "connection limit exceeded", fetch.Busy},
		{"UID FETCH", "no such thing", fetch.Refused},
		{"UID FETCH", "Server Unavailable. 15", fetch.Refused},
		{"UID FETCH", "Too many commands", fetch.Busy},
		{"UID MOVE", "[TRYCREATE] x", fetch.NoFolder},
	} {
		if got := statusError(test.op, "NO", []byte(test.text)); got.Kind != test.want || got.Text != test.text {
			t.Errorf("%s: %q is of Kind %v, want %v", test.op, test.text, got.Kind, test.want)
		}
	}
	if e := statusError("LOGIN", "NO", nil); e.Text != "NO" {
		t.Errorf("%v tells nothing", e)
	}
}

func TestSets(t *testing.T) {
	var uids []uint32
	for uid := uint32(1); uid < 40_000; uid += 2 {
		uids = append(uids, uid)
	}
	var back []uint32
	for _, set := range sets(uids) {
		if n := len(set.String()); n > 8000 {
			t.Errorf("a set of %d octets", n)
		}
		back = append(back, members(set)...)
	}
	if fmt.Sprint(back) != fmt.Sprint(uids) {
		t.Error("the sets do not hold the UIDs they were made of")
	}
	if got := sets([]uint32{1, 2, 3, 5, 4294967294, 4294967295}); len(got) != 1 || got[0].String() != "1:3,5,4294967294:4294967295" {
		t.Errorf("got %v", got)
	}
}

// guardOver makes a guard as New does.
func guardOver(conn net.Conn, o Options) *guard {
	o.Timeouts, o.Logger = o.Timeouts.WithDefaults(), slog.New(slog.DiscardHandler)
	return newGuard(conn, o)
}
