package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// program is what every subcommand shares.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// configPath is --config, quiet is --quiet.
	configPath string
	quiet      bool
	// caught is the signal that asked the program to end, or 0.
	caught atomic.Int32
	// serving is the log of a service, which outlives SIGHUP; nil in all other commands.
	serving atomic.Pointer[slog.Logger]
}

// run is the program without its process: it returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// Most memory is message octets that are used once; a collector that runs early keeps the
	// program small, and under the limit it still need not run all the time.
	debug.SetGCPercent(50)
	debug.SetMemoryLimit(memoryLimit)
	// Past a file size limit a write must fail, not the process.
	signal.Ignore(syscall.SIGXFSZ)
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr}
	ctx, stop := p.signals(context.Background())
	defer stop()
	root := p.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if signal := p.caught.Load(); signal != 0 {
		return 128 + int(signal)
	}
	if err != nil {
		complain(stderr, suggestOwner(err, args))
	}
	return exitCode(err)
}

// memoryLimit is the soft limit of the Go heap, in octets: the program's promise is 64 MB in all.
const memoryLimit = 40 << 20

// signals returns a context that ends at the first SIGINT, SIGTERM or, in all but a service, SIGHUP. A
// second SIGINT or SIGTERM ends the process at once, as the system does by default. A second SIGHUP
// does not: a terminal that is closed may send two.
func (p *program) signals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	ends, hangups := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup(1) ignores it
		signal.Notify(hangups, syscall.SIGHUP)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if n, ok := p.awaitEnd(ctx, ends, hangups).(syscall.Signal); ok {
			p.caught.Store(int32(n))
		}
		signal.Stop(ends)
		cancel()
	}()
	return ctx, func() { cancel(); <-done; signal.Stop(hangups) }
}

// awaitEnd returns the signal that ends the program, or nil if ctx ends before.
func (p *program) awaitEnd(ctx context.Context, ends, hangups <-chan os.Signal) os.Signal {
	for {
		select {
		case s := <-ends:
			return s
		case s := <-hangups:
			log := p.serving.Load()
			if log == nil {
				return s
			}
			log.Warn(logNotReloaded, "why", "SIGHUP reloads nothing yet; a changed configuration needs a restart")
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "truehop",
		Short: "Fetch mail from POP3 and IMAP and inject it with XCLIENT",
		Long: `truehop pulls mail from upstream POP3 and IMAP mailboxes, finds in each message the
SMTP client that the upstream's MX saw, and replays the message into the local
MTA with XCLIENT, so that its rules judge the true client and not localhost.`,
		SilenceErrors: true, SilenceUsage: true,
		Version: version(),
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.PersistentFlags().StringVarP(&p.configPath, "config", "c", "", "configuration `FILE`; default $XDG_CONFIG_HOME/truehop/truehop.yaml, then /etc/truehop/truehop.yaml")
	root.PersistentFlags().BoolVarP(&p.quiet, "quiet", "q", false, "tell only what is wrong")
	root.AddCommand(p.runCommand(), p.serveCommand(), p.checkCommand(), newExplainCommand(p.explainAccount, p.presenter),
		p.statusCommand(), p.historyCommand(), p.retryCommand(), p.forgetCommand(), p.demoCommand())
	return root
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
