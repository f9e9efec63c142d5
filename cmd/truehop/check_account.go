package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/transfer"
)

// checkAccount logs in, counts what is in each folder, and finds out whether what the account asks for can be done there.
func checkAccount(ctx context.Context, a *config.Account, policy received.Policy, cfg *config.Config, user int) *checked {
	c := &checked{Checked: ui.CheckAccount(a)}
	for _, f := range append(a.Files(), config.NamedFile{Key: "tls_ca_file", Path: a.TLSCAFile}) {
		c.fail(readable(user, f.Key+" "+f.Path, f.Path))
	}
	if a.OAuth.Provider != "" {
		tokens, err := app.Tokens(a)
		if err != nil {
			c.fail(err)
			return c
		}
		status, err := tokens.Status()
		if err != nil {
			c.fail(err)
			return c
		}
		c.Token(status)
	}
	var line tls.ConnectionState
	mailbox, err := app.Examine(ctx, a, func(state tls.ConnectionState) { line = state })
	if err != nil {
		c.fail(err)
		return c
	}
	defer mailbox.Abort()
	if len(line.PeerCertificates) > 0 {
		c.Secured(tls.VersionName(line.Version), line.PeerCertificates[0].NotAfter, time.Now())
	}
	c.fail(app.ForgetRefusal(ctx, cfg, a.Name))
	clients := sample{policy: policy}
	if err := c.folders(ctx, mailbox, a, &clients); err != nil {
		c.fail(err)
		return c
	}
	if watcher, ok := mailbox.(interface{ CanWatch() bool }); ok && a.Idle && !watcher.CanWatch() {
		c.NoIdle()
	}
	c.Clients(&clients.outcomes)
	if clients.looked {
		// Not by Close: to many a POP3 server what was retrieved in a session that ends well is fetched, and gone.
		c.fail(mailbox.Leave(ctx))
		return c
	}
	c.fail(mailbox.Close(ctx))
	return c
}

// folders looks at each folder of an account. The error is one that ends the session, or says that nothing can be looked at.
func (c *checked) folders(ctx context.Context, mailbox fetch.Mailbox, a *config.Account, clients *sample) error {
	folders, missing, have, err := a.Selection().ChooseFrom(ctx, mailbox)
	if err != nil {
		return err
	}
	for _, why := range missing {
		c.fail(why)
	}
	told, opened, messages := map[string]bool{}, 0, 0
	once := func(err error) {
		if err != nil && !told[err.Error()] {
			told[err.Error()] = true
			c.fail(err)
		}
	}
	for _, folder := range folders {
		listing, err := mailbox.Open(ctx, folder)
		if fetch.EndsSession(err) {
			return err
		}
		if err != nil {
			c.fail(meant(ctx, mailbox, &have, "accounts."+a.Name+".folders", folder, err))
			continue
		}
		opened++
		messages += len(listing.Refs)
		c.Folder(folder, listing)
		if searcher, ok := mailbox.(fetch.Searcher); ok && len(a.Search.Search) > 0 {
			_, err := searcher.Search(ctx, a.Search.On(time.Now()))
			once(err)
			if fetch.EndsSession(err) {
				return nil // it is told
			}
		}
		if err := clients.take(ctx, mailbox, listing.Refs); fetch.EndsSession(err) {
			return err
		} else if err != nil {
			c.fail(err)
		}
		surveyor, ok := mailbox.(fetch.Surveyor)
		if !ok {
			continue
		}
		disposals := []disposal{{"on_delivered", a.OnDelivered}, {"on_refused", a.OnRefused.Disposal}}
		if a.DeleteAfter > 0 {
			disposals = append(disposals, disposal{"delete_after", fetch.Disposal{Action: fetch.Delete}})
		}
		for _, d := range disposals {
			obstacles, err := surveyor.Obstacles(ctx, []fetch.Disposal{d.Disposal})
			if err != nil {
				return err
			}
			for _, obstacle := range obstacles {
				once(meant(ctx, mailbox, &have, "accounts."+a.Name+"."+d.key, d.Target, obstacle))
			}
		}
	}
	c.Holds(messages, opened)
	return nil
}

// disposal is what an account has done upstream, and the key that says so.
type disposal struct {
	key string
	fetch.Disposal
}

// meant adds to an error about a folder that does not exist, which the key names, the name that may be meant. have are the folders
// that there are, nil until the server was asked.
func meant(ctx context.Context, mailbox fetch.Mailbox, have **fetch.Folders, key, name string, err error) error {
	var e *fetch.Error
	if !errors.As(err, &e) || e.Kind != fetch.NoFolder {
		return err
	}
	lister, ok := mailbox.(fetch.Lister)
	if *have == nil && ok {
		if found, cause := lister.Folders(ctx); cause == nil {
			*have = found
		}
	}
	if *have == nil {
		return err
	}
	amended := *e
	switch similar := similarFolder(name, (*have).List); {
	case similar != "":
		amended.Advice = fmt.Sprintf("did you mean %s? Correct %s", fetch.Sanitize(similar), key)
	case amended.Advice == "":
		amended.Advice = fmt.Sprintf("correct %s; the folders there are %s", key, folderNames((*have).List))
	}
	if !strings.Contains(amended.Error(), name) { // a server need not name it
		amended.Op += " " + fetch.Sanitize(name)
	}
	return &amended
}

// similarFolder returns the folder that was probably meant by name, "" if none comes close: the same name in another case or on another level of
// the hierarchy, as servers have all folders below INBOX, or one that is spelt nearly like it.
func similarFolder(name string, have []fetch.Folder) string {
	var names []string
	for _, f := range have {
		base := f.Name
		if i := strings.LastIndex(f.Name, f.Delimiter); f.Delimiter != "" && i >= 0 {
			base = f.Name[i+len(f.Delimiter):]
		}
		if strings.EqualFold(f.Name, name) || strings.EqualFold(base, name) {
			return f.Name
		}
		names = append(names, f.Name)
	}
	return config.Similar(name, names)
}

// folderNames lists the names of some folders.
func folderNames(have []fetch.Folder) string {
	const most = 10
	var names []string
	for _, f := range have[:min(most, len(have))] {
		names = append(names, fetch.Sanitize(f.Name))
	}
	if len(have) > most {
		names = append(names, fmt.Sprintf("and %d more", len(have)-most))
	}
	return ui.List(names)
}

// What check looks at of a folder: so many of its last messages, none that the server says is larger.
const (
	sampled       = 5
	sampledOctets = 256 << 10
)

// latest returns the last messages that are worth a look, the newest first. sizes are those that the listing does not have.
func latest(refs []fetch.Ref, sizes map[fetch.Ref]int64) []fetch.Ref {
	var last []fetch.Ref
	for _, ref := range slices.Backward(refs) {
		if max(ref.Size, sizes[ref]) <= sampledOctets && len(last) < sampled {
			last = append(last, ref)
		}
	}
	return last
}

// sample looks for the clients of an account's last messages.
type sample struct {
	policy   received.Policy
	outcomes ui.Outcomes
	looked   bool
}

// take looks at the last messages of the open folder. What goes away meanwhile is left out.
func (s *sample) take(ctx context.Context, mailbox fetch.Mailbox, refs []fetch.Ref) error {
	refs = refs[max(0, len(refs)-4*sampled):]
	var sizes map[fetch.Ref]int64
	if sizer, ok := mailbox.(fetch.Sizer); ok && len(refs) > 0 {
		var err error
		if sizes, err = sizer.Sizes(ctx, refs); fetch.EndsSession(err) {
			return err
		}
	}
	last := latest(refs, sizes)
	if len(last) == 0 {
		return nil
	}
	s.looked = true
	var head bytes.Buffer
	return mailbox.Retrieve(ctx, last, func(m fetch.Message) error {
		if m.Err != nil {
			return nil
		}
		head.Reset()
		_, err := io.Copy(&head, io.LimitReader(m.Body, maxExplained+1))
		if err == nil {
			_, err = io.Copy(io.Discard, m.Body)
		}
		if err != nil && fetch.KindOf(err) != fetch.TooLarge {
			return err
		}
		reader := transfer.Reader{Policy: s.policy}
		s.outcomes.Count(m.Ref.UID, reader.Read(head.Bytes(), time.Now()).Boundary)
		return nil
	})
}
