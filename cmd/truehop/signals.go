package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// signals is what SIGINT, SIGTERM and SIGHUP do. Each of them cuts the command short, and the exit code is
// then that of the signal, unless the command declares something else.
type signals struct {
	caught   atomic.Int32 // the signal that ended the command, or 0
	ordinary atomic.Bool
	hangup   atomic.Pointer[func()]
}

// endOrdinarily declares that the command runs until a signal: to be ended by one is success.
func (s *signals) endOrdinarily() { s.ordinary.Store(true) }

// onHangup declares what SIGHUP does instead of ending the command.
func (s *signals) onHangup(f func()) { s.hangup.Store(&f) }

// exitCode is 128 and the signal that cut the command short, 0 if none did.
func (s *signals) exitCode() int {
	n := s.caught.Load()
	if n == 0 || s.ordinary.Load() {
		return exitOK
	}
	return 128 + int(n)
}

// catch returns a context that ends at the first signal that ends the command. A second SIGINT or SIGTERM
// ends the process at once, as the system does by default. A second SIGHUP does not: a terminal that
// is closed may send two.
func (s *signals) catch(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	ends, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) ignores it
		signal.Notify(hangups, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.await(ctx, ends, hangups)
		signal.Stop(ends)
		cancel()
	}()
	return ctx, func() { cancel(); <-done; signal.Stop(hangups) }
}

// await waits for the signal that ends the command, or the end of ctx.
func (s *signals) await(ctx context.Context, ends, hangups <-chan os.Signal) {
	var sig os.Signal
	for sig == nil {
		select {
		case sig = <-ends:
		case sig = <-hangups:
			if f := s.hangup.Load(); f != nil {
				(*f)()
				sig = nil
			}
		case <-ctx.Done():
			return
		}
	}
	if n, ok := sig.(syscall.Signal); ok {
		s.caught.Store(int32(n))
	}
}
