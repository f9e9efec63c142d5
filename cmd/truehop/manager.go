package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/truehop/truehop/schedule/ledger"
)

// manager is what the service manager is told, see sd_notify(3).
type manager struct {
	mu sync.Mutex
	// accounts are served; failing are those whose last pass failed.
	accounts int
	failing  map[string]bool
	// told is the state that stands.
	told string
}

// maxNamed bounds the accounts that a state names.
const maxNamed = 5

// state is the line that systemctl status shows.
func (m *manager) state() string {
	text := fmt.Sprintf("STATUS=serving %d accounts", m.accounts)
	if m.accounts == 1 {
		text = "STATUS=serving 1 account"
	}
	if len(m.failing) == 0 {
		return text
	}
	var names []string
	for name := range m.failing {
		names = append(names, name)
	}
	slices.Sort(names)
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("%d more", more))
	}
	return text + ", the last pass failed over " + strings.Join(names, ", ")
}

// ready is told at the start and after a reload.
func (m *manager) ready(accounts int) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accounts = accounts
	m.told = m.state()
	return daemon.SdNotifyReady + "\n" + m.told
}

// ended is told when a pass has ended, "" if that changes nothing.
func (m *manager) ended(account string, err error) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled), ledger.KindOf(err) == ledger.Busy: // that says nothing of the account
		return ""
	case err == nil:
		delete(m.failing, account)
	case m.failing == nil:
		m.failing = map[string]bool{account: true}
	default:
		m.failing[account] = true
	}
	return m.changed()
}

// forget is told of accounts that are gone, or are another service's now; "" if that changes nothing.
func (m *manager) forget(gone []string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range gone {
		delete(m.failing, name)
	}
	return m.changed()
}

// changed returns the state where another one stands.
func (m *manager) changed() string {
	state := m.state()
	if state == m.told {
		return ""
	}
	m.told = state
	return state
}

// notify tells the service manager, where there is one.
func (s *service) notify(state string) {
	if state == "" {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.logger().ServiceManager(err)
	}
}

// feedWatchdog tells the service manager that the service works, as long as nobody is late to show it, until ctx ends.
func (s *service) feedWatchdog(ctx context.Context) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.logger().ServiceManager(err)
	}
	if err != nil || interval <= 0 {
		return
	}
	tick := time.NewTicker(interval / 3) // systemd.service(5) wants it twice in that time
	defer tick.Stop()
	told := ""
	for {
		late := s.pulse.late(time.Now())
		if len(late) == 0 {
			s.notify(daemon.SdNotifyWatchdog)
		}
		if names := strings.Join(late, ", "); names != told {
			told = names
			s.logger().Stuck(late)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
