package main

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestPulse: who does not show in time that he lives is late, and nobody else is.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pulse
		p.beat("schedule of a", time.Minute)
		p.beat("schedule of b", passSilence)
		p.beat("watcher of a INBOX", 10*time.Minute)
		p.beat("watcher of b INBOX", -1)
		for _, c := range []struct {
			after time.Duration
			do    func()
			late  []string
		}{
			{0, nil, nil},
			{2 * time.Minute, nil, nil}, // with the grace
			{time.Second, nil, []string{"schedule of a"}},
			{0, func() { p.beat("schedule of a", time.Minute) }, nil},
			{10 * time.Minute, nil, []string{"schedule of a", "watcher of a INBOX"}},
			{0, func() { p.beat("schedule of a", -1) }, []string{"watcher of a INBOX"}},
			{0, func() { p.again("schedule of a", 0); p.again("watcher of a INBOX", time.Hour) }, nil},
			{passSilence - 11*time.Minute, nil, []string{"schedule of b"}},
		} {
			time.Sleep(c.after)
			if c.do != nil {
				c.do()
			}
			if late := p.late(time.Now()); !slices.Equal(late, c.late) {
				t.Errorf("late are %q, want %q", late, c.late)
			}
		}
	})
}

// TestManagerState: what systemctl status shows of passes that fail.
func TestManagerState(t *testing.T) {
	var m manager
	m.ready(8)
	failed := fmt.Errorf("no connection")
	for _, c := range []struct {
		account string
		err     error
		want    string
	}{
		{"a", nil, ""},
		{"b", failed, "STATUS=serving 8 accounts, the last pass failed over b"},
		{"b", failed, ""},
		{"a", failed, "STATUS=serving 8 accounts, the last pass failed over a, b"},
		{"b", nil, "STATUS=serving 8 accounts, the last pass failed over a"},
		{"a", t.Context().Err(), "STATUS=serving 8 accounts"},
	} {
		if got := m.ended(c.account, c.err); got != c.want {
			t.Errorf("after %s %v: %q, want %q", c.account, c.err, got, c.want)
		}
	}
	for n := range maxNamed + 2 {
		m.ended(fmt.Sprint("x", n), failed)
	}
	const want = "STATUS=serving 8 accounts, the last pass failed over x0, x1, x2, x3, x4, 2 more"
	if got := m.state(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, want := range []string{"STATUS=serving 8 accounts", ""} {
		if got := m.forget([]string{"x0", "x1", "x2", "x3", "x4", "x5", "x6"}); got != want {
			t.Errorf("of accounts that are gone: %q, want %q", got, want)
		}
	}
}
