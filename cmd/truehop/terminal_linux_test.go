package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/schedule/ledger"
)

// terminal is a pseudoterminal: what is written to it is typed.
type terminal struct {
	*os.File
	lines *bufio.Reader
	// far is the program's end of it, and begun closes it here: reading has an end when nobody holds that any more.
	far   *os.File
	begun sync.Once
}

// onTerminal readies a run of the program at a terminal of its own.
func onTerminal(t *testing.T, args ...string) (*process, *terminal) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudoterminals here: %v", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	p := command(t, limited(t, 5*time.Minute), args...) // for a program that ends by no key
	p.Stdin, p.Cmd.Stdout, p.Cmd.Stderr = slave, slave, slave
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return p, &terminal{File: master, lines: bufio.NewReader(master), far: slave}
}

// seenOnTerminal is onTerminal for what is read to its end. The keys make no signals there, for the program is no leader of a session:
// at the end of one the kernel throws away what nobody has read yet.
func seenOnTerminal(t *testing.T, args ...string) (*process, *terminal) {
	t.Helper()
	p, tty := onTerminal(t, args...)
	p.SysProcAttr = nil
	return p, tty
}

// press types a key.
func (tty *terminal) press(t *testing.T, key byte) {
	if _, err := tty.Write([]byte{key}); err != nil {
		t.Error(err)
	}
}

// await reads what the program, which has begun, shows up to a line with these words.
func (tty *terminal) await(t *testing.T, words string) {
	tty.begun.Do(func() { _ = tty.far.Close() })
	var said strings.Builder
	for {
		line, err := tty.lines.ReadString('\n')
		if strings.Contains(line, words) {
			return
		}
		said.WriteString(line)
		if err != nil {
			t.Errorf("the program ended without saying %q, but\n%q", words, &said)
			return
		}
	}
}

// rest reads all that the program, which has begun, still shows to its end.
func (tty *terminal) rest(t *testing.T) string {
	t.Helper()
	tty.begun.Do(func() { _ = tty.far.Close() })
	text, err := io.ReadAll(tty.lines)
	if err != nil && !errors.Is(err, syscall.EIO) { // nobody holds the other end any more
		t.Error(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// resize makes the terminal so wide.
func (tty *terminal) resize(t *testing.T, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

// sgr are the sequences that colour a terminal.
var sgr = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// TestDemoAtATerminal: it is what a pipe gets, in colour; without, where nobody wants colours or the terminal knows none.
func TestDemoAtATerminal(t *testing.T) {
	want := demoInReadme(t)
	for name, coloured := range map[string]bool{"TERM=xterm": true, "TERM=dumb": false, "NO_COLOR=1": false} {
		p, tty := seenOnTerminal(t, "demo")
		p.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", name)
		p.start(t)
		shown := tty.rest(t)
		if code := p.wait(t); code != exitOK {
			t.Errorf("%s: it ended with %d", name, code)
		}
		if got := sgr.ReplaceAllString(shown, ""); got != want {
			t.Errorf("%s: it shows\n%s\nwant\n%s", name, got, want)
		}
		if got := strings.Contains(shown, "\x1b[32mdelivered\x1b[0m") && strings.Contains(shown, "\x1b[31mrefused\x1b[0m"); got != coloured || strings.Contains(shown, "\x1b") != coloured {
			t.Errorf("%s: colours %v, want %v", name, got, coloured)
		}
	}
}

// ctrlC is what the key sends.
const ctrlC = 3

// silentTrial is a mailbox with one message, and an MTA that calls atDot when it has that, before it says a word.
func silentTrial(t *testing.T, atDot func()) *killTrial {
	k := newKillTrial(t)
	k.store = fakeserver.NewStore()
	k.store.Add("INBOX", scriptMail(1))
	k.mta = k.startMTA(t, func(n int64) bool {
		if n == 1 {
			atDot()
		}
		return false
	})
	k.start(t, "imap", "")
	return k
}

// TestCtrlCBehindTheDot: the first Ctrl-C is answered at once by what the program waits for. The second ends it there and
// then; the ledger is as after a SIGKILL, and the copy that comes next is labelled.
func TestCtrlCBehindTheDot(t *testing.T) {
	dead, begun := make(chan struct{}), make(chan *terminal, 1)
	k := silentTrial(t, func() {
		tty := <-begun
		tty.press(t, ctrlC)
		tty.await(t, "waiting for the MTA's reply about 1 message; press Ctrl-C again to stop now")
		tty.press(t, ctrlC)
		<-dead // not a word
	})
	p, tty := onTerminal(t, "run", "--config", k.config)
	p.start(t)
	begun <- tty
	code := p.wait(t)
	close(dead)
	if code != 130 {
		t.Errorf("it ended with %d, want 130", code)
	}
	if counts := k.counts(t, exitLater); counts[ledger.Sending] != 1 {
		t.Errorf("the ledger does not know of the message on its way: %v", counts)
	}
	must(t, exitOK, "run", "--config", k.config)
	taken := k.mta.Messages()
	if last := string(taken[len(taken)-1].Data); !strings.Contains(last, "Truehop-Redelivery: possible\r\n") {
		t.Errorf("the second copy is not labelled:\n%s", last)
	}
}

// TestCtrlCAndTheReply: after one Ctrl-C the MTA's reply is taken when it comes, and the message is delivered once.
func TestCtrlCAndTheReply(t *testing.T) {
	begun := make(chan *terminal, 1)
	k := silentTrial(t, func() {
		tty := <-begun
		tty.press(t, ctrlC)
		tty.await(t, "waiting for the MTA's reply about 1 message")
	})
	p, tty := onTerminal(t, "run", "--config", k.config)
	p.start(t)
	begun <- tty
	if code := p.wait(t); code != 130 {
		t.Errorf("it ended with %d, want 130", code)
	}
	if counts := k.counts(t, exitLater); counts[ledger.Delivered] != 1 {
		t.Errorf("the verdict is not recorded: %v", counts)
	}
	must(t, exitOK, "run", "--config", k.config)
	if n := k.mta.Count(); n != 1 {
		t.Errorf("the MTA took %d messages, want 1", n)
	}
}

// TestCtrlCBeforeTheDot: where the MTA has been given no dot, one Ctrl-C ends the pass, and there is nothing to wait for.
func TestCtrlCBeforeTheDot(t *testing.T) {
	k := silentTrial(t, func() {})
	silent := make(chan struct{})
	defer close(silent)
	begun := make(chan *terminal, 1)
	k.store.AddMessage("INBOX", fakeserver.Message{Size: 1 << 20, Open: func() io.Reader {
		(<-begun).press(t, ctrlC)
		<-silent
		return strings.NewReader("")
	}})
	k.store.Remove("INBOX", 1)
	p, tty := onTerminal(t, "run", "--quiet", "--config", k.config)
	p.start(t)
	begun <- tty
	if code := p.wait(t); code != 130 {
		t.Errorf("it ended with %d, want 130", code)
	}
}
