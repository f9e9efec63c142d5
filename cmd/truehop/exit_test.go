package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/metrics"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestExitCode has a row for each way to each code: scripts and units decide by them.
func TestExitCode(t *testing.T) {
	up := func(k fetch.Kind) error { return fmt.Errorf("work: %w", &fetch.Error{Kind: k, Op: "x"}) }
	mta := func(k inject.Kind) error { return fmt.Errorf("work: %w", &inject.Error{Kind: k, Op: "x"}) }
	record := func(k ledger.Kind) error { return fmt.Errorf("work: %w", &ledger.Error{Kind: k, Op: "x"}) }
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"flag", &usageError{err: errors.New("x")}, 64},
		{"no such file to explain", errors.Join(usage("x"), usage("y")), 64},
		{"told already", &outcomeError{73}, 73},
		{"mailbox stopped", &transfer.Error{Op: "list", Text: "renumbered"}, 65},
		{"upstream unreachable", up(fetch.Unreachable), 69},
		{"upstream TLS", up(fetch.TLS), 76},
		{"upstream protocol", up(fetch.Protocol), 76},
		{"upstream login", up(fetch.Auth), 77},
		{"upstream folder", up(fetch.NoFolder), 78},
		{"upstream lacks something", up(fetch.Unsupported), 78},
		{"upstream busy", up(fetch.Busy), 75},
		{"upstream refused", up(fetch.Refused), 75},
		{"upstream, nobody knows", up(fetch.Unclassified), 75},
		{"MTA unreachable", mta(inject.Unreachable), 69},
		{"MTA TLS", mta(inject.TLS), 76},
		{"MTA protocol", mta(inject.Protocol), 76},
		{"MTA login", mta(inject.Auth), 77},
		{"MTA misconfigured", mta(inject.Misconfigured), 78},
		{"MTA, our disk", mta(inject.Local), 73},
		{"ledger busy", record(ledger.Busy), 75},
		{"ledger slow", record(ledger.Slow), 75},
		{"ledger of another version", record(ledger.Version), 78},
		{"ledger on a network", record(ledger.Network), 78},
		{"ledger named in a way that is not safe", record(ledger.Misnamed), 78},
		{"ledger full", record(ledger.Full), 73},
		{"ledger closed to us", record(ledger.Permission), 73},
		{"ledger damaged", record(ledger.Corrupt), 73},
		{"ledger misused", record(ledger.Invalid), 70},
		{"ledger closed", record(ledger.Closed), 70},
		{"configuration", &config.Error{}, 78},
		{"secret", fmt.Errorf("work: %w", &config.SecretError{}), 77},
		{"cut short", fmt.Errorf("work: %w", context.Canceled), 75},
		{"cut short while the upstream was listened to", &fetch.Error{Kind: fetch.Protocol, Op: "greeting", Err: context.Canceled}, 75},
		{"cut short while the MTA was", &inject.Error{Kind: inject.Unreachable, Op: "connect", Err: context.Canceled}, 75},
		{"cut short, and the record failed", errors.Join(context.Canceled, record(ledger.Full)), 73},
		{"address for metrics is taken", fmt.Errorf("x: %w", &metrics.ListenError{Err: syscall.EADDRINUSE}), 75},
		{"too late", context.DeadlineExceeded, 75},
		{"anything else", errors.New("x"), 70},
		{"joined", errors.Join(errors.New("x"), up(fetch.Auth)), 77},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := exitCode(c.err); got != c.want {
				t.Errorf("%v gives %d, want %d", c.err, got, c.want)
			}
		})
	}
}

// TestWorse: the worst account wins, in whatever order they end.
func TestWorse(t *testing.T) {
	for _, c := range []struct{ a, b, want int }{
		{0, 0, 0}, {0, 75, 75}, {75, 65, 65}, {65, 69, 69}, {69, 76, 76}, {76, 77, 77}, {77, 64, 64},
		{64, 78, 78}, {78, 73, 73}, {73, 70, 70}, {0, 70, 70}, {65, 65, 65}, {0, 1, 70}, {99, 75, 70},
	} {
		for _, pair := range [][2]int{{c.a, c.b}, {c.b, c.a}} {
			if got := worse(pair[0], pair[1]); got != c.want {
				t.Errorf("worse(%d, %d) = %d, want %d", pair[0], pair[1], got, c.want)
			}
		}
	}
}

func TestSummaryExit(t *testing.T) {
	for _, c := range []struct {
		summary transfer.Summary
		want    int
	}{
		{transfer.Summary{Listed: 9, Delivered: 3, Known: 6, Settled: 3}, 0},
		{transfer.Summary{Refused: 1, Deferred: 1}, 65},
		{transfer.Summary{Held: 1}, 65},
		{transfer.Summary{Lost: 1}, 65},
		{transfer.Summary{PartlyRefused: 1, Delivered: 9}, 65},
		{transfer.Summary{Deferred: 1}, 75},
		{transfer.Summary{Waiting: 1}, 75},
		{transfer.Summary{Doubt: 1}, 75},
		{transfer.Summary{Failed: 1}, 75},
		{transfer.Summary{Unsettled: 1}, 75},
	} {
		if got := summaryExit(c.summary); got != c.want {
			t.Errorf("%+v gives %d, want %d", c.summary, got, c.want)
		}
	}
}
