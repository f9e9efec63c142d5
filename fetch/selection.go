package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Lister is a [Mailbox] that can say which folders there are.
type Lister interface {
	// Folders lists the folders. It changes nothing, and may be called before Open.
	Folders(ctx context.Context) (*Folders, error)
}

// Folders are those of a mailbox.
type Folders struct {
	List []Folder
	// Labels says that one message may be in several folders, as with Gmail, where they are labels.
	Labels bool
}

// Folder is one folder of a mailbox.
type Folder struct {
	// Name is in UTF-8, whatever the server sends.
	Name string
	// Delimiter separates the levels of the hierarchy, "" where there is none.
	Delimiter string
	// Attributes are those of LIST (RFC 9051 section 7.3.1), with their backslash.
	Attributes []string
}

// has compares attributes, which are the same in any case.
func (f *Folder) has(attribute string) bool {
	return slices.ContainsFunc(f.Attributes, func(a string) bool { return strings.EqualFold(a, attribute) })
}

// AllFolders is the word that stands for every folder in a [Selection].
const AllFolders = "all"

// Selection names the folders to fetch from, in order. An item is the name of a folder, a pattern with the wildcards of LIST (RFC 9051
// section 6.3.9: * for anything, % for anything within a level), a special use with its backslash (RFC 6154), or [AllFolders].
// An item behind an exclamation mark takes out what the others have chosen.
type Selection []string

// IsSpecialUse reports whether an item is a special use.
func IsSpecialUse(item string) bool { return strings.HasPrefix(item, `\`) }

// isPattern reports whether an item may stand for several folders.
func isPattern(item string) bool { return item == AllFolders || strings.ContainsAny(item, "*%") }

// Fixed reports whether all items are names, so that nobody needs to ask which folders there are.
func (s Selection) Fixed() bool {
	return !slices.ContainsFunc(s, func(item string) bool {
		return isPattern(item) || IsSpecialUse(item) || strings.HasPrefix(item, "!")
	})
}

// Names returns those items that are names.
func (s Selection) Names() []string {
	return slices.DeleteFunc(slices.Clone(s), func(item string) bool { return !Selection{item}.Fixed() })
}

// Takes reports whether a folder of this name is chosen, as far as the name says.
func (s Selection) Takes(name string) bool {
	f := Folder{Name: name}
	for _, item := range s {
		if !strings.HasPrefix(item, "!") && f.fits(item) {
			return !s.excludes(&f)
		}
	}
	return false
}

func (s Selection) excludes(f *Folder) bool {
	return slices.ContainsFunc(s, func(item string) bool {
		out, excluding := strings.CutPrefix(item, "!")
		return excluding && f.fits(out)
	})
}

// fits reports whether an item that excludes nothing stands for the folder.
func (f *Folder) fits(item string) bool {
	switch {
	case item == AllFolders:
		return true
	case IsSpecialUse(item):
		return f.has(item)
	case strings.EqualFold(f.Name, "INBOX"):
		return Like(strings.ToUpper(item), "INBOX", f.Delimiter) // RFC 9051 section 5.1: INBOX is the same in any case
	}
	return Like(item, f.Name, f.Delimiter)
}

// Like reports whether a name fits a pattern of LIST (RFC 9051 section 6.3.9).
func Like(pattern, name, delimiter string) bool {
	// The last star or percent sign is tried again with one octet more: what came before it need not change, unless
	// a percent sign has met a delimiter and an earlier star can go on.
	type retry struct{ p, n int }
	star, percent := retry{p: -1}, retry{p: -1}
	p, n := 0, 0
	for n < len(name) || p < len(pattern) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, percent = retry{p, n}, retry{p: -1}
			continue
		case p < len(pattern) && pattern[p] == '%':
			p++
			percent = retry{p, n}
			continue
		case p < len(pattern) && n < len(name) && pattern[p] == name[n]:
			p++
			n++
			continue
		}
		within := percent.p >= 0 && percent.n < len(name)
		if within && delimiter != "" {
			within = !strings.HasPrefix(name[percent.n:], delimiter)
		}
		switch {
		case within:
			percent.n++
			p, n = percent.p, percent.n
		case star.p >= 0 && star.n < len(name):
			star.n++
			percent = retry{p: -1}
			p, n = star.p, star.n
		default:
			return false
		}
	}
	return true
}

// Choose returns the names of the folders to fetch from: the inbox, then what each item chooses, by name. A name is
// returned whether or not the folder exists, since opening it says why it cannot be had. A pattern chooses no folder that
// shows what others hold. missing says which items choose nothing.
func (s Selection) Choose(have *Folders) (names []string, missing []error) {
	for _, item := range s {
		if strings.HasPrefix(item, "!") {
			continue
		}
		if (Selection{item}).Fixed() {
			names = append(names, item)
			continue
		}
		chosen, why := s.matches(item, have)
		slices.Sort(chosen)
		names = append(names, chosen...)
		if why != nil {
			missing = append(missing, why)
		}
	}
	seen := map[string]bool{}
	names = slices.DeleteFunc(names, func(name string) bool {
		if strings.EqualFold(name, "INBOX") {
			name = "INBOX"
		}
		again := seen[name]
		seen[name] = true
		return again
	})
	inboxFirst := func(a, b string) int {
		switch first, second := strings.EqualFold(a, "INBOX"), strings.EqualFold(b, "INBOX"); {
		case first == second:
			return 0
		case first:
			return -1
		}
		return 1
	}
	slices.SortStableFunc(names, inboxFirst)
	return names, missing
}

// matches returns the folders that a pattern or a special use stands for, or why there are none.
func (s Selection) matches(item string, have *Folders) (names []string, why error) {
	if have.Labels && isPattern(item) {
		return nil, &Error{Kind: Unsupported, Op: "LIST", Err: fmt.Errorf("folders are labels here: what %s stands for may hold one message several times", Sanitize(item)),
			Advice: `name the folders, or all mail and junk by folders: ['\All', '\Junk']`}
	}
	found := false
	for i := range have.List {
		f := &have.List[i]
		holdsMail := !f.has(`\Noselect`) && !f.has(`\NonExistent`)
		if !holdsMail || !f.fits(item) {
			continue
		}
		found = true
		// Some show messages that are in others, too (RFC 6154 section 2, RFC 8457).
		repeats := f.has(`\All`) || f.has(`\Flagged`) || f.has(`\Important`)
		byItsName := IsSpecialUse(item) || !repeats
		if byItsName && !s.excludes(f) {
			names = append(names, f.Name)
		}
	}
	switch {
	case found:
		return names, nil
	case IsSpecialUse(item):
		return nil, &Error{Kind: NoFolder, Op: "LIST", Err: fmt.Errorf("the server names no folder %s", Sanitize(item)), Advice: "give the folder's name"}
	}
	return nil, &Error{Kind: NoFolder, Op: "LIST", Err: fmt.Errorf("no folder fits %s", Sanitize(item)), Advice: "correct the pattern, or remove it"}
}

// ChooseFrom asks the server for its folders where that is needed, and returns those that are chosen, as [Selection.Choose] does. have is nil where nobody
// needed to ask.
func (s Selection) ChooseFrom(ctx context.Context, m Mailbox) (names []string, missing []error, have *Folders, err error) {
	if s.Fixed() {
		return s, nil, nil, nil
	}
	lister, ok := m.(Lister)
	if !ok {
		return nil, nil, nil, &Error{Kind: Unsupported, Op: "LIST", Err: errors.New("the protocol has no folders")}
	}
	if have, err = lister.Folders(ctx); err != nil {
		return nil, nil, nil, err
	}
	names, missing = s.Choose(have)
	return names, missing, have, nil
}
