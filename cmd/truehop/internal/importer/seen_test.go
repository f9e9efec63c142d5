package importer

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

// getmailIMAP is a getmailrc of these folders.
func getmailIMAP(mailboxes string) string {
	return "[retriever]\ntype = SimpleIMAPSSLRetriever\nserver = h\nusername = u\npassword = p\n" + mailboxes + "\n[destination]\ntype = Mboxrd\npath = /x\n"
}

// TestRecordThatAPersonNames: it is of the folder that the program fetches from, and of one. Where there may be several, the import
// stops and says what to do.
func TestRecordThatAPersonNames(t *testing.T) {
	const local = "Inbox ~/Maildir\nPath ~/Mail/\nSubFolders Verbatim"
	mbsync := func(channel string) string { return string(mbsyncrc(`Path ""`, local, channel)) }
	for name, c := range map[string]struct {
		kind, text string
		want       string // the folders, or what the error says
	}{
		"mbsync, the inbox":      {"mbsyncrc", mbsync("Far :r:\nNear :l:Work"), "INBOX: 4"},
		"mbsync, a folder":       {"mbsyncrc", mbsync("Far :r:\"[Gmail]/Sent Mail\"\nNear :l:Sent"), "[Gmail]/Sent Mail: 4"},
		"mbsync, patterns":       {"mbsyncrc", mbsync("Far :r:\nNear :l:\nPatterns INBOX"), "rc:15:1: --seen FILE is the record of one folder"},
		"mbsync, two channels":   {"mbsyncrc", mbsync("Far :r:\nNear :l:\n\nChannel d\nFar :r:d\nNear :l:d"), "rc:16:1: --seen FILE is the record of one folder"},
		"getmail, the inbox":     {"getmailrc", getmailIMAP(""), "INBOX: 4"},
		"getmail, a folder":      {"getmailrc", getmailIMAP(`mailboxes = ("Sent",)`), "Sent: 4"},
		"getmail, two folders":   {"getmailrc", getmailIMAP(`mailboxes = ("INBOX", "Sent")`), "rc:6:1: --seen FILE is the record of one folder"},
		"getmail, all":           {"getmailrc", getmailIMAP("mailboxes = ALL"), "in place of ALL"},
		"getmail, all as a list": {"getmailrc", getmailIMAP(`mailboxes = ("ALL",)`), "in place of ALL"},
		"fetchmail, two users":   {"fetchmailrc", "poll h proto pop3 user u pass p ssl user v pass q ssl", ": x|: y"},
	} {
		record := "9/4\x001700000000\n"
		switch c.kind {
		case "mbsyncrc":
			record = "FarUidValidity 9\nNearUidValidity 8\n\n4 1 \n"
		case "fetchmailrc":
			record = "u@h x\nv@h y\n"
		}
		o := options(map[string]string{"/record": record})
		o.Seen = "/record"
		plan, err := Read(c.kind, "rc", []byte(c.text), o)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
			continue
		}
		var got []string
		for _, a := range plan.Accounts {
			for _, k := range a.Known {
				got = append(got, k.Folder+": "+strings.Join(k.UIDs, ","))
			}
		}
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s: %q, want %s", name, got, c.want)
		}
	}
	o := options(nil)
	o.Seen = "/record"
	plan, err := Read("mbsyncrc", "rc", []byte(mbsync("Far :r:\nNear :l:")), o)
	if err != nil || !plan.Accounts[0].Missing || strings.Join(plan.Accounts[0].StateFiles, ",") != "/record" {
		t.Errorf("a named record that is not there: %v, %+v", err, plan.Accounts[0])
	}
}

// TestCureForAMissingRecord: --seen FILE is not advised where it would be refused.
func TestCureForAMissingRecord(t *testing.T) {
	const local = "Inbox ~/Maildir\nPath ~/Mail/"
	for name, c := range map[string]struct {
		kind, text string
		several    bool
		want       string
	}{
		"one":                      {"fetchmailrc", "poll h proto pop3 user u pass p ssl keep", false, "name it with --seen FILE"},
		"one of several files":     {"fetchmailrc", "poll h proto pop3 user u pass p ssl keep", true, "put it there"},
		"mbsync":                   {"mbsyncrc", string(mbsyncrc("", local, "Far :r:\nNear :l:")), false, "name it with --seen FILE"},
		"mbsync, patterns":         {"mbsyncrc", string(mbsyncrc("", local, "Far :r:\nNear :l:\nPatterns *")), false, "put it there or correct SyncState in the file"},
		"mbsync, several files":    {"mbsyncrc", string(mbsyncrc("", local, "Far :r:\nNear :l:")), true, "put it there or correct SyncState in the file"},
		"getmail, one folder":      {"getmailrc", getmailIMAP(""), false, "name it with --seen FILE"},
		"getmail, two folders":     {"getmailrc", getmailIMAP(`mailboxes = ("INBOX", "Sent")`), false, "put it there"},
		"getmail, all":             {"getmailrc", getmailIMAP("mailboxes = ALL"), false, "name the folders in place of ALL in mailboxes, for each has a record of its own"},
		"getmail, several, all":    {"getmailrc", getmailIMAP("mailboxes = ALL"), true, "name the folders in place of ALL in mailboxes, for each has a record of its own"},
		"getmail, POP3, several":   {"getmailrc", strings.Replace(getmailIMAP(""), "IMAP", "POP3", 1), true, "put it there"},
		"mpop":                     {"mpoprc", "account a\nhost h\nuser u\npassword p\ntls on\nkeep on\n", false, "name it with --seen FILE"},
		"mbsync, several channels": {"mbsyncrc", string(mbsyncrc("", local, "Far :r:\nNear :l:\n\nChannel d\nFar :r:d\nNear :l:d")), false, "put it there or correct SyncState in the file"},
	} {
		o := options(nil)
		o.Several = c.several
		plan, err := Read(c.kind, "rc", []byte(c.text), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if a := plan.Accounts[0]; !a.Missing || plan.Cure(a) != c.want {
			t.Errorf("%s: missing %v, %q, want %q", name, a.Missing, plan.Cure(a), c.want)
		}
		// The same of a record that cannot be read.
		o.ReadFile = func(path string) ([]byte, error) {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
		}
		o.ReadDir = func(string) ([]string, error) { return []string{":r:INBOX_:l:INBOX"}, nil }
		advised := strings.Contains(c.want, "--seen FILE")
		var wrong *Error
		_, err = Read(c.kind, "rc", []byte(c.text), o)
		switch {
		case strings.Contains(c.text, "ALL"): // no record is looked for
		case !errors.As(err, &wrong) || !strings.HasPrefix(wrong.Text, "cannot be read: permission denied; "):
			t.Errorf("%s: a record that is closed: %v", name, err)
		case strings.Contains(wrong.Text, "--seen FILE") != advised || !strings.Contains(wrong.Text, "--seen none"):
			t.Errorf("%s: a record that is closed is told as %s", name, wrong.Text)
		}
	}
}

// TestNoRecordPassesOverOneThatCannotBeUsed: --seen none is what the error advises, and it helps.
func TestNoRecordPassesOverOneThatCannotBeUsed(t *testing.T) {
	o := options(map[string]string{"/home/me/.mbsync/:r:INBOX_:l:INBOX": "FarUidValidity 9\nMaxPulledUid 4000000\nMaxExpiredFarUid 5\n\n"})
	text := mbsyncrc("", "Inbox ~/Maildir", "Far :r:\nNear :l:")
	if _, err := Read("mbsyncrc", "rc", text, o); err == nil || !strings.Contains(err.Error(), "say --seen none") {
		t.Errorf("without it: %v", err)
	}
	o.Seen = NoState
	plan, err := Read("mbsyncrc", "rc", text, o)
	if err != nil {
		t.Fatal(err)
	}
	if report := string(plan.Report("")); len(plan.Accounts[0].Known) != 0 || !strings.Contains(report, ":r:INBOX_:l:INBOX is passed over") || !strings.Contains(report, "truehop adopt c") {
		t.Errorf("%+v\n%s", plan.Accounts[0], report)
	}
}
