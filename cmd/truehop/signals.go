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
// then that of the signal, unless the command declares something else.
type signals struct {
	caught   atomic.Int32 // the signal that ended the command, or 0
	ordinary atomic.Bool
	hangup   atomic.Pointer[func()]
	ending   atomic.Pointer[func()]
}

// endOrdinarily declares that the command runs until a signal: to be ended by one is success.
func (s *signals) endOrdinarily() { s.ordinary.Store(true) }

// onHangup declares what SIGHUP does instead of ending the command.
func (s *signals) onHangup(f func()) { s.hangup.Store(&f) }

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
	ends, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) ignores it
		signal.Notify(hangups, syscall.SIGHUP)
	}
	second := make(chan int, 1)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.await(ctx, ends, hangups)
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
		signal.Stop(hangups)
	}
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
