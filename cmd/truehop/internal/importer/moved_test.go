package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestPluginKeepsTLS: fetchmail begins TLS behind a plugin as well, unless it was told not to.
func TestPluginKeepsTLS(t *testing.T) {
	const plugin = `poll h proto imap plugin "/usr/bin/nc -x proxy:1080 %h %p" `
	for rest, want := range map[string]string{
		"user u is a here pass p sslproto tls1.3+ sslcertfile /ca": "tls: starttls tls_ca_file: /ca tls_min_version: \"1.3\"",
		"user u is a here pass p":                                  "tls: starttls",
		"user u is a here pass p ssl":                              "tls: implicit",
		"user u is a here pass p sslproto ''":                      "tls: none",
		"auth ssh user u is a here pass p":                         "tls: none",
	} {
		plan, err := Read("fetchmailrc", "rc", []byte(plugin+rest), options(nil))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(string(plan.YAML())) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "tls") {
				got = append(got, line)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", rest, got, want)
		}
	}
}

// TestNoRecordExcusesWhatIsMissingAlone: where one account of a file was never fetched, what was fetched of the others counts.
func TestNoRecordExcusesWhatIsMissingAlone(t *testing.T) {
	o := options(map[string]string{"/home/me/old": "pop.example.net\nu\n2\nx\ny\n"})
	o.Seen = NoState
	const account = "account %s\nhost pop.example.net\nuser %s\npassword p\ntls on\nkeep on\nuidls_file ~/%s\n"
	plan, err := Read("mpoprc", "rc", fmt.Appendf(nil, account+account, "old", "u", "old", "fresh", "v", "fresh"), o)
	if err != nil {
		t.Fatal(err)
	}
	old, fresh := plan.Accounts[0], plan.Accounts[1]
	if old.Missing || len(old.Known) == 0 || !fresh.Missing || len(fresh.Known) != 0 {
		t.Errorf("old: %+v\nfresh: %+v", old, fresh)
	}
}

// TestSameAccountOfMpop: the default is often another one by a second name.
func TestSameAccountOfMpop(t *testing.T) {
	plan, err := Read("mpoprc", "rc", []byte("account freemail\nhost pop.example.net\nuser u\npassword p\ntls on\n\naccount default : freemail\n"), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Accounts) != 1 || !strings.Contains(string(plan.Report("")), `"freemail" again`) {
		t.Errorf("%d accounts:\n%s", len(plan.Accounts), plan.YAML())
	}
}

// TestIndentedGetmailrc: a line goes on only where it is indented deeper than the key, as Python has it.
func TestIndentedGetmailrc(t *testing.T) {
	const text = "[retriever]\n  type = SimpleIMAPSSLRetriever\n  server = h\n  username = u\n  password = p\n  mailboxes = (\"INBOX\",\n    \"Lists\")\n [destination]\n type = Mboxrd\n path = /x\n[options]\n\tdelete = true\n\tmax_message_size = 2048\n"
	plan, err := Read("getmailrc", "/home/me/.getmail/rc", []byte(text), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"host: h", "user: u", "folders: [INBOX, Lists]", "on_delivered: delete", "max_size: 2KiB"} {
		if !strings.Contains(string(plan.YAML()), want) {
			t.Errorf("%s is missing:\n%s", want, plan.YAML())
		}
	}
}

// TestDomainsOfMultidrop: the name of the server, aka and localdomains count together.
func TestDomainsOfMultidrop(t *testing.T) {
	plan, err := Read("fetchmailrc", "rc", []byte("poll mail.isp.example proto imap aka isp2.example localdomains example.org envelope X-Envelope-To user u pass p to * here ssl"), options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(plan.YAML()) + string(plan.Report("")); !strings.Contains(text, "recipient_domains: [example.org, isp2.example, mail.isp.example, isp.example]") || !strings.Contains(text, "subdomains") {
		t.Error(text)
	}
}

// TestMbsyncThatExpiresMessages: with MaxMessages what has no line any more was fetched all the same.
func TestMbsyncThatExpiresMessages(t *testing.T) {
	for head, want := range map[string]string{
		"MaxPulledUid 6\nMaxExpiredFarUid 3\n": "1 2 3 4 5 6 7",
		"MaxPulledUid 6\nMaxExpiredFarUid 0\n": "4 5 7",
		"MaxPulledUid 6\n":                     "4 5 7",
	} {
		k, err := mbsyncState("f", []byte("FarUidValidity 9\nNearUidValidity 1\n"+head+"MaxPushedUid 5\n\n4 1 \n5 2 S\n7 3 \n"), true)
		slices.SortFunc(k.UIDs, func(a, b string) int { x, _ := strconv.Atoi(a); y, _ := strconv.Atoi(b); return x - y })
		if err != nil || strings.Join(k.UIDs, " ") != want {
			t.Errorf("%q: %v, %v, want %s", head, k.UIDs, err, want)
		}
	}
	if _, err := mbsyncState("f", []byte("FarUidValidity 9\nMaxPulledUid 4000000\nMaxExpiredFarUid 5\n\n"), true); err == nil || !strings.Contains(err.Error(), "truehop adopt") {
		t.Errorf("millions: %v", err)
	}
}

// TestMbsyncSubfolders: what was fetched stands under the name that the server has for the folder.
func TestMbsyncSubfolders(t *testing.T) {
	const state = "FarUidValidity 9\nNearUidValidity 1\n\n4 1 \n"
	for path, test := range map[string]struct {
		folder string
		told   bool
	}{
		"": {"Lists/go", true}, "PathDelimiter .\n": {"Lists.go", true}, "PathDelimiter .\nPath INBOX.\n": {"INBOX.Lists.go", false}, // without Path the server may say that INBOX. comes first
		"PathDelimiter .\nUseNamespace no\n": {"Lists.go", false}, "UseNamespace no\n": {"Lists/go", true}, "PathDelimiter .\nPath \"\"\n": {"Lists.go", false},
	} {
		o := options(map[string]string{"/home/me/.mbsync/:r:Lists!go_:l:Lists!go": state})
		o.ReadDir = func(string) ([]string, error) { return []string{":r:Lists!go_:l:Lists!go"}, nil }
		plan, err := Read("mbsyncrc", "rc", []byte("IMAPStore r\nHost h\nUser u\nPass p\n"+path+"\nMaildirStore l\nInbox /m\nPath /m/\n\nChannel c\nFar :r:\nNear :l:\nPatterns *\n"), o)
		if err != nil {
			t.Fatal(err)
		}
		known := plan.Accounts[0].Known
		if told := strings.Contains(string(plan.Report("")), "PathDelimiter"); len(known) == 0 || known[0].Folder != test.folder || told != test.told {
			t.Errorf("%q: %v, told %v", path, known, told)
		}
	}
}

// TestCommentsOfMbsync: behind a number sign that begins an argument without quotes all is a comment.
func TestCommentsOfMbsync(t *testing.T) {
	for line, want := range map[string]string{
		"Patterns INBOX Lists # not all of it": "Patterns|INBOX|Lists", "Patterns INBOX #all": "Patterns|INBOX", `Pass "#a b" # c`: "Pass|#a b", `Pass \#a#b #c`: "Pass|#a#b",
		`Path "" # none`: "Path|", "# Host h": "", "Pass a#b": "Pass|a#b", `Pass ""#b`: "Pass|#b",
	} {
		if words, err := mbsyncWords("rc", line, place{1, 1}); err != nil || strings.Join(words, "|") != want {
			t.Errorf("%s: %q, %v, want %q", line, words, err, want)
		}
	}
	_, err := Read("mbsyncrc", "rc", []byte("IMAPStore r\nHost h\nUser u\n  Pass #secret\n"), options(nil))
	if got := fmt.Sprint(err); !strings.HasPrefix(got, "rc:4:3: Pass ") || !strings.Contains(got, "quotes") || strings.Contains(got, "secret") {
		t.Errorf("a password that is a comment: %v", err)
	}
}
