package main

import (
	"context"
	"os"
	"syscall"
	"testing"
)

// TestSignalsEndCommands: which signals end a command, and with which exit code, by what the command has declared.
func TestSignalsEndCommands(t *testing.T) {
	for _, c := range []struct {
		name     string
		declare  func(s *signals, reloaded *int)
		sent     []syscall.Signal
		caught   syscall.Signal
		code     int
		reloaded int
	}{
		{"a pass and SIGINT", nil, []syscall.Signal{syscall.SIGINT}, syscall.SIGINT, 130, 0},
		{"a pass and SIGTERM", nil, []syscall.Signal{syscall.SIGTERM}, syscall.SIGTERM, 143, 0},
		{"a pass and SIGHUP", nil, []syscall.Signal{syscall.SIGHUP}, syscall.SIGHUP, 129, 0},
		{"a service and SIGTERM", func(s *signals, _ *int) { s.endOrdinarily() }, []syscall.Signal{syscall.SIGTERM}, syscall.SIGTERM, 0, 0},
		{"a service and SIGHUP", func(s *signals, n *int) { s.onHangup(func() { *n++ }) }, []syscall.Signal{syscall.SIGHUP, syscall.SIGHUP, syscall.SIGINT}, syscall.SIGINT, 130, 2},
		{"no signal", nil, nil, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s signals
			reloaded := 0
			if c.declare != nil {
				c.declare(&s, &reloaded)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ends, hangups := make(chan os.Signal), make(chan os.Signal)
			go func() {
				for _, sig := range c.sent {
					if sig == syscall.SIGHUP {
						hangups <- sig
					} else {
						ends <- sig
					}
				}
				if len(c.sent) == 0 {
					cancel()
				}
			}()
			s.await(ctx, ends, hangups)
			cancel()
			if got := syscall.Signal(s.caught.Load()); got != c.caught || s.exitCode() != c.code || reloaded != c.reloaded {
				t.Errorf("caught %v, exit code %d, SIGHUP handled %d times; want %v, %d, %d", got, s.exitCode(), reloaded, c.caught, c.code, c.reloaded)
			}
		})
	}
}
