package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// amend changes records of an account under its lock, and says what was done.
func (p *program) amend(ctx context.Context, account string, names []string, change func(context.Context, app.Ledger, *config.Account, []string) (string, error)) error {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return err
	}
	if err := known(cfg, []string{account}); err != nil {
		return err
	}
	record, err := app.OpenLedger(ctx, cfg)
	if err != nil {
		return err
	}
	unlock, err := record.Lock(account)
	if err != nil {
		return errors.Join(err, record.Close())
	}
	done, err := change(ctx, record, cfg.Accounts[account], names)
	if err := errors.Join(err, unlock(), record.Close()); err != nil {
		return err
	}
	if !p.quiet {
		fmt.Fprintln(p.stdout, done)
	}
	return nil
}

// named returns the records of an account's messages by UID or Truehop-ID. One that there is no record of is a
// mistake, as is a UID that several messages have, and then nothing is done for the others.
func named(ctx context.Context, l app.Ledger, a *config.Account, names []string) ([]ledger.Record, error) {
	var found []ledger.Record
	seen := map[ledger.Key]bool{}
	for _, name := range names {
		before := len(found)
		records, err := withName(ctx, l, a, name)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if !seen[r.Key] {
				seen[r.Key] = true
				found = append(found, r)
			}
		}
		if len(found) == before {
			return nil, unfit("the ledger knows no message %q of account %s, or it is named twice; truehop history %s lists them",
				fetch.Sanitize(name), a.Name, a.Name)
		}
	}
	return found, nil
}

// withName returns the records of the message that has a name: its Truehop-ID, its UID, or its place.
func withName(ctx context.Context, l app.Ledger, a *config.Account, name string) ([]ledger.Record, error) {
	if name == "" {
		return nil, nil
	}
	byID, err := l.List(ctx, ledger.Filter{Account: a.Name, Tokens: []string{name}})
	if err != nil {
		return nil, err
	}
	byUID, err := l.List(ctx, ledger.Filter{Account: a.Name, UID: name})
	if err == nil {
		byUID, err = ofOneMessage(byUID, a, name)
	}
	if err != nil || len(byID)+len(byUID) > 0 {
		return append(byID, byUID...), err
	}
	uid := name[strings.LastIndexByte(name, '/')+1:]
	if uid == "" { // by which all would be listed
		return nil, nil
	}
	byPlace, err := l.List(ctx, ledger.Filter{Account: a.Name, UID: uid})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(byPlace, func(r ledger.Record) bool { return placeOf(r) != name }), nil
}

// placeOf names a message that has no Truehop-ID, as one that was adopted unread. A UID alone is that of a message in
// each folder, and under each UIDVALIDITY.
func placeOf(r ledger.Record) string { return fmt.Sprintf("%s/%d/%s", r.Folder, r.Validity, r.UID) }

// ofOneMessage returns those of the records with a UID that are of one message. What is not upstream any more is left
// out where something else is; where several messages have the UID it is not known which of them is meant, and what was
// not meant would come again.
func ofOneMessage(records []ledger.Record, a *config.Account, uid string) ([]ledger.Record, error) {
	if inOnePlace(records) {
		return records, nil
	}
	flags := a.OnDelivered.Action == fetch.Flag || a.OnRefused.Disposal.Action == fetch.Flag
	there := slices.DeleteFunc(slices.Clone(records), func(r ledger.Record) bool {
		removed := r.Disposed && !flags // what was flagged is still there
		return r.Absent || removed
	})
	if len(there) == 0 {
		there = records
	}
	// Copies have one content, which was read.
	areCopies := !slices.ContainsFunc(there, func(r ledger.Record) bool {
		return r.Hash != there[0].Hash || r.Hash == (ledger.Key{}).Hash
	})
	if inOnePlace(there) || areCopies {
		return there, nil
	}
	var which strings.Builder
	for _, r := range there {
		name := cmp.Or(r.Token, placeOf(r))
		folder := cmp.Or(r.Folder, "the mailbox")
		fmt.Fprintf(&which, "\n  %s  in %s, UIDVALIDITY %d, %s", name, folder, r.Validity, r.State)
	}
	return nil, unfit("UID %q of account %s is that of several messages; name one by what begins its line here:%s",
		fetch.Sanitize(uid), a.Name, which.String())
}

// inOnePlace reports whether records are of one folder, under one UIDVALIDITY.
func inOnePlace(records []ledger.Record) bool {
	return !slices.ContainsFunc(records, func(r ledger.Record) bool {
		return r.Folder != records[0].Folder || r.Validity != records[0].Validity
	})
}
