package postgres

import (
	"testing"
	"time"
)

// TestTerm: a lease is over a tenth before its time, by a clock that was read before the renewal was sent, and in no case before the first
// renewal or after a clock that went back.
func TestTerm(t *testing.T) {
	const at = 100 * time.Hour
	for name, c := range map[string]struct {
		term term
		now  time.Duration
		over bool
	}{
		"never renewed":       {term{}, at, true},
		"just renewed":        {term{at, 30 * time.Second}, at, false},
		"before its end":      {term{at, 30 * time.Second}, at + 27*time.Second - 1, false},
		"at its end":          {term{at, 30 * time.Second}, at + 27*time.Second, true},
		"after a suspend":     {term{at, 30 * time.Second}, at + 8*time.Hour, true},
		"the clock went back": {term{at, 30 * time.Second}, at - 1, true},
	} {
		if got := c.term.over(c.now); got != c.over {
			t.Errorf("%s: over %v, want %v", name, got, c.over)
		}
	}
}

// TestSendingUntil: what was left at its dot waits for the rest of the time after the end of a lease that was lost, and not at all after one that
// was handed back.
func TestSendingUntil(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	const dotOver = 13 * time.Minute
	for name, c := range map[string]struct {
		lostFor time.Duration
		want    time.Time
	}{
		"handed back":      {-1, time.Time{}},
		"lost just now":    {0, now.Add(dotOver)},
		"lost a while ago": {3 * time.Minute, now.Add(10 * time.Minute)},
		"about to be over": {dotOver - 1, now.Add(1)},
		"over":             {dotOver, time.Time{}},
		"lost long ago":    {1000 * time.Hour, time.Time{}},
	} {
		if got := sendingUntil(now, c.lostFor, dotOver); !got.Equal(c.want) {
			t.Errorf("%s: until %v, want %v", name, got, c.want)
		}
	}
}

// TestQuota: shares are equal, cover all accounts, and come to rest.
func TestQuota(t *testing.T) {
	for name, c := range map[string]struct {
		s          Standing
		take, give int
	}{
		"alone":                    {Standing{Nodes: 1, Accounts: 10}, 10, 0},
		"alone and unseen so far":  {Standing{Nodes: 0, Accounts: 10}, 10, 0},
		"nothing to do":            {Standing{Nodes: 3}, 0, 0},
		"a third, rounded up":      {Standing{Nodes: 3, Accounts: 10}, 4, 0},
		"at rest":                  {Standing{Nodes: 3, Accounts: 10, Held: 4}, 0, 0},
		"less than its share":      {Standing{Nodes: 3, Accounts: 10, Held: 2}, 2, 0},
		"another node has come":    {Standing{Nodes: 3, Accounts: 2000, Held: 1000}, 0, 333},
		"another node has gone":    {Standing{Nodes: 2, Accounts: 2000, Held: 667}, 333, 0},
		"more nodes than accounts": {Standing{Nodes: 5, Accounts: 2}, 1, 0},
		"draining":                 {Standing{Nodes: 2, Accounts: 10, Held: 4, Draining: true}, 0, 4},
		"the only one, draining":   {Standing{Nodes: 0, Accounts: 10, Held: 10, Draining: true}, 0, 10},
	} {
		if take, give := c.s.Quota(); take != c.take || give != c.give {
			t.Errorf("%s: take %d and give %d, want %d and %d", name, take, give, c.take, c.give)
		}
	}
	for nodes := 1; nodes <= 7; nodes++ {
		for accounts := range 50 {
			share, _ := Standing{Nodes: nodes, Accounts: accounts}.Quota()
			if share*nodes < accounts || share*(nodes-1) > accounts+nodes {
				t.Errorf("%d nodes have shares of %d of %d accounts", nodes, share, accounts)
			}
		}
	}
}

func TestBeyond(t *testing.T) {
	for name, c := range map[string]struct {
		s    Standing
		want int
	}{
		"at rest":                {Standing{Nodes: 3, Accounts: 10, Held: 4}, 0},
		"first its share":        {Standing{Nodes: 3, Accounts: 10, Held: 2, Overdue: 7}, 0},
		"what nobody else takes": {Standing{Nodes: 3, Accounts: 10, Held: 4, Overdue: 3}, 3},
		"still more":             {Standing{Nodes: 3, Accounts: 10, Held: 7, Overdue: 2}, 2},
		"draining":               {Standing{Nodes: 2, Accounts: 10, Overdue: 3, Draining: true}, 0},
	} {
		if got := c.s.Beyond(); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
