package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// sealPassword reads a password and encrypts it for an account.
func (p *program) sealPassword(ctx context.Context, cfg *config.Config, account string) ([]byte, error) {
	keys, err := cfg.AccountKeys()
	if err != nil {
		return nil, err
	}
	password, err := p.readPassword(ctx, "password of account "+account+": ")
	if err != nil {
		return nil, err
	}
	data, err := keys.Seal(account, password)
	if err != nil {
		return nil, unfit("%w", err)
	}
	return data, nil
}

// readPassword reads a password at a terminal, which does not show it, or as the only line of the input.
func (p *program) readPassword(ctx context.Context, prompt string) (string, error) {
	if in, isFile := p.stdin.(*os.File); isFile && isTerminal(in) {
		shown, err := hideTyping(int(in.Fd()))
		if err != nil {
			return "", fmt.Errorf("the terminal cannot be told not to show the password: %w", err)
		}
		defer func() {
			_ = shown() // the terminal has gone
			fmt.Fprintln(p.stderr)
		}()
		fmt.Fprint(p.stderr, prompt)
	}
	line, err := p.readLine(ctx)
	if errors.Is(err, io.EOF) {
		return "", unfit("there is no password in the input; it is its only line")
	}
	return strings.TrimRight(line, "\r\n"), err
}

// hideTyping has a terminal not show what is typed, until shown is called.
func hideTyping(fd int) (shown func() error, err error) {
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	return func() error { return unix.IoctlSetTermios(fd, setTermios, before) }, unix.IoctlSetTermios(fd, setTermios, &hidden)
}
