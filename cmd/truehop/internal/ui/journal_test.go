package ui

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// journald is a journal that listens on a socket of the test.
type journald struct {
	path string
	conn *net.UnixConn
}

func newJournald(t *testing.T) *journald {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &journald{path, conn}
}

// fields reads the next entry.
func (j *journald) fields(t *testing.T) map[string]string {
	t.Helper()
	buf := make([]byte, 1<<20)
	n, err := j.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for rest := buf[:n]; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		name, value, short := strings.Cut(string(line), "=")
		if !whole {
			t.Fatalf("%q does not end its line", line)
		}
		if !short {
			size := binary.LittleEndian.Uint64(after)
			value, after = string(after[8:8+size]), after[8+size+1:]
		}
		if _, twice := fields[name]; twice {
			t.Errorf("field %s twice", name)
		}
		fields[name], rest = value, after
	}
	return fields
}

// log is a log for this journal. What it does not take is written to lines.
func (j *journald) log(lines io.Writer, how config.AddressDetail) *Log {
	mask := maskedText(how)
	options := slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return mask(groups, a)
	}}
	return &Log{slog.New(newJournalHandler(j.path, slog.NewTextHandler(&prioritized{lines}, &options), options, mask)), how}
}

// TestJournalFields: what can be asked for by journalctl FIELD=VALUE, by event.
func TestJournalFields(t *testing.T) {
	j := newJournald(t)
	log := j.log(io.Discard, config.DomainOnly)
	for _, c := range []struct {
		name string
		do   func()
		want map[string]string
	}{
		{"a verdict", func() {
			log.Event(transfer.Event{Kind: transfer.Verdict, Account: "work", State: string(ledger.Refused), Sender: "joe@example.com", Size: 700,
				Receipt: inject.Receipt{Stage: "RCPT", Reply: inject.Reply{Code: 550, Text: "no joe@example.org here"}, QueueID: "4A5B"}})
		}, map[string]string{"PRIORITY": "4", "SYSLOG_IDENTIFIER": "truehop", "TRUEHOP_EVENT": "refused", "TRUEHOP_ACCOUNT": "work", "TRUEHOP_SIZE": "700",
			"TRUEHOP_SENDER": "<...@example.com>", "TRUEHOP_QUEUE": "4A5B", "TRUEHOP_REPLY": "RCPT 550 no ...@example.org here", "TRUEHOP_CLIENT": "-"}},
		{"the end of a pass", func() { log.Pass("work", PassEnd{Summary: transfer.Summary{Delivered: 3, PartlyRefused: 1}}) },
			map[string]string{"PRIORITY": "6", "TRUEHOP_EVENT": "pass", "TRUEHOP_DELIVERED": "3", "TRUEHOP_PARTLY_REFUSED": "1"}},
		{"a pass that failed", func() { log.Pass("work", PassEnd{Err: errors.New("no connection")}) },
			map[string]string{"PRIORITY": "3", "TRUEHOP_EVENT": "pass failed", "TRUEHOP_ERROR": "no connection"}},
		{"several lines", func() { log.Panicked("work", &schedule.PanicError{Value: "x", Stack: []byte("one\ntwo\n")}) },
			map[string]string{"PRIORITY": "3", "TRUEHOP_EVENT": "panic", "TRUEHOP_STACK": "one\ntwo\n"}},
		{"attributes of the logger", func() { log.With("account", "work").WithGroup("g").Debug("odd", "a.b c", "d") },
			map[string]string{"PRIORITY": "7", "TRUEHOP_EVENT": "odd", "TRUEHOP_ACCOUNT": "work", "TRUEHOP_A_B_C": "d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.do()
			got := j.fields(t)
			for name, want := range c.want {
				if got[name] != want {
					t.Errorf("%s is %q, want %q", name, got[name], want)
				}
			}
			if m := got["MESSAGE"]; !strings.HasPrefix(m, "msg=") || strings.ContainsAny(m, "\n") || strings.Contains(m, "level=") || strings.Contains(m, "time=") {
				t.Errorf("MESSAGE is %q, want the line without time and level", m)
			}
		})
	}
}

// TestJournalThatTakesNothing: nothing is lost where no journal listens, or where an entry is too large for it.
func TestJournalThatTakesNothing(t *testing.T) {
	j := newJournald(t)
	var lines strings.Builder
	log := j.log(&lines, config.FullAddress)
	long := strings.Repeat("x", 1<<20)
	log.Error("large", "text", long)
	if want := "<3>msg=large text=" + long + "\n"; lines.String() != want {
		t.Errorf("of an entry that is too large there are %d octets, want %d", lines.Len(), len(want))
	}
	lines.Reset()
	if err := j.conn.Close(); err != nil {
		t.Fatal(err)
	}
	log.Warn("alone")
	if lines.String() != "<4>msg=alone\n" {
		t.Errorf("without a journal it writes %q", &lines)
	}
}
