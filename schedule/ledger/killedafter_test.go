//go:build linux

package ledger_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// aftermath makes the passes that come after the kill, and holds what is left to the promises.
func (w *killWorld) aftermath(t *testing.T) {
	t.Helper()
	if w.database != "" {
		postgrestest.ExpireLeases(t, w.database) // the victim's
	}
	record := w.open(t, nil)
	w.nothingLost(t, record)
	w.recover(t, record)
	w.verify(t, record)
	w.close(t, record)
}

// recover makes the passes that follow, a day apart.
func (w *killWorld) recover(t *testing.T, record killRecord) {
	t.Helper()
	for day := range 3 {
		if err := w.pass(t.Context(), record, killClock.AddDate(0, 0, day+1), nil); err != nil {
			t.Errorf("the pass on day %d after the kill ended with %v", day+1, err)
		}
		w.nothingLost(t, record)
	}
}

// copies counts what the MTA has of each message for each recipient, and how many copies say that they may be second ones.
func (w *killWorld) copies() (all, labelled map[string]int) {
	all, labelled = map[string]int{}, map[string]int{}
	for _, m := range w.mta.Messages() {
		_, rest, _ := bytes.Cut(m.Data, []byte("Subject: number "))
		subject, _, _ := bytes.Cut(rest, []byte("\r\n"))
		for _, to := range m.To {
			all[string(subject)+to]++
			if bytes.Contains(m.Data, []byte("Truehop-Redelivery: possible\r\n")) {
				labelled[string(subject)+to]++
			}
		}
	}
	return all, labelled
}

// nothingLost wants all that is gone upstream to be with the MTA, for all recipients, and the ledger to know it.
func (w *killWorld) nothingLost(t *testing.T, record killRecord) {
	t.Helper()
	upstream := map[string]bool{}
	for _, m := range w.store.List("") {
		upstream[w.uid(int(m.UID))] = true
	}
	all, _ := w.copies()
	for _, f := range fates {
		if upstream[w.uid(f.n)] {
			continue
		}
		n := strconv.Itoa(f.n)
		if all[n+alice] == 0 || all[n+bob] == 0 {
			t.Errorf("the message %q is gone upstream, and the MTA has %d and %d copies", f.name, all[n+alice], all[n+bob])
		}
		if state := w.state(t, record, f.n); state != ledger.Delivered {
			t.Errorf("the message %q is gone upstream, and the ledger says %q", f.name, state)
		}
	}
}

// uid is how the upstream names the n-th message.
func (w *killWorld) uid(n int) string {
	if w.scenario.pop3 {
		return fmt.Sprintf("%08x%08x", 1, n)
	}
	return strconv.Itoa(n)
}

// state is what the ledger has of the n-th message; there must be no more than one record.
func (w *killWorld) state(t *testing.T, record killRecord, n int) ledger.State {
	t.Helper()
	found, err := record.List(t.Context(), ledger.Filter{Account: "work", UID: w.uid(n)})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 {
		t.Errorf("the ledger has %d records of message %d: %+v", len(found), n, found)
		return ""
	}
	return found[0].State
}

// verify holds the end against the promises.
func (w *killWorld) verify(t *testing.T, record killRecord) {
	t.Helper()
	all, labelled := w.copies()
	for _, f := range fates {
		for to, wanted := range map[string]bool{alice: f.alice, bob: f.bob} {
			n, again := all[strconv.Itoa(f.n)+to], labelled[strconv.Itoa(f.n)+to]
			switch {
			case wanted && n == 0:
				t.Errorf("the message %q never reached %s", f.name, to)
			case !wanted && n > 0:
				t.Errorf("the message %q reached %s, for whom it was refused", f.name, to)
			case n-again > 1:
				t.Errorf("the message %q reached %s %d times, %d of them labelled", f.name, to, n, again)
			case n > 3:
				t.Errorf("the message %q reached %s %d times: one kill and one lost reply do not explain that", f.name, to, n)
			}
		}
		if state := w.state(t, record, f.n); state != f.want {
			t.Errorf("the ledger says %q of the message %q, want %q", state, f.name, f.want)
		}
	}
	left := 0
	for _, f := range fates {
		if f.want != ledger.Delivered || w.scenario.disposal.Action == fetch.Keep {
			left++
		}
	}
	if got := len(w.store.UIDs("")); got != left {
		t.Errorf("%d messages are left upstream, want %d", got, left)
	}
}
