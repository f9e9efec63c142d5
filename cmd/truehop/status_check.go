package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
)

// health is how a monitoring plugin exits (https://nagios-plugins.org/doc/guidelines.html#AEN78).
type health int

const (
	healthOK health = iota
	healthWarning
	healthCritical
	healthUnknown
)

// String returns the word in front of the plugin's line.
func (h health) String() string {
	return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[h]
}

// freshTrouble is how long messages that want a person are a warning. Whoever has not seen it by then knows, or will not look: the health
// of what comes after must show again.
const freshTrouble = 24 * time.Hour

// statusCheck prints one line for a monitor.
func (p *program) statusCheck(ctx context.Context, names []string, maxAge time.Duration) error {
	all, _, err := p.readStatuses(ctx, names)
	h, line := healthUnknown, ""
	if err != nil {
		line = fetch.Printable(strings.ReplaceAll(err.Error(), "\n", "; "))
	} else {
		h, line = judgeHealth(all, maxAge, time.Now())
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", h, line)
	return ended(int(h))
}

// judgeHealth says in one line how it stands with the accounts, the worst of them first.
func judgeHealth(all []*ui.AccountStatus, maxAge time.Duration, now time.Time) (health, string) {
	words := map[health][]string{}
	deferred, person := 0, 0
	for _, s := range all {
		h, text := judgeAccount(s, maxAge, now)
		for _, m := range s.Open {
			if !m.State.WantsPerson() {
				deferred++
				continue
			}
			person++
			if now.Sub(m.Changed) < freshTrouble && h == healthOK {
				h, text = healthWarning, "messages want a person: truehop status "+s.Account
			}
		}
		if h != healthOK {
			words[h] = append(words[h], s.Account+": "+text)
		}
	}
	worst := healthOK
	for h := range words {
		worst = max(worst, h)
	}
	said := slices.Concat(words[healthCritical], words[healthWarning])
	sum := fmt.Sprintf("accounts %d, deferred %d, for a person %d", len(all), deferred, person)
	said = append(said, sum)
	return worst, fmt.Sprintf("%s | accounts=%d deferred=%d person=%d", strings.ReplaceAll(strings.Join(said, "; "), "|", "/"), len(all), deferred, person)
}

// judgeAccount says how it stands with the passes over an account.
func judgeAccount(s *ui.AccountStatus, maxAge time.Duration, now time.Time) (health, string) {
	why := ""
	if s.Error != nil {
		why = ", " + fetch.Sanitize(*s.Error)
	}
	switch {
	case s.LastSuccess == nil:
		return healthCritical, "no good pass yet" + why
	case now.Sub(*s.LastSuccess) > maxAge:
		return healthCritical, fmt.Sprintf("no good pass for %v%s", now.Sub(*s.LastSuccess).Round(time.Minute), why)
	case s.LoginRefused != nil:
		return healthWarning, "login refused: " + fetch.Sanitize(s.LoginRefused.Reason)
	case s.Error != nil:
		return healthWarning, "last pass failed" + why
	}
	return healthOK, ""
}

// watchInterval is how often status --watch looks again.
const watchInterval = 2 * time.Second

// statusWatch prints the status again and again, until a signal.
func (p *program) statusWatch(ctx context.Context, names []string) error {
	p.signals.endOrdinarily()
	clearing := isTerminal(p.stdout)
	return every(ctx, watchInterval, func() error {
		if clearing {
			_, _ = io.WriteString(p.stdout, "\x1b[H\x1b[2J") // ECMA-48: to the top, and erase all
		}
		fmt.Fprintf(p.stdout, "%s, every %v\n", time.Now().Format(time.DateTime), watchInterval)
		err := p.status(ctx, names, false)
		if outcome := (*outcomeError)(nil); errors.As(err, &outcome) {
			return nil
		}
		return err
	})
}

// every calls f at once and then in this interval, until it fails or ctx ends.
func every(ctx context.Context, interval time.Duration, f func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := f(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
