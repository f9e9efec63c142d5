package ledgertest

import (
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

func (s suite) proofCountsClientsSinceARefusal(t *testing.T) {
	place := s.fresh(t)
	l := place.open(t)
	const mta, other = "mta", "other"
	wantSince(t, l, mta, 0, 0, 0)
	judge(t, l, "1", ledger.Delivered, mta, "203.0.113.1")
	refused := judge(t, l, "2", ledger.Refused, mta, "203.0.113.2")
	wantSince(t, l, mta, refused.Judged, 0, 0) // what came before does not count, nor the refusal itself
	wantSince(t, l, mta, 0, 1, 1)
	judge(t, l, "3", ledger.Delivered, mta, "203.0.113.3")
	judge(t, l, "4", ledger.Delivered, mta, "203.0.113.3") // one client counts once
	judge(t, l, "5", ledger.Delivered, mta, "")            // and an unknown one never
	judge(t, l, "6", ledger.Refused, mta, "")
	judge(t, l, "7", ledger.Delivered, other, "203.0.113.4") // each target for itself
	wantSince(t, l, mta, refused.Judged, 1, 0)
	judge(t, l, "8", ledger.Delivered, mta, "203.0.113.2")
	judge(t, l, "9", ledger.Refused, mta, "203.0.113.3")
	wantSince(t, l, mta, refused.Judged, 2, 1)
	last := judge(t, l, "10", ledger.Refused, mta, "")
	wantSince(t, l, mta, last.Judged, 0, 0)
	judge(t, l, "11", ledger.Delivered, mta, "203.0.113.9")
	wantSince(t, l, mta, last.Judged, 1, 0)
	l.end(t)
	looking := place.open(t)
	wantSince(t, looking, mta, refused.Judged, 3, 1)
	if b := must[map[string][]ledger.Brief](t)(looking.Briefs(t.Context(), refused.Account, refused.Folder, refused.Validity))["2"]; len(b) != 1 || b[0].Judged != refused.Judged {
		t.Errorf("in brief it is %+v, want judgement %d", b, refused.Judged)
	}
}

// refusalsOfOnePassDoNotCountAgainstOneAnother: what is taken in the same pass counts as soon as it follows.
func (s suite) refusalsOfOnePassDoNotCountAgainstOneAnother(t *testing.T) {
	l := s.fresh(t).open(t)
	judge(t, l, "1", ledger.Delivered, "mta", "203.0.113.1")
	pass := must[int64](t)(l.NextJudgement(t.Context()))
	first := judgeIn(t, l, pass, "2", ledger.Refused, "mta", "203.0.113.2")
	judgeIn(t, l, pass, "3", ledger.Refused, "mta", "203.0.113.3")
	judgeIn(t, l, pass, "4", ledger.Delivered, "mta", "203.0.113.4")
	last := judgeIn(t, l, pass, "5", ledger.Refused, "mta", "203.0.113.5")
	wantSince(t, l, "mta", first.Judged, 1, 0)
	wantSince(t, l, "mta", last.Judged, 0, 0)
	judge(t, l, "6", ledger.Refused, "mta", "203.0.113.3") // the next pass begins right behind it
	wantSince(t, l, "mta", first.Judged, 1, 1)
	wantSince(t, l, "mta", last.Judged, 0, 1)
}

func (s suite) aJudgementThatIsNotRecordedDoesNotCount(t *testing.T) {
	l := s.fresh(t).open(t)
	if err := l.PutJudged(t.Context(), record("1", "odd"), nil, ledger.Judgement{Target: "mta", Client: "203.0.113.1", Taken: true}); ledger.KindOf(err) != ledger.Invalid {
		t.Errorf("a state that does not exist: %v", err)
	}
	wantSince(t, l, "mta", 0, 0, 0)
}

// judge records that a target took or refused mail of a client, in a pass of its own, and returns the record.
func judge(t *testing.T, l Home, uid string, s ledger.State, target, client string) ledger.Record {
	t.Helper()
	pass := must[int64](t)(l.NextJudgement(t.Context()))
	return judgeIn(t, l, pass, uid, s, target, client)
}

// judgeIn is judge in the pass that began at this number.
func judgeIn(t *testing.T, l Home, pass int64, uid string, s ledger.State, target, client string) ledger.Record {
	t.Helper()
	if err := l.PutJudged(t.Context(), record(uid, s), nil, ledger.Judgement{Target: target, Client: client, Taken: s == ledger.Delivered, Pass: pass}); err != nil {
		t.Fatal(err)
	}
	found := list(t, l, ledger.Filter{UID: uid})
	if len(found) != 1 || found[0].State != s {
		t.Fatalf("of %s there is %+v", uid, found)
	}
	return found[0]
}

// wantSince wants so many clients taken and refused by target since a judgement.
func wantSince(t *testing.T, l Home, target string, judged int64, taken, refused int) {
	t.Helper()
	if gotTaken, gotRefused := must[ledger.Proof](t)(l.Proof(t.Context(), target)).Since(judged); gotTaken != taken || gotRefused != refused {
		t.Errorf("%s since %d: %d taken and %d refused, want %d and %d", target, judged, gotTaken, gotRefused, taken, refused)
	}
}
