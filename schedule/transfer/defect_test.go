package transfer_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// badReader reads headers and has a defect with message 2.
func badReader(head []byte) *received.Chain {
	if bytes.Contains(head, []byte("Subject: number 2\r\n")) {
		var chain *received.Chain
		_ = chain.Hops
	}
	return received.ReadChain(head)
}

// TestDefectWithOneMessage: a message that truehop itself cannot read is held and told, the others are delivered, and the next
// pass leaves it alone. Read at last by a program without the defect, it is delivered.
func TestDefectWithOneMessage(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		t.Run(fmt.Sprintf("ordered %v", ordered), func(t *testing.T) {
			w := newWorld(t)
			w.pass.Ordered, w.pass.ReadChain = ordered, badReader
			for n := range 3 {
				w.add(n + 1)
			}
			if s := w.run(); s.Delivered != 2 || s.Held != 1 || s.WantPerson() != 1 {
				t.Errorf("the pass counts %+v", s)
			}
			w.left(1)
			held, err := w.ledger.List(t.Context(), ledger.Filter{States: []ledger.State{ledger.Held}})
			if err != nil || len(held) != 1 {
				t.Fatalf("held is %+v: %v", held, err)
			}
			const begins = "cannot be read: a defect of truehop; "
			why := held[0].Why
			if !strings.HasPrefix(why, begins) || !strings.Contains(why, "in transfer_test.badReader (defect_test.go:") || held[0].Next.After(w.clock) {
				t.Errorf("it is held as %+v", held[0])
			}
			w.toldOfDefect(why)
			if s := w.run(); s.Known != 1 || s.Held != 0 || w.retrieved != 3 {
				t.Errorf("the next pass counts %+v, and %d were retrieved", s, w.retrieved)
			}
			held[0].State = ledger.Deferred // as truehop retry does
			if err := w.ledger.Put(t.Context(), held[0]); err != nil {
				t.Fatal(err)
			}
			w.pass.ReadChain = nil
			if s := w.run(); s.Delivered != 1 {
				t.Errorf("mended, the pass counts %+v", s)
			}
			w.left(0)
		})
	}
}

// TestDefectInComposing: a message that truehop cannot put together, for the MTA or for the quarantine, is held and told with the
// place of the defect. Nothing of it was said to the MTA, no "sending" is left behind, and the others arrive.
func TestDefectInComposing(t *testing.T) {
	for _, ordered := range []bool{true, false} {
		for _, forQuarantine := range []bool{false, true} {
			t.Run(fmt.Sprintf("ordered %t, for the quarantine %t", ordered, forQuarantine), func(t *testing.T) {
				w := newWorld(t)
				w.pass.Ordered = ordered
				w.pass.Plain, w.pass.Quarantine = w.mta, "postmaster@example.net"
				w.pass.ComposeBadly("Subject: number 2\r\n", forQuarantine)
				w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
					if m.Client.HELO == "helo2.example.org" {
						return reply(inject.Refused, "RCPT", 554, "5.7.1", "listed")
					}
					return says(inject.Delivered, "dot", 250)(m, attempt)
				}
				for n := range 3 {
					w.add(n + 1)
				}
				if s := w.run(); s.Delivered != 2 || s.Held != 1 || s.WantPerson() != 1 {
					t.Errorf("the pass counts %+v", s)
				}
				w.left(1)
				w.states(map[ledger.State]int{ledger.Delivered: 2, ledger.Held: 1})
				held := w.record(ledger.Held)
				if !strings.HasPrefix(held.Why, "cannot be put together for the MTA: a defect of truehop; ") || !strings.Contains(held.Why, "(export_test.go:") {
					t.Errorf("it is held because %q", held.Why)
				}
				if asked := w.mta.tries - 2; asked != map[bool]int{false: 0, true: 1}[forQuarantine] {
					t.Errorf("the MTA was asked about it %d times", asked)
				}
				w.toldOfDefect("cannot be put together for the MTA: ")
				if s := w.run(); s.Known != 1 || w.retrieved != 3 {
					t.Errorf("the next pass counts %+v, and %d were retrieved", s, w.retrieved)
				}
			})
		}
	}
}

// TestDryRunOfADefectInComposing: a dry run tells of it, too, and writes nothing.
func TestDryRunOfADefectInComposing(t *testing.T) {
	w := newWorld(t)
	w.pass.DryRun = true
	w.pass.ComposeBadly("Subject: number 2\r\n", false)
	for n := range 3 {
		w.add(n + 1)
	}
	if s := w.run(); s.Asked != 2 {
		t.Errorf("the dry run counts %+v", s)
	}
	w.toldOfDefect("cannot be put together for the MTA: a defect of truehop; ")
	w.states(map[ledger.State]int{})
}

// TestDryRunOfADefect: a dry run says what a pass would do, and goes on with the others.
func TestDryRunOfADefect(t *testing.T) {
	w := newWorld(t)
	w.pass.DryRun, w.pass.ReadChain = true, badReader
	for n := range 3 {
		w.add(n + 1)
	}
	if s := w.run(); s.Asked != 2 {
		t.Errorf("the dry run counts %+v", s)
	}
	w.toldOfDefect("cannot be read: a defect of truehop; ")
	w.states(map[ledger.State]int{})
}

// toldOfDefect wants the one verdict "held" that begins so, with a stack.
func (w *world) toldOfDefect(why string) {
	w.t.Helper()
	told := 0
	for _, e := range w.events {
		if e.Defect == nil {
			continue
		}
		told++
		if e.Kind != transfer.Verdict || e.State != string(ledger.Held) || !strings.HasPrefix(e.Why, why) || !strings.Contains(e.Defect.Stack, "_test.go:") {
			w.t.Errorf("told %+v with %+v", e, e.Defect)
		}
	}
	if told != 1 {
		w.t.Errorf("told %d times", told)
	}
}
