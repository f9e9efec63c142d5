//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

var (
	fleetAccounts = flag.Int("fleet.accounts", 9, "how many accounts the nodes of TestFleet share")
	fleetRounds   = flag.Int("fleet.rounds", 4, "how many times something happens to the nodes or to the database")
	fleetFigures  = flag.Bool("fleet.figures", false, "measure passes with nothing new by 1, 2 and 3 nodes over -fleet.accounts accounts")
	fleetInterval = flag.Duration("fleet.interval", 0, "how often accounts are polled, which is held against the clock then; 0 is 10 s, which is not")
)

// nodes are services on several machines, as far as they can know, with one record, one upstream and one MTA.
type nodes struct {
	server   *postgrestest.Server
	url      string // for the test itself
	dir      string
	accounts int
	store    *fakeserver.Store
	upstream string
	mta      *injecttest.Server
	interval time.Duration
	idlers   *idlers        // what watches the upstream, nil where nothing does
	more     map[int]string // further accounts of a node, by its number
	all      []*node
	added    int
	// began is when the first node was started, ended when the last was told to end.
	began, ended time.Time

	mu    sync.Mutex
	polls map[string][]time.Time // when each folder was opened
}

// node is one of them.
type node struct {
	*process
	link   *link
	config string
}

const (
	fleetLease = 3 * time.Second
	// fleetPatience is only for what never comes. On a busy machine a node may lose its lease for want of a processor, or its passes may
	// fail a few times in a row, each of which has the account wait for twice as long: 1, 2 and 4 minutes.
	fleetPatience = 10 * time.Minute
)

// startNodes starts so many. prepare is told of them before.
func startNodes(t *testing.T, count, accounts int, interval time.Duration, prepare ...func(*nodes)) *nodes {
	t.Helper()
	n := &nodes{dir: t.TempDir(), accounts: accounts, store: fakeserver.NewStore(), mta: injecttest.New(injecttest.Options{}),
		interval: interval, polls: map[string][]time.Time{}}
	n.server = postgrestest.Start(t)
	n.url = n.server.New(t)
	if _, err := n.mta.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.mta.Close() })
	upstream := &fakeserver.IMAP{Store: n.store, User: "u", Password: "p", Reply: func(verb, args string) (string, bool) {
		if verb == "SELECT" {
			n.mu.Lock()
			defer n.mu.Unlock()
			folder := strings.Trim(strings.Fields(args)[0], `"`)
			n.polls[folder] = append(n.polls[folder], time.Now())
		}
		return "", false
	}}
	for _, each := range prepare {
		each(n)
	}
	if n.idlers != nil {
		upstream.Wrap = n.idlers.watch
	}
	n.upstream = fetchtest.Listen(t, upstream.Serve).Addr()
	for account := range accounts {
		n.store.Create(folderOf(account))
	}
	n.began = time.Now()
	for number := range count {
		one := &node{link: newLink(t, n.server.Dir), config: filepath.Join(n.dir, fmt.Sprintf("node%d.yaml", number))}
		if err := os.WriteFile(one.config, n.configure(t, one, number), 0o600); err != nil {
			t.Fatal(err)
		}
		n.all = append(n.all, one)
		n.start(t, one)
	}
	return n
}

func folderOf(account int) string { return fmt.Sprintf("box%d", account) }

func (n *nodes) configure(t *testing.T, one *node, number int) []byte {
	t.Helper()
	host, port, err := net.SplitHostPort(n.upstream)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	url := strings.ReplaceAll(n.url, n.server.Dir, one.link.dir)
	fmt.Fprintf(&text, "state: %s\nstate_dir: %s\nmetrics: \"unix:%s\"\nlease: %v\nsending_wait: %v\npasses: 8\npasses_per_host: 8\ninject:\n  address: %s\ndefaults:\n  protocol: imap\n  host: %s\n  port: %s\n  tls: none\n  allow_plaintext: true\n  user: u\n  password: p\n  idle: %v\n  schedule: \"@every %v\"\n  recipients: [alice@example.net]\n  mx: [mx.example.net]\n  on_delivered: delete\n  retry_min: 1m\naccounts:\n",
		url, filepath.Join(n.dir, fmt.Sprint("state", number)), one.monitored(), fleetLease, fleetLease, n.mta.Addr(), host, port, n.idlers != nil, n.interval)
	for account := range n.accounts {
		fmt.Fprintf(&text, "  a%d: {folders: [%s]}\n", account, folderOf(account))
	}
	text.WriteString(n.more[number])
	return []byte(text.String())
}

// monitored is the socket at which a node answers a monitor.
func (o *node) monitored() string { return filepath.Join(o.link.dir, "metrics") }

// start starts a node, anew where it was killed.
func (n *nodes) start(t *testing.T, one *node) {
	t.Helper()
	one.process = command(t, context.WithoutCancel(t.Context()), "serve", "--config", one.config)
	one.process.start(t)
	running := one.process
	t.Cleanup(func() { _ = running.Process.Kill() })
}

// add puts a message into each mailbox.
func (n *nodes) add() {
	for account := range n.accounts {
		n.added++
		n.store.Add(folderOf(account), scriptMail(n.added))
	}
}

// await waits until something is so.
func (n *nodes) await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for until := time.Now().Add(fleetPatience + 10**fleetInterval); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			for _, one := range n.all {
				_ = one.Process.Kill()
				_ = one.Wait()
				t.Logf("%s:\n%s", one.config, one.stderr.String())
			}
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// drain has services hand over their accounts, by the configuration of a node. One that has lost its leases in this moment, as for want of a
// processor, is none until its next look.
func (n *nodes) drain(t *testing.T, by *node, whom string) (done *process) {
	t.Helper()
	n.await(t, "drain has drained "+whom, func() bool {
		done = command(t, t.Context(), "drain", "--config", by.config, whom)
		done.start(t)
		return done.wait(t) == exitOK
	})
	return done
}

// empty reports whether all mail has been taken, and removed upstream.
func (n *nodes) empty() bool {
	for account := range n.accounts {
		if len(n.store.UIDs(folderOf(account))) > 0 {
			return false
		}
	}
	return true
}

// end ends all nodes as a service manager does, and looks at what arrived: all of it, and each further copy of a message with its label.
func (n *nodes) end(t *testing.T) (labelled int) {
	t.Helper()
	n.ended = time.Now()
	for _, one := range n.all {
		if err := one.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	}
	for _, one := range n.all {
		if code := one.wait(t); code != exitOK {
			t.Errorf("%s ended with %d\n%s", one.config, code, one.stderr.String())
		}
	}
	// Those that a node has lost, as for want of a processor, are not its own to hand back.
	if held := postgrestest.Ask[int](t, n.url, "SELECT count(*)::int FROM truehop.lease JOIN truehop.node ON node.id = lease.node WHERE node.expires > clock_timestamp()"); held != 0 {
		t.Errorf("%d leases were not handed back", held)
	}
	arrived := map[string]int{}
	for _, m := range n.mta.Messages() {
		text := string(m.Data)
		_, subject, _ := strings.Cut(text, "\r\nSubject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		label := strings.Contains(text, "Truehop-Redelivery: possible\r\n")
		if arrived[subject] > 0 && !label {
			t.Errorf("a further copy of %s came without its label", subject)
		}
		arrived[subject]++
		if label {
			labelled++
		}
	}
	if len(arrived) != n.added {
		t.Errorf("%d of %d messages arrived", len(arrived), n.added)
	}
	return labelled
}

// TestStoppedBetweenSendingAndDot: a node is stopped when the record says that a dot is about to leave, and not the node yet, until its lease is
// over and another has delivered the message with its label. Let go, it sends nothing more.
func TestStoppedBetweenSendingAndDot(t *testing.T) {
	t.Parallel() // it mostly waits
	n := startNodes(t, 1, 1, 10*time.Second)
	victim := n.all[0]
	victim.link.mu.Lock()
	victim.link.sending = make(chan struct{})
	victim.link.mu.Unlock()
	n.add()
	select {
	case <-victim.link.sending:
	case <-time.After(fleetPatience):
		t.Fatalf("no message came to its dot\n%s", victim.stderr.String())
	}
	n.await(t, "the database has it as sending", func() bool {
		return postgrestest.Ask[int](t, n.url, "SELECT count(*)::int FROM truehop.record WHERE state = 'sending'") == 1
	})
	if err := victim.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n.await(t, "it has stopped", func() bool { return stopped(t, victim.Process.Pid) }) // a busy machine may run on with it for a while
	close(victim.link.held)
	other := &node{link: newLink(t, n.server.Dir), config: filepath.Join(n.dir, "other.yaml")}
	if err := os.WriteFile(other.config, n.configure(t, other, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	n.all = append(n.all, other)
	n.start(t, other)
	n.await(t, "the other node has delivered it", n.empty)
	if got := n.mta.Count(); got != 1 {
		t.Fatalf("%d copies arrived while the first node was stopped", got)
	}
	if err := victim.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.await(t, "the first node serves again", func() bool {
		return postgrestest.Ask[int](t, n.url, "SELECT count(*)::int FROM truehop.node WHERE serves AND expires > clock_timestamp()") == 2
	})
	labelled := n.end(t)
	if n.mta.Count() != 1 || labelled != 1 {
		t.Errorf("%d copies arrived, %d labelled\n%s", n.mta.Count(), labelled, victim.stderr.String())
	}
}

// stopped reports whether all threads of a process stand still, by proc(5).
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("the threads of process %d are not to be seen: %v", pid, err)
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err != nil {
			return false // the thread has ended
		}
		if _, rest, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return true
}

// TestCommandsBesideServices: run makes a pass on any machine, over an account that a service lends; drain has a service hand over all that it has to
// the other one.
func TestCommandsBesideServices(t *testing.T) {
	t.Parallel() // it mostly waits
	n := startNodes(t, 2, 3, time.Hour)
	held := func(where string) int {
		return postgrestest.Ask[int](t, n.url, "SELECT count(*)::int FROM truehop.lease JOIN truehop.node ON node.id = lease.node WHERE serves AND "+where)
	}
	n.await(t, "each mailbox has been looked at", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.polls) == 3
	})
	n.await(t, "all accounts are shared out", func() bool {
		first := held("name = (SELECT min(name) FROM truehop.node WHERE serves)")
		return held("true") == 3 && first != 3 && first != 0
	})
	n.add()
	third := &node{link: newLink(t, n.server.Dir), config: filepath.Join(n.dir, "third.yaml")}
	if err := os.WriteFile(third.config, n.configure(t, third, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	n.await(t, "run has made a pass over each account", func() bool { // one may be in the middle of its first pass still
		p := command(t, t.Context(), "run", "--config", third.config)
		p.start(t)
		return p.wait(t) == exitOK
	})
	if !n.empty() || n.mta.Count() != 3 {
		t.Errorf("%d of 3 messages arrived by run", n.mta.Count())
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if told := must(t, exitUsage, "drain", "--config", third.config, "nobody.example").stderr.String(); !strings.Contains(told, "name the machine of one that does: pid ") {
		t.Errorf("drain of a machine without a service does not say which have one:\n%s", told)
	}
	leaves := fmt.Sprintf("pid %d on %s", n.all[0].Process.Pid, host)
	drained := n.drain(t, third, leaves)
	if got := held("name = '" + leaves + "'"); got != 0 || drained.stderr.Len() > 0 {
		t.Errorf("it holds %d accounts after, and drain warns\n%s%s", got, &drained.stdout, &drained.stderr)
	}
	n.await(t, "the other one has them all", func() bool { return held("name <> '"+leaves+"'") == 3 })
	last := n.drain(t, third, host)
	if told := last.stderr.String(); !strings.Contains(told, "no mail is fetched until one is started") {
		t.Errorf("drain of the last service does not say that nobody serves the accounts:\n%s", told)
	}
	n.end(t)
	// It may see that it is to hand over only when the other one is, too.
	if told := n.all[0].stderr.String(); !strings.Contains(told, "drained: no account is served here") && !strings.Contains(told, "drained, and no other service") {
		t.Errorf("the service that was drained does not log it:\n%s", told)
	}
}

// TestFleet: three nodes share accounts while one after the other is killed, is stopped for longer than its lease, loses its connections, and the
// database crashes. Nothing is lost, and no further copy comes without its label. At length, and held against the clock:
// go test ./cmd/truehop -run Fleet -fleet.accounts=2000 -fleet.rounds=40 -fleet.interval=60s -timeout 1h -v
func TestFleet(t *testing.T) {
	t.Parallel() // it mostly waits
	interval := max(*fleetInterval, 10*time.Second)
	n := startNodes(t, 3, *fleetAccounts, interval)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("the seed of what happens, though not of when, is %d", seed)
	acts := map[string]int{}
	for round := range *fleetRounds {
		n.add()
		one := n.all[random.IntN(len(n.all))]
		time.Sleep(*fleetInterval/2 + time.Duration(random.Int64N(int64(fleetLease)))) // so that it happens anywhere in a pass
		what := []string{"kill", "stop", "crash", "cut"}[round%4]
		acts[what]++
		switch what {
		case "kill":
			_ = one.Process.Kill()
			one.wait(t)
			n.start(t, one)
		case "stop":
			if err := one.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * fleetLease)
			if err := one.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		case "crash":
			if err := n.server.Restart(); err != nil {
				t.Fatal(err)
			}
		case "cut":
			one.link.cut()
		}
	}
	n.await(t, "all mail has been taken", n.empty)
	labelled := n.end(t)
	t.Logf("%v; %d messages, %d labelled copies; longest times between two looks at a mailbox: %v", acts, n.added, labelled, n.longest(5))
	if longest := n.longest(1); *fleetInterval > 0 && (len(longest) == 0 || longest[0] > 2*interval) {
		t.Errorf("an account was not polled for %v, more than twice %v", longest, interval)
	}
}

// TestFleetFigures measures how many passes with nothing new nodes make in a second, and what one asks of the database. Each account is to be polled
// every ten seconds: more of them than can be done show the most that can.
// go test ./cmd/truehop -run FleetFigures -fleet.figures -fleet.accounts=2000 -timeout 1h -v
func TestFleetFigures(t *testing.T) {
	if !*fleetFigures {
		t.Skip("-fleet.figures measures")
	}
	const warm, window = 30 * time.Second, 40 * time.Second
	for count := 1; count <= 3; count++ {
		n := startNodes(t, count, *fleetAccounts, 10*time.Second)
		n.await(t, "each mailbox has been looked at", func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.polls) == n.accounts
		})
		time.Sleep(warm)
		looks := func() (sum int) {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, times := range n.polls {
				sum += len(times)
			}
			return sum
		}
		rows := func() int64 {
			return postgrestest.Ask[int64](t, n.url, "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables")
		}
		transactions := func() int64 {
			return postgrestest.Ask[int64](t, n.url, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
		}
		passes, written, committed, began := looks(), rows(), transactions(), time.Now()
		time.Sleep(window)
		took := time.Since(began).Seconds()
		made := float64(looks() - passes)
		t.Logf("%d nodes: %.1f passes a second, %.2f rows written and %.2f transactions each", count, made/took, float64(rows()-written)/made, float64(transactions()-committed)/made)
		n.end(t)
	}
}

// longest are the longest times between two looks at one mailbox, from the begin to the end.
func (n *nodes) longest(count int) []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	var gaps []time.Duration
	for account := range n.accounts {
		longest, last := time.Duration(0), n.began
		for _, at := range append(slices.Clone(n.polls[folderOf(account)]), n.ended) {
			longest, last = max(longest, at.Sub(last)), at
		}
		gaps = append(gaps, longest.Round(100*time.Millisecond))
	}
	slices.Sort(gaps)
	slices.Reverse(gaps)
	return gaps[:min(count, len(gaps))]
}
