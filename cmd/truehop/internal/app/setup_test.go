package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestReloadOfTargets: a target that is the same keeps its sessions; those of one that changed, or is gone, stay open for the passes that
// began with them, and end after those.
func TestReloadOfTargets(t *testing.T) {
	dir := t.TempDir()
	read := func(inject, choose string) *config.Config {
		t.Helper()
		cfg, err := config.Parse("truehop.yaml", []byte("state_dir: "+filepath.Join(dir, "state")+"\ninject: {"+inject+
			"}\naccounts: {work: {host: imap.invalid, user: joe, password_file: /p, recipients: [joe@example.org], inject: "+choose+"}}\n"), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	first := read(`a: {address: "unix:/a"}, b: {address: "unix:/b"}`, "a")
	a, err := Open(t.Context(), first, Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := a.setup()
	pass, done := a.begin(first.Accounts["work"])
	if done == nil || pass.mtas["a"] != before.mtas["a"] {
		t.Fatal("a pass does not begin")
	}
	second := read(`a: {address: "unix:/other"}, b: {address: "unix:/b"}`, "a")
	if err := a.Reload(second, Options{}); err != nil {
		t.Fatal(err)
	}
	now := a.setup()
	if now.mtas["b"] != before.mtas["b"] || now.mtas["a"] == before.mtas["a"] || now.names != before.names || now.budget != before.budget {
		t.Error("what is the same was made anew, or what is not was kept")
	}
	open := func(p *pools) bool {
		ctx := t.Context()
		receipts := make(chan inject.Receipt, 1)
		err := p.mta.Submit(ctx, &inject.Message{To: []string{"joe@example.org"}, DryRun: true}, func(r inject.Receipt) { receipts <- r })
		if err == nil {
			<-receipts
		}
		return !errors.Is(err, inject.ErrClosed)
	}
	if !open(before.mtas["a"]) {
		t.Error("the target of a pass under way was closed")
	}
	done()
	a.retired.Wait()
	if open(before.mtas["a"]) || !open(now.mtas["a"]) || !open(now.mtas["b"]) {
		t.Error("sessions with a former target go on after the last pass that used them, or others do not")
	}
	if err := a.Reload(read(`b: {address: "unix:/b"}`, "b"), Options{}); err != nil {
		t.Fatal(err)
	}
	if _, done := a.begin(second.Accounts["work"]); done != nil {
		t.Error("a pass begins to a target that is gone")
	}
	elsewhere := read(`b: {address: "unix:/b"}`, "b")
	elsewhere.StateDir = filepath.Join(dir, "elsewhere")
	if err := a.Reload(elsewhere, Options{}); err == nil || !strings.Contains(err.Error(), "state_dir") {
		t.Errorf("another state_dir: %v", err)
	}
	for key, change := range map[string]func(*config.Config){
		"state":                     func(c *config.Config) { c.State = "service=truehop" },
		"state_password_file":       func(c *config.Config) { c.StatePasswordFile = "/p" },
		"state_password_command":    func(c *config.Config) { c.StatePasswordCommand = []string{"/p"} },
		"state_password_credential": func(c *config.Config) { c.StatePasswordCredential = "p" },
		"lease":                     func(c *config.Config) { c.Lease++ },
		"sending_wait":              func(c *config.Config) { c.SendingWait++ },
	} {
		changed := read(`b: {address: "unix:/b"}`, "b")
		change(changed)
		if err := a.Reload(changed, Options{}); err == nil || !strings.Contains(err.Error(), key+": cannot change") {
			t.Errorf("another %s: %v", key, err)
		}
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if open(now.mtas["a"]) || open(now.mtas["b"]) {
		t.Error("sessions are open after the end")
	}
}

// TestForgetsWhatChanged: a watcher that waits since its account's credentials were refused goes on where the configuration says
// something else of the account.
func TestForgetsWhatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logins
		l.note("work", &config.SecretError{})
		l.learn("work", func(w *way) { w.oneByOne = true })
		waits := make(chan struct{})
		go func() { l.await(t.Context(), "work"); close(waits) }()
		synctest.Wait()
		select {
		case <-waits:
			t.Error("it does not wait")
		default:
		}
		l.forget("other")
		l.forget("work")
		<-waits
		if l.adapt(&config.Account{Name: "work"}).Pipelining == config.NoPipelining {
			t.Error("what was learned of the former server holds")
		}
	})
}

// TestReloadOfAuthorities: a target whose file of authorities holds others since then is trusted by those, and by none that is gone. One whose
// file says the same keeps its sessions, and one that cannot be read changes nothing.
func TestReloadOfAuthorities(t *testing.T) {
	dir, before, after := t.TempDir(), fakeserver.NewCA(), fakeserver.NewCA()
	file := filepath.Join(dir, "ca.pem")
	write := func(pem []byte) {
		t.Helper()
		if err := os.WriteFile(file, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mta := injecttest.New(injecttest.Options{})
	defer mta.Close()
	secure := &tls.Config{Certificates: []tls.Certificate{after.Issue(fakeserver.Leaf{})}}
	address := fetchtest.Listen(t, func(conn net.Conn) { mta.Serve(tls.Server(conn, secure)) }).Addr()
	text := fmt.Appendf(nil, `state_dir: %s
inject: {address: %q, tls: implicit, tls_ca_file: %s}
accounts: {work: {host: imap.invalid, user: joe, password_file: /p, recipients: [joe@example.org]}}
`, filepath.Join(dir, "state"), address, file)
	read := func() *config.Config {
		t.Helper()
		cfg, err := config.Parse("truehop.yaml", text, config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	write(before.PEM())
	a, err := Open(t.Context(), read(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.WithoutCancel(t.Context()))
	takes := func() *inject.Error {
		t.Helper()
		receipts := make(chan inject.Receipt, 1)
		message := &inject.Message{To: []string{"joe@example.org"}, DryRun: true}
		to := a.setup().mtas[config.MainTarget].mta
		if err := to.Submit(t.Context(), message, func(r inject.Receipt) { receipts <- r }); err != nil {
			t.Fatal(err)
		}
		return (<-receipts).Err
	}
	if err := takes(); err == nil {
		t.Error("an MTA is trusted for which nobody vouches")
	}
	write(after.PEM())
	if err := a.Reload(read(), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := takes(); err != nil {
		t.Errorf("after another authority was put into the file: %v", err)
	}
	now := a.setup().mtas[config.MainTarget]
	if err := a.Reload(read(), Options{}); err != nil || a.setup().mtas[config.MainTarget] != now {
		t.Errorf("where nothing has changed: another way to it, or %v", err)
	}
	write(nil)
	if err := a.Reload(read(), Options{}); err == nil || a.setup().mtas[config.MainTarget] != now {
		t.Errorf("by a file without any it goes on with %v", err)
	}
}
