package importer

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// maxDepth bounds how deep maildirs are looked for below each other.
const maxDepth = 8

// isPlusPlus reports whether a maildir store has all its maildirs side by side below the inbox, with dots in their names.
func isPlusPlus(s *mbsyncSection) bool {
	return strings.EqualFold(s.keys["subfolders"].text(), "Maildir++")
}

// isLegacy reports whether a maildir store has a dot in front of what is below a maildir.
func isLegacy(s *mbsyncSection) bool { return strings.EqualFold(s.keys["subfolders"].text(), "Legacy") }

// inboxOf is the directory of a store's inbox.
func (m *mbsync) inboxOf(s *mbsyncSection) string {
	return m.expand(cmp.Or(s.keys["inbox"].text(), "~/Maildir"))
}

// besideMaildir finds state files in the maildirs themselves.
func (m *mbsync) besideMaildir(c *mbsyncChannel) (boxes []mbsyncBox, looked []string) {
	if !c.isFar { // mbsync has them at the near side only, and refuses it where that is the server
		return nil, []string{stateName}
	}
	store := c.near.store
	if _, several := c.keys["patterns"]; !several {
		file := filepath.Join(m.maildirOf(store, cmp.Or(c.near.mailbox, "INBOX")), stateName)
		return []mbsyncBox{{c.far.mailbox, file}}, []string{file}
	}
	for _, found := range m.maildirs(store) {
		if mailbox, ok := c.across(unflatten(store, found.mailbox)); ok {
			boxes = append(boxes, mbsyncBox{mailbox, found.file})
		}
	}
	inbox, path := m.inboxOf(store), store.keys["path"].text()
	looked = []string{filepath.Join(inbox, stateName)}
	switch {
	case isPlusPlus(store):
		looked = append(looked, filepath.Join(inbox, ".*", stateName))
	case path != "":
		looked = append(looked, filepath.Join(m.expand(path), "*", stateName))
	}
	return boxes, looked
}

// maildirOf is the directory of a mailbox.
func (m *mbsync) maildirOf(s *mbsyncSection, mailbox string) string {
	inbox := m.inboxOf(s)
	if isInbox(mailbox) {
		return inbox
	}
	mailbox = flatten(s, mailbox)
	name, below := strings.CutPrefix(mailbox, "INBOX/")
	switch {
	case isPlusPlus(s) && below:
		return filepath.Join(inbox, ".."+strings.ReplaceAll(name, "/", "."))
	case isPlusPlus(s):
		return filepath.Join(inbox, "."+strings.ReplaceAll(name, "/", "."))
	case isLegacy(s) && below:
		return filepath.Join(inbox, "."+strings.ReplaceAll(name, "/", "/."))
	case isLegacy(s):
		name = strings.ReplaceAll(name, "/", "/.")
	case below:
		return filepath.Join(inbox, name)
	}
	return m.expand(s.keys["path"].text() + name)
}

// maildirs finds the mailboxes of a store that have a state file, by their names in the store.
func (m *mbsync) maildirs(s *mbsyncSection) (found []mbsyncBox) {
	inbox, root := m.inboxOf(s), ""
	if path := s.keys["path"].text(); path != "" && !isPlusPlus(s) {
		root = m.expand(path)
	}
	var walk func(dir, mailbox string, depth int)
	walk = func(dir, mailbox string, depth int) {
		names, err := m.options.ReadDir(dir)
		if err != nil || depth > maxDepth {
			return // mostly it is no directory
		}
		if mailbox != "" && slices.Contains(names, stateName) {
			found = append(found, mbsyncBox{mailbox, filepath.Join(dir, stateName)})
		}
		for _, name := range names {
			next, ok := belowMaildir(s, mailbox, name)
			path := filepath.Join(dir, name)
			itself := path == filepath.Clean(inbox) || path == filepath.Clean(root) // each is gone through on its own
			if ok && !itself {
				walk(path, next, depth+1)
			}
		}
	}
	walk(inbox, "INBOX", 0)
	if root != "" {
		walk(root, "", 0)
	}
	return found
}

// belowMaildir returns which mailbox of a store a directory is that stands below that of another, or below Path where that is "".
func belowMaildir(s *mbsyncSection, mailbox, dir string) (name string, ok bool) {
	bare, dotted := strings.CutPrefix(dir, ".")
	switch {
	case slices.Contains([]string{"cur", "new", "tmp", stateName}, dir):
		return "", false
	case isPlusPlus(s):
		sub, ofInbox := strings.CutPrefix(bare, ".")
		name = strings.ReplaceAll(sub, ".", "/")
		if ofInbox {
			name = "INBOX/" + name
		}
		return name, dotted && mailbox == "INBOX"
	case mailbox == "":
		hidden := isLegacy(s) && dotted
		return dir, dir != "INBOX" && !hidden // the inbox is elsewhere
	case isLegacy(s):
		return mailbox + "/" + bare, dotted
	}
	return mailbox + "/" + dir, true
}
