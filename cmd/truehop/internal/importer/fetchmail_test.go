package importer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// options are those of a user with a home directory in which these files are.
func options(files map[string]string) Options {
	return Options{
		Home: "/home/me", Dir: "/srv/mail", User: "me", Secrets: "/etc/truehop/secrets",
		ReadFile: func(path string) ([]byte, error) {
			text, ok := files[path]
			if !ok {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		},
		ReadDir: func(dir string) ([]string, error) {
			var names []string
			for path := range files {
				rest, below := strings.CutPrefix(path, strings.TrimSuffix(dir, "/")+"/")
				if name, _, _ := strings.Cut(rest, "/"); below {
					names = append(names, name)
				}
			}
			slices.Sort(names)
			return slices.Compact(names), nil
		},
	}
}

// form is a fetchmailrc: what fetchmail takes, or where it is wrong.
type form struct {
	text string
	// wrong is the place of the mistake, "" where there is none.
	wrong string
	// newer says that not every fetchmail takes it: it came later, or has to be compiled in.
	newer bool
}

// forms are all forms of the grammar.
func forms() []form {
	forms := []form{
		{"", "rc: no mailbox", false}, // nothing to do
		{"poll h proto imap", "", false}, {"server h proto imap", "", false}, {"poll h with proto imap and options port 993;", "", false},
		{"poll 'h' proto imap", "", false}, {`poll "h" proto imap`, "", false}, {"poll h proto IMAP", "", false},
		{"skip h\npoll g", "", false}, {"poll h:user u,pass p", "", false}, {"poll h user u pass #p\n", "rc:2:1", false},
		{"poll h user u pass a#b", "", false}, {"poll h user u pass a=b", "rc:1:21", false}, {"poll h user u pass a:b", "rc:1:22", false},
		{`poll h user u pass "a\"b"`, "", false}, {"poll h user u pass \"a\\\nb\"", "", false}, {"poll h user u pass p\\\n keep", "", false},
		{`poll h user u pass "p`, "rc:1:20", false}, {"poll h user u pass 'p", "rc:1:20", false}, {"poll h user u pass 123", "", false},
		{"poll h user u is a", "", false}, {"poll h user u is a b c", "", false}, {"poll h user u is a=b c", "", false}, {"poll h user u is a b * c", "", false},
		{"poll h user u is * here", "", false}, {"poll h user u to a b here", "", false}, {"poll h user u to a = b", "", false},
		{"poll h user l here is r there", "", false}, {"poll h user r there is l here", "", false}, {"poll h user r is l", "", false},
		{"poll h is l pass p", "", false}, {"poll h user", "rc:1:12", false}, {"poll h user u is", "rc:1:17", false}, {"poll h user u is a =", "rc:1:21", false},
		{"poll", "rc:1:5", false}, {"h proto imap", "rc:1:1", false}, {"poll h nonsense", "rc:1:8", false}, {"poll h user u nonsense", "rc:1:15", false},
		{"poll h user u keep port 110", "rc:1:20", false}, {"poll h port 110 user u keep", "", false}, {"poll h port x", "rc:1:8", false},
		{"defaults proto imap keep\npoll h user u\npoll g user v", "", false}, {"poll h user a pass p is x user b pass q is y", "", false},
		{"poll h envelope X", "", false}, {"poll h envelope 2 X", "", false}, {`poll h envelope "Delivered-To:"`, "", false}, {"poll h no envelope", "", false}, {"poll h noenvelope", "", false},
		{"poll h user u no ssl", "", false}, {"poll h user u nossl", "rc:1:15", false}, {"poll h user u nosslcertck", "rc:1:15", false}, {"poll h user u no limit", "rc:1:18", false},
		{"poll h user u antispam 571 550 -1 keep", "", false}, {"poll h user u antispam", "rc:1:23", false},
		{"poll h user u smtphost a, b/25, /sock lmtp", "", false}, {"poll h user u folder a b c keep", "", false}, {"poll h user u folder a,b", "", false},
		{"set", "rc:1:4", false}, {"set nonsense", "rc:1:5", false}, {"set warnings 3\npoll h", "rc:1:5", false}, {"set tracepolls\npoll h", "rc:1:5", false},
		{"poll h user u sslmode x", "rc:1:15", false}, {"poll h user u passwordeval x", "rc:1:15", false}, {"poll h user u retrieve-error abort", "rc:1:15", false},
	}
	forms = append(forms,
		form{"poll h proto Imap", "", true}, // a reader need not be so strict
		form{"poll h user u pass no", "", false}, form{"poll h user 123", "", false}, form{"poll h user keep", "", false}, form{"poll h user u is nokeep", "", false}, form{"poll nobody user x", "", false},
		form{"poll h user u is a = b = c", "rc:1:24", false}, form{"poll h timeout 5 5", "rc:1:18", false}, form{"poll h folder a user u", "rc:1:17", false}, form{"poll h is a here user u", "rc:1:18", false}, form{"poll h keep proto imap", "rc:1:13", false},
		form{"poll h envelope 2", "", true}, form{"poll h envelope keep", "", true}, form{"poll h pass p", "", false}, form{"poll h local a b c user u", "", false},
		form{"poll h no interface", "rc:1:11", false}, form{"poll h user u no smtphost x", "rc:1:18", false},
		form{`poll h user u smtphost "h/2525/starttls/servername=x" g/notls`, "", false}, form{"poll h idletimeout 99 user u", "", true}, form{"poll h user u moveto x", "", true},
	)
	for _, name := range []string{"logfile", "idfile", "pidfile", "postmaster", "properties"} {
		forms = append(forms, form{"set " + name + " x\npoll h", "", false}, form{"set " + name + " = \"x\"\npoll h", "", false})
	}
	forms = append(forms, form{"set daemon 300\npoll h", "", false}, form{"set daemon=300\npoll h", "", true},
		form{"set daemon x\npoll h", "rc:1:5", false}, form{"set no daemon 3\npoll h", "rc:1:5", false})
	for _, name := range []string{"bouncemail", "spambounce", "softbounce", "syslog", "invisible", "showdots"} {
		forms = append(forms, form{"set " + name + "\npoll h", "", false}, form{"set no " + name + "\npoll h", "", false})
	}
	forms = append(forms, form{"set nobouncemail\npoll h", "", false}, form{"set nospambounce\npoll h", "", false}, form{"set nosyslog\npoll h", "rc:1:5", false})
	for _, p := range strings.Fields("pop2 rpop kpop etrn odmr") {
		forms = append(forms, form{"poll h proto imap\npoll g proto " + p + " user u", "", false}, form{"poll h proto " + p, "rc: no mailbox", false})
	}
	for _, p := range strings.Fields("auto pop3 sdps apop imap") {
		forms = append(forms, form{"poll h proto " + p, "", false}, form{"poll h protocol " + p, "", false})
	}
	for _, a := range strings.Fields("any password gssapi kerberos kerberos4 kerberos_v4 kerberos5 kerberos_v5 cram cram-md5 otp opie ntlm msn ssh implicit external") {
		forms = append(forms, form{"poll h proto imap auth " + a, "", a == "kerberos" || a == "implicit" || a == "opie" || a == "otp"})
	}
	for _, o := range strings.Fields("via|x aka|x aka|x,y localdomains|x local|x.y,z service|imaps port|993 interval|2 auth|any authenticate|any preauth|any timeout|20 qvirtual|p- " +
		"interface|x/1.2.3.4 monitor|x plugin|x plugout|x principal|x esmtpname|x esmtppassword|x bad-header|accept") {
		name, value, _ := strings.Cut(o, "|")
		forms = append(forms, form{"poll h proto imap " + name + " " + value + " user u pass p", "", false})
	}
	for _, o := range strings.Fields("uidl dns checkalias tracepolls") {
		forms = append(forms, form{"poll h " + o, "", false}, form{"poll h no " + o, "", false})
	}
	for _, o := range strings.Fields("keep flush limitflush fetchall rewrite forcecr stripcr pass8bits dropstatus dropdelivered mimedecode idle forceidle ssl sslcertck") {
		forms = append(forms, form{"poll h proto imap user u " + o, "", o == "forceidle"}, form{"poll h proto imap user u no " + o, "", o == "forceidle"})
		if !strings.HasPrefix(o, "ssl") {
			forms = append(forms, form{"poll h proto imap user u no" + o, "", o == "forceidle"})
		}
	}
	for _, o := range strings.Fields("pass|p password|p smtp|h smtphost|h smtpaddress|h smtpname|a@b mda|x bsmtp|x fetchdomains|a,b pre|x preconnect|x post|x postconnect|x sslkey|x sslcert|x sslproto|tls1.2 sslproto|'' " +
		"sslcertfile|x sslcertpath|x sslcommonname|x sslfingerprint|x limit|5 warnings|5 fetchlimit|5 fetchsizelimit|5 fastuidl|5 batchlimit|5 expunge|5 properties|x folder|x folders|x") {
		name, value, _ := strings.Cut(o, "|")
		forms = append(forms, form{"poll h proto imap user u " + name + " " + value, "", false})
	}
	return forms
}

// TestEveryFormOfFetchmail: what fetchmail takes is read, and a mistake is told with its place.
func TestEveryFormOfFetchmail(t *testing.T) {
	for _, f := range forms() {
		_, err := Read("fetchmailrc", "rc", []byte(f.text), options(nil))
		switch {
		case f.wrong == "" && err != nil:
			t.Errorf("%q: %v", f.text, err)
		case f.wrong != "" && !strings.HasPrefix(fmt.Sprint(err), f.wrong):
			t.Errorf("%q: %v, want a mistake at %s", f.text, err, f.wrong)
		}
	}
}

// TestFormsAreThoseOfFetchmail asks the real program about each form.
func TestFormsAreThoseOfFetchmail(t *testing.T) {
	program, err := exec.LookPath("fetchmail")
	if err != nil {
		if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
			t.Fatal("needs fetchmail, which is not installed")
		}
		t.Skip("needs fetchmail, which is not installed")
	}
	home := t.TempDir()
	rc := filepath.Join(home, "rc")
	takes := func(text string) (bool, string) {
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command(program, "-f", rc, "--configdump")
		c.Env = []string{"HOME=" + home, "LC_ALL=C"}
		out, _ := c.CombinedOutput()                               // it also objects to what means nothing, without a line
		return !strings.Contains(string(out), rc+":"), string(out) // a mistake is told with its line
	}
	var right []string
	for _, f := range forms() {
		switch {
		case f.newer, f.wrong == "rc: no mailbox", strings.Contains(f.text, "lmtp"): // the last wants a port
		case strings.HasSuffix(f.text, `"p`), strings.HasSuffix(f.text, "'p"): // fetchmail takes the quote for a part of the word
		case f.wrong == "" && strings.HasPrefix(f.text, "defaults"):
			if ok, out := takes(f.text + "\n"); !ok {
				t.Errorf("fetchmail does not take %q: %s", f.text, out)
			}
		case f.wrong == "":
			right = append(right, f.text+"\n")
		default:
			if ok, _ := takes(f.text + "\n"); ok {
				t.Errorf("fetchmail takes %q, and this reader does not", f.text)
			}
		}
	}
	if ok, out := takes(strings.Join(right, "")); !ok { // all at once: a run takes its time
		t.Errorf("fetchmail does not take all of these: %.500s\n%q", out, right)
	}
}

// TestFetchmailEscapes: what stands behind a backslash is read as fetchmail reads it, in quotes and without.
func TestFetchmailEscapes(t *testing.T) {
	for text, want := range map[string]string{
		`"a b"`: "a b", `'a"b'`: `a"b`, `"a\"b"`: `a"b`, `"a\\b"`: `a\b`, `"\t\n"`: "\t\n", `"\x41\x4g"`: "A\x04g", `"\0101"`: "A", `"\65"`: "A", `"\q"`: "q",
		`CORP\\joe`: `CORP\joe`, `a\x41b`: "aAb",
	} {
		tokens, err := fetchmailTokens("rc", []byte(text))
		if err != nil || len(tokens) != 1 || tokens[0].text != want {
			t.Errorf("%s: %v, %v, want %q", text, tokens, err, want)
		}
	}
}

// TestFetchmailPasswordsInAnyEncoding: fetchmail hands octets on as they are, in quotes and without. A word that cannot be taken is not shown.
func TestFetchmailPasswordsInAnyEncoding(t *testing.T) {
	for text, want := range map[string]string{"gr\xfcn": "gr\xfcn", "'gr\xfcn'": "gr\xfcn", "gr\u00fcn": "gr\u00fcn"} {
		plan, err := Read("fetchmailrc", "rc", []byte("poll h proto pop3 user u pass "+text+" ssl"), options(nil))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := plan.Secrets()[0].Reveal(); got != want {
			t.Errorf("%q: the password is %q", text, got)
		}
	}
	_, err := Read("fetchmailrc", "rc", []byte("poll h proto pop3 user u pass hunter\x002"), options(nil))
	if got := fmt.Sprint(err); !strings.HasPrefix(got, "rc:1:31: ") || strings.Contains(got, "hunter") {
		t.Errorf("a NUL octet: %v", err)
	}
}

// TestHostileFiles: whatever a file holds, there is one error with the place, fit to be shown, and no secret in it.
func TestHostileFiles(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, kind := range Kinds() {
		for name, text := range map[string]string{
			"escape": "poll \x1b[31mh \x1b]0;x\a", "NUL": "account\x00 a\nhost h\n", "one long word": long, "open quote": "IMAPAccount \"x\n" + "account \"x\n[options\npoll \"x",
			"invalid UTF-8": "\xff\xfe\n", "bidirectional": "poll \u202eh nonsense\u202e", "many lines": strings.Repeat("\n", 1<<20) + "\x1b",
		} {
			_, err := Read(kind, "rc", []byte(text), options(nil))
			var wrong *Error
			switch {
			case !errors.As(err, &wrong):
				t.Errorf("%s of %s: %v, want an error with a place", name, kind, err)
			case len(err.Error()) > 500 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\u202e' }):
				t.Errorf("%s of %s: an error that cannot be shown: %.600q", name, kind, err.Error())
			}
		}
	}
}

// TestSecretsNeverPrint: no form of printing a plan shows a password.
func TestSecretsNeverPrint(t *testing.T) {
	for kind, text := range map[string]string{
		"fetchmailrc": "poll h proto pop3 esmtpname n esmtppassword hunter2 user u pass hunter2 smtphost x",
		"getmailrc":   "[retriever]\ntype=SimplePOP3SSLRetriever\nserver=h\nusername=u\npassword=hunter2\n[destination]\ntype=Maildir\npath=/x/\n",
		"mpoprc":      "account a\nhost h\nuser u\npassword hunter2\n",
		"mbsyncrc":    "IMAPStore r\nHost h\nUser u\nPass hunter2\n\nMaildirStore l\nInbox /x\n\nChannel c\nFar :r:\nNear :l:\n",
	} {
		plan, err := Read(kind, "rc", []byte(text), options(nil))
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		shown := string(plan.YAML()) + string(plan.Report(""))
		for _, s := range plan.Secrets() {
			shown += fmt.Sprintf("%v %+v %#v %s", s, *s, s, s)
			if s.Reveal() != "hunter2" {
				t.Errorf("%s: the password is %q", kind, s.Reveal())
			}
		}
		if len(plan.Secrets()) == 0 || strings.Contains(shown, "hunter2") {
			t.Errorf("%s: %d passwords, and what is shown holds one, or should:\n%s", kind, len(plan.Secrets()), shown)
		}
	}
}

// TestWhereFetchmailRemembers: the record of Debian's service is that of its configuration and its user, and nobody else's import
// looks at it. A record that cannot be read stops the import, which says what to do.
func TestWhereFetchmailRemembers(t *testing.T) {
	const service, older = "/var/lib/fetchmail/.fetchids", "/var/lib/fetchmail/.fetchmail-UIDL-cache"
	for _, c := range []struct {
		name, file, home string
		there, denied    string // the records
		seen             string
		want             string // where it looked, "" where the import stops
	}{
		{"a user's", "/home/me/.fetchmailrc", "/home/me", "", service, "", "/home/me/.fetchids"},
		{"a user's, where Debian had one", "/srv/mail/rc", "/home/me", "", older, "", "/home/me/.fetchids|/srv/mail/.fetchids"},
		{"the service's", "/etc/fetchmailrc", "/root", service, older, "", service},
		{"the service's, by its older name", "/etc/fetchmailrc", "/root", older, "", "", older},
		{"a copy that the service's user owns", "rc", "/var/lib/fetchmail", older, "", "", older},
		{"the service's, closed", "/etc/fetchmailrc", "/root", "", older, "", ""},
		{"a user's, closed", "/home/me/.fetchmailrc", "/home/me", "", "/home/me/.fetchids", "", ""},
		{"closed, and said to be none", "/etc/fetchmailrc", "/root", "", service, NoState, "nowhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(map[string]string{c.there: ""})
			o.Home, o.Dir, o.Seen = c.home, filepath.Dir(c.file), c.seen
			read := o.ReadFile
			o.ReadFile = func(path string) ([]byte, error) {
				if path == c.denied {
					return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
				}
				return read(path)
			}
			plan, err := Read("fetchmailrc", c.file, []byte("poll h proto pop3 user u pass p"), o)
			var stopped *Error
			switch {
			case c.want == "" && (!errors.As(err, &stopped) || stopped.File != c.denied || stopped.Text != "cannot be read: permission denied; --seen FILE names the record, --seen none says that there is none"):
				t.Errorf("it stops with %v", err)
			case c.want == "":
			case err != nil:
				t.Error(err)
			case c.want == "nowhere" && len(plan.Accounts[0].StateFiles) > 0:
				t.Errorf("it looked in %v", plan.Accounts[0].StateFiles)
			case c.want != "nowhere" && strings.Join(plan.Accounts[0].StateFiles, "|") != c.want:
				t.Errorf("it looked in %v", plan.Accounts[0].StateFiles)
			}
		})
	}
}
