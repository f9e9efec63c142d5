package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/schedule/ledger"
)

const (
	// busyPasses are those with faults, quietPasses the most that follow without.
	busyPasses  = 4
	quietPasses = 6
)

// poisoned is one history.
type poisoned struct {
	disk *simDisk
	seed uint64
	// without is what is left out, by name.
	without map[string]bool
	store   *fakeserver.Store
	// The kind of mailbox.
	pop3, once, bye bool
	disposal        fetch.Disposal
	recipients      []string
	// next numbers the messages, passes the passes; peers are the servers' goroutines.
	next, passes int
	peers        sync.WaitGroup

	mu sync.Mutex
	// calm says that the faults have stopped.
	calm   bool
	counts map[fault]int
	times  map[string]int
	// copies and labelled count what the MTA took, by message and recipient; lost are the messages that
	// another hand removed.
	copies, labelled map[string]int
	lost             map[int]bool
	raw              map[int][]byte
	uidls            map[int]string
	conns            []net.Conn
	sessions         int // with the upstream, in the pass under way
	// crashIn counts the client's reads and writes down to its death.
	crashIn int
	dead    bool
	// events counts what the passes told, but for listings and failed passes, which count as one.
	events          int
	lastPass        time.Time // when the last pass began
	problems, trace []string
}

func play(t *testing.T, d *simDisk, seed uint64, without map[string]bool) *poisoned {
	h := &poisoned{disk: d, seed: seed, without: without, store: fakeserver.NewStore(), counts: map[fault]int{}, times: map[string]int{},
		copies: map[string]int{}, labelled: map[string]int{}, lost: map[int]bool{}, raw: map[int][]byte{}, uidls: map[int]string{}}
	kind := h.number("kind")
	h.pop3, h.once, h.bye = kind%2 == 0, kind>>1%2 == 0, kind>>2%3 == 0 && !h.off(byeOnLargeSets)
	if kind>>4%3 > 0 {
		h.disposal = fetch.Disposal{Action: fetch.Delete}
	}
	h.recipients = []string{"alice@example.net", "bob@example.net"}[:1+kind>>6%2]
	backup := 1 + h.number("backup")%3
	for h.passes = 1; h.passes <= busyPasses; h.passes++ {
		h.happen()
		time.Sleep(time.Duration(h.number("wait", h.passes)%7200) * time.Second)
		switch restores := h.number("restores")%20 == 0 && !h.off(restored); {
		case restores && h.passes == backup:
			d.copy(t, "state/ledger.db", "backup")
		case restores && h.passes == backup+1:
			h.happened(restored, 0)
			d.copy(t, "backup", "state/ledger.db")
		}
		if !h.without["pass "+strconv.Itoa(h.passes)] {
			h.pass(t)
		}
	}
	h.calm = true
	h.note("the faults stop")
	for range quietPasses {
		time.Sleep(25 * time.Hour)
		before := h.events
		if h.pass(t); h.events == before {
			break // nothing is left to do
		}
		h.passes++
	}
	h.verify(t)
	return h
}

// happen is what happens to the mailbox between two passes.
func (h *poisoned) happen() {
	switch {
	case h.pop3:
	case h.draw(newValidity, 12, h.passes):
		validity, _ := h.store.Validity("")
		h.store.SetValidity("", validity+1)
	}
	for _, m := range h.store.List("") {
		n := subjectOf(m.Raw())
		if h.arrived(n) == 0 && h.draw(vanished, 25, n, h.passes) {
			h.store.Remove("", m.UID)
			h.lost[n] = true
		}
	}
	arrivals := 3
	if h.passes == 1 {
		arrivals = 5
	}
	for range h.number("new", h.passes) % arrivals {
		h.next++
		if h.without["message "+strconv.Itoa(h.next)] {
			continue
		}
		h.arrive(h.next)
	}
}

// arrive puts message n into the mailbox.
func (h *poisoned) arrive(n int) {
	raw := mail(n, "X-Size: "+strings.Repeat("x", n))
	if h.fateOf(n) == tooLargeForSpool {
		raw = append(raw, bytes.Repeat([]byte("all work and no play makes jack a dull boy\r\n"), 25_000)...)
	}
	h.raw[n] = raw
	uid := h.store.Add("", raw)
	h.note("message %d arrives: %s", n, h.fateOf(n))
	if uidl, again := h.reuse(n); again && h.pop3 {
		h.store.Update("", uid, func(m *fakeserver.Message) { m.UIDL = uidl })
	}
	if m, ok := h.store.Get("", uid); ok {
		h.uidls[n] = m.UIDL
	}
}

// reuse finds for a new message the UIDL of an older one that was delivered and has gone: for this, where it was kept.
func (h *poisoned) reuse(n int) (uidl string, again bool) {
	there := map[string]uint32{}
	for _, m := range h.store.List("") {
		there[m.UIDL] = m.UID
	}
	for old := range h.uidls {
		delivered := h.fateOf(old) == "" && h.arrived(old) == len(h.recipients)
		if first := uidl == "" || h.uidls[old] < uidl; delivered && first {
			uidl = h.uidls[old]
		}
	}
	uid, here := there[uidl]
	switch {
	case uidl == "" || !h.pop3:
		return "", false
	case !here:
		return uidl, h.disposal.Action == fetch.Delete && h.draw(uidAgain, 3, n, 0)
	case h.disposal.Action == fetch.Keep && h.draw(uidOtherSize, 3, n, 0):
		m, _ := h.store.Get("", uid)
		h.lost[subjectOf(m.Raw())] = true // by another hand, after it was delivered
		return uidl, h.store.Remove("", uid) == 1
	}
	return "", false
}

// arrived is the number of recipients that have message n.
func (h *poisoned) arrived(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	has := 0
	for _, to := range h.recipients {
		if h.copies[strconv.Itoa(n)+" "+to] > 0 {
			has++
		}
	}
	return has
}

// accept is the MTA taking a message.
func (h *poisoned) accept(n int, to []string, raw []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !bytes.HasSuffix(raw, h.raw[n]) {
		h.problems = append(h.problems, fmt.Sprintf("message %d came in with %d octets that are not its own", n, len(raw)))
	}
	again := bytes.Contains(raw, []byte("Truehop-Redelivery: possible\r\n"))
	for _, each := range to {
		h.copies[strconv.Itoa(n)+" "+each]++
		if again {
			h.labelled[strconv.Itoa(n)+" "+each]++
		}
	}
	h.trace = append(h.trace, fmt.Sprintf("pass %d: the MTA takes message %d for %v, labelled: %t", h.passes, n, to, again))
}

// verify holds the history against the promises.
func (h *poisoned) verify(t *testing.T) {
	t.Helper()
	records, err := h.disk.ledger.List(context.Background(), ledger.Filter{Account: fmt.Sprintf("sim-%d", h.seed)})
	if err != nil {
		t.Fatal(err)
	}
	// What was never retrieved is known by its UID, without content.
	byHash, byUID := map[[32]byte][]ledger.Record{}, map[string][]ledger.Record{}
	for _, r := range records {
		if byHash[r.Hash] = append(byHash[r.Hash], r); r.Hash == [32]byte{} {
			byUID[r.UID] = append(byUID[r.UID], r)
		}
	}
	validity, _ := h.store.Validity("")
	upstream := map[int]fakeserver.Message{}
	for _, m := range h.store.List("") {
		upstream[subjectOf(m.Raw())] = m
	}
	for n := 1; n <= h.next; n++ {
		raw, ever := h.raw[n]
		if !ever {
			continue
		}
		fate := h.fateOf(n)
		m, here := upstream[n]
		found := byHash[sha256.Sum256(raw)]
		name := strconv.Itoa(int(m.UID))
		if h.pop3 {
			name = m.UIDL
		}
		if len(found) > 1 {
			h.fail("message %d has %d records: %+v", n, len(found), found)
		}
		// What was read once may have a second record while it cannot be read.
		var record ledger.Record
		known := false
		for _, r := range slices.Concat(byUID[name], found) {
			if !known || slices.Contains(fates[fate], r.State) {
				record, known = r, true
			}
			// What was not read, and whose size the server had no time to tell, may be lost.
			mayBeLost := r.State == ledger.Lost && r.Hash == [32]byte{} && r.Size <= 0
			if here && r.Validity != validity && !h.pop3 && !mayBeLost {
				h.fail("message %d has a record under an old UIDVALIDITY: %+v", n, r)
			}
		}
		for i, to := range h.recipients {
			h.verifyCopies(n, to, fate, i, here)
		}
		whole := h.arrived(n) == len(h.recipients)
		switch {
		case !here && !h.lost[n] && !whole:
			h.fail("message %d is gone upstream and was not delivered to all", n)
		case here && fate == "" && h.disposal.Action == fetch.Delete:
			h.fail("message %d was delivered and is still upstream", n)
		}
		if h.lost[n] {
			if known && !gone(record.State) {
				h.fail("message %d vanished and is %q in the ledger", n, record.State)
			}
			continue
		}
		if whole && !here && h.counts[restored] > 0 {
			continue // the older ledger cannot know of it
		}
		if !known || !slices.Contains(fates[fate], record.State) {
			h.fail("message %d (%s) is %q in the ledger (%t), want one of %q", n, fate, record.State, known, fates[fate])
		}
	}
}

// gone reports whether a message that is not upstream any more may be in this state.
func gone(s ledger.State) bool {
	return !slices.Contains([]ledger.State{ledger.Sending, ledger.Deferred, ledger.Doubt}, s)
}

// verifyCopies holds what one recipient got of message n against its fate.
func (h *poisoned) verifyCopies(n int, to string, fate fault, recipient int, here bool) {
	id := strconv.Itoa(n) + " " + to
	copies, labelled := h.copies[id], h.labelled[id]
	good := slices.Contains([]fault{"", tooLargeForSpool}, fate)
	if fate == partlyRefused {
		good = recipient == 0
	}
	switch {
	case good && copies == 0 && !h.lost[n]:
		h.fail("message %s never arrived (upstream: %t)", id, here)
	case !good && copies > 0:
		h.fail("message %s (%s) arrived", id, fate)
	case copies-labelled > 1:
		h.fail("message %s arrived %d times, %d of them labelled", id, copies, labelled)
	}
}
