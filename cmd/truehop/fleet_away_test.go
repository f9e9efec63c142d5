package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/postgres"
)

// unreachable is a ledger whose database is away, for so long that the leases are over.
type unreachable struct{ sharing }

func (unreachable) Held() []string { return nil }

func (unreachable) Standing(context.Context) (postgres.Standing, error) {
	return postgres.Standing{}, errors.New("away")
}

// TestLeasesRunOutWhileTheDatabaseIsAway: a service that cannot renew its leases serves those accounts no longer. Others may watch them by now.
func TestLeasesRunOutWhileTheDatabaseIsAway(t *testing.T) {
	cfg := &config.Config{Passes: 1, Accounts: map[string]*config.Account{"work": {Name: "work"}}}
	s := newService(cfg, ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true))
	watching, unwatch := context.WithCancel(t.Context())
	s.served["work"] = served{unwatch: unwatch}
	f := newFleet(s, unreachable{})
	f.next["work"] = time.Now().Add(time.Hour)
	updates := make(chan schedule.Update, 1)
	s.updates = updates
	f.share(t.Context())
	select {
	case u := <-updates:
		if !slices.Equal(u.Gone, []string{"work"}) || u.Parallel != 1 {
			t.Errorf("the schedule changes by %+v", u)
		}
	default:
		t.Error("the account stays in the schedule")
	}
	if watching.Err() == nil {
		t.Error("it is watched still")
	}
	s.fleet, s.ready = f, true
	for _, c := range []struct {
		away  time.Duration
		ready bool
	}{{awayLimit / 2, true}, {2 * awayLimit, false}} {
		f.away = time.Now().Add(-c.away)
		if _, ready := s.health(); ready != c.ready {
			t.Errorf("the database has been away for %v: ready %v, want %v", c.away, ready, c.ready)
		}
	}
}

// TestDrainedServiceIsNotReady: an orchestrator sees that a service makes no passes any more, and that it makes them again.
func TestDrainedServiceIsNotReady(t *testing.T) {
	s := newService(&config.Config{Passes: 1}, ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true))
	s.ready = true
	p := &pretended{standing: postgres.Standing{Nodes: 2}}
	s.fleet = newFleet(s, p)
	for _, draining := range []bool{false, true, false} {
		p.standing.Draining = draining
		s.fleet.share(t.Context())
		if _, ready := s.health(); ready == draining {
			t.Errorf("draining %v: ready %v", draining, ready)
		}
	}
}

// TestManagerForgetsWhatIsHandedOver: a pass that failed here is not told of once another service has the account.
func TestManagerForgetsWhatIsHandedOver(t *testing.T) {
	s := newService(&config.Config{}, ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true))
	p := &pretended{held: map[string]bool{"here": true, "there": true}, handed: map[string]time.Time{}}
	f := newFleet(s, p)
	s.manager.ready(2)
	s.manager.ended("here", errors.New("no connection"))
	s.manager.ended("there", errors.New("no connection"))
	f.left["there"] = true
	f.handOver(t.Context())
	if got, want := s.manager.told, "STATUS=serving 2 accounts, the last pass failed over here"; got != want {
		t.Errorf("the service manager has been told %q, want %q", got, want)
	}
}
