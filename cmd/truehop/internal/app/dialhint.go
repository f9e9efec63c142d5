package app

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// dialError is a connection that could not be made, with what to do about it.
type dialError struct {
	error
	hint string
}

func (e *dialError) Unwrap() error { return e.error }

// Hint says what to do about it, or is "".
func (e *dialError) Hint() string { return e.hint }

// SocketClosed is the error of a listener's socket that the user may not open for whom root checks.
func SocketClosed(e config.Endpoint, user string, why error) error {
	return &inject.Error{Kind: inject.Unreachable, Op: "connect", Err: why, Advice: socketHint(e, user)}
}

func socketHint(e config.Endpoint, user string) string {
	return fmt.Sprintf("%[1]s may not open %[2]s: add this user to the group of the socket or of its directory, for Postfix usermod -aG postdrop %[1]s; what runs already must be started anew", user, e.Address)
}

// listenerHint says what to do where the MTA's listener cannot be reached, or "" where that depends.
func listenerHint(err error, e config.Endpoint) string {
	var lookup *net.DNSError
	local := e.Network == "unix"
	switch {
	case local && errors.Is(err, fs.ErrNotExist):
		return "give the MTA a listener there (examples/postfix has one for master.cf) and reload it, or correct the path in inject"
	case local && errors.Is(err, fs.ErrPermission):
		return socketHint(e, ledger.UserName(os.Geteuid()))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nobody listens at %s: start the MTA, or correct the address in inject", e.Address)
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "correct the host's name in inject"
	}
	return ""
}

// upstreamHint says what to do where the connection to an account's upstream could not be made, or "" where that depends.
func upstreamHint(err error, a *config.Account) string {
	var lookup *net.DNSError
	host, port := fmt.Sprintf("accounts.%s.host", a.Name), fmt.Sprintf("accounts.%s.port", a.Name)
	if a.Proxy != (config.Proxy{}) {
		host = fmt.Sprintf("accounts.%s.proxy", a.Name)
		port = host
	}
	switch {
	case errors.As(err, &lookup) && lookup.IsNotFound && a.AddressFamily != config.AnyFamily:
		return fmt.Sprintf("correct %s, or have both families tried: accounts.%s.address_family: any", host, a.Name)
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "correct " + host
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nobody listens there: correct %s, or wait until the server runs again", port)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return fmt.Sprintf("this host has no way there; where it has no IPv6 or no IPv4, see accounts.%s.address_family", a.Name)
	}
	return ""
}

// withFolderHint adds to the error of a pass that met a folder which does not exist what to do about it.
func withFolderHint(err error, a *config.Account) error {
	var missing *fetch.Error
	if errors.As(err, &missing) && missing.Kind == fetch.NoFolder && missing.Advice == "" {
		missing.Advice = fmt.Sprintf("correct accounts.%[1]s.folders; truehop check %[1]s names the folder that may be meant", a.Name)
	}
	return err
}
