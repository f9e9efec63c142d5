package transfer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// said is what an MTA says to one recipient.
type said struct {
	outcome inject.Outcome
	stage   string
	reply   inject.Reply
}

var (
	taken250  = said{inject.Delivered, "dot", inject.Reply{Code: 250, Enhanced: "2.0.0", Text: "queued as Q"}}
	grey450   = said{inject.Deferred, "RCPT", inject.Reply{Code: 450, Enhanced: "4.2.0", Text: "greylisted"}}
	listed554 = said{inject.Refused, "RCPT", inject.Reply{Code: 554, Enhanced: "5.7.1", Text: "listed"}}
	noUser550 = said{inject.Refused, "RCPT", inject.Reply{Code: 550, Enhanced: "5.1.1", Text: "unknown"}}
	sieve550  = said{inject.Refused, "dot", inject.Reply{Code: 550, Enhanced: "5.7.1", Text: "by a rule"}}
	lost      = said{inject.InDoubt, "dot", inject.Reply{}}
)

// apart is an MTA that says something to each recipient, by the attempt.
func apart(attempts ...map[string]said) (func(*inject.Message, int) inject.Receipt, *[]string) {
	var asked []string
	return func(m *inject.Message, attempt int) inject.Receipt {
		asked = append(asked, strings.Join(m.To, " "))
		r := inject.Receipt{Stage: "dot"}
		seen := map[inject.Outcome]bool{}
		for _, to := range m.To {
			name, _, _ := strings.Cut(to, "@")
			s := attempts[min(attempt, len(attempts))-1][name]
			r.Recipients = append(r.Recipients, inject.RecipientReceipt{Address: to, Outcome: s.outcome, Stage: s.stage, Reply: s.reply})
			seen[s.outcome] = true
		}
		for _, o := range []inject.Outcome{inject.InDoubt, inject.Deferred, inject.Delivered, inject.Refused} {
			if i := slices.IndexFunc(r.Recipients, func(one inject.RecipientReceipt) bool { return one.Outcome == o }); i >= 0 {
				r.Outcome, r.Stage, r.Reply = o, r.Recipients[i].Stage, r.Recipients[i].Reply
				break
			}
		}
		return r
	}, &asked
}

// TestRecipientsApart: a message that some of its recipients have and others were refused stays upstream, whatever
// the policies say, and what the MTA said to each is kept.
func TestRecipientsApart(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts []map[string]said
		asked    string
		state    ledger.State
		verdicts string
		left     int
	}{
		{"all have it", []map[string]said{{"a": taken250, "b": taken250}}, "a b", ledger.Delivered, "", 0},
		{"one refused", []map[string]said{{"a": taken250, "b": listed554}}, "a b", ledger.PartlyRefused, "a delivered 250, b refused 554", 1},
		{"one unknown", []map[string]said{{"a": noUser550, "b": taken250}}, "a b", ledger.PartlyRefused, "a held 550, b delivered 250", 1},
		{"over LMTP, behind the dot", []map[string]said{{"a": sieve550, "b": taken250}}, "a b", ledger.PartlyRefused, "a refused 550, b delivered 250", 1},
		{"greylisted, then refused", []map[string]said{{"a": taken250, "b": grey450}, {"b": listed554}}, "a b, b", ledger.PartlyRefused, "a delivered 250, b refused 554", 1},
		{"refused, then the other taken", []map[string]said{{"a": listed554, "b": grey450}, {"b": taken250}}, "a b, b", ledger.PartlyRefused, "a refused 554, b delivered 250", 1},
		{"refused, then in doubt, then taken", []map[string]said{{"a": listed554, "b": grey450}, {"b": lost}, {"b": taken250}}, "a b, b, b", ledger.PartlyRefused, "a refused 554, b delivered 250", 1},
		{"greylisted, then taken", []map[string]said{{"a": taken250, "b": grey450}, {"b": taken250}}, "a b, b", ledger.Delivered, "", 0},
		{"in doubt for one, then taken", []map[string]said{{"a": taken250, "b": lost}, {"b": taken250}}, "a b, b", ledger.Delivered, "", 0},
		{"both refused, one later", []map[string]said{{"a": listed554, "b": grey450}, {"b": sieve550}}, "a b, b", ledger.Refused, "a refused 554, b refused 550", 0},
		{"both refused", []map[string]said{{"a": listed554, "b": sieve550}}, "a b", ledger.Refused, "a refused 554, b refused 550", 0},
		{"one refused, one unknown", []map[string]said{{"a": listed554, "b": noUser550}}, "a b", ledger.Held, "a refused 554, b held 550", 1},
		{"one unknown, one refused later", []map[string]said{{"a": noUser550, "b": grey450}, {"b": listed554}}, "a b, b", ledger.Held, "a held 550, b refused 554", 1},
		{"one taken, one given up", []map[string]said{{"a": taken250, "b": grey450}}, "", ledger.Held, "a delivered 250", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
			w.pass.Recipients = []string{"a@example.net", "b@example.net"}
			var asked *[]string
			w.mta.verdict, asked = apart(c.attempts...)
			w.add(1)
			w.run()
			w.days(6) // the last verdict has come by then
			w.proven()
			w.days(5)
			w.left(c.left)
			rs, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
			if err != nil || len(rs) != 1 {
				t.Fatal(rs, err)
			}
			var verdicts []string
			for _, v := range rs[0].Verdicts {
				code, _, _ := strings.Cut(v.Reply, " ")
				verdicts = append(verdicts, strings.TrimSuffix(v.Address, "@example.net")+" "+string(v.State)+" "+code)
			}
			if rs[0].State != c.state || strings.Join(verdicts, ", ") != c.verdicts {
				t.Errorf("it is %s with %q, want %s with %q", rs[0].State, verdicts, c.state, c.verdicts)
			}
			got := strings.ReplaceAll(strings.Join(*asked, ", "), "@example.net", "")
			if got != c.asked && c.asked != "" {
				t.Errorf("asked for %s, want %s", got, c.asked)
			}
		})
	}
}

func TestPartlyRefusedIsTold(t *testing.T) {
	w := newWorld(t)
	w.pass.Recipients = []string{"a@example.net", "b@example.net"}
	w.mta.verdict, _ = apart(map[string]said{"a": taken250, "b": listed554})
	w.add(1)
	if s := w.run(); s.PartlyRefused != 1 || s.WantPerson() != 1 || s.Delivered != 0 {
		t.Errorf("summary %+v, want one partly refused, for a person", s)
	}
	last := w.events[len(w.events)-1]
	if last.Kind != transfer.Verdict || last.State != string(ledger.PartlyRefused) || last.Why != "b@example.net refused: 554 5.7.1 listed" {
		t.Errorf("told %+v", last)
	}
}

// again makes a message due, as a person does who wants it tried again, with the verdicts that stand.
func (w *world) again(verdicts ...ledger.Verdict) {
	w.t.Helper()
	rs, err := w.ledger.List(w.t.Context(), ledger.Filter{Account: "work"})
	if err != nil || len(rs) != 1 {
		w.t.Fatal(rs, err)
	}
	rs[0].State, rs[0].Next, rs[0].Recipients, rs[0].Verdicts = ledger.Deferred, time.Time{}, "", verdicts
	if err := w.ledger.Put(w.t.Context(), rs[0]); err != nil {
		w.t.Fatal(err)
	}
}

// TestWhoHasItNeverGetsItAgain: not when a person has it tried again, not after the configuration changed, not after a crash.
func TestWhoHasItNeverGetsItAgain(t *testing.T) {
	has := ledger.Verdict{Address: "a@example.net", State: ledger.Delivered, Reply: "250 2.0.0 queued as Q"}
	start := func(t *testing.T, second map[string]said) (*world, *[]string) {
		w := newWorld(t)
		w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
		w.pass.Recipients = []string{"a@example.net", "b@example.net"}
		var asked *[]string
		w.mta.verdict, asked = apart(map[string]said{"a": taken250, "b": listed554}, second)
		w.add(1)
		w.run()
		*asked = nil
		return w, asked
	}
	only := func(t *testing.T, asked *[]string, want ...string) {
		t.Helper()
		if !slices.Equal(*asked, want) {
			t.Errorf("asked for %q, want %q", *asked, want)
		}
	}
	t.Run("tried again and taken", func(t *testing.T) {
		w, asked := start(t, map[string]said{"b": taken250})
		w.again(has)
		w.run()
		only(t, asked, "b@example.net")
		w.left(0)
	})
	t.Run("tried again and refused", func(t *testing.T) {
		w, asked := start(t, map[string]said{"b": listed554})
		w.again(has)
		w.run()
		only(t, asked, "b@example.net")
		w.states(map[ledger.State]int{ledger.PartlyRefused: 1})
		w.days(5)
		w.left(1)
	})
	t.Run("only the other is configured", func(t *testing.T) {
		w, asked := start(t, map[string]said{"b": taken250})
		w.pass.Recipients = []string{"b@example.net"}
		w.again(has)
		w.run()
		only(t, asked, "b@example.net")
		w.left(0)
	})
	t.Run("only who has it is configured", func(t *testing.T) {
		w, asked := start(t, nil)
		w.pass.Recipients = []string{"a@example.net"}
		w.again(has)
		w.run()
		only(t, asked)
		w.states(map[ledger.State]int{ledger.Delivered: 1})
		w.left(0)
	})
	t.Run("a third is configured", func(t *testing.T) {
		w, asked := start(t, map[string]said{"b": listed554, "c": taken250})
		w.pass.Recipients = append(w.pass.Recipients, "c@example.net")
		w.again(has)
		w.run()
		only(t, asked, "b@example.net c@example.net")
		w.states(map[ledger.State]int{ledger.PartlyRefused: 1})
	})
	t.Run("a crash while it is tried again", func(t *testing.T) {
		w, asked := start(t, map[string]said{"b": taken250})
		w.again(has)
		pass := w.pass
		pass.MTA = died{w.mta}
		if _, err := pass.Run(t.Context()); !errors.Is(err, errDied) {
			t.Fatalf("the pass ended with %v", err)
		}
		w.states(map[ledger.State]int{ledger.Sending: 1})
		w.run()
		only(t, asked, "b@example.net")
		w.left(0)
	})
	t.Run("known by its content under another UID", func(t *testing.T) {
		w, asked := start(t, map[string]said{"b": taken250})
		w.again(has)
		validity, _ := w.store.Validity("")
		w.store.SetValidity("", validity+1)
		w.run()
		only(t, asked, "b@example.net")
		w.left(0)
	})
}

// TestDryRunOfSeveralRecipients: it says what would become of the message, and of nobody that it would wait.
func TestDryRunOfSeveralRecipients(t *testing.T) {
	yes := said{inject.Deferred, "RCPT", inject.Reply{Code: 250, Enhanced: "2.1.5", Text: "Ok"}}
	for _, c := range []struct {
		b    said
		want ledger.State
	}{{yes, ledger.Delivered}, {listed554, ledger.PartlyRefused}, {grey450, ledger.Deferred}} {
		w := newWorld(t)
		w.pass.DryRun = true
		w.pass.Recipients = []string{"a@example.net", "b@example.net"}
		w.mta.verdict, _ = apart(map[string]said{"a": yes, "b": c.b})
		w.add(1)
		w.run()
		if last := w.events[len(w.events)-1]; last.State != string(c.want) {
			t.Errorf("%v: %s, want %s", c.b.reply, last.State, c.want)
		}
		w.states(map[ledger.State]int{})
	}
}

// TestLedgerOfTheFirstFormatKnowsWhoWaits: it kept the recipients that waited, and of the others who was refused.
func TestLedgerOfTheFirstFormatKnowsWhoWaits(t *testing.T) {
	for name, c := range map[string]struct {
		why   string
		b     said
		state ledger.State
		left  int
	}{
		"taken":             {"", taken250, ledger.Delivered, 0},
		"refused":           {"", listed554, ledger.PartlyRefused, 1},
		"the other refused": {"a@example.net refused: 554 5.7.1 listed", taken250, ledger.PartlyRefused, 1},
		"both refused":      {"a@example.net refused: 554 5.7.1 listed", listed554, ledger.Refused, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
			w.pass.Recipients = []string{"a@example.net", "b@example.net"}
			var asked *[]string
			w.mta.verdict, asked = apart(map[string]said{"a": grey450, "b": grey450}, map[string]said{"b": c.b})
			w.add(1)
			w.run()
			rs, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
			if err != nil || len(rs) != 1 {
				t.Fatal(rs, err)
			}
			rs[0].Recipients, rs[0].Why, rs[0].Next, rs[0].Ran = "b@example.net", c.why, time.Time{}, ledger.FirstFormat
			if err := w.ledger.Put(t.Context(), rs[0]); err != nil {
				t.Fatal(err)
			}
			w.run()
			if got := fmt.Sprint(*asked); got != "[a@example.net b@example.net b@example.net]" {
				t.Errorf("asked for %s", got)
			}
			w.states(map[ledger.State]int{c.state: 1})
			w.proven()
			w.days(5)
			w.left(c.left)
		})
	}
}

// TestCorrectedRecipientGetsWhatIsDeferred: nobody had a verdict, so all that are configured now get it.
func TestCorrectedRecipientGetsWhatIsDeferred(t *testing.T) {
	w := newWorld(t)
	w.pass.Recipients = []string{"a@example.net", "b@example.net"}
	var asked *[]string
	w.mta.verdict, asked = apart(map[string]said{"a": grey450, "b": grey450}, map[string]said{"a": taken250, "c": taken250})
	w.add(1)
	w.run()
	*asked = nil
	w.pass.Recipients = []string{"a@example.net", "c@example.net"}
	w.clock = w.clock.Add(time.Hour)
	w.run()
	if !slices.Equal(*asked, []string{"a@example.net c@example.net"}) {
		t.Errorf("asked for %q, want a and c", *asked)
	}
	w.left(0)
}
