package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/metrics"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// The exit codes are those of sysexits.h. They are an interface: scripts and units decide by them.
const (
	exitOK          = 0
	exitUsage       = 64 // the command line is wrong
	exitPerson      = 65 // refused, partly refused, held or lost mail, or a mailbox that stopped, wants a person
	exitUnavailable = 69 // an upstream or the MTA cannot be reached
	exitInternal    = 70 // a fault of truehop
	exitCannotWrite = 73 // the ledger or the spool cannot be written
	exitLater       = 75 // something was deferred, or another process is at work or has the address for metrics
	exitProtocol    = 76 // a peer broke the protocol, or TLS failed
	exitCredentials = 77 // credentials were refused or cannot be read
	exitConfig      = 78 // the configuration is wrong, here or at a peer
)

// severity orders exit codes: of several accounts the worst wins.
var severity = [...]int{exitOK, exitLater, exitPerson, exitUnavailable, exitProtocol, exitCredentials,
	exitUsage, exitConfig, exitCannotWrite, exitInternal}

// worse returns the more severe of two exit codes. One that is none of ours is a fault of truehop.
func worse(a, b int) int {
	i, j := slices.Index(severity[:], a), slices.Index(severity[:], b)
	if i < 0 || j < 0 {
		return exitInternal
	}
	return severity[max(i, j)]
}

// usageError is a mistake on the command line.
type usageError struct {
	err error
	// known says that the command line is well formed: what it names is not there, or not as it has to be.
	known bool
}

func (e *usageError) Error() string { return e.err.Error() }

func (e *usageError) Unwrap() error { return e.err }

// usage makes a mistake on the command line.
func usage(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// unfit makes an error of a command line that is well formed and cannot be followed. It says itself what to do.
func unfit(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...), known: true}
}

// Hint says where the commands and their flags are explained, where that helps.
func (e *usageError) Hint() string {
	if e.known {
		return ""
	}
	return "truehop --help lists the commands, truehop COMMAND --help their flags"
}

// outcomeError carries an exit code for what has been printed already.
type outcomeError struct{ code int }

func (e *outcomeError) Error() string { return "see above" }

// ended makes an error of an exit code, nil where all is well.
func ended(code int) error {
	if code == exitOK {
		return nil
	}
	return &outcomeError{code}
}

// writeError is a file that was asked for and could not be written.
type writeError struct {
	path string
	err  error
}

func (e *writeError) Error() string { return e.path + " cannot be written: " + e.err.Error() }

func (e *writeError) Unwrap() error { return e.err }

// Hint says what to do about it.
func (e *writeError) Hint() string {
	return "name a file in a directory that " + ledger.UserName(os.Geteuid()) + " can write"
}

// exitCode classifies an error for the process's end.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var outcome *outcomeError
	var usage *usageError
	var conf *config.Error
	var secret *config.SecretError
	var record *ledger.Error
	var up *fetch.Error
	var mta *inject.Error
	var pass *transfer.Error
	var file *writeError
	var moved *app.MoveError
	var monitored *metrics.ListenError
	switch {
	case errors.As(err, &file), errors.As(err, &moved):
		return exitCannotWrite
	case errors.As(err, &outcome):
		return outcome.code
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &conf):
		return exitConfig
	case errors.As(err, &secret):
		return exitCredentials
	case errors.As(err, &record):
		return ledgerExit(record)
	case errors.As(err, &monitored): // the next try may find it free
		return exitLater
	case errors.Is(err, context.Canceled): // whatever was under way then says nothing of who it was with
		return exitLater
	case errors.As(err, &up):
		return upstreamExit(up.Kind)
	case errors.As(err, &mta):
		return mtaExit(mta.Kind)
	case errors.As(err, &pass):
		return exitPerson
	case errors.Is(err, context.DeadlineExceeded):
		return exitLater
	}
	return exitInternal
}

func ledgerExit(e *ledger.Error) int {
	switch e.Kind {
	case ledger.Busy, ledger.Fenced, ledger.Slow:
		return exitLater
	case ledger.Version, ledger.Network, ledger.Misnamed:
		return exitConfig
	case ledger.Invalid, ledger.Closed:
		return exitInternal
	}
	return exitCannotWrite
}

func upstreamExit(k fetch.Kind) int {
	switch k {
	case fetch.Unreachable:
		return exitUnavailable
	case fetch.Auth:
		return exitCredentials
	case fetch.TLS, fetch.Protocol:
		return exitProtocol
	case fetch.NoFolder, fetch.Unsupported:
		return exitConfig
	}
	return exitLater
}

func mtaExit(k inject.Kind) int {
	switch k {
	case inject.Unreachable:
		return exitUnavailable
	case inject.Auth:
		return exitCredentials
	case inject.TLS, inject.Protocol:
		return exitProtocol
	case inject.Misconfigured:
		return exitConfig
	case inject.Local:
		return exitCannotWrite
	}
	return exitLater
}

// summaryExit is the exit code of a pass that ended without an error.
func summaryExit(s transfer.Summary) int {
	switch {
	case s.WantPerson() > 0:
		return exitPerson
	case s.ToRetry() > 0 || s.Unsettled > 0:
		return exitLater
	}
	return exitOK
}
