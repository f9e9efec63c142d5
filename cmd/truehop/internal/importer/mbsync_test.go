package importer

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// mbsyncrc is a file with one channel: the IMAP store r, the maildir store l and the channel c, each with further lines.
func mbsyncrc(store, maildir, channel string) []byte {
	return fmt.Appendf(nil, "IMAPStore r\nHost h\nUser u\nPass p\n%s\n\nMaildirStore l\n%s\n\nChannel c\n%s\n", store, maildir, channel)
}

// TestFoldersThatPatternsOfMbsyncChoose: the inbox is below an empty Path, a Path that is the inbox itself, and a maildir store's Path
// that has the inbox in it. Of several patterns the last that fits decides.
func TestFoldersThatPatternsOfMbsyncChoose(t *testing.T) {
	const apart, within, plusplus = "Inbox ~/Maildir\nPath ~/Mail/", "Inbox ~/Mail/INBOX\nPath ~/Mail/", "Inbox ~/Mail\nSubFolders Maildir++"
	for _, c := range []struct {
		store, maildir, patterns string
		want, told               string
	}{
		{"", apart, "*", `["*"]`, ""},
		{"", apart, "%", `["%"]`, ""},
		{`Path ""`, apart, "*", `["*"]`, ""},
		{"UseNamespace no", apart, "*", `["*"]`, ""},
		{"Path INBOX.", apart, "*", `[INBOX, "INBOX.*"]`, ""},
		{"Path inbox/", apart, "%", `[INBOX, "inbox/%"]`, ""},
		{"Path INBOX.", apart, "* !INBOX", `["INBOX.*"]`, ""},
		{"Path INBOX.", apart, "Lists/*", `["INBOX.Lists/*"]`, ""},
		{"Path INBOX.\nPathDelimiter .", apart, "Lists/*", `["INBOX.Lists.*"]`, ""},
		{"Path INBOXES/", apart, "*", `["INBOXES/*"]`, ""},
		{"Path Mail/", apart, "*", `["Mail/*"]`, ""},
		{"Path Mail/\nPathDelimiter .", apart, "* !Lists/go", `["Mail/*", "!Mail/Lists.go"]`, ""},
		{"Path Mail/", apart, "* INBOX", `["Mail/*", INBOX]`, ""},
		{"Path Mail/", apart, "INBOX* Lists", `["INBOX*", Mail/Lists]`, ""},
		{"Path Mail/", within, "*", `[INBOX, "Mail/*"]`, ""},
		{"Path Mail/", plusplus, "*", `[INBOX, "Mail/*"]`, ""},
		{"", apart, "* !INBOX", `["*", "!INBOX"]`, ""},
		{"", apart, "* !I*", `["*", "!I*"]`, ""},
		{"Flatten .", apart, "Lists/*", `["Lists.*"]`, ""},
		// What decides.
		{"", apart, "!Trash *", `["*"]`, `mbsync passes over "!Trash", for "*" stands behind it`},
		{"", apart, "!INBOX *", `["*"]`, `mbsync passes over "!INBOX"`},
		{"Path Mail/", apart, "!INBOX *", `["Mail/*"]`, ""},
		{"", apart, "!Trash * !Trash", `["*", "!Trash"]`, ""},
		{"", apart, "INBOX Trash !Trash", "[INBOX]", ""},
		{"", apart, "* !Lists/* Lists/go", `["*", "!Lists/*", Lists/go]`, ""},
		{"", apart, "* !Lists/* Lists/go*", `["*", "!Lists/*", "Lists/go*"]`, `mbsync takes what fits "Lists/go*" out of "!Lists/*"`},
		{"", apart, "% !Sent* Archive/*", `["%", "!Sent*", "Archive/*"]`, ""},
		{"", apart, "* * INBOX INBOX", `["*", INBOX]`, ""},
	} {
		plan, err := Read("mbsyncrc", "rc", mbsyncrc(c.store, c.maildir, "Far :r:\nNear :l:\nPatterns "+c.patterns), options(nil))
		if err != nil {
			t.Errorf("%s, %s: %v", c.store, c.patterns, err)
			continue
		}
		report := string(plan.Report(""))
		told := strings.Contains(report, c.told)
		if c.told == "" {
			told = !strings.Contains(report, "mbsync passes over") && !strings.Contains(report, "mbsync takes")
		}
		if !strings.Contains(string(plan.YAML()), "    folders: "+c.want+"\n") || !told {
			t.Errorf("%q, %q, %s: %v, want %s, and told %q:\n%s", c.store, c.maildir, c.patterns, plan.Accounts[0].keys, c.want, c.told, report)
		}
	}
	plan, err := Read("mbsyncrc", "rc", mbsyncrc("Path Mail/", apart, "Far :r:Work/\nNear :l:\nPatterns INBOX * !INBOX/x"), options(nil))
	if err != nil || !strings.Contains(string(plan.YAML()), `folders: [Mail/Work/INBOX, "Mail/Work/*", "!Mail/Work/INBOX/x"]`) {
		t.Errorf("below a folder: %v\n%s", err, plan.YAML())
	}
}

// TestWhatMbsyncFetchedIsTheServersFolder: the record has the name that the server has for a folder, whatever its name is in the maildir
// store and in the name of the state file.
func TestWhatMbsyncFetchedIsTheServersFolder(t *testing.T) {
	const state, apart, below = "FarUidValidity 9\nNearUidValidity 8\n\n4 1 \n", "Inbox ~/Maildir\nPath ~/Mail/", "\nSubFolders Verbatim"
	const home, shared = "/home/me/", "/home/me/.mbsync/:r:"
	for name, c := range map[string]struct {
		store, maildir, channel string
		files                   []string
		want                    string
	}{
		"one folder":                          {"", apart, "Far :r:Sent\nNear :l:Gesendet", []string{shared + "Sent_:l:Gesendet"}, "Sent"},
		"one folder, the maildir at the far":  {"", apart, "Far :l:Gesendet\nNear :r:Sent\nSyncState ~/s/", []string{home + "s/Sent"}, "Sent"},
		"one folder, in the maildir":          {"", apart, "Far :r:\"[Gmail]/Sent Mail\"\nNear :l:Sent\nSyncState *", []string{home + "Mail/Sent/.mbsyncstate"}, "[Gmail]/Sent Mail"},
		"one folder, by its own prefix":       {"", apart, "Far :r:\"[Gmail]/Sent Mail\"\nNear :l:Sent\nSyncState ~/s-", []string{home + "s-Sent"}, "[Gmail]/Sent Mail"},
		"the inbox as a folder":               {"", apart, "Far :r:\nNear :l:Work\nSyncState *", []string{home + "Mail/Work/.mbsyncstate"}, "INBOX"},
		"a folder as the inbox":               {"", apart, "Far :r:Work\nNear :l:\nSyncState *", []string{home + "Maildir/.mbsyncstate"}, "Work"},
		"one below another, Legacy":           {"", apart + "\nSubFolders Legacy", "Far :r:a\nNear :l:b/c\nSyncState *", []string{home + "Mail/b/.c/.mbsyncstate"}, "a"},
		"one below another, Maildir++":        {"", "Inbox ~/Maildir\nSubFolders Maildir++", "Far :r:a\nNear :l:b/c\nSyncState *", []string{home + "Maildir/.b.c/.mbsyncstate"}, "a"},
		"one below the inbox, Maildir++":      {"", "Inbox ~/Maildir\nSubFolders Maildir++", "Far :r:a\nNear :l:INBOX/b\nSyncState *", []string{home + "Maildir/..b/.mbsyncstate"}, "a"},
		"another delimiter of fields":         {"", apart, "Far :r:a\nNear :l:b", []string{home + ".mbsync/;r;a_;l;b"}, "a"},
		"patterns, in one place for all":      {"", apart + below, "Far :r:Lists/\nNear :l:L/\nPatterns *", []string{shared + "Lists!go_:l:L!go", shared + "Lists!c!d_:l:L!c!d"}, "Lists/c/d|Lists/go"},
		"patterns, the maildir at the far":    {"", apart + below, "Far :l:L/\nNear :r:Lists/\nPatterns *", []string{home + ".mbsync/:l:L!go_:r:Lists!go"}, "Lists/go"},
		"patterns, by a prefix":               {"", apart + below, "Far :r:Lists/\nNear :l:L/\nPatterns *\nSyncState ~/s-", []string{home + "s-L!go", home + "s-other"}, "Lists/go"},
		"patterns, flat maildirs":             {"", apart + "\nFlatten .", "Far :r:\nNear :l:\nPatterns *\nSyncState ~/s/", []string{home + "s/INBOX", home + "s/Lists.go", home + "s/a!b"}, "INBOX|Lists/go|a!b"},
		"patterns, a prefix of the server's":  {"Path INBOX.\nPathDelimiter .", apart + below, "Far :r:\nNear :l:\nPatterns *\nSyncState ~/s/", []string{home + "s/INBOX", home + "s/Lists!go"}, "INBOX|INBOX.Lists.go"},
		"patterns, flat at the server":        {"Flatten .", apart + below, "Far :r:\nNear :l:\nPatterns *\nSyncState ~/s/", []string{home + "s/Lists!go"}, "Lists.go"},
		"patterns, in the maildirs":           {"", apart + below, "Far :r:R/\nNear :l:\nPatterns *\nSyncState *", []string{home + "Mail/Lists/go/.mbsyncstate", home + "Mail/Lists/go/cur/1", home + "Mail/.uidvalidity"}, "R/Lists/go"},
		"patterns, below a maildir":           {"", apart + below, "Far :r:R/\nNear :l:Lists/\nPatterns *\nSyncState *", []string{home + "Mail/Lists/go/.mbsyncstate", home + "Mail/Other/.mbsyncstate"}, "R/go"},
		"patterns, the inbox in the maildirs": {"", "Inbox ~/Mail/in\nPath ~/Mail/" + below, "Far :r:\nNear :l:\nPatterns *\nSyncState *", []string{home + "Mail/in/.mbsyncstate", home + "Mail/in/x/.mbsyncstate", home + "Mail/y/.mbsyncstate"}, "INBOX|INBOX/x|y"},
		"patterns, Legacy":                    {"", apart + "\nSubFolders Legacy", "Far :r:\nNear :l:\nPatterns *\nSyncState *", []string{home + "Mail/top/.sub/.mbsyncstate", home + "Mail/.no/.mbsyncstate", home + "Maildir/.x/.mbsyncstate"}, "INBOX/x|top/sub"},
		"patterns, Maildir++": {"", "Inbox ~/Maildir\nSubFolders Maildir++", "Far :r:\nNear :l:\nPatterns *\nSyncState *",
			[]string{home + "Maildir/.mbsyncstate", home + "Maildir/.Lists.go/.mbsyncstate", home + "Maildir/..x/.mbsyncstate", home + "Maildir/.Lists.go/.deeper/.mbsyncstate", home + "other/.mbsyncstate"}, "INBOX|INBOX/x|Lists/go"},
	} {
		files := map[string]string{}
		for _, file := range c.files {
			files[file] = state
		}
		text := mbsyncrc(c.store, c.maildir, c.channel)
		if name == "another delimiter of fields" {
			text = append([]byte("FieldDelimiter ;\n\n"), text...)
		}
		if strings.Contains(name, "maildir at the far") {
			files = map[string]string{c.files[0]: "FarUidValidity 8\nNearUidValidity 9\n\n1 4 \n"}
		}
		o := options(files)
		read := o.ReadDir
		o.ReadDir = func(dir string) ([]string, error) {
			if dir == "/home/me" {
				t.Errorf("%s: the whole home directory is looked through", name)
			}
			return read(dir)
		}
		plan, err := Read("mbsyncrc", "rc", text, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		known := map[string]bool{}
		for _, k := range plan.Accounts[0].Known {
			known[k.Folder] = k.Validity == 9 && slices.Equal(k.UIDs, []string{"4"})
		}
		all := func() bool {
			return !slices.Contains(slices.Collect(maps.Values(known)), false)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(known)), "|"); got != c.want || !all() {
			t.Errorf("%s: recorded is %s, want %s; looked for in %v", name, got, c.want, plan.Accounts[0].StateFiles)
		}
	}
}

// TestMaildirStoreWithPlainFiles: what is no directory is no mailbox.
func TestMaildirStoreWithPlainFiles(t *testing.T) {
	o := options(map[string]string{"/home/me/Mail/.uidvalidity": "1\n2\n"})
	o.ReadFile = func(path string) ([]byte, error) {
		if strings.HasSuffix(path, ".uidvalidity/.mbsyncstate") {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("not a directory")}
		}
		return nil, fs.ErrNotExist
	}
	if _, err := Read("mbsyncrc", "rc", mbsyncrc("", "Inbox ~/Maildir\nPath ~/Mail/", "Far :r:\nNear :l:\nPatterns *\nSyncState *"), o); err != nil {
		t.Error(err)
	}
}
