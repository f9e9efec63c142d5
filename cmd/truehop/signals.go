package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
)

// signals is what SIGINT, SIGTERM and SIGHUP do. Each of them cuts the command short, and the exit code is
// then that of the signal, unless the command declares something else. SIGUSR1 does what the system has it do, unless
// the command declares otherwise.
type signals struct {
	caught   atomic.Int32 // the signal that ended the command, or 0
	ordinary atomic.Bool
	hangup   atomic.Pointer[func()]
	wake     atomic.Pointer[func()]
	ending   atomic.Pointer[func()]
	// others gets the signals that may do something else than end the command; set by catch.
	others chan os.Signal
}

// endOrdinarily declares that the command runs until a signal: to be ended by one is success.
func (s *signals) endOrdinarily() { s.ordinary.Store(true) }

// onHangup declares what SIGHUP does instead of ending the command.
func (s *signals) onHangup(f func()) { s.hangup.Store(&f) }

// onWake declares what SIGUSR1 does.
func (s *signals) onWake(f func()) {
	s.wake.Store(&f)
	signal.Notify(s.others, syscall.SIGUSR1)
}

// onEnd declares what is said when a signal has told the command to end.
func (s *signals) onEnd(f func()) { s.ending.Store(&f) }

// exitCode is 128 and the signal that cut the command short, 0 if none did.
func (s *signals) exitCode() int {
	n := s.caught.Load()
	if n == 0 || s.ordinary.Load() {
		return exitOK
	}
	return 128 + int(n)
}

// catch returns a context that ends at the first signal that ends the command, and a channel that gets the exit code of a
// second one: the process is to end then, whatever it still waits for. A second SIGHUP does nothing: a terminal that
// is closed may send two.
func (s *signals) catch(parent context.Context) (ctx context.Context, again <-chan int, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	ends := make(chan os.Signal, 1)
	s.others = make(chan os.Signal, 2)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) ignores it
		signal.Notify(s.others, syscall.SIGHUP)
	}
	second := make(chan int, 1)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.await(ctx, ends, s.others)
		cancel()
		var words sync.WaitGroup // what reads them may be slow, or stopped
		if f := s.ending.Load(); f != nil && s.caught.Load() != 0 {
			words.Go(*f)
		}
		select {
		case sig := <-ends:
			if n, ok := sig.(syscall.Signal); ok {
				second <- 128 + int(n)
			}
		case <-over:
			words.Wait()
		}
	}()
	return ctx, second, func() {
		cancel()
		close(over)
		<-done
		signal.Stop(ends)
		signal.Stop(s.others)
	}
}

// await waits for the signal that ends the command, or the end of ctx.
func (s *signals) await(ctx context.Context, ends, others <-chan os.Signal) {
	var sig os.Signal
	for sig == nil {
		select {
		case sig = <-ends:
		case sig = <-others:
			does := s.hangup.Load()
			if sig == syscall.SIGUSR1 {
				does = s.wake.Load()
			}
			if does != nil {
				(*does)()
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
