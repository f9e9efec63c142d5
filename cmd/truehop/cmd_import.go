package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/importer"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// importFlags are those of the command import.
type importFlags struct {
	dryRun, force          bool
	seen, recipient, owner string
}

func (p *program) importCommand() *cobra.Command {
	var f importFlags
	kinds := importer.Kinds()
	c := &cobra.Command{
		Use:   "import " + strings.Join(kinds, "|") + " FILE...",
		Short: "Take over from fetchmail, getmail, mpop or mbsync",
		Long: `import reads the configuration of another mail retriever and writes the same as a configuration of
truehop, to the FILE that --config names or to the usual place. Passwords go to files of their own beside it. What
that program has fetched is recorded, so that nothing is fetched again. A report says what has no
counterpart, and what to do instead. FILE is - for standard input. Several files, of several users or one for each
mailbox as getmail has them, become one configuration.

What root writes belongs to the user that the state directory belongs to, as the service wants it, or to --owner.

With --dry-run it prints the configuration, with the report as comments, and writes nothing.`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) < 2:
				return usage("name the kind of file and the file: truehop import %s FILE", strings.Join(kinds, "|"))
			case len(args) > 2 && f.seen != "" && f.seen != importer.NoState:
				return usage("--seen FILE is for the record of one configuration; with several each record has to be where that program has it, and --seen none is for those that have none")
			}
			for i, file := range args {
				if slices.Contains(args[:i], file) {
					return usage("%s is named twice", fetch.Printable(file))
				}
			}
			return nil
		},
		ValidArgs: kinds,
		RunE:      func(c *cobra.Command, args []string) error { return p.importFiles(c.Context(), args[0], args[1:], f) },
	}
	c.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "print what would be written, and write nothing")
	c.Flags().BoolVar(&f.force, "force", false, "replace the configuration that is there")
	c.Flags().StringVar(&f.seen, "seen", "", "`FILE` in which that program remembers what it has fetched, by default where it has it; none says that there is no such file, of several configurations for those where it is not found")
	c.Flags().StringVar(&f.owner, "owner", "", "`USER` who will run truehop and whose the files are; by default the owner of the state directory for root, else yourself")
	c.Flags().StringVar(&f.recipient, "recipient", "", "`ADDRESS` that the mail is delivered to, whatever the file says")
	return c
}

// importFiles reads configurations of another program, and prints what they mean or puts that into place.
func (p *program) importFiles(ctx context.Context, kind string, names []string, f importFlags) error {
	if kinds := importer.Kinds(); !slices.Contains(kinds, kind) {
		return usage("unknown kind of file %q; want one of %s", kind, strings.Join(kinds, ", "))
	}
	target := p.configPath
	if target == "" {
		places := config.Places(configOptions())
		target = places[0]
		if os.Geteuid() == 0 {
			target = places[len(places)-1]
		}
	}
	target, err := filepath.Abs(target)
	if err != nil {
		return err
	}
	var plan *importer.Plan
	for _, name := range names {
		text, o, err := p.importSource(name, filepath.Join(filepath.Dir(target), "secrets"))
		if err != nil {
			return err
		}
		o.After, o.Recipient, o.Seen, o.Several = plan, f.recipient, f.seen, len(names) > 1
		if plan, err = importer.Read(kind, name, text, o); err != nil {
			var mistake *importer.Error
			if errors.As(err, &mistake) {
				return &config.Error{Problems: []config.Problem{{Source: mistake.File, Line: mistake.Line, Column: mistake.Column, Text: mistake.Text}}, Err: err}
			}
			return err
		}
	}
	yaml := plan.YAML()
	parsed, err := config.Parse(target, yaml, configOptions())
	if err != nil {
		if f.dryRun {
			_, _ = p.stdout.Write(yaml)
		}
		return err
	}
	stops := forgotten(plan, f.seen)
	if f.dryRun {
		_, err := p.stdout.Write(foreseen(plan, yaml, stops))
		return err
	}
	if stops != nil {
		return stops
	}
	whose, err := importOwner(f.owner, parsed.StateDir)
	if err != nil {
		return err
	}
	recorded, err := putIntoPlace(ctx, plan, yaml, target, parsed.StateDir, whose, f.force)
	if err != nil || p.quiet {
		return err
	}
	next := "truehop"
	if whose.other() {
		next = "sudo -u " + ledger.UserName(whose.uid) + " truehop"
	}
	with := ""
	if p.configPath != "" {
		with = " --config " + fetch.Printable(target)
	}
	accounts, messages := fmt.Sprintf("%d accounts", len(plan.Accounts)), fmt.Sprintf("%d messages", recorded)
	if len(plan.Accounts) == 1 {
		accounts = "1 account"
	}
	if recorded == 1 {
		messages = "1 message"
	}
	fmt.Fprintf(p.stdout, `%s
%s written to %s; %s recorded as fetched by %s.
If %[5]s is running still, stop it and import again with --force: what it fetches from now on would come twice.
Next: %[6]s check%[7]s, and %[6]s run --dry-run%[7]s.
`, strings.TrimSuffix(string(plan.Report("")), "\n"), accounts, fetch.Printable(target), messages, plan.Program, next, with)
	return nil
}

// foreseen is what a dry run prints: the configuration, with the report and with what would stop the import, if there is something,
// as comments.
func foreseen(plan *importer.Plan, yaml []byte, stops error) []byte {
	text := append(yaml, plan.Report("# ")...)
	if stops != nil {
		text = fmt.Appendf(text, "# The import will stop: %v.\n", stops)
	}
	return text
}

// importSource reads the file, and finds out whose it is.
func (p *program) importSource(name, secrets string) ([]byte, importer.Options, error) {
	o := importer.Options{Secrets: secrets, ReadFile: readBounded, ReadDir: func(dir string) ([]string, error) {
		entries, err := os.ReadDir(dir) // in order of the names
		names := make([]string, len(entries))
		for i, e := range entries {
			names[i] = e.Name()
		}
		return names, err
	}}
	owner := os.Getuid()
	var text []byte
	dir, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return nil, o, err
	}
	o.Dir = dir
	if name == "-" {
		text, err = io.ReadAll(io.LimitReader(p.stdin, importer.MaxFile+1))
	} else {
		var info fs.FileInfo
		if info, err = os.Stat(name); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				owner = int(st.Uid)
			}
			text, err = readBounded(name)
		}
	}
	switch {
	case err == nil && len(text) > importer.MaxFile:
		err = fmt.Errorf("is larger than %d octets", importer.MaxFile)
	case err == nil:
		o.User, o.Home = ledger.UserName(owner), "/"
		if u, lookup := user.LookupId(strconv.Itoa(owner)); lookup == nil {
			o.Home = u.HomeDir
		}
		if home := os.Getenv("HOME"); owner == os.Getuid() && filepath.IsAbs(home) {
			o.Home = home
		}
		return text, o, nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return nil, o, &config.Error{Problems: []config.Problem{{Source: name, Text: fmt.Sprintf("cannot be read: %v", err)}}, Err: err}
}

// maxState bounds another program's record of what it has fetched, in octets.
const maxState = 256 << 20

// readBounded reads a regular file.
func readBounded(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not hang us
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxState+1))
	if err == nil && len(data) > maxState {
		return nil, fmt.Errorf("is larger than %d octets", maxState)
	}
	return data, err
}

// forgotten returns an error where the program keeps mail upstream and its record of what it has fetched was not found:
// all of that would be delivered again. seen is what a person says of that record.
func forgotten(plan *importer.Plan, seen string) error {
	if seen == importer.NoState {
		return nil
	}
	for _, a := range plan.Accounts {
		if a.Remembers && a.Missing {
			return unfit("account %s keeps its mail upstream, and no record of what %s has fetched was found in %s; %s, or say --seen %s if nothing was fetched yet",
				a.Name, plan.Program, fetch.Printable(strings.Join(a.StateFiles, ", ")), plan.Cure(a), importer.NoState)
		}
	}
	return nil
}

// putIntoPlace writes the passwords, records what was fetched, and puts the configuration into place last: as long as it is not
// there, nothing fetches. What it has done is no hindrance to doing it again. Of an import whose records are another mailbox's it writes nothing.
func putIntoPlace(ctx context.Context, plan *importer.Plan, yaml []byte, target, stateDir string, o owner, force bool) (recorded int, err error) {
	if _, err := os.Lstat(target); err == nil && !force {
		return 0, unfit("%s is there already; --force replaces it, --config FILE names another; several files can be imported at once", target)
	}
	dir := filepath.Dir(target)
	if err := o.in(dir, func() error { return os.MkdirAll(dir, 0o755) }); err != nil {
		return 0, cannotWrite(target, err)
	}
	var temporary string
	if err := o.in(dir, func() (err error) {
		temporary, err = writeTemporary(dir, yaml, o)
		return err
	}); err != nil {
		return 0, cannotWrite(target, err)
	}
	defer func() {
		_ = o.in(dir, func() error { return os.Remove(temporary) }) // gone where it was renamed
	}()
	if o.other() {
		if err := o.mkdir(stateDir); err != nil {
			return 0, cannotWrite(stateDir, err)
		}
	}
	if err := o.do(func() error { return ownRecords(ctx, plan, temporary, target) }); err != nil {
		return 0, err
	}
	for _, s := range plan.Secrets() {
		if err := writeSecret(s, o); err != nil {
			return 0, cannotWrite(s.Path, err)
		}
		if err := readable(o.uid, "password_file "+s.Path, s.Path); err != nil {
			return 0, err
		}
	}
	if err := o.do(func() (err error) {
		recorded, err = takeOver(ctx, plan, temporary)
		return err
	}); err != nil {
		return 0, err
	}
	if err := o.in(dir, func() error {
		put := os.Link // fails where somebody was faster
		if force {
			put = os.Rename
		}
		if err := put(temporary, target); err != nil {
			return err
		}
		return syncDir(dir)
	}); err != nil {
		return 0, cannotWrite(target, err)
	}
	return recorded, nil
}

// withRecord has f use the record that a configuration file names.
func withRecord(ctx context.Context, path string, f func(*config.Config, app.Ledger) error) (err error) {
	cfg, err := config.Load(path, configOptions())
	if err != nil {
		return err
	}
	record, err := app.OpenLedger(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	return f(cfg, record)
}

// predecessorOf is who fetched from a mailbox before.
func predecessorOf(plan *importer.Plan, a *config.Account) transfer.Predecessor {
	return transfer.Predecessor{Account: a.Name, Program: plan.Program, Mailbox: a.Mailbox()}
}

// ownRecords returns an error if one of the accounts has the record of another mailbox. path is the configuration that was made, target the
// one that it takes the place of, if there is one.
func ownRecords(ctx context.Context, plan *importer.Plan, path, target string) error {
	before, err := config.Load(target, configOptions())
	if err != nil { // mostly there is none
		before = &config.Config{}
	}
	return withRecord(ctx, path, func(cfg *config.Config, record app.Ledger) error {
		for _, a := range plan.Accounts {
			account := cfg.Accounts[a.Name]
			p := predecessorOf(plan, account)
			another, err := anotherMailbox(ctx, record, account, before, p)
			if err != nil {
				return err
			}
			if another {
				return unfit("the record in %s has an account %s, which is not known to be %s; import all files at once, which gives each account a name of its own, or name another state directory (TRUEHOP_STATE_DIR)",
					cfg.StateDir, a.Name, fetch.Printable(p.Mailbox))
			}
		}
		return nil
	})
}

// anotherMailbox reports whether the record of an account is of another mailbox than the one that a predecessor fetched from: of two users
// each may have a file that names it alike. before is the configuration that is there.
func anotherMailbox(ctx context.Context, record app.Ledger, a *config.Account, before *config.Config, p transfer.Predecessor) (bool, error) {
	if old := before.Accounts[a.Name]; old != nil && old.Mailbox() == a.Mailbox() {
		return false, nil
	}
	counts, err := record.Counts(ctx, a.Name)
	if err != nil || len(counts) == 0 {
		return false, err
	}
	adopted, err := record.List(ctx, ledger.Filter{Account: a.Name, States: []ledger.State{ledger.Adopted}})
	ours := slices.ContainsFunc(adopted, func(r ledger.Record) bool { return r.Why == p.Why() })
	return !ours, err
}

// takeOver records what was fetched already, by the configuration that was made.
func takeOver(ctx context.Context, plan *importer.Plan, path string) (recorded int, err error) {
	err = withRecord(ctx, path, func(cfg *config.Config, record app.Ledger) error {
		for _, a := range plan.Accounts {
			unlock, err := record.Lock(a.Name)
			if err != nil {
				return err
			}
			for _, k := range a.Known {
				p := predecessorOf(plan, cfg.Accounts[a.Name])
				p.Folder, p.Validity, p.UIDs = k.Folder, k.Validity, k.UIDs
				n, failed := transfer.TakeOver(ctx, record, p, time.Now())
				recorded, err = recorded+n, errors.Join(err, failed)
			}
			if err := errors.Join(err, unlock()); err != nil {
				return err
			}
		}
		return nil
	})
	return recorded, err
}

// cannotWrite says that a file of the import could not be written.
func cannotWrite(path string, err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	return &config.Error{Problems: []config.Problem{{Text: fmt.Sprintf("%s: cannot be written: %v", path, err)}}, Err: err}
}

// errOther is a file of that name with another content.
var errOther = errors.New("is there already with another content, and passwords are never overwritten; move it away")

// writeSecret creates a file that only its owner can read. One that says the same already is left.
func writeSecret(s *importer.Secret, o owner) error {
	dir := filepath.Dir(s.Path)
	if err := o.mkdir(dir); err != nil {
		return err
	}
	return o.in(dir, func() error {
		content := s.Reveal() + "\n"
		f, err := os.OpenFile(s.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // follows no link
		if errors.Is(err, fs.ErrExist) {
			if old, err := readBounded(s.Path); err != nil || string(old) != content {
				return errors.Join(err, errOther)
			}
			return nil
		}
		if err != nil {
			return err
		}
		_, err = f.WriteString(content)
		if err = errors.Join(err, o.take(f), f.Sync(), f.Close()); err != nil {
			return errors.Join(err, os.Remove(s.Path))
		}
		return syncDir(dir)
	})
}

// writeTemporary writes a configuration to a directory under a name of no meaning, and returns that.
func writeTemporary(dir string, data []byte, o owner) (name string, err error) {
	f, err := os.CreateTemp(dir, ".import-*.yaml") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, o.take(f), f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
