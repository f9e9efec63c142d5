package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
)

// initOptions are the answers to what init asks.
type initOptions struct {
	config.Draft
	output string
}

func (p *program) initCommand() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration for one mailbox",
		Long: `init writes a configuration for one mailbox: it takes the flags, and asks at a terminal for what they leave
open. A provider brings its host, port and TLS, see truehop providers. The password is not asked: the configuration names the file
or the program that it comes from. The file is written with mode 0600, and never over another one.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.initialize(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVarP(&o.output, "output", "o", "", "write `FILE`; default: that of --config, else truehop/truehop.yaml in $XDG_CONFIG_HOME or ~/.config")
	f.StringVar(&o.Name, "account", "", "`NAME` of the account; default: mail")
	f.StringVar(&o.User, "user", "", "user name at the upstream, often the whole `ADDRESS`")
	f.StringVar(&o.Provider, "provider", "", "`PROVIDER`, by a name that truehop providers prints; default: auto, with --host")
	f.StringVar(&o.Host, "host", "", "`HOST` of the upstream, where the provider has none for all")
	f.StringVar(&o.PasswordFile, "password-file", "", "`FILE` that holds the password on one line")
	f.StringSliceVar(&o.PasswordCommand, "password-command", nil, "`PROGRAM,ARG...` that prints the password")
	f.StringVar(&o.Recipient, "recipient", "", "local `ADDRESS` that the mail is delivered to")
	f.StringVar(&o.Target, "target", "", "where the MTA listens, `HOST:PORT` or unix:/PATH; default: Postfix's socket, see examples/postfix")
	_ = c.RegisterFlagCompletionFunc("provider", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return providerNames(), cobra.ShellCompDirectiveNoFileComp
	}) // fails only for a flag that is not there
	return c
}

// initialize asks for what is missing, and writes a configuration that can be loaded.
func (p *program) initialize(ctx context.Context, o initOptions) error {
	path := o.output
	if path == "" {
		path = p.configPath
	}
	if path == "" {
		places := config.Places(configOptions()) // where all commands look: on macOS os.UserConfigDir is another directory
		if len(places) == 1 {
			return unfit("there is no home directory for the configuration; name a file with --output")
		}
		path = places[0]
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return unfit("%s is there already, and init never writes over a file; name another one with --output", path)
	}
	if wrong := noPassword(o.Provider); wrong != "" {
		return usage("--provider %s: %s", o.Provider, wrong)
	}
	o.PasswordFile = fromHome(o.PasswordFile)
	if err := p.ask(ctx, &o.Draft); err != nil {
		return err
	}
	text := o.YAML()
	if _, err := config.Parse(path, text, configOptions()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return &writeError{path, err}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return &writeError{path, err}
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return &writeError{path, errors.Join(err, os.Remove(path))}
	}
	if !p.quiet {
		ui.PrintInitialized(p.page(), path, o.Draft)
	}
	return nil
}

// question is one that init asks, for a flag that was not given.
type question struct {
	flag, text string
	answer     *string
	// key is the one that the answer becomes the value of, wrong says why it cannot be before that is tried, "" if it can.
	key   string
	wrong func(answer string) string
}

// questions are those that a draft leaves open.
func questions(d *config.Draft) []question {
	all := []question{
		{"user", "User name at the upstream (often the whole address)", &d.User, "user", wanted},
		{"provider", "Provider (see truehop providers), or auto", &d.Provider, "provider", noProvider},
		{"host", "Host name of the upstream, nothing where the provider has one for all", &d.Host, "host", func(string) string { return "" }},
		{"password-file", "File that holds the password", &d.PasswordFile, "password_file", func(answer string) string {
			if !filepath.IsAbs(answer) {
				return "give its full path"
			}
			return ""
		}},
		{"recipient", "Local address that the mail is delivered to", &d.Recipient, "recipients", wanted},
	}
	hostless := slices.ContainsFunc(config.Providers(), func(known config.Published) bool { // its customers have different hosts
		return known.Provider == d.Provider && known.IMAP == nil
	})
	needless := map[string]bool{"provider": d.Host != "", "host": d.Provider != "" && !hostless, "password-file": len(d.PasswordCommand) > 0}
	return slices.DeleteFunc(all, func(q question) bool { return *q.answer != "" || needless[q.flag] })
}

func wanted(answer string) string {
	if answer == "" {
		return "it is needed"
	}
	return ""
}

func noPassword(provider string) string {
	if config.TakesPassword(provider) {
		return ""
	}
	return "it takes no password, only OAuth 2, which init does not set up; begin with examples/" + provider + ".yaml"
}

func noProvider(answer string) string {
	if wrong := noPassword(answer); wrong != "" {
		return wrong
	}
	if answer == "" || slices.Contains(providerNames(), answer) {
		return ""
	}
	if meant := config.Similar(answer, providerNames()); meant != "" {
		return "there is none of this name; did you mean " + meant + "?"
	}
	return "there is no provider of this name; for auto leave the answer empty"
}

// fromHome reads ~/ in front of a path as a shell does.
func fromHome(path string) string {
	below, found := strings.CutPrefix(path, "~/")
	if home, err := os.UserHomeDir(); found && err == nil {
		return filepath.Join(home, below)
	}
	return path
}

// refusedAs returns what is wrong with the value of one key of a draft, "" if nothing. It fills in what the draft
// lacks, and parses the result.
func refusedAs(d config.Draft, key string) string {
	d.User, d.Recipient = cmp.Or(d.User, "user"), cmp.Or(d.Recipient, "user@example.net")
	if len(d.PasswordCommand) == 0 {
		d.PasswordFile = cmp.Or(d.PasswordFile, "/password")
	}
	if key != "host" && d.Provider == "" {
		d.Host = cmp.Or(d.Host, "mail.example.net")
	}
	_, err := config.Parse("", d.YAML(), configOptions())
	var refused *config.Error
	if errors.As(err, &refused) {
		for _, problem := range refused.Problems {
			if strings.Contains(problem.Key, "."+key) {
				return problem.Text
			}
		}
	}
	return ""
}

// flagsOf names the flags that would answer all questions. A provider or a host is enough.
func flagsOf(open []question) string {
	var flags []string
	either := false
	for _, q := range open {
		switch {
		case q.flag == "host" && either:
			flags[len(flags)-1] += " or --host"
		default:
			flags = append(flags, "--"+q.flag)
		}
		either = q.flag == "provider"
	}
	return strings.Join(flags, ", ")
}

// ask asks at a terminal for what has no default, again where an answer cannot be used, and elsewhere says which flags are missing.
func (p *program) ask(ctx context.Context, d *config.Draft) error {
	in, isFile := p.stdin.(*os.File)
	person := isFile && isTerminal(in) && isTerminal(p.stdout)
	open := questions(d)
	if !person && len(open) > 0 {
		return usage("init cannot ask here; give %s", flagsOf(open))
	}
	for _, q := range open {
		for {
			fmt.Fprintf(p.stdout, "%s: ", q.text)
			answer, err := p.nextLine(ctx) // of a terminal, which gives one line at a time
			if ctx.Err() != nil {
				return ctx.Err()
			}
			*q.answer = strings.TrimSpace(answer)
			if q.key == "password_file" {
				*q.answer = fromHome(*q.answer)
			}
			wrong := cmp.Or(q.wrong(*q.answer), refusedAs(*d, q.key))
			if wrong == "" {
				break
			}
			if err != nil { // there will be no other one
				return usage("init has no answer (%w); give --%s", err, q.flag)
			}
			fmt.Fprintf(p.stdout, "  %s\n", wrong)
		}
	}
	return nil
}
