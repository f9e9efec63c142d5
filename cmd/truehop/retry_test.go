package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestRetry: what a person can have tried again, and what becomes of its record.
func TestRetry(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	before := now.Add(-30 * 24 * time.Hour)
	for _, c := range []struct {
		record ledger.Record
		state  ledger.State
		why    string
	}{
		{ledger.Record{State: ledger.Refused}, ledger.Deferred, ""},
		{ledger.Record{State: ledger.Held}, ledger.Deferred, ""},
		{ledger.Record{State: ledger.PartlyRefused}, ledger.Deferred, ""},
		{ledger.Record{State: ledger.Deferred}, ledger.Deferred, ""},
		{ledger.Record{State: ledger.Doubt}, ledger.Doubt, ""},
		{ledger.Record{State: ledger.Sending}, ledger.Sending, ""},
		{ledger.Record{State: ledger.Delivered}, "", "is delivered; truehop forget"},
		{ledger.Record{State: ledger.Adopted}, "", "is adopted; truehop forget"},
		{ledger.Record{State: ledger.Quarantined}, "", "is quarantined; truehop forget"},
		{ledger.Record{State: ledger.Refused, Disposed: true}, "", "not upstream any more"},
		{ledger.Record{State: ledger.Deferred, Absent: true}, "", "not upstream any more"},
		{ledger.Record{State: ledger.Lost, Absent: true}, "", "not upstream any more"},
	} {
		t.Run(fmt.Sprintf("%s disposed %v absent %v", c.record.State, c.record.Disposed, c.record.Absent), func(t *testing.T) {
			r := c.record
			r.First, r.Next, r.Attempts = before, now.Add(time.Hour), 7
			was := r
			why := retry(&r, now)
			if c.why != "" {
				if !strings.Contains(why, c.why) {
					t.Errorf("it says %q, want %q", why, c.why)
				}
				if !reflect.DeepEqual(r, was) {
					t.Errorf("the record was changed to %+v", r)
				}
				return
			}
			if why != "" || r.State != c.state || !r.Next.IsZero() || r.Attempts != 7 {
				t.Errorf("%q, and the record is %+v", why, r)
			}
			if given := r.State == ledger.Deferred; given != r.First.Equal(now) {
				t.Errorf("it is given up counting from %v", r.First)
			}
		})
	}
}

// TestAmendWaitsForNobody: while a pass is at work on an account, nobody changes its records.
func TestAmendWaitsForNobody(t *testing.T) {
	trial := newKillTrial(t)
	trial.mta = trial.startMTA(t, func(int64) bool { return false })
	trial.start(t, "imap", "")
	must(t, exitOK, "run", "--config", trial.config)
	record, err := ledger.Open(t.Context(), trial.dir+"/state")
	if err != nil {
		t.Fatal(err)
	}
	defer record.Close()
	unlock, err := record.Lock("work")
	if err != nil {
		t.Fatal(err)
	}
	must(t, exitLater, "retry", "work", "--all", "--config", trial.config)
	must(t, exitLater, "forget", "work", "1", "--config", trial.config)
	must(t, exitOK, "history", "--config", trial.config) // looking is always allowed
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	must(t, exitOK, "forget", "work", "1", "--config", trial.config)
}
