package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
	"github.com/truehop/truehop/schedule/transfer"
)

// simDisk is a ledger that can be closed, copied and put back, or one in a database, which cannot be copied.
type simDisk struct {
	dir, database string
	ledger        simLedger
}

type simLedger interface {
	transfer.Ledger
	Lock(account string) (unlock func() error, err error)
	Close() error
}

func newSimDisk(t *testing.T, database string) *simDisk {
	t.Helper()
	dir, err := os.MkdirTemp("", "sim")
	if err != nil {
		t.Fatal(err)
	}
	d := &simDisk{dir: dir, database: database}
	d.open(t)
	return d
}

func (d *simDisk) open(t *testing.T) {
	t.Helper()
	var err error
	if d.database == "" {
		d.ledger, err = ledger.Open(context.Background(), filepath.Join(d.dir, "state"))
	} else {
		// Days pass in no time here: leases of the usual term would be renewed without end.
		d.ledger, err = postgres.Open(context.Background(), postgres.Options{URL: d.database, Connections: 2, Term: 24 * time.Hour})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (d *simDisk) close(t *testing.T) {
	if err := errors.Join(d.ledger.Close(), os.RemoveAll(d.dir)); err != nil {
		t.Error(err)
	}
}

// copy closes the ledger, copies its database from one place to another, and opens it.
func (d *simDisk) copy(t *testing.T, from, to string) {
	t.Helper()
	if err := d.ledger.Close(); err != nil {
		t.Error(err)
	}
	octets, err := os.ReadFile(filepath.Join(d.dir, from))
	if err == nil {
		_ = os.Remove(filepath.Join(d.dir, to)) // a copy that is put back is another file
		err = os.WriteFile(filepath.Join(d.dir, to), octets, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.open(t)
}

// pass makes one pass.
func (h *poisoned) pass(t *testing.T) {
	ctx := context.Background()
	steps := 0
	if dies := h.number("crash", h.passes)%40 == 0; dies && !h.off(crashed) {
		steps = 1 + h.number("step", h.passes)%60
	}
	h.mu.Lock()
	h.crashIn, h.dead, h.conns, h.sessions = steps, false, nil, 0
	h.mu.Unlock()
	spoolDir := h.disk.dir
	if h.number("spool", h.passes)%2 == 0 && !h.off(tooLargeForSpool) {
		spoolDir = filepath.Join(h.disk.dir, "none") // as good as a full one
		for _, m := range h.store.List("") {
			if n := subjectOf(m.Raw()); h.fateOf(n) == tooLargeForSpool && h.arrived(n) == 0 {
				h.happened(tooLargeForSpool, n)
			}
		}
	}
	pool := inject.NewPool(h.dialMTA, inject.Options{Connections: 1, Hello: "truehop.example.net"})
	p := transfer.Pass{
		Account: fmt.Sprintf("sim-%d", h.seed), Folders: []string{"INBOX"}, Dial: h.dialUpstream, MTA: pool, Ledger: h.disk.ledger,
		Policy:     received.Policy{MX: []string{"mx.example.net"}},
		LookupName: func(context.Context, netip.Addr) transfer.Name { return transfer.Name{} },
		Recipients: h.recipients, OnDelivered: h.disposal,
		Retry: transfer.Retry{Min: 5 * time.Minute, Max: time.Hour}, Flood: transfer.Flood{Limit: 100},
		SpoolDir: spoolDir, Budget: semaphore.NewWeighted(8 << 20), BudgetSize: 8 << 20,
		Ordered: true, Batch: h.number("batch") % 7, // 0 is the default, which is all of them
		Observe: h.observe, Last: h.lastPass,
	}
	h.lastPass = time.Now()
	if h.pop3 {
		p.Folders = []string{""}
	}
	unlock, err := h.disk.ledger.Lock(p.Account)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.Run(ctx); err != nil {
		h.events++
	}
	_ = unlock() // a process that died has not done it
	h.note("the pass ends: %v", err)
	if err := pool.Close(ctx); err != nil {
		t.Error(err)
	}
	h.peers.Wait()
	if h.isDead() {
		_ = h.disk.ledger.Close()
		if h.disk.database != "" {
			postgrestest.ExpireLeases(t, h.disk.database)
		}
		h.disk.open(t)
	}
}

func (h *poisoned) observe(e transfer.Event) {
	if e.Kind != transfer.Listed {
		h.events++
	}
	switch e.Kind {
	case transfer.Verdict, transfer.Recognised:
		h.note("%s of UID %s: %s %s", e.Kind, e.Ref.UID, e.State, e.Why)
	case transfer.NotRetrieved, transfer.NotSettled:
		h.note("%s: UID %s: %v", e.Kind, e.Ref.UID, e.Err)
	}
}

// track counts the client's steps on a connection.
func (h *poisoned) track(conn net.Conn) net.Conn {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns = append(h.conns, conn)
	return &mortalConn{conn, h}
}

func (h *poisoned) isDead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dead
}

// step is one read or write of the process, which may die before it: then nothing leaves it any more, neither to its
// peers nor to its disk.
func (h *poisoned) step() error {
	h.mu.Lock()
	dies := h.crashIn == 1
	h.crashIn--
	if dies {
		h.dead = true
		h.counts[crashed]++
	}
	dead, conns := h.dead, h.conns
	h.mu.Unlock()
	if dies {
		h.note("%s", crashed)
		_ = h.disk.ledger.Close() // the pass's own writes fail from here on
		for _, c := range conns {
			_ = c.Close()
		}
	}
	if dead {
		return net.ErrClosed
	}
	return nil
}

// mortalConn is a connection of a process that may die.
type mortalConn struct {
	net.Conn
	h *poisoned
}

func (c *mortalConn) Write(p []byte) (int, error) {
	if err := c.h.step(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *mortalConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if dead := c.h.step(); dead != nil {
		return 0, dead
	}
	return n, err
}
