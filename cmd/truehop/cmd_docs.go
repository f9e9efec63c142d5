package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/manual"
)

// docsCommand is for those who make packages, and hidden from those who fetch mail.
func (p *program) docsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "docs DIRECTORY",
		Short: "Write manual pages and shell completions",
		Long: `docs writes manual pages and completions for bash, zsh and fish below DIRECTORY, at
the places where they belong below /usr/share.`,
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			build, ok := debug.ReadBuildInfo()
			if !ok {
				build = &debug.BuildInfo{}
			}
			return writeDocs(args[0], c.Root(), build)
		},
	}
}

// writeDocs writes what is generated from the commands and from the reference of the configuration.
func writeDocs(dir string, root *cobra.Command, build *debug.BuildInfo) error {
	var bash, zsh, fish strings.Builder
	if err := errors.Join(root.GenBashCompletionV2(&bash, true), root.GenZshCompletion(&zsh), root.GenFishCompletion(&fish, true)); err != nil {
		return err
	}
	files := map[string]string{
		"bash-completion/completions/truehop":    bash.String(),
		"zsh/vendor-completions/_truehop":        zsh.String(),
		"fish/vendor_completions.d/truehop.fish": fish.String(),
	}
	head := manual.Head{Date: "1970-01-01", Source: "truehop " + build.Main.Version}
	for _, s := range build.Settings {
		if s.Key == "vcs.time" { // of the commit, so that the same commit makes the same pages
			head.Date, _, _ = strings.Cut(s.Value, "T")
		}
	}
	pages := map[string]string{"truehop.1": programPage(root, head), "truehop.yaml.5": configurationPage(config.Reference(), head)}
	for _, c := range root.Commands() {
		if hasPage(c) {
			pages["truehop-"+c.Name()+".1"] = commandPage(c, head)
		}
	}
	for name, page := range pages {
		files["man/man"+name[len(name)-1:]+"/"+name] = page
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// hasPage reports whether a command is ours and for everybody.
func hasPage(c *cobra.Command) bool {
	return c.IsAvailableCommand() && c.Name() != "completion"
}

func programPage(root *cobra.Command, head manual.Head) string {
	head.Name, head.Section, head.Summary = "truehop", 1, phrase(root.Short)
	p := manual.New(head)
	p.Section("SYNOPSIS")
	p.Bold("truehop", "COMMAND [OPTION...] [ARGUMENT...]")
	p.Section("DESCRIPTION")
	p.Text(root.Long)
	p.Section("COMMANDS")
	for _, c := range root.Commands() {
		switch {
		case hasPage(c):
			p.Item(c.Name(), c.Short+": truehop-"+c.Name()+"(1).")
		case c.IsAvailableCommand():
			p.Item(c.Name(), c.Short+".")
		}
	}
	p.Section("OPTIONS")
	options(p, root.PersistentFlags())
	p.Section("EXIT STATUS")
	p.Text("The codes are those of sysexits.h. With several accounts the worst wins.\n")
	for _, e := range exitMeanings() {
		p.Item(strconv.Itoa(e.code), e.meaning)
	}
	p.Section("ENVIRONMENT")
	p.Item("TRUEHOP_…", "overrides a key of the configuration: truehop.yaml(5).")
	p.Item("XDG_CONFIG_HOME, STATE_DIRECTORY, XDG_STATE_HOME", "where the configuration and the ledger are, unless --config and state_dir say so.")
	p.Section("FILES")
	p.Item("/etc/truehop/truehop.yaml", "the configuration: truehop.yaml(5).")
	p.Item("/var/lib/truehop", "the ledger, which keeps mail from coming twice, tokens, and messages on their way.")
	p.Section("SEE ALSO")
	var others []string
	for _, c := range root.Commands() {
		if hasPage(c) {
			others = append(others, "truehop-"+c.Name()+"(1)")
		}
	}
	p.Text(strings.Join(append(others, "truehop.yaml(5)", "master(5)", "smtpd(8)"), ",\n"))
	return p.String()
}

func commandPage(c *cobra.Command, head manual.Head) string {
	head.Name, head.Section, head.Summary = "truehop-"+c.Name(), 1, phrase(c.Short)
	p := manual.New(head)
	p.Section("SYNOPSIS")
	arguments := strings.TrimPrefix(c.Use, c.Name())
	if c.HasAvailableLocalFlags() {
		arguments = " [OPTION...]" + arguments
	}
	p.Bold("truehop "+c.Name(), strings.TrimSpace(arguments))
	p.Section("DESCRIPTION")
	p.Text(c.Long)
	if c.Example != "" {
		p.Section("EXAMPLES")
		p.Literal(c.Example)
	}
	p.Section("OPTIONS")
	options(p, c.LocalNonPersistentFlags())
	options(p, c.InheritedFlags())
	p.Section("EXIT STATUS")
	p.Text("See truehop(1).")
	p.Section("SEE ALSO")
	p.Text("truehop(1),\ntruehop.yaml(5)")
	return p.String()
}

// options writes the flags of a command.
func options(p *manual.Page, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		term := "--" + f.Name
		if f.Shorthand != "" {
			term = "-" + f.Shorthand + ", " + term
		}
		if value != "" {
			term += " " + value
		}
		text := strings.ToUpper(usage[:1]) + usage[1:] + "."
		switch f.DefValue {
		case "", "false", "0", "[]":
		default:
			text += " Default: " + f.DefValue + "."
		}
		p.Item(term, text)
	})
}

// phrase is a short text as it stands behind the name of a page.
func phrase(short string) string {
	return strings.ToLower(short[:1]) + strings.TrimSuffix(short[1:], ".")
}

// configurationPage is the reference of the configuration. Keys stand below the path that they share.
func configurationPage(keys []config.Key, head manual.Head) string {
	head.Name, head.Section, head.Summary = "truehop.yaml", 5, "configuration of truehop"
	p := manual.New(head)
	p.Section("DESCRIPTION")
	p.Text(`The configuration is YAML, and read strictly: an unknown key, a wrong type or a missing unit is an error with its place in
the file, and all errors are told at once. An account needs ` + "`host`, `user`" + `, one source of its password or of OAuth 2 tokens, and
` + "`recipients` or `recipient_from`" + `; the rest has defaults.`)
	p.Section("EXAMPLE")
	p.Literal(exampleConfiguration)
	var paths []string
	below := map[string][]config.Key{}
	for _, k := range keys {
		path := ""
		if i := strings.LastIndexByte(k.Path, '.'); i >= 0 {
			path = k.Path[:i]
		}
		if below[path] == nil {
			paths = append(paths, path)
		}
		below[path] = append(below[path], k)
	}
	for _, path := range paths {
		if path == "" {
			p.Section("TOP LEVEL")
		} else {
			p.Section("KEYS BELOW " + path)
		}
		for _, k := range below[path] {
			p.Item(strings.TrimPrefix(strings.TrimPrefix(k.Path, path), "."), keyText(k))
		}
	}
	p.Section("ENVIRONMENT")
	p.Text(`Any key but a secret can be overridden from the environment, where two underscores stand between the parts of its path:
` + "`TRUEHOP_INJECT__ADDRESS` is `inject.address`" + `. A list is separated by commas. Without a file the environment
alone may be the configuration.`)
	p.Section("FILES")
	p.Item("$XDG_CONFIG_HOME/truehop/truehop.yaml, /etc/truehop/truehop.yaml", "the places looked into, in this order, without --config.")
	p.Section("SEE ALSO")
	p.Text("truehop(1),\ntruehop-check(1)")
	return p.String()
}

// exampleConfiguration is the least that works.
const exampleConfiguration = `inject:
  address: unix:/var/spool/postfix/public/truehop
accounts:
  work:
    host: imap.example.com
    user: me@example.com
    password_file: /etc/truehop/work.password
    provider: auto
    recipients: [me@example.org]
`

// keyText is a key's paragraph, with the values that it takes and its default.
func keyText(k config.Key) string {
	text := k.Doc
	switch {
	case k.Values != "":
		text += " One of " + strings.ReplaceAll(k.Values, "|", ", ") + "."
	case k.Type != "text":
		text += " (" + k.Type + ")"
	}
	if k.Default != "" {
		text += " Default: " + k.Default + "."
	}
	return text
}

// exitMeaning is one row of the section on exit codes.
type exitMeaning struct {
	code    int
	meaning string
}

// exitMeanings explains the exit codes.
func exitMeanings() []exitMeaning {
	return []exitMeaning{
		{exitOK, "Done, also where there was no mail."},
		{exitUsage, "The command line is wrong, or names what is not there."},
		{exitPerson, "Refused, partly refused, held or lost mail, or a mailbox that stopped, wants a person."},
		{exitUnavailable, "An upstream or the MTA cannot be reached."},
		{exitInternal, "A fault of truehop."},
		{exitCannotWrite, "The ledger or the spool cannot be written, or the database of the ledger cannot be reached."},
		{exitLater, "Something was deferred and will be tried again, another process is at work on the account, or serve cannot listen at the address for metrics."},
		{exitProtocol, "A peer broke the protocol, or TLS failed."},
		{exitCredentials, "Credentials were refused or cannot be read, or an OAuth 2 token is missing."},
		{exitConfig, "The configuration is wrong, here or at a peer."},
		{128 + 1, "Ended by SIGHUP."},
		{128 + 2, "Ended by SIGINT, but for serve, whose ordinary end it is."},
		{128 + 15, "Ended by SIGTERM, but for serve, whose ordinary end it is."},
	}
}
