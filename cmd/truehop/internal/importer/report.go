package importer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// Kinds are the kinds of files that Read reads.
func Kinds() []string { return []string{"fetchmailrc", "getmailrc", "mpoprc", "mbsyncrc"} }

// Read reads a file of one of the [Kinds].
func Read(kind, file string, text []byte, o Options) (*Plan, error) {
	var plan *Plan
	var err error
	switch kind {
	case "fetchmailrc":
		plan, err = Fetchmail(file, text, o)
	case "getmailrc":
		plan, err = Getmail(file, text, o)
	case "mpoprc":
		plan, err = Mpop(file, text, o)
	case "mbsyncrc":
		plan, err = Mbsync(file, text, o)
	default:
		return nil, &Error{File: file, Text: fmt.Sprintf("unknown kind of file %s; want one of %s", show(kind), strings.Join(Kinds(), ", "))}
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(plan.Notes[plan.before.notes:], func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return plan, nil
}

// Secrets are the passwords of accounts and targets.
func (p *Plan) Secrets() []*Secret {
	var all []*Secret
	for _, t := range p.Targets {
		if t.Secret != nil {
			all = append(all, t.Secret)
		}
	}
	for _, a := range p.Accounts {
		if a.Secret != nil {
			all = append(all, a.Secret)
		}
	}
	return all
}

// Cure says what a person can do about the record of an account that is missing, beside saying that there is none.
func (p *Plan) Cure(a *Account) string {
	switch {
	case a.cure != "":
		return a.cure
	case p.namesRecord(a):
		return "name it with --seen FILE"
	}
	return "put it there"
}

// namesRecord reports whether a person can name the file with the record of an account.
func (p *Plan) namesRecord(a *Account) bool { return !a.parts && !p.options.Several }

// unreadable is the error about a record that is there.
func (p *Plan) unreadable(a *Account, path string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err // without the path, which comes first
	}
	if p.namesRecord(a) {
		return wrong(path, place{}, "cannot be read: %v; --seen FILE names the record, --seen %s says that there is none", err, NoState)
	}
	return wrong(path, place{}, "cannot be read: %v; let whoever imports read it, or say --seen %s if nothing was fetched yet", err, NoState)
}

// Report says for a person what is different, where passwords go and what was fetched already, each line behind prefix.
func (p *Plan) Report(prefix string) []byte {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b, "%s%s\n", prefix, fetch.Printable(fmt.Sprintf(format, args...)))
	}
	for i, file := range p.files {
		head := "What is different now, by line and column of " + file + ":"
		for _, n := range p.Notes {
			general := i == 0 && n.File == ""
			if n.File != file && !general {
				continue
			}
			if head != "" {
				line("%s", head)
				head = ""
			}
			line("  %s", n)
		}
	}
	for _, s := range p.Secrets() {
		line("A password goes to %s.", s.Path)
	}
	for _, a := range p.Accounts {
		known := 0
		for _, k := range a.Known {
			known += len(k.UIDs)
		}
		switch files := strings.Join(a.StateFiles, ", "); {
		case a.Missing && a.Remembers && p.options.Seen == NoState:
			line("%s: nothing was fetched before, as you told: all that is upstream is new.", a.Name)
		case a.Missing && a.Remembers:
			line("%s: what was fetched already is not known; looked for in %s.", a.Name, files)
		case a.Missing, files == "":
		default:
			line("%s: fetched already, by %s: %d.", a.Name, files, known)
		}
	}
	return []byte(b.String())
}
