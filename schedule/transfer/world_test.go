package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
	"github.com/truehop/truehop/schedule/transfer"
)

// world is everything around one pass, on this side of every wire: a mailbox in memory, an
// MTA that does as told, and a real ledger.
type world struct {
	t      *testing.T
	store  *fakeserver.Store
	mta    *mta
	ledger *ledger.Ledger
	pass   transfer.Pass
	clock  time.Time
	events []transfer.Event
	// validity and reusable are what the listing says; cut ends each body early at this
	// octet if positive; broken fails every retrieval.
	reusable bool
	cut      int
	broken   error
	listing  func([]fetch.Ref) []fetch.Ref
	sessions int
	// once makes the server count as fetched, and remove, what was retrieved in a session that ends with
	// QUIT. quits counts those sessions.
	once  bool
	quits int
	// rash is the number of the session in which the server deletes though it ends without QUIT.
	rash int
	// delay is the server's LOGIN-DELAY; login, if not nil, is called for each session before it
	// begins, with its number from 1 on.
	delay time.Duration
	login func(session int) error
	// gone is the UID of a message that is listed and cannot be retrieved; noDelete answers every deletion, and
	// farewell QUIT, if they are not nil.
	gone               uint32
	noDelete, farewell error
	// pretends makes the server say that it has deleted what it keeps.
	pretends bool
	// beyond are the bodies that turn out larger than the limit, by their numbers in the mailbox; of an
	// endless one the session ends.
	beyond  []uint32
	endless bool
	// marks has listings say which messages are marked as delivered; noMarks, if not nil, is why none can be.
	marks   bool
	noMarks error
	// together has listings say that messages are told apart by the order of the answers.
	together bool
	// retrieved counts the messages handed over; handing, if not nil, is called with each number before.
	retrieved int
	handing   func(number int)
}

// TestMain has records, and all else, in memory: nothing here is about what a disk keeps.
func TestMain(m *testing.M) {
	if err := os.Setenv("TMPDIR", postgrestest.Memory()); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func newWorld(t *testing.T) *world {
	t.Helper()
	record, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := record.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, store: fakeserver.NewStore(), mta: &mta{}, ledger: record, clock: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	w.pass = transfer.Pass{
		Account: "work", Folders: []string{""}, Dial: w.dial, MTA: w.mta, Ledger: record,
		Policy:      received.Policy{MX: []string{"mx.example.net"}},
		LookupName:  func(context.Context, netip.Addr) transfer.Name { return transfer.Name{Verified: "looked.up.example"} },
		Recipients:  []string{"alice@example.net"},
		OnDelivered: fetch.Disposal{Action: fetch.Delete}, RefusedGrace: refusedGrace, Target: "mta",
		Retry:    transfer.Retry{Min: 5 * time.Minute, Max: time.Hour, GiveUp: 5 * 24 * time.Hour},
		Flood:    transfer.Flood{Limit: 100},
		SpoolDir: t.TempDir(), Budget: semaphore.NewWeighted(8 << 20), BudgetSize: 8 << 20,
		Ordered: true,
		Now:     func() time.Time { return w.clock },
		Observe: func(e transfer.Event) { w.events = append(w.events, e) },
	}
	return w
}

// add puts a message into the mailbox, as a client at 203.0.113.N sent it.
func (w *world) add(n int, lines ...string) {
	w.store.Add("", mail(n, lines...))
}

func mail(n int, lines ...string) []byte {
	head := fmt.Sprintf("Return-Path: <sender%[1]d@example.org>\nReceived: from helo%[1]d.example.org (host%[1]d.example.org [203.0.113.%[1]d])\n\tby mx.example.net (Postfix) with ESMTPS id 4XyZ%[1]d\n\tfor <alice@example.net>; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)\n", n)
	for _, l := range lines {
		head += l + "\n"
	}
	return []byte(strings.ReplaceAll(head+"Subject: number "+strconv.Itoa(n)+"\n\nbody "+strconv.Itoa(n)+"\n", "\n", "\r\n"))
}

// run makes one pass and wants it to end without an error.
func (w *world) run() transfer.Summary {
	w.t.Helper()
	s, err := w.try()
	if err != nil {
		w.t.Fatalf("the pass failed: %v", err)
	}
	return s
}

func (w *world) try() (transfer.Summary, error) {
	w.events = nil
	return w.pass.Run(w.t.Context())
}

// proven records that the MTA took mail of three known clients for another account.
func (w *world) proven() {
	w.t.Helper()
	for n := range 3 {
		client := fmt.Sprintf("192.0.2.%d", n)
		rec := ledger.Record{Key: ledger.Key{Account: "other", UID: client}, State: ledger.Delivered}
		if err := w.ledger.PutJudged(w.t.Context(), rec, nil, ledger.Judgement{Target: w.pass.Target, Client: client, Taken: true}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// left is the number of messages upstream.
func (w *world) left(want int) {
	w.t.Helper()
	if got := len(w.store.UIDs("")); got != want {
		w.t.Errorf("%d messages are left upstream, want %d", got, want)
	}
}

// delivered wants the MTA to have these messages, by their numbers, each as often as named.
func (w *world) delivered(want ...int) {
	w.t.Helper()
	var got []int
	for _, m := range w.mta.taken {
		var n int
		if _, err := fmt.Sscanf(m.subject(), "number %d", &n); err != nil {
			w.t.Fatalf("the MTA has a message without its subject: %q", m.body)
		}
		got = append(got, n)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("the MTA took the messages %v, want %v", got, want)
	}
}

// states wants the ledger to count so.
func (w *world) states(want map[ledger.State]int) {
	w.t.Helper()
	got, err := w.ledger.Counts(w.t.Context(), "work")
	if err != nil {
		w.t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("the ledger counts %v, want %v", got, want)
	}
}

// mta is an MTA that gives the verdict it is told to, or takes everything.
type mta struct {
	mu      sync.Mutex
	verdict func(m *inject.Message, attempt int) inject.Receipt
	tries   int
	taken   []taken
}

// alike gives all recipients the outcome of the message, unless the receipt says what became of each.
func alike(r *inject.Receipt, m *inject.Message) {
	if r.Recipients != nil {
		return
	}
	for _, to := range m.To {
		r.Recipients = append(r.Recipients, inject.RecipientReceipt{Address: to, Outcome: r.Outcome, Stage: r.Stage, Reply: r.Reply})
	}
}

type taken struct {
	client inject.Client
	from   string
	to     []string
	header string
	body   string
}

func (t taken) subject() string {
	_, rest, _ := strings.Cut(t.body, "Subject: ")
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}

func (m *mta) Submit(ctx context.Context, msg *inject.Message, done func(inject.Receipt)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	receipt := inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250, Enhanced: "2.0.0", Text: "queued as Q"}}
	if m.verdict != nil {
		receipt = m.verdict(msg, m.tries)
	}
	receipt.Presented = msg.Client
	alike(&receipt, msg)
	if !msg.DryRun && (receipt.Outcome == inject.Delivered || receipt.Outcome == inject.InDoubt) {
		if err := msg.BeforeDot(ctx); err != nil {
			done(inject.Receipt{Stage: "dot", Err: &inject.Error{Kind: inject.Local, Op: "dot", Err: err}})
			return nil
		}
		r, err := msg.Body()
		if err != nil {
			return err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if int64(len(body)) != msg.Size {
			return fmt.Errorf("the body has %d octets, its size says %d", len(body), msg.Size)
		}
		m.taken = append(m.taken, taken{msg.Client, msg.From, msg.To, string(msg.Header), string(body)})
	}
	done(receipt)
	return nil
}

// dial opens a session with the mailbox.
func (w *world) dial(context.Context) (fetch.Mailbox, error) {
	w.sessions++
	if w.login != nil {
		if err := w.login(w.sessions); err != nil {
			return nil, err
		}
	}
	return &session{world: w, number: w.sessions}, nil
}

// session is a [fetch.Mailbox] over the store, with POP3's rule where the world is reusable:
// deletions happen at Close.
type session struct {
	*world
	number int
	// numbers are the UIDs in the store, by POP3's message numbers minus one.
	numbers      []uint32
	doomed, read []uint32
}

func (s *session) Open(_ context.Context, folder string) (*fetch.Listing, error) {
	validity, _ := s.store.Validity(folder)
	if validity == 0 && folder != "" {
		return nil, &fetch.Error{Kind: fetch.NoFolder, Op: "open " + folder, Err: errors.New("no such folder")}
	}
	if s.reusable {
		validity = 0
	}
	l := &fetch.Listing{Validity: validity, Reusable: s.reusable, AtClose: s.reusable, LoginDelay: s.delay, Together: s.together}
	s.numbers = s.store.UIDs(folder)
	for i, m := range s.store.List(folder) {
		uid, seq := strconv.Itoa(int(m.UID)), m.UID
		if s.reusable {
			uid, seq = m.UIDL, uint32(i+1)
		}
		l.Refs = append(l.Refs, fetch.Ref{Folder: folder, Validity: validity, UID: uid, Seq: seq, Size: int64(len(m.Raw())),
			Marked: s.marks && slices.Contains(m.Flags, fetch.DeliveredKeyword)})
	}
	if s.listing != nil {
		l.Refs = s.listing(l.Refs)
	}
	return l, nil
}

// uid is the store's name for a message of the listing.
func (s *session) uid(ref fetch.Ref) uint32 {
	if s.reusable {
		return s.numbers[ref.Seq-1]
	}
	return ref.Seq
}

func (s *session) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return err
		}
		m, ok := s.store.Get(ref.Folder, s.uid(ref))
		if !ok || m.UID == s.gone {
			if err := sink(fetch.Message{Ref: ref, Err: &fetch.Error{Kind: fetch.Gone, Op: "RETR"}}); err != nil {
				return err
			}
			continue
		}
		if s.broken != nil {
			if err := sink(fetch.Message{Ref: ref, Err: s.broken}); err != nil {
				return err
			}
			continue
		}
		s.retrieved++
		if s.handing != nil {
			s.handing(s.retrieved)
		}
		s.read = append(s.read, m.UID)
		var body io.Reader = bytes.NewReader(m.Raw())
		if slices.Contains(s.beyond, m.UID) {
			if err := s.oversize(ref, body, sink); err != nil {
				return err
			}
			continue
		}
		if s.cut > 0 {
			body = io.MultiReader(io.LimitReader(body, int64(s.cut)), failing{})
		}
		if err := sink(fetch.Message{Ref: ref, Size: -1, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

// failing is a connection that is lost.
type failing struct{}

func (failing) Read([]byte) (int, error) {
	return 0, &fetch.Error{Kind: fetch.Unreachable, Op: "RETR", Err: io.ErrUnexpectedEOF}
}

// oversize hands over a body that breaks off at the limit.
func (s *session) oversize(ref fetch.Ref, body io.Reader, sink fetch.Sink) error {
	large := &fetch.Error{Kind: fetch.TooLarge, Op: "RETR", Err: errors.New("more than 10 octets came")}
	if err := sink(fetch.Message{Ref: ref, Size: -1, Body: io.MultiReader(io.LimitReader(body, 10), iotest.ErrReader(large))}); err != nil {
		return err
	}
	if s.endless {
		return large
	}
	return nil
}

func (s *session) Settle(_ context.Context, d fetch.Disposal, refs []fetch.Ref) ([]fetch.Failure, error) {
	if d.Action == fetch.Delete && s.noDelete != nil {
		return nil, s.noDelete
	}
	if d.Target == fetch.DeliveredKeyword && s.noMarks != nil {
		return nil, s.noMarks
	}
	for _, ref := range refs {
		switch d.Action {
		case fetch.Delete:
			s.doomed = append(s.doomed, s.uid(ref))
		case fetch.Move:
			if _, ok := s.store.Move(ref.Folder, ref.Seq, d.Target); !ok {
				return nil, &fetch.Error{Kind: fetch.NoFolder, Op: "UID MOVE"}
			}
		case fetch.Flag:
			s.store.Update(ref.Folder, ref.Seq, func(m *fakeserver.Message) { m.Flags = append(m.Flags, d.Target) })
		case fetch.Keep:
			return nil, errors.New("asked to settle what is kept")
		}
	}
	if s.pretends {
		s.doomed = nil
	}
	if !s.reusable {
		s.store.Remove("", s.doomed...)
		s.doomed = nil
	}
	return nil, nil
}

func (s *session) Close(context.Context) error {
	s.quits++
	if s.farewell != nil {
		return s.farewell
	}
	s.store.Remove("", s.doomed...)
	if s.once {
		s.store.Remove("", s.read...)
	}
	return nil
}

func (s *session) Leave(context.Context) error {
	s.Abort()
	return nil
}

func (s *session) Abort() {
	if s.number == s.rash {
		s.store.Remove("", s.doomed...)
	}
	s.doomed, s.read = nil, nil
}
