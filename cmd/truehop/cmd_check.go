package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

func (p *program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "Check the configuration, the spool, every upstream and the MTA",
		Long: `check reads the configuration, looks whether spool_dir can be used, logs in to each upstream
and counts what is there, and asks the MTA what it offers: is XCLIENT offered, with which attributes,
and may a second XCLIENT follow in the same session. It changes nothing anywhere.`,
		ValidArgsFunction: p.completeAccounts,
		RunE:              func(c *cobra.Command, args []string) error { return p.check(c.Context(), args) },
	}
}

// check tells what works and what does not, all of it, and ends with the worst.
func (p *program) check(ctx context.Context, names []string) error {
	cfg, err := p.readConfig()
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names, nil, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "configuration %s: good, %s\n", cfg.Path, count(len(cfg.Accounts), "account"))
	for _, w := range cfg.Warnings {
		fmt.Fprintf(p.stdout, "  warning: %s\n", w)
	}
	code := exitOK
	code = worse(code, checkSpool(p.stdout, cfg))
	for _, a := range accounts {
		code = worse(code, checkUpstream(ctx, p.stdout, a))
	}
	code = worse(code, checkMTA(ctx, p.stdout, cfg))
	if code != exitOK {
		return &outcomeError{code}
	}
	return nil
}

// failed tells what went wrong and what to do, and returns the exit code for it.
func failed(w io.Writer, err error) int {
	fmt.Fprintf(w, "  FAILED: %v\n", err)
	if h := hint(err); h != "" {
		fmt.Fprintf(w, "  %s\n", h)
	}
	return exitCode(err)
}

// checkSpool tells whether messages above 1 MiB find a place. Root checks for the user that the state belongs to.
func checkSpool(w io.Writer, cfg *config.Config) int {
	user := os.Geteuid()
	if info, err := os.Stat(cfg.StateDir); err == nil && user == 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			user = int(st.Uid)
		}
	}
	fmt.Fprintf(w, "spool: %s, for %s\n", cfg.SpoolDir, ledger.UserName(user))
	if err := transfer.CheckSpool(cfg.SpoolDir, user); err != nil {
		return failed(w, err)
	}
	return exitOK
}

func checkUpstream(ctx context.Context, w io.Writer, a *config.Account) int {
	fmt.Fprintf(w, "%s: %s at %s, TLS %s, user %s\n", a.Name, a.Protocol, a.Addr(), a.TLS, a.User)
	mailbox, err := dialUpstream(ctx, a, nil)
	if err != nil {
		return failed(w, err)
	}
	defer mailbox.Abort()
	for _, folder := range a.Folders {
		listing, err := mailbox.Open(ctx, folder)
		if err != nil {
			return failed(w, err)
		}
		fmt.Fprintf(w, "  %s: %s%s\n", folderText(folder), count(len(listing.Refs), "message"), readOnly(listing))
	}
	if err := mailbox.Close(ctx); err != nil {
		return failed(w, err)
	}
	return exitOK
}

func folderText(folder string) string {
	if folder == "" {
		return "mailbox"
	}
	return "folder " + fetch.Sanitize(folder)
}

func readOnly(l *fetch.Listing) string {
	if l.ReadOnly {
		return ", read-only: nothing can be deleted, moved or flagged"
	}
	return ""
}

// checkMTA tells whether the MTA can be shown the true clients, and how fast.
func checkMTA(ctx context.Context, w io.Writer, cfg *config.Config) int {
	fmt.Fprintf(w, "MTA: %s at %s, XCLIENT %s\n", cfg.Inject.Protocol, cfg.Inject.Address, cfg.Inject.XClient)
	dial, options, err := mtaOptions(cfg)
	if err != nil {
		return failed(w, err)
	}
	unknown := presentsUnknown(cfg)
	found, err := inject.Probe(ctx, dial, options, unknown)
	if err != nil {
		return failed(w, err)
	}
	fmt.Fprintf(w, "  greeting: %s\n", replyText(found.Greeting))
	fmt.Fprintf(w, "  extensions: %s\n", strings.Join(found.Extensions, ", "))
	if len(found.XCLIENT) == 0 {
		fmt.Fprintln(w, "  XCLIENT: not offered")
		return exitOK // Probe has failed already where it is required
	}
	fmt.Fprintf(w, "  XCLIENT: offered, attributes %s\n", strings.Join(found.XCLIENT, " "))
	if cfg.Inject.XClient == inject.Off {
		fmt.Fprintln(w, "  but inject.xclient is off: the MTA takes every message for local mail")
		return exitOK
	}
	resets(w, found, unknown, cfg)
	return exitOK
}

// presentsUnknown reports whether an account says that the MTA is to be told of a client that is unavailable.
// What no run would do, check does not try: filters behind an MTA can die of it.
func presentsUnknown(cfg *config.Config) bool {
	for _, a := range cfg.Accounts {
		switch {
		case a.OnUnknownClient == transfer.PresentUnavailable, a.OnStale == transfer.StaleUnavailable, a.Submission == transfer.SubmissionUnavailable:
			return true
		}
	}
	return false
}

// resets tells whether one session serves many messages, and if not, what to write where. unknown says that
// this was asked about an unknown client as well.
func resets(w io.Writer, found inject.Capabilities, unknown bool, cfg *config.Config) {
	always := found.Unknown.Reset || !unknown
	switch {
	case found.Foreign.Reset && always:
		fmt.Fprintln(w, "  a second XCLIENT in the session: allowed, one session carries many messages")
		return
	case found.Foreign.Reset:
		fmt.Fprintln(w, "  a second XCLIENT in the session: allowed, but not after an unknown client")
	default:
		fmt.Fprintln(w, "  a second XCLIENT in the session: not allowed, every message needs a connection of its own")
	}
	if cfg.Inject.Address.Network == "unix" {
		fmt.Fprintln(w, "  for fewer connections add to the listener in master.cf: -o smtpd_authorized_xclient_hosts=static:all")
	} else {
		fmt.Fprintln(w, "  a listener on a UNIX socket may allow it: see examples/postfix")
	}
}
