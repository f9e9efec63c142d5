package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// The closed list of what the log tells, beside the states of a message, which are
// the messages of verdict lines.
const (
	logPassEnded    = "pass"
	logPassFailed   = "pass failed"
	logListed       = "listed"
	logNotRetrieved = "not retrieved"
	logRecognised   = "recognised"
	logSettled      = "settled"
	logNotSettled   = "not settled"
	logServing      = "serving"
	logStopped      = "stopped"
	logNotReloaded  = "not reloaded"
	logNext         = "next pass"
	logPanic        = "panic"
	logConfig       = "configuration"
	logManager      = "service manager"
	logWatch        = "not watching"
	logSMTP         = "smtp"
)

// newLog returns the log that the configuration asks for.
func newLog(w io.Writer, c config.Log, quiet bool) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if quiet {
		options.Level = max(c.Level, slog.LevelWarn)
	}
	format := c.Format
	if format == config.AutoFormat && os.Getenv("JOURNAL_STREAM") != "" {
		format = config.JournalFormat
	}
	switch format {
	case config.JSONFormat:
		return slog.New(slog.NewJSONHandler(w, options))
	case config.JournalFormat:
		return slog.New(newJournal(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// journal writes lines as journald takes them from a service's standard error: the priority
// as <N> in front (sd-daemon(3)), and no time, which journald adds.
type journal struct {
	slog.Handler
	out *prefixed
}

// prefixed is a writer that puts the current prefix before each line; slog's handler writes
// a line in one call, under its lock.
type prefixed struct {
	w io.Writer
}

func newJournal(w io.Writer, o *slog.HandlerOptions) slog.Handler {
	out := &prefixed{w}
	plain := *o
	plain.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return &journal{slog.NewTextHandler(out, &plain), out}
}

// Write turns the level that slog wrote into a priority.
func (p *prefixed) Write(line []byte) (int, error) {
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

// logEvent writes one line for an event. No subject, no body, no secret is in any of them.
func logEvent(log *slog.Logger, e transfer.Event, addresses config.AddressDetail) {
	attrs := []slog.Attr{slog.String("account", e.Account)}
	level, text := slog.LevelInfo, ""
	switch e.Kind {
	case transfer.Listed:
		level, text = slog.LevelDebug, logListed
		attrs = append(attrs, slog.String("folder", fetch.Sanitize(e.Folder)), slog.Int("messages", e.Plan.Listed), slog.Int("new", e.Plan.New),
			slog.Int("again", e.Plan.Again), slog.Int("waiting", e.Plan.Waiting))
	case transfer.Verdict:
		level, text = verdictLevel(e.State), e.State
		attrs = append(attrs, verdictAttrs(e, addresses)...)
	case transfer.NotRetrieved:
		level, text = slog.LevelWarn, logNotRetrieved
		attrs = append(attrs, uid(e), slog.Int64("size", e.Size), slog.String("error", e.Err.Error()))
	case transfer.Recognised:
		level, text = slog.LevelDebug, logRecognised
		attrs = append(attrs, uid(e), slog.String("id", e.Token), slog.String("state", e.State), slog.String("why", e.Why))
	case transfer.Settled:
		level, text = slog.LevelDebug, logSettled
		attrs = append(attrs, uid(e), slog.String("id", e.Token), slog.String("upstream", disposalText(e.Disposal)))
	case transfer.NotSettled:
		level, text = slog.LevelWarn, logNotSettled
		attrs = append(attrs, uid(e), slog.String("id", e.Token), slog.String("upstream", disposalText(e.Disposal)), slog.String("error", e.Err.Error()))
	}
	log.LogAttrs(context.Background(), level, text, attrs...)
}

func uid(e transfer.Event) slog.Attr { return slog.String("uid", fetch.Sanitize(e.Ref.UID)) }

func verdictLevel(state string) slog.Level {
	switch ledger.State(state) {
	case ledger.Delivered, ledger.Deferred, ledger.Quarantined, ledger.Adopted:
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// verdictAttrs are what a postmaster needs to find the message in the MTA's log and to
// believe the client.
func verdictAttrs(e transfer.Event, addresses config.AddressDetail) []slog.Attr {
	shown := e.Receipt.Presented
	attrs := []slog.Attr{uid(e), slog.String("id", e.Token), slog.Int64("size", e.Size),
		slog.String("sender", mask("<"+e.Sender+">", addresses)), slog.String("client", presented(e.Receipt)),
		slog.String("name", orUnknown(fetch.Sanitize(shown.Name))), slog.String("helo", orUnknown(fetch.Sanitize(shown.HELO)))}
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

// logPass tells how a pass ended; one with nothing to say is told at debug level only, so
// that cron stays silent.
func logPass(log *slog.Logger, account string, s transfer.Summary, err error) {
	attrs := []slog.Attr{slog.String("account", account), slog.Int("listed", s.Listed), slog.Int("delivered", s.Delivered),
		slog.Int("deferred", s.Deferred+s.Waiting), slog.Int("refused", s.Refused), slog.Int("partly-refused", s.PartlyRefused), slog.Int("quarantined", s.Quarantined), slog.Int("held", s.Held), slog.Int("doubt", s.Doubt),
		slog.Int("adopted", s.Adopted), slog.Int("failed", s.Failed), slog.Int("settled", s.Settled), slog.Int("unsettled", s.Unsettled)}
	level, text := slog.LevelInfo, logPassEnded
	if s.Delivered+s.Deferred+s.Refused+s.PartlyRefused+s.Quarantined+s.Held+s.Doubt+s.Failed+s.Settled+s.Unsettled+s.Adopted == 0 {
		level = slog.LevelDebug
	}
	if errors.Is(err, context.Canceled) {
		level, text, err = slog.LevelInfo, logPassEnded, nil
		attrs = append(attrs, slog.Bool("cut short", true))
	}
	if err != nil {
		level, text = slog.LevelError, logPassFailed
		attrs = append(attrs, slog.String("error", err.Error()))
		if h := hint(err); h != "" {
			attrs = append(attrs, slog.String("hint", h))
		}
	}
	log.LogAttrs(context.Background(), level, text, attrs...)
}

// mask shortens a mail address as log.addresses asks.
func mask(address string, how config.AddressDetail) string {
	at := strings.LastIndexByte(address, '@')
	switch {
	case how == config.NoAddress:
		return "-"
	case how == config.DomainOnly && at >= 0:
		return "<..." + fetch.Sanitize(address[at:])
	}
	return fetch.Sanitize(address)
}
