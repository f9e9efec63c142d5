package ui

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// The events of the log, beside the states of a message, which are the events of its verdicts.
const (
	logPassEnded    = "pass"
	logPassFailed   = "pass failed"
	logListed       = "listed"
	logNotRetrieved = "not retrieved"
	logRecognised   = "recognised"
	logSettled      = "settled"
	logNotSettled   = "not settled"
	logRestored     = "ledger restored"
	logNotMarked    = "not marked"
	logMisfit       = "policy does not fit"
	logLimited      = "limit reached"
	logServing      = "serving"
	logStopped      = "stopped"
	logAwaiting     = "awaiting"
	logReloaded     = "reloaded"
	logNotReloaded  = "not reloaded"
	logSkipped      = "account skipped"
	logNotFollowing = "accounts not read"
	logWoken        = "woken"
	logNotListening = "not listening"
	logStuck        = "stuck"
	logNotMeasured  = "no metrics"
	logNotCounted   = "messages not counted"
	logSharing      = "sharing"
	logTrouble      = "trouble mail"
	logNext         = "next pass"
	logWaits        = "pass waits"
	logLoginWaits   = "login waits"
	logPanic        = "panic"
	logConfig       = "configuration"
	logManager      = "service manager"
	logWatch        = "not watching"
	logSMTP         = "smtp"
)

// Log is the program's log. Its methods write the events that have a kind: Event writes what a pass reports, Begin nothing, and
// each other method one kind. The embedded logger is for the rest, as for the dialogues with upstreams and MTAs.
type Log struct {
	*slog.Logger
	addresses config.AddressDetail
}

// NewLog returns the log that the configuration asks for.
func NewLog(w io.Writer, c config.Log, quiet bool) *Log {
	options := &slog.HandlerOptions{Level: c.Level, ReplaceAttr: maskedText(c.Addresses)}
	if quiet {
		options.Level = max(c.Level, slog.LevelWarn)
	}
	format := c.Format
	if format == config.AutoFormat && os.Getenv("JOURNAL_STREAM") != "" {
		format = config.JournalFormat
	}
	var handler slog.Handler
	switch format {
	case config.JSONFormat:
		handler = slog.NewJSONHandler(escaped{w}, options)
	case config.JournalFormat:
		// The journal adds the time itself.
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return maskedText(c.Addresses)(groups, a)
		}
		handler = slog.NewTextHandler(&prioritized{w}, options)
		if isJournal(w) {
			handler = newJournalHandler(journalSocket, handler, *options, maskedText(c.Addresses))
		}
	default:
		handler = slog.NewTextHandler(w, options)
	}
	return &Log{slog.New(handler), c.Addresses}
}

// prioritized writes the lines of slog's text handler as journald takes them from the standard error of a
// service: the level becomes a priority, <N> in front (sd-daemon(3)). The handler writes each line
// in one call, under its lock.
type prioritized struct {
	w io.Writer
}

// Write turns the level that slog wrote into a priority.
func (p *prioritized) Write(line []byte) (int, error) {
	priority := "<6>"
	for _, l := range [...]struct{ text, priority string }{{"level=ERROR ", "<3>"}, {"level=WARN ", "<4>"}, {"level=DEBUG ", "<7>"}, {"level=INFO ", "<6>"}} {
		if rest, ok := strings.CutPrefix(string(line), l.text); ok {
			if _, err := io.WriteString(p.w, l.priority+rest); err != nil {
				return 0, err
			}
			return len(line), nil
		}
	}
	if _, err := io.WriteString(p.w, priority+string(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// Warning logs what is odd about the configuration.
func (l *Log) Warning(text string) { l.Warn(logConfig, "warning", text) }

// Serving logs that the service has begun.
func (l *Log) Serving(accounts int) { l.Info(logServing, "accounts", accounts) }

// Stopped logs that the service has ended.
func (l *Log) Stopped() { l.Info(logStopped) }

// Awaiting logs that a signal has told the program to end, and that it waits for the reply to the dot of so many messages first.
func (l *Log) Awaiting(messages int) {
	if messages > 0 {
		l.Info(logAwaiting, "messages", messages)
	}
}

// Begin is for a person: the log tells of a pass at its end.
func (l *Log) Begin(string) {}

// Reloaded logs that the service goes on by another configuration, in which these accounts are new or changed, or gone.
func (l *Log) Reloaded(come, gone []string) {
	l.Info(logReloaded, "come", orDash(some(come)), "gone", orDash(some(gone)))
}

// some names accounts, not more than a line of the log bears.
func some(names []string) string {
	const most = 50
	if more := len(names) - most; more > 0 {
		return strings.Join(names[:most], ",") + "," + strconv.Itoa(more) + " more"
	}
	return strings.Join(names, ",")
}

// Skipped logs that a row of the table of accounts is no account, and why.
func (l *Log) Skipped(row config.SkippedRow) {
	l.Warn(logSkipped, "account", fetch.Printable(row.Name), "error", fetch.Printable(strings.ReplaceAll(row.Error(), "\n", "; ")))
}

// NotFollowing logs that changes in the table of accounts are not seen, so that the service goes on with those that it knows; nil,
// that they are again.
func (l *Log) NotFollowing(err error) {
	if err == nil {
		l.Info(logNotFollowing, "recovered", true)
		return
	}
	l.Warn(logNotFollowing, "error", fetch.Printable(strings.ReplaceAll(err.Error(), "\n", "; ")), "hint", orDash(Hint(err)))
}

// Woken logs that a running service was asked for a pass over an account, in place of one of this process.
func (l *Log) Woken(account string) {
	l.Info(logWoken, "account", account, "why", "the service is in a pass over it, and makes another one directly after it")
}

// NotListening logs that truehop run cannot wake the accounts of this service.
func (l *Log) NotListening(err error) { l.Warn(logNotListening, "error", err.Error()) }

// NotMeasured logs that a monitor sees nothing.
func (l *Log) NotMeasured(err error) { l.Warn(logNotMeasured, "error", fetch.Printable(err.Error())) }

// NotCounted logs that a monitor does not see how many messages there are, or with nil that it does again.
func (l *Log) NotCounted(err error) {
	if err != nil {
		l.Warn(logNotCounted, "error", fetch.Printable(err.Error()), "hint", orDash(Hint(err)))
		return
	}
	l.Info(logNotCounted, "why", "they can be counted again")
}

// Sharing logs that this service cannot see how the accounts are shared out among all, or with nil that it can again. It goes on with those that it
// has, as long as their leases last.
func (l *Log) Sharing(err error) {
	if err != nil {
		l.Warn(logSharing, "error", fetch.Printable(strings.ReplaceAll(err.Error(), "\n", "; ")), "hint", orDash(Hint(err)))
		return
	}
	l.Info(logSharing, "why", "the other services can be seen again")
}

// Drained logs that this service serves no account any more until it is started again, and how many others do.
func (l *Log) Drained(others int) {
	if others == 0 {
		l.Error(logSharing, "why", "drained, and no other service takes the accounts: no mail is fetched", "hint", "start this service again, or another one")
		return
	}
	l.Warn(logSharing, "why", "drained: no account is served here until this service is started again", "others", others)
}

// Trouble logs that the postmaster was written to about an account, or why that failed.
func (l *Log) Trouble(account, kind string, err error) {
	if err != nil {
		l.Warn(logTrouble, "account", account, "about", orDash(kind), "error", fetch.Printable(err.Error()))
		return
	}
	l.Info(logTrouble, "account", account, "about", kind)
}

// Stuck logs which parts of the service do not show that they live, or that all do again.
func (l *Log) Stuck(late []string) {
	if len(late) == 0 {
		l.Info(logStuck, "late", 0)
		return
	}
	l.Error(logStuck, "late", len(late), "error", strings.Join(late, ", "), "hint", "the watchdog of the service manager is not fed; report it, with what was logged before")
}

// maxProblems bounds the lines about a configuration that cannot be used.
const maxProblems = 50

// NotReloaded logs that the service goes on by the configuration that it has, for the new one cannot be used: a line for each
// problem.
func (l *Log) NotReloaded(err error) {
	problems := strings.Split(err.Error(), "\n")
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems], strconv.Itoa(more)+" more; truehop check tells them")
	}
	for _, text := range problems {
		l.Error(logNotReloaded, "error", fetch.Printable(text))
	}
}

// Next logs when the next pass over an account begins.
func (l *Log) Next(account string, at time.Time) { l.Debug(logNext, "account", account, "at", at) }

// Waits logs that a pass over an account is due and has to wait, since as many are made over others as passes and passes_per_host allow. That is
// ordinary where many are due at the same time; what takes a minute is worth a line, once.
func (l *Log) Waits(account, upstream string, waited time.Duration) {
	level := slog.LevelDebug
	if waited >= time.Minute && waited < 2*time.Minute {
		level = slog.LevelInfo
	}
	l.Log(context.Background(), level, logWaits, "account", account, "upstream", upstream, "waited", waited)
}

// LoginWaits logs that there was no pass over an account, for its credentials were refused a while ago; at debug level
// where that is known.
func (l *Log) LoginWaits(account string, err error, known bool) {
	level := slog.LevelWarn
	if known {
		level = slog.LevelDebug
	}
	l.Log(context.Background(), level, logLoginWaits, "account", account, "error", err.Error(), "hint", Hint(err))
}

// Panicked logs a fault of the program that ended a pass.
func (l *Log) Panicked(account string, p *schedule.PanicError) {
	l.Error(logPanic, "account", account, "error", p.Error(), "stack", string(p.Stack))
}

// ServiceManager logs that the service manager could not be notified.
func (l *Log) ServiceManager(err error) { l.Warn(logManager, "error", err.Error()) }

// NotWatching logs why new mail of an account is not noticed at once.
func (l *Log) NotWatching(account string, err error) {
	level := slog.LevelDebug
	if fetch.KindOf(err) == fetch.Unsupported { // for good, and said once
		level = slog.LevelInfo
	}
	l.Log(context.Background(), level, logWatch, "account", account, "error", err.Error())
}

// SMTP logs a line of the dialogue with the MTA.
func (l *Log) SMTP(session uint64, line string) { l.Debug(logSMTP, "session", session, "line", line) }

// Event logs what happened in a pass. No body and no secret is in any of them, and a subject
// only where log.addresses is full.
func (l *Log) Event(e transfer.Event) {
	if e.Kind == transfer.Planned || e.Kind == transfer.Retrieved {
		return // progress, which is for a person
	}
	attrs := []slog.Attr{slog.String("account", e.Account)}
	level, text := slog.LevelInfo, ""
	switch e.Kind {
	case transfer.Listed:
		level, text = slog.LevelDebug, logListed
		attrs = append(attrs, slog.String("folder", fetch.Sanitize(e.Folder)), slog.Int("messages", e.Plan.Listed), slog.Int("new", e.Plan.New),
			slog.Int("again", e.Plan.Again), slog.Int("deferred", e.Plan.Waiting), slog.Int("left-out", e.Plan.LeftOut))
	case transfer.Verdict:
		level, text = verdictLevel(e.State), e.State
		attrs = append(attrs, verdictAttrs(e, l.addresses)...)
		if level == slog.LevelWarn { // somebody may look for it
			attrs = append(attrs, headingAttrs(e.Heading, l.addresses)...)
		}
		if e.Defect != nil {
			l.Debug(logPanic, "account", e.Account, uid(e), "stack", e.Defect.Stack)
		}
	case transfer.NotRetrieved:
		level, text = slog.LevelWarn, logNotRetrieved
		attrs = append(attrs, uid(e), slog.Int64("size", e.Size), slog.String("error", e.Err.Error()))
		if e.Why != "" {
			attrs = append(attrs, slog.String("state", e.State), slog.String("why", e.Why))
		}
	case transfer.Recognised:
		level, text = slog.LevelDebug, logRecognised
		attrs = append(attrs, uid(e), slog.String("id", e.Token), slog.String("state", e.State), slog.String("why", e.Why))
	case transfer.Settled:
		level, text = slog.LevelDebug, logSettled
		attrs = append(attrs, uid(e), slog.String("id", e.Token), slog.String("upstream", disposalText(e.Disposal)))
	case transfer.NotSettled:
		level, text = slog.LevelWarn, logNotSettled
		attrs = append(attrs, uid(e), slog.String("id", e.Token), slog.String("upstream", disposalText(e.Disposal)), slog.String("error", e.Err.Error()))
	case transfer.Vanished:
		level, text = verdictLevel(e.State), e.State
		attrs = append(attrs, slog.String("folder", fetch.Sanitize(e.Folder)), uid(e), slog.String("id", orDash(e.Token)), slog.Int64("size", e.Size),
			slog.String("sender", mask("<"+e.Sender+">", l.addresses)), slog.String("why", reason("", e.Why)))
		attrs = append(attrs, headingAttrs(e.Heading, l.addresses)...)
		attrs = append(attrs, slog.String("hint", "look for it with who else reads the mailbox; then truehop acknowledge "+e.Account+" --all"))
	case transfer.Restored:
		level, text = slog.LevelWarn, logRestored
		attrs = append(attrs, slog.String("folder", fetch.Sanitize(e.Folder)), slog.String("why", e.Why))
	case transfer.Limited:
		text = logLimited
		attrs = append(attrs, slog.String("folder", fetch.Sanitize(e.Folder)), slog.Int("left", e.Left),
			slog.String("why", "max_messages or max_bytes; the next pass goes on"))
	case transfer.NotMarked:
		level, text = slog.LevelWarn, logNotMarked
		attrs = append(attrs, slog.String("folder", fetch.Sanitize(e.Folder)), slog.String("error", e.Err.Error()),
			slog.String("hint", "mail is delivered all the same; where the server keeps no keywords, remove mark_delivered"))
	case transfer.Misfit:
		level, text = slog.LevelWarn, logMisfit
		attrs = append(attrs, slog.String("why", e.Why), slog.String("hint", "see truehop explain "+e.Account+" --last 20"))
	}
	l.LogAttrs(context.Background(), level, text, attrs...)
}

func uid(e transfer.Event) slog.Attr { return slog.String("uid", fetch.Sanitize(e.Ref.UID)) }

func verdictLevel(state string) slog.Level {
	if s := ledger.State(state); s.WantsPerson() || s.InDoubt() {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// verdictAttrs are what a postmaster needs to find the message in the MTA's log and to
// believe the client.
func verdictAttrs(e transfer.Event, addresses config.AddressDetail) []slog.Attr {
	shown := e.Receipt.Presented
	attrs := []slog.Attr{uid(e), slog.String("id", e.Token), slog.Int64("size", e.Size),
		slog.String("sender", mask("<"+e.Sender+">", addresses)), slog.String("client", presented(e.Receipt)),
		slog.String("name", orDash(shown.Name)), slog.String("helo", orDash(shown.HELO))}
	if e.Receipt.Reply.Code > 0 {
		attrs = append(attrs, slog.String("reply", e.Receipt.Stage+" "+replyText(e.Receipt.Reply)))
	}
	if e.Receipt.QueueID != "" {
		attrs = append(attrs, slog.String("queue", e.Receipt.QueueID))
	}
	if e.Redelivery {
		attrs = append(attrs, slog.Bool("redelivery", true))
	}
	if e.Why != "" {
		attrs = append(attrs, slog.String("why", e.Why))
	}
	if !shown.Addr.IsValid() {
		attrs = append(attrs, slog.String("boundary", e.Boundary.Why))
	}
	return attrs
}

// PassEnd is how a pass over an account ended.
type PassEnd struct {
	Summary transfer.Summary
	Err     error
	// Known says that the log has told of it before, and that it has not changed.
	Known bool
	// Since and Passes say for how long it has been so; Recovered, how long it failed before.
	Since     time.Time
	Passes    int
	Recovered bool
}

// Pass logs how a pass ended, the cause first: at debug level if nothing happened in it, or nothing that is not known, so
// that cron stays silent. Counters that are zero are left out.
func (l *Log) Pass(account string, end PassEnd) {
	s, err := end.Summary, end.Err
	attrs := []slog.Attr{slog.String("account", account)}
	level, text := slog.LevelInfo, logPassEnded
	happened := s.Delivered + s.Deferred + s.Refused + s.PartlyRefused + s.Quarantined + s.Held + s.Doubt + s.Failed + s.Settled + s.Unsettled + s.Adopted
	stands := s.Waiting+s.Lost > 0 && !end.Known
	if quiet := happened == 0 && !stands && !end.Recovered; quiet {
		level = slog.LevelDebug
	}
	switch {
	case errors.Is(err, context.Canceled):
		level = slog.LevelInfo
		attrs = append(attrs, slog.Bool("cut short", true))
	case err != nil:
		level, text = slog.LevelError, logPassFailed
		if end.Known {
			level = slog.LevelDebug
		}
		attrs = append(attrs, slog.String("error", strings.ReplaceAll(err.Error(), "\n", "; ")))
		if h := Hint(err); h != "" {
			attrs = append(attrs, slog.String("hint", h))
		}
		if end.Passes > 0 {
			attrs = append(attrs, slog.Time("since", end.Since), slog.Int("passes", end.Passes))
		}
	case end.Recovered:
		attrs = append(attrs, slog.Bool("recovered", true), slog.Time("since", end.Since), slog.Int("passes", end.Passes))
	}
	l.LogAttrs(context.Background(), level, text, append(attrs, counters(s)...)...)
}

// counters are the numbers of a pass that are not zero. asked is that of a dry run.
func counters(s transfer.Summary) []slog.Attr {
	var attrs []slog.Attr
	for _, c := range [...]struct {
		key string
		n   int
	}{
		{"listed", s.Listed}, {"delivered", s.Delivered}, {"deferred", s.Deferred + s.Waiting}, {"refused", s.Refused},
		{"partly-refused", s.PartlyRefused}, {"quarantined", s.Quarantined}, {"held", s.Held}, {"doubt", s.Doubt}, {"adopted", s.Adopted},
		{"failed", s.Failed}, {"settled", s.Settled}, {"unsettled", s.Unsettled}, {"lost", s.Lost}, {"left-out", s.LeftOut},
		{"left", s.Left}, {"asked", s.Asked},
	} {
		if c.n > 0 {
			attrs = append(attrs, slog.Int(c.key, c.n))
		}
	}
	if !s.Next.IsZero() {
		attrs = append(attrs, slog.Time("next", s.Next))
	}
	return attrs
}
