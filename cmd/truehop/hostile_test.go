package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// evil is what a stranger may write to disturb a terminal: a colour, a title, a C1 control, marks that turn the direction
// of text, a character without width, and octets that are no UTF-8.
const evil = "\x1b[31m\x1b]0;title\x07\u009b2J\u202eevil\u2066\u200b\u2028\xff\x00"

// quiet is evil without what ends a line of a protocol or is no part of one.
var quiet = strings.NewReplacer("\x00", "").Replace(evil)

// hostileWorld has an upstream and an MTA that say evil wherever they may.
type hostileWorld struct{ config, message string }

func newHostileWorld(t *testing.T, protocol, format string, upstream func(verb, arg string) (string, bool), faults ...injecttest.Fault) hostileWorld {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	store := fakeserver.NewStore()
	for n := range 3 {
		mail := strings.NewReplacer("as host", "as "+quiet, "from host", "from "+quiet, "canary-subject", evil+"\rSubject: x", "<sender", "<"+quiet).Replace(string(scriptMail(n + 1)))
		if n == 2 {
			mail = strings.Replace(mail, "by mx", "by "+quiet+" mx", 1)
		}
		store.AddMessage("INBOX", fakeserver.Message{
			UIDL: quiet + strconv.Itoa(n), Size: int64(len(mail)), Open: func() io.Reader { return strings.NewReader(mail) },
		})
		if err := os.WriteFile(path("message"), []byte(mail), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	serve := (&fakeserver.IMAP{Store: store, User: "u", Password: "p", Reply: upstream}).Serve
	if protocol == "pop3" {
		serve = (&fakeserver.POP3{Store: store, User: "u", Password: "p", Reply: upstream}).Serve
	}
	mta := injecttest.New(injecttest.Options{Faults: faults})
	at, err := mta.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mta.Close(); err != nil {
			t.Error(err)
		}
	})
	host, port, err := net.SplitHostPort(listen(t, serve))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`state_dir: %s
log: {level: debug, format: %s}
inject: {address: "%s"}
accounts:
  work:
    {protocol: %s, host: %s, port: %s, tls: none, allow_plaintext: true, user: u, password_file: "%s", recipients: [alice@example.net], mx: [mx.example.net]}
`, path("state"), format, at, protocol, host, port, path("password"))
	for name, content := range map[string]string{"truehop.yaml": text, "password": "p\n"} {
		if err := os.WriteFile(path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return hostileWorld{config: path("truehop.yaml"), message: path("message")}
}

// TestNothingRawIsPrinted: whatever peers say and senders write, no command prints a control character, nor one that turns
// the direction of text. Each command must have said something for that to count.
func TestNothingRawIsPrinted(t *testing.T) {
	refusal := injecttest.Fault{Stage: injecttest.RCPT, Reply: "550 5.7.1 " + evil + " no"}
	says := func(verb, raw string) func(string, string) (string, bool) {
		return func(said, _ string) (string, bool) { return raw, said == verb }
	}
	for name, c := range map[string]struct {
		protocol, format string
		upstream         func(verb, arg string) (string, bool)
		fault            injecttest.Fault
	}{
		"messages, POP3":        {"pop3", "text", nil, refusal},
		"messages, JSON log":    {"pop3", "json", nil, refusal},
		"messages, IMAP":        {"imap", "text", nil, refusal},
		"POP3 greeting":         {"pop3", "text", says("greeting", "-ERR "+quiet+"\r\n"), refusal},
		"POP3 greeting of none": {"pop3", "json", says("greeting", quiet+"\r\n"), refusal},
		"POP3 login":            {"pop3", "text", says("PASS", "-ERR "+quiet+"\r\n"), refusal},
		"POP3 capabilities":     {"pop3", "text", says("CAPA", "+OK\r\nSASL "+quiet+"\r\nUSER\r\n"+quiet+"\r\n.\r\n"), refusal},
		"POP3 listing":          {"pop3", "text", says("UIDL", "-ERR [SYS/TEMP] "+quiet+"\r\n"), refusal},
		"POP3 retrieval":        {"pop3", "text", says("RETR", "-ERR "+quiet+"\r\n"), refusal},
		"IMAP greeting":         {"imap", "text", says("greeting", "* BYE "+strings.ReplaceAll(quiet, "\x07", "")+"\r\n"), refusal},
		"IMAP greeting of none": {"imap", "json", says("greeting", quiet+"\r\n"), refusal},
		"IMAP alert":            {"imap", "text", says("LOGIN", "%T OK [ALERT] "+quiet+"\r\n"), refusal},
		"IMAP login":            {"imap", "text", says("LOGIN", "%T NO "+quiet+"\r\n"), refusal},
		"IMAP folder":           {"imap", "json", says("SELECT", "%T NO "+quiet+"\r\n"), refusal},
		"IMAP retrieval":        {"imap", "text", says("UID FETCH", "%T NO "+quiet+"\r\n"), refusal},
		"MTA greeting":          {"imap", "text", nil, injecttest.Fault{Stage: injecttest.Greeting, Reply: "554 " + evil}},
		"MTA greeting, good":    {"imap", "json", nil, injecttest.Fault{Stage: injecttest.Greeting, Reply: "220 " + evil}},
		"MTA capabilities":      {"imap", "text", nil, injecttest.Fault{Stage: injecttest.EHLO, Reply: "250-mx " + evil + "\r\n250-" + quiet + "\r\n250 XCLIENT NAME ADDR " + quiet}},
		"MTA at XCLIENT":        {"imap", "text", nil, injecttest.Fault{Stage: injecttest.XCLIENT, Reply: "550 5.7.1 " + evil}},
		"MTA at MAIL":           {"pop3", "json", nil, injecttest.Fault{Stage: injecttest.MAIL, Reply: "451 4.7.1 " + evil}},
		"MTA at the dot":        {"pop3", "text", nil, injecttest.Fault{Stage: injecttest.DOT, Reply: "250 2.0.0 Ok: queued as " + evil}},
		"MTA of no SMTP":        {"imap", "text", nil, injecttest.Fault{Stage: injecttest.Greeting, Reply: evil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newHostileWorld(t, c.protocol, c.format, c.upstream, c.fault)
			lines := []string{"check", "run --dry-run", "explain --last 3 work", "run", "status", "status --json", "history", "history --json"}
			if strings.HasPrefix(name, "messages") {
				lines = append(lines, "explain --json --last 3 work", "explain --uid UID work", "explain --json --uid UID work", "retry work UID", "forget work UID",
					"explain -- FILE", "explain --json -- FILE", "explain -- UID", "run UID")
			}
			for _, line := range lines {
				args := strings.Fields(line)
				for i, arg := range args {
					switch arg {
					case "UID":
						args[i] = quiet + "1"
					case "FILE":
						args[i] = w.message
					}
				}
				p := command(t, t.Context(), append(args, "--config", w.config)...)
				if args[0] == "explain" && strings.Contains(line, "--") && !strings.Contains(line, "work") {
					p = command(t, t.Context(), args...)
				}
				p.start(t)
				p.wait(t)
				said := p.stdout.String() + p.stderr.String()
				if said == "" && args[0] != "history" { // of mail that never came
					t.Errorf("%s says nothing", line)
				}
				wantNothingRaw(t, line, said)
			}
			unseen := newHostileWorld(t, c.protocol, c.format, c.upstream, c.fault)
			wantNothingRaw(t, "serve", unseen.serve(t))
		})
	}
}

// wantNothingRaw looks for characters in what a command said that may disturb a terminal.
func wantNothingRaw(t *testing.T, command, said string) {
	t.Helper()
	if at := strings.IndexFunc(said, raw); at >= 0 {
		t.Errorf("%s prints %q", command, said[max(0, at-60):min(len(said), at+20)])
	}
}

// serve runs the service until it has made a pass, and returns all that it said.
func (w hostileWorld) serve(t *testing.T) string {
	t.Helper()
	p := command(t, limited(t, 5*time.Minute), "serve", "--config", w.config)
	p.Cmd.Stderr = nil
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	var said strings.Builder
	passed := false
	for lines := bufio.NewReader(stderr); ; {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if !passed && passEnded.MatchString(line) {
			passed = true
			if err := p.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil {
			break
		}
	}
	if code := p.wait(t); code != exitOK || !passed {
		t.Errorf("the service ended with %d, want a pass and then 0:\n%q", code, said.String())
	}
	return said.String() + p.stdout.String()
}

// passEnded matches what the log says at the end of a pass, in both of its formats.
var passEnded = regexp.MustCompile(`msg="?pass|"msg":"pass`)

// raw reports whether a character may disturb a terminal.
func raw(r rune) bool {
	return r != '\n' && (r == utf8.RuneError || !strconv.IsPrint(r))
}
