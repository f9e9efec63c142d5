package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
)

// answer waits for a question that the program asks, and types an answer.
func (tty *terminal) answer(t *testing.T, question, answer string) {
	t.Helper()
	tty.awaitText(t, question+": ")
	if _, err := tty.Write([]byte(answer + "\n")); err != nil {
		t.Error(err)
	}
}

// awaitText reads what the program shows up to these words, in a line that may not have ended.
func (tty *terminal) awaitText(t *testing.T, words string) {
	t.Helper()
	tty.begun.Do(func() { _ = tty.far.Close() })
	var said strings.Builder
	for !strings.HasSuffix(said.String(), words) {
		c, err := tty.lines.ReadByte()
		if err != nil {
			t.Fatalf("the program ended without saying %q, but\n%s", words, &said)
		}
		said.WriteByte(c)
	}
}

// ends presses Ctrl-C and wants the program to end as it ordinarily does.
func (tty *terminal) ends(t *testing.T, p *process) {
	t.Helper()
	tty.press(t, ctrlC)
	if code := p.wait(t); code != exitOK {
		t.Errorf("%q ended with %d, want 0", p.Args[1:], code)
	}
}

// TestCtrlCAtAQuestion: one Ctrl-C ends init, which has written nothing.
func TestCtrlCAtAQuestion(t *testing.T) {
	written := filepath.Join(t.TempDir(), "truehop.yaml")
	p, tty := onTerminal(t, "init", "--output", written)
	p.start(t)
	tty.awaitText(t, "User name at the upstream (often the whole address): ")
	tty.press(t, ctrlC)
	if code := p.wait(t); code != 130 {
		t.Errorf("it ended with %d, want 130", code)
	}
	if _, err := os.Lstat(written); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file is there: %v", err)
	}
}

// TestInitAtATerminal: it asks for what it has to know, asks again where an answer cannot be used, and writes a configuration that check
// and run take.
func TestInitAtATerminal(t *testing.T) {
	k := newKillTrial(t)
	k.mta = k.startMTA(t, func(int64) bool { return false })
	k.start(t, "imap", "")
	password, written := filepath.Join(k.dir, "password"), filepath.Join(k.dir, "new", "truehop.yaml")
	if err := os.WriteFile(password, []byte("p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, tty := seenOnTerminal(t, "init", "--output", written, "--target", k.mta.Addr().String())
	p.Env = append(os.Environ(), "HOME="+k.dir)
	p.start(t)
	tty.answer(t, "User name at the upstream (often the whole address)", "")
	tty.awaitText(t, "needed")
	tty.answer(t, "User name at the upstream (often the whole address)", "u")
	tty.answer(t, "Provider (see truehop providers), or auto", "gmial")
	tty.awaitText(t, "did you mean gmail?")
	tty.answer(t, "Provider (see truehop providers), or auto", "")
	tty.answer(t, "Host name of the upstream, nothing where the provider has one for all", "")
	tty.awaitText(t, "is missing")
	tty.answer(t, "Host name of the upstream, nothing where the provider has one for all", "imap://127.0.0.1")
	tty.awaitText(t, "want a host name, not a URL")
	tty.answer(t, "Host name of the upstream, nothing where the provider has one for all", "127.0.0.1")
	tty.answer(t, "File that holds the password", "password")
	tty.awaitText(t, "full path")
	tty.answer(t, "File that holds the password", "~/password")
	tty.answer(t, "Local address that the mail is delivered to", "alice")
	tty.awaitText(t, "the domain is missing")
	tty.answer(t, "Local address that the mail is delivered to", "alice@example.net")
	tty.awaitText(t, "then: truehop check --config ")
	if said := tty.rest(t); !strings.HasPrefix(said, written+"\n") {
		t.Errorf("it suggests another file: %s", said)
	}
	if code := p.wait(t); code != exitOK {
		t.Fatalf("it ended with %d", code)
	}
	text, config := readText(t, written), readText(t, k.config)
	for _, key := range []string{"port", "tls_ca_file", "mx"} { // which no server of a provider's needs
		_, value, _ := strings.Cut(config, "    "+key+": ")
		value, _, _ = strings.Cut(value, "\n")
		text += fmt.Sprintf("    %s: %s\n", key, value)
	}
	if err := os.WriteFile(written, []byte(text+"state_dir: "+filepath.Join(k.dir, "state")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, exitOK, "check", "--config", written)
	must(t, exitOK, "run", "--config", written)
	if n := k.mta.Count(); n != killMessages {
		t.Errorf("the MTA took %d messages, want %d", n, killMessages)
	}
}

// watched is a mailbox with mail that has been delivered already, for commands that watch what comes next.
func watched(t *testing.T) *killTrial {
	t.Helper()
	k := newKillTrial(t)
	k.mta = k.startMTA(t, func(int64) bool { return false })
	k.start(t, "imap", "")
	must(t, exitOK, "run", "--config", k.config)
	return k
}

// TestHistoryFollowsAtATerminal: it shows what was, then what another process delivers, and Ctrl-C is its ordinary end.
func TestHistoryFollowsAtATerminal(t *testing.T) {
	k := watched(t)
	p, tty := onTerminal(t, "history", "--follow", "--config", k.config)
	tty.resize(t, 160)
	p.start(t)
	tty.await(t, `"canary-subject 1"`)
	k.store.Add("INBOX", scriptMail(77))
	must(t, exitOK, "run", "--config", k.config)
	tty.await(t, `"canary-subject 77"`)
	tty.ends(t, p)
}

// TestStatusWatchesAtATerminal: it shows the counts, and again when another process has delivered more, and Ctrl-C is its ordinary end.
func TestStatusWatchesAtATerminal(t *testing.T) {
	k := watched(t)
	p, tty := onTerminal(t, "status", "--watch", "--config", k.config)
	p.start(t)
	tty.await(t, fmt.Sprintf("  delivered %d\r\n", killMessages))
	k.store.Add("INBOX", scriptMail(77))
	must(t, exitOK, "run", "--config", k.config)
	tty.await(t, fmt.Sprintf("  delivered %d\r\n", killMessages+1))
	tty.ends(t, p)
}

// TestServeAtATerminal: it says what it does and how it ends, and Ctrl-C ends it with a sentence.
func TestServeAtATerminal(t *testing.T) {
	k := newKillTrial(t)
	k.mta = k.startMTA(t, func(int64) bool { return false })
	k.start(t, "imap", "")
	p, tty := seenOnTerminal(t, "serve", "--config", k.config)
	p.start(t)
	tty.await(t, "serving 1 account by its schedule; Ctrl-C ends it")
	tty.await(t, "msg=pass account=work ")
	if err := p.Process.Signal(syscall.SIGINT); err != nil { // as Ctrl-C does
		t.Fatal(err)
	}
	tty.await(t, "ended; truehop status tells how the accounts stand")
	if code := p.wait(t); code != exitOK {
		t.Errorf("it ended with %d, want 0", code)
	}
	if n := k.mta.Count(); n != killMessages {
		t.Errorf("the MTA took %d messages, want %d", n, killMessages)
	}
}

// TestProgressWithinAMessage: while a large message is on its way, the screen shows how much of it has come.
func TestProgressWithinAMessage(t *testing.T) {
	const size = 1_000_000
	k := newKillTrial(t)
	k.store = fakeserver.NewStore()
	more := make(chan struct{})
	k.store.AddMessage("INBOX", fakeserver.Message{Size: size, Open: func() io.Reader {
		begun := append(scriptMail(1), bytes.Repeat([]byte("x\r\n"), size/6)...)
		return io.MultiReader(bytes.NewReader(begun), waiting(more), io.LimitReader(endless{}, int64(size-len(begun))))
	}})
	k.mta = k.startMTA(t, func(int64) bool { return false })
	k.start(t, "pop3", "")
	p, tty := seenOnTerminal(t, "run", "--config", k.config)
	p.Env = append(os.Environ(), "TERM=xterm")
	tty.resize(t, 120)
	p.start(t)
	tty.awaitText(t, "done  500 kB of 1.0 MB")
	close(more)
	tty.await(t, "1 delivered")
	if code := p.wait(t); code != exitOK {
		t.Errorf("it ended with %d", code)
	}
}

// waiting reads nothing, once its channel is closed.
type waiting chan struct{}

func (w waiting) Read([]byte) (int, error) {
	<-w
	return 0, io.EOF
}

// TestWhatAPersonSawIsStillMailed: a failure that a person at a terminal has seen is told once more by the first pass without one,
// whose output cron mails, and by none after that; so is the recovery that a person has seen.
func TestWhatAPersonSawIsStillMailed(t *testing.T) {
	w := newRefusing(t, "imap", "info")
	seen := func(words string, code int) {
		t.Helper()
		p, tty := seenOnTerminal(t, "run", "--now", "--config", w.config, "work")
		p.start(t)
		tty.await(t, words)
		tty.rest(t)
		if got := p.wait(t); got != code {
			t.Errorf("it ended with %d, want %d", got, code)
		}
	}
	mailed := func(code int, logsIn bool, want string) {
		t.Helper()
		said := w.must(t, code, logsIn, "run", "--quiet", "work").stderr.String()
		if !strings.Contains(said, want) || (said == "") != (want == "") {
			t.Errorf("it says %q, want %q", said, want)
		}
	}
	seen("login refused", exitCredentials)
	mailed(exitCredentials, false, `msg="login waits" account=work`)
	mailed(exitCredentials, false, "")
	seen("login refused", exitCredentials)
	mailed(exitCredentials, false, "")
	w.closed.Store(false)
	seen("1 delivered", exitOK)
	if said := w.must(t, exitOK, true, "run", "work").stderr.String(); !strings.Contains(said, "recovered=true") {
		t.Errorf("it says %q", said)
	}
}
