// Command truehop pulls mail from upstream POP3 and IMAP mailboxes, finds in each
// message the SMTP client that the upstream's MX saw, and replays the message into the
// local MTA with XCLIENT, so that the MTA judges the true client.
//
// # The way of one message
//
// The command run makes an engine (openEngine), which holds what all accounts share: the ledger, the
// sessions with the MTA, the resolver. engine.pass locks an account, and engine.plan turns its
// configuration into a [transfer.Pass]. From there:
//
//	fetch.Mailbox.Open      lists a folder
//	run.plan, run.guard     hold the list against the ledger; stop before a flood of old mail
//	fetch.Mailbox.Retrieve  brings each message whole into a spool (work.take)
//	work.recognise          is it one that the ledger knows, by UID or by content?
//	received.ReadChain      reads the Received fields, and Chain.Boundary says who the client was
//	transfer.Present        says what the MTA is told: this client, or why nobody
//	rdns.Resolver.Name      finds the client's name, where the upstream recorded none
//	inject.Session.Deliver  XCLIENT, EHLO, MAIL, RCPT, DATA (see package inject); before the dot
//	                        the ledger says "sending"
//	work.judge, work.record make the verdict durable
//	fetch.Mailbox.Settle    deletes, moves or flags upstream, or leaves the message
//
// # Who imports whom
//
// TestImports holds the sources against this: received, fetch, inject and schedule import none of
// the others. Packages below fetch import fetch. Package transfer joins fetch, received, inject and
// ledger. The command stands above all of them, and its internal/config has the option types of the
// packages that it configures.
//
// # Words
//
//	upstream     the server that the mail is fetched from
//	pass         one visit to one account
//	boundary     where the upstream's own Received fields end; the peer there is the client
//	client       the host that handed the message to the upstream's MX
//	present      to tell the MTA of the client, by XCLIENT, XFORWARD or PROXY
//	deliver      the MTA took the message
//	refuse       the MTA said 5xx about the message or its client
//	defer        not now; another pass tries again
//	hold         no MTA refused it; a person has to decide
//	in doubt     the dot was sent and no reply came
//	settle       what happens to a message upstream after its verdict
//
// # How to add
//
// A key of the configuration: a field with its tags in internal/config (account.go, config.go), a
// row in wiring_rows_test.go, which fails without one, and a test of what it does at the far end. The
// reference in README.md and examples/full.yaml are held against the fields. A new value of a key with
// a closed set of values: one constant and one word beside it, in the package that acts on it.
//
// A provider: a profile in received/builtin.go and a chain below received/testdata/chains.
//
// A writer of Received fields: its form in received/form.go and fields in received/testdata/fields.txt.
//
// A kind of error: a constant in the Kind of the package that speaks the protocol; exit.go gives it its
// exit code.
//
// A test with real servers: fetchtest.StartDovecot and injecttest.StartPostfix start private ones in a
// temporary directory. It skips where they are not installed, unless TRUEHOP_REQUIRE_SERVERS is 1.
package main
