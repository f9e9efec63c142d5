// Package importer reads the configuration of other mail retrievers and says the same in truehop's words: accounts,
// passwords, which messages were fetched already, and a report of what has no counterpart.
//
// It reads and never writes. Each reader takes the whole grammar of its program; one mistake ends it with an [*Error] that names
// the place.
package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/imap"
)

// MaxFile bounds a file that is read, in octets.
const MaxFile = 1 << 20

// maxAccounts bounds the accounts of one import.
const maxAccounts = 10_000

// NoState stands for the file of a program that has fetched nothing yet.
const NoState = "none"

// Options are what an import depends on beside the file.
type Options struct {
	// After is the plan of the files before this one, to which it adds; nil for the first.
	After *Plan
	// Home is the home directory of the user whose file it is; ~ stands for it.
	Home string
	// Dir is the directory that the file is in, where relative paths begin for some programs.
	Dir string
	// User is that user's name: the recipient where the file names none.
	User string
	// Recipient takes the place of the recipients that the file names, if it is not "".
	Recipient string
	// Seen is the file in which the program remembers what it has fetched, "" for where it has it by itself, [NoState] for none.
	Seen string
	// Several says that there are other files, so that each record has to be where the program has it.
	Several bool
	// Secrets is the directory that the passwords go to.
	Secrets string
	// ReadFile reads what the file refers to. It bounds what it returns.
	ReadFile func(path string) ([]byte, error)
	// ReadDir returns the names in a directory.
	ReadDir func(path string) ([]string, error)
}

// record is the file that a person has named, "" where none is.
func (o Options) record() string {
	if o.Seen == NoState {
		return ""
	}
	return o.Seen
}

// Plan is what an import would do.
type Plan struct {
	// Program is whose file it was.
	Program string
	// Targets are the MTAs that mail goes to; the first is the usual one.
	Targets []*Target
	// Accounts are in the order of the file.
	Accounts []*Account
	// Notes say what is different now, in the order of the file.
	Notes []Note

	options Options
	// file is the one that is read, files are all.
	file  string
	files []string
	// before counts the accounts and notes of the files before this one.
	before struct{ accounts, notes int }
}

// begin returns the plan that a file adds to.
func begin(program, file string, o Options) *Plan {
	p := &Plan{Program: program, options: o, file: file}
	if o.After != nil {
		p.Targets, p.Accounts, p.Notes, p.files = o.After.Targets, o.After.Accounts, o.After.Notes, o.After.files
	}
	p.files = append(p.files, file)
	p.before.accounts, p.before.notes = len(p.Accounts), len(p.Notes)
	return p
}

// added reports whether the file has added an account.
func (p *Plan) added() bool { return len(p.Accounts) > p.before.accounts }

// Target is an MTA.
type Target struct {
	Name string
	keys []setting
	// Secret is its password, nil where it needs none.
	Secret *Secret
}

// Account is one mailbox.
type Account struct {
	Name string
	// Secret is its password, nil where the file has none.
	Secret *Secret
	// Known are the messages that were fetched already.
	Known []Known
	// Remembers says that the other program keeps mail upstream and has a record of its own of what it fetched: without that record
	// all of it would come again.
	Remembers bool
	// StateFiles are where that record was found or looked for.
	StateFiles []string
	// Missing says that it was not found.
	Missing bool

	keys []setting
	// parts says that the record is in several files, or may be, of which no one can be named for all.
	parts bool
	// cure is what to do about a missing record, "" for what there mostly is.
	cure string
}

// Known are messages of one folder that were fetched already.
type Known struct {
	// Folder is "" with POP3.
	Folder string
	// Validity is the UIDVALIDITY of an IMAP folder.
	Validity uint32
	// UIDs are those of IMAP, or the unique-ids of POP3. There may be none: then the folder was seen to its end all the same.
	UIDs []string
}

// Secret is a password and the file that it goes to. It does not print.
type Secret struct {
	// Path is absolute.
	Path  string
	value string
}

// Reveal returns the password, for its file and for nothing else.
func (s *Secret) Reveal() string { return s.value }

// Format prints the path for every verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.Path) }

// setting is one key of the configuration: text, a number, true or false, or a list of texts.
type setting struct {
	key   string
	value any
}

// set sets a key, or replaces its value.
func (a *Account) set(key string, value any) {
	i := slices.IndexFunc(a.keys, func(s setting) bool { return s.key == key })
	if i < 0 {
		a.keys = append(a.keys, setting{key, value})
		return
	}
	a.keys[i].value = value
}

// place is where something stands in the file; the zero value is nowhere.
type place struct{ line, column int }

// Error is a mistake in a file.
type Error struct {
	File         string
	Line, Column int
	Text         string
}

// Error returns file:line:column: text.
func (e *Error) Error() string {
	at := fetch.Sanitize(e.File)
	if e.Line > 0 {
		at += fmt.Sprintf(":%d:%d", e.Line, e.Column)
	}
	return at + ": " + e.Text
}

// wrong returns an [*Error] about the file that is read.
func wrong(file string, at place, format string, args ...any) *Error {
	return &Error{File: file, Line: at.line, Column: at.column, Text: fmt.Sprintf(format, args...)}
}

// show quotes what stands in a file for a person.
func show(text string) string {
	if len(text) > 60 {
		text = text[:60] + "..."
	}
	return strconv.Quote(fetch.Printable(text))
}

// Note is something that is different with truehop, and what to do about it.
type Note struct {
	// File is "" for what concerns all files.
	File         string
	Line, Column int
	// Account is the account that it concerns, "" for all.
	Account string
	Text    string
}

// String returns line:column: account: text.
func (n Note) String() string {
	var parts []string
	if n.Line > 0 {
		parts = append(parts, fmt.Sprintf("%d:%d", n.Line, n.Column))
	}
	if n.Account != "" {
		parts = append(parts, n.Account)
	}
	return fetch.Printable(strings.Join(append(parts, n.Text), ": "))
}

// note adds a note, unless the same was noted before.
func (p *Plan) note(at place, account, format string, args ...any) {
	n := Note{"", at.line, at.column, account, fmt.Sprintf(format, args...)}
	if at.line > 0 {
		n.File = p.file
	}
	if !slices.Contains(p.Notes, n) {
		p.Notes = append(p.Notes, n)
	}
}

// addAccount adds an account. Of the name those characters stay that one may have: lower-case letters, digits, dot, hyphen and
// underscore.
func (p *Plan) addAccount(at place, name string) (*Account, error) {
	if len(p.Accounts) == maxAccounts {
		return nil, wrong(p.file, at, "more than %d accounts", maxAccounts)
	}
	const longest = 56 // of 63: a number may follow
	base := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '_', r == '.':
			return r
		}
		return '-'
	}, strings.ToLower(name))
	base = cmp.Or(strings.Trim(base[:min(len(base), longest)], "-._"), "account")
	name = base
	for n := 2; slices.ContainsFunc(p.Accounts, func(a *Account) bool { return a.Name == name }); n++ {
		name = base + "-" + strconv.Itoa(n)
	}
	a := &Account{Name: name}
	p.Accounts = append(p.Accounts, a)
	return a, nil
}

// target returns the target with this address, protocol and password, and makes it where there is none.
func (p *Plan) target(keys []setting, secret string) *Target {
	for _, t := range p.Targets {
		same := slices.EqualFunc(t.keys, keys, func(a, b setting) bool { return a.key == b.key && fmt.Sprint(a.value) == fmt.Sprint(b.value) })
		theirs := ""
		if t.Secret != nil {
			theirs = t.Secret.value
		}
		if same && theirs == secret {
			return t
		}
	}
	t := &Target{Name: "main", keys: keys}
	if len(p.Targets) > 0 {
		t.Name = "mta-" + strconv.Itoa(len(p.Targets)+1)
	}
	if secret != "" {
		t.Secret = &Secret{Path: p.options.Secrets + "/inject-" + t.Name, value: secret}
	}
	p.Targets = append(p.Targets, t)
	return t
}

// listener is where README has Postfix listen for truehop.
const listener = "unix:/var/spool/postfix/public/truehop"

// usualTarget gives an account the target for mail of which the file does not say where it goes, or says this host.
func (p *Plan) usualTarget(a *Account) {
	p.deliverTo(a, p.target([]setting{{"address", listener}}, ""))
}

// deliverTo gives an account its target.
func (p *Plan) deliverTo(a *Account, t *Target) {
	if t != p.Targets[0] {
		a.set("inject", t.Name)
	}
}

// password gives an account its password, and notes that it has none.
func (p *Plan) password(a *Account, at place, value string) {
	path := p.options.Secrets + "/" + a.Name
	a.set("password_file", path)
	if value == "" {
		p.note(at, a.Name, "no password is written down; put it on one line into %s, mode 0600", path)
		return
	}
	a.Secret = &Secret{Path: path, value: value}
}

// recipients gives an account its recipients. why says where they come from if the file does not name them.
func (p *Plan) recipients(a *Account, at place, found []string, why string) {
	switch {
	case p.options.Recipient != "":
		found = []string{p.options.Recipient}
	case len(found) == 0:
		found = []string{p.options.User + "@localhost"}
		p.note(at, a.Name, "the mail goes to %s, %s; --recipient ADDRESS names another", found[0], why)
	}
	a.set("recipients", found)
}

// folderName makes UTF-8 of the name of a folder as a program has it that hands it to the server as it is, in modified UTF-7.
func folderName(raw string) string {
	if name, ok := imap.FolderName(raw); ok {
		return name
	}
	return raw
}

// seconds writes a duration.
func seconds(n int) string {
	switch {
	case n%3600 == 0 && n > 0:
		return strconv.Itoa(n/3600) + "h"
	case n%60 == 0 && n > 0:
		return strconv.Itoa(n/60) + "m"
	}
	return strconv.Itoa(n) + "s"
}

// octets writes a size; 0 needs no unit.
func octets(n int) any {
	switch {
	case n == 0:
		return 0
	case n%(1<<20) == 0:
		return strconv.Itoa(n>>20) + "MiB"
	case n%(1<<10) == 0:
		return strconv.Itoa(n>>10) + "KiB"
	}
	return strconv.Itoa(n) + "B"
}
