package transfer_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// withServer runs f in a world whose MTA is a real pool and a scripted server. Time is that of a bubble.
func withServer(t *testing.T, o injecttest.Options, connections inject.Connections, f func(*world, *injecttest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, server := newWorld(t), injecttest.New(o)
		pool := inject.NewPool(func(ctx context.Context) (net.Conn, error) { return server.Dial(ctx) }, inject.Options{Connections: connections})
		w.pass.MTA = pool
		f(w, server)
		if err := errors.Join(pool.Close(context.Background()), server.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestOneClientsTroubleEndsNoPass: whatever happens to the first message, the nine behind it arrive, and it is
// recorded as deferred.
func TestOneClientsTroubleEndsNoPass(t *testing.T) {
	const client = injecttest.XCLIENT
	for name, fault := range map[string]injecttest.Fault{
		"closed at XCLIENT":                 {Stage: client, Then: injecttest.CloseConn},
		"silent at XCLIENT":                 {Stage: client, Then: injecttest.Silence},
		"not authorised, for this client":   {Stage: client, Reply: "550 5.7.0 Error: insufficient authorization"},
		"not understood, for this client":   {Stage: client, Reply: "502 5.5.1 Error: command not implemented"},
		"421 at XCLIENT":                    {Stage: client, Reply: "421 4.7.0 too many connections", Then: injecttest.CloseConn},
		"closed at the client's EHLO":       {Stage: injecttest.EHLO2, Then: injecttest.CloseConn},
		"silent at the client's EHLO":       {Stage: injecttest.EHLO2, Then: injecttest.Silence},
		"garbage at the client's EHLO":      {Stage: injecttest.EHLO2, Reply: "what", Then: injecttest.CloseConn},
		"closed at MAIL":                    {Stage: injecttest.MAIL, Then: injecttest.CloseConn},
		"silent at MAIL":                    {Stage: injecttest.MAIL, Then: injecttest.Silence},
		"530 at MAIL":                       {Stage: injecttest.MAIL, Reply: "530 5.7.0 Must issue a STARTTLS command first"},
		"530 at RCPT":                       {Stage: injecttest.RCPT, Reply: "530 5.7.1 Authentication required"},
		"452 4.3.1 at MAIL":                 {Stage: injecttest.MAIL, Reply: "452 4.3.1 Insufficient system storage"},
		"452 4.2.2 at RCPT":                 {Stage: injecttest.RCPT, Reply: "452 4.2.2 Mailbox is full"},
		"452 4.5.3 at RCPT":                 {Stage: injecttest.RCPT, Reply: "452 4.5.3 Too many recipients"},
		"closed at DATA":                    {Stage: injecttest.DATA, Then: injecttest.CloseConn},
		"every reply after XCLIENT is 503":  {Stage: client, Reply: "421 4.3.0 milter is away", Then: injecttest.Dead},
		"451 at XCLIENT by a policy server": {Stage: client, Reply: "451 4.3.5 Server configuration error"},
	} {
		fault.Nth = 1
		t.Run(name, func(t *testing.T) {
			withServer(t, injecttest.Options{Faults: []injecttest.Fault{fault}}, 1, func(w *world, server *injecttest.Server) {
				w.pass.Batch = 1
				for n := range 10 {
					w.add(n + 1)
				}
				if s := w.run(); s.Delivered != 9 || s.Deferred != 1 {
					t.Errorf("summary %+v, want nine delivered and one deferred", s)
				}
				w.states(map[ledger.State]int{ledger.Deferred: 1, ledger.Delivered: 9})
				w.clock = w.clock.Add(time.Hour)
				w.run()
				w.left(0)
			})
		})
	}
}

// TestTroubleOfThreeClientsEndsThePass: what three clients in a row meet, all others would.
func TestTroubleOfThreeClientsEndsThePass(t *testing.T) {
	for name, c := range map[string]struct {
		fault injecttest.Fault
		kind  inject.Kind
	}{
		"closed at XCLIENT": {injecttest.Fault{Stage: injecttest.XCLIENT, Then: injecttest.CloseConn}, inject.Unreachable},
		"silent at EHLO":    {injecttest.Fault{Stage: injecttest.EHLO2, Then: injecttest.Silence}, inject.Unreachable},
		"not authorised":    {injecttest.Fault{Stage: injecttest.XCLIENT, Reply: "550 5.7.0 Error: insufficient authorization"}, inject.Misconfigured},
		"530 at MAIL":       {injecttest.Fault{Stage: injecttest.MAIL, Reply: "530 5.7.0 Must issue a STARTTLS command first"}, inject.Misconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			withServer(t, injecttest.Options{Faults: []injecttest.Fault{c.fault}}, 1, func(w *world, server *injecttest.Server) {
				w.pass.Batch = 1
				for n := range 30 {
					w.add(n + 1)
				}
				s, err := w.try()
				if inject.KindOf(err) != c.kind {
					t.Errorf("the pass ended with %v, want kind %v", err, c.kind)
				}
				if s.Deferred < 3 || s.Deferred > 10 {
					t.Errorf("summary %+v, want it to have ended soon", s)
				}
				w.states(map[ledger.State]int{ledger.Deferred: s.Deferred})
			})
		})
	}
}

// TestGreylistingEndsNoPass: that clients are told to come back says nothing of the MTA, however many they are.
func TestGreylistingEndsNoPass(t *testing.T) {
	for _, stage := range []injecttest.Stage{injecttest.MAIL, injecttest.RCPT} {
		grey := injecttest.Fault{Stage: stage, Reply: "450 4.7.1 Greylisted"}
		withServer(t, injecttest.Options{Faults: []injecttest.Fault{grey}}, 2, func(w *world, server *injecttest.Server) {
			for n := range 30 {
				w.add(n + 1)
			}
			if s := w.run(); s.Deferred != 30 {
				t.Errorf("%s: summary %+v, want all deferred", stage, s)
			}
		})
	}
}

// TestNewMailComesBeforeRetries: what made trouble once does not return first.
func TestNewMailComesBeforeRetries(t *testing.T) {
	for name, pop := range map[string]bool{"IMAP": false, "POP3": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable = pop
			w.mta.verdict = always(reply(inject.Deferred, "RCPT", 450, "4.2.0", "later"))
			w.add(1)
			w.add(2)
			w.run()
			w.clock = w.clock.Add(time.Hour)
			w.mta.verdict = nil
			w.add(3)
			w.add(4)
			w.run()
			w.delivered(3, 4, 1, 2)
		})
	}
}

// TestOneTroubleIsToldForAPassThatIsRefusedAlike: thirty equal refusals are one finding.
func TestOneTroubleIsToldForAPassThatIsRefusedAlike(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "listed by a block list"))
	for n := range 30 {
		w.add(n + 1)
	}
	s, err := w.try()
	var told *transfer.Error
	if !errors.As(err, &told) || told.Hint() == "" {
		t.Errorf("the pass ended with %v, want one error that says what to do", err)
	}
	if s.Refused != 30 {
		t.Errorf("summary %+v, want all refused", s)
	}
	w.left(30)
	w.states(map[ledger.State]int{ledger.Refused: 30})
}
