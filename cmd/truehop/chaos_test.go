//go:build linux

package main

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/inject/injecttest"
)

var chaosMessages = flag.Int("chaos.messages", 0, "how many messages the chaos carries by each protocol; 0 is no chaos")

// TestChaos carries mail from a real Dovecot into a real Postfix while processes of all three are killed and stopped
// at random moments. Nothing may be lost, and no second copy may be unlabelled. It takes minutes, and runs
// if asked to: go test ./cmd/truehop -run Chaos -chaos.messages=1000 -timeout 1h -v
func TestChaos(t *testing.T) {
	if *chaosMessages == 0 {
		t.Skip("-chaos.messages says how much of it is wanted")
	}
	for _, protocol := range []string{"imap", "pop3"} {
		t.Run(protocol, func(t *testing.T) {
			c := startChaos(t, protocol)
			for c.sent < *chaosMessages {
				c.round(t)
			}
			c.settle(t)
			c.verify(t)
		})
		t.Run(protocol+" on a disk of 2 MB", func(t *testing.T) {
			c := startChaos(t, protocol)
			resize := smallDisk(t, filepath.Join(c.dir, "state"))
			c.largeEvery = 20
			for c.sent < *chaosMessages {
				c.round(t)
			}
			if c.full == 0 {
				t.Error("no run has told that the disk is full: this proves nothing")
			}
			last := command(t, t.Context(), "run", "--config", c.path)
			last.start(t)
			if code := last.wait(t); c.dovecot.Count() > 0 && (code == exitOK || last.stderr.Len() == 0) {
				t.Errorf("%d messages are left, and an undisturbed run ended with %d and said %q", c.dovecot.Count(), code, &last.stderr)
			}
			resize("64m")
			c.settle(t)
			c.verify(t)
		})
	}
}

// smallDisk makes a file system of 2 MB at dir, for the state and the spool. resize makes it another size.
func smallDisk(t *testing.T, dir string) (resize func(size string)) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
			t.Fatal("TRUEHOP_REQUIRE_SERVERS=1, but this host does not mount: ", err)
		}
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return func(size string) {
		if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size="+size+",mode=700"); err != nil {
			t.Fatal(err)
		}
	}
}

// chaos is one run of it.
type chaos struct {
	*journey
	path   string
	random *rand.Rand
	// sent counts the messages, acts what was done to whom, labels and copies what arrived.
	sent int
	acts map[string]int
	// largeEvery makes each so-many-th message larger than what is spooled in memory, 0 none. full counts the runs that told of a disk
	// without room.
	largeEvery, full int
}

func startChaos(t *testing.T, protocol string) *chaos {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("the seed of what happens, though not of when, is %d", seed)
	c := &chaos{random: rand.New(rand.NewPCG(seed, 0)), acts: map[string]int{}}
	c.journey = newJourney(t, injecttest.PostfixOptions{Main: []string{
		"service_throttle_time = 1s", // or master would wait a minute after each kill
		"in_flow_delay = 0",
	}})
	addr, lines := c.dovecot.IMAPSAddr, []string{
		"password_file: " + filepath.Join(c.dir, "password"), "on_delivered: delete", "retry_min: 1s", "retry_max: 2s",
	}
	if protocol == "pop3" {
		addr, lines = c.dovecot.POP3SAddr, append(lines, "protocol: pop3")
	}
	c.path = c.config(t, addr, lines...)
	return c
}

// round lets new mail arrive, runs the program, and disturbs it.
func (c *chaos) round(t *testing.T) {
	t.Helper()
	for range min(10+c.random.IntN(50), *chaosMessages-c.sent) {
		c.sent++
		m := chaosMail(c.sent)
		if c.largeEvery > 0 && c.sent%c.largeEvery == 0 {
			fill := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 17_000)
			m = bytes.Replace(m, []byte("\r\n\r\n"), []byte("\r\n\r\n"+fill+"\r\n"), 1)
		}
		c.dovecot.Deliver(m)
	}
	p := command(t, t.Context(), "run", "--config", c.path, "--quiet")
	p.start(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Wait() // whatever becomes of it
	}()
	c.disturb(p.Process.Pid, ended)
	<-ended
	if p.ProcessState.ExitCode() == exitCannotWrite {
		c.full++
	}
}

// disturb does something to somebody, up to four times while the program runs.
func (c *chaos) disturb(truehop int, ended <-chan struct{}) {
	for range 1 + c.random.IntN(4) {
		select {
		case <-ended:
			return
		case <-time.After(time.Duration(c.random.IntN(120)) * time.Millisecond):
			c.act(truehop)
		}
	}
}

// act does something to one process.
func (c *chaos) act(truehop int) {
	dovecot, postfix := dovecots(), c.postfix.Processes
	who := []struct {
		name string
		pids []int
	}{
		{"truehop", []int{truehop}}, {"truehop", []int{truehop}},
		{"dovecot's imap or pop3", dovecot("imap", "pop3")}, {"dovecot's login", dovecot("imap-login", "pop3-login")},
		{"smtpd", postfix("smtpd")}, {"cleanup", postfix("cleanup")},
	}[c.random.IntN(6)]
	if len(who.pids) == 0 {
		return
	}
	pid := who.pids[c.random.IntN(len(who.pids))]
	if c.random.IntN(2) == 0 {
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			c.acts["SIGKILL "+who.name]++
		}
		return
	}
	if syscall.Kill(pid, syscall.SIGSTOP) == nil {
		c.acts["SIGSTOP "+who.name]++
		time.Sleep(time.Duration(c.random.IntN(400)) * time.Millisecond)
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may have been killed by its parent
	}
}

// dovecots returns how to find the processes of this test's Dovecot by their names: they are in the group of the
// master, which is a child of this process.
func dovecots() func(names ...string) []int {
	type process struct {
		pid, parent, group int
		name               string
	}
	var all []process
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // has ended
		}
		// pid (comm) state ppid pgrp ..., see proc_pid_stat(5)
		m := regexp.MustCompile(`^(\d+) \((.*)\) [^Z] (\d+) (\d+) `).FindSubmatch(text)
		if m == nil {
			continue
		}
		p := process{name: string(m[2])}
		p.pid, _ = strconv.Atoi(string(m[1]))
		p.parent, _ = strconv.Atoi(string(m[3]))
		p.group, _ = strconv.Atoi(string(m[4]))
		all = append(all, p)
	}
	return func(names ...string) []int {
		var pids []int
		for _, master := range all {
			if master.name != "dovecot" || master.parent != os.Getpid() {
				continue
			}
			for _, p := range all {
				if p.group == master.pid && slices.Contains(names, p.name) {
					pids = append(pids, p.pid)
				}
			}
		}
		return pids
	}
}

// chaosMail is the n-th message.
func chaosMail(n int) []byte {
	raw := clientMail(1 + n%250)
	for from, to := range map[string]string{
		`Subject: number \d+`: fmt.Sprintf("Subject: chaos %d\r\nX-Fill: %s", n, strings.Repeat("x", 10*(n%80))),
		`Message-ID: <\d+@`:   fmt.Sprintf("Message-ID: <chaos-%d@", n),
	} {
		raw = regexp.MustCompile(from).ReplaceAll(raw, []byte(to))
	}
	return raw
}

// settle runs the program, undisturbed, until nothing is left to do.
func (c *chaos) settle(t *testing.T) {
	t.Helper()
	var last *process
	for range 20 {
		last = command(t, t.Context(), "run", "--config", c.path)
		last.start(t)
		if last.wait(t) == exitOK && c.dovecot.Count() == 0 {
			return
		}
		time.Sleep(2 * time.Second) // retry_max
	}
	status := command(t, t.Context(), "status", "--config", c.path)
	status.start(t)
	status.wait(t)
	t.Errorf("%d messages are left upstream after 20 undisturbed runs. The last one ended with %d and said:\n%s\nThe ledger has:\n%s",
		c.dovecot.Count(), last.ProcessState.ExitCode(), &last.stderr, &status.stdout)
}

// verify counts what arrived.
func (c *chaos) verify(t *testing.T) {
	t.Helper()
	copies, labelled := map[string]int{}, map[string]int{}
	subject := regexp.MustCompile(`(?m)^Subject: chaos (\d+)$`)
	for _, m := range c.postfix.Mail() {
		found := subject.FindStringSubmatch(m)
		if found == nil || !strings.HasSuffix(m, "\n\nline\n..two dots\n.\n") {
			t.Fatalf("a message is not whole:\n%s", m)
		}
		copies[found[1]]++
		if strings.Contains(m, "\nTruehop-Redelivery: possible\n") {
			labelled[found[1]]++
		}
	}
	lost, doubles, unlabelled := 0, 0, 0
	for n := 1; n <= c.sent; n++ {
		id := strconv.Itoa(n)
		switch {
		case copies[id] == 0:
			lost++
			t.Errorf("message %s is lost", id)
		case copies[id]-labelled[id] > 1:
			unlabelled++
			t.Errorf("message %s arrived %d times, %d of them labelled. Postfix says:\n%s", id, copies[id], labelled[id], c.logged(n))
		}
		doubles += max(copies[id]-1, 0)
	}
	t.Logf("%d messages: %d lost, %d second copies, %d of them unlabelled; %d runs with a full disk; %v", c.sent, lost, doubles, unlabelled, c.full, c.acts)
}

// logged is what Postfix logged about the n-th message, and about the end of its own processes.
func (c *chaos) logged(n int) string {
	log := c.postfix.Log()
	ids := regexp.MustCompile(fmt.Sprintf(`(\w+): message-id=<chaos-%d@`, n)).FindAllStringSubmatch(log, -1)
	var lines []string
	for line := range strings.SplitSeq(log, "\n") {
		mentioned := slices.ContainsFunc(ids, func(id []string) bool { return strings.Contains(line, id[1]) })
		if mentioned || strings.Contains(line, "killed by signal") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
