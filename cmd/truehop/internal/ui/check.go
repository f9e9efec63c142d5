package ui

import (
	"encoding"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/oauth"
	"github.com/truehop/truehop/inject"
)

// Level is how good or bad is what check found.
type Level uint8

// The levels.
const (
	OK     Level = iota // as it should be, or just to be known
	Warn                // mail comes all the same, but a person should know
	Failed              // a pass would fail, or mail would not come as it should
)

// String returns the level as a person reads it.
func (l Level) String() string { return [...]string{OK: "ok", Warn: "WARN", Failed: "FAILED"}[l] }

var _ encoding.TextMarshaler = OK

// MarshalText returns the level as a script reads it.
func (l Level) MarshalText() ([]byte, error) { return []byte(strings.ToLower(l.String())), nil }

// The kinds of subjects of check.
const (
	checkedConfiguration = "configuration"
	checkedState         = "state"
	checkedSpool         = "spool"
	checkedAccount       = "account"
	checkedMTA           = "mta"
	checkedPlain         = "plain"
)

// Checked is one part of what a pass needs, and all that check found out about it. With --json it is one object a line.
type Checked struct {
	Kind string `json:"kind"`
	// Name is that of the account or target, "" for what there is one of.
	Name string `json:"name"`
	// Level is the worst of the findings.
	Level Level `json:"level"`
	// Text says what it is, in one line.
	Text     string    `json:"text"`
	Findings []Finding `json:"findings"`
}

// Finding is one thing that check found out.
type Finding struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Hint says what to do about it.
	Hint *string `json:"hint"`
}

// note adds what is just to be known.
func (c *Checked) note(format string, args ...any) { c.add(OK, fmt.Sprintf(format, args...), "") }

// Warn adds what a person should know, and what to do about it, if there is something.
func (c *Checked) Warn(text, hint string) { c.add(Warn, text, hint) }

// Fail adds what does not work and what to do about it. It is safe to show whatever a peer has put into err.
func (c *Checked) Fail(err error) { c.add(Failed, err.Error(), Hint(err)) }

func (c *Checked) add(level Level, text, hint string) {
	c.Level = max(c.Level, level)
	c.Findings = append(c.Findings, Finding{level, lines(text), orNil(lines(hint))})
}

// PrintJSON writes the subject as one object on a line.
func (c *Checked) PrintJSON(w io.Writer) error {
	if c.Findings == nil {
		c.Findings = []Finding{}
	}
	return printJSON(w, c)
}

// Print writes the subject as one line, with what is wrong below it, and with all that was found if all is set.
func (c *Checked) Print(w io.Writer, all bool) {
	say(w, fmt.Sprintf("%-6s  %s", c.Level, lines(c.Text)))
	for _, f := range c.Findings {
		switch {
		case f.Level > OK:
			say(w, fmt.Sprintf("  %s: %s", f.Level, indented(f.Text)))
		case all:
			say(w, "  "+indented(f.Text))
		}
		if shown := all || f.Level > OK; shown && f.Hint != nil {
			say(w, "  "+indented(*f.Hint))
		}
	}
}

// indented keeps the lines of a text below each other.
func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }

// PrintConclusion closes what check says in one sentence.
func PrintConclusion(w io.Writer, all []*Checked) {
	failed, warned := 0, 0
	var names []string
	for _, c := range all {
		for _, f := range c.Findings {
			if f.Level == Warn {
				warned++
			}
		}
		if c.Level == Failed {
			failed++
			names = append(names, strings.TrimSpace(c.Kind+" "+c.Name))
		}
	}
	and := ""
	if warned > 0 {
		and = ", with " + count(warned, "warning")
	}
	hasAccounts := slices.ContainsFunc(all, func(c *Checked) bool { return c.Kind == checkedAccount })
	switch {
	case failed == 0 && !hasAccounts:
		say(w, "run has nothing to do"+and)
	case failed == 0:
		say(w, "run has all that it needs"+and)
	default:
		say(w, fmt.Sprintf("run would not succeed: %d of %d failed%s (%s)", failed, len(all), and, List(names)))
	}
}

// maxSkipped bounds the names of rows that are no accounts.
const maxSkipped = 10

// CheckConfiguration says that it is good, and what is odd about it.
func CheckConfiguration(cfg *config.Config) *Checked {
	c := &Checked{Kind: checkedConfiguration, Text: fmt.Sprintf("configuration %s: good, %s", cfg.Path, count(len(cfg.Accounts), "account"))}
	for _, w := range cfg.Warnings {
		c.Warn(w, "")
	}
	if len(cfg.Skipped) > 0 {
		names := make([]string, len(cfg.Skipped))
		for i, row := range cfg.Skipped {
			names[i] = row.Name
		}
		text := "rows of the table that are no accounts: " + List(names[:min(len(names), maxSkipped)])
		if others := len(names) - maxSkipped; others > 0 {
			text += fmt.Sprintf(", and %d more", others)
		}
		c.Warn(text, "truehop accounts check says why")
	}
	if len(cfg.Accounts) == 0 {
		c.Warn("there is no account, so no mail is fetched", "truehop accounts add ACCOUNT KEY=VALUE... adds one to the table; truehop accounts enable lets one that is there be fetched again")
	}
	return c
}

// CheckState begins the part about the state directory.
func CheckState(dir, user string) *Checked {
	return &Checked{Kind: checkedState, Text: fmt.Sprintf("state: %s, for %s", dir, user)}
}

// NoLedger says that there is no ledger yet.
func (c *Checked) NoLedger() { c.note("no pass has been made; the first creates the ledger there") }

// NoTables says that the database has no ledger yet, and that the first pass may make it.
func (c *Checked) NoTables() {
	c.Warn("the database has no tables of truehop; the first pass makes them", "truehop accounts prepare makes them now")
}

// CheckSpool begins the part about the spool directory.
func CheckSpool(dir, user string) *Checked {
	return &Checked{Kind: checkedSpool, Text: fmt.Sprintf("spool: %s, for %s", dir, user)}
}

// CheckAccount begins the part about an account.
func CheckAccount(a *config.Account) *Checked {
	c := &Checked{Kind: checkedAccount, Name: a.Name,
		Text: fmt.Sprintf("%s: %s at %s, TLS %s, user %s", a.Name, a.Protocol, a.Addr(), a.TLS, fetch.Sanitize(a.User))}
	if needs, page := a.Needs(); needs != "" {
		if page != "" {
			needs += "\nsee " + page
		}
		c.note("%s", needs)
	}
	return c
}

// expiresSoon is how long before its end a certificate is warned of: public authorities' programs renew them some weeks before.
const expiresSoon = 14 * 24 * time.Hour

// Secured says by which version of TLS the connection is protected, and how long the server's certificate is good for.
func (c *Checked) Secured(version string, end, now time.Time) {
	if end.IsZero() {
		c.note("%s", version)
		return
	}
	left := end.Sub(now)
	goodFor := count(int(left/(24*time.Hour)), "day")
	if left < 48*time.Hour {
		goodFor = count(int(left/time.Hour), "hour")
	}
	text := fmt.Sprintf("%s, certificate good for %s, until %s", version, goodFor, end.UTC().Format(time.DateOnly))
	if left < expiresSoon {
		c.Warn(text, "see that the certificate is renewed: when it has expired, no mail comes any more")
		return
	}
	c.note("%s", text)
}

// Token says how long an account's access token lasts.
func (c *Checked) Token(s oauth.Status) { c.note("%s", tokenText(s)) }

// Folder says what is in a folder; "" is the only one of a POP3 mailbox.
func (c *Checked) Folder(name string, l *fetch.Listing) {
	what, rights := "mailbox", ""
	if name != "" {
		what = "folder " + fetch.Sanitize(name)
	}
	if l.ReadOnly {
		rights = ", read-only: nothing can be deleted, moved or flagged"
	}
	c.note("%s: %s%s", what, count(len(l.Refs), "message"), rights)
	if l.MarkError != nil {
		c.Warn("mark_delivered has no effect here: "+l.MarkError.Error(), Hint(l.MarkError))
	}
	if l.Unlisted > 0 {
		c.Warn(fmt.Sprintf("the server counts %d more and does not list them: they are out of reach", l.Unlisted), "")
	}
	if l.Expire == "0" {
		c.Warn("EXPIRE 0: the server deletes what was retrieved in a session that ends with QUIT; truehop says that only where all of it was delivered", "")
	} else if l.Expire != "" && l.Expire != "NEVER" {
		c.Warn(fmt.Sprintf("EXPIRE: the server deletes messages after %s days, delivered or not", l.Expire), "")
	}
	if l.LoginDelay > 0 {
		c.note("LOGIN-DELAY: the server wants %v between two logins", l.LoginDelay)
	}
	if l.NoUIDs {
		c.Warn("no UIDL: messages are known by their content, and those that stay there are downloaded at each pass", "")
	}
}

// Holds says how many messages the folders hold together.
func (c *Checked) Holds(messages, folders int) {
	c.Text += fmt.Sprintf(": %s in %s", count(messages, "message"), count(folders, "folder"))
}

// Clients says of how many of the last messages the client is known, and what they have in common.
func (c *Checked) Clients(o *Outcomes) {
	messages, found := 0, o.found
	for _, c := range o.counts {
		messages += c.messages
	}
	if messages == 0 {
		return
	}
	findings := o.Findings()
	if why := o.neverTold(); why != "" && len(findings) == 0 {
		c.Warn(fmt.Sprintf("clients: known of none of the last %s: %s", count(messages, "message"), why),
			fmt.Sprintf("name provider, or mx and internal, or hops; truehop explain %s --last %d shows each", c.Name, messages))
		return
	}
	c.Text += fmt.Sprintf(", client known of %d of the last %d", found, messages)
	c.note("clients: known of %d of the last %s", found, count(messages, "message"))
	for _, finding := range findings {
		c.Warn(finding, "")
	}
}

// NoIdle says that the server cannot announce new mail.
func (c *Checked) NoIdle() { c.note("no IDLE: serve asks for new mail every minute") }

// CheckMTA begins the part about a target.
func CheckMTA(in *config.Target) *Checked {
	how := "XCLIENT " + in.XClient.String()
	if in.Carrier != inject.XCLIENT {
		how = "carrier " + in.Carrier.String()
	}
	return &Checked{Kind: checkedMTA, Name: in.Name, Text: fmt.Sprintf("%s: %s at %s, %s", mtaName(in), in.Protocol, in.Address, how)}
}

// CheckPlain begins the part about the listener of a target that no client is presented to.
func CheckPlain(in *config.Target) *Checked {
	return &Checked{Kind: checkedPlain, Name: in.Name, Text: fmt.Sprintf("%s, without clients: at %s", mtaName(in), in.Plain)}
}

// Recipients says how many recipients the MTA takes mail for.
func (c *Checked) Recipients(taken int) {
	if taken > 0 {
		c.note("RCPT: taken for %s", count(taken, "recipient"))
	}
}

// NotAsked says that the MTA gave no answer about a recipient that is about the recipient.
func (c *Checked) NotAsked(recipient string, r inject.Reply) {
	text := fmt.Sprintf("RCPT %s: %s, which says nothing about the recipient", recipient, replyText(r))
	if r.Code/100 == 4 { // greylisting is as it should be
		c.note("%s", text)
		return
	}
	c.Warn(text, "the MTA was shown an address that stands for a client; see truehop run --dry-run for real ones")
}

// SizeLimit says what an account asks for beyond what the MTA takes. limit is in octets, 0 if the MTA states none.
func (c *Checked) SizeLimit(limit int64, accounts []*config.Account) {
	if limit == 0 {
		return
	}
	c.note("SIZE: the MTA takes messages of up to %d octets", limit)
	var names []string
	for _, a := range accounts {
		if a.MaxSize == 0 || int64(a.MaxSize) > limit {
			names = append(names, a.Name)
		}
	}
	if len(names) > 0 {
		c.Warn(fmt.Sprintf("max_size is more than the MTA takes, %d octets, and what is larger is held: %s", limit, List(names)),
			fmt.Sprintf("set max_size to %dB, or have the MTA take more (Postfix: message_size_limit)", limit))
	}
}

// mtaName is what an MTA is called where there may be several.
func mtaName(in *config.Target) string {
	if in.Section() == "inject" {
		return "MTA"
	}
	return "MTA " + in.Name
}

// Listener says what the listener offers.
func (c *Checked) Listener(found inject.Capabilities) {
	c.note("greeting: %s", replyText(found.Greeting))
	c.note("extensions: %s", strings.Join(found.Extensions, ", "))
}

// Capabilities says whether the MTA can be shown the true clients, and how fast.
func (c *Checked) Capabilities(found inject.Capabilities, in *config.Target) {
	c.Listener(found)
	switch in.Carrier {
	case inject.XFORWARD:
		c.note("XFORWARD: offered, attributes %s", fetch.Sanitize(strings.Join(found.XFORWARD, " ")))
		c.note("the MTA's log and content filters see the client; its access rules see this host")
		return
	case inject.PROXYv1, inject.PROXYv2:
		c.note("PROXY: the MTA answered behind the header; whether it took the address from it is to be seen in its log")
		c.note("it is told the client's address and HELO, looks up the name, and gets a connection for every message")
		return
	}
	if len(found.XCLIENT) == 0 {
		c.note("XCLIENT: not offered")
		return
	}
	attributes := fetch.Sanitize(strings.Join(found.XCLIENT, " "))
	if in.XClient == inject.Off {
		c.note("XCLIENT: offered, attributes %s, but %s.xclient is off: the MTA takes every message for local mail", attributes, in.Section())
		return
	}
	c.Text += ": offered"
	c.note("XCLIENT: offered, attributes %s", attributes)
	if len(found.Presented) == 0 {
		return
	}
	for _, p := range found.Presented {
		c.note("presented %s: %s", clientText(p.Client, in), replyText(p.Reply))
	}
	const apart = ", a connection for each message"
	if found.OneClient {
		c.Text += apart
		c.note("a second XCLIENT in the session: not tried, this server may keep what it was told of the client before: every message gets a connection of its own, and no attribute of it reaches another")
		return
	}
	// Does one session serve many messages, and if not, what is to be written where?
	barred := slices.ContainsFunc(found.Presented, func(p inject.Presentation) bool { return !p.Reset && p.Err == nil })
	switch {
	case !barred:
		c.Text += ", one session carries many messages"
		c.note("a second XCLIENT in the session: allowed, one session carries many messages")
		return
	case found.Presented[0].Reset:
		c.note("a second XCLIENT in the session: allowed, but not after each of these clients")
	default:
		c.Text += apart
		c.note("a second XCLIENT in the session: not allowed, every message needs a connection of its own")
	}
	if in.Address.Network == "unix" {
		c.note("for fewer connections add to the listener in master.cf: -o smtpd_authorized_xclient_hosts=static:all")
	} else {
		c.note("a listener on a UNIX socket may allow it: see examples/postfix")
	}
}

// clientText says which client check presented.
func clientText(client inject.Client, in *config.Target) string {
	switch client.Addr {
	case in.UnknownClientAddress.Addr:
		return client.Addr.String() + ", for clients that are not known"
	case in.InternalClientAddress.Addr:
		return client.Addr.String() + ", for mail that began at the upstream"
	case netip.Addr{}:
		return "[UNAVAILABLE]"
	}
	return client.Addr.String()
}
