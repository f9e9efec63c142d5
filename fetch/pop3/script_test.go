package pop3_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// loggedIn is the dialogue of a login to a server with PIPELINING and UIDL.
const loggedIn = `
	S: +OK ready
	C: CAPA
	S= "+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\n.\r\n"
	C: USER alice@example.org
	S: +OK
	C: PASS sesame
	S: +OK welcome
`

// twoListed continues it with a listing of two messages.
const twoListed = loggedIn + `
	C: UIDL
	C: LIST
	S= "+OK\r\n1 a\r\n2 b\r\n.\r\n"
	S= "+OK\r\n1 1\r\n2 2\r\n.\r\n"
`

// play logs in to a scripted server and opens the inbox.
func play(t *testing.T, script string, opts pop3.Options) (*pop3.Client, *fetch.Listing) {
	t.Helper()
	client, err := pop3.New(t.Context(), fetchtest.Play(t, script), opts)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(client.Abort)
	listing, err := client.Open(t.Context(), "")
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return client, listing
}

// wantKind checks the kind, and the words where they are given.
func wantKind(t *testing.T, err error, kind fetch.Kind, words string) {
	t.Helper()
	var e *fetch.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("got %v (kind %v), want kind %v", err, fetch.KindOf(err), kind)
	}
	if !strings.Contains(e.Error()+" "+e.Advice, words) {
		t.Errorf("got %q, hint %q, want it to say %q", e.Error(), e.Advice, words)
	}
}

func TestLoginRefused(t *testing.T) {
	const capa = "S: +OK ready\nC: CAPA\nS= \"+OK\\r\\nUSER\\r\\nRESP-CODES\\r\\n.\\r\\n\"\nC: USER alice@example.org\nS: +OK\nC: PASS sesame\n"
	long := strings.Repeat("x", 1<<20)
	for name, test := range map[string]struct {
		script string
		kind   fetch.Kind
		words  string
	}{
		"greeting -ERR":                {"S: -ERR closed for today\nhangup", fetch.Refused, "closed for today"},
		"greeting of a busy balancer":  {"S: 421 Server is busy, try again later.\nhangup", fetch.Busy, "try again later"},
		"greeting [SYS/TEMP]":          {"S: -ERR [SYS/TEMP] later\nhangup", fetch.Busy, "later"},
		"greeting [AUTH]":              {"S: -ERR [AUTH] not from here\nhangup", fetch.Auth, "not from here"},
		"greeting of an SMTP server":   {"S: 220 smtp.example.org ESMTP\nhangup", fetch.Protocol, "220 smtp"},
		"greeting of an IMAP server":   {"S: * OK IMAP4rev1 ready\nhangup", fetch.Protocol, "this port speaks IMAP"},
		"empty lines for a greeting":   {"S:\nS:\nS:\nS:\nhangup", fetch.Protocol, "not a reply"},
		"greeting +OKAY":               {"S: +OKAY\nhangup", fetch.Protocol, "not a reply"},
		"greeting +OK2":                {"S: +OK2\nhangup", fetch.Protocol, "not a reply"},
		"greeting -ERROR":              {"S: -ERROR\nhangup", fetch.Protocol, "not a reply"},
		"no greeting":                  {"close", fetch.Unreachable, "unexpected EOF"},
		"greeting is cut":              {"S= \"+OK rea\"\nclose", fetch.Unreachable, "unexpected EOF"},
		"greeting of 1 MB":             {"S: +OK " + long + "\nhangup", fetch.Protocol, "line without end"},
		"TLS alert for a greeting":     {"S= \"\\x15\\x03\\x01\\x00\\x02\\x02\\n\"\nhangup", fetch.Protocol, "speak TLS"},
		"endless CAPA":                 {"S: +OK\nC: CAPA\nS: +OK\n" + manyLines("S: X%d", 300) + "hangup", fetch.Protocol, "without end"},
		"one capability for ever":      {"S: +OK\nC: CAPA\nS: +OK\n" + strings.Repeat("S: USER\n", 300) + "close", fetch.Protocol, "without end"},
		"CAPA cut":                     {"S: +OK\nC: CAPA\nS: +OK\nS: USER\nclose", fetch.Unreachable, "CAPA"},
		"no mechanism before STLS":     {"S: +OK\nC: CAPA\nS= \"+OK\\r\\nUIDL\\r\\nSTLS\\r\\n.\\r\\n\"\nhangup", fetch.Auth, "no acceptable mechanism"},
		"no acceptable mechanism":      {"S: +OK\nC: CAPA\nS= \"+OK\\r\\nUIDL\\r\\nSASL GSSAPI\\r\\n.\\r\\n\"\nhangup", fetch.Auth, "no acceptable mechanism"},
		"USER refused":                 {"S: +OK\nC: CAPA\nS: -ERR\nC: USER alice@example.org\nS: -ERR who?\nhangup", fetch.Auth, "who?"},
		"wrong password, no code":      {capa + "S: -ERR bad password\nhangup", fetch.Auth, "bad password"},
		"[AUTH]":                       {capa + "S: -ERR [AUTH] no\nhangup", fetch.Auth, "[AUTH] no"},
		"[SYS/TEMP]":                   {capa + "S: -ERR [SYS/TEMP] disk\nhangup", fetch.Busy, "disk"},
		"[SYS/PERM]":                   {capa + "S: -ERR [SYS/PERM] closed\nhangup", fetch.Unsupported, "closed"},
		"POP3 switched off":            {capa + "S: -ERR [SYS/PERM] Your account is not enabled for POP access.\nhangup", fetch.Auth, "switch IMAP or POP3 on"},
		"limit at the greeting":        {"S: -ERR connection limit exceeded\nhangup", fetch.Busy, "limit"},
		"limit at USER":                {"S: +OK\nC: CAPA\nS: -ERR\nC: USER alice@example.org\nS: -ERR Login limit exceeded\nhangup", fetch.Busy, "limit"},
		"[LOGIN-DELAY]":                {capa + "S: -ERR [LOGIN-DELAY] wait\nhangup", fetch.Busy, "more time"},
		"[in-use]":                     {capa + "S: -ERR [in-use] locked\nhangup", fetch.Busy, "another session"},
		"unavailable, no code":         {capa + "S: -ERR Server Unavailable. 21\nhangup", fetch.Busy, "Unavailable"},
		"unable to lock":               {capa + "S: -ERR unable to lock maildrop\nhangup", fetch.Busy, "lock"},
		"wrong password, unknown code": {capa + "S: -ERR [X-ODD] no\nhangup", fetch.Auth, "X-ODD"},
		"escape sequence":              {capa + "S= \"-ERR \\x1b[2J\\u202egone\\x00\\r\\n\"\nhangup", fetch.Auth, "?[2J?gone?"},
		"connection lost at PASS":      {capa + "close", fetch.Unreachable, "PASS"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pop3.New(t.Context(), fetchtest.Play(t, test.script), plaintext())
			wantKind(t, err, test.kind, test.words)
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), password) {
				t.Errorf("the error holds the password: %v", err)
			}
		})
	}
}

func manyLines(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format+"\n", i)
	}
	return b.String()
}

func TestWithoutCAPA(t *testing.T) {
	// The fallback knows neither PIPELINING nor SASL.
	play(t, `
		S: +OK ready
		C: CAPA
		S: -ERR unknown command
		C: USER alice@example.org
		S: +OK
		C: PASS sesame
		S: +OK
		C: UIDL
		S= "+OK\r\n1 a\r\n.\r\n"
		C: LIST
		S= "+OK\r\n1 100\r\n.\r\n"
		hangup`, plaintext())
}

// TestHangUpAtCAPA: there are servers that end the connection at a command which they do not know. The error says so, and the next session can
// do without.
func TestHangUpAtCAPA(t *testing.T) {
	for script, hungUp := range map[string]bool{
		"S: +OK\nC: CAPA\nclose":                      true,
		"S: +OK\nC: CAPA\nS: +OK\nS: USER\nclose":     false,
		"S: +OK\nC: CAPA\nS: -ERR\nC~ USER .*\nclose": false,
		"S: +OK\nC: CAPA\nS: what\nhangup":            false,
	} {
		_, err := pop3.New(t.Context(), fetchtest.Play(t, script), plaintext())
		if errors.Is(err, pop3.ErrHungUpAtCAPA) != hungUp || err == nil {
			t.Errorf("%q: %v", script, err)
		}
	}
	opts := plaintext()
	opts.NoCAPA = true
	_, listing := play(t, "S: +OK ready\nC: USER alice@example.org\nS: +OK\nC: PASS sesame\nS: +OK\nC: UIDL\n"+multiline("1 a")+"C: LIST\n"+multiline("1 10")+"hangup", opts)
	if len(listing.Refs) != 1 {
		t.Errorf("got %+v, want a message", listing.Refs)
	}
}

// TestRepliesOfOddForm: what a reply says counts, not how it is written.
func TestRepliesOfOddForm(t *testing.T) {
	for _, ok := range []string{"+ok", "+OK\t", "  +OK hello", "+OK, hello", "+Ok-", "\r\n\r\n+OK"} {
		for _, end := range []string{"\r\n", "\n", "\r\r\n"} {
			client, listing := play(t, fmt.Sprintf("S= %[1]q\nC: CAPA\nS= %[2]q\nC: USER alice@example.org\nS= %[1]q\nC: PASS sesame\nS= %[1]q\nC: CAPA\nS= %[2]q\nC: UIDL\nS= %[3]q\nC: LIST\nS= %[4]q\nC: QUIT\nS= %[1]q\nhangup",
				ok+end, ok+end+"USER"+end+"UIDL"+end+"."+end, ok+end+"1 a"+end+"."+end, ok+end+"1 10"+end+"."+end), plaintext())
			if want := []fetch.Ref{{Seq: 1, UID: "a", Size: 10}}; !slices.Equal(listing.Refs, want) {
				t.Errorf("%q: got %+v, want %+v", ok+end, listing.Refs, want)
			}
			if err := client.Close(t.Context()); err != nil {
				t.Errorf("%q: %v", ok+end, err)
			}
		}
	}
}

// TestMessageBehindABareLF: a server that ends the reply to RETR in LF may end the message at any dot between two LF.
func TestMessageBehindABareLF(t *testing.T) {
	client, listing := play(t, twoListed+"C: RETR 1\nC: RETR 2\n"+`S= "+OK\na\n.\n"`+"\nhangup", plaintext())
	octets, _, err := fetchtest.Collect(t.Context(), client, listing.Refs)
	if len(octets) != 0 || fetch.KindOf(err) != fetch.Protocol {
		t.Errorf("got %d messages, %v; want an error of the protocol", len(octets), err)
	}
}

// TestCapabilitiesWithoutALogin: a server that lists no way to log in takes USER, as all do, unless it waits for STLS.
func TestCapabilitiesWithoutALogin(t *testing.T) {
	play(t, "S: +OK ready\nC: CAPA\nS= \"+OK\\r\\nUIDL\\r\\n.\\r\\n\"\nC: USER alice@example.org\nS: +OK\nC: PASS sesame\nS: +OK\n"+
		"C: CAPA\nS= \"+OK\\r\\nUIDL\\r\\n.\\r\\n\"\nC: UIDL\n"+multiline("1 a")+"C: LIST\n"+multiline("1 9")+"hangup", plaintext())
}

// TestEndWithNothingToDelete: how a session ends says nothing where the server has nothing left to do.
func TestEndWithNothingToDelete(t *testing.T) {
	for _, end := range []string{"close", "S: -ERR some deleted messages not removed\nclose"} {
		client, _ := play(t, twoListed+"C: QUIT\n"+end, plaintext())
		if err := client.Close(t.Context()); err != nil {
			t.Errorf("%q: %v", end, err)
		}
	}
}

// TestInternational: a server that offers UTF8 or LANG is asked for them before the login, and may refuse.
func TestInternational(t *testing.T) {
	for _, answers := range [][2]string{{"+OK", "+OK en English"}, {"-ERR no", "-ERR no such language"}} {
		play(t, fmt.Sprintf(`
			S: +OK ready
			C: CAPA
			S= "+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\nLANG\r\nUTF8 USER\r\n.\r\n"
			C: UTF8
			S: %s
			C: LANG en
			S: %s
			C: USER alice@example.org
			S: +OK
			C: PASS sesame
			S: +OK
			C: UIDL
			C: LIST
			S= "+OK\r\n1 a\r\n.\r\n"
			S= "+OK\r\n1 100\r\n.\r\n"
			hangup`, answers[0], answers[1]), plaintext())
	}
}

func TestCapabilities(t *testing.T) {
	// The capabilities are asked for again after the login if they lack
	// what the session can use (RFC 2449 section 3).
	client, err := pop3.New(t.Context(), fetchtest.Play(t, `
		S: +OK ready
		C: CAPA
		S= "+OK\r\nUSER\r\n.\r\n"
		C: USER alice@example.org
		S: +OK
		C: PASS sesame
		S: +OK
		C: CAPA
		S= "+OK\r\nUIDL\r\nlogin-delay 900 USER\r\n.\r\n"
		# one at a time, for there is no PIPELINING
		C: UIDL
		S= "+OK\r\n1 a\r\n.\r\n"
		C: LIST
		S= "+OK\r\n1 9\r\n.\r\n"
		hangup`), plaintext())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Abort()
	listing, err := client.Open(t.Context(), "")
	if err != nil || listing.LoginDelay != 900*time.Second {
		t.Errorf("got %+v, %v; want 900 s between two logins", listing, err)
	}
}

// warnings counts the records at Warn and above.
type warnings struct {
	slog.Handler
	texts []string
}

func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.texts = append(w.texts, r.Message)
	return nil
}

func TestListing(t *testing.T) {
	ref := func(n uint32, uid string, size int64) fetch.Ref { return fetch.Ref{Seq: n, UID: uid, Size: size} }
	uid := func(n int) string { return strings.Repeat("u", n) }
	for name, test := range map[string]struct {
		uidl, list string
		want       []fetch.Ref
		told       bool
	}{
		"tabs and blanks":                {"1\ta\n 2  b \n\t3 \tc", "1\t10\n 2  20 x\n3 \t 30 ", []fetch.Ref{ref(1, "a", 10), ref(2, "b", 20), ref(3, "c", 30)}, false},
		"empty lines":                    {"1 a\n\n2 b\n ", "\n1 10\n2 20", []fetch.Ref{ref(1, "a", 10), ref(2, "b", 20)}, false},
		"plain":                          {"1 a\n2 b", "1 10\n2 20", []fetch.Ref{ref(1, "a", 10), ref(2, "b", 20)}, false},
		"empty":                          {"", "", nil, false},
		"LIST shorter":                   {"1 a\n2 b", "2 20", []fetch.Ref{ref(1, "a", -1), ref(2, "b", 20)}, true},
		"UIDL shorter":                   {"2 b", "1 10\n2 20", []fetch.Ref{ref(2, "b", 20)}, true},
		"new mail between UIDL and LIST": {"1 a", "1 10\n2 20", []fetch.Ref{ref(1, "a", 10)}, true},
		"number 0":                       {"0 z\n1 a", "0 5\n1 10", []fetch.Ref{ref(1, "a", 10)}, true},
		"negative number":                {"-1 z\n1 a", "1 10", []fetch.Ref{ref(1, "a", 10)}, true},
		"number beyond 31 bits":          {"2147483648 z\n1 a", "1 10", []fetch.Ref{ref(1, "a", 10)}, true},
		"number that is a word":          {"one a\n1 a\n+2 b\n3c", "1 10", []fetch.Ref{ref(1, "a", 10)}, true},
		"number given twice":             {"1 a\n1 b\n2 c", "1 10\n2 20", []fetch.Ref{ref(1, "", 10), ref(2, "c", 20)}, true},
		"numbers with gaps, in no order": {"7 g\n3 c", "3 30\n7 70", []fetch.Ref{ref(3, "c", 30), ref(7, "g", 70)}, false},
		"odd sizes":                      {"1 a\n2 b\n3 c\n4 d", "1 0\n2 -5\n3 99999999999999999999\n4 x", []fetch.Ref{ref(1, "a", 0), ref(2, "b", -1), ref(3, "c", -1), ref(4, "d", -1)}, false},
		"size with more":                 {"1 a", "1 10 extra", []fetch.Ref{ref(1, "a", 10)}, false},
		"UIDs of 70 and 71 octets":       {"1 " + uid(70) + "\n2 " + uid(71), "1 1\n2 2", []fetch.Ref{ref(1, uid(70), 1), ref(2, uid(71), 2)}, false},
		"UID of 1 KiB":                   {"1 " + uid(1024), "1 1", []fetch.Ref{ref(1, uid(1024), 1)}, false},
		"UID of 4 KiB":                   {"1 " + uid(4096), "1 1", []fetch.Ref{ref(1, "", 1)}, false},
		"UID of odd octets":              {"1 a b\xff\x01\x1b[2J", "1 1", []fetch.Ref{ref(1, "a b\xff\x01\x1b[2J", 1)}, false},
		"no UID":                         {"1\n2 \n3 c", "1 1\n2 2\n3 3", []fetch.Ref{ref(1, "", 1), ref(2, "", 2), ref(3, "c", 3)}, false},
		"two messages with one UID":      {"1 a\n2 a", "1 1\n2 2", []fetch.Ref{ref(1, "a", 1), ref(2, "a", 2)}, false},
		"UID that is no file name":       {"1 /../%s\x00", "1 1", []fetch.Ref{ref(1, "/../%s\x00", 1)}, false},
		"UID that is a dot":              {"1 .\n2 ..", "1 1\n2 2", []fetch.Ref{ref(1, ".", 1), ref(2, "..", 2)}, false},
		"byte-stuffed line":              {".1 a", "1 1", []fetch.Ref{ref(1, "a", 1)}, false},
		"LIST garbage":                   {"1 a", "what", []fetch.Ref{ref(1, "a", -1)}, true},
		"LIST has what UIDL has not":     {"", "1 10", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			told := &warnings{Handler: slog.DiscardHandler}
			opts := plaintext()
			opts.Logger = slog.New(told)
			_, listing := play(t, loggedIn+"C: UIDL\nC: LIST\n"+multiline(test.uidl)+multiline(test.list)+"hangup", opts)
			if !slices.Equal(listing.Refs, test.want) {
				t.Errorf("got  %#v\nwant %#v", listing.Refs, test.want)
			}
			if !listing.Reusable || listing.ReadOnly || listing.NoUIDs || listing.Validity != 0 {
				t.Errorf("got %+v, want it Reusable and no more", listing)
			}
			// What only LIST has, or cannot be read, is not passed over in silence.
			if unlisted := listing.Unlisted > 0; unlisted != (test.told && name != "LIST shorter" && name != "number given twice" && name != "LIST garbage") {
				t.Errorf("unlisted: %d", listing.Unlisted)
			}
			if told := len(told.texts) > 0; told != test.told {
				t.Errorf("told: %v, want %v", told, test.told)
			}
		})
	}
}

// multiline is a step that sends a multi-line reply.
func multiline(lines string) string {
	text := "+OK\r\n"
	for line := range strings.Lines(lines) {
		text += strings.TrimSuffix(line, "\n") + "\r\n"
	}
	return fmt.Sprintf("S= %q\n", text+".\r\n")
}

// TestListingOfBareLF: a few servers end the lines of a listing in LF.
func TestListingOfBareLF(t *testing.T) {
	_, listing := play(t, loggedIn+"C: UIDL\nC: LIST\n"+`S= "+OK\r\n1 a\n2 b\n.\n+OK\r\n1 10\n2 20\r\n.\r\n"`+"\nhangup", plaintext())
	want := []fetch.Ref{{Seq: 1, UID: "a", Size: 10}, {Seq: 2, UID: "b", Size: 20}}
	if !slices.Equal(listing.Refs, want) {
		t.Errorf("got %+v, want %+v", listing.Refs, want)
	}
}

// TestEmptyMaildropWithoutUIDL: a server may refuse UIDL where there is nothing to name.
func TestEmptyMaildropWithoutUIDL(t *testing.T) {
	script := strings.ReplaceAll(loggedIn+"C: UIDL\nC: LIST\nS= \"-ERR no messages\\r\\n\"\n"+multiline("")+"hangup", "\r\n", "\n")
	_, listing := play(t, script, plaintext())
	if len(listing.Refs) != 0 || listing.NoUIDs || listing.Unlisted != 0 {
		t.Errorf("got %+v, want it empty", listing)
	}
	// LIST, too; then STAT knows.
	_, listing = play(t, loggedIn+"C: UIDL\nC: LIST\nS: -ERR no messages\nS: -ERR no messages\nC: STAT\nS: +OK 0 0\nhangup", plaintext())
	if len(listing.Refs) != 0 || listing.NoUIDs || listing.Unlisted != 0 {
		t.Errorf("got %+v, want it empty", listing)
	}
}

func TestListingRefused(t *testing.T) {
	lists := func(uidl, list string) string { return loggedIn + "C: UIDL\nC: LIST\n" + uidl + "\n" + list + "\n" }
	few, many := plaintext(), plaintext()
	few.MaxMessages, many.MaxMessages = 3, 1200
	for name, test := range map[string]struct {
		script string
		opts   pop3.Options
		kind   fetch.Kind
		words  string
	}{
		"neither UIDL nor LIST":             {withoutUIDL + "C: UIDL\nC: LIST\nS: -ERR what?\nS: -ERR no list\nC: STAT\nS: +OK 2 20\n", plaintext(), fetch.Refused, "no list"},
		"no UIDL, but busy":                 {withoutUIDL + "C: UIDL\nC: LIST\nS: -ERR [SYS/TEMP] wait\nS= \"+OK\\r\\n1 10\\r\\n.\\r\\n\"\n", plaintext(), fetch.Busy, "wait"},
		"no CAPA, UIDL locked":              {withoutCAPA + "C: UIDL\nS: -ERR index locked, try again later\nC: LIST\nS= \"+OK\\r\\n1 10\\r\\n.\\r\\n\"\n", plaintext(), fetch.Busy, "index locked"},
		"UIDL announced":                    {lists("S: -ERR broken index", "S: -ERR\nC: STAT\nS: -ERR"), plaintext(), fetch.Refused, "broken index"},
		"UIDL busy":                         {lists("S: -ERR [SYS/TEMP] wait", "S: -ERR"), plaintext(), fetch.Busy, "wait"},
		"more messages than allowed":        {lists("S: +OK\n"+manyLines("S: %d x", 100), "S: +OK"), few, fetch.Protocol, "more than 3"},
		"more malformed lines than allowed": {lists("S: +OK\n"+manyLines("S: x%d", 100), "S: +OK"), few, fetch.Protocol, "more than 3"},
		"more octets than allowed":          {lists("S: +OK\n"+manyLines("S: %d "+strings.Repeat("u", 1000), 1200), "S: +OK"), many, fetch.Protocol, "listing is longer than"},
		"line of 100 KB":                    {lists("S: +OK\nS: 1 "+strings.Repeat("u", 100_000), "S: +OK"), plaintext(), fetch.Protocol, "without end"},
		"line of 9 KB":                      {lists("S: +OK\nS: 1 "+strings.Repeat("u", 9_000), "S: +OK"), plaintext(), fetch.Protocol, "without end"},
		"UIDL is cut":                       {lists("S: +OK\nS: 1 a\nclose", ""), plaintext(), fetch.Unreachable, "UIDL"},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := pop3.New(t.Context(), fetchtest.Play(t, test.script), test.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Abort()
			_, err = client.Open(t.Context(), "")
			wantKind(t, err, test.kind, test.words)
		})
	}
}

// withoutUIDL is the dialogue of a login to a server that has PIPELINING and announces no UIDL,
// withoutCAPA that to one that announces nothing.
const (
	withoutUIDL = `
		S: +OK ready
		C: CAPA
		S= "+OK\r\nUSER\r\nPIPELINING\r\n.\r\n"
		C: USER alice@example.org
		S: +OK
		C: PASS sesame
		S: +OK welcome
		C: CAPA
		S= "+OK\r\nUSER\r\nPIPELINING\r\n.\r\n"
	`
	withoutCAPA = `
		S: +OK ready
		C: CAPA
		S: -ERR unknown
		C: USER alice@example.org
		S: +OK
		C: PASS sesame
		S: +OK welcome
	`
)

// TestServerWithoutUIDL: its messages are listed by number and size, retrieved and deleted as others are.
func TestServerWithoutUIDL(t *testing.T) {
	for name, script := range map[string]string{
		"CAPA without UIDL": withoutUIDL + `
			C: UIDL
			C: LIST
			S: -ERR what?
			S= "+OK\r\n1 3\r\n2 x\r\n.\r\n"
			C: RETR 1
			C: RETR 2
			S= "+OK\r\na\r\n.\r\n"
			S= "+OK\r\nb\r\n.\r\n"
			C: DELE 1
			C: DELE 2
			S: +OK
			S: +OK
			C: QUIT
			S: +OK`,
		"no CAPA": withoutCAPA + `
			C: UIDL
			S: -ERR what?
			C: LIST
			S= "+OK\r\n1 3\r\n2 x\r\n.\r\n"
			C: RETR 1
			S= "+OK\r\na\r\n.\r\n"
			C: RETR 2
			S= "+OK\r\nb\r\n.\r\n"
			C: DELE 1
			S: +OK
			C: DELE 2
			S: +OK
			C: QUIT
			S: +OK`,
	} {
		t.Run(name, func(t *testing.T) {
			client, listing := play(t, script, plaintext())
			want := []fetch.Ref{{Seq: 1, Size: 3}, {Seq: 2, Size: -1}}
			if !slices.Equal(listing.Refs, want) || !listing.NoUIDs || !listing.Reusable || !listing.AtClose {
				t.Errorf("got %+v, want the messages by their numbers, without UIDs", listing)
			}
			octets, failed, err := fetchtest.Collect(t.Context(), client, listing.Refs)
			if err != nil || len(failed) > 0 || string(octets[listing.Refs[0]]) != "a\r\n" || string(octets[listing.Refs[1]]) != "b\r\n" {
				t.Errorf("got %q and %q, %v, %v", octets[listing.Refs[0]], octets[listing.Refs[1]], failed, err)
			}
			if failures, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); err != nil || failures != nil {
				t.Errorf("got %v, %v", failures, err)
			}
			if err := client.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
