package main

import (
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

var (
	manyFigures = flag.Bool("many.figures", false, "measure the program with many accounts and with many messages")
	manyRTT     = flag.Duration("many.rtt", 50*time.Millisecond, "round trip time to each upstream with -many.figures")
	manyListed  = flag.Int("many.listed", 1_000_000, "messages that the large folder of TestManyMessages lists")
)

// TestManyAccounts measures a run over 1,000 accounts on ten hosts with a new message each, and one over a single account beside it.
// go test ./cmd/truehop -run ManyAccounts -many.figures -v
func TestManyAccounts(t *testing.T) {
	if !*manyFigures {
		t.Skip("-many.figures measures")
	}
	const hosts, accounts = 10, 1000
	one := newManyAccounts(t, 1, 1).run(t)
	all := newManyAccounts(t, hosts, accounts).run(t)
	t.Logf("one account %v, %d accounts %v: %.1f times", one.took, accounts, all.took, float64(all.took)/float64(one.took))
	if all.took > 30*one.took {
		t.Errorf("%d accounts take %v, more than 30 times the %v of one", accounts, all.took, one.took)
	}
	if all.peak > 256<<10 {
		t.Errorf("the program used %d MiB at its peak", all.peak>>10)
	}
}

// newManyAccounts is a world with accounts on hosts, by IMAP, that each have a new message in a folder of their own.
func newManyAccounts(t *testing.T, hosts, accounts int) *memoryWorld {
	t.Helper()
	m := &memoryWorld{}
	m.mta = injecttest.New(injecttest.Options{Discard: true})
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
	dir := t.TempDir()
	var text strings.Builder
	fmt.Fprintf(&text, "state_dir: %s\nlog: {level: warn}\ninject:\n  address: %s\ndefaults:\n  host: 127.0.0.1\n  tls_ca_file: %s\n  user: u\n  password: p\n  recipients: [alice@example.net]\n  mx: [mx.example.net]\naccounts:\n",
		filepath.Join(dir, "state"), m.mta.Addr(), filepath.Join(dir, "ca.pem"))
	for host := range hosts {
		store := fakeserver.NewStore()
		server := &fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: secure, Implicit: true}
		_, port, err := net.SplitHostPort(fetchtest.Listen(t, func(conn net.Conn) { server.Serve(fetchtest.Delay(conn, *manyRTT)) }).Addr())
		if err != nil {
			t.Fatal(err)
		}
		for n := host; n < accounts; n += hosts {
			store.AddMessage(fmt.Sprint("F", n), smallMessage(n))
			fmt.Fprintf(&text, "  a%04d: {port: %s, folders: [F%d]}\n", n, port, n)
		}
	}
	m.config = filepath.Join(dir, "truehop.yaml")
	for path, data := range map[string][]byte{m.config: []byte(text.String()), filepath.Join(dir, "ca.pem"): ca.PEM()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// manyFigure is what a run took.
type manyFigure struct {
	took time.Duration
	peak int64 // KiB
}

// run runs the program over all accounts.
func (m *memoryWorld) run(t *testing.T) manyFigure {
	t.Helper()
	m.peak.Store(0)
	p := command(t, t.Context(), "run", "--config", m.config)
	began := time.Now()
	p.start(t)
	if code := m.watched(t, p); code != exitOK {
		t.Fatalf("ended with %d\n%.2000s", code, &p.stderr)
	}
	f := manyFigure{time.Since(began), m.peak.Load()}
	t.Logf("%v, peak %d MiB, %v of processor time, %d messages", f.took, f.peak>>10, p.ProcessState.UserTime()+p.ProcessState.SystemTime(), m.mta.Count())
	return f
}

// TestManyMessages measures passes over one folder that lists a million messages, and the first one over 50,000 new ones.
// go test ./cmd/truehop -run ManyMessages -many.figures -v
func TestManyMessages(t *testing.T) {
	if !*manyFigures {
		t.Skip("-many.figures measures")
	}
	for _, protocol := range []string{"imap", "pop3"} {
		t.Run(protocol+"/50,000 new ones", func(t *testing.T) {
			store := fakeserver.NewStore()
			fillOf(store, 50_000, 2<<10)
			m := newMemoryWorld(t, protocol, store)
			m.most(t, 64<<10, "run", "--accept", "work")
			if got := m.mta.Count(); got != 50_000 {
				t.Errorf("the MTA got %d messages", got)
			}
		})
	}
	// The bound of a listing by POP3 is 200,000 messages; by IMAP it is a million.
	t.Run("a million listed", func(t *testing.T) {
		store := fakeserver.NewStore()
		fillOf(store, *manyListed, 2<<10)
		m := newMemoryWorld(t, "imap", store)
		m.most(t, 256<<10, "run", "--adopt", "work")
		if second := m.most(t, 256<<10, "run", "work"); second > 5*time.Second {
			t.Errorf("the second poll took %v", second)
		}
		m.most(t, 256<<10, "run", "--accept", "work") // lists all of it again, as a poll does once a day
		store.AddMessage("INBOX", smallMessage(1))
		m.most(t, 256<<10, "run", "work")
		if got := m.mta.Count(); got != 1 {
			t.Errorf("the MTA got %d messages, want the one that came later", got)
		}
	})
}

// TestManyStart measures how long a run takes from its start to its first packet, with a ledger of 200,000 messages and nothing to do.
// go test ./cmd/truehop -run ManyStart -many.figures -v
func TestManyStart(t *testing.T) {
	if !*manyFigures {
		t.Skip("-many.figures measures")
	}
	store := fakeserver.NewStore()
	fillOf(store, 200_000, 2<<10)
	m := newMemoryWorld(t, "imap", store)
	m.most(t, 256<<10, "run", "--adopt", "work")
	var starts []time.Duration
	for range 11 {
		m.connected.Store(0)
		began := time.Now()
		m.most(t, 64<<10, "run", "work")
		starts = append(starts, time.Unix(0, m.connected.Load()).Sub(began))
	}
	slices.Sort(starts)
	median := starts[len(starts)/2]
	t.Logf("first packet after %v, median of %v", median, starts)
	if median > 50*time.Millisecond {
		t.Errorf("the first packet comes after %v", median)
	}
}

// most runs the program, which may use so many KiB at its peak, and returns how long it took.
func (m *memoryWorld) most(t *testing.T, bound int64, args ...string) time.Duration {
	t.Helper()
	m.peak.Store(0)
	p := command(t, t.Context(), append(args, "--config", m.config)...)
	began := time.Now()
	p.start(t)
	code := m.watched(t, p)
	if code != exitOK {
		t.Fatalf("%v: ended with %d\n%.2000s", args, code, &p.stderr)
	}
	took := time.Since(began)
	t.Logf("%v: %v, peak %d MiB, %v of processor time", args, took.Round(time.Millisecond), m.peak.Load()>>10, p.ProcessState.UserTime()+p.ProcessState.SystemTime())
	if m.peak.Load() > bound {
		t.Errorf("%v: the program used %d MiB at its peak, want at most %d", args, m.peak.Load()>>10, bound>>10)
	}
	return took
}

// watched waits for the program's end, looks at its size meanwhile, and returns its exit code. What it takes after its last command to the mailbox counts,
// too.
func (m *memoryWorld) watched(t *testing.T, p *process) int {
	t.Helper()
	m.running.Store(p)
	ended := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-again.C:
				m.look("", "")
			case <-ended:
				return
			}
		}
	})
	code := p.wait(t)
	close(ended)
	looking.Wait()
	return code
}

// fillOf fills the inbox with so many different messages of so many octets. They are made as they are read, and take little memory.
func fillOf(store *fakeserver.Store, count int, octets int64) {
	head, line := scriptMail(1), []byte("A line of a message among a great many others, which says nothing much\r\n")
	for n := range count {
		own := fmt.Sprintf("%09d\r\n", n)
		rest := octets - int64(len(head)+len(own)) - 2
		store.AddMessage("INBOX", fakeserver.Message{Size: octets, Open: func() io.Reader {
			return io.MultiReader(bytes.NewReader(head), strings.NewReader(own), io.LimitReader(&repeating{line: line}, rest), strings.NewReader("\r\n"))
		}})
	}
}
