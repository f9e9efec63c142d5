package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/postgres"
)

// drainLook is how often drain looks how many accounts are left.
const drainLook = time.Second

func (p *program) drainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "drain [NODE]",
		Short: "Have a machine's service hand its accounts over to others",
		Long: `drain tells truehop serve on a machine, this one unless NODE names another, to hand over its accounts to the services
of other machines that share the record, and to take no more. It waits until that is done. A pass under way ends first. The service then
runs on without accounts until it is started again; SIGTERM does both at once. It needs the key state.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("drain takes one NODE")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			node, err := os.Hostname()
			if len(args) > 0 {
				node, err = args[0], nil
			}
			if err != nil {
				return err
			}
			return p.drain(c.Context(), node)
		},
	}
}

// drain drains the services on a node, and waits for that.
func (p *program) drain(ctx context.Context, node string) error {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return err
	}
	opened, err := app.OpenLedger(ctx, cfg)
	if err != nil {
		return err
	}
	record, shared := opened.(*postgres.Ledger)
	if !shared {
		return errors.Join(unfit("no other machine shares this record, since the key state is not set; systemctl stop truehop ends the service"), opened.Close())
	}
	err = p.drained(ctx, record, node)
	return errors.Join(err, record.Close())
}

// drained returns when the services on a node hold no account any more.
func (p *program) drained(ctx context.Context, record *postgres.Ledger, node string) error {
	names, err := record.Drain(ctx, node)
	if err != nil {
		return err
	}
	for before := -1; ; {
		nodes, err := record.Nodes(ctx)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			var known []string
			for _, n := range nodes {
				known = append(known, fetch.Sanitize(n.Name))
			}
			if len(known) == 0 {
				return unfit("no service runs on %q, nor on any other machine that shares the record", fetch.Sanitize(node))
			}
			return unfit("no service runs on %q; name the machine of one that does: %s", fetch.Sanitize(node), strings.Join(known, ", "))
		}
		held, others := 0, 0
		for _, n := range nodes {
			if slices.Contains(names, n.Name) {
				held += n.Held
			} else if !n.Draining {
				others++
			}
		}
		if held != before && !p.quiet {
			fmt.Fprintf(p.stdout, "%s: accounts left: %d, services that take them: %d\n", fetch.Sanitize(strings.Join(names, ", ")), held, others)
		}
		if before = held; held == 0 {
			if others == 0 {
				fmt.Fprintln(p.stderr, "truehop: no other service takes the accounts: no mail is fetched until one is started")
			}
			return nil
		}
		select {
		case <-time.After(drainLook):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
