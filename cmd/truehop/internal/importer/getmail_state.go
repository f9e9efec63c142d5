package importer

import (
	"bytes"
	"cmp"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// seen loads what getmail has fetched already, from its oldmail files.
func (g *getmail) seen(a *Account, protocol string, ssl bool) error {
	if g.retriever.keys["type"].text == "BrokenUIDLPOP3Retriever" || g.retriever.keys["type"].text == "BrokenUIDLPOP3SSLRetriever" {
		g.note(g.retriever.keys["type"].place, a.Name, "without unique-ids getmail knows messages by a sum of its own, which truehop cannot use: the first pass with --adopt %s records all that is there as fetched", a.Name)
		a.Remembers = false
		return nil
	}
	port := cmp.Or(g.retriever.keys["port"].text, usualPort(protocol, ssl))
	name := strip("oldmail-"+g.retriever.keys["server"].text+"-"+port+"-"+g.retriever.keys["username"].text, "-")
	if protocol == "pop3" {
		data, err := g.state(a, g.oldmail(name))
		if err != nil || data == nil {
			return err
		}
		known := Known{}
		for id := range oldIDs(data) {
			known.UIDs = append(known.UIDs, id)
		}
		if slices.ContainsFunc(known.UIDs, func(id string) bool { return strings.Contains(id, "-") }) {
			g.note(g.retriever.place, a.Name, "getmail writes a slash in a unique-id as a hyphen: look with truehop run --dry-run whether old mail looks new, and if so run once with --adopt %s", a.Name)
		}
		a.Known = []Known{known}
		return nil
	}
	folders, err := g.folders()
	if err != nil {
		return err
	}
	all := slices.Contains(folders, fetch.AllFolders)
	a.parts = all || len(folders) != 1
	at, named := g.retriever.keys["mailboxes"].place, g.Plan.options.record()
	switch {
	case all && named != "":
		return wrong(g.file, at, "--seen FILE is the record of one folder; name the folders in place of ALL and leave --seen out, for getmail has a record of each, %s-FOLDER", name)
	case a.parts && named != "":
		return wrong(g.file, at, "--seen FILE is the record of one folder, and here are several; leave it out, for getmail has a record of each, %s-FOLDER", name)
	case all: // there are records, of folders whose names the files do not quite tell
		a.Missing, a.StateFiles = true, g.oldmail(name+"-*")
		a.cure = "name the folders in place of ALL in mailboxes, for each has a record of its own"
		return nil
	}
	var files []string
	missing := true
	for _, folder := range folders {
		data, err := g.state(a, g.oldmail(name+"-"+strip(folder, ".")))
		if err != nil {
			return err
		}
		missing = missing && data == nil
		files = append(files, a.StateFiles...)
		a.Known = append(a.Known, oldIMAP(folder, data)...)
	}
	a.StateFiles, a.Missing = files, missing
	return nil
}

// oldmail is where getmail has one of its files.
func (g *getmail) oldmail(name string) []string {
	return []string{filepath.Join(filepath.Dir(g.file), name), filepath.Join(g.Plan.options.Home, ".config/getmail", name), filepath.Join(g.Plan.options.Home, ".getmail", name)}
}

// strip replaces what getmail has in no file name.
func strip(name, by string) string {
	return regexp.MustCompile(`[/:;<>|]+`).ReplaceAllLiteralString(name, by)
}

// oldIDs goes through an oldmail file: an id, NUL and a time on each line.
func oldIDs(data []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range bytes.Lines(data) {
			id, _, ok := strings.Cut(strings.TrimSpace(string(line)), "\x00")
			if ok && id != "" && len(id) <= maxUID && !yield(id) {
				return
			}
		}
	}
}

// oldIMAP reads the oldmail file of a folder: UIDVALIDITY/UID, in old files UIDVALIDITY/FOLDER/UID.
func oldIMAP(folder string, data []byte) []Known {
	byValidity := map[uint32]*Known{}
	var all []Known
	for id := range oldIDs(data) {
		parts := strings.Split(id, "/")
		validity, err := strconv.ParseUint(parts[0], 10, 32)
		uid, uidErr := strconv.ParseUint(parts[len(parts)-1], 10, 32)
		if len(parts) < 2 || err != nil || uidErr != nil {
			continue
		}
		k := byValidity[uint32(validity)]
		if k == nil {
			k = &Known{Folder: folder, Validity: uint32(validity)}
			byValidity[k.Validity] = k
		}
		k.UIDs = append(k.UIDs, strconv.FormatUint(uid, 10))
	}
	for _, v := range slices.Sorted(maps.Keys(byValidity)) {
		all = append(all, *byValidity[v])
	}
	return all
}
