package transfer

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// fared is what became of one recipient.
func fared(address string, o inject.Outcome, stage string, code int, enhanced string) inject.RecipientReceipt {
	return inject.RecipientReceipt{Address: address, Outcome: o, Stage: stage, Reply: inject.Reply{Code: code, Enhanced: enhanced, Text: "text"}}
}

// receiptOf is the receipt of a message whose recipients fared so; the first decides.
func receiptOf(rs ...inject.RecipientReceipt) inject.Receipt {
	return inject.Receipt{Outcome: rs[0].Outcome, Stage: rs[0].Stage, Reply: rs[0].Reply, Recipients: rs}
}

// failedReceipt is the receipt of a message that got no verdict for an error.
func failedReceipt(stage string, kind inject.Kind) inject.Receipt {
	r := receiptOf(fared("a", inject.Deferred, stage, 0, ""))
	r.Reply = inject.Reply{}
	r.Err = &inject.Error{Kind: kind, Op: stage}
	return r
}

// beforeClient is r for a message whose client was never presented.
func beforeClient(r inject.Receipt) inject.Receipt {
	r.BeforeClient = true
	return r
}

// unrecorded is the receipt of a message whose dot was not sent because the ledger could not say so before.
func unrecorded() inject.Receipt {
	r := failedReceipt("DATA", inject.Local)
	r.Err.Err = &ledger.Error{Kind: ledger.Full, Op: "disk is full"}
	return r
}

func TestDecide(t *testing.T) {
	taken := fared("a", inject.Delivered, "dot", 250, "2.0.0")
	listed := fared("b", inject.Refused, "RCPT", 554, "5.7.1")
	unknown := fared("b", inject.Refused, "RCPT", 550, "5.1.1")
	busy := fared("b", inject.Deferred, "RCPT", 450, "4.2.0")
	full := fared("a", inject.Deferred, "MAIL", 452, "4.3.1")
	for _, c := range []struct {
		name    string
		receipt inject.Receipt
		sending bool
		want    string // STATE, recipients left, verdicts; "due" if it is tried at the next pass and this was no attempt
		stop    string
	}{
		{"delivered", receiptOf(taken), true, "delivered", ""},
		{"refused", receiptOf(listed), false, "refused", ""},
		{"the recipient is unknown", receiptOf(unknown), false, "held", ""},
		{"deferred", receiptOf(busy), false, "deferred, left b", ""},
		{"in doubt", receiptOf(fared("a", inject.InDoubt, "dot", 0, "")), true, "doubt, left a", ""},
		{"withheld", receiptOf(fared("a", inject.Withheld, "MAIL", 0, "")), false, "held", ""},
		{"taken for one, refused for the other", receiptOf(taken, listed), true, "partly-refused, a delivered, b refused", ""},
		{"taken for one, deferred for the other", receiptOf(taken, busy), true, "deferred, left b, a delivered", ""},
		{"taken for both", receiptOf(taken, fared("b", inject.Delivered, "dot", 250, "")), true, "delivered", ""},
		{"out of storage", receiptOf(full), false, "deferred, left a", ""},
		{"a mailbox is full", receiptOf(fared("a", inject.Deferred, "MAIL", 452, "4.2.2")), false, "deferred, left a", ""},
		{"no connection", beforeClient(failedReceipt("connect", inject.Unreachable)), false, "due", "connect"},
		{"no greeting", beforeClient(failedReceipt("greeting", inject.Unreachable)), false, "due", "greeting"},
		{"this host is refused at EHLO", beforeClient(failedReceipt("EHLO", inject.Misconfigured)), false, "due", "EHLO"},
		{"no XCLIENT", beforeClient(failedReceipt("XCLIENT", inject.Misconfigured)), false, "due", "XCLIENT"},
		{"without TLS", beforeClient(failedReceipt("STARTTLS", inject.TLS)), false, "due", "STARTTLS"},
		{"credentials refused", beforeClient(failedReceipt("AUTH", inject.Auth)), false, "due", "AUTH"},
		{"lost at the client's greeting", failedReceipt("greeting", inject.Unreachable), false, "deferred, left a", ""},
		{"lost at the client's EHLO", failedReceipt("EHLO", inject.Unreachable), false, "deferred, left a", ""},
		{"lost at XCLIENT", failedReceipt("XCLIENT", inject.Unreachable), false, "deferred, left a", ""},
		{"lost at RCPT", failedReceipt("RCPT", inject.Unreachable), false, "deferred, left a", ""},
		{"XCLIENT refused for this client", failedReceipt("XCLIENT", inject.Misconfigured), false, "deferred, left a", ""},
		{"530 at MAIL", failedReceipt("MAIL", inject.Misconfigured), false, "deferred, left a", ""},
		{"the ledger says no to the dot", unrecorded(), false, "deferred, left a", "disk is full"},
		{"a body that cannot be read", failedReceipt("dot", inject.Local), false, "deferred, left a", ""},
		{"a body that cannot be read once it is sending", failedReceipt("dot", inject.Local), true, "deferred, left a", ""},
		{"asked to end before the dot", failedReceipt("DATA", inject.Aborted), false, "unused", ""},
		{"asked to end once it is sending", failedReceipt("DATA", inject.Aborted), true, "due", ""},
		{"not understood", failedReceipt("MAIL", inject.Protocol), false, "deferred, left a", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			for _, r := range c.receipt.Recipients {
				names = append(names, r.Address)
			}
			c.receipt.QueueID, c.receipt.Presented = "Q1", inject.Client{Addr: netip.MustParseAddr("203.0.113.1")}
			rec := ledger.Record{First: noon.Add(-time.Hour), Attempts: 2, Client: "192.0.2.99", Code: 1, Reply: "old"}
			d := decide(rec, attempt{recipients: names, sending: c.sending, receipt: c.receipt}, outcomeRules{
				retry: Retry{Min: time.Minute, Max: time.Hour, GiveUp: 24 * time.Hour}, now: noon, ran: 5 * time.Hour,
			})
			if d.unused || c.want == "unused" {
				if !d.unused || c.want != "unused" || d.stop != nil {
					t.Errorf("unused %v, stop %v; want %s", d.unused, d.stop, c.want)
				}
				return
			}
			stop := ""
			if d.stop != nil {
				stop = d.stop.Error()
			}
			if (stop == "") != (c.stop == "") || !strings.Contains(stop, c.stop) {
				t.Errorf("stop: %q, want %q", stop, c.stop)
			}
			rec = d.record
			got, attempts := string(rec.State), 3
			if c.want == "due" {
				attempts = 2
				if rec.State == ledger.Deferred && rec.Next.IsZero() {
					got = "due"
				}
			} else if !rec.State.Final() {
				got += ", left " + rec.Recipients
				if !rec.Next.Equal(noon.Add(4 * time.Minute)) {
					t.Errorf("next try at %v, want four minutes from now", rec.Next)
				}
			}
			for _, v := range rec.Verdicts {
				got += ", " + v.Address + " " + string(v.State)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if rec.Attempts != attempts || !rec.Last.Equal(noon) || rec.Ran != 5*time.Hour || rec.Client != "203.0.113.1" ||
				rec.QueueID != "Q1" || rec.Code != c.receipt.Reply.Code || rec.Reply != c.receipt.Reply.String() {
				t.Errorf("the record is %+v", rec)
			}
		})
	}
}

// TestDecideKeepsEarlierVerdicts: who had its verdict before keeps it, and it counts for the message's state.
func TestDecideKeepsEarlierVerdicts(t *testing.T) {
	earlier := []ledger.Verdict{{Address: "a", State: ledger.Refused, Reply: "554 5.7.1 listed"}}
	for outcome, want := range map[inject.Outcome]string{
		inject.Delivered: "partly-refused [a refused: 554 5.7.1 listed b delivered: 250 text]",
		inject.Refused:   "refused [a refused: 554 5.7.1 listed b refused: 554 5.7.1 text]",
		inject.Deferred:  "deferred [a refused: 554 5.7.1 listed]",
	} {
		r := map[inject.Outcome]inject.RecipientReceipt{
			inject.Delivered: fared("b", inject.Delivered, "dot", 250, ""), inject.Refused: fared("b", inject.Refused, "RCPT", 554, "5.7.1"),
			inject.Deferred: fared("b", inject.Deferred, "RCPT", 450, "4.2.0"),
		}[outcome]
		rec := ledger.Record{Verdicts: earlier, First: noon}
		d := decide(rec, attempt{recipients: []string{"b"}, receipt: receiptOf(r)}, outcomeRules{now: noon})
		if got := fmt.Sprint(d.record.State, " ", d.record.Verdicts); got != want {
			t.Errorf("%v: %s, want %s", outcome, got, want)
		}
	}
	if len(earlier) != 1 || earlier[0].Address != "a" {
		t.Errorf("the earlier verdicts were changed: %v", earlier)
	}
}

// TestDecideWhy: a person reads how the message was prepared, in what the dialogue differed, what failed, and what a
// 5xx was about, each once.
func TestDecideWhy(t *testing.T) {
	r := receiptOf(fared("a", inject.Refused, "RCPT", 550, "5.1.1"), fared("b", inject.Refused, "RCPT", 550, "5.1.1"), fared("c", inject.Refused, "RCPT", 554, "5.7.1"))
	r.Note = "sent without DSN"
	r.Err = &inject.Error{Kind: inject.Protocol, Op: "MAIL", Text: "odd"}
	d := decide(ledger.Record{}, attempt{note: "the sender cannot be one", receipt: r}, outcomeRules{now: noon})
	if want := "the sender cannot be one; sent without DSN; MAIL: odd; " + causeRecipient; d.record.Why != want {
		t.Errorf("got %q, want %q", d.record.Why, want)
	}
}

// TestDecideRecordsWhatWasTold: of the client, the ledger has what the MTA was told in this attempt.
func TestDecideRecordsWhatWasTold(t *testing.T) {
	before := ledger.Record{Client: "192.0.2.1", HELO: "before.example.net"}
	told := receiptOf(fared("a", inject.Delivered, "dot", 250, "2.0.0"))
	told.Presented = inject.Client{Addr: netip.MustParseAddr("192.0.2.7"), HELO: "mail.example.net"}
	noHELO := told
	noHELO.Presented.HELO = ""
	for _, c := range []struct {
		name         string
		receipt      inject.Receipt
		client, helo string
	}{
		{"address and HELO", told, "192.0.2.7", "mail.example.net"},
		{"the address alone", noHELO, "192.0.2.7", ""},
		{"nothing", beforeClient(failedReceipt("connect", inject.Unreachable)), "", ""},
	} {
		if d := decide(before, attempt{receipt: c.receipt}, outcomeRules{now: noon}); d.record.Client != c.client || d.record.HELO != c.helo {
			t.Errorf("%s: client %q, HELO %q", c.name, d.record.Client, d.record.HELO)
		}
	}
}

// TestDecideDryRun: a recipient that the MTA would take counts as delivered in a dry run, and in no other.
func TestDecideDryRun(t *testing.T) {
	r := receiptOf(fared("a", inject.Deferred, "RCPT", 250, "2.1.5"))
	for dry, want := range map[bool]ledger.State{true: ledger.Delivered, false: ledger.Deferred} {
		if d := decide(ledger.Record{}, attempt{receipt: r}, outcomeRules{dryRun: dry, now: noon}); d.record.State != want {
			t.Errorf("dry run %v: %s, want %s", dry, d.record.State, want)
		}
	}
}

func TestPostpone(t *testing.T) {
	const hour = time.Hour
	retry := Retry{Min: time.Minute, Max: 4 * time.Minute, GiveUp: hour}
	for _, c := range []struct {
		name     string
		retry    Retry
		state    ledger.State
		age      time.Duration
		attempts int
		doubts   int
		want     ledger.State
		next     time.Duration
	}{
		{"the first time", retry, ledger.Deferred, 0, 1, 0, ledger.Deferred, time.Minute},
		{"the second", retry, ledger.Deferred, 0, 2, 0, ledger.Deferred, 2 * time.Minute},
		{"the third", retry, ledger.Deferred, 0, 3, 0, ledger.Deferred, 4 * time.Minute},
		{"the fourth", retry, ledger.Deferred, 0, 4, 0, ledger.Deferred, 4 * time.Minute},
		{"the millionth", retry, ledger.Deferred, 0, 1_000_000, 0, ledger.Deferred, 4 * time.Minute},
		{"a minimum above the maximum", Retry{Min: hour, Max: time.Minute}, ledger.Deferred, 0, 9, 0, ledger.Deferred, hour},
		{"as long as is allowed", retry, ledger.Deferred, hour, 9, 0, ledger.Deferred, 4 * time.Minute},
		{"for too long", retry, ledger.Deferred, hour + 1, 9, 0, ledger.Held, 4 * time.Minute},
		{"for ever, if nobody gives up", Retry{Min: time.Minute}, ledger.Deferred, 1000 * hour, 9, 0, ledger.Deferred, time.Minute},
		{"in doubt once after a long time", retry, ledger.Doubt, 2 * hour, 9, 0, ledger.Doubt, 4 * time.Minute},
		{"in doubt twice", retry, ledger.Doubt, 2 * hour, 9, 1, ledger.Doubt, 4 * time.Minute},
		{"in doubt three times", retry, ledger.Doubt, 2 * hour, 9, 2, ledger.Held, 4 * time.Minute},
		{"in doubt three times at once", retry, ledger.Doubt, 0, 3, 2, ledger.Doubt, 4 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := ledger.Record{State: c.state, First: noon.Add(-c.age), Last: noon, Attempts: c.attempts, Doubts: c.doubts}
			c.retry.postpone(&rec)
			if rec.State != c.want || rec.Next.Sub(noon) != c.next {
				t.Errorf("%s in %v, want %s in %v", rec.State, rec.Next.Sub(noon), c.want, c.next)
			}
			if counted := rec.Doubts - c.doubts; counted == 1 != (c.state == ledger.Doubt) {
				t.Errorf("%d doubts counted", counted)
			}
			if held := rec.State == ledger.Held; held == (rec.Why == "") {
				t.Errorf("%s because of %q", rec.State, rec.Why)
			}
		})
	}
}

func TestRecipientComplaint(t *testing.T) {
	for _, c := range []struct {
		outcome         inject.Outcome
		stage           string
		code            int
		enhanced, text  string
		want, multidrop string
	}{
		{inject.Refused, "RCPT", 554, "5.7.1", "Relay access denied", "relay", "relay"},
		{inject.Refused, "RCPT", 550, "5.1.2", "no such domain", "5.1.2", "5.1.2"},
		{inject.Refused, "RCPT", 550, "5.1.1", "no such user", "5.1.1", ""},
		{inject.Refused, "RCPT", 501, "5.1.3", "bad address", "5.1.3", ""},
		{inject.Refused, "RCPT", 551, "5.1.6", "moved", "5.1.6", ""},
		{inject.Refused, "RCPT", 556, "5.1.10", "null MX", "5.1.10", ""},
		{inject.Refused, "RCPT", 554, "5.7.1", "listed", "", ""},
		{inject.Refused, "RCPT", 550, "5.1.8", "sender's domain", "", ""},
		{inject.Refused, "dot", 550, "5.1.1", "no such user", "", ""},
		{inject.Deferred, "RCPT", 450, "4.1.1", "relay access denied", "", ""},
		{inject.Delivered, "dot", 250, "2.0.0", "queued", "", ""},
	} {
		r := inject.Receipt{Outcome: c.outcome, Stage: c.stage, Reply: inject.Reply{Code: c.code, Enhanced: c.enhanced, Text: c.text}}
		for multidrop, want := range map[bool]string{false: c.want, true: c.multidrop} {
			if got := recipientComplaint(&r, multidrop); got != want {
				t.Errorf("%s %v, multidrop %v: %q, want %q", c.stage, r.Reply, multidrop, got, want)
			}
		}
	}
}

func TestDecideQuarantine(t *testing.T) {
	const address = "quarantine@example.net"
	refused := ledger.Record{State: ledger.Refused, First: noon, Last: noon, Attempts: 1, Verdicts: []ledger.Verdict{{Address: "a", State: ledger.Refused}}}
	failed := failedReceipt("connect", inject.Unreachable)
	for _, c := range []struct {
		name    string
		receipt inject.Receipt
		want    ledger.State
		why     string
	}{
		{"put there", inject.Receipt{Outcome: inject.Delivered, QueueID: "Q2"}, ledger.Quarantined, address},
		{"refused there", receiptOf(fared(address, inject.Refused, "RCPT", 550, "5.1.1")), ledger.Deferred, "did not take it: RCPT 550 5.1.1 text"},
		{"deferred there", receiptOf(fared(address, inject.Deferred, "RCPT", 450, "")), ledger.Deferred, "did not take it: RCPT 450 text"},
		{"in doubt there", inject.Receipt{Outcome: inject.InDoubt, Stage: "dot"}, ledger.Doubt, "did not take it"},
		{"withheld", inject.Receipt{Outcome: inject.Withheld, Stage: "MAIL"}, ledger.Deferred, "did not take it"},
		{"not reached", failed, ledger.Deferred, "did not take it: " + failed.Err.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := decideQuarantine(refused, &c.receipt, address, Retry{Min: time.Minute})
			if rec.State != c.want || !strings.Contains(rec.Why, c.why) {
				t.Errorf("%s because of %q, want %s because of %q", rec.State, rec.Why, c.want, c.why)
			}
			if open := c.receipt.Outcome == inject.InDoubt; rec.DotSent != open {
				t.Errorf("DotSent %v, want %v: a second copy is labelled", rec.DotSent, open)
			}
			if c.want == ledger.Quarantined {
				if rec.QueueID != "Q2" {
					t.Errorf("queue ID %q", rec.QueueID)
				}
				return
			}
			if rec.Verdicts != nil || !rec.Next.Equal(noon.Add(time.Minute)) {
				t.Errorf("verdicts %v, next try %v: want all of it again in a minute", rec.Verdicts, rec.Next)
			}
			if wantDoubts := map[ledger.State]int{ledger.Doubt: 1}[c.want]; rec.Doubts != wantDoubts {
				t.Errorf("%d doubts, want %d", rec.Doubts, wantDoubts)
			}
		})
	}
}

// TestQuarantineThatTakesNothingIsGivenUp: a person is asked in the end, as about what the MTA defers, but not because the program was told to end.
func TestQuarantineThatTakesNothingIsGivenUp(t *testing.T) {
	rules := Retry{Min: time.Minute, GiveUp: time.Hour}
	for _, c := range []struct {
		name    string
		age     time.Duration
		receipt inject.Receipt
		want    ledger.State
	}{
		{"young", time.Hour, receiptOf(fared("q@example.net", inject.Refused, "RCPT", 550, "5.1.1")), ledger.Deferred},
		{"old", time.Hour + 1, receiptOf(fared("q@example.net", inject.Refused, "RCPT", 550, "5.1.1")), ledger.Held},
		{"old, and not reached", time.Hour + 1, failedReceipt("connect", inject.Unreachable), ledger.Held},
		{"old, and told to end", time.Hour + 1, failedReceipt("connect", inject.Aborted), ledger.Deferred},
		{"old, and in doubt once", time.Hour + 1, inject.Receipt{Outcome: inject.InDoubt, Stage: "dot"}, ledger.Doubt},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := decideQuarantine(ledger.Record{State: ledger.Refused, First: noon.Add(-c.age), Last: noon, Attempts: 1}, &c.receipt, "q@example.net", rules)
			if rec.State != c.want || !strings.Contains(rec.Why, "the quarantine did not take it") {
				t.Errorf("%s because of %q, want %s", rec.State, rec.Why, c.want)
			}
		})
	}
}

func TestDecideUnretrieved(t *testing.T) {
	key := folderKey{account: "work"}.key("a", noHash)
	early := noon.Add(-time.Hour)
	for _, c := range []struct {
		name     string
		kind     fetch.Kind
		last     ledger.Record
		want     ledger.State
		attempts int
		first    time.Time
	}{
		{"the first time", fetch.Refused, ledger.Record{}, ledger.Deferred, 1, noon},
		{"again", fetch.Refused, ledger.Record{State: ledger.Deferred, Attempts: 2, First: early}, ledger.Deferred, 3, early},
		{"it had gone and is back", fetch.Refused, ledger.Record{State: ledger.Deferred, Attempts: 1, First: early, Absent: true}, ledger.Deferred, 2, early},
		{"too large", fetch.TooLarge, ledger.Record{}, ledger.Held, 1, noon},
	} {
		cause := &fetch.Error{Kind: c.kind, Op: "RETR", Err: errors.New("odd")}
		c.last.Key = key
		rec := decideUnretrieved(c.last, 99, cause, Retry{Min: time.Minute, Max: time.Hour}, noon)
		if rec.State != c.want || rec.Attempts != c.attempts || rec.Absent || !rec.First.Equal(c.first) || rec.Key != key || rec.Size != 99 || rec.Why != cause.Error() {
			t.Errorf("%s: %+v", c.name, rec)
		}
		if wait := time.Minute << (c.attempts - 1); !rec.Next.Equal(noon.Add(wait)) {
			t.Errorf("%s: next try at %v, want in %v", c.name, rec.Next, wait)
		}
	}
}
