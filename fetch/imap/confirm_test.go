package imap

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// What a server says of a deletion, and what is believed of it. The folder holds message 7 alone.
func TestDeletionConfirmed(t *testing.T) {
	const store = "C: T4 UID STORE 7 +FLAGS.SILENT (\\Deleted)\n"
	const expunge = "S: T4 OK x\nC: T5 UID EXPUNGE 7\n"
	const ask = "S: T5 OK x\nC: T6 UID SEARCH RETURN (ALL) UID 7\n"
	const there = "S: * ESEARCH (TAG \"T6\") UID ALL 7\n"
	const gone = "S: * ESEARCH (TAG \"T6\") UID\n"
	for name, test := range map[string]struct {
		script  string
		session fetch.Kind // of Settle's error
		message fetch.Kind // of the Failure, Unclassified if there is none
	}{
		"EXPUNGE":                          {expunge + "S: * 1 EXPUNGE\nS: T5 OK x\n", 0, 0},
		"VANISHED":                         {expunge + "S: * VANISHED 7\nS: T5 OK x\n", 0, 0},
		"VANISHED, a range":                {expunge + "S: * vanished 1:900\nS: T5 OK x\n", 0, 0},
		"VANISHED (EARLIER)":               {expunge + "S: * VANISHED (EARLIER) 5,7\nS: T5 OK x\n", 0, 0},
		"EXPUNGE at the STORE":             {"S: * 1 EXPUNGE\n" + expunge + "S: T5 OK x\n", 0, 0},
		"EXPUNGE at the STORE, then NO":    {"S: * 1 EXPUNGE\n" + expunge + "S: T5 NO no such message\n", 0, 0},
		"STORE NO, and yet EXPUNGE":        {"S: T4 NO some have gone\nC: T5 UID EXPUNGE 7\nS: * 1 EXPUNGE\nS: T5 OK x\n", 0, 0},
		"STORE NO":                         {"S: T4 NO x\nC: T5 UID EXPUNGE 7\nS: T5 OK x\n", 0, fetch.Refused},
		"EXPUNGE NO":                       {expunge + "S: T5 NO x\n", 0, fetch.Refused},
		"nothing, gone":                    {expunge + ask + gone + "S: T6 OK x\n", 0, 0},
		"nothing, still there":             {expunge + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"nothing, listed with others":      {expunge + ask + "S: * SEARCH 3 7 9\nS: T6 OK x\n", 0, fetch.Refused},
		"nothing, only others listed":      {expunge + ask + "S: * SEARCH 3 9\nS: T6 OK x\n", 0, 0},
		"nothing, the question refused":    {expunge + ask + "S: T6 NO [SERVERBUG] x\n", 0, fetch.Busy},
		"nothing, the question unanswered": {expunge + ask + "S: T6 OK x\n", 0, fetch.Refused},
		"nothing, another's answer":        {expunge + ask + "S: * ESEARCH (TAG \"T5\") UID\nS: T6 OK x\n", 0, fetch.Refused},
		"nothing, BYE":                     {expunge + ask + "S: * BYE x\nclose", fetch.Unreachable, 0},
		"EXPUNGE behind the OK":            {expunge + ask + there + "S: * 1 EXPUNGE\nS: T6 OK x\n", 0, 0},
		"EXPUNGE of two":                   {expunge + "S: * 1 EXPUNGE\nS: * 1 EXPUNGE\n" + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"EXPUNGE of number 2":              {expunge + "S: * 2 EXPUNGE\n" + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"EXPUNGE of new mail":              {expunge + "S: * 2 EXISTS\nS: * 2 EXPUNGE\n" + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"EXPUNGE and new mail":             {expunge + "S: * 1 EXPUNGE\nS: * 3 EXISTS\nS: T5 OK x\n", 0, 0},
		"EXISTS of fewer":                  {expunge + "S: * 0 EXISTS\nS: * 1 EXISTS\nS: * 1 EXPUNGE\n" + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"VANISHED of others":               {expunge + "S: * VANISHED 1:6,8\n" + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"VANISHED unreadable":              {expunge + "S: * VANISHED 1:*\n" + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"VANISHED and EXPUNGE":             {expunge + "S: * VANISHED 1\nS: * 1 EXPUNGE\n" + ask + there + "S: T6 OK x\n", 0, fetch.Refused},
		"UIDVALIDITY at the STORE":         {"S: * OK [UIDVALIDITY 6] x\nS: T4 OK x\n", fetch.Protocol, 0},
		"UIDVALIDITY at the EXPUNGE":       {expunge + "S: * OK [UIDVALIDITY 6] x\nS: * 1 EXPUNGE\nS: T5 OK x\n", fetch.Protocol, 0},
		"UIDVALIDITY at the question":      {expunge + ask + "S: * OK [UIDVALIDITY 6] x\n" + gone + "S: T6 OK x\n", fetch.Protocol, 0},
		"BYE at the STORE":                 {"S: * BYE x\nclose", fetch.Unreachable, 0},
		"all UIDs there are":               {expunge + ask + "S: * ESEARCH (TAG \"T6\") UID ALL 1:4294967295\nS: T6 OK x\n", fetch.Protocol, 0},
	} {
		t.Run(name, func(t *testing.T) {
			settleOne(t, begin+store+test.script, fetch.Disposal{Action: fetch.Delete}, test.session, test.message)
		})
	}
}

// settleOne plays a script in which message 7 is settled. The client says nothing that is not in it.
func settleOne(t *testing.T, script string, d fetch.Disposal, session, message fetch.Kind) {
	t.Helper()
	if !strings.HasSuffix(script, "close") {
		script += "hangup"
	}
	c, listing, err := play(t, script)
	if err != nil {
		t.Fatal(err)
	}
	failures, err := c.Settle(t.Context(), d, listing.Refs)
	if fetch.KindOf(err) != session || (err != nil) != (session != 0) {
		t.Errorf("Settle: got %v of Kind %v, want Kind %v", err, fetch.KindOf(err), session)
	}
	if message == 0 && len(failures) > 0 || message != 0 && len(failures) != 1 {
		t.Fatalf("got failures %v", failures)
	}
	if message != 0 && fetch.KindOf(failures[0].Err) != message {
		t.Errorf("got %v of Kind %v, want Kind %v", failures[0].Err, fetch.KindOf(failures[0].Err), message)
	}
}

// TestListingUncertain: where the number of messages and the listing do not agree, no EXPUNGE can be matched
// with a message, and the server is asked.
func TestListingUncertain(t *testing.T) {
	for name, line := range map[string]string{
		"EXISTS of none":              "S: * 0 EXISTS\nS: * ESEARCH (TAG \"T3\") UID ALL 7\n",
		"EXISTS of fewer behind it":   "S: * 2 EXISTS\nS: * ESEARCH (TAG \"T3\") UID ALL 7,8\nS: * 1 EXISTS\n",
		"EXPUNGE behind the listing":  "S: * 2 EXISTS\nS: * ESEARCH (TAG \"T3\") UID ALL 7,8\nS: * 2 EXPUNGE\n",
		"VANISHED behind the listing": "S: * 2 EXISTS\nS: * ESEARCH (TAG \"T3\") UID ALL 7,8\nS: * VANISHED 8\n",
	} {
		t.Run(name, func(t *testing.T) {
			script := strings.NewReplacer("S: * 1 EXISTS\n", "", "S: * ESEARCH (TAG \"T3\") UID ALL 7\n", line).Replace(begin)
			c, listing, err := play(t, script+`
C: T4 UID STORE 7 +FLAGS.SILENT (\Deleted)
S: T4 OK x
C: T5 UID EXPUNGE 7
S: * 1 EXPUNGE
S: T5 OK x
C: T6 UID SEARCH RETURN (ALL) UID 7
S: * ESEARCH (TAG "T6") UID ALL 7
S: T6 OK x
hangup`)
			if err != nil {
				t.Fatal(err)
			}
			if failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs[:1]); err != nil || len(failures) != 1 {
				t.Errorf("got %v, %v; want one failure", failures, err)
			}
		})
	}
}

// TestViewDoubted: a server that has removed a message without a word may report it later, when it
// would be taken for another's.
func TestViewDoubted(t *testing.T) {
	c, listing, err := play(t, strings.NewReplacer("1 EXISTS", "2 EXISTS", "ALL 7", "ALL 7:8").Replace(begin)+`
C: T4 UID STORE 7 +FLAGS.SILENT (\Deleted)
S: T4 OK x
C: T5 UID EXPUNGE 7
S: T5 OK x
C: T6 UID SEARCH RETURN (ALL) UID 7
S: * ESEARCH (TAG "T6") UID
S: T6 OK x
C: T7 UID STORE 8 +FLAGS.SILENT (\Deleted)
S: T7 OK x
C: T8 UID EXPUNGE 8
S: * 2 EXPUNGE
S: T8 OK x
C: T9 UID SEARCH RETURN (ALL) UID 8
S: * ESEARCH (TAG "T9") UID ALL 8
S: T9 OK x
hangup`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{0, 1} {
		if failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs[i:i+1]); err != nil || len(failures) != want {
			t.Errorf("message %s: got %v, %v; want %d failures", listing.Refs[i].UID, failures, err, want)
		}
	}
}

// TestStaleView: what is known of one folder's messages says nothing about the next one's.
func TestStaleView(t *testing.T) {
	c, _, err := play(t, begin+`
C: T4 SELECT "Other"
C: T5 UID SEARCH RETURN (ALL) ALL
S: * 0 EXISTS
S: * OK [UIDVALIDITY 5] x
S: T4 OK [READ-WRITE] x
S: * ESEARCH (TAG "T5") UID ALL 7
S: T5 OK x
C: T6 UID STORE 7 +FLAGS.SILENT (\Deleted)
S: T6 OK x
C: T7 UID EXPUNGE 7
S: * 1 EXPUNGE
S: T7 OK x
C: T8 UID SEARCH RETURN (ALL) UID 7
S: * ESEARCH (TAG "T8") UID ALL 7
S: T8 OK x
hangup`)
	if err != nil {
		t.Fatal(err)
	}
	listing, err := c.Open(t.Context(), "Other")
	if err != nil {
		t.Fatal(err)
	}
	if failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); err != nil || len(failures) != 1 {
		t.Errorf("got %v, %v; want one failure", failures, err)
	}
}

// TestStaleCopy: a COPYUID is proof for the call in which it came, and no other.
func TestStaleCopy(t *testing.T) {
	c, listing, err := play(t, strings.ReplaceAll(begin, "UIDPLUS ESEARCH", "UIDPLUS ESEARCH MOVE")+`
C: T4 UID MOVE 7 "Done"
S: * OK [COPYUID 1 7 20] x
S: T4 NO not removed here
C: T5 UID MOVE 7 "Done"
S: * 1 EXPUNGE
S: T5 NO gone
hangup`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Move, Target: "Done"}, listing.Refs)
		if err != nil || len(failures) != 1 {
			t.Errorf("got %v, %v; want one failure", failures, err)
		}
	}
}

// What a server says of a move, and what is believed of it.
func TestMoveConfirmed(t *testing.T) {
	const move = "C: T4 UID MOVE 7 \"Done\"\n"
	const ask = "C: T5 UID SEARCH RETURN (ALL) UID 7\n"
	const there = "S: * ESEARCH (TAG \"T5\") UID ALL 7\nS: T5 OK x\n"
	for name, test := range map[string]struct {
		script  string
		message fetch.Kind
	}{
		"EXPUNGE":                         {"S: * 1 EXPUNGE\nS: T4 OK x\n", 0},
		"COPYUID and EXPUNGE":             {"S: * OK [COPYUID 1 7 20] x\nS: * 1 EXPUNGE\nS: T4 OK x\n", 0},
		"COPYUID with the OK":             {"S: * 1 EXPUNGE\nS: T4 OK [COPYUID 1 7 20] x\n", 0},
		"COPYUID on a line of its own":    {"S: [COPYUID 1 7 20]\nS: * 1 EXPUNGE\nS: T4 OK MOVE completed.\n", 0}, // Exchange 2013
		"COPYUID in lower case":           {"S: * 1 EXPUNGE\nS: T4 OK [copyuid 1 7 20] x\n", 0},
		"COPYUID unreadable":              {"S: * OK [COPYUID 1 * *] x\nS: * OK [COPYUID] x\nS: * 1 EXPUNGE\nS: T4 OK [COPYUID 1  ] x\n", 0},
		"COPYUID of another message":      {"S: * OK [COPYUID 1 9 20] x\nS: * 1 EXPUNGE\nS: T4 OK x\n", 0},
		"VANISHED":                        {"S: * OK [COPYUID 1 7 20] x\nS: * VANISHED 7\nS: T4 OK x\n", 0},
		"nothing, gone":                   {"S: T4 OK x\n" + ask + "S: * ESEARCH (TAG \"T5\") UID\nS: T5 OK x\n", 0},
		"nothing, still there":            {"S: T4 OK x\n" + ask + there, fetch.Refused},
		"COPYUID, still there":            {"S: * OK [COPYUID 1 7 20] x\nS: T4 OK x\n" + ask + there, fetch.Refused},
		"NO":                              {"S: T4 NO x\n", fetch.Refused},
		"NO after COPYUID":                {"S: * OK [COPYUID 1 7 20] x\nS: T4 NO x\n", fetch.Refused},
		"NO after COPYUID and EXPUNGE":    {"S: * OK [COPYUID 1 7 20] x\nS: * 1 EXPUNGE\nS: T4 NO not all\n", 0},
		"NO after EXPUNGE, by who knows":  {"S: * 1 EXPUNGE\nS: T4 NO x\n", fetch.Refused},
		"NO because there is no such box": {"S: T4 NO [TRYCREATE] x\n", fetch.NoFolder},
	} {
		t.Run(name, func(t *testing.T) {
			script := strings.ReplaceAll(begin, "UIDPLUS ESEARCH", "UIDPLUS ESEARCH MOVE")
			settleOne(t, script+move+test.script, fetch.Disposal{Action: fetch.Move, Target: "Done"}, 0, test.message)
		})
	}
}

// Copying and deleting instead of MOVE: what has no copy by the server's own word is not deleted. The folder holds
// messages 7 and 8.
func TestCopyConfirmed(t *testing.T) {
	const first = "C: T4 UID SEARCH RETURN (ALL) DELETED\nS: * ESEARCH (TAG \"T4\") UID\nS: T4 OK x\nC: T5 UID COPY 7 \"Done\"\n"
	const second = "S: T5 OK [COPYUID 1 7 20] x\nC: T6 UID STORE 7 +FLAGS.SILENT (\\Deleted)\nS: T6 OK x\nC: T7 UID COPY 8 \"Done\"\n"
	const remove = "C: T8 UID STORE 7:8 +FLAGS.SILENT (\\Deleted)\nS: T8 OK x\nC: T9 UID EXPUNGE 7:8\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: T9 OK x\n"
	const remove7 = "C: T8 UID STORE 7 +FLAGS.SILENT (\\Deleted)\nS: T8 OK x\nC: T9 UID EXPUNGE 7\nS: * 1 EXPUNGE\nS: T9 OK x\n"
	const second8 = "C: T6 UID COPY 8 \"Done\"\nS: T6 OK [COPYUID 1 8 20] x\nC: T7 UID STORE 8 +FLAGS.SILENT (\\Deleted)\nS: T7 OK x\nC: T8 UID EXPUNGE 8\n"
	for name, test := range map[string]struct {
		script, failed string
	}{
		"COPYUID":                            {first + second + "S: T7 OK [COPYUID 1 8 21] x\n" + remove, ""},
		"no COPYUID":                         {first + "S: T5 OK x\n", "7 unsupported, 8 unsupported"},
		"COPYUID unreadable":                 {first + "S: T5 OK [COPYUID 1 * *] x\n", "7 unsupported, 8 unsupported"},
		"COPYUID of another message":         {first + "S: T5 OK [COPYUID 1 9 20] x\n", "7 unsupported, 8 unsupported"},
		"no COPYUID for the second":          {first + second + "S: T7 OK x\n" + remove7, "8 refused"},
		"the first was expunged":             {first + "S: * 1 EXPUNGE\nS: T5 OK x\n" + second8 + "S: * 1 EXPUNGE\nS: T8 OK x\n", "7 gone"},
		"the first is refused":               {first + "S: T5 NO x\n" + second8 + "S: * 2 EXPUNGE\nS: T8 OK x\n", "7 refused"},
		"the second is refused":              {first + second + "S: T7 NO x\n" + remove7, "8 refused"},
		"there is no such folder to copy to": {first + "S: T5 NO [TRYCREATE] x\nC: T6 UID COPY 8 \"Done\"\nS: T6 NO [TRYCREATE] x\n", "7 no-folder, 8 no-folder"},
	} {
		t.Run(name, func(t *testing.T) {
			two := strings.NewReplacer("1 EXISTS", "2 EXISTS", "ALL 7", "ALL 7:8").Replace(begin)
			c, listing, err := play(t, two+test.script+"hangup")
			if err != nil {
				t.Fatal(err)
			}
			failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Move, Target: "Done"}, listing.Refs)
			if err != nil || describe(failures) != test.failed {
				t.Errorf("got %q (%v) and %v, want %q", describe(failures), failures, err, test.failed)
			}
		})
	}
}

// What a server says of a flag, and what is believed of it.
func TestFlagConfirmed(t *testing.T) {
	const store = "C: T4 UID STORE 7 +FLAGS.SILENT ($Fetched)\n"
	const ask = "S: T4 OK x\nC: T5 UID SEARCH RETURN (ALL) UID 7 UNKEYWORD $Fetched\n"
	for name, test := range map[string]struct {
		script  string
		session fetch.Kind
		message fetch.Kind
	}{
		"has it":               {ask + "S: * ESEARCH (TAG \"T5\") UID\nS: T5 OK x\n", 0, 0},
		"lacks it":             {ask + "S: * ESEARCH (TAG \"T5\") UID ALL 7\nS: T5 OK x\n", 0, fetch.Refused},
		"STORE NO":             {"S: T4 NO x\n", 0, fetch.Refused},
		"the question refused": {ask + "S: T5 BAD x\n", 0, fetch.Refused},
		"another UIDVALIDITY":  {"S: * OK [UIDVALIDITY 6] x\nS: T4 OK x\n", fetch.Protocol, 0},
		"BYE":                  {ask + "S: * BYE x\nclose", fetch.Unreachable, 0},
	} {
		t.Run(name, func(t *testing.T) {
			settleOne(t, begin+store+test.script, fetch.Disposal{Action: fetch.Flag, Target: "$Fetched"}, test.session, test.message)
		})
	}
}

// TestDeeds has servers that answer OK and do something else. Of five messages, 2, 3 and 4 are settled.
func TestDeeds(t *testing.T) {
	three := func(uid uint32) bool { return uid == 3 }
	// others expunges messages, as another client does, just before a command is carried out.
	others := func(verb string, uids ...uint32) func(*fakeserver.IMAP) {
		return func(s *fakeserver.IMAP) {
			s.Before = func(said, _ string) string {
				if said == verb {
					s.Store.Remove("", uids...)
				}
				return ""
			}
		}
	}
	with := func(changes ...func(*fakeserver.IMAP)) func(*fakeserver.IMAP) {
		return func(s *fakeserver.IMAP) {
			for _, change := range changes {
				change(s)
			}
		}
	}
	without := func(names ...string) func(*fakeserver.IMAP) {
		return func(s *fakeserver.IMAP) { s.Without = append(s.Without, names...) }
	}
	spare := func(which func(uint32) bool) func(*fakeserver.IMAP) {
		return func(s *fakeserver.IMAP) { s.Spare = which }
	}
	byUID := func(s *fakeserver.IMAP) { s.Vanished = true }
	late := func(s *fakeserver.IMAP) { s.LateExpunge = true }
	atOnce := func(s *fakeserver.IMAP) { s.AutoExpunge = true }
	for name, test := range map[string]struct {
		server     func(*fakeserver.IMAP)
		move, copy bool
		failed     string // UIDs and Kinds
		left       []uint32
		done       int
		asked      bool
	}{
		"expunges":                         {server: with(), left: []uint32{1, 5}},
		"expunges nothing":                 {server: spare(func(uint32) bool { return true }), failed: "2 refused, 3 refused, 4 refused", left: []uint32{1, 2, 3, 4, 5}, asked: true},
		"expunges some":                    {server: spare(three), failed: "3 refused", left: []uint32{1, 3, 5}, asked: true},
		"expunges some, without ESEARCH":   {server: with(spare(three), without("ESEARCH")), failed: "3 refused", left: []uint32{1, 3, 5}, asked: true},
		"tells by UID":                     {server: byUID, left: []uint32{1, 5}},
		"tells by UID, some":               {server: with(byUID, spare(three)), failed: "3 refused", left: []uint32{1, 3, 5}, asked: true},
		"tells late":                       {server: late, left: []uint32{1, 5}, asked: true},
		"tells late, some":                 {server: with(late, spare(three)), failed: "3 refused", left: []uint32{1, 3, 5}, asked: true},
		"expunges at the STORE":            {server: atOnce, left: []uint32{1, 5}},
		"expunges at the STORE only":       {server: with(atOnce, without("UIDPLUS")), left: []uint32{1, 5}},
		"cannot expunge":                   {server: without("UIDPLUS"), failed: "2 unsupported, 3 unsupported, 4 unsupported", left: []uint32{1, 2, 3, 4, 5}},
		"another client's expunge":         {server: others("UID EXPUNGE", 1), left: []uint32{5}},
		"as many as one of ours remains":   {server: with(others("UID EXPUNGE", 1), spare(three)), failed: "3 refused", left: []uint32{3, 5}, asked: true},
		"ours, by another client":          {server: others("UID STORE", 3, 5), left: []uint32{1}},
		"ours, behind the STORE":           {server: others("UID EXPUNGE", 2, 3, 4), left: []uint32{1, 5}},
		"moves":                            {server: with(), move: true, left: []uint32{1, 5}, done: 3},
		"moves, without UIDPLUS":           {server: without("UIDPLUS"), move: true, left: []uint32{1, 5}, done: 3},
		"moves nothing":                    {server: spare(func(uint32) bool { return true }), move: true, failed: "2 refused, 3 refused, 4 refused", left: []uint32{1, 2, 3, 4, 5}, asked: true},
		"moves some":                       {server: spare(three), move: true, failed: "3 refused", left: []uint32{1, 3, 5}, done: 2, asked: true},
		"moves and tells late":             {server: late, move: true, left: []uint32{1, 5}, done: 3, asked: true},
		"moves and tells by UID":           {server: byUID, move: true, left: []uint32{1, 5}, done: 3},
		"expunged before the MOVE":         {server: others("UID MOVE", 1, 3), move: true, failed: "3 gone", left: []uint32{5}, done: 2},
		"expunged before it, told late":    {server: with(others("UID MOVE", 1, 3), late), move: true, failed: "3 gone", left: []uint32{5}, done: 2, asked: true},
		"expunged before it, no COPYUID":   {server: with(others("UID MOVE", 1, 3), without("UIDPLUS")), move: true, left: []uint32{5}, done: 2},
		"copies":                           {server: with(), copy: true, left: []uint32{1, 5}, done: 3},
		"copies some, and those are all":   {server: spare(three), copy: true, failed: "3 refused", left: []uint32{1, 3, 5}, done: 2},
		"copies and expunges at the STORE": {server: atOnce, copy: true, left: []uint32{1, 5}, done: 3},
		"expunged before the COPY":         {server: others("UID COPY", 1, 3), copy: true, failed: "3 gone", left: []uint32{5}, done: 2},
		"expunged behind the first COPY":   {server: others("UID STORE", 1, 3), copy: true, failed: "3 gone", left: []uint32{5}, done: 2},
		"expunged behind the COPY":         {server: others("UID EXPUNGE", 1, 3), copy: true, left: []uint32{5}, done: 3},
	} {
		t.Run(name, func(t *testing.T) {
			box := fakeserver.NewStore()
			box.Create("Done")
			fetchtest.Fill(box, 5)
			said := &spoken{}
			s := server(box)
			s.Reply = said.reply
			d := fetch.Disposal{Action: fetch.Delete}
			if test.move || test.copy {
				d = fetch.Disposal{Action: fetch.Move, Target: "Done"}
			}
			if test.copy {
				s.Without = []string{"MOVE"}
			}
			test.server(s)
			c, refs := open(t, s, plaintext())
			failures, err := c.Settle(t.Context(), d, refs[1:4])
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(failures); got != test.failed {
				t.Errorf("failures: %q, want %q", got, test.failed)
			}
			if got := box.UIDs(""); !slices.Equal(got, test.left) || len(box.UIDs("Done")) != test.done {
				t.Errorf("left %v and %d in Done, want %v and %d", got, len(box.UIDs("Done")), test.left, test.done)
			}
			if got := said.since(); test.asked != strings.HasPrefix(got[len(got)-1], "UID SEARCH") {
				t.Errorf("the client sent %q; asked at the end: want %v", got, test.asked)
			}
		})
	}
}

func describe(failures []fetch.Failure) string {
	failures = slices.SortedFunc(slices.Values(failures), func(a, b fetch.Failure) int { return cmp.Compare(a.Ref.Seq, b.Ref.Seq) })
	var parts []string
	for _, f := range failures {
		parts = append(parts, fmt.Sprint(f.Ref.UID, " ", fetch.KindOf(f.Err)))
	}
	return strings.Join(parts, ", ")
}

// written notes what the client has begun to write.
type written struct {
	net.Conn
	mu    sync.Mutex
	lines strings.Builder
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	w.lines.Write(p)
	w.mu.Unlock()
	return w.Conn.Write(p)
}

func (w *written) has(verb string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.lines.String(), verb)
}

// TestExpungeWaits: no UID EXPUNGE is sent before every STORE has been answered. Dovecot takes both,
// says OK to both, and at times expunges nothing.
func TestExpungeWaits(t *testing.T) {
	for name, test := range map[string]struct {
		d            fetch.Disposal
		first, later []string
	}{
		"delete": {fetch.Disposal{Action: fetch.Delete}, []string{"UID STORE"}, []string{"UID EXPUNGE"}},
		"copy":   {fetch.Disposal{Action: fetch.Move, Target: "Done"}, []string{"UID COPY", "UID STORE"}, []string{"UID STORE 1:", "UID EXPUNGE"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := fakeserver.NewStore()
				box.Create("Done")
				fetchtest.Fill(box, 5000)
				near, far := net.Pipe()
				client := &written{Conn: near}
				s := server(box)
				s.Without = []string{"MOVE"}
				s.Reply = func(verb, _ string) (string, bool) {
					if i := slices.Index(test.first, verb); i >= 0 {
						synctest.Wait() // the client has written what it wants to write by now
						if client.has(test.later[i]) {
							t.Errorf("%s was sent before %s was answered", test.later[i], verb)
						}
					}
					return "", false
				}
				var wg sync.WaitGroup
				wg.Go(func() { s.Serve(far) })
				defer wg.Wait()
				c, err := New(t.Context(), client, plaintext())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Abort()
				listing, err := c.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				var odd []fetch.Ref // two sets
				for i := 0; i < len(listing.Refs); i += 2 {
					odd = append(odd, listing.Refs[i])
				}
				b, _ := c.accept(odd)
				one := &settlement{c: c, batch: b, all: b.uids} // of more than Settle takes at once
				err = c.run(t.Context(), len(odd), func() error {
					if test.d.Action == fetch.Move {
						return one.move(test.d.Target)
					}
					return one.remove(sets(one.uids))
				})
				if err != nil || len(one.failures) > 0 {
					t.Errorf("%d failures, %v", len(one.failures), err)
				}
			})
		})
	}
}
