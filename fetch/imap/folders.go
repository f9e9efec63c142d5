package imap

import (
	"bytes"
	"context"
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	imapwire "github.com/emersion/go-imap/v2"

	"github.com/truehop/truehop/fetch"
)

var _ fetch.Lister = (*Client)(nil)

// Folders implements [fetch.Lister]. A name that cannot be read, since it is neither UTF-8 nor modified UTF-7, is left out
// and logged: the library could not ask for it.
func (c *Client) Folders(ctx context.Context) (*fetch.Folders, error) {
	found := &fetch.Folders{Labels: c.Has("X-GM-EXT-1")}
	err := c.run(ctx, 0, func() error {
		var options *imapwire.ListOptions
		// RFC 6154 section 2: the server may give the special uses without being asked, and most do.
		if c.Has("SPECIAL-USE") && c.Has("LIST-EXTENDED") {
			options = &imapwire.ListOptions{ReturnSpecialUse: true}
		}
		c.g.listFolders(true)
		_, err := c.lib.List("", "*", options).Collect()
		listed := c.g.listFolders(false)
		if err = c.failed("LIST", err); err != nil {
			return err
		}
		for _, f := range listed {
			name, ok := FolderName(f.Name)
			if !ok {
				c.opts.Logger.WarnContext(ctx, "a folder is left out, its name cannot be read", "folder", fetch.Sanitize(f.Name))
				continue
			}
			f.Name = name
			found.List = append(found.List, f)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// listLine is a LIST response under way: its name may come as a literal, behind the line.
type listLine struct {
	on      bool
	text    []byte
	literal bool
	name    []byte
}

// gather takes a line of the server, with first if it is not what follows a literal. partial says that a literal follows. Once the
// response is complete it reads "(attributes) delimiter name", with whatever follows (RFC 9051 section 7.3.1).
func (l *listLine) gather(name, text []byte, first, partial bool) (f fetch.Folder, complete bool) {
	if first {
		*l = listLine{on: string(name) == "LIST", text: bytes.Clone(text), literal: partial}
	}
	if !l.on || partial {
		return f, false
	}
	l.on = false
	rest := l.text
	if none, behind := cutWord(rest); strings.EqualFold(string(none), "NIL") {
		rest = behind
	} else {
		inner, found := bytes.CutPrefix(rest, []byte("("))
		attributes, behind, closed := bytes.Cut(inner, []byte(")"))
		if !found || !closed {
			return f, false
		}
		f.Attributes, rest = strings.Fields(string(attributes)), behind
	}
	delimiter, rest, ok := cutString(rest)
	if !ok {
		return f, false
	}
	if f.Delimiter = delimiter; strings.EqualFold(delimiter, "NIL") {
		f.Delimiter = ""
	}
	if l.literal {
		f.Name = string(l.name)
		return f, f.Name != ""
	}
	f.Name, ok = lastName(rest)
	return f, ok && f.Name != ""
}

// lastName reads the name that ends a LIST response. Exchange and Notes leave out the quotes around blanks: such a name goes on to the end of the
// line, or to the extended data behind it (RFC 5258 section 6), which are lists in a list.
func lastName(s []byte) (name string, ok bool) {
	s = bytes.Trim(s, " ")
	if len(s) > 0 && s[0] == '"' {
		name, _, ok = cutString(s)
		return name, ok
	}
	if plain, _, found := bytes.Cut(s, []byte(" (")); found && bytes.HasSuffix(s, []byte("))")) {
		s = bytes.TrimRight(plain, " ")
	}
	return string(s), true
}

// cutString takes a quoted string or an atom off the front.
func cutString(s []byte) (text string, rest []byte, ok bool) {
	s = bytes.TrimLeft(s, " \t")
	if len(s) == 0 || s[0] != '"' {
		word, rest := cutWord(s)
		return string(word), rest, len(word) > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], true
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", nil, false
}

// base64 in modified UTF-7 has a comma for the slash, and no padding (RFC 3501 section 5.1.3).
const modifiedAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,"

// FolderName makes UTF-8 of the name of a folder in modified UTF-7, which IMAP has for it (RFC 3501 section 5.1.3). Octets above
// 127, which have no place in it, are left if they are UTF-8. It takes no name that [Client] would send back in another form.
func FolderName(name string) (string, bool) {
	if !utf8.ValidString(name) {
		return "", false
	}
	encoding := base64.NewEncoding(modifiedAlphabet).WithPadding(base64.NoPadding).Strict()
	var b strings.Builder
	encoded := false // what came last was in base64
	for rest := name; ; {
		plain, shifted, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			return b.String(), true
		}
		code, after, closed := strings.Cut(shifted, "-")
		inARow := encoded && plain == "" && code != "" // such two are sent as one
		if !closed || inARow {
			return "", false
		}
		rest, encoded = after, code != ""
		if !encoded {
			b.WriteByte('&')
			continue
		}
		octets, err := encoding.DecodeString(code)
		if err != nil || len(octets)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(octets)/2)
		for i := range units {
			units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
		}
		for _, r := range utf16.Decode(units) {
			switch {
			case r == utf8.RuneError, r >= ' ' && r <= '~', strings.ContainsRune("\x00\r\n", r):
				return "", false // half a pair, what must stand for itself, or what stands in no command
			}
			b.WriteRune(r)
		}
	}
}

// listFolders begins to note what LIST says, or ends that and returns it.
func (g *guard) listFolders(on bool) []fetch.Folder {
	g.mu.Lock()
	defer g.mu.Unlock()
	listed := g.notes.folders
	g.notes.listing, g.notes.folders = on, nil
	return listed
}
