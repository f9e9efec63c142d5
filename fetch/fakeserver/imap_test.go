package fakeserver_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// converse sends commands one by one and returns all that the server says.
func converse(t *testing.T, s *fakeserver.IMAP, commands ...string) string {
	t.Helper()
	conn := fetchtest.Dial(t, fetchtest.Listen(t, s.Serve).Addr())
	r, said := bufio.NewReader(conn), strings.Builder{}
	hear := func(until string) {
		for {
			line, err := r.ReadString('\n')
			said.WriteString(strings.ReplaceAll(line, "\r\n", "\n"))
			if err != nil || strings.HasPrefix(line, until) {
				return
			}
		}
	}
	hear("* ")
	for n, command := range commands {
		tag := fmt.Sprintf("a%d ", n+1)
		fmt.Fprint(conn, tag+command+"\r\n")
		hear(tag)
	}
	return said.String()
}

func TestIMAPServer(t *testing.T) {
	store := fakeserver.NewStore()
	store.Create("Done")
	store.Add("", []byte("Subject: a\r\n\r\n{1}\r\n"))
	store.Add("", []byte("x"))
	store.Add("", []byte("y"))
	got := converse(t, &fakeserver.IMAP{Store: store, User: "u", Password: "p q", QuietCapabilities: true},
		"noop",
		"SELECT INBOX",
		`LOGIN u wrong`,
		`LOGIN {1+}`+"\r\nu \"p q\"",
		`ID NIL`,
		`LIST "" *`,
		`EXAMINE inbox`,
		`UID STORE 1 +FLAGS (\Seen)`,
		`SELECT "Nowhere"`,
		`UID SEARCH ALL`,
		`SELECT INBOX`,
		`UID FETCH 1:2 (UID FLAGS RFC822.SIZE BODY.PEEK[HEADER] BODY.PEEK[])`,
		`UID FETCH * BODY[]`,
		`UID STORE 2:* -FLAGS (\Seen)`,
		`UID SEARCH RETURN (ALL) UNSEEN`,
		`UID SEARCH UID 2:9 UNDELETED`,
		`UID COPY 1 Done`,
		`UID MOVE 2 Done`,
		`UID MOVE 1 Nowhere`,
		`UID STORE 1 FLAGS.SILENT (\Deleted)`,
		`UID EXPUNGE 3`,
		`UID EXPUNGE 1`,
		`FROBNICATE`,
		`UNSELECT`,
		`SELECT Done`,
		`UID STORE 1:2 +FLAGS.SILENT (\Deleted)`,
		`CLOSE`,
		`LOGOUT`)
	want := `* OK fetchtest ready
a1 OK
a2 BAD not now
a3 NO [AUTHENTICATIONFAILED] wrong user or password
a4 OK logged in
* ID ("name" "fetchtest")
a5 OK
* LIST () "/" "Done"
* LIST () "/" "INBOX"
a6 OK
* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] kept
* 3 EXISTS
* 0 RECENT
* OK [UIDVALIDITY 1] valid
* OK [UIDNEXT 4] so far
a7 OK [READ-ONLY] examined
a8 NO read-only
a9 NO [NONEXISTENT] no such folder
a10 BAD no folder is selected
* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] kept
* 3 EXISTS
* 0 RECENT
* OK [UIDVALIDITY 1] valid
* OK [UIDNEXT 4] so far
a11 OK [READ-WRITE] selected
* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 19 BODY[HEADER] {14}
Subject: a

 BODY[] {19}
Subject: a

{1}
)
* 2 FETCH (UID 2 FLAGS () RFC822.SIZE 1 BODY[HEADER] {1}
x BODY[] {1}
x)
a12 OK
* 3 FETCH (BODY[] {1}
y)
a13 OK
* 2 FETCH (UID 2 FLAGS ())
* 3 FETCH (UID 3 FLAGS ())
a14 OK
* ESEARCH (TAG "a15") UID ALL 1:3
a15 OK
* SEARCH 2 3
a16 OK
a17 OK [COPYUID 1 1 1] done
* OK [COPYUID 1 2 2] moved
* 2 EXPUNGE
a18 OK done
a19 NO [TRYCREATE] no such folder
a20 OK
a21 OK
* 1 EXPUNGE
a22 OK
a23 BAD unknown command
a24 OK
* FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
* OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] kept
* 2 EXISTS
* 0 RECENT
* OK [UIDVALIDITY 1] valid
* OK [UIDNEXT 3] so far
a25 OK [READ-WRITE] selected
a26 OK
a27 OK
* BYE see you
a28 OK bye
`
	if got != want {
		t.Errorf("the server said\n%s\nwant\n%s", got, want)
	}
	if n := len(store.UIDs("Done")); n != 0 {
		t.Errorf("CLOSE left %d messages", n)
	}
}

func TestIMAPServerXOAUTH2(t *testing.T) {
	response := func(token string) string {
		return base64.StdEncoding.EncodeToString([]byte("user=u\x01auth=Bearer " + token + "\x01\x01"))
	}
	got := converse(t, &fakeserver.IMAP{Store: fakeserver.NewStore(), User: "u", Password: "p", Token: "secret", Without: []string{"ESEARCH"}},
		"AUTHENTICATE XOAUTH2 "+response("wrong")+"\r\n", // and the empty line that the challenge wants
		"AUTHENTICATE XOAUTH2 "+response("secret"),
		"SELECT INBOX",
		"UID SEARCH RETURN (ALL) ALL")
	for _, want := range []string{"AUTH=XOAUTH2 AUTH=OAUTHBEARER] fetchtest", "\n+ ", "a1 NO [AUTH", "a2 OK [CAP", "a4 BAD"} {
		if !strings.Contains(got, want) {
			t.Errorf("the server said\n%s\nwithout %q", got, want)
		}
	}
}

func TestIMAPServerHooks(t *testing.T) {
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 1)
	s := &fakeserver.IMAP{Store: store, User: "u", Password: "p"}
	s.Reply = func(verb, args string) (string, bool) {
		return "* OK replied\r\n%T NO " + args + "\r\n", verb == "NOOP"
	}
	s.Before = func(verb, _ string) string {
		if verb == "UID FETCH" {
			return "* 9 EXPUNGE\r\n"
		}
		return ""
	}
	s.Body = func(m fakeserver.Message) (string, bool) { return "{99}\r\nshort", true }
	got := converse(t, s, "NOOP now", "LOGIN u p", "SELECT INBOX", "UID FETCH 1 (UID BODY.PEEK[])")
	for _, want := range []string{"* OK replied\na1 NO now\n", "* 9 EXPUNGE\n* 1 FETCH (UID 1 BODY[] {99}\nshort)\na4 OK\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the server said\n%s\nwithout %q", got, want)
		}
	}
}

func TestIMAPServerExpunge(t *testing.T) {
	for name, test := range map[string]struct {
		server fakeserver.IMAP
		want   string // from the reply to STORE on
		left   []uint32
	}{
		"at once": {fakeserver.IMAP{AutoExpunge: true}, "* 3 EXPUNGE\n* 2 EXPUNGE\na3 OK\na4 OK\na5 OK\n", []uint32{1, 4}},
		"late":    {fakeserver.IMAP{LateExpunge: true}, "a3 OK\na4 OK\n* 3 EXPUNGE\n* 2 EXPUNGE\na5 OK\n", []uint32{1, 4}},
		"by UID":  {fakeserver.IMAP{Vanished: true}, "a3 OK\n* VANISHED 2:3\na4 OK\na5 OK\n", []uint32{1, 4}},
		"some":    {fakeserver.IMAP{Spare: func(uid uint32) bool { return uid == 2 }}, "a3 OK\n* 3 EXPUNGE\na4 OK\na5 OK\n", []uint32{1, 2, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.server
			s.Store, s.User, s.Password = fakeserver.NewStore(), "u", "p"
			fetchtest.Fill(s.Store, 4)
			got := converse(t, &s, "LOGIN u p", "SELECT INBOX", `UID STORE 2:3 +FLAGS.SILENT (\Deleted)`, "UID EXPUNGE 2:3", "NOOP")
			if _, got, _ = strings.Cut(got, "selected\n"); got != test.want {
				t.Errorf("the server said\n%s\nwant\n%s", got, test.want)
			}
			if left := s.Store.UIDs(""); !slices.Equal(left, test.left) {
				t.Errorf("left %v, want %v", left, test.left)
			}
		})
	}
}

func TestIMAPServerSpares(t *testing.T) {
	s := &fakeserver.IMAP{Store: fakeserver.NewStore(), User: "u", Password: "p", Spare: func(uid uint32) bool { return uid == 2 }}
	s.Store.Create("Done")
	fetchtest.Fill(s.Store, 4)
	got := converse(t, s, "LOGIN u p", "SELECT INBOX", "UID COPY 1:2 Done", "UID MOVE 2:3 Done")
	if want := "a3 OK [COPYUID 1 1 1] done\n* OK [COPYUID 1 3 2] moved\n* 3 EXPUNGE\na4 OK done\n"; !strings.HasSuffix(got, want) {
		t.Errorf("the server said\n%s\nwithout\n%s", got, want)
	}
}
