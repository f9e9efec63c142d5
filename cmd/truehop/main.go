package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is all of the program but the end of its process: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Most memory is message octets that are used once; a collector that runs early keeps the
	// program small, and under the limit it still need not run all the time.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(memoryLimit)
	// Past a file size limit a write must fail, not the process.
	signal.Ignore(syscall.SIGXFSZ)
	forbidCore()
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr}
	ctx, again, stop := p.signals.catch(context.Background())
	defer stop()
	root := p.rootCommand()
	root.SetArgs(args)
	root.InitDefaultCompletionCmd(args...)
	usageArgs(root)
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(ctx) }()
	var err error
	select {
	case err = <-ended:
	case code := <-again:
		return code // the ledger is what a SIGKILL would leave
	}
	if code := p.signals.exitCode(); code != exitOK {
		return code
	}
	var outcome *outcomeError
	if err != nil && !errors.As(err, &outcome) {
		ui.PrintError(pageOf(stderr), ui.SuggestOwner(err, args))
	}
	return exitCode(err)
}

// memoryLimit is the soft limit of the Go heap, in octets: the promise is 64 MB in all, and some 20 of them are the program itself.
const memoryLimit = 37 << 20

// memoryFor is the limit with so many accounts, of which each has its configuration, its place in the schedule and perhaps a watcher: with
// very many the collector would never rest under that of a few.
func memoryFor(accounts int) int64 {
	const few, each = 100, 32 << 10
	return memoryLimit + int64(max(accounts-few, 0))*each
}

func (p *program) rootCommand() *cobra.Command {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	root := &cobra.Command{
		Use:   "truehop",
		Short: "Fetch mail from POP3 and IMAP and inject it with XCLIENT",
		Long: `truehop fetches mail from upstream POP3 and IMAP mailboxes, finds in each message the
SMTP client that the upstream's MX saw, and injects the message into your own MTA
with XCLIENT, so that its rules judge the real client and not localhost.`,
		SilenceErrors: true, SilenceUsage: true,
		Version: versionText(build),
		Args:    unknownCommand, SuggestionsMinimumDistance: 2,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(wrongFlag)
	root.PersistentFlags().StringVarP(&p.configPath, "config", "c", "", "configuration `FILE`; default $XDG_CONFIG_HOME/truehop/truehop.yaml, then /etc/truehop/truehop.yaml")
	root.PersistentFlags().BoolVarP(&p.quiet, "quiet", "q", false, "report only what is wrong")
	root.AddCommand(p.runCommand(), p.serveCommand(), p.drainCommand(), p.checkCommand(), p.loginCommand(), p.explainCommand(),
		p.statusCommand(), p.historyCommand(), p.retryCommand(), p.acknowledgeCommand(), p.forgetCommand(), p.acceptCommand(), p.adoptCommand(), p.migrateCommand(),
		p.importCommand(), p.demoCommand(), p.providersCommand(), p.configCommand(), p.accountsCommand(), p.initCommand())
	root.AddCommand(p.docsCommand())
	root.InitDefaultCompletionCmd()
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", helpWidth)))
	help := root.HelpFunc()
	root.SetHelpFunc(func(c *cobra.Command, args []string) {
		c.Long = foldedHelp(c.Long)
		help(c, args)
	})
	return root
}

// helpWidth is how wide the help of a command is.
const helpWidth = 80

// foldedHelp fills the paragraphs of the text of a command.
func foldedHelp(long string) string {
	var paragraphs []string
	for text := range strings.SplitSeq(long, "\n\n") {
		if !strings.Contains("\n"+text, "\n\t") { // what is to be typed stays as it is
			text = ui.Folded(strings.Join(strings.Fields(text), " "), helpWidth)
		}
		paragraphs = append(paragraphs, text)
	}
	return strings.Join(paragraphs, "\n\n")
}

// wrongFlag makes a mistake of usage of what is wrong with a flag of a command, with the flag that may be meant.
func wrongFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return &usageError{err: err}
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	name := unknown.GetSpecifiedName()
	if meant := config.Similar(name, names); meant != "" && len(name) > 1 {
		return usage("%w; did you mean --%s?", err, meant)
	}
	return &usageError{err: err}
}

// unknownCommand refuses arguments of the bare program: a word stands there that is no command.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if similar := c.SuggestionsFor(args[0]); len(similar) > 0 {
		return usage("unknown command %q; did you mean %s?", args[0], strings.Join(similar, " or "))
	}
	return usage("unknown command %q", args[0])
}
