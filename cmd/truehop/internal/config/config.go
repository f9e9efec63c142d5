// Package config reads truehop's configuration. The struct [Config] is the reference of every
// key: its field comments are the manual, its tags hold names, defaults and bounds, and
// [Reference] renders both.
//
// A file is either right or refused: unknown keys, wrong types, missing units and
// contradictions are all reported at once, each with its place in the file and what to do
// about it ([Error]).
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/oauth"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/transfer"
)

// Config is the whole configuration after defaults, file and environment.
type Config struct {
	// Directory of the durable record of what was delivered. One per installation; with its
	// loss a mailbox that keeps its messages asks before it delivers more than flood_limit of them again. Must be on a local file system. Default:
	// $STATE_DIRECTORY (set by systemd), else /var/lib/truehop for root and for its owner, else
	// $XDG_STATE_HOME/truehop.
	StateDir string `koanf:"state_dir"`
	// Database of PostgreSQL that holds this record in place of a file in state_dir, for several machines that share the accounts:
	// postgres://USER@HOST/DATABASE, or service=NAME for a section of a service file. No password stands in it. Beyond this host
	// the server's certificate is verified (sslmode=verify-full, sslrootcert=FILE). The primary must have a synchronous
	// standby, or a failover forgets what was delivered. Default: none.
	State string `koanf:"state"`
	// File that holds the password for that database, as a password_file. Default: none is sent, or that of ~/.pgpass.
	StatePasswordFile string `koanf:"state_password_file"`
	// Program and arguments that print it, as a password_command.
	StatePasswordCommand []string `koanf:"state_password_command"`
	// Name of a systemd credential, or of a container's secret, that holds it, as a password_credential.
	StatePasswordCredential string `koanf:"state_password_credential"`
	// Directory for messages above 1 MiB while they wait for the MTA, as unlinked temporary files.
	// Needs room for budget and for a message of max_size. Default: spool below state_dir.
	SpoolDir string `koanf:"spool_dir"`
	// What is logged, and how.
	Log Log `koanf:"log"`
	// Where `serve` answers Prometheus: HOST:PORT or unix:/PATH, with /metrics, /healthz (all parts of it live) and /readyz (it makes
	// passes). There is no password: HOST is to be this host, and see metrics_public. Default: nowhere.
	Metrics Endpoint `koanf:"metrics"`
	// Allows an address in metrics that other hosts reach. Names of accounts and counts of mail are shown there.
	MetricsPublic bool `koanf:"metrics_public" default:"false"`
	// File that `run` writes for the textfile collector of node_exporter after its passes, with a name that ends in .prom. Replaced
	// as a whole; the user that truehop runs as must be able to write its directory.
	MetricsFile string `koanf:"metrics_file"`
	// Address of the postmaster, who is written to when an account's login is refused, when its mailbox has stopped, when no pass
	// over it has ended well for an hour, and when its mail was refused, held or lost: once a day at most for each of these
	// and each account. The mail goes to inject.plain of the account's target, from the null sender. Default: nobody.
	TroubleMail string `koanf:"trouble_mail"`
	// Passes made at the same time by `run` and `serve`. Each has one connection to its upstream; connections
	// that wait for new mail are extra. A pass longer than five minutes no longer counts, so that accounts which
	// hang do not delay others.
	Passes int `koanf:"passes" default:"64" min:"1" max:"1000"`
	// The same for accounts with the same host and port in their configuration. Here a pass counts until it ends.
	// An account whose upstream is busy waits without holding up others. Many providers and servers allow few
	// connections from one address (Courier: 4 unless told otherwise).
	PassesPerHost int `koanf:"passes_per_host" default:"4" min:"1" max:"1000"`
	// Connections on which `serve` waits for new mail (see idle), over all accounts. What finds no room is fetched by its schedule,
	// and a line in the log says so.
	IdleConnections int `koanf:"idle_connections" default:"64" min:"1" max:"100000"`
	// The same for one upstream.
	IdlePerHost int `koanf:"idle_per_host" default:"16" min:"1" max:"100000"`
	// Octets that retrieval may run ahead of injection, over all accounts. A message above it is
	// retrieved alone.
	Budget Size `koanf:"budget" default:"64MiB" min:"1MiB" max:"1TiB"`
	// Where accounts are read beside the files: postgres is the table account of the database that state names, postgres://… and
	// service=NAME that of another one, whose password is in ~/.pgpass or a service file. A row has a name and keys of an account, but none that names a program, a file or an address of OAuth;
	// those stand below defaults. An account that the files have, too, is that of the files. A row that is wrong is told of and skipped.
	// `truehop accounts` writes the rows. Default: nowhere.
	AccountsFrom string `koanf:"accounts_from"`
	// File with the age identities, one a line, as age-keygen writes it, that open the passwords of those rows; kept as a password_file.
	// `truehop accounts` encrypts for the first.
	AccountsKeyFile string `koanf:"accounts_key_file"`
	// The same by the name of a systemd credential or of a container's secret.
	AccountsKeyCredential string `koanf:"accounts_key_credential"`
	// The MTA that judges and takes the mail, or several: either the keys of one directly below inject, which is then
	// called main, or names, each with such keys below it. An account chooses its own by its key inject; the targets
	// share nothing, whatever their addresses. A name is made as that of an account.
	Inject map[string]*Target `koanf:"inject"`
	// Name server for the forward-confirmed name of a client.
	Resolver Resolver `koanf:"resolver"`
	// Keys of an account that hold for every account which does not set them itself. A list
	// replaces a list as a whole. An account that names any source of its password or token ignores
	// the others given here.
	Defaults Account `koanf:"defaults"`
	// The upstream mailboxes, by name. The name stands in logs, in the durable record and in the
	// systemd instance: a renamed account is a new one. One that gets another user or host stops and asks,
	// where its record may be of another mailbox. Lower-case letters, digits, dot, hyphen
	// and underscore, 63 at most, the first a letter or digit. Files conf.d/*.yaml beside the configuration file add one each, below
	// accounts: as here.
	Accounts map[string]*Account `koanf:"accounts"`

	// Path is the file that was read; files are all that were, those of conf.d behind it.
	Path  string `koanf:"-"`
	files []string
	// places are where keys were given, see [Config.Settings].
	places map[string]place `koanf:"-"`
	// How long a service that shares its accounts keeps them when it says nothing more, as when its machine dies; then others take them over. A
	// service that cannot reach the database for so long delivers nothing until it can. With state.
	Lease time.Duration `koanf:"lease" default:"30s" min:"1s" max:"1h"`
	// How long what a service has left between its last word and the MTA's reply waits after its lease was lost, until another one delivers it as a
	// possible redelivery: until no connection of the first can be open any more. An MTA that waits longer for data (Postfix:
	// smtpd_timeout) needs more. With state.
	SendingWait time.Duration `koanf:"sending_wait" default:"13m" min:"1s" max:"24h"`
	// stateLogin has the source of the password for State.
	stateLogin Credentials
	// Warnings are lines for a person: what is allowed but unwise.
	Warnings []string `koanf:"-"`
	// Skipped are the rows of a table that are no accounts, by name.
	Skipped []SkippedRow `koanf:"-"`
	// table is what the accounts were read from beside the files, nil if there is none.
	table *Table `koanf:"-"`
	// common are the keys of defaults, getenv and secrets where secrets are: what the accounts of a table lie on.
	common  map[string]any `koanf:"-"`
	getenv  func(name string) string
	secrets string
}

// Log says what is logged, and how.
type Log struct {
	// Least severe event that is logged.
	Level slog.Level `koanf:"level" default:"info" oneof:"debug|info|warn|error"`
	// Form of a line. auto: journal under systemd, text elsewhere.
	Format LogFormat `koanf:"format" default:"auto"`
	// How much of an e-mail address is logged, and of the author who names a message to a person: its domain, all of it,
	// nothing. Subjects are logged with full only; commands show them to a person but with none.
	Addresses AddressDetail `koanf:"addresses" default:"domain"`
}

// Target says how mail gets into an MTA.
type Target struct {
	// Name is the target's key in [Config.Inject], main where it has none.
	Name string `koanf:"-"`
	// named says that its keys stand below its name.
	named bool

	// Where the MTA listens: unix:/PATH or HOST:PORT. A UNIX socket that only truehop's group can
	// open is the safe choice: over TCP every local user may present any client.
	Address Endpoint `koanf:"address" default:"unix:/var/spool/postfix/public/truehop"`
	// What is spoken there. lmtp reaches a delivery agent, which asks no client rules.
	Protocol inject.Dialect `koanf:"protocol" default:"smtp"`
	// Whether the true client is presented. required: an MTA that does not offer XCLIENT gets
	// nothing. if-available: without the offer mail goes in as from truehop itself. off: always
	// so. Mail that comes from truehop itself may relay and passes every client rule.
	XClient inject.Mode `koanf:"xclient" default:"required"`
	// How the client is presented. xclient: all of it, and the MTA's rules judge it. xforward
	// (Postfix): for its log and filters behind it only, the rules see truehop. proxy-v1, proxy-v2:
	// address and port by the PROXY protocol, on a connection for each message; the MTA looks up the
	// name. For Exim (hosts_proxy), OpenSMTPD (proxy-v2) and Postfix (smtpd_upstream_proxy_protocol).
	Carrier inject.Carrier `koanf:"carrier" default:"xclient"`
	// A listener that asks no rules about clients, unix:/PATH or HOST:PORT, for mail that is not
	// to be judged again, or not at all: on_refused: quarantine:ADDRESS, plain in on_unknown_client, on_internal and
	// on_stale, and all mail of accounts with filter: false. Nothing else goes there.
	Plain Endpoint `koanf:"plain"`
	// SMTP sessions at the same time: a number from 1 to 100, or auto, which begins with 4, and goes up to 16 while mail waits and
	// the MTA is faster by it. It stays at 4 where each message has a connection of its own, as by PROXY. 1 keeps the order of the
	// mailbox strictly.
	Connections inject.Connections `koanf:"connections" default:"auto"`
	// Our name in the first EHLO, before a client is presented. Default: the host's name.
	Hello string `koanf:"hello"`
	// Encryption towards the MTA. Not with a UNIX socket.
	TLS TLSMode `koanf:"tls" default:"none"`
	// PEM file with the only authorities that may vouch for the MTA. Default: those of the system.
	TLSCAFile string `koanf:"tls_ca_file"`
	// Name that the MTA's certificate must carry. Default: the host of address.
	TLSServerName string `koanf:"tls_server_name"`
	// SMTP AUTH, where the MTA wants it. Never presented as a client's login.
	Credentials `koanf:",squash"`
	// Networks that are never presented as a client, beside loopback, private and other special
	// ones: this host's own addresses and whatever $mynetworks or an allow list would trust.
	NeverPresent []netip.Prefix `koanf:"never_present"`
	// Stand-in: what the MTA is shown for a client that is not known, in place of ADDR=[UNAVAILABLE], which makes some
	// filters behind it crash. An address that no host has: 192.0.0.8, or one of 198.18.0.0/15, 192.0.2.0/24, 198.51.100.0/24,
	// 203.0.113.0/24. Block lists of impossible addresses (bogons) and the DMARC reports of the MTA see it.
	UnknownClientAddress Address `koanf:"unknown_client_address" default:"192.0.0.8"`
	// Stand-in for mail that began at the upstream and never had a client. Another one, so that the MTA can have
	// a rule for each.
	InternalClientAddress Address `koanf:"internal_client_address" default:"198.18.0.8"`
	// Content with octets above 127 where the MTA does not offer 8BITMIME. send: as it is, nothing
	// is ever re-encoded. refuse: the message is held.
	EightBit inject.EightBitPolicy `koanf:"eight_bit" default:"send"`
	// Content with NUL octets, which some MTAs remove. send: as it is. refuse: the message is held.
	NUL inject.NULPolicy `koanf:"nul" default:"send"`
	// Whether content goes by BDAT (CHUNKING) where the MTA offers it, instead of DATA.
	Chunking bool `koanf:"chunking" default:"false"`
	// Delivery status notices to the sender after the MTA has taken the mail. never: RCPT says
	// NOTIFY=NEVER, for the sender's own MTA has had its answer long ago. default: as the MTA
	// likes.
	DSN inject.DSN `koanf:"dsn" default:"never"`
}

// Resolver is the name server for client names.
type Resolver struct {
	// Address or address:port of the name server. Default: those of the system. Should be the one
	// that the MTA asks, so that both come to the same name.
	Server string `koanf:"server"`
	// Limit for one client's name. After it the name counts as temporarily unknown, which most
	// MTAs answer with a deferral.
	Timeout time.Duration `koanf:"timeout" default:"5s" min:"100ms" max:"2m"`
}

// Credentials are a user and exactly one source of a password.
type Credentials struct {
	// User name, as the server wants it: often the whole e-mail address.
	User string `koanf:"user"`
	// File that holds the password on one line. Absolute path, owner root or truehop's user, mode
	// 0600 or 0400; of root also 0640 or 0440 for truehop's group, and 0444 on what a container mounts for it.
	PasswordFile string `koanf:"password_file"`
	// Program and arguments that print the password, as a list; the program by its full path, no
	// shell. It gets PATH, HOME and LANG and 30 seconds. What it prints is never logged.
	PasswordCommand []string `koanf:"password_command"`
	// Name of a systemd credential (LoadCredential=NAME:…), a file below $CREDENTIALS_DIRECTORY, or of a
	// container's secret, a file in /run/secrets.
	PasswordCredential string `koanf:"password_credential"`
	// The password itself. Only in a configuration file of mode 0600; never from the environment.
	InlinePassword Secret `koanf:"password"`

	// getenv looks into the environment that Load was given. A function, because printing the
	// struct must not print the environment.
	getenv func(name string) string
	// secrets is where a container has its secrets.
	secrets string
	// sealed is the password of an account in a table, nil if it has none there.
	sealed *sealedPassword
	// prefix stands before the keys above where they are written.
	prefix string
}

// Line is how the connection to an upstream is made.
type Line struct {
	// PEM file with the client's certificate, and those that vouch for it, where the upstream asks for one.
	TLSCertFile string `koanf:"tls_cert_file"`
	// PEM file with the key of tls_cert_file, not encrypted, kept as a password_file is.
	TLSKeyFile string `koanf:"tls_key_file"`
	// SHA-256 sums of the upstream's certificate or of its public key, sha256:HEX, one of which must fit.
	// A sum takes the place of name and authority, as for a certificate that its host made itself; with
	// tls_ca_file both must be right. `check` shows the sums where none fits.
	TLSPins []Pin `koanf:"tls_pins"`
	// Proxy on the way, socks5://[USER@]HOST:PORT or http://[USER@]HOST:PORT (CONNECT). It looks up the
	// host's name.
	Proxy Proxy `koanf:"proxy"`
	// File that holds the proxy's password on one line, as password_file. Needs a USER in proxy.
	ProxyPasswordFile string `koanf:"proxy_password_file"`
	// Program and arguments whose input and output are the connection, in place of TCP: ssh, a tunnel. The
	// program by its full path, no shell. It gets PATH, HOME, LANG and SSH_AUTH_SOCK. What it writes to its
	// standard error is logged. With tls: none it counts as protected: the program sees to it.
	ConnectCommand []string `koanf:"connect_command"`
	// Local address from which the connection is made. Default: as the system chooses.
	SourceAddress Address `koanf:"source_address"`
	// Which addresses of the host are tried. any: both, the faster counts (RFC 8305).
	AddressFamily AddressFamily `koanf:"address_family" default:"any"`
	// Limit for a connection with all addresses of the host, and for the TLS handshake after it.
	ConnectTimeout time.Duration `koanf:"connect_timeout" default:"30s" min:"1s" max:"10m"`
	// How long the upstream may be silent before the connection counts as lost.
	Timeout time.Duration `koanf:"timeout" default:"3m" min:"1s" max:"1h"`
}

// Account is one upstream mailbox.
type Account struct {
	// Name is the account's key in [Config.Accounts], File the file in conf.d that it stands in, if it does.
	Name string `koanf:"-"`
	File string `koanf:"-"`
	// InTable says that it stands in a database, with those keys.
	InTable bool     `koanf:"-"`
	given   []string `koanf:"-"`
	// Protocol of the upstream. imap can flag and move, and knows folders.
	Protocol Protocol `koanf:"protocol" default:"imap"`
	// Host name of the upstream, without port. Its certificate must carry it. Default: that of provider, where it has one for
	// all; port and tls are then the provider's, too.
	Host string `koanf:"host"`
	// Port. Default: imap 993, pop3 995; with starttls or none 143 and 110.
	Port int `koanf:"port" min:"1" max:"65535"`
	// Encryption. implicit from the first octet; starttls as a command, refused if the server does
	// not offer it; none only with allow_plaintext.
	TLS TLSMode `koanf:"tls" default:"implicit"`
	// PEM file with the only authorities that may vouch for the upstream. Default: those of the
	// system.
	TLSCAFile string `koanf:"tls_ca_file"`
	// Name that the certificate must carry. Default: host.
	TLSServerName string `koanf:"tls_server_name"`
	// Oldest TLS version that is spoken.
	TLSMinVersion TLSVersion `koanf:"tls_min_version" default:"1.2"`
	// How the connection is made.
	Line `koanf:",squash"`
	// The login.
	Credentials `koanf:",squash"`
	// Program and arguments that print an OAuth 2 access token, in place of a password, by the rules of
	// password_command. It is run at each login.
	TokenCommand []string `koanf:"token_command"`
	// How the user is proven. auto takes the strongest that the server offers and, under TLS, shows the password
	// once where that is refused; any other is used alone. external is by client certificate; user is the command of the protocol
	// (USER and PASS, LOGIN); apop is POP3 only. auto takes cram-md5 and apop only where nothing else is offered. xoauth2 and
	// oauthbearer show an access token.
	Auth sasl.Mechanism `koanf:"auth" default:"auto"`
	// Allows tls: none, that is to show password and mail to everybody on the way. check and
	// serve warn of it.
	AllowPlaintext bool `koanf:"allow_plaintext" default:"false"`
	// Whether commands are sent before the last is answered. auto does that where it saves time and stops it by itself
	// when replies come out of step; off is for servers that cannot bear it.
	Pipelining Pipelining `koanf:"pipelining" default:"auto"`
	// Folders to fetch from, by name in UTF-8; by pattern, where * stands for anything and % for anything within a level;
	// by special use (\Junk, \Archive, \All), as the server tells it; all is every folder. With an exclamation mark in front
	// an item takes folders out again. Where mail is moved to is taken out by itself. Folders that show what others hold (\All, \Flagged)
	// are fetched by their special use only. IMAP only; POP3 has one, the inbox.
	Folders []string `koanf:"folders" default:"INBOX"`
	// Name of the target below the key inject of the top level that takes the mail. Default: main, or the only one.
	Inject string `koanf:"inject"`
	// Whether the mail is judged by its clients. With false all of it goes to inject.plain of the account's target, where
	// no client is presented, for a user who wants no filter; rules about clients then have no effect.
	Filter bool `koanf:"filter" default:"true"`
	// Which messages are fetched, as the IMAP server finds them: keys that a message has to fit all, with not in front of one
	// turned around. seen, unseen, flagged, answered, draft, keyword WORD; since DAY, before DAY (2026-01-31), younger AGE,
	// older AGE (30d), by the day on which the server got it; from, to, cc, subject TEXT, header NAME TEXT, where it is part of
	// the field; larger, smaller SIZE. Text with blanks in double quotes. What is left out stays as it is, and is fetched
	// once it fits. What was tried once is delivered even if it fits no more.
	Search Search `koanf:"search"`
	// Addresses that the mail is delivered to (RCPT TO). What the message says is never asked. Letters beyond
	// ASCII need an MTA with SMTPUTF8 where they stand before the @: another gets the domain in ASCII, and mail for such
	// a name is held.
	Recipients []string `koanf:"recipients"`
	// For a mailbox that holds the mail of whole domains (multidrop), in place of recipients: the
	// header field in which the upstream records the envelope recipient; received-for is the FOR
	// clause of its Received fields. Only what the upstream's own hosts wrote counts. Mail without
	// it stays upstream, held for a person.
	RecipientFrom transfer.RecipientField `koanf:"recipient_from"`
	// Domains in which recipient_from may find a recipient; any other is held. Needs
	// recipient_from.
	RecipientDomains []string `koanf:"recipient_domains"`
	// What is taken off the front of a recipient that recipient_from found: qmail puts the name of
	// a virtual domain and a hyphen there.
	RecipientStripPrefix string `koanf:"recipient_strip_prefix"`
	// Envelope sender where the message has no usable Return-Path. Default: the null sender, <>.
	Sender string `koanf:"sender"`
	// Who receives mail at the upstream, by the name of a built-in profile. auto infers it from
	// host and from the Received fields, and prefers no answer to a wrong one. `truehop explain`
	// shows what it makes of a message. A name also stands for the host, and `truehop check` says what the provider
	// wants of those who log in.
	Provider received.Provider `koanf:"provider" default:"auto"`
	// Names or patterns (*.mx.example.net) of the upstream's hosts that face the Internet, in
	// place of a profile.
	MX []string `koanf:"mx"`
	// Names or patterns of the upstream's hosts behind those. Needs mx.
	Internal []string `koanf:"internal"`
	// Networks of the upstream's own hosts: a peer there is not the client yet. With mx, addresses
	// alone then decide who is internal; with a profile they add to what it knows.
	InternalNets []netip.Prefix `koanf:"internal_nets"`
	// What stands before the upstream's MX: names of filter services (barracuda, cisco,
	// hornetsecurity, mimecast, proofpoint, sophos), names or patterns of hosts, and networks. The
	// client is then the one that they saw. Where the upstream records no verified names, as
	// Microsoft 365 and Google Workspace, give networks too.
	Gateways []string `koanf:"gateways"`
	// Whether the hosts of mx speak to clients on the Internet only, never to hosts inside. A
	// private peer of theirs is then never stepped over. Needs mx or a named provider.
	Edge bool `koanf:"edge" default:"false"`
	// Which Received field, 1 for the topmost, shows the client; 0 finds it by the rules above. An
	// override for upstreams that no rule fits, wrong as soon as the upstream adds a host; mx and
	// internal, if given, must still match.
	Hops int `koanf:"hops" default:"0" min:"0" max:"30"`
	// What becomes of a message upstream once the MTA has taken it. seen, flag and move need IMAP. It
	// holds also for what was delivered before and is still there: a change from keep to delete deletes
	// that at the next pass.
	OnDelivered fetch.Disposal `koanf:"on_delivered" default:"keep"`
	// Whether what was delivered gets the IMAP keyword $TruehopDelivered upstream, where the server
	// keeps keywords: mail that carries it does not come again when the record in state_dir is lost
	// or restored from an old backup. Leave it off where two installations fetch one mailbox: each
	// would take for delivered what the other has marked.
	MarkDelivered bool `koanf:"mark_delivered" default:"false"`
	// How long delivered mail stays upstream that on_delivered keeps or flags; then it is deleted. The time is
	// counted from pass to pass over the account, at most a day for each gap: a machine that was off for longer,
	// or a clock that was set ahead, counts as one day. Only what the record says was delivered goes, whoever has
	// read it. 0: it stays.
	DeleteAfter time.Duration `koanf:"delete_after" default:"0" min:"0" max:"3650d"`
	// Allows to delete and to move at an IMAP server without UIDPLUS, by EXPUNGE, which removes what any client has
	// marked as deleted. It is said only where the server, asked just before, names no other marked message.
	// What another client marks in the moment between goes with it, and is logged.
	PlainExpunge bool `koanf:"plain_expunge" default:"false"`
	// Whether the folder that mail is moved to is created where it does not exist.
	CreateFolders bool `koanf:"create_folders" default:"false"`
	// What becomes of a message that the MTA refused for good, for all its recipients. keep: it stays
	// upstream, is not fetched again and wants a person. delete and move, which needs IMAP, do that
	// upstream, but not before refused_grace is over and the MTA has proved that it still takes mail: an MTA
	// that refuses everybody empties no mailbox. quarantine: it is delivered at once to that address through
	// inject.plain, from the null sender, and then goes the way of on_delivered, without a wait. Mail
	// that no MTA refused is held, whatever stands here: deferred for too long, too large, to a
	// recipient that the MTA does not take mail for, or impossible to put to it. Nobody gets a bounce.
	OnRefused transfer.Refusal `koanf:"on_refused" default:"keep"`
	// How long refused mail stays upstream at least before on_refused deletes or moves it, counted from pass to
	// pass as for delete_after. After that it still stays until the same MTA has, since the refusal, taken mail of
	// three known clients, and of at least as many as it has refused.
	RefusedGrace time.Duration `koanf:"refused_grace" default:"3d" min:"0" max:"365d"`
	// What happens to mail whose client was not found, or is never presented. present: the MTA is shown
	// inject.unknown_client_address, which no host has, and judges; what it then refuses is held, not refused.
	// plain: it goes to inject.plain, where nobody asks for the client. hold: it stays upstream for a person. skip: it
	// stays upstream for good, and nobody is asked to look. unavailable: the MTA is told just that
	// (ADDR=[UNAVAILABLE]); only where no filter behind it dies of that word, as postgrey and policyd-spf
	// do, and then every client gets 451, or takes it for localhost, as opendmarc and opendkim do.
	OnUnknownClient transfer.NoClient `koanf:"on_unknown_client" default:"present"`
	// The same for mail that began at the upstream: written in its webmail, handed in by a user or a program of
	// its own. present shows the MTA inject.internal_client_address.
	OnInternal transfer.NoClient `koanf:"on_internal" default:"present"`
	// Age, by the stamp of the upstream's MX, from which on a client is not presented any more: an
	// address that was clean then may be listed today. 0: never.
	StaleAfter time.Duration `koanf:"stale_after" default:"0" min:"0" max:"3650d"`
	// What happens to mail that is older. hold: it stays upstream for a person. plain: it goes to inject.plain, where
	// nobody asks for the client. present, skip, unavailable: as in on_unknown_client.
	OnStale transfer.NoClient `koanf:"on_stale" default:"hold"`
	// Who is presented for mail that a user of the upstream sent with a login: client, the user's own
	// (home) address; relay, the host that took the login; unavailable, neither. Where that is
	// unavailable or not recorded, on_internal says what happens.
	Submission transfer.Submission `koanf:"submission" default:"relay"`
	// Where the client's name comes from. recorded: the one that the upstream verified, looked up
	// only where it recorded none. lookup: always looked up here.
	ClientName transfer.NameSource `koanf:"client_name" default:"recorded"`
	// Larger messages stay upstream, held for a person. 0: no limit. Should equal the MTA's
	// message_size_limit.
	MaxSize Size `koanf:"max_size" default:"50MiB" min:"0" max:"1TiB"`
	// When `serve` looks at the mailbox: a cron spec of five fields, or @every 5m. Mail announced
	// by IMAP IDLE does not wait for it.
	Schedule schedule.Spec `koanf:"schedule" default:"*/5 * * * *"`
	// Whether `serve` keeps a connection for each of the first five folders on which the server announces new mail (IMAP
	// IDLE), as far as idle_connections and idle_per_host allow. One that cannot is asked every minute. Where the server allows no more
	// connections, they make room for passes.
	Idle bool `koanf:"idle" default:"true"`
	// How long such a connection is silent before it is used again: less than what address translators and firewalls
	// on the way forget.
	IdleRenewal time.Duration `koanf:"idle_renewal" default:"9m" min:"30s" max:"25m"`
	// Pause before a deferred message is tried again. It doubles each time. More than the
	// greylisting delay makes no sense.
	RetryMin time.Duration `koanf:"retry_min" default:"5m" min:"1s" max:"24h"`
	// Longest such pause.
	RetryMax time.Duration `koanf:"retry_max" default:"6h" min:"1s" max:"7d"`
	// Age since the first attempt after which a message that is still deferred, or was in doubt again
	// and again, is held. 0: never.
	GiveUpAfter time.Duration `koanf:"give_up_after" default:"5d" min:"0" max:"365d"`
	// What happens to the mail found in a mailbox never seen before. deliver it; adopt: leave it
	// and take only what comes later; newest N: take that many, the last of each folder, and leave the rest;
	// since DAY, as 2026-01-31: take what the server got then or later (IMAP only); ask: deliver up to flood_limit
	// messages, above it stop and ask, unless on_delivered is delete or move.
	FirstRun transfer.FirstRun `koanf:"first_run" default:"ask"`
	// Unknown messages at once above which a mailbox stops and asks: a new mailbox, renumbered
	// messages, a lost record. 0: always ask.
	FloodLimit int `koanf:"flood_limit" default:"100" min:"0" max:"1000000"`
	// Most messages that one pass fetches to deliver them; the rest waits for the next. The oldest come first, every folder has its share, and
	// so have new mail and mail that is tried again. 0: no limit.
	MaxMessages int `koanf:"max_messages" default:"0" min:"0" max:"1000000"`
	// Most octets, likewise, by the sizes that the server announces. A message that is larger is fetched alone. 0: no limit.
	MaxBytes Size `koanf:"max_bytes" default:"0" min:"0" max:"1TiB"`
	// OAuth 2 in place of a password. `truehop login ACCOUNT` obtains the first token.
	OAuth OAuth `koanf:"oauth"`
}

// OAuth says whose access tokens an account shows, and as which application they are obtained.
type OAuth struct {
	// Who issues the tokens. google and microsoft are known by name; other needs issuer, or token_url
	// with auth_url or device_url.
	Provider oauth.Provider `koanf:"provider"`
	// Microsoft's directory: a domain or an id; for app-only it must be given. Default: common.
	Tenant string `koanf:"tenant"`
	// The application as you have registered it at the provider. truehop has none of its own.
	ClientID string `koanf:"client_id"`
	// File that holds the application's secret, by the rules of password_file. Google gives one to
	// desktop applications, too; Microsoft wants one for app-only.
	ClientSecretFile string `koanf:"client_secret_file"`
	// PEM file with a certificate and its RSA key, for app-only in place of a secret, by the same rules.
	CertificateFile string `koanf:"certificate_file"`
	// How the first token is obtained. code: a browser on this host, or anywhere with login --headless.
	// device: a browser anywhere. app-only: nobody logs in, the application itself may read the
	// mailbox. auto: code, and device for microsoft.
	Flow oauth.Flow `koanf:"flow" default:"auto"`
	// What is asked for. Default: what google or microsoft want for IMAP or POP3.
	Scopes []string `koanf:"scopes"`
	// Address that the browser is sent to. Default: the provider's.
	AuthURL string `koanf:"auth_url"`
	// Address that tokens come from. Default: the provider's.
	TokenURL string `koanf:"token_url"`
	// Address that device codes come from. Default: the provider's.
	DeviceURL string `koanf:"device_url"`
	// Address of a provider that publishes the other three (OpenID Connect Discovery).
	Issuer string `koanf:"issuer"`
	// Port of this host that the browser comes back to, where the provider wants it registered. 0: any.
	RedirectPort int `koanf:"redirect_port" default:"0" min:"0" max:"65535"`
	// File that the tokens are kept in. It is written, its directory as well. Default: tokens/NAME
	// below state_dir.
	TokenFile string `koanf:"token_file"`
}
