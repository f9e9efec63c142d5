package ui

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

const (
	// journalSocket is where journald takes entries with fields (systemd.io/JOURNAL_NATIVE_PROTOCOL).
	journalSocket = "/run/systemd/journal/socket"
	// journalTime bounds one entry: a journal that does not read must not hold up a pass.
	journalTime = 2 * time.Second
	// maxJournalName is the longest name of a field.
	maxJournalName = 64
)

// journalFields stand before the attributes of an event in the names of their fields: TRUEHOP_ACCOUNT.
const journalFields = "TRUEHOP_"

// isJournal reports whether w is read by the journal, which takes entries with fields then.
func isJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || f != os.Stderr {
		return false
	}
	direct, err := journal.StderrIsJournalStream()
	return err == nil && direct
}

// journalHandler writes each event as an entry of the journal: the line as MESSAGE, the event and each attribute as a
// field of its own. What the journal does not take goes to lines, as it would without fields.
type journalHandler struct {
	socket string
	level  slog.Leveler
	mask   func([]string, slog.Attr) slog.Attr
	lines  slog.Handler // for what cannot be sent
	text   slog.Handler // writes MESSAGE into out.buf
	out    *journalOut
	attrs  []slog.Attr
}

// journalOut is what the handlers of one log share.
type journalOut struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// newJournalHandler returns a handler that sends to socket, with options as they are for lines.
func newJournalHandler(socket string, lines slog.Handler, options slog.HandlerOptions, mask func([]string, slog.Attr) slog.Attr) *journalHandler {
	out := &journalOut{}
	replace := options.ReplaceAttr
	options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.LevelKey { // PRIORITY
			return slog.Attr{}
		}
		return replace(groups, a)
	}
	return &journalHandler{socket: socket, level: options.Level, mask: mask, lines: lines, text: slog.NewTextHandler(&out.buf, &options), out: out}
}

// Enabled implements [slog.Handler].
func (h *journalHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs implements [slog.Handler].
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.lines, with.text, with.attrs = h.lines.WithAttrs(attrs), h.text.WithAttrs(attrs), slices.Concat(h.attrs, attrs)
	return &with
}

// WithGroup implements [slog.Handler]. The names of the fields are the same below a group.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.lines, with.text = h.lines.WithGroup(name), h.text.WithGroup(name)
	return &with
}

// Handle implements [slog.Handler].
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	entry, err := h.entry(ctx, r)
	if err != nil {
		return err
	}
	if h.send(entry) != nil { // the journal is down, or the entry is larger than a datagram
		return h.lines.Handle(ctx, r)
	}
	return nil
}

// entry is an event in the journal's protocol.
func (h *journalHandler) entry(ctx context.Context, r slog.Record) ([]byte, error) {
	h.out.mu.Lock()
	h.out.buf.Reset()
	err := h.text.Handle(ctx, r)
	message := strings.TrimSuffix(h.out.buf.String(), "\n")
	h.out.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	appendField(&b, "MESSAGE", message)
	appendField(&b, "PRIORITY", journalPriority(r.Level))
	appendField(&b, "SYSLOG_FACILITY", "2") // mail
	appendField(&b, "SYSLOG_IDENTIFIER", "truehop")
	appendField(&b, journalFields+"EVENT", r.Message)
	each := func(a slog.Attr) bool {
		if name := journalName(a.Key); name != "" {
			appendField(&b, journalFields+name, h.mask(nil, a).Value.Resolve().String())
		}
		return true
	}
	for _, a := range h.attrs {
		each(a)
	}
	r.Attrs(each)
	return b.Bytes(), nil
}

// send gives the journal one entry. There is no connection that would have to be closed, or made again when the
// journal is started again.
func (h *journalHandler) send(entry []byte) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: h.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the entry is in the journal's queue
	if err := conn.SetWriteDeadline(time.Now().Add(journalTime)); err != nil {
		return err
	}
	_, err = conn.Write(entry)
	return err
}

// appendField writes a field. A value of several lines has its length in front of it.
func appendField(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	if strings.Contains(value, "\n") {
		b.WriteByte('\n')
		_ = binary.Write(b, binary.LittleEndian, uint64(len(value))) // a buffer takes it
	} else {
		b.WriteByte('=')
	}
	b.WriteString(value + "\n")
}

// journalName makes the name of a field of an attribute's key: capital letters, digits and underscores.
func journalName(key string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, key)
	return name[:min(len(name), maxJournalName-len(journalFields))]
}

// journalPriority is a level in the numbers of syslog(3).
func journalPriority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}
