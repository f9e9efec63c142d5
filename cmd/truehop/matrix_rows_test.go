package main

import (
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch/fetchtest"
)

// matrixRow is one real server, set up in one way.
type matrixRow struct {
	// name, version and protocols are as in README.
	name, version, protocols string
	start                    func(testing.TB) *fetchtest.Server
	// variant is another setting of a server that has a row already.
	variant bool
	// longTrials are tried with it even without -matrix.all.
	longTrials bool
	// imap are keys of the account that this server needs for IMAP.
	imap []string
	// noKeywords marks a server that keeps only the flags of RFC 3501.
	noKeywords bool
	// silent marks a server whose IDLE announces nothing: it is asked when IDLE is renewed, which takes 30 s at least.
	silent bool
	// without says why a trial is left out, by protocol and name.
	without map[string]string
	// quirk is what README says of it.
	quirk string
}

// dovecot is a row's Dovecot with lines of configuration.
func dovecot(prefix string, config ...string) func(testing.TB) *fetchtest.Server {
	return func(t testing.TB) *fetchtest.Server {
		return fetchtest.StartDovecotServer(t, fetchtest.DovecotOptions{Config: strings.Join(config, "\n")}, prefix)
	}
}

// offering is a row's Dovecot with these SASL mechanisms.
func offering(mechanisms ...string) func(testing.TB) *fetchtest.Server {
	return func(t testing.TB) *fetchtest.Server {
		return fetchtest.StartDovecotServer(t, fetchtest.DovecotOptions{Mechanisms: mechanisms}, "")
	}
}

const dovecotVersion = "2.3.19.1"

// matrixRows are the servers. README shows them.
var matrixRows = []matrixRow{
	{
		name: "Dovecot, maildir", version: dovecotVersion, protocols: "IMAP, POP3", start: dovecot(""), longTrials: true,
	},
	{
		name: "Dovecot, maildir, LAYOUT=fs", version: dovecotVersion, protocols: "IMAP, POP3", variant: true,
		start: dovecot("", "mail_location = maildir:~/Mail:LAYOUT=fs"),
	},
	{
		name: "Dovecot, Maildir++ below INBOX", version: dovecotVersion, protocols: "IMAP, POP3", variant: true,
		start: dovecot("INBOX.", "namespace inbox {", "separator = .", "prefix = INBOX.", "}"),
		quirk: "folders are named `INBOX.Done`; `check` says so",
	},
	{
		name: "Dovecot, mbox", version: dovecotVersion, protocols: "IMAP, POP3", variant: true,
		start: dovecot("", "mail_location = mbox:~/mail:INBOX=~/inbox"),
		quirk: "writes its notes into the messages, which is seen through",
	},
	{
		name: "Dovecot, sdbox", version: dovecotVersion, protocols: "IMAP, POP3", variant: true,
		start: dovecot("", "mail_location = sdbox:~/dbox"),
	},
	{
		name: "Dovecot without UIDPLUS, MOVE and the rest", version: dovecotVersion, protocols: "IMAP, POP3", variant: true,
		start: dovecot("", "protocol imap {", "imap_capability = IMAP4rev1", "}"),
		imap:  []string{"plain_expunge: true", "idle: false"}, without: map[string]string{"imap IDLE": "the server does not offer it"},
		quirk: "deletes and moves with `plain_expunge: true` only; new mail is asked for every minute",
	},
	{
		name: "Dovecot, pop3_uidl_format %f, locked sessions", version: dovecotVersion, protocols: "IMAP, POP3", variant: true,
		start: dovecot("", "pop3_uidl_format = %f", "pop3_lock_session = yes", "pop3_no_flag_updates = yes"),
	},
	{
		name: "Dovecot, pop3_uidl_format %v.%u", version: dovecotVersion, protocols: "IMAP, POP3", variant: true,
		start: dovecot("", "pop3_uidl_format = %v.%u"),
	},
	{
		name: "Dovecot, PLAIN alone", version: dovecotVersion, protocols: "IMAP, POP3", variant: true, start: offering("plain"),
	},
	{
		name: "Cyrus", version: "3.6.1-4+deb12u5", protocols: "IMAP, POP3", start: fetchtest.StartCyrus,
		quirk: "folders are below `INBOX.` unless `altnamespace` is on",
	},
	{
		name: "Courier", version: "5.0.13+1.0.16-3+b6", protocols: "IMAP, POP3", start: fetchtest.StartCourier,
		quirk: "folders are below `INBOX.`; IDLE looks once a minute",
	},
	{
		name: "GNU Mailutils", version: "1:3.15-4", protocols: "IMAP, POP3", start: fetchtest.StartMailutils,
		imap: []string{"plain_expunge: true"}, noKeywords: true, silent: true,
		quirk: "no UIDPLUS: deletes and moves with `plain_expunge: true` only; offers SCRAM and refuses it; keeps no keywords; IDLE announces nothing before `idle_renewal`",
	},
	{
		name: "popa3d", version: "1.0.3-1.1", protocols: "POP3", start: fetchtest.StartPopa3d,
	},
	{
		name: "go-imap, imapmemserver", version: "v2.0.0-beta.8", protocols: "IMAP", start: fetchtest.StartGoIMAP,
	},
}
