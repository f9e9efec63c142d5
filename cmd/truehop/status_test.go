package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
)

// status shows all that the ledger keeps of the last pass, and does not take one that never ended for a good one.
func TestStatusOfTheLastPass(t *testing.T) {
	began := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	for _, c := range []struct {
		name       string
		pass       ledger.Pass
		text, json []string
	}{
		{
			"done", ledger.Pass{Began: began, Ended: began.Add(3 * time.Second), OK: true, Listed: 15, Delivered: 1, Deferred: 2, Refused: 3, Held: 4, InDoubt: 5},
			[]string{"work: last pass 2026-11-23 12:00:00\n", "  it took 3s: listed 15, delivered 1, deferred 2, refused 3, held 4, doubt 5\n"},
			[]string{`"ok":true,"listed":15,"delivered":1,"deferred":2,"refused":3,"held":4,"doubt":5}`, `"error":null`},
		},
		{
			"failed", ledger.Pass{Began: began, Ended: began.Add(time.Minute), Listed: 2, Error: "the MTA cannot be reached"},
			[]string{"work: last pass 2026-11-23 12:00:00 FAILED: the MTA cannot be reached\n", "  it took 1m0s: listed 2\n"},
			[]string{`"ok":false,"listed":2,`, `"error":"the MTA cannot be reached"`},
		},
		{
			"under way, or killed", ledger.Pass{Began: began},
			[]string{"work: last pass 2026-11-23 12:00:00 has not ended\n"},
			[]string{`"pass":null`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := ledger.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if err := l.PassEnded(t.Context(), "work", c.pass); err != nil {
				t.Fatal(err)
			}
			noted := ledger.Record{Key: ledger.Key{Account: "work", UID: "lost and acknowledged"}, State: ledger.Lost, Acknowledged: time.Now()}
			if err := l.Put(t.Context(), noted); err != nil {
				t.Fatal(err)
			}
			s, err := readStatus(t.Context(), l, &config.Account{Name: "work"}, "mta")
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			s.Print(&text, "/state", time.Now())
			for _, want := range c.text {
				if !strings.Contains(text.String(), want) {
					t.Errorf("it prints\n%swithout %q", &text, want)
				}
			}
			if took := strings.Contains(text.String(), "it took"); took == c.pass.Ended.IsZero() {
				t.Errorf("it prints\n%s", &text)
			}
			object, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.json {
				if !strings.Contains(string(object), want) {
					t.Errorf("as JSON it is %s without %s", object, want)
				}
			}
		})
	}
}

// TestStatusOfARefusedLogin: watchers meet with it too, whose passes then do not begin.
func TestStatusOfARefusedLogin(t *testing.T) {
	for name, passed := range map[string]bool{"before the first pass": false, "after a good one": true} {
		t.Run(name, func(t *testing.T) {
			l, err := ledger.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if passed {
				err = l.PassEnded(t.Context(), "work", ledger.Pass{Began: time.Now(), Ended: time.Now(), OK: true})
			}
			if err := errors.Join(err, l.SetRefusal(t.Context(), "work", ledger.Refusal{Times: 1, Last: time.Now(), Next: time.Now().Add(time.Hour), Reason: "wrong password"})); err != nil {
				t.Fatal(err)
			}
			s, err := readStatus(t.Context(), l, &config.Account{Name: "work"}, "mta")
			if err != nil {
				t.Fatal(err)
			}
			var text bytes.Buffer
			s.Print(&text, "/state", time.Now())
			if code := statusExit(s); code != exitCredentials || !strings.Contains(text.String(), "login refused, 1 in a row") {
				t.Errorf("%d:\n%s", code, &text)
			}
		})
	}
}

// What left the upstream wants nothing more, unless it may never have arrived. What wants a person comes first.
func TestStatusListsWhatIsNotDoneWith(t *testing.T) {
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, state := range ledger.States() {
		for _, absent := range []bool{false, true} {
			r := ledger.Record{Key: ledger.Key{Account: "work", UID: fmt.Sprintf("%s gone %v", state, absent)}, State: state, Absent: absent}
			if err := l.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := readStatus(t.Context(), l, &config.Account{Name: "work"}, "mta")
	if err != nil {
		t.Fatal(err)
	}
	groups := [][]string{
		{"held gone false", "partly-refused gone false", "refused gone false"},
		{"lost gone false", "lost gone true"},
		{"doubt gone false", "doubt gone true", "sending gone false", "sending gone true"},
		{"deferred gone false"},
	}
	open := s.Open
	for _, want := range groups {
		var got []string
		for _, m := range open[:min(len(want), len(open))] {
			got = append(got, m.UID)
		}
		open = open[len(got):]
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("status lists %q, want %q", got, want)
		}
	}
	if len(open) > 0 || statusExit(s) != exitPerson {
		t.Errorf("%d messages more, and exit code %d", len(open), statusExit(s))
	}
}
