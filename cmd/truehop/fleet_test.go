package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/postgres"
)

// pretended is a ledger by which services share accounts, as far as one of them sees that.
type pretended struct {
	mu       sync.Mutex
	standing postgres.Standing
	free     map[string]time.Time
	held     map[string]bool
	working  map[string]bool
	handed   map[string]time.Time
	wanted   []string
	unwanted []string
	declined []string
	away     error
}

func (p *pretended) Serve(_ context.Context, accounts []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil {
		return p.away
	}
	p.wanted = append(p.wanted, accounts...)
	return nil
}

func (p *pretended) Unserve(_ context.Context, accounts []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away != nil {
		return p.away
	}
	p.unwanted = append(p.unwanted, accounts...)
	return nil
}

func (p *pretended) Standing(context.Context) (postgres.Standing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.standing
	s.Held = len(p.held)
	return s, p.away
}

func (p *pretended) Take(_ context.Context, n int, but []string) (taken []postgres.Taken, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, account := range slices.Sorted(maps.Keys(p.free)) {
		if len(taken) < n && !slices.Contains(but, account) {
			taken = append(taken, postgres.Taken{Account: account, Due: p.free[account]})
			delete(p.free, account)
			p.held[account] = true
		}
	}
	return taken, nil
}

func (p *pretended) Leave(accounts []string, n int) (idle []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, account := range accounts {
		if len(idle) < n && p.held[account] && !p.working[account] {
			idle = append(idle, account)
		}
	}
	return idle
}

func (p *pretended) Decline(_ context.Context, accounts []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.declined = append(p.declined, accounts...)
	return nil
}

func (p *pretended) HandOver(_ context.Context, due map[string]time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for account, at := range due {
		if p.held[account] {
			delete(p.held, account)
			p.handed[account] = at
		}
	}
	return nil
}

func (p *pretended) Held() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.held))
}

func (p *pretended) Losses() int { return 0 }

// change changes what the ledger says, and gives the service time to see it.
func (p *pretended) change(how func()) {
	p.mu.Lock()
	how()
	p.mu.Unlock()
	time.Sleep(2 * fleetLook)
	synctest.Wait()
}

// has wants the service to serve these accounts and no others.
func (p *pretended) has(t *testing.T, f *fleet, when string, want ...string) {
	t.Helper()
	f.service.mu.Lock()
	serves := slices.Sorted(maps.Keys(f.service.served))
	f.service.mu.Unlock()
	if !slices.Equal(serves, want) || !slices.Equal(p.Held(), want) {
		t.Errorf("%s it serves %v and holds %v, want %v", when, serves, p.Held(), want)
	}
}

// TestFleetFollowsTheStanding: a service takes its share, at the times at which those accounts are due, hands over what another is to have, drops
// what it has lost, and hands over all when it ends.
func TestFleetFollowsTheStanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, err := schedule.Parse("@every 1h")
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		cfg := &config.Config{Passes: 2, Accounts: map[string]*config.Account{}}
		for _, name := range []string{"a", "b", "c", "d"} {
			cfg.Accounts[name] = &config.Account{Name: name, Schedule: spec, Protocol: config.POP3}
		}
		s := newService(cfg, ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true))
		s.app = &app.App{}
		in := func(d time.Duration) time.Time { return begin.Add(d) }
		p := &pretended{held: map[string]bool{}, working: map[string]bool{}, handed: map[string]time.Time{},
			standing: postgres.Standing{Nodes: 2, Accounts: 5},
			free:     map[string]time.Time{"a": in(10 * time.Minute), "b": in(20 * time.Minute), "c": in(30 * time.Minute), "stranger": in(time.Minute)}}
		s.fleet = newFleet(s, p)
		var mu sync.Mutex
		passes := map[string]time.Duration{}
		ctx, end := context.WithCancel(t.Context())
		working, ended := context.WithCancel(t.Context())
		loop := s.loop(ctx)
		loop.Pass = func(_ context.Context, account string) error {
			mu.Lock()
			defer mu.Unlock()
			passes[account] = time.Since(begin)
			return nil
		}
		var all sync.WaitGroup
		all.Go(func() { _ = loop.Run(ctx); ended() })
		all.Go(func() { s.fleet.run(ctx, working) })

		p.change(func() {})
		p.has(t, s.fleet, "with a share of three", "a", "b", "c")
		p.change(func() { p.free["stranger"] = in(time.Minute); p.standing.Accounts = 8 })
		p.has(t, s.fleet, "with what it does not know", "a", "b", "c")
		if at, handed := p.handed["stranger"]; handed && !at.Equal(in(time.Minute)) {
			t.Errorf("what it does not know is handed over as due at %v", at)
		}
		time.Sleep(12 * time.Minute)
		mu.Lock()
		if d := passes["a"] - 10*time.Minute; len(passes) != 1 || d < 0 || d > startJitter {
			t.Errorf("passes: %v, want one when the account is due", passes)
		}
		mu.Unlock()
		p.change(func() { p.standing.Accounts = 4; p.working["a"] = true })
		p.has(t, s.fleet, "with a share of two, and a pass over the one that is due last", "a", "b")
		if at := p.handed["c"]; !at.Equal(in(30 * time.Minute)) {
			t.Errorf("it is handed over as due at %v, want when the next pass is", at.Sub(begin))
		}
		p.change(func() { p.standing.Asked = []string{"a", "b"}; p.standing.Accounts = 2 })
		p.has(t, s.fleet, "after another has asked for one", "a")
		if !slices.Contains(p.declined, "a") || slices.Contains(p.declined, "b") {
			t.Errorf("it declined to lend %v, want the one with a pass under way", p.declined)
		}
		p.change(func() { p.standing.Asked = nil; p.held = map[string]bool{} })
		p.has(t, s.fleet, "after it has lost its lease")
		p.change(func() { p.away = errors.New("the database is away"); p.free["d"] = begin })
		p.has(t, s.fleet, "while the database is away")
		p.change(func() { p.away = nil })
		p.has(t, s.fleet, "when it is back", "d")
		p.change(func() {
			p.standing.Nodes, p.standing.Accounts, p.standing.Overdue = 2, 2, 1
			p.free["b"] = begin
		})
		p.has(t, s.fleet, "with its share, while another may still take what is overdue", "d")
		mu.Lock()
		before := passes["b"]
		mu.Unlock()
		time.Sleep(2 * overdueLooks * fleetLook)
		p.change(func() { p.standing.Overdue = 0 })
		if held := p.Held(); len(held) != 1 { // the one that is due last is handed over
			t.Errorf("after a pass over what nobody else took it holds %v", held)
		}
		mu.Lock()
		if passes["b"] == before {
			t.Error("there was no pass over what nobody else took")
		}
		mu.Unlock()
		p.change(func() { p.standing.Draining = true })
		p.has(t, s.fleet, "draining")
		p.change(func() {
			p.standing.Draining = false
			p.free = map[string]time.Time{"d": begin}
			p.handed = map[string]time.Time{}
		})
		p.has(t, s.fleet, "before its end", "d")
		end()
		all.Wait()
		if len(p.Held()) != 0 || len(p.handed) != 1 {
			t.Errorf("at its end it holds %v and has handed over %v", p.Held(), p.handed)
		}
	})
}

// TestFleetAssertsItsAccounts: what another service has had taken out of the database is there again soon, as long as this one has it in its
// configuration.
func TestFleetAssertsItsAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := &config.Config{Passes: 1, Accounts: map[string]*config.Account{"a": {Name: "a", Protocol: config.POP3}}}
		s := newService(cfg, ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true))
		s.app = &app.App{}
		p := &pretended{held: map[string]bool{}, working: map[string]bool{}, handed: map[string]time.Time{}, standing: postgres.Standing{Nodes: 2}}
		s.fleet = newFleet(s, p)
		ctx, end := context.WithCancel(t.Context())
		working, ended := context.WithCancel(t.Context())
		s.loop(ctx)
		var all sync.WaitGroup
		all.Go(func() { s.fleet.run(ctx, working) })
		time.Sleep((assertLooks + 1) * fleetLook)
		p.mu.Lock()
		if !slices.Equal(p.wanted, []string{"a"}) || len(p.unwanted) != 0 {
			t.Errorf("wanted %v, not wanted %v", p.wanted, p.unwanted)
		}
		p.mu.Unlock()
		end()
		ended()
		all.Wait()
	})
}

// TestFleetKeepsItsShareWhileAnotherLeaves: an account that is out of the configuration is held until the pass over it has ended. Meanwhile
// none of the others is handed over for it.
func TestFleetKeepsItsShareWhileAnotherLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec, err := schedule.Parse("@every 1h")
		if err != nil {
			t.Fatal(err)
		}
		accounts := map[string]*config.Account{}
		for _, name := range []string{"goes", "stays"} {
			accounts[name] = &config.Account{Name: name, Schedule: spec, Protocol: config.POP3}
		}
		log := ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true)
		s := newService(&config.Config{Passes: 2, Accounts: accounts}, log)
		s.app = &app.App{}
		p := &pretended{held: map[string]bool{}, working: map[string]bool{}, handed: map[string]time.Time{},
			standing: postgres.Standing{Nodes: 1, Accounts: 2}, free: map[string]time.Time{"stays": time.Now().Add(time.Hour), "goes": {}}}
		s.fleet = newFleet(s, p)
		ctx, end := context.WithCancel(t.Context())
		working, ended := context.WithCancel(t.Context())
		loop, long := s.loop(ctx), make(chan struct{})
		loop.Pass = func(_ context.Context, account string) error {
			if account == "goes" {
				<-long
			}
			return nil
		}
		var all sync.WaitGroup
		all.Go(func() { _ = loop.Run(ctx); ended() })
		all.Go(func() { s.fleet.run(ctx, working) })
		p.change(func() {})
		time.Sleep(startJitter)
		s.change(ctx, &config.Config{Passes: 2, Accounts: map[string]*config.Account{"stays": accounts["stays"]}}, log, nil, []string{"goes"}, func() {})
		p.change(func() { p.standing.Accounts = 1 })
		if held := p.Held(); !slices.Equal(held, []string{"goes", "stays"}) || len(p.handed) != 0 {
			t.Errorf("while there is a pass over the one that goes it holds %v and has handed over %v", held, p.handed)
		}
		close(long)
		p.change(func() {})
		p.has(t, s.fleet, "after that pass", "stays")
		end()
		all.Wait()
	})
}

// TestFleetFollowsTheConfiguration: what comes is served by whoever takes it, what changes stays where it is, what is gone is nobody's. Where
// the database is away, that is so when it is back.
func TestFleetFollowsTheConfiguration(t *testing.T) {
	for name, away := range map[string]error{"at once": nil, "later": errors.New("the database is away")} {
		t.Run(name, func(t *testing.T) { fleetFollowsTheConfiguration(t, away) })
	}
}

func fleetFollowsTheConfiguration(t *testing.T, away error) {
	synctest.Test(t, func(t *testing.T) {
		spec, err := schedule.Parse("@every 1h")
		if err != nil {
			t.Fatal(err)
		}
		account := func(name string) *config.Account {
			return &config.Account{Name: name, Schedule: spec, Protocol: config.POP3}
		}
		cfg := &config.Config{Passes: 2, Accounts: map[string]*config.Account{"stays": account("stays"), "goes": account("goes")}}
		log := ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true)
		s := newService(cfg, log)
		s.app = &app.App{}
		p := &pretended{held: map[string]bool{}, working: map[string]bool{}, handed: map[string]time.Time{},
			standing: postgres.Standing{Nodes: 1, Accounts: 2}, free: map[string]time.Time{"stays": {}, "goes": {}}}
		s.fleet = newFleet(s, p)
		ctx, end := context.WithCancel(t.Context())
		working, ended := context.WithCancel(t.Context())
		loop := s.loop(ctx)
		loop.Pass = func(context.Context, string) error { return nil }
		var all sync.WaitGroup
		all.Go(func() { _ = loop.Run(ctx); ended() })
		all.Go(func() { s.fleet.run(ctx, working) })
		p.change(func() {})
		p.has(t, s.fleet, "at first", "goes", "stays")
		next := &config.Config{Passes: 2, Accounts: map[string]*config.Account{"stays": account("stays"), "comes": account("comes")}}
		told := 0
		p.change(func() { p.away = away })
		s.change(ctx, next, log, []string{"stays", "comes"}, []string{"goes"}, func() { told++ })
		if told != 1 {
			t.Errorf("the change was told %d times", told)
		}
		p.change(func() { p.standing.Accounts = 1 })
		p.has(t, s.fleet, "after the change", "stays")
		p.change(func() { p.away = nil })
		slices.Sort(p.wanted)
		if !slices.Equal(p.wanted, []string{"comes", "stays"}) || !slices.Equal(p.unwanted, []string{"goes"}) {
			t.Errorf("to be served are %v, and not to be %v", p.wanted, p.unwanted)
		}
		p.change(func() { p.standing.Accounts = 2; p.free["comes"] = time.Time{} })
		p.has(t, s.fleet, "after it has taken what came", "comes", "stays")
		end()
		all.Wait()
	})
}
