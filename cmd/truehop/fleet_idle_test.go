//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// idlers are the connections on which new mail is waited for, by IDLE (RFC 2177), as the upstream sees them.
type idlers struct {
	mu   sync.Mutex
	now  map[string]int // by folder
	most int            // the most at a time in one folder
	// left, if not nil, is called when the connection has ended by which a folder was watched, and nobody watches it.
	left func(folder string)
}

// watch counts the connection while it idles. A process that is killed ends it, as far as the upstream can see.
func (i *idlers) watch(conn net.Conn) net.Conn { return &idler{Conn: conn, all: i} }

func (i *idlers) add(folder string, n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now[folder] += n
	i.most = max(i.most, i.now[folder])
}

func (i *idlers) leave(folder string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.left != nil && i.now[folder] == 0 {
		i.left(folder)
	}
}

// everywhere reports whether each of so many folders is watched by one connection.
func (i *idlers) everywhere(folders int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for account := range folders {
		if i.now[folderOf(account)] != 1 {
			return false
		}
	}
	return true
}

// idler is one connection. Its reader is the server's, and has no other beside it.
type idler struct {
	net.Conn
	all    *idlers
	line   []byte
	folder string
	// idles is so from IDLE to DONE, watched from the first IDLE to the end of the connection.
	idles, watched bool
}

func (c *idler) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.line = append(c.line, p[:n]...)
	for {
		line, rest, whole := bytes.Cut(c.line, []byte("\r\n"))
		if !whole {
			break
		}
		c.line = rest
		words := strings.Fields(string(line))
		switch {
		case len(words) > 2 && (words[1] == "SELECT" || words[1] == "EXAMINE"):
			c.folder = strings.Trim(words[2], `"`)
		case len(words) == 2 && words[1] == "IDLE":
			c.set(true)
		case len(words) == 1 && words[0] == "DONE":
			c.set(false)
		}
	}
	if err != nil {
		c.set(false)
		if c.watched {
			c.all.leave(c.folder)
		}
		c.watched = false
	}
	return n, err
}

func (c *idler) set(idles bool) {
	switch {
	case idles && !c.idles:
		c.all.add(c.folder, 1)
	case !idles && c.idles:
		c.all.add(c.folder, -1)
	}
	c.idles, c.watched = idles, c.watched || idles
}

// TestWatchersAreLeased: each account is watched by one node at a time, which has its lease. Mail is delivered as it arrives, once, also where that is
// when a node was killed, or has handed its accounts over, and nobody watches them yet.
func TestWatchersAreLeased(t *testing.T) {
	t.Parallel() // it mostly waits
	const accounts = 6
	n := startNodes(t, 3, accounts, time.Hour, func(n *nodes) { n.idlers = &idlers{now: map[string]int{}} })
	held := func(where string) int {
		return postgrestest.Ask[int](t, n.url, "SELECT count(*)::int FROM truehop.lease JOIN truehop.node ON node.id = lease.node WHERE node.expires > clock_timestamp() AND "+where)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	name := func(one *node) string { return fmt.Sprintf("pid %d on %s", one.Process.Pid, host) }
	shared := func(nodes []*node) bool {
		for _, one := range nodes {
			if held("name = '"+name(one)+"'") != accounts/len(nodes) {
				return false
			}
		}
		return n.idlers.everywhere(accounts)
	}
	passes := func() int {
		return postgrestest.Ask[int](t, n.url, "SELECT count(*)::int FROM truehop.pass WHERE ended > 0")
	}
	delivered := func(when string) {
		t.Helper()
		began := time.Now()
		n.await(t, "all mail has been taken "+when, n.empty)
		t.Logf("%s mail was taken within %v", when, time.Since(began).Round(100*time.Millisecond))
	}

	n.await(t, "each mailbox has been looked at", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.polls) == accounts
	})
	n.await(t, "each node watches its accounts, and has made its first passes", func() bool { return passes() == accounts && shared(n.all) })
	n.add()
	delivered("while all are watched")

	victim := n.all[0]
	_ = victim.Process.Kill()
	victim.wait(t)
	n.add()
	delivered("while a node is dead")
	n.await(t, "the others watch its accounts", func() bool { return shared(n.all[1:]) })
	n.add()
	delivered("while two watch")
	n.start(t, victim)
	n.await(t, "it has its share again", func() bool { return shared(n.all) })
	n.add()
	delivered("while all are watched again")

	gaps := 0
	n.idlers.mu.Lock()
	n.idlers.left = func(folder string) {
		gaps, n.added = gaps+1, n.added+1
		n.store.Add(folder, scriptMail(n.added))
	}
	n.idlers.mu.Unlock()
	n.drain(t, n.all[1], name(n.all[2]))
	n.await(t, "two watch what the third has handed over", func() bool { return shared(n.all[:2]) })
	n.await(t, "each account that it had was left for a moment", func() bool {
		n.idlers.mu.Lock()
		defer n.idlers.mu.Unlock()
		return gaps >= accounts/3
	})
	delivered("that came when nobody watched")
	n.idlers.mu.Lock()
	n.idlers.left = nil
	most := n.idlers.most
	n.idlers.mu.Unlock()

	if most != 1 {
		t.Errorf("%d watched one account at a time", most)
	}
	if labelled := n.end(t); labelled != 0 || n.mta.Count() != n.added {
		t.Errorf("%d messages arrived, %d labelled; want %d, none", n.mta.Count(), labelled, n.added)
	}
	for _, one := range n.all {
		if one.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
			t.Errorf("%s did not end by itself", one.config)
		}
	}
}
