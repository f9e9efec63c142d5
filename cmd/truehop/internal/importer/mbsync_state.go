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

// mbsyncBox is a mailbox whose state mbsync has kept: its name at the server, and the file.
type mbsyncBox struct{ folder, file string }

// seen loads what mbsync has fetched already, from its state files.
func (m *mbsync) seen(a *Account, c *mbsyncSection, far, near mbsyncSide, isFar bool) error {
	boxes, looked := m.boxes(c, far, near)
	if m.options.Seen != "" && m.options.Seen != NoState {
		boxes = []mbsyncBox{{"", m.options.Seen}}
	}
	a.StateFiles = looked
	remote := far
	if !isFar {
		remote = near
	}
	prefix := remote.store.keys["path"].text()
	unclear := false
	for _, box := range boxes {
		data, err := m.options.ReadFile(box.file)
		excused := errors.Is(err, fs.ErrNotExist) || m.options.Seen == NoState
		if err != nil && excused {
			continue
		}
		if err != nil {
			return wrong(box.file, place{}, "cannot be read: %v", err)
		}
		known, err := mbsyncState(box.file, data, isFar)
		if err != nil {
			return err
		}
		known.Folder = "INBOX"
		if box.folder != "" && !strings.EqualFold(box.folder, "INBOX") {
			known.Folder = m.name(prefix+box.folder, remote)
			_, told := remote.store.keys["pathdelimiter"]
			if !told && strings.Contains(box.folder, "/") {
				unclear = true
			}
		}
		if len(a.Known) == 0 {
			a.StateFiles = nil
		}
		a.Known, a.StateFiles = append(a.Known, known), append(a.StateFiles, box.file)
	}
	if unclear {
		m.note(c.place, a.Name, "what was fetched of folders below others is recorded with a slash in their names; if the server has another separator, set PathDelimiter (and Path, if it wants INBOX. in front) in this file and import again")
	}
	a.Missing = len(a.Known) == 0
	return nil
}

// boxes returns the mailboxes of a channel for which there may be state, and where that was looked for.
func (m *mbsync) boxes(c *mbsyncSection, far, near mbsyncSide) (boxes []mbsyncBox, looked []string) {
	_, several := c.keys["patterns"]
	box := near.mailbox
	if box == "" {
		box = "INBOX"
	}
	state, own := c.keys["syncstate"]
	if !own {
		state = m.globals["syncstate"]
	}
	if state.text() == "*" {
		return m.besideMaildir(near, box, several)
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
		if !several {
			name := flatName(box)
			if !own {
				name = ":" + far.store.name + ":" + flatName(cmp.Or(far.mailbox, "INBOX")) + "_:" + near.store.name + ":" + flatName(box)
			}
			looked = append(looked, prefix+name)
			boxes = append(boxes, mbsyncBox{far.mailbox, prefix + name})
			continue
		}
		dir, begin := filepath.Split(prefix)
		looked = append(looked, dir)
		names, err := m.options.ReadDir(dir)
		if err != nil {
			continue // it is not there
		}
		for _, name := range names {
			folder, ours := strings.CutPrefix(name, begin)
			if !own {
				folder, ours = strings.CutPrefix(name, ":"+far.store.name+":")
				var both bool
				folder, _, both = strings.Cut(folder, "_:"+near.store.name+":")
				ours = ours && both
			}
			beside := strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".journal") || strings.HasSuffix(name, ".new")
			if ours && !beside {
				boxes = append(boxes, mbsyncBox{strings.ReplaceAll(folder, "!", "/"), filepath.Join(dir, name)})
			}
		}
	}
	return boxes, looked
}

// flatName is a mailbox in the name of a state file.
func flatName(mailbox string) string { return strings.ReplaceAll(mailbox, "/", "!") }

// maxDepth bounds how deep maildirs are looked for below each other.
const maxDepth = 8

// besideMaildir finds state files in the maildirs themselves.
func (m *mbsync) besideMaildir(near mbsyncSide, box string, several bool) (boxes []mbsyncBox, looked []string) {
	const name = ".mbsyncstate"
	inbox := near.store.keys["inbox"].text()
	if inbox == "" {
		inbox = "~/Maildir"
	}
	path := near.store.keys["path"].text()
	inboxFile := filepath.Join(m.expand(inbox), name)
	if !several && strings.EqualFold(box, "INBOX") {
		return []mbsyncBox{{"INBOX", inboxFile}}, []string{inboxFile}
	}
	if !several {
		file := filepath.Join(m.expand(path+box), name)
		return []mbsyncBox{{box, file}}, []string{file}
	}
	boxes = []mbsyncBox{{"INBOX", inboxFile}}
	var walk func(dir, folder string, depth int)
	walk = func(dir, folder string, depth int) {
		names, err := m.options.ReadDir(dir)
		if err != nil || depth > maxDepth {
			return
		}
		for _, sub := range names {
			if sub == "cur" || sub == "new" || sub == "tmp" || strings.HasPrefix(sub, ".mbsync") {
				continue
			}
			below := strings.TrimPrefix(folder+"/"+strings.TrimPrefix(sub, "."), "/")
			if filepath.Join(dir, sub, name) != inboxFile {
				boxes = append(boxes, mbsyncBox{below, filepath.Join(dir, sub, name)})
			}
			walk(filepath.Join(dir, sub), below, depth+1)
		}
	}
	root := m.expand(path)
	walk(root, near.mailbox, 0)
	return boxes, []string{inboxFile, filepath.Join(root, "*", name)}
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
