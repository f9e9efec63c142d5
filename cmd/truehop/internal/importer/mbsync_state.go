package importer

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// stateName is the name of a state file in a maildir.
const stateName = ".mbsyncstate"

// mbsyncBox is a mailbox whose state mbsync has kept: what mbsync calls it at the server, and the file.
type mbsyncBox struct{ mailbox, file string }

// seen loads what mbsync has fetched already, from its state files.
func (m *mbsync) seen(a *Account, c *mbsyncChannel) error {
	boxes, looked := m.boxes(c)
	patterns, chooses := c.keys["patterns"]
	a.parts = chooses || len(m.channels) > 1
	if !m.namesRecord(a) {
		a.cure = "put it there or correct SyncState in the file"
	}
	if named := m.options.record(); named != "" {
		switch {
		case chooses:
			return wrong(m.file, patterns.place, "--seen FILE is the record of one folder, and Patterns may choose several; leave it out, and let SyncState say where the records are")
		case a.parts:
			return wrong(m.file, m.channels[1].place, "--seen FILE is the record of one folder, and this is a second channel; leave it out, and let SyncState say where the records are")
		}
		boxes, looked = []mbsyncBox{{c.remote().mailbox, named}}, []string{named}
	}
	a.StateFiles = looked
	unclear := false
	for _, box := range boxes {
		known, err := m.load(a, c, box)
		if err != nil {
			return err
		}
		if known == nil {
			continue
		}
		unclear = unclear || unclearName(box.mailbox, c.remote().store)
		if len(a.Known) == 0 {
			a.StateFiles = nil
		}
		a.Known, a.StateFiles = append(a.Known, *known), append(a.StateFiles, box.file)
	}
	if unclear {
		m.note(c.place, a.Name, "what was fetched of folders other than INBOX is recorded by the names that mbsync has for them; if truehop check shows them with a prefix (INBOX.) or another separator than the slash, set Path and PathDelimiter in this file and import again")
	}
	a.Missing = len(a.Known) == 0
	return nil
}

// load reads the state file of a mailbox, nil where there is none, or where it cannot be used and a person says that there is none.
func (m *mbsync) load(a *Account, c *mbsyncChannel, box mbsyncBox) (*Known, error) {
	none := m.options.Seen == NoState
	data, err := m.options.ReadFile(box.file)
	excused := none || errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && excused:
		return nil, nil
	case err != nil:
		return nil, m.unreadable(a, box.file, err)
	}
	known, err := mbsyncState(box.file, data, c.isFar)
	switch {
	case err != nil && none:
		m.note(c.place, a.Name, "%s is passed over, for you said --seen %s; truehop adopt %s, before the first pass, leaves alone what is in the folders by then", box.file, NoState, a.Name)
		return nil, nil
	case err != nil:
		return nil, err
	}
	known.Folder = m.serverName(box.mailbox, c.remote().store)
	return &known, nil
}

// unclearName reports whether only the server knows what it calls a mailbox: its separator, or what it has in front of all names.
func unclearName(mailbox string, s *mbsyncSection) bool {
	if mailbox == "" || isInbox(mailbox) {
		return false
	}
	_, path := s.keys["path"]
	_, delimiter := s.keys["pathdelimiter"]
	namespace, told := s.keys["usenamespace"]
	prefixed := !path && !inInbox(mailbox)
	if told {
		prefixed = prefixed && isYes(namespace)
	}
	separated := !delimiter && strings.Contains(flatten(s, mailbox), "/")
	return prefixed || separated
}

// boxes returns the mailboxes of a channel for which there may be state, and where that was looked for.
func (m *mbsync) boxes(c *mbsyncChannel) (boxes []mbsyncBox, looked []string) {
	state, own := c.keys["syncstate"]
	if !own {
		state = m.globals["syncstate"]
	}
	if state.text() == "*" {
		return m.besideMaildir(c)
	}
	// One file for each mailbox, in a directory for all, or behind a prefix of the channel's.
	prefixes := []string{filepath.Join(m.options.Home, ".mbsync") + "/", filepath.Join(m.options.Home, ".local/state/isync") + "/"}
	if state.text() != "" {
		prefixes = []string{m.expand(state.text())}
		if strings.HasSuffix(state.text(), "/") {
			prefixes[0] += "/"
		}
	}
	for _, prefix := range prefixes {
		if _, several := c.keys["patterns"]; !several {
			file := prefix + m.stateOf(c, own)
			looked, boxes = append(looked, file), append(boxes, mbsyncBox{c.remote().mailbox, file})
			continue
		}
		dir, begin := filepath.Split(prefix)
		looked = append(looked, dir)
		names, err := m.options.ReadDir(dir)
		if err != nil {
			continue // it is not there
		}
		for _, name := range names {
			rest, ours := strings.CutPrefix(name, begin)
			beside := strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".journal") || strings.HasSuffix(name, ".new")
			mailbox, found := m.mailboxOf(c, own, rest)
			if ours && found && !beside {
				boxes = append(boxes, mbsyncBox{mailbox, filepath.Join(dir, name)})
			}
		}
	}
	return boxes, looked
}

// delimiter stands between the fields in the name of a state file.
func (m *mbsync) delimiter() string { return cmp.Or(m.globals["fielddelimiter"].text(), ":") }

// stateOf is the name of the state file of a channel without patterns. own says that the channel has files of its own.
func (m *mbsync) stateOf(c *mbsyncChannel, own bool) string {
	d := m.delimiter()
	flat := func(s mbsyncSide) string {
		return strings.ReplaceAll(flatten(s.store, cmp.Or(s.mailbox, "INBOX")), "/", "!")
	}
	if own {
		return flat(c.near)
	}
	return d + c.far.store.name + d + flat(c.far) + "_" + d + c.near.store.name + d + flat(c.near)
}

// mailboxOf reads from the name of a state file what mbsync calls the mailbox at the server.
func (m *mbsync) mailboxOf(c *mbsyncChannel, own bool, name string) (mailbox string, ok bool) {
	levels := func(s mbsyncSide, name string) string {
		if _, flat := s.store.keys["flatten"]; flat {
			return unflatten(s.store, name)
		}
		return strings.ReplaceAll(name, "!", "/")
	}
	if own {
		return c.across(levels(c.near, name))
	}
	d := m.delimiter()
	name, ours := strings.CutPrefix(name, d+c.far.store.name+d)
	far, near, both := strings.Cut(name, "_"+d+c.near.store.name+d)
	if !ours || !both {
		return "", false
	}
	if c.isFar {
		return levels(c.far, far), true
	}
	return levels(c.near, near), true
}

// across returns what mbsync calls a mailbox of the near side at the server.
func (c *mbsyncChannel) across(near string) (mailbox string, ok bool) {
	if !c.isFar {
		return near, true
	}
	if mapped := c.near.store.keys["mapinbox"].text(); mapped != "" && isInbox(near) {
		near = mapped
	}
	name, ours := strings.CutPrefix(near, c.near.mailbox)
	return c.far.mailbox + name, ours && name != ""
}

// maxExpired bounds the UIDs that are taken for fetched without a line.
const maxExpired = 1_000_000

// mbsyncState reads a state file: lines of a keyword and a number, an empty line, then for each message the UID at the far side, that
// at the near side, and flags.
func mbsyncState(file string, data []byte, isFar bool) (Known, error) {
	var k Known
	validity, column := "FarUidValidity", 0
	older, highest := "MasterUidValidity", "MaxPulledUid"
	if !isFar {
		validity, older, highest, column = "NearUidValidity", "SlaveUidValidity", "MaxPushedUid", 1
	}
	// With MaxMessages the lines of older messages go, and what has a UID up to the highest is taken for fetched.
	var fetched, expired uint64
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		words := strings.Fields(line)
		switch {
		case len(words) == 2 && slices.Contains([]string{validity, older}, words[0]):
			n, err := strconv.ParseUint(words[1], 10, 32)
			if err != nil {
				return k, wrong(file, place{number, 1}, "%s is no UIDVALIDITY", show(words[1]))
			}
			k.Validity = uint32(n)
		case len(words) == 2 && words[0] == highest:
			fetched, _ = strconv.ParseUint(words[1], 10, 32)
		case len(words) == 2 && strings.HasPrefix(words[0], "MaxExpired"):
			expired, _ = strconv.ParseUint(words[1], 10, 32)
		case len(words) < 2 || strings.Trim(words[0], "0123456789") != "": // a header, or the empty line behind it
		default:
			uid, err := strconv.ParseUint(words[column], 10, 32)
			if err != nil {
				return k, wrong(file, place{number, 1}, "%s is no UID", show(words[column]))
			}
			if uid > 0 {
				k.UIDs = append(k.UIDs, strconv.FormatUint(uid, 10))
			}
		}
	}
	if k.Validity == 0 {
		return k, wrong(file, place{1, 1}, "this is no state file of mbsync: it names no UIDVALIDITY")
	}
	if expired == 0 {
		return k, nil
	}
	if fetched > maxExpired {
		return k, wrong(file, place{1, 1}, "MaxMessages has removed the record of so many messages that they are not listed one by one; say --seen %s, and truehop adopt before the first pass", NoState)
	}
	listed := make(map[string]bool, len(k.UIDs))
	for _, uid := range k.UIDs {
		listed[uid] = true
	}
	for n := uint64(1); n <= fetched; n++ {
		if uid := strconv.FormatUint(n, 10); !listed[uid] {
			k.UIDs = append(k.UIDs, uid)
		}
	}
	return k, nil
}
