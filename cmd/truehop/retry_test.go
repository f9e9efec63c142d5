package main

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
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

// TestRetryOfAUIDThatSeveralHave: what was not named is not tried again.
func TestRetryOfAUIDThatSeveralHave(t *testing.T) {
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, folder := range []string{"INBOX", "Lists", "Old"} {
		key := ledger.Key{Account: "work", Folder: folder, UID: "5", Hash: sha256.Sum256([]byte(folder))}
		r := ledger.Record{Key: key, State: ledger.Held, Token: "id-" + folder, Absent: folder == "Old"}
		if err := l.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	held := func() (folders []string) {
		records, err := l.List(t.Context(), ledger.Filter{States: []ledger.State{ledger.Held}})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			folders = append(folders, r.Folder)
		}
		slices.Sort(folders)
		return folders
	}
	account := &config.Account{Name: "work"}
	_, err = retryMessages(t.Context(), l, account, []string{"5"}, nil)
	said := fmt.Sprint(err)
	if exitCode(err) != exitUsage || len(held()) != 3 || !strings.Contains(said, "id-INBOX ") || strings.Contains(said, "id-Old") {
		t.Errorf("%v, and %v are held", err, held())
	}
	key := ledger.Key{Account: "work", Folder: "Copies", UID: "6", Hash: [32]byte{6}}
	gone := ledger.Record{Key: key, State: ledger.Delivered, Absent: true}
	still := gone
	still.Folder, still.State, still.Absent = "Shared", ledger.Deferred, false
	if err := l.PutAll(t.Context(), []ledger.Record{gone, still}); err != nil {
		t.Fatal(err)
	}
	if _, err := retryMessages(t.Context(), l, account, []string{"6"}, nil); err != nil {
		t.Errorf("a copy that has gone is in the way: %v", err)
	}
	_, err = retryMessages(t.Context(), l, account, []string{"id-INBOX"}, nil)
	if err != nil || !slices.Equal(held(), []string{"Lists", "Old"}) {
		t.Errorf("by its ID: %v, and %v are held", err, held())
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
