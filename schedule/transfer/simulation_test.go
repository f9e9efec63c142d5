package transfer_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"

	"github.com/truehop/truehop/schedule/transfer"
)

// TestSimulation plays seeded histories of mailbox, MTA and process with faults of all kinds, and holds
// each against the promises. -sim.seeds sets how many, -sim.seed plays one.
func TestSimulation(t *testing.T) {
	seeds := cmp.Or(*simSeeds, histories)
	w := newWorld(t)
	if *simSeed != 0 {
		simulate(t, w, *simSeed)
		return
	}
	asItWas := 0
	for n := range seeds {
		seed := uint64(*simFirst + n)
		asItWas += simulate(t, w, seed)
		if t.Failed() {
			t.Fatalf("seed %d: play it alone with -sim.seed=%d", seed, seed)
		}
	}
	if t.Logf("%d passes found the list as it was", asItWas); asItWas < seeds/2 {
		t.Error("want one in two histories at least")
	}
}

// history is one seed's world and what is known of it from outside.
type history struct {
	*world
	// random decides for the mailbox, whose steps come one after the other. The MTA's whims depend on
	// the message and the attempt alone, because its steps do not.
	random *rand.Rand
	whims  map[string]int
	seed   uint64
	// next numbers the messages.
	next int
	// copies counts what the MTA holds of each message for each recipient, doubts the times nobody could
	// know, refused those it refused, labelled the copies that say that they may be second ones.
	copies, doubts, labelled map[string]int
	refused                  map[string]bool
	// silent says that several passes follow each other in which nothing comes. asItWas counts those that found the list so.
	silent  bool
	asItWas int
}

// simulate plays a history, and returns how many of its passes found the list of messages as it was.
func simulate(t *testing.T, base *world, seed uint64) int {
	t.Helper()
	w := *base
	w.store = fakeserver.NewStore()
	h := &history{world: &w, random: rand.New(rand.NewPCG(seed, 1)), seed: seed, whims: map[string]int{},
		copies: map[string]int{}, doubts: map[string]int{}, labelled: map[string]int{}, refused: map[string]bool{}}
	w.reusable = h.random.IntN(2) == 0
	w.pass.Account = fmt.Sprintf("sim-%d", seed)
	w.pass.MTA = simMTA{h}
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) { return h.dial() }
	w.pass.Batch = 1 + h.random.IntN(4)
	w.pass.Flood = transfer.Flood{Limit: 1 << 20, Accept: !w.reusable} // what a person asks for has all looked at
	w.pass.Retry.GiveUp = 0
	w.pass.Now = func() time.Time { return w.clock }
	w.pass.Observe = nil
	if h.random.IntN(2) == 0 {
		w.pass.OnDelivered = fetch.Disposal{} // keep
	}
	// Nothing tells a UID that is given again at once from the old one, where nobody asked for that to go.
	w.once = w.reusable && w.pass.OnDelivered.Action == fetch.Delete && h.random.IntN(2) == 0
	// With long silences between arrivals, passes find the list of messages as it was.
	silences := rand.New(rand.NewPCG(seed, 3))
	if h.silent = w.reusable && silences.IntN(2) == 0; h.silent && w.pass.OnDelivered.Action == fetch.Keep {
		w.pass.DeleteAfter = time.Duration(silences.IntN(4)) * time.Hour
	}
	w.pass.Recipients = []string{"alice@example.net", "bob@example.net"}[:1+h.random.IntN(2)]
	if limits := rand.New(rand.NewPCG(seed, 2)); limits.IntN(2) == 0 {
		w.pass.Limit = transfer.Limit{Messages: limits.IntN(4), Octets: int64(limits.IntN(2) * limits.IntN(1500))}
	}
	for range 6 + h.random.IntN(6) {
		h.happen()
		w.clock = w.clock.Add(time.Duration(h.random.IntN(7200)) * time.Second)
		passes := 1
		if h.silent {
			passes += silences.IntN(4)
		}
		for range passes {
			_, err := w.pass.Run(t.Context())
			w.pass.Failed = err != nil
			h.expected(t, err)
			w.clock = w.clock.Add(time.Minute)
		}
	}
	h.calm(t)
	h.verify(t)
	return h.asItWas
}

// happen is what happens to the mailbox between passes.
func (h *history) happen() {
	for range h.random.IntN(4) {
		h.next++
		h.store.Add("", simMail(h.next))
		if h.reusable && h.random.IntN(4) == 0 {
			h.uidl(fmt.Sprintf("reused-%d", h.random.IntN(3)))
		}
	}
	if !h.reusable && h.random.IntN(8) == 0 {
		validity, _ := h.store.Validity("")
		h.store.SetValidity("", validity+1)
	}
}

func simMail(n int) []byte {
	return []byte(strings.Replace(string(mail(n%250)), fmt.Sprintf("Subject: number %d\r\n", n%250), fmt.Sprintf("Subject: number %d\r\n", n), 1))
}

// expected fails on an error that no fault of the simulation explains.
func (h *history) expected(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, errDied) || fetch.KindOf(err) == fetch.Unreachable || inject.KindOf(err) == inject.Unreachable {
		return
	}
	t.Errorf("seed %d: the pass ended with %v", h.seed, err)
}

// calm lets everything work until nothing is left to do.
func (h *history) calm(t *testing.T) {
	t.Helper()
	h.seed |= 1 << 63 // no more faults
	step, enough := 24*time.Hour, 4
	if h.silent { // all has to come right before the daily look at all of it
		step, enough = 70*time.Minute, 8
	}
	for passes, quiet := 0, 0; quiet < enough; passes++ {
		h.clock = h.clock.Add(step)
		s, err := h.pass.Run(t.Context())
		if err != nil || passes > 100 {
			t.Fatalf("seed %d: with all faults gone pass %d left %d messages and ended with %v", h.seed&^(1<<63), passes+1, s.Left, err)
		}
		h.pass.Failed = false
		if s.Left == 0 {
			quiet++
		}
	}
	h.seed &^= 1 << 63
}

func (h *history) faulty(oneIn int) bool { return h.seed>>63 == 0 && h.random.IntN(oneIn) == 0 }

// whim is faulty for the MTA.
func (h *history) whim(id string, oneIn int) bool {
	h.whims[id]++
	n, _ := strconv.Atoi(id)
	return h.seed>>63 == 0 && rand.New(rand.NewPCG(h.seed, uint64(n)<<32|uint64(h.whims[id]))).IntN(oneIn) == 0
}

// verify holds the history against the promises.
func (h *history) verify(t *testing.T) {
	t.Helper()
	stays := map[string]bool{}
	for n := 1; n <= h.next; n++ {
		for _, to := range h.pass.Recipients {
			id := strconv.Itoa(n) + " " + to
			switch {
			case h.copies[id] == 0 && !h.refused[id]:
				t.Errorf("seed %d: message %s was lost", h.seed, id)
			case h.copies[id] > 1+h.doubts[id]:
				t.Errorf("seed %d: message %s arrived %d times with %d doubts", h.seed, id, h.copies[id], h.doubts[id])
			case h.copies[id] > 1+h.labelled[id]:
				t.Errorf("seed %d: message %s arrived %d times, %d of them labelled", h.seed, id, h.copies[id], h.labelled[id])
			}
			stays["number "+strconv.Itoa(n)] = stays["number "+strconv.Itoa(n)] || h.refused[id]
		}
	}
	left := map[string]bool{}
	for _, m := range h.store.List("") {
		left[taken{body: string(m.Raw())}.subject()] = true
	}
	if h.pass.OnDelivered.Action == fetch.Delete || h.pass.DeleteAfter > 0 {
		for n := 1; n <= h.next; n++ {
			if id := "number " + strconv.Itoa(n); left[id] != stays[id] {
				t.Errorf("seed %d: message %s: refused for somebody %v, left upstream %v", h.seed, id, stays[id], left[id])
			}
		}
	} else if len(left) != h.next {
		t.Errorf("seed %d: %d of %d messages are left in a mailbox that keeps them", h.seed, len(left), h.next)
	}
}

// simMTA takes, refuses, defers, dies and loses replies.
type simMTA struct{ *history }

func (m simMTA) Submit(ctx context.Context, msg *inject.Message, done func(inject.Receipt)) error {
	r, err := msg.Body()
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	id := strings.TrimPrefix(taken{body: string(raw)}.subject(), "number ")
	if m.whim(id, 15) {
		r := inject.Receipt{Stage: "connect", BeforeClient: true, Err: &inject.Error{Kind: inject.Unreachable, Op: "connect"}}
		alike(&r, msg)
		done(r)
		return nil
	}
	var receipt inject.Receipt
	var accepted []string
	for _, to := range msg.To {
		one := m.rcpt(id, to)
		if one.Outcome == inject.Delivered {
			accepted = append(accepted, id+" "+to)
		}
		receipt.Recipients = append(receipt.Recipients, one)
	}
	if len(accepted) > 0 {
		if err := msg.BeforeDot(ctx); err != nil {
			return err
		}
		if err := m.dot(id, accepted, msg, &receipt); err != nil {
			return err
		}
	}
	for _, o := range []inject.Outcome{inject.InDoubt, inject.Deferred, inject.Delivered, inject.Refused} {
		if i := slices.IndexFunc(receipt.Recipients, func(r inject.RecipientReceipt) bool { return r.Outcome == o }); i >= 0 {
			receipt.Outcome, receipt.Stage, receipt.Reply = o, receipt.Recipients[i].Stage, receipt.Recipients[i].Reply
			break
		}
	}
	done(receipt)
	return nil
}

// rcpt is what one recipient is told: some messages are refused for one of them, some for both.
func (m simMTA) rcpt(id, to string) inject.RecipientReceipt {
	r := inject.RecipientReceipt{Address: to, Outcome: inject.Delivered, Stage: "dot", Reply: accept().Reply}
	n, _ := strconv.Atoi(id)
	switch {
	case m.whim(id, 6):
		r.Outcome, r.Stage, r.Reply = inject.Deferred, "RCPT", inject.Reply{Code: 450, Enhanced: "4.7.1", Text: "later"}
	case n%7 == 0, n%5 == 0 && strings.HasPrefix(to, "bob"):
		m.refused[id+" "+to] = true
		r.Outcome, r.Stage, r.Reply = inject.Refused, "RCPT", inject.Reply{Code: 554, Enhanced: "5.7.1", Text: "no"}
	}
	return r
}

// dot is the moment of doubt: the MTA takes the message or not, and the reply arrives or not, or the
// process dies before it does.
func (m simMTA) dot(id string, accepted []string, msg *inject.Message, receipt *inject.Receipt) error {
	lost, died := m.whim(id, 8), m.whim(id, 10)
	taken := !lost && !died || m.whim(id, 2)
	for _, to := range accepted {
		if lost || died {
			m.doubts[to]++
		}
		if taken {
			m.take(to, msg)
		}
	}
	if died {
		return errDied
	}
	if !lost {
		return nil
	}
	receipt.Err = &inject.Error{Kind: inject.Unreachable, Op: "dot"}
	for i := range receipt.Recipients {
		if r := &receipt.Recipients[i]; r.Outcome == inject.Delivered {
			r.Outcome, r.Reply = inject.InDoubt, inject.Reply{}
		}
	}
	return nil
}

func (m simMTA) take(id string, msg *inject.Message) {
	m.copies[id]++
	if strings.Contains(string(msg.Header), "Truehop-Redelivery: possible") {
		m.labelled[id]++
	}
}

// dial opens a session that may break at any step.
func (h *history) dial() (fetch.Mailbox, error) {
	if h.faulty(12) {
		return nil, &fetch.Error{Kind: fetch.Unreachable, Op: "connect"}
	}
	return &simSession{session: &session{world: h.world, number: 1}, history: h}, nil
}

type simSession struct {
	*session
	history *history
}

var errLost = &fetch.Error{Kind: fetch.Unreachable, Op: "connection lost"}

func (s *simSession) Open(ctx context.Context, folder string) (*fetch.Listing, error) {
	if s.history.faulty(20) {
		return nil, errLost
	}
	l, err := s.session.Open(ctx, folder)
	if err == nil && s.history.faulty(20) {
		l.Refs = nil // a server that shows an empty mailbox once
	}
	if err == nil && s.reusable {
		l.Status = sumOf(l.Refs)
	}
	return l, err
}

// OpenSince is that of POP3.
func (s *simSession) OpenSince(ctx context.Context, folder string, before fetch.Status) (*fetch.Listing, error) {
	l, err := s.Open(ctx, folder)
	if err == nil && l.Status == before {
		l.Refs, l.Earlier = nil, len(l.Refs)
		s.history.asItWas++
	}
	return l, err
}

// sumOf sums up messages of which each has a UID of its own.
func sumOf(refs []fetch.Ref) fetch.Status {
	digest, seen := fnv.New64a(), map[string]bool{}
	for _, ref := range refs {
		if seen[ref.UID] {
			return fetch.Status{}
		}
		seen[ref.UID] = true
		fmt.Fprintf(digest, "%q %d\n", ref.UID, ref.Size)
	}
	return fetch.Status{Messages: uint32(len(refs)), ModSeq: digest.Sum64()>>1 | 1}
}

func (s *simSession) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	if s.history.faulty(10) {
		refs = refs[:s.history.random.IntN(len(refs)+1)]
		if err := s.session.Retrieve(ctx, refs, sink); err != nil {
			return err
		}
		return errLost
	}
	return s.session.Retrieve(ctx, refs, sink)
}

func (s *simSession) Settle(ctx context.Context, d fetch.Disposal, refs []fetch.Ref) ([]fetch.Failure, error) {
	if s.history.faulty(8) {
		return nil, errLost
	}
	return s.session.Settle(ctx, d, refs)
}

// Close may lose its way there, or the reply on its way back.
func (s *simSession) Close(ctx context.Context) error {
	if s.history.faulty(8) {
		return errLost
	}
	if err := s.session.Close(ctx); err != nil {
		return err
	}
	if s.history.faulty(8) {
		return errLost
	}
	return nil
}

func (s *simSession) Leave(ctx context.Context) error {
	if s.history.faulty(8) {
		return errLost
	}
	return s.session.Leave(ctx)
}

var _ transfer.Injector = simMTA{}
