package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/emersion/go-message/mail"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// trouble is a kind of what a postmaster is written about.
type trouble string

const (
	noTrouble trouble = ""
	// refusedLogin: the upstream refuses the credentials, or they cannot be read.
	refusedLogin trouble = "login"
	// stoppedMailbox: the pass has stopped, and a person has to say how it goes on.
	stoppedMailbox trouble = "stopped"
	// failingPasses: for an hour no pass has ended well.
	failingPasses trouble = "failing"
	// openMail: mail was refused, held or lost.
	openMail trouble = "person"
)

const (
	// troublePause is between two mails of a kind about an account, troubleAgain between two attempts at one.
	troublePause = 24 * time.Hour
	troubleAgain = time.Hour
	// failingFor is how long passes have to fail before that is a trouble: much passes by itself.
	failingFor = time.Hour
	// troubleTime bounds the sending.
	troubleTime = time.Minute
	// maxTroubleText bounds what is told of an error, in octets.
	maxTroubleText = 1000
)

// memory is what is kept of an account's troubles from pass to pass.
type memory struct {
	// Failing is when the first of the passes ended that have failed in a row, zero if the last one has not.
	Failing time.Time `json:"failing,omitzero"`
	// Next has the time before which there is no other mail of a kind.
	Next map[trouble]time.Time `json:"next,omitempty"`
}

// after is the memory after a pass, and the trouble that a mail is due about.
func (m memory) after(now time.Time, s transfer.Summary, err error) (memory, trouble) {
	var refused *RefusedError
	var secret *config.SecretError
	var stopped *transfer.Error
	kind := noTrouble
	switch {
	case errors.Is(err, context.Canceled), ledger.KindOf(err) == ledger.Busy:
		return m, noTrouble // it says nothing of the account
	case err == nil:
		m.Failing = time.Time{}
	case m.Failing.IsZero(), m.Failing.After(now): // or the clock was set back
		m.Failing = now
	}
	switch {
	case errors.As(err, &refused), errors.As(err, &secret), fetch.KindOf(err) == fetch.Auth:
		kind = refusedLogin
	case errors.As(err, &stopped):
		kind = stoppedMailbox
	case err != nil && now.Sub(m.Failing) >= failingFor:
		kind = failingPasses
	case s.WantPerson() > 0:
		kind = openMail
	}
	next := m.Next[kind]
	waits := now.Before(next) && next.Sub(now) <= troublePause // more than that means that the clock was set back
	if kind == noTrouble || waits {
		return m, noTrouble
	}
	return m, kind
}

// told is the memory with the time of the next mail of a kind.
func (m memory) told(kind trouble, next time.Time) memory {
	all := map[trouble]time.Time{kind: next}
	for k, at := range m.Next {
		if k != kind {
			all[k] = at
		}
	}
	m.Next = all
	return m
}

// tellTrouble writes to the postmaster about a pass, if that is asked for and due. The caller has the account's lock. That it fails
// is logged and nothing else: there is no trouble mail about trouble mail.
func (a *App) tellTrouble(ctx context.Context, now setup, account *config.Account, s transfer.Summary, failed error) {
	if now.cfg.TroubleMail == "" || ctx.Err() != nil {
		return
	}
	path := filepath.Join(now.cfg.StateDir, "trouble", account.Name)
	at := now.opts.Now()
	before, err := readMemory(path)
	if err != nil {
		a.troubleTold(now, account.Name, noTrouble, err)
	}
	m, kind := before.after(at, s, failed)
	if kind != noTrouble {
		m = m.told(kind, at.Add(troublePause))
	}
	// Before the mail: one that nobody remembers would come again and again.
	if err := m.write(path, before); err != nil {
		a.troubleTold(now, account.Name, kind, err)
		return
	}
	if kind == noTrouble {
		return
	}
	err = a.sendTrouble(ctx, now, account, kind, s, failed)
	if err != nil {
		err = errors.Join(err, m.told(kind, at.Add(troubleAgain)).write(path, m))
	}
	a.troubleTold(now, account.Name, kind, err)
}

// troubleTold reports how a mail went.
func (a *App) troubleTold(now setup, account string, kind trouble, err error) {
	if f := now.opts.Trouble; f != nil {
		f(account, string(kind), err)
	}
}

// readMemory reads what is kept in the file at path. Where it cannot be read, nothing is remembered.
func readMemory(path string) (memory, error) {
	var m memory
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return memory{}, fmt.Errorf("what is remembered of earlier trouble mail is lost: %w", err)
	}
	return m, nil
}

// write replaces the file at path, if before was another memory.
func (m memory) write(path string, before memory) error {
	old, err := json.Marshal(before)
	if err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil || bytes.Equal(data, old) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// No account has a name that begins with a dot.
	fresh := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(fresh, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}

// sendTrouble puts a mail to the listener of the account's target that asks no rules. One that the MTA may have counts as sent.
func (a *App) sendTrouble(ctx context.Context, now setup, account *config.Account, kind trouble, s transfer.Summary, failed error) error {
	to := now.mtas[now.cfg.Target(account).Name].plain
	if to == nil { // the configuration is refused without it
		return errors.New("there is no listener for it")
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	text, err := composeTrouble(now.cfg.TroubleMail, host, rand.Text(), now.opts.Now(), account.Name, kind, s, failed)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, troubleTime)
	defer cancel()
	receipts := make(chan inject.Receipt, 1)
	// From the null sender (RFC 3834 section 3.3), so that it is never answered by another message.
	message := &inject.Message{To: []string{now.cfg.TroubleMail}, Size: int64(len(text)), Body: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}
	if err := to.Submit(ctx, message, func(r inject.Receipt) { receipts <- r }); err != nil {
		return err
	}
	r := <-receipts
	switch {
	case r.Outcome == inject.Delivered, r.Outcome == inject.InDoubt:
		return nil
	case r.Err != nil:
		return r.Err
	}
	return fmt.Errorf("%s: %s", r.Stage, r.Reply)
}

// composeTrouble is the mail about a trouble.
func composeTrouble(to, host, id string, at time.Time, account string, kind trouble, s transfer.Summary, failed error) ([]byte, error) {
	var h mail.Header
	h.SetDate(at)
	h.SetAddressList("From", []*mail.Address{{Name: "truehop", Address: "truehop@" + host}})
	h.SetAddressList("To", []*mail.Address{{Address: to}})
	h.SetSubject("truehop: account " + account + ": " + kind.subject(s))
	h.SetMessageID("truehop." + id + "@" + host)
	h.Set("Auto-Submitted", "auto-generated") // RFC 3834 section 5
	h.SetContentType("text/plain", map[string]string{"charset": "utf-8"})
	h.Set("Content-Transfer-Encoding", "quoted-printable")
	var b bytes.Buffer
	w, err := mail.CreateSingleInlineWriter(&b, h)
	if err != nil {
		return nil, err
	}
	body := strings.ReplaceAll(kind.text(account, s, failed), "\n", "\r\n")
	if _, err := io.WriteString(w, body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// subject says it in a few words.
func (t trouble) subject(s transfer.Summary) string {
	switch t {
	case refusedLogin:
		return "the login is refused"
	case stoppedMailbox:
		return "the mailbox has stopped"
	case failingPasses:
		return "no pass has ended well for an hour"
	}
	return fmt.Sprintf("messages that want a person: %d", s.WantPerson())
}

// text says it, why, and what to do about it.
func (t trouble) text(account string, s transfer.Summary, failed error) string {
	var b strings.Builder
	switch t {
	case refusedLogin:
		fmt.Fprintf(&b, "The upstream of account %s refuses the login, or the password cannot be read. Its mail is not fetched.\n", account)
	case stoppedMailbox:
		fmt.Fprintf(&b, "The pass over account %s has stopped, and you have to decide how it goes on.\n", account)
	case failingPasses:
		fmt.Fprintf(&b, "For an hour no pass over account %s has ended well.\n", account)
	case openMail:
		fmt.Fprintf(&b, "Account %s has messages that no further pass can help: %d refused, %d refused for some recipients, %d held, %d lost upstream.\n",
			account, s.Refused, s.PartlyRefused, s.Held, s.Lost)
	}
	if failed != nil {
		fmt.Fprintf(&b, "\n    %s\n", bounded(failed.Error()))
		var hinted interface{ Hint() string }
		if errors.As(failed, &hinted) && hinted.Hint() != "" {
			fmt.Fprintf(&b, "\nWhat to do: %s\n", bounded(hinted.Hint()))
		}
	}
	fmt.Fprintf(&b, "\nFor details: truehop status %s\n\nThere will be no other mail about this problem with this account for a day.\n", account)
	return b.String()
}

// bounded makes a text fit to be mailed: a stranger may have written a part of it.
func bounded(text string) string {
	text = fetch.Printable(strings.ReplaceAll(text, "\n", "; "))
	return cmp.Or(strings.ToValidUTF8(text[:min(len(text), maxTroubleText)], ""), "-")
}
