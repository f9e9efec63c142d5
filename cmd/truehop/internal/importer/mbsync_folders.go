package importer

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// isInbox reports whether a mailbox is the inbox, which every store has, wherever its Path is.
func isInbox(mailbox string) bool { return strings.EqualFold(mailbox, "INBOX") }

// inInbox reports whether a mailbox or a pattern is of the inbox or below it, where Path does not count.
func inInbox(mailbox string) bool {
	rest, ok := strings.CutPrefix(mailbox, "INBOX")
	return ok && strings.Trim(rest[:min(1, len(rest))], "/*%") == ""
}

// isYes reports whether an argument is a truth value that says yes.
func isYes(v mbsyncValue) bool {
	return slices.Contains([]string{"yes", "true", "on", "1"}, strings.ToLower(v.text()))
}

// serverName is what the server calls a mailbox of its store, or a pattern, in UTF-8. mbsync has a slash between levels, whatever
// the server has, and Path in front of it is as the server has it.
func (m *mbsync) serverName(mailbox string, s *mbsyncSection) string {
	if mailbox == "" || isInbox(mailbox) || mailbox == s.keys["mapinbox"].text() {
		return "INBOX"
	}
	mailbox = flatten(s, mailbox)
	prefix := s.keys["path"].text()
	if inInbox(mailbox) {
		prefix = ""
	}
	if d := s.keys["pathdelimiter"].text(); d != "" {
		mailbox = strings.ReplaceAll(mailbox, "/", d)
	}
	account := m.find("imapaccount", s.keys["account"].text())
	for _, of := range []*mbsyncSection{s, account} {
		if of != nil && isYes(of.keys["useutf8mailboxes"]) {
			return prefix + mailbox
		}
	}
	return folderName(prefix + mailbox)
}

// flatten gives a mailbox the name that it has where a store has no levels.
func flatten(s *mbsyncSection, mailbox string) string {
	if flat := s.keys["flatten"].text(); flat != "" {
		return strings.ReplaceAll(mailbox, "/", flat)
	}
	return mailbox
}

// unflatten gives such a name its levels back.
func unflatten(s *mbsyncSection, name string) string {
	if flat := s.keys["flatten"].text(); flat != "" {
		return strings.ReplaceAll(name, flat, "/")
	}
	return name
}

// folders says what is fetched from.
func (m *mbsync) folders(a *Account, c *mbsyncChannel) {
	remote := c.remote()
	patterns, ok := c.keys["patterns"]
	if !ok {
		a.set("folders", []string{m.serverName(remote.mailbox, remote.store)})
		return
	}
	inbox := remote.mailbox == "" && m.listsInbox(c, patterns.words) && takesInbox(patterns.words)
	var items []string
	wild := false
	for _, pattern := range m.counting(a, patterns, inbox) {
		name, out := strings.CutPrefix(pattern, "!")
		item := m.serverName(remote.mailbox+name, remote.store)
		if out {
			item = "!" + item
		} else {
			wild = wild || strings.ContainsAny(item, "*%")
		}
		other := strings.TrimPrefix(item, "!") == "INBOX" && !inbox // it comes below
		if !other && !slices.Contains(items, item) {
			items = append(items, item)
		}
	}
	if !wild { // then there is nothing to take out of
		items = slices.DeleteFunc(items, func(i string) bool { return strings.HasPrefix(i, "!") })
	}
	switch reached := fetch.Selection(items).Takes("INBOX"); {
	case inbox && !reached && !slices.Contains(items, "INBOX"):
		items = slices.Insert(items, 0, "INBOX")
	case reached && !inbox:
		items = append(items, "!INBOX")
	}
	a.set("folders", items)
	if slices.ContainsFunc(items, func(i string) bool { return strings.TrimLeft(i, "!*%") != "" && strings.TrimLeft(i, "!") != "INBOX" }) {
		m.note(patterns.place, a.Name, "Patterns: truehop wants names as the server has them, with its separator in place of the slash, and with the prefix that mbsync leaves out (INBOX.Lists.go); truehop check shows the folders")
	}
}

// listsInbox reports whether the inbox is among the mailboxes that patterns choose from: where one of them names it, or where it is
// below the Path of a store, as it is below an empty one and one that is the inbox itself.
func (m *mbsync) listsInbox(c *mbsyncChannel, patterns []string) bool {
	server := c.remote().store.keys
	path := strings.ToUpper(server["path"].text())
	behind, within := strings.CutPrefix(path, "INBOX")
	within = within && strings.Trim(behind[:min(1, len(behind))], "./"+server["pathdelimiter"].text()) == ""
	switch {
	case path == "", within, slices.ContainsFunc(patterns, inInbox):
		return true
	}
	return c.local().mailbox == "" && m.inboxBelowPath(c.local().store)
}

// inboxBelowPath reports whether a maildir store has its inbox below its Path. With Maildir++ all is below the inbox.
func (m *mbsync) inboxBelowPath(s *mbsyncSection) bool {
	path := s.keys["path"].text()
	if isPlusPlus(s) || path == "" {
		return isPlusPlus(s)
	}
	rel, err := filepath.Rel(m.expand(path), m.inboxOf(s))
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, "../")
}

// takesInbox reports whether patterns choose the inbox, where it is among the mailboxes.
func takesInbox(patterns []string) bool {
	takes := false
	for _, p := range patterns {
		if name, out := strings.CutPrefix(p, "!"); fetch.Like(strings.ToUpper(name), "INBOX", "/") {
			takes = !out
		}
	}
	return takes
}

// counting returns the patterns that have an effect. For mbsync the last that fits decides; for truehop what is taken out is out, and
// what is named is in. inbox says whether the inbox is chosen.
func (m *mbsync) counting(a *Account, patterns mbsyncValue, inbox bool) (counting []string) {
	for i, pattern := range patterns.words {
		behind := patterns.words[i+1:]
		name, out := strings.CutPrefix(pattern, "!")
		all, some := decided(pattern, behind)
		told := out && !slices.Contains(behind, pattern)
		if isInbox(name) {
			told = told && inbox
		}
		switch {
		case all != "" && told:
			m.note(patterns.place, a.Name, "Patterns: mbsync passes over %s, for %s stands behind it; it was left out, put it into folders if it is not to be fetched from", show(pattern), show(all))
		case all == "" && some != "":
			m.note(patterns.place, a.Name, "Patterns: mbsync takes what fits %s out of %s, which stands before it; truehop does not: name the folders that are to be fetched from all the same", show(some), show(pattern))
		}
		if all == "" {
			counting = append(counting, pattern)
		}
	}
	return counting
}

// decided returns which of the patterns behind one says otherwise about all that it fits, and which may about a part of it.
func decided(pattern string, behind []string) (all, some string) {
	name, out := strings.CutPrefix(pattern, "!")
	head, wild := headOf(name)
	for _, later := range behind {
		other, takesOut := strings.CutPrefix(later, "!")
		otherHead, otherWild := headOf(other)
		meet := strings.HasPrefix(head, otherHead) || strings.HasPrefix(otherHead, head)
		switch {
		case takesOut == out:
		case other == name, other == "*", !wild && fetch.Like(other, name, "/"):
			all = later
		case out && wild && otherWild && meet:
			some = later
		}
	}
	return all, some
}

// headOf is what stands before the first wildcard of a pattern, if there is one.
func headOf(pattern string) (head string, wild bool) {
	i := strings.IndexAny(pattern, "*%")
	if i < 0 {
		return pattern, false
	}
	return pattern[:i], true
}
