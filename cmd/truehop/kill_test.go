package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// killMessages are in the mailbox of each trial.
const killMessages = 12

// TestKill kills the real program with SIGKILL at chosen moments of a pass, runs it again, and wants
// every message delivered, and none twice but those that were between dot and reply.
func TestKill(t *testing.T) {
	type moment struct {
		name, protocol string
		accepted       int64  // kill inside the n-th acceptance, before its reply
		verb           string // kill at the first such command
	}
	var moments []moment
	for _, protocol := range []string{"imap", "pop3"} {
		for _, n := range []int64{1, 2, 5, killMessages} {
			moments = append(moments, moment{fmt.Sprintf("%s/dot %d", protocol, n), protocol, n, ""})
		}
	}
	for _, verb := range []string{"UIDL", "RETR", "DELE", "QUIT"} {
		moments = append(moments, moment{"pop3/" + verb, "pop3", 0, verb})
	}
	for _, m := range moments {
		t.Run(m.name, func(t *testing.T) {
			trial := newKillTrial(t)
			trial.mta = trial.startMTA(t, func(n int64) bool { return m.accepted == n })
			trial.start(t, m.protocol, m.verb)
			first := command(t, t.Context(), "run", "--config", trial.config)
			first.start(t)
			trial.victim(first)
			if code := first.wait(t); code != -1 {
				t.Fatalf("the program was not killed, it ended with %d:\n%s", code, &first.stderr)
			}
			trial.spare.Store(true)
			second := must(t, exitOK, "run", "--config", trial.config)
			trial.verify(t, second)
		})
	}
}

// killTrial is one mailbox, one MTA, one program to kill.
type killTrial struct {
	dir, config string
	store       *fakeserver.Store
	mta         *injecttest.Server
	taken       atomic.Int64
	// spare keeps the second run alive.
	spare atomic.Bool
	// prey is set once named is closed.
	named chan struct{}
	prey  *process
	// end is what is done to the prey: nil means SIGKILL.
	end func(*process)
	// wrap puts something between the upstream and its connections; nil means nothing.
	wrap func(net.Conn) net.Conn
}

func newKillTrial(t *testing.T) *killTrial {
	t.Helper()
	trial := &killTrial{dir: t.TempDir(), store: fakeserver.NewStore(), named: make(chan struct{})}
	for n := range killMessages {
		trial.store.Add("INBOX", scriptMail(n+1))
	}
	return trial
}

// victim names the process that is to die.
func (k *killTrial) victim(p *process) {
	k.prey = p
	close(k.named)
}

// kill ends the victim and returns when it is dead as far as the kernel is concerned.
func (k *killTrial) kill() {
	if k.spare.Load() {
		return
	}
	<-k.named
	if k.end != nil {
		k.end(k.prey)
		return
	}
	_ = k.prey.Process.Kill() // it may be dead already
}

func (k *killTrial) startMTA(t *testing.T, when func(n int64) bool) *injecttest.Server {
	t.Helper()
	mta := injecttest.New(injecttest.Options{Accepted: func(injecttest.Message) {
		if when(k.taken.Add(1)) {
			k.kill()
		}
	}})
	if _, err := mta.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mta.Close(); err != nil {
			t.Error(err)
		}
	})
	return mta
}

// start serves the mailbox, with a trap at a POP3 command, and writes the configuration.
func (k *killTrial) start(t *testing.T, protocol, verb string) {
	t.Helper()
	ca := fakeserver.NewCA()
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}}
	serve := (&fakeserver.IMAP{Store: k.store, User: "u", Password: "p", TLS: secure, Implicit: true}).Serve
	if protocol == "pop3" {
		serve = (&fakeserver.POP3{Store: k.store, User: "u", Password: "p", TLS: secure, Implicit: true, Reply: func(got, _ string) (string, bool) {
			if got == verb {
				k.kill()
			}
			return "", false
		}}).Serve
	}
	wrapped := serve
	if k.wrap != nil {
		wrapped = func(conn net.Conn) { serve(k.wrap(conn)) }
	}
	host, port, err := net.SplitHostPort(fetchtest.Listen(t, wrapped).Addr())
	if err != nil {
		t.Fatal(err)
	}
	k.config = filepath.Join(k.dir, "truehop.yaml")
	text := fmt.Sprintf("state_dir: %s\ninject:\n  address: %s\naccounts:\n  work:\n    protocol: %s\n    host: %s\n    port: %s\n    tls_ca_file: %s\n    user: u\n    password: p\n    recipients: [alice@example.net]\n    mx: [mx.example.net]\n    on_delivered: delete\n",
		filepath.Join(k.dir, "state"), k.mta.Addr(), protocol, host, port, filepath.Join(k.dir, "ca.pem"))
	for path, data := range map[string][]byte{k.config: []byte(text), filepath.Join(k.dir, "ca.pem"): ca.PEM()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// verify counts what arrived: all of it, and a second copy only with its label and the first one's Truehop-ID, by which a filter
// tells it: as many IDs arrived as messages.
func (k *killTrial) verify(t *testing.T, second *process) {
	t.Helper()
	copies, labels := map[string]int{}, map[string]int{}
	ids := map[string]bool{}
	for _, m := range k.mta.Messages() {
		text := string(m.Data)
		_, subject, _ := strings.Cut(text, "\r\nSubject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		copies[subject]++
		_, id, _ := strings.Cut(text, "Truehop-ID: ")
		id, _, _ = strings.Cut(id, "\r\n")
		ids[id] = true
		if strings.Contains(text, "Truehop-Redelivery: possible\r\n") {
			labels[subject]++
		}
	}
	if len(ids) != len(copies) {
		t.Errorf("%d messages arrived under %d IDs", len(copies), len(ids))
	}
	if len(copies) != killMessages {
		t.Errorf("%d of %d messages arrived: %v\n%s", len(copies), killMessages, copies, &second.stderr)
	}
	doubtful := 0
	for subject, n := range copies {
		if n > 1 {
			doubtful++
		}
		if n > 2 || n == 2 && labels[subject] != 1 {
			t.Errorf("%s arrived %d times, %d of them labelled", subject, n, labels[subject])
		}
	}
	if doubtful > 4 {
		t.Errorf("%d messages arrived twice; only those in the four sessions' dots may", doubtful)
	}
	if left := k.store.UIDs("INBOX"); len(left) != 0 {
		t.Errorf("%d messages are left upstream", len(left))
	}
}
