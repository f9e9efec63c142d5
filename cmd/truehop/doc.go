// Command truehop fetches mail from upstream POP3 and IMAP mailboxes, finds in each message the
// SMTP client that the upstream's MX saw, and injects the message into the local MTA with XCLIENT, so
// that the MTA judges the real client.
//
// # The path of one message
//
// The command run reads the configuration (config.Load) and opens what all accounts share: the ledger, the
// sessions with the MTA, the resolver (app.Open). app.App.Pass locks an account and turns its
// configuration into a transfer.Pass. transfer.Pass.Run then takes each message along this path:
//
//	transfer.Pass.Dial       connects and logs in, by imap.New or pop3.New, with a password or what
//	                         oauth.Source hands out
//	fetch.Mailbox.Open       lists a folder; transfer compares the list with the ledger, and stops before a
//	                         flood of old mail
//	fetch.Mailbox.Retrieve   brings each message whole into a spool; transfer looks whether the ledger
//	                         knows it, by UID or by content
//	received.ReadChain       reads the Received fields
//	received.Chain.Boundary  finds the client in them
//	transfer.Present         decides what the MTA is given: this client, or why none
//	rdns.Resolver.Name       finds the client's name where the upstream recorded none
//	inject.Pool.Submit       gives the message to a session that sends XCLIENT, EHLO, MAIL, RCPT and DATA;
//	                         before the final dot the ledger says "sending", and after the reply it has
//	                         the verdict
//	fetch.Mailbox.Settle     deletes, moves or flags the message upstream, or leaves it
//
// What becomes of a message is reported as a transfer.Event to the function in app.Options.Observe: ui.Log.Event,
// ui.Screen.Event where run has a person at a terminal, ui.DryRun.Add for a dry run; demo and serve have
// functions of their own around these. The summary and the error of the pass become the exit code in exit.go. The
// command serve does the same by the clock of schedule.Loop and when app.App.Watch notices new mail; it is put
// together in service.go, which also reads the configuration again (app.App.Reload). The command explain goes
// the same path up to transfer.Present; check tries logins and listeners alone.
//
// # The files
//
//	main.go program.go   the process and the root command; what all commands share
//	signals.go exit.go   what a signal does; which error ends with which exit code
//	cmd_NAME.go          one command: its flags, its text, what it does
//	check_account.go check_target.go   what check finds out about an account and an MTA
//	typing.go            a password that a terminal does not show
//	import_owner.go      for whom root writes what import writes
//	status_check.go      status for a monitor, and again and again
//	service.go           what serve runs: accounts that come, change and go
//	follow.go            changes of the accounts that stand in a table of a database
//	fleet.go             which accounts this service takes and hands over, where several share them
//	core_linux.go        no memory dump that holds a secret
//	manager.go pulse.go  what the service manager is told; which goroutines have to show that they live
//	amend.go             what retry and forget share: to change records under an account's lock
//	internal/config      file and environment become a config.Config, or a list of all that is wrong
//	internal/sealed      passwords in a database, encrypted for a key that is elsewhere
//	internal/app         the one place where the packages are put together
//	internal/ui          tables, the log, JSON, errors and progress
//	internal/metrics     what a monitor sees
//	internal/importer    configurations of other mail retrievers, and what they remember, become those of truehop
//	internal/demo        the servers, messages and names of the command demo
//	internal/manual      the macros of manual pages, which cmd_docs.go fills
//	version.go           what --version prints
//
// # Who imports whom
//
// TestImports holds the sources to this: received, fetch, inject and schedule import none of the other
// packages. Packages below fetch import fetch and one another downwards. Package transfer joins fetch,
// received, inject and ledger. Package config has the option types of the packages that it configures.
// Packages ledger and postgres are two homes of the record; postgres imports ledger for the record's types, and no
// other package than app and cmd/truehop imports postgres. Package sealed imports none of ours, and config imports
// it, since a sealed password is one of an account's sources. Package app sees the packages of mail and config, and
// not ui; ui sees the types that it prints, and not app: app emits events and returns values, ui is given values and
// writes them, and a command stands above both. Packages importer, demo, metrics and manual know neither app nor ui.
// Each dependency outside the module has one home, and the program does not link package testing.
//
// # Words
//
//	upstream     the server that the mail is fetched from
//	pass         one visit to one account
//	boundary     where the upstream's own Received fields end; the peer there is the client
//	client       the host that handed the message to the upstream's MX
//	present      to give the MTA the client, by XCLIENT, XFORWARD or PROXY
//	stand-in     an address that no host has, presented where a message has no client that can be told
//	target       an MTA and the way to it, below inject; an account chooses one
//	token        what OAuth 2 shows in place of a password; of a record or an event, its Truehop-ID
//	Truehop-ID   the name of a message, made of its account, UID and content: the same at each attempt
//	verdict      what became of a message: one of the states of package ledger
//	deliver      the MTA took the message
//	heading      what a message says of itself: author, subject, date, Message-ID
//	refuse       the MTA said 5xx about the message or its client
//	defer        not now; another pass tries again
//	hold         no MTA refused it; a person has to decide
//	in doubt     the dot was sent, and no reply came or none that can be understood
//	lost         gone from the mailbox before it was delivered
//	settle       what happens to a message upstream after its verdict
//	listing      what a folder holds at one moment, by UIDs
//	generation   the records of a folder under one UIDVALIDITY
//	set back     of a folder: it is an older copy of itself under the same UIDVALIDITY
//	flood        so much mail that seems new that it may be old mail under new names
//	adopt        to record what a mailbox held before the first pass as done, and not to deliver it
//	proof        what in a header shows that a Received field was written by the upstream's own host
//	carrier      how the client is presented: XCLIENT, XFORWARD or PROXY
//	quarantine   the address that refused mail may go to, through the listener without rules
//	suspect      a message that a session ended at
//
// Where several machines share the accounts and the record:
//
//	home         where the record is: a file of SQLite, or a database of PostgreSQL
//	node         a process that works with the database; it holds leases
//	lease        the right of one node to work on one account; it ends by itself where it is not renewed
//	term         how long leases last from one renewal to the next: the key lease
//	epoch        the number of a lease, which rises with each taking of it
//	fence        the check that a write is made under the epoch that still holds
//	bury         to end the leases of a node that did not renew them
//	share        how many of the accounts a node takes, as all take the same number
//	hand over    to give a lease to another node between two passes
//	drain        to have a node hand over all its leases, and take none until it is started again
//	row, table   an account in a database in place of a file, and all of them
//
// # How to add
//
// A command: a file cmd_NAME.go with a constructor, which program.rootCommand calls, and a row in the
// README's table. One that runs until a signal declares that with signals.endOrdinarily.
//
// A key of the configuration: a field with its tags in internal/config (account.go, config.go), a
// row in wiring_rows_test.go, which fails without one, and a test of what it does at the far end. The
// reference in README.md and examples/full.yaml are compared with the fields. A new value of a key
// with a closed set of values: one constant and one word beside it, in the package that acts on it.
//
// A provider: a profile in received/builtin.go and a chain below received/testdata/chains; in internal/config/preset.go its host
// and what a login there needs; an example below examples.
//
// A writer of Received fields: a row in received/writers.go and fields in received/testdata/fields.txt.
//
// A home of the record: a package below schedule with the methods of app.Ledger, which ledgertest.Run holds to what
// every home promises. app.OpenLedger chooses one. schedule/postgres is one for several machines; its tests have a
// private server of postgrestest.
//
// A package: a row in mayImport of layers_test.go, and for a dependency from outside one in homes.
//
// A kind of error: a constant in the Kind of the package that speaks the protocol; exit.go gives it its
// exit code. A new type of error has a method Hint, which returns what to do about it; ui prints that below
// the error.
//
// An event of the log: a constant in internal/ui/log.go, and a method of ui.Log. An event of a pass: a transfer.EventKind, its
// name in eventNames, and what reporter.emit, ui.Log.Event and ui.Screen.Event make of it.
//
// A test with real servers: fetchtest.StartDovecot and injecttest.StartPostfix start private ones in a
// temporary directory. It skips where they are not installed, unless TRUEHOP_REQUIRE_SERVERS is 1. A
// test without them: fakeserver.IMAP and fakeserver.POP3 serve a fakeserver.Store, and
// injecttest.Server is an MTA with XCLIENT.
//
// # How to release
//
// Add an entry to examples/packaging/changelog.yaml, with what users notice, newest first, and have .ci/run pass. That builds for
// one foreign target; go test ./examples/packaging -run TestForeign -everywhere -timeout 1h builds for all of them. Tag the
// commit vMAJOR.MINOR.PATCH and run examples/packaging/build in a clean clone: version, commit and date come from the tag, and
// the same tag makes the same files for everybody. Sign SHA256SUMS, and publish all of it.
package main
