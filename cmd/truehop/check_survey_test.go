package main

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestCheckFindsObstacles: what the account asks for and the server cannot do is found before any mail is delivered, in all
// folders, with what to do about it.
func TestCheckFindsObstacles(t *testing.T) {
	selected := func(code string) func(verb, _ string) (string, bool) {
		return func(verb, _ string) (string, bool) {
			reply, ok := map[string]string{
				"SELECT":     "* OK [UIDVALIDITY 1] x\r\n* 1 EXISTS\r\n%T OK " + code + " x\r\n",
				"UID SEARCH": "* ESEARCH (TAG \"%T\") UID ALL 1\r\n%T OK x\r\n",
			}[verb]
			return reply, ok
		}
	}
	readOnly, noKeywords := selected("[READ-ONLY]"), func(verb, args string) (string, bool) {
		reply, ok := selected("[READ-WRITE]")(verb, args)
		return strings.Replace(reply, "* 1 EXISTS", "* OK [PERMANENTFLAGS (\\Seen \\Deleted)] x\r\n* 1 EXISTS", 1), ok
	}
	namespace := func(verb, _ string) (string, bool) {
		return "* NAMESPACE ((\"INBOX.\" \".\")) NIL NIL\r\n%T OK x\r\n", verb == "NAMESPACE"
	}
	for _, tc := range []struct {
		name, keys string
		server     fakeserver.IMAP
		want       int
		says       []string
	}{
		{"nothing in the way", "on_delivered: delete", fakeserver.IMAP{}, exitOK, []string{"folder INBOX: 1 message"}},
		{"no UIDPLUS", "on_delivered: delete", fakeserver.IMAP{Without: []string{"UIDPLUS"}}, exitConfig, []string{"lacks UIDPLUS", "plain_expunge: true"}},
		{"no UIDPLUS, for later", "delete_after: 7d", fakeserver.IMAP{Without: []string{"UIDPLUS"}}, exitConfig, []string{"lacks UIDPLUS"}},
		{"no UIDPLUS, and leave to expunge", "on_delivered: delete, plain_expunge: true", fakeserver.IMAP{Without: []string{"UIDPLUS"}}, exitOK, nil},
		{"neither MOVE nor UIDPLUS", "on_delivered: \"move:Done\"", fakeserver.IMAP{Without: []string{"UIDPLUS", "MOVE"}}, exitConfig, []string{"neither MOVE nor UIDPLUS"}},
		{"target is there", "on_delivered: \"move:Done\"", fakeserver.IMAP{}, exitOK, nil},
		{"target is not there", "on_refused: \"move:Spam\"", fakeserver.IMAP{}, exitConfig, []string{"there is no folder Spam", "create_folders: true"}},
		{"target is created", "on_refused: \"move:Spam\", create_folders: true", fakeserver.IMAP{}, exitOK, nil},
		{"target is elsewhere", "on_refused: \"move:Junk\"", fakeserver.IMAP{Reply: namespace, Capabilities: []string{"NAMESPACE"}}, exitConfig, []string{"did you mean INBOX.Junk?"}},
		{"keyword is not kept", "on_delivered: \"flag:$Done\"", fakeserver.IMAP{Reply: noKeywords}, exitConfig, []string{"does not keep the flag $Done"}},
		{"read-only", "on_delivered: seen", fakeserver.IMAP{Reply: readOnly}, exitConfig, []string{"the folder is read-only"}},
		{"no IDLE", "on_delivered: keep", fakeserver.IMAP{Without: []string{"IDLE"}}, exitOK, []string{"no IDLE"}},
		{"a folder is missing, and the others are looked at", "folders: [None, Other]", fakeserver.IMAP{}, exitConfig, []string{"NONEXISTENT", "folder Other: 0 messages"}},
	} {
		t.Run(strings.ReplaceAll(tc.name, ",", ""), func(t *testing.T) {
			store := fakeserver.NewStore()
			for _, folder := range []string{"Done", "Other", "INBOX.Junk"} {
				store.Create(folder)
			}
			store.Add("INBOX", scriptMail(1))
			s := tc.server
			s.Store, s.User, s.Password = store, "u", "p"
			got := checkOf(t, listen(t, s.Serve), tc.keys, tc.want)
			for _, says := range tc.says {
				if !strings.Contains(got, says) {
					t.Errorf("%q is not said in\n%s", says, got)
				}
			}
		})
	}
}

// TestCheckLooksForClients: check looks at the last messages, says of how many the client is known, and what they have in
// common.
func TestCheckLooksForClients(t *testing.T) {
	mail := func(peer string) []byte {
		return []byte("Received: from pc (" + peer + ") by mx.example.net (Postfix) with ESMTPS id 4A; Mon, 15 Jan 2024 10:00:00 +0000\r\nSubject: x\r\n\r\nx\r\n")
	}
	for _, tc := range []struct {
		name string
		mail [][]byte
		says string // the line about clients and those that follow
	}{
		{"clients", [][]byte{mail("out.example.org [192.0.2.25]"), mail("unknown [192.0.2.26]")}, "  clients: known of 2 of the last 2 messages\n"},
		{"private peers", [][]byte{mail("unknown [172.22.1.1]"), mail("unknown [172.22.1.1]")},
			"  clients: known of 0 of the last 2 messages\n  WARN: your provider's MX shows private peers only in all of 2 messages"},
		{"one that is large", [][]byte{mail("out.example.org [192.0.2.25]"), append(mail("unknown [192.0.2.26]"), make([]byte, sampledOctets)...)}, "  clients: known of 1 of the last 1 message\n"},
		{"no mail", nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store := fakeserver.NewStore()
			for _, m := range tc.mail {
				store.Add("INBOX", m)
			}
			s := fakeserver.IMAP{Store: store, User: "u", Password: "p"}
			got := checkOf(t, listen(t, s.Serve), "on_delivered: keep", exitOK)
			if has := strings.Contains(got, "  clients: "); has != (tc.says != "") || !strings.Contains(got, tc.says) {
				t.Errorf("%q is not said in\n%s", tc.says, got)
			}
		})
	}
}

// TestCheckLooksAtTheLatest: the newest messages are looked at, and none that is large.
func TestCheckLooksAtTheLatest(t *testing.T) {
	var refs []fetch.Ref
	for i, size := range []int64{100, 100, -1, 100, sampledOctets + 1, 100, sampledOctets, 100} {
		refs = append(refs, fetch.Ref{Seq: uint32(i + 1), Size: size})
	}
	var got []uint32
	for _, ref := range latest(refs, map[fetch.Ref]int64{refs[6]: 10, refs[3]: sampledOctets + 1}) {
		got = append(got, ref.Seq)
	}
	if want := []uint32{8, 7, 6, 3, 2}; !slices.Equal(got, want) {
		t.Errorf("the messages %v are looked at, want %v", got, want)
	}
	if got := latest(nil, nil); len(got) != 0 {
		t.Errorf("of no mail %v is looked at", got)
	}
}

// checkOf runs check for an account at this upstream and returns what it says.
func checkOf(t *testing.T, upstream, keys string, want int) string {
	t.Helper()
	mta := injecttest.New(injecttest.Options{})
	t.Cleanup(func() {
		if err := mta.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &lineWorld{dir: t.TempDir(), upstream: upstream, mta: listen(t, func(conn net.Conn) { mta.Serve(conn) })}
	p := must(t, want, "check", "--verbose", "--config", w.config(t, "tls: none, allow_plaintext: true, "+keys))
	return p.stdout.String() + p.stderr.String()
}

// TestCheckTellsWhatPOP3ServersAnnounce: how long messages stay, and how often one may log in.
func TestCheckTellsWhatPOP3ServersAnnounce(t *testing.T) {
	for capability, says := range map[string]string{
		"EXPIRE 0": "deletes what was retrieved", "EXPIRE 30 USER": "after 30 days", "LOGIN-DELAY 900": "15m0s between two logins", "EXPIRE NEVER": "",
	} {
		store := fakeserver.NewStore()
		got := checkOf(t, listen(t, (&fakeserver.POP3{Store: store, User: "u", Password: "p", Capabilities: []string{capability}}).Serve), "protocol: pop3", exitOK)
		if says == "" {
			says = "mailbox: 0 messages\n"
		}
		if !strings.Contains(got, says) {
			t.Errorf("%s: %q is not said in\n%s", capability, says, got)
		}
	}
}

// TestCheckSaysWhatTheProviderNeeds: in its own words, with the page, when it is asked and again where the login is refused.
func TestCheckSaysWhatTheProviderNeeds(t *testing.T) {
	for password, want := range map[string]int{"p": exitOK, "another": exitCredentials} {
		got := checkOf(t, listen(t, (&fakeserver.IMAP{Store: fakeserver.NewStore(), User: "u", Password: password}).Serve), "provider: gmail", want)
		told := 1
		if want != exitOK {
			told = 2
		}
		if strings.Count(got, "2-Step Verification") != told || strings.Count(got, "https://myaccount.google.com/apppasswords") != told {
			t.Errorf("password %s: not told %d times in\n%s", password, told, got)
		}
	}
}
