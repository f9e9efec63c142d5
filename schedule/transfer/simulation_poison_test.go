package transfer_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

var (
	simSeeds = flag.Int("sim.seeds", 0, "how many histories TestSimulation and TestPoisonedSimulation play each; 0 is for the few of an ordinary run")
	simFirst = flag.Int("sim.first", 1, "the first of the histories")
	simSeed  = flag.Uint64("sim.seed", 0, "play this history alone; TestPoisonedSimulation traces it")
)

// fault is one thing that goes wrong.
type fault string

// What is the fate of a message for ever.
const (
	closesSession    fault = "the upstream closes the session at it"
	wrongLiteral     fault = "its literal is announced too long"
	refusesRetrieval fault = "the upstream answers NO or -ERR without a code"
	neverHandedOut   fault = "it is listed and never handed out"
	mailboxFull      fault = "452 4.2.2 to RCPT"
	unknownUser      fault = "550 5.1.1 to RCPT"
	authRequired     fault = "530 to MAIL"
	closesAtXCLIENT  fault = "the MTA closes at its XCLIENT"
	closesAtEHLO     fault = "the MTA closes at its EHLO"
	deferredForEver  fault = "451 to the dot, always"
	refusedAtRcpt    fault = "554 to RCPT"
	refusedAtDot     fault = "554 to the dot"
	partlyRefused    fault = "554 to RCPT of one of two"
	tooLargeForSpool fault = "above 1 MiB, and the spool is full for a time"
)

// askedForNewOnly is no fault: the histories must have a pass ask for what is new only.
const askedForNewOnly fault = "the upstream is asked for what is new only"

// What goes wrong now and then.
const (
	byeOnLargeSets fault = "BYE to a FETCH of more than one"
	upstreamDown   fault = "the upstream does not answer"
	upstreamLost   fault = "the upstream's connection is lost"
	loginBusy      fault = "the upstream is busy"
	mtaDown        fault = "the MTA does not answer"
	busyGreeting   fault = "the MTA greets with 421"
	greylisted     fault = "450 to RCPT, once"
	storageFull    fault = "452 4.3.1 to RCPT, once"
	tempDot        fault = "451 to the dot, once"
	tempDotTaken   fault = "451 to the dot, and taken"
	replyLost      fault = "the connection is lost behind the dot"
	replyLostTaken fault = "the connection is lost behind the dot, and taken"
	silentDot      fault = "silence behind the dot"
	silentDotTaken fault = "silence behind the dot, and taken"
	vanished       fault = "vanished upstream before delivery"
	uidAgain       fault = "a UID that is free is given again"
	uidOtherSize   fault = "a UID comes back with another size"
	newValidity    fault = "a new UIDVALIDITY"
	validityInPass fault = "a new UIDVALIDITY between two sessions of a pass"
	liesOfNext     fault = "UIDNEXT is not true"
	liesOfModSeq   fault = "HIGHESTMODSEQ is not true"
	crashed        fault = "the process dies"
	restored       fault = "the ledger is restored from an older copy"
)

// fates are what may be the fate of a message, with the states that may stand in the ledger at the end.
var fates = map[fault][]ledger.State{
	closesSession:    {ledger.Deferred, ledger.Held},
	wrongLiteral:     {ledger.Deferred, ledger.Held},
	refusesRetrieval: {ledger.Deferred, ledger.Held},
	neverHandedOut:   {ledger.Deferred, ledger.Held},
	mailboxFull:      {ledger.Deferred, ledger.Held},
	unknownUser:      {ledger.Held},
	authRequired:     {ledger.Deferred, ledger.Held, ledger.Refused},
	closesAtXCLIENT:  {ledger.Deferred, ledger.Held},
	closesAtEHLO:     {ledger.Deferred, ledger.Held},
	deferredForEver:  {ledger.Deferred, ledger.Held},
	refusedAtRcpt:    {ledger.Refused},
	refusedAtDot:     {ledger.Refused},
	partlyRefused:    {ledger.PartlyRefused},
	tooLargeForSpool: {ledger.Delivered},
	"":               {ledger.Delivered},
}

// passing are the faults that pass.
var passing = []fault{byeOnLargeSets, upstreamDown, upstreamLost, loginBusy, mtaDown, busyGreeting, greylisted, storageFull,
	tempDot, tempDotTaken, replyLost, replyLostTaken, silentDot, silentDotTaken, vanished, uidAgain, uidOtherSize, newValidity, validityInPass, liesOfNext, liesOfModSeq, crashed, restored, askedForNewOnly}

// TestPoisonedSimulation plays seeded histories of an upstream, an MTA, a disk and a clock in which single messages
// are poison and everything fails now and then. When the faults have stopped, every good message must have arrived,
// every other one must be in a state that says why, no second copy may be unlabelled, and nothing may have been
// deleted without a verdict.
func TestPoisonedSimulation(t *testing.T) {
	if *simSeed != 0 {
		synctest.Test(t, func(t *testing.T) {
			played := playOne(t, "", *simSeed, nil)
			t.Logf("%s", strings.Join(played.trace, "\n"))
			for _, p := range played.problems {
				t.Error(p)
			}
		})
		return
	}
	seeds := cmp.Or(*simSeeds, poisonedHistories)
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // sessions come and go, and their buffers with them
	const chunk = 50
	var mu sync.Mutex
	total := map[fault]int{}
	t.Run("histories", func(t *testing.T) {
		end := *simFirst + seeds
		for first := *simFirst; first < end; first += chunk {
			t.Run(strconv.Itoa(first), func(t *testing.T) {
				t.Parallel()
				counts := playChunk(t, "", uint64(first), uint64(min(first+chunk, end)), nil)
				mu.Lock()
				defer mu.Unlock()
				for f, n := range counts {
					total[f] += n
				}
			})
		}
	})
	all := slices.Clone(passing)
	for f := range fates {
		all = append(all, f)
	}
	slices.Sort(all)
	for _, f := range slices.Compact(all) {
		if f == "" {
			continue
		}
		t.Logf("%8d times  %s", total[f], f)
		if least := seeds / 100; total[f] < least {
			t.Errorf("%q happened %d times in %d histories, want %d at least", f, total[f], seeds, least)
		}
	}
}

// TestPoisonedSimulationOnPostgreSQL plays some of the histories with the record in a database: those in which the process dies. The
// record is never restored there from a copy.
func TestPoisonedSimulationOnPostgreSQL(t *testing.T) {
	url := postgrestest.New(t)
	dies := func(seed uint64) bool {
		h := &poisoned{seed: seed}
		for pass := 1; pass <= busyPasses; pass++ {
			if h.number("crash", pass)%40 == 0 {
				return true
			}
		}
		return false
	}
	played, died := 0, 0
	enough := func() bool { return played >= max(cmp.Or(*simSeeds, poisonedHistories)/100, 1) && died > 0 }
	const most = 20
	for seed := uint64(*simFirst); !enough() && played < most; seed++ {
		if dies(seed) {
			died += playChunk(t, url, seed, seed+1, map[string]bool{string(restored): true})[crashed]
			played++
		}
	}
	if t.Logf("the process died %d times", died); died == 0 {
		t.Error("the process never died")
	}
}

// playChunk plays the histories from one seed up to another with one ledger, of a database or of its own, and returns what went wrong in them.
func playChunk(t *testing.T, database string, from, to uint64, without map[string]bool) map[fault]int {
	t.Helper()
	total := map[fault]int{}
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk(t, database)
		defer d.close(t)
		for seed := from; seed < to; seed++ {
			h := play(t, d, seed, without)
			for f, n := range h.counts {
				total[f] += n
			}
			if len(h.problems) > 0 {
				t.Errorf("%s", smallest(t, h))
				return
			}
		}
	})
	return total
}

// smallest leaves out of a history that failed whatever it fails without, and describes it.
func smallest(t *testing.T, failed *poisoned) string {
	without := maps.Clone(failed.without)
	if without == nil {
		without = map[string]bool{}
	}
	attempt := func(what string) {
		without[what] = true
		if smaller := playOne(t, failed.disk.database, failed.seed, without); len(smaller.problems) > 0 {
			failed = smaller
		} else {
			delete(without, what)
		}
	}
	for n := failed.next; n > 0; n-- {
		attempt("message " + strconv.Itoa(n))
	}
	for f := range failed.counts {
		attempt(string(f))
	}
	for n := busyPasses; n > 0; n-- {
		attempt("pass " + strconv.Itoa(n))
	}
	return fmt.Sprintf("seed %d: play it alone with -sim.seed=%[1]d\n%s\nThe least that fails:\n%s",
		failed.seed, strings.Join(failed.problems, "\n"), strings.Join(failed.trace, "\n"))
}

// playOne plays one history with a ledger of its own.
func playOne(t *testing.T, database string, seed uint64, without map[string]bool) *poisoned {
	d := newSimDisk(t, database)
	defer d.close(t)
	return play(t, d, seed, without)
}

// number is drawn for a purpose: what else is drawn does not change it.
func (h *poisoned) number(purpose string, keys ...int) int {
	sum := sha256.Sum256(fmt.Append(nil, h.seed, purpose, keys))
	return int(binary.BigEndian.Uint32(sum[:]))
}

// off reports whether a fault is not to happen.
func (h *poisoned) off(f fault) bool {
	return h.calm || h.without[string(f)]
}

// draw decides whether a fault happens, and notes it.
func (h *poisoned) draw(f fault, oneIn int, keys ...int) bool {
	h.mu.Lock()
	off := h.off(f)
	h.mu.Unlock()
	if off || h.number(string(f), keys...)%oneIn != 0 {
		return false
	}
	n := 0
	if len(keys) > 1 {
		n = keys[0]
	}
	h.happened(f, n)
	return true
}

// count numbers the occasions of a fault for a message.
func (h *poisoned) count(f fault, n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := string(f) + strconv.Itoa(n)
	h.times[key]++
	return h.times[key]
}

// happened notes a fault with message n, or with none if n is 0.
func (h *poisoned) happened(f fault, n int) {
	h.mu.Lock()
	h.counts[f]++
	h.mu.Unlock()
	if n > 0 {
		h.note("message %d: %s", n, f)
	} else {
		h.note("%s", f)
	}
}

func (h *poisoned) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trace = append(h.trace, fmt.Sprintf("pass %d: ", h.passes)+fmt.Sprintf(format, args...))
}

func (h *poisoned) fail(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problems = append(h.problems, fmt.Sprintf(format, args...))
}

// fateOf is the fate of message n for ever, "" for a good one.
func (h *poisoned) fateOf(n int) fault {
	// In some histories most messages have the same fate.
	common, which := 3, n
	if h.number("epidemic")%8 == 0 {
		common, which = 6, 0
	}
	if n == 0 || h.number("poison", n)%9 >= common {
		return ""
	}
	var possible []fault
	for f := range fates {
		if f != "" {
			possible = append(possible, f)
		}
	}
	slices.Sort(possible)
	f := possible[h.number("fate", which)%len(possible)]
	switch {
	case h.without[string(f)], f == wrongLiteral && h.pop3, f == partlyRefused && len(h.recipients) == 1:
		return ""
	case f == tooLargeForSpool && h.number("large", n)%2 > 0:
		return "" // such a one takes time
	}
	return f
}
