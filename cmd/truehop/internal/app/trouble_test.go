package app

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestWhichTroubleIsDue: what a pass makes of what is remembered, and which mail is due after it.
func TestWhichTroubleIsDue(t *testing.T) {
	now := time.Date(2026, time.November, 26, 12, 0, 0, 0, time.UTC)
	down := &fetch.Error{Kind: fetch.Unreachable, Op: "connect"}
	login := &RefusedError{Account: "work", Times: 3, Waits: true, Err: &fetch.Error{Kind: fetch.Auth}}
	failing := func(since time.Duration) memory { return memory{Failing: now.Add(-since)} }
	for _, c := range []struct {
		name    string
		memory  memory
		summary transfer.Summary
		err     error
		want    trouble
		failing time.Duration // for how long, -1 for not at all
	}{
		{"all is well", memory{}, transfer.Summary{Delivered: 3}, nil, noTrouble, -1},
		{"the first failure", memory{}, transfer.Summary{}, down, noTrouble, 0},
		{"failures for less than an hour", failing(59 * time.Minute), transfer.Summary{}, down, noTrouble, 59 * time.Minute},
		{"failures for an hour", failing(time.Hour), transfer.Summary{}, down, failingPasses, time.Hour},
		{"it recovers", failing(5 * time.Hour), transfer.Summary{}, nil, noTrouble, -1},
		{"the clock was set back", failing(-time.Hour), transfer.Summary{}, down, noTrouble, 0},
		{"a login that waits", memory{}, transfer.Summary{}, login, refusedLogin, 0},
		{"a password that cannot be read", memory{}, transfer.Summary{}, &config.SecretError{}, refusedLogin, 0},
		{"a mailbox that stopped", memory{}, transfer.Summary{}, &transfer.Error{Op: "INBOX", Text: "renumbered"}, stoppedMailbox, 0},
		{"refused mail", memory{}, transfer.Summary{Refused: 1}, nil, openMail, -1},
		{"lost mail in a pass that failed", memory{}, transfer.Summary{Lost: 1}, down, openMail, 0},
		{"another process is at work", failing(2 * time.Hour), transfer.Summary{}, &ledger.Error{Kind: ledger.Busy}, noTrouble, 2 * time.Hour},
		{"a database that is slow for an hour", failing(time.Hour), transfer.Summary{}, &ledger.Error{Kind: ledger.Slow}, failingPasses, time.Hour},
		{"cut short", failing(2 * time.Hour), transfer.Summary{Held: 1}, context.Canceled, noTrouble, 2 * time.Hour},
		{"told an hour ago", memory{}.told(openMail, now.Add(23*time.Hour)), transfer.Summary{Held: 1}, nil, noTrouble, -1},
		{"told a day ago", memory{}.told(openMail, now), transfer.Summary{Held: 1}, nil, openMail, -1},
		{"told of another kind", memory{}.told(refusedLogin, now.Add(time.Hour)), transfer.Summary{Held: 1}, nil, openMail, -1},
		{"told in a future that never was", memory{}.told(openMail, now.Add(25*time.Hour)), transfer.Summary{Held: 1}, nil, openMail, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, kind := c.memory.after(now, c.summary, c.err)
			if kind != c.want {
				t.Errorf("a mail about %q is due, want %q", kind, c.want)
			}
			since := time.Duration(-1)
			if !got.Failing.IsZero() {
				since = now.Sub(got.Failing)
			}
			if since != c.failing {
				t.Errorf("failing for %v, want %v", since, c.failing)
			}
		})
	}
}

// TestMemoryOfTrouble: what is remembered stays, over restarts; where it is damaged that is an error and not a second mail forever.
func TestMemoryOfTrouble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trouble", "work")
	if m, err := readMemory(path); err != nil || !reflect.DeepEqual(m, memory{}) {
		t.Errorf("of nothing: %+v, %v", m, err)
	}
	at := time.Date(2026, time.November, 26, 12, 0, 0, 0, time.UTC)
	m := memory{Failing: at}.told(openMail, at.Add(time.Hour)).told(refusedLogin, at)
	if err := m.write(path, memory{}); err != nil {
		t.Fatal(err)
	}
	if got, err := readMemory(path); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v is read as %+v, %v", m, got, err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := readMemory(path); err == nil || !reflect.DeepEqual(m, memory{}) {
		t.Errorf("of a damaged file: %+v, %v", m, err)
	}
}

// TestTroubleMailText: the mail is one that every program reads, and that none answers; hostile text in it stays text.
func TestTroubleMailText(t *testing.T) {
	failed := &fetch.Error{Kind: fetch.Auth, Op: "LOGIN", Err: errors.New("no\r\nBcc: x@example.org\x1b[2J \u202e" + strings.Repeat("é", 3000))}
	for kind, want := range map[trouble]string{refusedLogin: "the login is refused", stoppedMailbox: "the mailbox has stopped",
		failingPasses: "no pass has ended well for an hour", openMail: "messages that want a person: 3"} {
		t.Run(string(kind), func(t *testing.T) {
			text, err := composeTrouble("postmaster@example.org", "mx.example.org", "ID", time.UnixMilli(1_700_000_000_000), "work", kind, transfer.Summary{Held: 1, Refused: 2}, failed)
			if err != nil {
				t.Fatal(err)
			}
			r, err := mail.CreateReader(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := r.Header.Subject()
			if err != nil || subject != "truehop: account work: "+want {
				t.Errorf("subject %q, %v", subject, err)
			}
			for name, want := range map[string]string{"Auto-Submitted": "auto-generated", "Bcc": "", "To": "<postmaster@example.org>", "Message-Id": "<truehop.ID@mx.example.org>"} {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			part, err := r.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(part.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"account work", "truehop status work", "Bcc: x@example.org?[2J ?"} {
				if !strings.Contains(strings.ReplaceAll(string(body), "Account", "account"), part) {
					t.Errorf("the body does not have %q:\n%s", part, body)
				}
			}
			for line := range bytes.Lines(text) {
				if len(line) > 998 || bytes.ContainsFunc(line, func(r rune) bool { return r > 0x7e }) {
					t.Errorf("a line that not every MTA takes: %q", line)
				}
			}
			if len(body) > 2*maxTroubleText {
				t.Errorf("the body has %d octets", len(body))
			}
		})
	}
}

// TestTroubleMail: over several days of passes whose password cannot be read there is one mail a day, over restarts too; where it
// is refused that is told, tried again, and there is no mail about it.
func TestTroubleMail(t *testing.T) {
	dir := t.TempDir()
	serve := func(o injecttest.Options) (*injecttest.Server, *config.Config) {
		mta := injecttest.New(o)
		if _, err := mta.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = mta.Close() })
		cfg, err := config.Parse("truehop.yaml", []byte("trouble_mail: postmaster@example.org\nstate_dir: "+filepath.Join(dir, "state")+"\ninject: {address: \"unix:/nowhere\", plain: \""+mta.Addr().String()+
			"\"}\naccounts: {work: {host: imap.invalid, user: joe, password_file: "+filepath.Join(dir, "none")+", recipients: [joe@example.org]}}\n"), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return mta, cfg
	}
	mta, cfg := serve(injecttest.Options{})
	_, refusing := serve(injecttest.Options{Recipients: []string{}})
	now := time.Date(2026, time.November, 26, 12, 0, 0, 0, time.UTC)
	var told []string
	pass := func(cfg *config.Config, want int, troubles ...string) {
		t.Helper()
		told = nil
		a, err := Open(t.Context(), cfg, Options{Now: func() time.Time { return now }, Trouble: func(account, kind string, err error) {
			how := " sent"
			if err != nil {
				how = " failed"
			}
			told = append(told, account+" "+kind+how)
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Pass(t.Context(), cfg.Accounts["work"], PassOptions{}); err == nil {
			t.Error("the pass went well")
		}
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := len(mta.Messages()); got != want || strings.Join(told, ", ") != strings.Join(troubles, ", ") {
			t.Errorf("at %v there are %d mails and it is told %q; want %d, %q", now, got, told, want, troubles)
		}
		now = now.Add(6 * time.Hour)
	}
	pass(cfg, 1, "work login sent")
	pass(cfg, 1)
	pass(cfg, 1)
	pass(cfg, 1)
	pass(cfg, 2, "work login sent")
	now = now.Add(24 * time.Hour)
	pass(refusing, 2, "work login failed")
	pass(cfg, 3, "work login sent")
	pass(cfg, 3)
	for _, m := range mta.Messages() {
		if m.From != "" || len(m.To) != 1 || m.To[0] != "postmaster@example.org" || !bytes.Contains(m.Data, []byte("Auto-Submitted: auto-generated\r\n")) {
			t.Errorf("from %q to %q:\n%s", m.From, m.To, m.Data)
		}
	}
}
