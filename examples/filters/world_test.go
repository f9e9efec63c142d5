//go:build linux

package filters

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/examples/mailtest"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// zone is what the name server of the tests knows. The block list is the real name of one, which nobody outside is asked about.
func zone(t *testing.T, key mailtest.Key) mailtest.Zone {
	z := mailtest.Zone{TXT: map[string]string{
		"spammer.example": "v=spf1 ip4:198.51.100.7 -all", "bank.example": "v=spf1 ip4:192.0.2.10 -all", "lists.example": "v=spf1 ip4:192.0.2.25 -all",
		"author.example": "v=spf1 ip4:192.0.2.30 -all", "upstream.example": "v=spf1 ip4:192.0.2.200 -all", "example.org": "v=spf1 ip4:192.0.2.220 -all",
		"_dmarc.bank.example": "v=DMARC1; p=reject", "_dmarc.author.example": "v=DMARC1; p=reject", "_dmarc.upstream.example": "v=DMARC1; p=reject", "_dmarc.example.org": "v=DMARC1; p=reject",
	}, Addrs: map[string]string{
		"localhost": "127.0.0.1", "mx.example.org": "192.0.2.220", "example.org": "192.0.2.220", "upstream.example": "192.0.2.200", "mx.upstream.example": "192.0.2.200",
		"mail.spammer.example": "198.51.100.7", "host66.dialup.example": "203.0.113.66", "host67.dialup.example": "203.0.113.67", "mail.lists.example": "192.0.2.25",
		"mail.author.example": "192.0.2.30", "mail.bank.example": "192.0.2.10", "fwd.alumni.example": "192.0.2.80", "mail.small.example": "192.0.2.40",
		"7.100.51.198.zen.spamhaus.org": "127.0.0.2", "66.113.0.203.zen.spamhaus.org": "127.0.0.10",
		"spammer.example": "198.51.100.7", "bank.example": "192.0.2.10", "lists.example": "192.0.2.25", "author.example": "192.0.2.30", "small.example": "192.0.2.40", "alumni.example": "192.0.2.80",
	}}
	for _, domain := range []string{"bank.example", "lists.example", "author.example"} {
		z.TXT[mailtest.Selector+"._domainkey."+domain] = key.Record(t)
	}
	return z
}

// mail is a message in the mailbox at the provider. Its subject begins with the name.
type mail struct {
	name string
	// sender is that of the envelope.
	sender string
	// client is what the provider's MX wrote down of the host that it got the message from: the HELO and, in brackets, name and
	// address; "" for a message that came from nowhere.
	client string
	// text begins with the fields below those of the provider.
	text string
}

func (m mail) content() []byte {
	received := ""
	if m.client != "" {
		protocol := "ESMTPS"
		if strings.Contains(m.client, "(Authenticated sender: ") {
			protocol = "ESMTPSA"
		}
		received = fmt.Sprintf("Received: from %s\r\n\tby mx.upstream.example (Postfix) with %s id 4XyZ\r\n\tfor <me@upstream.example>; %s\r\n", m.client, protocol, time.Now().Add(-time.Hour).Format(time.RFC1123Z))
	}
	return []byte("Return-Path: <" + m.sender + ">\r\nDelivered-To: me@upstream.example\r\n" + received + m.text)
}

// text is an ordinary message.
func text(from, subject string) string {
	_, domain, _ := strings.Cut(from, "@")
	return fmt.Sprintf("From: %s\r\nTo: me@upstream.example\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <1.%x@%s>\r\n\r\nHello,\r\n\r\nnothing to see here but %s.\r\n",
		from, subject, time.Now().Add(-time.Hour).Format(time.RFC1123Z), subject, domain, subject)
}

// four are the messages of every recipe.
func four(t *testing.T, key mailtest.Key) []mail {
	// The author's signature, and above it that of the list.
	list := key.Sign(t, "lists.example", "List-Id: <list.lists.example>\r\nSender: list-bounces@lists.example\r\n"+key.Sign(t, "author.example", text("alice@author.example", "C list")))
	return []mail{
		{"A", "win@spammer.example", "mail.spammer.example (mail.spammer.example [198.51.100.7])", text("win@spammer.example", "A listed client")},
		{"B", "alerts@bank.example", "mail.bank.example (host66.dialup.example [203.0.113.66])", text("alerts@bank.example", "B forged bank")},
		{"C", "list-bounces@lists.example", "mail.lists.example (mail.lists.example [192.0.2.25])", list},
		{"D", "bob@small.example", "mail.small.example (unknown [203.0.113.99])", text("bob@small.example", "D no reverse DNS")},
	}
}

// further are messages that some recipes have besides.
func further(t *testing.T, key mailtest.Key) map[string]mail {
	internal := "laptop.home (unknown [203.0.113.98])\r\n\t(Authenticated sender: carol@upstream.example)"
	// Nothing here may be changed, and the fields that are missing may not be added.
	whole := key.Sign(t, "author.example", "From: alice@author.example\r\nTo: me, bob\r\nSubject: S   signed,  nothing to mend\r\n\r\ntrailing blanks   \r\n.a dot\r\n"+strings.Repeat("x", 1200)+"\r\n",
		"From", "To", "Cc", "Subject", "Date", "Message-ID", "Sender")
	all := []mail{
		// It says itself that this host has found it good.
		{"E", "boss@example.org", "mail.example.org (host67.dialup.example [203.0.113.67])",
			"Authentication-Results: mx.example.org; dkim=pass header.d=example.org; dmarc=pass\r\n" + text("boss@example.org", "E our own domain")},
		{"F", "alerts@bank.example", "fwd.alumni.example (fwd.alumni.example [192.0.2.80])", key.Sign(t, "bank.example", text("alerts@bank.example", "F forwarded"))},
		{"H", "x@small.example", "mx.example.org (host67.dialup.example [203.0.113.67])", text("x@small.example", "H our own name in HELO")},
		{"I", "carol@upstream.example", internal, text("carol@upstream.example", "I written at the upstream")},
		{"K", "boss@example.org", "", text("boss@example.org", "K our own domain, client not known")},
		{"L", "boss@example.org", internal, text("boss@example.org", "L our own user at the upstream")},
		{"S", "alice@author.example", "mail.author.example (mail.author.example [192.0.2.30])", whole},
		{"U", "alice@author.example", "", key.Sign(t, "author.example", text("alice@author.example", "U client not known"))},
		{"X", "bob@small.example", "mail.small.example (mail.small.example [192.0.2.40])", strings.Replace(text("bob@small.example", "X with a program"), "\r\n\r\n",
			"\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=setup.exe\r\n\r\n", 1)},
	}
	byName := map[string]mail{}
	for _, m := range all {
		byName[m.name] = m
	}
	return byName
}

// world is what a recipe is tried in.
type world struct {
	t       *testing.T
	key     mailtest.Key
	postfix *injecttest.Postfix
	// log is what the filters say, by syslog or by themselves.
	log      *mailtest.Log
	upstream string // port
	dir      string
	mails    []mail
	// inject is truehop's inject section, if it is another.
	inject string
	// maildir is where Postfix hands mail on to, with the folders of Dovecot's Maildir++. It has none of its own then.
	maildir string
	// hits are the rules of SpamAssassin's that a message has met, by its name.
	hits map[string]string
	// passed is the recipe's.
	passed *regexp.Regexp
	// stopFilter ends the filter before its time.
	stopFilter func()
}

// newWorld starts an upstream with these messages, and Postfix with port 25, truehop's listener and what the recipe adds.
func newWorld(t *testing.T, r recipe, key mailtest.Key, mails []mail) *world {
	t.Helper()
	w := &world{t: t, key: key, log: &mailtest.Log{}, dir: t.TempDir(), mails: mails, passed: r.passed, hits: map[string]string{}}
	mailtest.Syslog(t, w.log)
	store := fakeserver.NewStore()
	for _, m := range mails {
		store.Add("INBOX", m.content())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pop3 := fakeserver.Serve(l, (&fakeserver.POP3{Store: store, User: mailtest.User, Password: mailtest.Password}).Serve)
	t.Cleanup(pop3.Close)
	if _, w.upstream, err = net.SplitHostPort(pop3.Addr()); err != nil {
		t.Fatal(err)
	}
	if r.start != nil {
		r.start(w)
	}
	if r.inject != "" {
		w.inject = read(t, r.inject)
	}
	listener := read(t, "../postfix/master.cf.unix")
	if r.listener != "" {
		listener += read(t, r.listener)
	}
	o := injecttest.PostfixOptions{
		Main:   slices.Concat([]string{"smtpd_peername_lookup = yes"}, r.own, r.main(t)),
		Master: []string{cmp.Or(r.port25, "smtp inet n - n - - smtpd"), "lmtp unix - - n - - lmtp", listener},
		Files:  map[string]string{},
	}
	for _, file := range r.master {
		o.Master = append(o.Master, read(t, file))
	}
	for _, table := range r.tables {
		o.Files[filepath.Base(table)] = read(t, table)
	}
	w.postfix = injecttest.StartPostfix(t, o)
	return w
}

// main are the recipe's lines for main.cf, one for each parameter.
func (r recipe) main(t *testing.T) []string {
	var lines []string
	for line := range strings.Lines(strings.Replace(read(t, filepath.Join(r.dir, "main.cf")), r.instead[0], r.instead[1], 1)) {
		switch {
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
		case strings.HasPrefix(line, " ") && len(lines) > 0:
			lines[len(lines)-1] += "\n" + strings.TrimRight(line, "\n")
		default:
			lines = append(lines, strings.TrimRight(line, "\n"))
		}
	}
	return lines
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// file writes a file of the test's own, and returns its path.
func (w *world) file(name, text string) string {
	w.t.Helper()
	path, mode := filepath.Join(w.dir, name), os.FileMode(0o600)
	if filepath.Dir(name) != "." { // what others read
		mode = 0o644
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// install shows a file of the recipe at the place where it belongs.
func (w *world) install(file, at string) {
	w.t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		w.t.Fatal(err)
	}
	mailtest.Mount(w.t, path, at)
}

// open lets other users into the directory.
func (w *world) open() {
	w.t.Helper()
	if err := errors.Join(os.Chmod(filepath.Dir(w.dir), 0o755), os.Chmod(w.dir, 0o755)); err != nil {
		w.t.Fatal(err)
	}
}

// give makes a user the owner.
func (w *world) give(path, name string) {
	w.t.Helper()
	owner, err := user.Lookup(name)
	if err != nil {
		w.t.Fatal(err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err := errors.Join(err, os.Chown(path, uid, -1)); err != nil {
		w.t.Fatal(err)
	}
}

// outcome is what became of the messages, and all that was logged meanwhile.
type outcome struct {
	by  string            // fetchmail or truehop
	of  map[string]string // by name
	log string
	// delivered are the messages as they arrived, by name, with LF.
	delivered map[string]string
}

// byFetchmail has fetchmail deliver to port 25, as this host.
func (w *world) byFetchmail() outcome {
	w.t.Helper()
	rc := w.file("fetchmailrc", fmt.Sprintf(`poll 127.0.0.1 protocol pop3 port %s auth password
  user "%s" password "%s" is "me@example.org" here
  fetchall keep sslproto ""
`, w.upstream, mailtest.User, mailtest.Password))
	before := w.logs()
	cmd := exec.Command("fetchmail", "--nodetach", "--nosyslog", "--pidfile", filepath.Join(w.dir, "fetchmail.pid"), "-f", rc) // root's is one for the machine
	cmd.Env = []string{"HOME=" + w.dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("fetchmail: %v\n%s", err, out)
	}
	w.await(before, len(w.mails))
	o := outcome{by: "fetchmail", of: map[string]string{}, delivered: w.mailboxes(" (fetchmail-")}
	for _, m := range w.mails {
		o.of[m.name] = "not delivered"
		if o.delivered[m.name] != "" {
			o.of[m.name] = delivered
		}
	}
	o.log = w.since(before)
	return o
}

// byTruehop has truehop deliver to its listener. The lines go into its configuration for the account.
func (w *world) byTruehop(lines ...string) outcome {
	w.t.Helper()
	config := w.file("truehop.yaml", fmt.Sprintf(`state_dir: %s
resolver: {server: "127.0.0.1"}
%s
accounts:
  work:
    protocol: pop3
    host: 127.0.0.1
    port: %s
    tls: none
    allow_plaintext: true
    user: %s
    password_file: %s
    recipients: [me@example.org]
    mx: [mx.upstream.example]
%s
`, filepath.Join(w.dir, "state"), cmp.Or(w.inject, `inject: {address: "unix:`+filepath.Join(w.postfix.Dir, "q/public/truehop")+`"}`), w.upstream, mailtest.User, w.file("password", mailtest.Password+"\n"), strings.Join(lines, "\n")))
	before := w.logs()
	program := os.Getenv(truehop)
	out, err := exec.Command(program, "run", "--config", config).CombinedOutput()
	history, historyErr := exec.Command(program, "history", "--json", "--config", config).Output()
	if historyErr != nil {
		w.t.Fatalf("truehop: %v, %v\n%s", err, historyErr, out)
	}
	o := outcome{by: "truehop", of: map[string]string{}}
	taken := 0
	for line := range strings.Lines(string(history)) {
		var record struct {
			UID, State string
			Code       int
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			w.t.Fatal(err)
		}
		_, number, _ := strings.Cut(record.UID, "00000001") // the UIDVALIDITY
		n, err := strconv.ParseInt(number, 16, 32)
		if err != nil || n < 1 || int(n) > len(w.mails) {
			w.t.Fatalf("%v in %s", err, line)
		}
		o.of[w.mails[n-1].name] = fmt.Sprintf("%s %d", record.State, record.Code)
		if record.State == delivered {
			o.of[w.mails[n-1].name] = delivered
			taken++
		}
	}
	w.await(before, taken)
	o.delivered = w.mailboxes("\nTruehop-ID: ")
	for name, result := range o.of {
		if result == delivered && o.delivered[name] == "" {
			o.of[name] = "taken and not delivered"
		}
	}
	o.log = w.since(before) + string(out)
	return o
}

// await waits until a filter behind the queue has passed on n messages. It may take longer than Postfix would.
func (w *world) await(before [2]string, n int) {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Minute); w.passed != nil && len(w.passed.FindAllString(w.since(before), -1)) < n; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) { // it hangs
			w.t.Fatalf("not all of %d messages came back from the filter:\n%s", n, w.since(before))
		}
	}
}

const delivered = "delivered"

// mailboxes are the delivered messages whose header has this text, by name.
func (w *world) mailboxes(mark string) map[string]string {
	w.t.Helper()
	found := map[string]string{}
	texts := w.postfix.Mail()
	if w.maildir != "" {
		texts = append(w.folder(""), w.folder(junk)...)
	}
	for _, text := range texts {
		head, _, _ := strings.Cut(text, "\n\n")
		if !strings.Contains(head, mark) {
			continue
		}
		name := regexp.MustCompile(`(?m)^Subject: *(\w)\b`).FindStringSubmatch(head)
		if name == nil || found[name[1]] != "" {
			w.t.Errorf("delivered twice, or unknown:\n%s", text)
			continue
		}
		found[name[1]] = text
	}
	return found
}

const junk = ".Junk"

// folder are the messages in a folder of the mailbox that nobody has looked at, the inbox if "".
func (w *world) folder(name string) []string {
	w.t.Helper()
	paths, err := filepath.Glob(filepath.Join(w.maildir, name, "new", "*"))
	if err != nil {
		w.t.Fatal(err)
	}
	var texts []string
	for _, path := range paths {
		texts = append(texts, read(w.t, path))
	}
	return texts
}

// logs are what Postfix and the filters have said so far.
func (w *world) logs() [2]string { return [2]string{w.postfix.Log(), w.log.String()} }

// since is what they have said after that.
func (w *world) since(before [2]string) string {
	now := w.logs()
	return now[0][len(before[0]):] + now[1][len(before[1]):]
}

// cell says what became of the messages as the table does: which of them, in their order, share an outcome.
func (w *world) cell(o outcome) string {
	names := map[string][]string{}
	var order []string
	for _, m := range w.mails {
		result := o.of[m.name]
		if names[result] == nil {
			order = append(order, result)
		}
		names[result] = append(names[result], m.name)
	}
	if slices.Equal(order, []string{delivered}) {
		return "all delivered"
	}
	for i, result := range order {
		order[i] = strings.Join(names[result], ", ") + " " + result
	}
	return strings.Join(order, "; ")
}
