package importer

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// arity is what stands behind an option of fetchmail.
type arity uint8

const (
	flag        arity = iota // nothing; no in front turns it off
	one                      // a text or a number
	list                     // one text or several
	numbers                  // one number or several
	envelopeArg              // a number, which may be left out, and a text
)

// fetchmailOption is an option by its keyword.
type fetchmailOption struct {
	name  string // the full keyword
	arity arity
	user  bool // it belongs to a user, not to the server
}

// fetchmailKeyword returns the option that a keyword or its short form names.
func fetchmailKeyword(word string) (fetchmailOption, bool) {
	word = longForm(word)
	in := func(words string) bool { return slices.Contains(strings.Fields(words), word) }
	switch {
	case in("uidl dns checkalias tracepolls"):
		return fetchmailOption{word, flag, false}, true
	case in("via protocol service port interval auth timeout idletimeout qvirtual interface monitor plugin plugout principal esmtpname esmtppassword bad-header"):
		return fetchmailOption{word, one, false}, true
	case in("aka localdomains"):
		return fetchmailOption{word, list, false}, true
	case word == "envelope":
		return fetchmailOption{word, envelopeArg, false}, true
	case in("keep flush limitflush fetchall rewrite forcecr stripcr pass8bits dropstatus dropdelivered mimedecode idle forceidle ssl sslcertck lmtp"):
		return fetchmailOption{word, flag, true}, true
	case in("password smtpaddress smtpname mda bsmtp preconnect postconnect sslkey sslcert sslproto sslcertfile sslcertpath sslcommonname sslfingerprint limit warnings fetchlimit fetchsizelimit fastuidl batchlimit expunge moveto properties"):
		return fetchmailOption{word, one, true}, true
	case in("folder smtphost fetchdomains"):
		return fetchmailOption{word, list, true}, true
	case word == "antispam":
		return fetchmailOption{word, numbers, true}, true
	}
	return fetchmailOption{}, false
}

// longForm returns the full keyword for its short forms.
func longForm(word string) string {
	switch word {
	case "proto":
		return "protocol"
	case "local":
		return "localdomains"
	case "authenticate", "preauth", "preauthenticate":
		return "auth"
	case "pass":
		return "password"
	case "folders":
		return "folder"
	case "smtp":
		return "smtphost"
	case "pre":
		return "preconnect"
	case "post":
		return "postconnect"
	case "mimedec":
		return "mimedecode"
	case "pass8", "pass8bit":
		return "pass8bits"
	case "username":
		return "user"
	case "server":
		return "poll"
	}
	return word
}

// isFetchmailKeyword reports whether an unquoted word is one, so that a list ends before it.
func isFetchmailKeyword(t token) bool {
	if t.quoted {
		return false
	}
	word := longForm(t.text)
	if slices.Contains(strings.Fields("set defaults poll skip user is to here there and with has wants options no"), word) {
		return true
	}
	if bare, negated := strings.CutPrefix(t.text, "no"); negated {
		o, ok := fetchmailKeyword(bare)
		return ok && negatesInOneWord(o)
	}
	_, ok := fetchmailKeyword(word)
	return ok
}

// negatesInOneWord reports whether an option has a form such as nokeep. fetchmail has none for ssl and sslcertck.
func negatesInOneWord(o fetchmailOption) bool {
	if o.arity == flag {
		return !strings.HasPrefix(o.name, "ssl")
	}
	return o.name == "envelope"
}

// given is an option as it stands in the file.
type given struct {
	place
	off    bool // behind no
	values []string
	skip   int // the number behind envelope
}

// text returns the value, or the first.
func (g given) text() string {
	if len(g.values) == 0 {
		return ""
	}
	return g.values[0]
}

// mapping is one local name, or a name at the upstream and the local one for it.
type mapping struct{ remote, local string }

// fetchmailUser is a user block.
type fetchmailUser struct {
	place
	remote   string
	locals   []mapping
	wildcard bool
	options  map[string]given
}

// fetchmailEntry is what one poll, skip or defaults says.
type fetchmailEntry struct {
	place
	name     string
	skip     bool
	defaults bool
	options  map[string]given
	users    []*fetchmailUser
}

// fetchmailFile is a fetchmailrc.
type fetchmailFile struct {
	globals map[string]given
	entries []*fetchmailEntry
}

// fetchmailParser reads tokens from left to right.
type fetchmailParser struct {
	file   string
	tokens []token
	end    place
	out    fetchmailFile
}

// parseFetchmail reads a fetchmailrc.
func parseFetchmail(file string, text []byte) (*fetchmailFile, error) {
	tokens, err := fetchmailTokens(file, text)
	if err != nil {
		return nil, err
	}
	p := &fetchmailParser{file: file, tokens: tokens, end: place{1, 1}.after(string(text)), out: fetchmailFile{globals: map[string]given{}}}
	for len(p.tokens) > 0 {
		switch t := p.next(); {
		case t.is("set"):
			err = p.global(t)
		case t.is("poll", "server", "skip"):
			err = p.entry(&fetchmailEntry{place: t.place, skip: t.is("skip"), options: map[string]given{}})
		case t.is("defaults"):
			err = p.entry(&fetchmailEntry{place: t.place, defaults: true, options: map[string]given{}})
		case t.is("and", "with", "has", "wants", "options"):
		default:
			err = wrong(file, t.place, "want set, defaults, poll or skip, found %s", show(t.text))
		}
		if err != nil {
			return nil, err
		}
	}
	return &p.out, nil
}

func (p *fetchmailParser) next() token {
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

// peek returns the next token, one without text at the end.
func (p *fetchmailParser) peek() token {
	if len(p.tokens) == 0 {
		return token{place: p.end, equals: true}
	}
	return p.tokens[0]
}

// value reads the text behind a keyword, whatever it looks like.
func (p *fetchmailParser) value(keyword token) (string, error) {
	if t := p.peek(); len(p.tokens) == 0 || t.equals {
		return "", wrong(p.file, t.place, "a value is missing behind %s", show(keyword.text))
	}
	return p.next().text, nil
}

// global reads what stands behind set.
func (p *fetchmailParser) global(at token) error {
	keyword := p.peek()
	name, err := p.value(at)
	if err != nil {
		return err
	}
	g := given{place: keyword.place}
	if name == "no" {
		g.off = true
		if name, err = p.value(keyword); err != nil {
			return err
		}
	}
	if bare := strings.TrimPrefix(name, "no"); name == "nobouncemail" || name == "nospambounce" {
		g.off, name = true, bare
	}
	switch name {
	case "bouncemail", "spambounce", "softbounce", "syslog", "invisible", "showdots":
	case "logfile", "idfile", "pidfile", "postmaster", "properties", "daemon":
		if len(p.tokens) > 0 && p.peek().equals {
			p.next()
		}
		value, err := p.value(keyword)
		if err != nil {
			return err
		}
		_, err = strconv.Atoi(value)
		notNumber := name == "daemon" && err != nil
		if g.off || notNumber {
			return wrong(p.file, keyword.place, "%s wants a value, daemon a number, and neither takes a no", show(name))
		}
		g.values = []string{value}
	default:
		return wrong(p.file, keyword.place, "unknown global option %s", show(keyword.text))
	}
	p.out.globals[name] = g
	return nil
}

// entry reads a server with its users. Options of the server come first.
func (p *fetchmailParser) entry(e *fetchmailEntry) error {
	if !e.defaults {
		if t := p.peek(); len(p.tokens) == 0 || t.equals {
			return wrong(p.file, t.place, "the name of a server is missing")
		}
		e.name = p.next().text
	}
	var user *fetchmailUser
	named := false
	open := func(at place) { // a user whom no keyword begins
		if user == nil {
			user = &fetchmailUser{place: at, options: map[string]given{}}
			e.users = append(e.users, user)
		}
	}
	for len(p.tokens) > 0 && !p.peek().is("set", "poll", "server", "skip", "defaults") {
		t := p.next()
		switch {
		case t.is("and", "with", "has", "wants", "options"):
			continue
		case t.is("user", "username"):
			if user != nil && !named {
				return wrong(p.file, t.place, "options of a user stand before %s and its name", show(t.text))
			}
			user, named = nil, true
			open(t.place)
			if err := p.userName(t, user); err != nil {
				return err
			}
			continue
		case t.is("is", "to"):
			open(t.place)
			if err := p.names(t, user); err != nil {
				return err
			}
			continue
		}
		o, g, err := p.option(t)
		switch {
		case err != nil:
			return err
		case o.user:
			open(t.place)
			user.options[o.name] = g
		case user != nil:
			return wrong(p.file, t.place, "%s is an option of the server and must stand before those of its users", show(t.text))
		default:
			e.options[o.name] = g
		}
	}
	p.out.entries = append(p.out.entries, e)
	return nil
}

// option reads an option, with no in front of it or without.
func (p *fetchmailParser) option(t token) (fetchmailOption, given, error) {
	g := given{place: t.place}
	word := t
	if t.is("no") {
		if len(p.tokens) == 0 {
			return fetchmailOption{}, g, wrong(p.file, p.end, "an option is missing behind no")
		}
		g.off, word = true, p.next()
	}
	o, ok := fetchmailKeyword(word.text)
	if bare, negated := strings.CutPrefix(word.text, "no"); !ok && negated && !g.off {
		if o, ok = fetchmailKeyword(bare); ok && negatesInOneWord(o) {
			g.off = true
		} else {
			ok = false
		}
	}
	switch {
	case !ok || word.quoted || word.equals:
		return o, g, wrong(p.file, word.place, "unknown option %s", show(word.text))
	case g.off && o.arity != flag && o.name != "envelope":
		return o, g, wrong(p.file, word.place, "%s takes no no", show(word.text))
	case g.off || o.arity == flag:
		return o, g, nil
	}
	switch o.arity {
	case numbers:
		for {
			if _, isNumber := p.peek().number(); !isNumber {
				break
			}
			g.values = append(g.values, p.next().text)
		}
		if len(g.values) == 0 {
			return o, g, wrong(p.file, p.peek().place, "a number is missing behind %s", show(word.text))
		}
		return o, g, nil
	case envelopeArg:
		if n, isNumber := p.peek().number(); isNumber && len(p.tokens) > 1 {
			if next := p.tokens[1]; !next.equals && !isFetchmailKeyword(next) {
				g.skip = n
				p.next()
			}
		}
	}
	value, err := p.value(word)
	if err != nil {
		return o, g, err
	}
	g.values = []string{value}
	for o.arity == list && len(p.tokens) > 0 && !p.peek().equals && !isFetchmailKeyword(p.peek()) {
		g.values = append(g.values, p.next().text)
	}
	numeric := slices.Contains(strings.Fields("port interval timeout idletimeout limit warnings fetchlimit fetchsizelimit fastuidl batchlimit expunge"), o.name)
	if _, isNumber := (token{text: value}).number(); numeric && !isNumber {
		return o, g, wrong(p.file, word.place, "%s wants a number, found %s", show(word.text), show(value))
	}
	return o, g, nil
}

// userName reads "user REMOTE [there]" or "user LOCAL... here".
func (p *fetchmailParser) userName(keyword token, u *fetchmailUser) error {
	behind := p.tokens
	names, wildcard, err := p.mappings(keyword)
	switch {
	case err != nil:
		return err
	case len(p.tokens) > 0 && p.peek().is("here"):
		p.next()
		u.locals, u.wildcard = append(u.locals, names...), u.wildcard || wildcard
		return nil
	case len(names) == 1 && !wildcard && names[0].remote == names[0].local:
	case len(behind) > 1:
		return wrong(p.file, behind[1].place, "want an option behind the name of a user, found %s", show(behind[1].text))
	default:
		return wrong(p.file, keyword.place, "want one name behind %s", show(keyword.text))
	}
	if len(p.tokens) > 0 && p.peek().is("there") {
		p.next()
	}
	u.remote = names[0].remote
	return nil
}

// names reads "is LOCAL... [here]", "to LOCAL... [here]" or "is REMOTE there".
func (p *fetchmailParser) names(keyword token, u *fetchmailUser) error {
	names, wildcard, err := p.mappings(keyword)
	switch {
	case err != nil:
		return err
	case len(p.tokens) > 0 && p.peek().is("there"):
		p.next()
		if len(names) != 1 || wildcard {
			return wrong(p.file, keyword.place, "want one name between %s and there", show(keyword.text))
		}
		u.remote = names[0].remote
		return nil
	case len(p.tokens) > 0 && p.peek().is("here"):
		p.next()
	}
	u.locals, u.wildcard = append(u.locals, names...), u.wildcard || wildcard
	return nil
}

// mappings reads names, pairs of names and stars.
func (p *fetchmailParser) mappings(keyword token) (names []mapping, wildcard bool, err error) {
	for first := true; len(p.tokens) > 0; first = false {
		t := p.peek()
		if !first && isFetchmailKeyword(t) {
			break
		}
		if t.equals {
			return nil, false, wrong(p.file, t.place, "a name is missing before =")
		}
		p.next()
		if t.text == "*" && !t.quoted {
			wildcard = true
			continue
		}
		m := mapping{t.text, t.text}
		if len(p.tokens) > 0 && p.peek().equals {
			p.next()
			if m.local, err = p.value(keyword); err != nil {
				return nil, false, err
			}
		}
		names = append(names, m)
	}
	if len(names) == 0 && !wildcard {
		return nil, false, wrong(p.file, p.peek().place, "a name is missing behind %s", show(keyword.text))
	}
	return names, wildcard, nil
}

// withDefaults lays what a file says under what an entry says. A defaults entry holds for those behind it.
func (f *fetchmailFile) withDefaults() []*fetchmailEntry {
	var full []*fetchmailEntry
	base := &fetchmailEntry{}
	for _, e := range f.entries {
		if e.defaults {
			base = e
			continue
		}
		merged := *e
		merged.options = over(base.options, e.options)
		merged.users = nil
		users := e.users
		if len(users) == 0 {
			users = []*fetchmailUser{{place: e.place}}
		}
		for _, u := range users {
			one := *u
			if len(base.users) > 0 {
				d := base.users[0]
				one.options = over(d.options, u.options)
				if one.remote == "" {
					one.remote = d.remote
				}
				if len(u.locals) == 0 && !u.wildcard {
					one.locals, one.wildcard = d.locals, d.wildcard
				}
			}
			merged.users = append(merged.users, &one)
		}
		full = append(full, &merged)
	}
	return full
}

func over(base, own map[string]given) map[string]given {
	all := maps.Clone(base)
	if all == nil {
		all = map[string]given{}
	}
	maps.Copy(all, own)
	return all
}
