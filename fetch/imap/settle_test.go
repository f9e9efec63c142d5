package imap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// spoken records the commands that a server gets, and answers some in its stead.
type spoken struct {
	mu       sync.Mutex
	commands []string
	instead  map[string]string // by verb
}

func (s *spoken) reply(verb, args string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, strings.TrimSpace(verb+" "+args))
	raw, ok := s.instead[verb]
	return raw, ok
}

// since returns the commands after SEARCH.
func (s *spoken) since() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.commands, func(c string) bool { return strings.HasPrefix(c, "UID SEARCH") })
	return s.commands[i+1:]
}

func TestSettle(t *testing.T) {
	remove := fetch.Disposal{Action: fetch.Delete}
	move := fetch.Disposal{Action: fetch.Move, Target: "Done"}
	store, marked := `UID STORE 2:3 +FLAGS.SILENT (\Deleted)`, "UID SEARCH RETURN (ALL) DELETED"
	first := `UID STORE 2 +FLAGS.SILENT (\Deleted)`
	plainExpunge := func(o *Options) { o.PlainExpunge = true }
	createFolders := func(o *Options) { o.CreateFolders = true }
	for name, test := range map[string]struct {
		d       fetch.Disposal
		options func(*Options)
		without []string
		instead map[string]string
		before  map[string]string // is said before the answer, by verb
		alone   bool              // no other client has marked a message
		copied  []uint32          // what an earlier session has copied and marked
		said    []string
		left    string     // UIDs in the inbox
		done    int        // messages in Done
		kind    fetch.Kind // of the failures of messages 2 and 3
		words   string     // in the failures or the log
	}{
		"plain EXPUNGE":                           {d: remove, options: plainExpunge, without: []string{"UIDPLUS"}, alone: true, said: []string{store, marked, "EXPUNGE"}, left: "[1 4 5]"},
		"plain EXPUNGE, not needed":               {d: remove, options: plainExpunge, alone: true, said: []string{store, "UID EXPUNGE 2:3"}, left: "[1 4 5]"},
		"plain EXPUNGE, others have marked":       {d: remove, options: plainExpunge, without: []string{"UIDPLUS"}, said: []string{store, marked}, left: "[1 2 3 4 5]", kind: fetch.Refused, words: "1 messages that are not ours"},
		"plain EXPUNGE, STORE refused":            {d: remove, options: plainExpunge, without: []string{"UIDPLUS"}, alone: true, instead: map[string]string{"UID STORE": "%T NO x\r\n"}, said: []string{store, marked}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"plain EXPUNGE, refused":                  {d: remove, options: plainExpunge, without: []string{"UIDPLUS"}, alone: true, instead: map[string]string{"EXPUNGE": "%T NO x\r\n"}, said: []string{store, marked, "EXPUNGE"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"plain EXPUNGE, does nothing":             {d: remove, options: plainExpunge, without: []string{"UIDPLUS"}, alone: true, instead: map[string]string{"EXPUNGE": "%T OK x\r\n"}, said: []string{store, marked, "EXPUNGE", "UID SEARCH RETURN (ALL) UID 2:3"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"plain EXPUNGE takes more with it":        {d: remove, options: plainExpunge, without: []string{"UIDPLUS"}, alone: true, before: map[string]string{"EXPUNGE": "* 5 EXPUNGE\r\n"}, said: []string{store, marked, "EXPUNGE"}, left: "[1 4 5]", words: "removed more than was ours"},
		"no UIDPLUS, and no leave":                {d: remove, without: []string{"UIDPLUS"}, said: []string{store}, left: "[1 2 3 4 5]", kind: fetch.Unsupported, words: "plain_expunge"},
		"copy and expunge":                        {d: move, options: plainExpunge, without: []string{"MOVE", "UIDPLUS"}, alone: true, said: []string{marked, `STATUS "Done" (MESSAGES)`, `UID COPY 2:3 "Done"`, `STATUS "Done" (MESSAGES)`, store, marked, "EXPUNGE"}, left: "[1 4 5]", done: 2},
		"copy and expunge, others have marked":    {d: move, options: plainExpunge, without: []string{"MOVE", "UIDPLUS"}, said: []string{marked}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"copy and expunge, COPY does nothing":     {d: move, options: plainExpunge, without: []string{"MOVE", "UIDPLUS"}, alone: true, instead: map[string]string{"UID COPY": "%T OK x\r\n"}, said: []string{marked, `STATUS "Done" (MESSAGES)`, `UID COPY 2:3 "Done"`, `STATUS "Done" (MESSAGES)`}, left: "[1 2 3 4 5]", kind: fetch.Refused, words: "0 more messages, not 2"},
		"neither MOVE nor UIDPLUS, and no leave":  {d: move, without: []string{"MOVE", "UIDPLUS"}, left: "[1 2 3 4 5]", kind: fetch.Unsupported, words: "plain_expunge"},
		"target is created":                       {d: fetch.Disposal{Action: fetch.Move, Target: "New"}, options: createFolders, said: []string{`UID MOVE 2:3 "New"`, `CREATE "New"`, `UID MOVE 2:3 "New"`}, left: "[1 4 5]"},
		"target of COPY is created":               {d: fetch.Disposal{Action: fetch.Move, Target: "New"}, options: createFolders, without: []string{"MOVE"}, said: []string{marked, `UID COPY 2 "New"`, `CREATE "New"`, `UID COPY 2 "New"`, first, `UID COPY 3 "New"`, store, "UID EXPUNGE 2:3"}, left: "[1 4 5]"},
		"target cannot be created":                {d: fetch.Disposal{Action: fetch.Move, Target: "New"}, options: createFolders, instead: map[string]string{"CREATE": "%T NO [NOPERM] not you\r\n"}, said: []string{`UID MOVE 2:3 "New"`, `CREATE "New"`}, left: "[1 2 3 4 5]", kind: fetch.Refused, words: "not you"},
		"delete":                                  {d: remove, said: []string{store, "UID EXPUNGE 2:3"}, left: "[1 4 5]"},
		"delete without UIDPLUS":                  {d: remove, without: []string{"UIDPLUS"}, said: []string{store}, left: "[1 2 3 4 5]", kind: fetch.Unsupported},
		"STORE refused":                           {d: remove, instead: map[string]string{"UID STORE": "%T NO read-only\r\n"}, said: []string{store, "UID EXPUNGE 2:3"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"EXPUNGE refused":                         {d: remove, instead: map[string]string{"UID EXPUNGE": "%T NO no\r\n"}, said: []string{store, "UID EXPUNGE 2:3"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"STORE over quota":                        {d: remove, instead: map[string]string{"UID STORE": "%T NO [OVERQUOTA] x\r\n"}, said: []string{store, "UID EXPUNGE 2:3"}, left: "[1 2 3 4 5]", kind: fetch.Busy},
		"folder is read-only":                     {d: remove, instead: map[string]string{"SELECT": "* OK [UIDVALIDITY 1] x\r\n%T OK [READ-ONLY] x\r\n", "UID SEARCH": "* ESEARCH (TAG \"%T\") UID ALL 1:5\r\n%T OK x\r\n"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"move":                                    {d: move, said: []string{`UID MOVE 2:3 "Done"`}, left: "[1 4 5]", done: 2},
		"move without MOVE":                       {d: move, without: []string{"MOVE"}, said: []string{marked, `UID COPY 2 "Done"`, first, `UID COPY 3 "Done"`, store, "UID EXPUNGE 2:3"}, left: "[1 4 5]", done: 2},
		"move what was copied before":             {d: move, without: []string{"MOVE"}, copied: []uint32{2, 3}, said: []string{marked, store, "UID EXPUNGE 2:3"}, left: "[1 4 5]"},
		"move what was copied in part":            {d: move, without: []string{"MOVE"}, copied: []uint32{3}, said: []string{marked, `UID COPY 2 "Done"`, first, store, "UID EXPUNGE 2:3"}, left: "[1 4 5]", done: 1},
		"move where nothing can be marked":        {d: move, without: []string{"MOVE"}, instead: map[string]string{"SELECT": "* 5 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [PERMANENTFLAGS (\\Seen)] x\r\n%T OK [READ-WRITE] x\r\n", "UID SEARCH": "* ESEARCH (TAG \"%T\") UID ALL 1:5\r\n%T OK x\r\n"}, left: "[1 2 3 4 5]", kind: fetch.Refused, words: "nothing was copied"},
		"copy and expunge what was copied before": {d: move, options: plainExpunge, without: []string{"MOVE", "UIDPLUS"}, alone: true, copied: []uint32{2, 3}, said: []string{marked, store, marked, "EXPUNGE"}, left: "[1 4 5]"},
		"move without MOVE and UIDPLUS":           {d: move, without: []string{"MOVE", "UIDPLUS"}, left: "[1 2 3 4 5]", kind: fetch.Unsupported},
		"move to a folder that is not there":      {d: fetch.Disposal{Action: fetch.Move, Target: "None"}, said: []string{`UID MOVE 2:3 "None"`}, left: "[1 2 3 4 5]", kind: fetch.NoFolder},
		"COPY fails":                              {d: fetch.Disposal{Action: fetch.Move, Target: "None"}, without: []string{"MOVE"}, said: []string{marked, `UID COPY 2 "None"`, `UID COPY 3 "None"`}, left: "[1 2 3 4 5]", kind: fetch.NoFolder},
		"STORE fails":                             {d: move, without: []string{"MOVE"}, instead: map[string]string{"UID STORE": "%T NO x\r\n"}, said: []string{marked, `UID COPY 2 "Done"`, first}, left: "[1 2 3 4 5]", done: 1, kind: fetch.Refused},
		"flag":                                    {d: fetch.Disposal{Action: fetch.Flag, Target: `\Flagged`}, said: []string{`UID STORE 2:3 +FLAGS.SILENT (\Flagged)`, "UID SEARCH RETURN (ALL) UID 2:3 UNFLAGGED"}, left: "[1 2 3 4 5]"},
		"flag seen":                               {d: fetch.Disposal{Action: fetch.Flag}, said: []string{`UID STORE 2:3 +FLAGS.SILENT (\Seen)`, "UID SEARCH RETURN (ALL) UID 2:3 UNSEEN"}, left: "[1 2 3 4 5]"},
		"keyword":                                 {d: fetch.Disposal{Action: fetch.Flag, Target: "$Fetched"}, said: []string{`UID STORE 2:3 +FLAGS.SILENT ($Fetched)`, "UID SEARCH RETURN (ALL) UID 2:3 UNKEYWORD $Fetched"}, left: "[1 2 3 4 5]"},
		"flag not set":                            {d: fetch.Disposal{Action: fetch.Flag}, instead: map[string]string{"UID STORE": "%T OK x\r\n"}, said: []string{`UID STORE 2:3 +FLAGS.SILENT (\Seen)`, "UID SEARCH RETURN (ALL) UID 2:3 UNSEEN"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"flag not kept":                           {d: fetch.Disposal{Action: fetch.Flag, Target: `\Other`}, left: "[1 2 3 4 5]", kind: fetch.Unsupported},
		"keep":                                    {left: "[1 2 3 4 5]"},
		"EXPUNGE in STORE":                        {d: remove, instead: map[string]string{"UID STORE": strings.Repeat("* 1 EXPUNGE\r\n", 500) + "%T NO x\r\n"}, said: []string{store, "UID EXPUNGE 2:3"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"FETCH in EXPUNGE":                        {d: remove, instead: map[string]string{"UID STORE": strings.Repeat("* 1 FETCH (UID 2 FLAGS ())\r\n* 1 EXPUNGE\r\n", 500) + "%T OK x\r\n", "UID EXPUNGE": strings.Repeat("* 1 FETCH (UID 3 FLAGS ())\r\n", 500) + "%T OK x\r\n"}, said: []string{store, "UID EXPUNGE 2:3", "UID SEARCH RETURN (ALL) UID 2:3"}, left: "[1 2 3 4 5]", kind: fetch.Refused},
		"move, and the target is there":           {d: move, options: createFolders, said: []string{`UID MOVE 2:3 "Done"`}, left: "[1 4 5]", done: 2},
	} {
		t.Run(name, func(t *testing.T) {
			box := fakeserver.NewStore()
			box.Create("Done")
			fetchtest.Fill(box, 5)
			if !test.alone { // another client's: it must outlive everything
				box.Update("", 5, func(m *fakeserver.Message) { m.Flags = []string{`\Deleted`} })
			}
			for _, uid := range test.copied {
				box.Update("", uid, func(m *fakeserver.Message) { m.Flags = []string{`\Deleted`} })
			}
			said := &spoken{instead: test.instead}
			s := server(box)
			s.Without, s.Reply = test.without, said.reply
			s.Before = func(verb, _ string) string { return test.before[verb] }
			var log strings.Builder
			opts := plaintext()
			opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
			if test.options != nil {
				test.options(&opts)
			}
			c, refs := open(t, s, opts)
			failures, err := c.Settle(t.Context(), test.d, refs[1:3])
			if err != nil {
				t.Fatal(err)
			}
			if test.kind != 0 && len(failures) != 2 || test.kind == 0 && len(failures) != 0 {
				t.Errorf("failures: %v", failures)
			}
			words := log.String()
			for _, f := range failures {
				if fetch.KindOf(f.Err) != test.kind {
					t.Errorf("message %s: %v, want Kind %v", f.Ref.UID, f.Err, test.kind)
				}
				var e *fetch.Error
				if errors.As(f.Err, &e) {
					words += e.Error() + e.Advice
				}
			}
			if !strings.Contains(words, test.words) {
				t.Errorf("%q is not among %q", test.words, words)
			}
			if got := said.since(); !slices.Equal(got, test.said) {
				t.Errorf("the client sent %q, want %q", got, test.said)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
			if got := fmt.Sprint(box.UIDs("")); got != test.left || len(box.UIDs("Done")) != test.done {
				t.Errorf("left %s and %d in Done, want %s and %d", got, len(box.UIDs("Done")), test.left, test.done)
			}
		})
	}
}

// Nor does Settle touch it when it was told of the change by then.
func TestSettleAfterValidityChanged(t *testing.T) {
	box := fakeserver.NewStore()
	fetchtest.Fill(box, 3)
	said := &spoken{}
	s := server(box)
	s.Reply = said.reply
	s.Before = func(verb, _ string) string {
		if verb == "UID STORE" {
			return "* OK [UIDVALIDITY 2] changed\r\n"
		}
		return ""
	}
	c, refs := open(t, s, plaintext())
	if _, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Flag}, refs[:1]); fetch.KindOf(err) != fetch.Protocol {
		t.Errorf("Settle: got %v, want Kind protocol", err)
	}
	if _, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs); err == nil {
		t.Error("Settle went on")
	}
	if got := said.since(); len(got) != 1 {
		t.Errorf("the client sent %q", got)
	}
}

// TestSettleManyAtOnce has more commands and responses under way than the line holds: net.Pipe
// holds none. Whoever writes all before it reads waits for a server that waits as well.
func TestSettleManyAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		without []string
		d       fetch.Disposal
	}{
		"delete": {nil, fetch.Disposal{Action: fetch.Delete}},
		"move":   {nil, fetch.Disposal{Action: fetch.Move, Target: "Done"}},
		"copy":   {[]string{"MOVE"}, fetch.Disposal{Action: fetch.Move, Target: "Done"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				box := fakeserver.NewStore()
				box.Create("Done")
				fetchtest.Fill(box, manySettled)
				s := server(box)
				s.Without = test.without
				near, far := net.Pipe()
				var wg sync.WaitGroup
				wg.Go(func() { s.Serve(far) })
				defer wg.Wait()
				c, err := New(t.Context(), near, plaintext())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Abort()
				listing, err := c.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				var odd []fetch.Ref // a set of its own for each 1,300 of them
				for i := 0; i < len(listing.Refs); i += 2 {
					odd = append(odd, listing.Refs[i])
				}
				if failures, err := c.Settle(t.Context(), test.d, odd); err != nil || len(failures) > 0 || len(box.UIDs("")) != manySettled/2 {
					t.Errorf("%d failures, %v, %d left", len(failures), err, len(box.UIDs("")))
				}
			})
		})
	}
}

// A server that gives no UIDVALIDITY, or says that UIDs do not last (RFC 4315 section 2),
// has every UID doubted in another session; any other has not.
func TestReusable(t *testing.T) {
	for code, want := range map[string]bool{
		"* OK [UIDVALIDITY 5] x\n": false, "* OK [UIDVALIDITY 5] x\nS: * NO [UIDNOTSTICKY] x\n": true, "* OK x\n": true,
		"* OK [UIDVALIDITY 0] x\n": true,
	} {
		_, listing, err := play(t, strings.Replace(begin, "* OK [UIDVALIDITY 5] x\n", code, 1))
		if err != nil {
			t.Fatal(err)
		}
		if listing.Reusable != want {
			t.Errorf("%q: Reusable is %v, want %v", code, listing.Reusable, want)
		}
	}
}

// TestSettleAfterFailedOpen: the server may have another folder open than the one whose refs these are,
// and there their UIDs name other messages.
func TestSettleAfterFailedOpen(t *testing.T) {
	c, listing, err := play(t, begin+`
C: T4 SELECT "Other"
C: T5 UID SEARCH RETURN (ALL) ALL
S: * OK [UIDVALIDITY 5] x
S: T4 OK [READ-WRITE] x
S: T5 NO not now
C: T6 UID SEARCH RETURN (ALL) ALL
S: T6 NO not now
hangup`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), "Other"); fetch.KindOf(err) != fetch.Refused {
		t.Fatalf("Open: got %v, want Kind refused", err)
	}
	if _, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); fetch.KindOf(err) != fetch.NoFolder {
		t.Errorf("Settle: got %v, want Kind no-folder", err)
	}
	if err := c.Retrieve(t.Context(), listing.Refs, nil); fetch.KindOf(err) != fetch.NoFolder {
		t.Errorf("Retrieve: got %v, want Kind no-folder", err)
	}
}

// TestOpenForgets: what the server said of one folder does not hold for the next.
func TestOpenForgets(t *testing.T) {
	c, first, err := play(t, strings.NewReplacer("READ-WRITE", "READ-ONLY", "S: * 1 EXISTS", "S: * NO [UIDNOTSTICKY] x\nS: * 1 EXISTS").Replace(begin)+`
C: T4 SELECT "Other"
C: T5 UID SEARCH RETURN (ALL) ALL
S: * OK [UIDVALIDITY 6] x
S: T4 OK [READ-WRITE] x
S: * ESEARCH (TAG "T5") UID ALL 7
S: T5 OK x
C: T6 SELECT "Third"
C: T7 UID SEARCH RETURN (ALL) ALL
S: T6 OK x
S: T7 OK no result
hangup`)
	if err != nil || !first.ReadOnly || !first.Reusable {
		t.Fatalf("the first: %+v, %v", first, err)
	}
	second, err := c.Open(t.Context(), "Other")
	if err != nil || second.ReadOnly || second.Reusable || second.Validity != 6 {
		t.Errorf("the second: %+v, %v", second, err)
	}
	if third, err := c.Open(t.Context(), "Third"); fetch.KindOf(err) != fetch.Protocol {
		t.Errorf("the third: %+v, %v; want Kind protocol", third, err)
	}
}

func TestTargets(t *testing.T) {
	c, refs := open(t, server(fakeserver.NewStore()), plaintext())
	refs = append(refs, fetch.Ref{Folder: "INBOX", Validity: 1, UID: "1", Seq: 1})
	for _, d := range []fetch.Disposal{
		{Action: fetch.Move}, {Action: fetch.Move, Target: "a\r\nT9 EXPUNGE"}, {Action: fetch.Flag, Target: "a b"},
		{Action: fetch.Flag, Target: `\`}, {Action: fetch.Flag, Target: "a)"}, {Action: fetch.Flag, Target: "a\r\n"}, {Action: 99},
	} {
		if _, err := c.Settle(t.Context(), d, refs); fetch.KindOf(err) != fetch.Unsupported {
			t.Errorf("%+v: got %v, want Kind unsupported", d, err)
		}
	}
	if _, err := c.Open(t.Context(), "a\r\nT9 EXPUNGE"); fetch.KindOf(err) != fetch.NoFolder {
		t.Errorf("a folder of two lines: %v", err)
	}
}

// Names go out as IMAP4rev1 wants them and come to the right folder.
func TestFolderNames(t *testing.T) {
	for name, wire := range map[string]string{
		"../../etc": `"../../etc"`, "Entwürfe": `"Entw&APw-rfe"`, "a \"b\" \\c": `"a \"b\" \\c"`, "*": `"*"`, "a&b": `"a&-b"`, "inbox": "INBOX",
	} {
		said := &spoken{}
		s := server(fakeserver.NewStore())
		s.Capabilities, s.Reply = []string{"IMAP4rev2"}, said.reply
		c := dial(t, s, plaintext())
		_, _ = c.Open(t.Context(), name)
		if got := said.commands[2]; got != "SELECT "+wire {
			t.Errorf("%q: the client sent %q, want %q", name, got, "SELECT "+wire)
		}
		c.Abort()
	}
}

func TestWatch(t *testing.T) {
	box := fakeserver.NewStore()
	fetchtest.Fill(box, 2)
	c, _ := open(t, server(box), plaintext())
	if !c.CanWatch() {
		t.Fatal("the server offers IDLE")
	}
	if arrived, err := c.Watch(t.Context(), 10*time.Millisecond); arrived || err != nil {
		t.Errorf("nothing came: %v, %v", arrived, err)
	}
	box.Remove("", 1) // no news
	if arrived, err := c.Watch(t.Context(), 10*time.Millisecond); arrived || err != nil {
		t.Errorf("a message went: %v, %v", arrived, err)
	}
	box.Add("", []byte("x"))
	if arrived, err := c.Watch(t.Context(), time.Minute); !arrived || err != nil {
		t.Errorf("a message came: %v, %v", arrived, err)
	}
	if listing, err := c.Open(t.Context(), ""); err != nil || len(listing.Refs) != 2 {
		t.Errorf("after IDLE: %v, %v", listing, err)
	}
}

// IDLE is renewed within 29 minutes, survives silence, ends with the connection
// and with its context.
func TestWatchLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := strings.Replace(begin, "UIDPLUS ESEARCH] in", "ESEARCH IDLE] in", 1)
		for tag := 4; tag < 10; tag += 2 {
			script += fmt.Sprintf("C: T%d IDLE\nS: + idling\nC: DONE\nS: T%[1]d OK x\nC: T%d NOOP\nS: T%[2]d OK x\n", tag, tag+1)
		}
		c, _, err := play(t, script+"C: T10 IDLE\nS: + idling\nS: * OK still here\nS: * BYE x\nclose")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		arrived, err := c.Watch(t.Context(), time.Hour)
		if took := time.Since(begun); arrived || err != nil || took < time.Hour || took > time.Hour+time.Second {
			t.Errorf("got %v, %v after %v", arrived, err, took)
		}
		if arrived, err := c.Watch(t.Context(), time.Hour); arrived || fetch.KindOf(err) != fetch.Unreachable {
			t.Errorf("after BYE: %v, %v; want Kind unreachable", arrived, err)
		}
		c, _, err = play(t, strings.Replace(begin, "UIDPLUS ESEARCH] in", "ESEARCH IDLE] in", 1)+
			"C: T4 IDLE\nS: + idling\nS: * OK [UIDVALIDITY 6] x\nC: DONE\nS: T4 OK x\nhangup")
		if err != nil {
			t.Fatal(err)
		}
		if arrived, err := c.Watch(t.Context(), time.Minute); arrived || fetch.KindOf(err) != fetch.Protocol {
			t.Errorf("UIDVALIDITY changed: %v, %v; want Kind protocol", arrived, err)
		}
		c, _, err = play(t, strings.Replace(begin, "UIDPLUS ESEARCH] in", "ESEARCH IDLE] in", 1)+"C: T4 IDLE\nS: + idling\nsilence")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Watch(ctx, time.Hour); err != context.DeadlineExceeded {
			t.Errorf("cancelled: got %v", err)
		}
	})
}

// TestWatchWithoutAnnouncements: a server without IDLE is asked every minute; so is one that refuses IDLE or announces nothing in it twice, from
// then on. Mail that comes while IDLE is renewed shows nothing.
func TestWatchWithoutAnnouncements(t *testing.T) {
	for name, c := range map[string]struct {
		without bool
		script  string
		tells   bool
		times   int // that mail arrives
	}{
		"no IDLE":                       {true, "C: T4 NOOP\nS: T4 OK x\nC: T5 NOOP\nS: * 9 EXISTS\nS: T5 OK x\nC: T6 NOOP\nS: * 10 EXISTS\nS: T6 OK x\n", false, 2},
		"silent IDLE":                   {false, "C: T4 IDLE\nS: + idling\nC: DONE\nS: T4 OK x\nC: T5 NOOP\nS: * 9 EXISTS\nS: T5 OK x\nC: T6 IDLE\nS: + idling\nC: DONE\nS: T6 OK x\nC: T7 NOOP\nS: * 10 EXISTS\nS: T7 OK x\nC: T8 NOOP\nS: * 11 EXISTS\nS: T8 OK x\n", true, 3},
		"mail came during one renewal":  {false, "C: T4 IDLE\nS: + idling\nC: DONE\nS: T4 OK x\nC: T5 NOOP\nS: * 9 EXISTS\nS: T5 OK x\nC: T6 IDLE\nS: + idling\nS: * 10 EXISTS\nC: DONE\nS: T6 OK x\nC: T7 IDLE\nS: + idling\nC: DONE\nS: T7 OK x\nC: T8 NOOP\nS: * 11 EXISTS\nS: T8 OK x\n", false, 3},
		"IDLE is offered and refused":   {false, "C: T4 IDLE\nS: T4 NO not for this account\nC: T5 NOOP\nS: * 9 EXISTS\nS: T5 OK x\nC: T6 NOOP\nS: * 10 EXISTS\nS: T6 OK x\n", true, 2},
		"IDLE is offered and not known": {false, "C: T4 IDLE\nS: T4 BAD unknown command\nC: T5 NOOP\nS: T5 OK x\nC: T6 NOOP\nS: * 9 EXISTS\nS: T6 OK x\nC: T7 NOOP\nS: * 10 EXISTS\nS: T7 OK x\n", true, 2},
		"announced with the end of IDLE": {false, "C: T4 IDLE\nS: + idling\nC: DONE\nS: * 9 EXISTS\nS: T4 OK x\nC: T5 NOOP\nS: T5 OK x\n" +
			"C: T6 IDLE\nS: + idling\nC: DONE\nS: * 10 EXISTS\nS: T6 OK x\nC: T7 NOOP\nS: T7 OK x\nC: T8 NOOP\nS: * 11 EXISTS\nS: T8 OK x\n", true, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := begin
				if !c.without {
					begin = strings.Replace(begin, "UIDPLUS ESEARCH] in", "ESEARCH IDLE] in", 1)
				}
				var log strings.Builder
				opts := plaintext()
				opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
				client, err := New(t.Context(), fetchtest.Play(t, begin+c.script+"hangup"), opts)
				if err != nil {
					t.Fatal(err)
				}
				defer client.Abort()
				if _, err := client.Open(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				for range c.times {
					if arrived, err := client.Watch(t.Context(), 9*time.Minute); !arrived || err != nil {
						t.Errorf("got %v, %v", arrived, err)
					}
				}
				if told := strings.Count(log.String(), "every minute"); (told == 1) != c.tells {
					t.Errorf("told %d times: %s", told, &log)
				}
			})
		})
	}
}

// TestWatchAfterQuestion: mail that arrived before Settle asked what had gone is not in that answer, and
// so is news to Watch.
func TestWatchAfterQuestion(t *testing.T) {
	box := fakeserver.NewStore()
	fetchtest.Fill(box, 3)
	said := &spoken{}
	s := server(box)
	s.Reply, s.Spare = said.reply, func(uint32) bool { return true }
	c, refs := open(t, s, plaintext())
	box.Add("", []byte("Subject: new\r\n\r\n"))
	if failures, err := c.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs[:1]); err != nil || len(failures) != 1 {
		t.Fatalf("Settle: %v, %v", failures, err)
	}
	if got := said.since(); got[len(got)-1] != "UID SEARCH RETURN (ALL) UID 1" {
		t.Fatalf("the client sent %q", got)
	}
	if arrived, err := c.Watch(t.Context(), time.Minute); !arrived || err != nil {
		t.Errorf("a message had come: %v, %v", arrived, err)
	}
}
