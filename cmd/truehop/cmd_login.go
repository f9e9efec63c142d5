package main

import (
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/oauth"
)

func (p *program) loginCommand() *cobra.Command {
	var headless bool
	c := &cobra.Command{
		Use:   "login ACCOUNT",
		Short: "Obtain the OAuth 2 token of an account",
		Long: `login obtains the first access token of an account that has the key oauth: it says what to open
in a browser, waits until you have logged in there, stores the tokens and logs in to the mailbox with
them. From then on they are renewed without you. It is needed again when the provider takes them
back; run and serve say so and end with 77.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: p.completeAccounts,
		RunE:              func(c *cobra.Command, args []string) error { return p.login(c.Context(), args[0], headless) },
	}
	c.Flags().BoolVar(&headless, "headless", false, "the browser runs on another host: paste the address that it ends at")
	return c
}

// login obtains and stores tokens, and then does with them what a pass does first.
func (p *program) login(ctx context.Context, name string, headless bool) error {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return err
	}
	if err := known(cfg, []string{name}); err != nil {
		return err
	}
	account := cfg.Accounts[name]
	if account.OAuth.Provider == "" {
		return unfit("account %s does not use OAuth 2: it has no key oauth", name)
	}
	source, err := app.Tokens(account)
	if err != nil {
		return err
	}
	out := ui.Login{W: p.stdout, Headless: headless}
	dialogue := oauth.Dialogue{Show: func(prompt oauth.Prompt) { out.Prompt(account, prompt) }}
	if headless {
		dialogue.Paste = p.readLine
	}
	if err := source.Login(ctx, dialogue); err != nil {
		return err
	}
	mailbox, err := app.Upstream(ctx, account, nil) // it changes nothing there
	if err != nil {
		return err
	}
	defer mailbox.Abort()
	if err := mailbox.Leave(ctx); err != nil {
		return err
	}
	if err := app.ForgetRefusal(ctx, cfg, name); err != nil {
		return err
	}
	status, err := source.Status()
	if err != nil {
		return err
	}
	out.Done(account, status)
	return nil
}

// maxPasted bounds what a person pastes, in octets.
const maxPasted = 16 << 10

// readLine is nextLine for a command that needs a line to log in with.
func (p *program) readLine(ctx context.Context) (string, error) {
	line, err := p.nextLine(ctx)
	if err != nil && ctx.Err() == nil {
		return "", &fetch.Error{Kind: fetch.Auth, Op: "read the address", Err: err}
	}
	return line, err
}

// nextLine reads a line from standard input, or until ctx ends: the program ends then, and a terminal that is being read
// cannot be closed.
func (p *program) nextLine(ctx context.Context) (string, error) {
	type read struct {
		line string
		err  error
	}
	came := make(chan read, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(p.stdin, maxPasted)).ReadString('\n')
		if errors.Is(err, io.EOF) && line != "" {
			err = nil
		}
		came <- read{line, err}
	}()
	select {
	case r := <-came:
		return r.line, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
