package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// maxResident is what the program may use at its peak, in KiB: the promise is 64 MB.
const maxResident = 64 << 10

// TestMemory runs the real program over one large message, and over a mailbox of many
// messages at the first and at a later pass, and looks at its peak resident size.
func TestMemory(t *testing.T) {
	for _, protocol := range []string{"imap", "pop3"} {
		t.Run(protocol+"/a large message", func(t *testing.T) {
			store := fakeserver.NewStore()
			store.AddMessage("INBOX", largeMessage(largeOctets))
			m := newMemoryWorld(t, protocol, store)
			m.pass(t)
			if m.mta.Count() != 1 || m.octets.Load() < largeOctets {
				t.Errorf("the MTA got %d messages of %d octets", m.mta.Count(), m.octets.Load())
			}
		})
		t.Run(protocol+"/many messages", func(t *testing.T) {
			store := fakeserver.NewStore()
			for n := range manyMessages {
				store.AddMessage("INBOX", smallMessage(n))
			}
			m := newMemoryWorld(t, protocol, store)
			m.pass(t, "--adopt", "work")
			m.pass(t)
			for n := range someMessages {
				store.AddMessage("INBOX", smallMessage(n))
			}
			m.pass(t, "--accept", "work")
			if got := m.mta.Count(); got != someMessages {
				t.Errorf("the MTA got %d messages, want those that came later", got)
			}
		})
	}
}

// largeMessage is made as it is read.
func largeMessage(octets int64) fakeserver.Message {
	head := scriptMail(1)
	line := []byte("A line of seventy-two octets with its end, again and again, to be large.\r\n")
	rest := (octets/int64(len(line)) + 1) * int64(len(line))
	return fakeserver.Message{Size: int64(len(head)) + rest, Open: func() io.Reader {
		return io.MultiReader(bytes.NewReader(head), io.LimitReader(&repeating{line: line}, rest))
	}}
}

// repeating reads one line for ever.
type repeating struct {
	line []byte
	at   int
}

func (r *repeating) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.line[r.at:])
		n += k
		r.at = (r.at + k) % len(r.line)
	}
	return n, nil
}

func smallMessage(n int) fakeserver.Message {
	raw := scriptMail(n%250 + 1)
	raw = append(raw, fmt.Sprintf("%d\r\n", n)...)
	return fakeserver.Message{Size: int64(len(raw)), Open: func() io.Reader { return bytes.NewReader(raw) }}
}

// memoryWorld is a mailbox and an MTA that keeps nothing.
type memoryWorld struct {
	config string
	mta    *injecttest.Server
	octets atomic.Int64
	// running is the program, peak its VmHWM in KiB at its last command to the mailbox. That is its leave, the last
	// thing of a pass, unless the program has ended by then: it does not wait for the answer.
	// (The peak that wait4(2) reports counts the parent's size before exec.)
	running atomic.Pointer[process]
	peak    atomic.Int64
	// connected is when the program connected first, 0 for not yet.
	connected atomic.Int64
}

// look looks at the peak at each command to the mailbox.
func (m *memoryWorld) look(string, string) (string, bool) {
	if p := m.running.Load(); p != nil {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
		if err == nil {
			_, after, _ := strings.Cut(string(status), "VmHWM:")
			var kib int64
			if _, err := fmt.Sscanf(after, "%d", &kib); err == nil {
				m.peak.Store(kib)
			}
		}
	}
	return "", false
}

func newMemoryWorld(t *testing.T, protocol string, store *fakeserver.Store) *memoryWorld {
	t.Helper()
	m := &memoryWorld{}
	m.mta = injecttest.New(injecttest.Options{Discard: true, Accepted: func(got injecttest.Message) { m.octets.Add(int64(got.Octets)) }})
	if _, err := m.mta.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.mta.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := fakeserver.NewCA()
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}}
	serve := (&fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: secure, Implicit: true, Reply: m.look}).Serve
	if protocol == "pop3" {
		serve = (&fakeserver.POP3{Store: store, User: "u", Password: "p", TLS: secure, Implicit: true, Reply: m.look}).Serve
	}
	host, port, err := net.SplitHostPort(fetchtest.Listen(t, func(conn net.Conn) {
		m.connected.CompareAndSwap(0, time.Now().UnixNano())
		serve(conn)
	}).Addr())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	m.config = filepath.Join(dir, "truehop.yaml")
	text := fmt.Sprintf("state_dir: %s\nlog: {level: warn}\ninject:\n  address: %s\naccounts:\n  work:\n    protocol: %s\n    host: %s\n    port: %s\n    tls_ca_file: %s\n    user: u\n    password: p\n    recipients: [alice@example.net]\n    mx: [mx.example.net]\n    max_size: 1GiB\n",
		filepath.Join(dir, "state"), m.mta.Addr(), protocol, host, port, filepath.Join(dir, "ca.pem"))
	for path, data := range map[string][]byte{m.config: []byte(text), filepath.Join(dir, "ca.pem"): ca.PEM()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// pass makes a pass within the promise.
func (m *memoryWorld) pass(t *testing.T, args ...string) {
	t.Helper()
	m.within(t, append([]string{"run"}, args...)...)
}

// within runs the program and holds its peak size against the promise.
func (m *memoryWorld) within(t *testing.T, args ...string) *process {
	t.Helper()
	m.peak.Store(0)
	p := command(t, t.Context(), append(args, "--config", m.config)...)
	p.start(t)
	m.running.Store(p)
	if code := p.wait(t); code != exitOK {
		t.Fatalf("%v: ended with %d\n%s", args, code, &p.stderr)
	}
	peak := m.peak.Load()
	if peak == 0 && runtime.GOOS != "linux" {
		t.Skip("this system does not tell the peak resident size")
	}
	t.Logf("%v: peak %d MiB, %v of processor time", args, peak>>10, p.ProcessState.UserTime()+p.ProcessState.SystemTime())
	if peak == 0 || peak > maxResident {
		t.Errorf("%v: the program used %d MiB at its peak, the promise is 64 MB", args, peak>>10)
	}
	return p
}

// TestMemoryExplain: explain over a mailbox keeps of a message its header at most.
func TestMemoryExplain(t *testing.T) {
	for _, protocol := range []string{"imap", "pop3"} {
		t.Run(protocol, func(t *testing.T) {
			store := fakeserver.NewStore()
			store.AddMessage("INBOX", largeMessage(largeExplained))
			for n := range manyExplained {
				store.AddMessage("INBOX", smallMessage(n))
			}
			m := newMemoryWorld(t, protocol, store)
			p := m.within(t, "explain", "work", "--last", "10000")
			if want := fmt.Sprintf("client   %d      work/", manyExplained+1); !strings.Contains(p.stdout.String(), want) {
				t.Errorf("it does not end with a row of %q:\n%s", want, p.stdout.String()[max(0, p.stdout.Len()-500):])
			}
		})
	}
}
