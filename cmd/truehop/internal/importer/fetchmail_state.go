package importer

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// maxUID is that of the ledger, in octets.
const maxUID = 1024

// Debian runs fetchmail as a service, for a user of its own, whose home directory is closed to others. Its start script once gave
// the record another name.
const (
	debianConfig = "/etc/fetchmailrc"
	debianHome   = "/var/lib/fetchmail"
)

// seen loads what fetchmail has fetched already. With POP3 it remembers unique-ids; with IMAP the flag \Seen upstream is
// its memory, and search: unseen goes by it.
func (f *fetchmail) seen(a *Account, e *fetchmailEntry, u *fetchmailUser, protocol string) error {
	if protocol == "imap" {
		if u.onlyUnread() {
			folders := u.options["folder"].values
			if len(folders) == 0 {
				folders = []string{"INBOX"}
			}
			for _, folder := range folders {
				a.Known = append(a.Known, Known{Folder: folderName(folder)}) // seen to its end, by that flag
			}
			f.note(u.place, a.Name, "fetchmail fetches what is unread, and so does search: unseen; what somebody reads before truehop comes stays upstream")
		}
		return nil
	}
	a.Remembers = u.on("keep")
	data, err := f.state(a, f.records())
	if err != nil || data == nil {
		return err
	}
	a.Known = []Known{{UIDs: fetchids(data, f.owner(e, u))}}
	return nil
}

// records are the places where fetchmail may have its record.
func (f *fetchmail) records() []string {
	if g, ok := f.globals["idfile"]; ok {
		return []string{f.beside(g.text())}
	}
	places := slices.Compact([]string{filepath.Join(f.options.Home, ".fetchids"), filepath.Join(f.options.Dir, ".fetchids")})
	if f.file == debianConfig || f.options.Home == debianHome {
		places = append(places, filepath.Join(debianHome, ".fetchids"), filepath.Join(debianHome, ".fetchmail-UIDL-cache"))
	}
	return places
}

// owner is whose a line of the record is. The name behind poll is a label where via names the server.
func (f *fetchmail) owner(e *fetchmailEntry, u *fetchmailUser) string {
	return u.remoteName(f.options.User) + "@" + cmp.Or(e.options["via"].text(), e.name)
}

// state reads the first of the files that exists, or the one that the person named; nil where none does.
func (p *Plan) state(a *Account, places []string) ([]byte, error) {
	none := p.options.Seen == NoState // which excuses what is not there; of several accounts some may have a record
	if named := p.options.record(); named != "" {
		places = []string{named}
	}
	for _, path := range places {
		data, err := p.options.ReadFile(path)
		excused := none || errors.Is(err, fs.ErrNotExist)
		if err != nil && excused {
			continue
		}
		if err != nil {
			return nil, p.unreadable(a, path, err)
		}
		a.StateFiles = []string{path}
		if data == nil {
			data = []byte{}
		}
		return data, nil
	}
	if a.Missing = true; !none {
		a.StateFiles = places
	}
	return nil, nil
}

// fetchids returns the unique-ids of a .fetchids that stand behind LOGIN@SERVER and a blank. Both may hold blanks and at signs, so
// that only the whole tells whose a line is.
func fetchids(data []byte, owner string) []string {
	var uids []string
	for line := range bytes.Lines(data) {
		text := strings.TrimRight(string(line), "\r\n")
		if len(text) <= len(owner) || !strings.EqualFold(text[:len(owner)], owner) || text[len(owner)] != ' ' {
			continue
		}
		if uid := strings.TrimSpace(text[len(owner):]); uid != "" && len(uid) <= maxUID {
			uids = append(uids, uid)
		}
	}
	return uids
}

// netrc returns the password that a netrc, ~/.netrc if "", has for a login at one of the hosts, or "".
func (p *Plan) netrc(file, login string, hosts ...string) string {
	data, err := p.options.ReadFile(cmp.Or(file, filepath.Join(p.options.Home, ".netrc")))
	if err != nil {
		return ""
	}
	for _, host := range hosts {
		if password := netrcPassword(string(data), host, login); host != "" && password != "" {
			return password
		}
	}
	return ""
}

// netrcPassword looks for a machine and a login in a netrc. Macros end at an empty line.
func netrcPassword(text, host, login string) string {
	var machine, name, password string
	found := func() bool { return strings.EqualFold(machine, host) && name == login && password != "" }
	macro := false
	for line := range strings.Lines(text) {
		if macro = macro && strings.TrimSpace(line) != ""; macro {
			continue
		}
		words := strings.Fields(line)
		for i := 0; i < len(words) && !strings.HasPrefix(words[i], "#"); i++ {
			value := ""
			if i+1 < len(words) {
				value = strings.Trim(words[i+1], `"`)
			}
			switch words[i] {
			case "machine":
				if found() {
					return password
				}
				machine, name, password = value, "", ""
				i++
			case "default":
				if found() {
					return password
				}
				machine, name, password = "", "", ""
			case "login":
				name = value
				i++
			case "password":
				password = value
				i++
			case "account":
				i++
			case "macdef":
				macro = true
				i = len(words)
			}
		}
	}
	if found() {
		return password
	}
	return ""
}
