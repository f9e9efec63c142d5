package imap

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// maxCapabilities bounds a list of capabilities.
const maxCapabilities = 300

// note remembers what the line just read says beside its purpose.
func (g *guard) note() {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := &g.notes
	n.prose = ""
	switch g.lex.kind {
	case untagged:
		g.noteStatus()
	case tagged: // which may be the end of a search
		if strings.EqualFold(string(g.lex.tag), n.awaited) {
			n.awaited = ""
		}
		g.noteStatus()
		if string(g.lex.tag) == n.selected {
			n.selected = ""
		}
		i := slices.IndexFunc(n.asked, func(q question) bool { return q.tag == string(g.lex.tag) })
		if i < 0 {
			return
		}
		q := n.asked[i]
		n.early = n.early || n.selected != ""
		if q.answered {
			n.searches++
			n.sized = n.sized || q.large
		}
		switch {
		case q.listing && q.answered:
			n.answered = true
		case q.listing:
			n.listed = n.count // servers leave out a result that is empty
		}
		n.asked = slices.Delete(n.asked, i, i+1)
	case data, other:
		g.noteData()
	case prose:
		n.prose = string(g.lex.text[:min(len(g.lex.text), 1000)])
	case search:
		// The response belongs to the command under way that ESEARCH names (RFC 4466 section 2.6.2), else to the first. The
		// library does the same.
		tag, _, err := g.lex.result()
		i := slices.IndexFunc(n.asked, func(q question) bool { return tag == "" || strings.EqualFold(q.tag, tag) })
		if err != nil || i < 0 {
			return
		}
		n.asked[i].answered = true
		n.early = n.early || n.selected != ""
		if !n.asked[i].listing {
			return
		}
		n.listed, n.intact = n.count, true
		select {
		case <-n.arrived: // what came before is in the listing
		default:
		}
	}
}

func (g *guard) noteStatus() {
	n := &g.notes
	if string(g.lex.name) == "BYE" {
		n.bye = string(g.lex.text[:min(len(g.lex.text), 1000)])
	}
	if g.lex.kind == tagged && bytes.HasPrefix(g.lex.text, []byte("[Error=")) {
		n.faulty = true
	}
	switch code := readCode(g.lex.text); code.name { // RFC 9051 section 7.1: "[CODE arguments] text"
	case "CAPABILITY":
		n.caps = capabilitySet(code.arguments)
	case "READ-ONLY":
		n.access.readOnly = true
	case "READ-WRITE":
		n.access.readWrite = true
	case "PERMANENTFLAGS":
		n.access.flags = append([]string{}, strings.Fields(strings.Trim(code.arguments, "()"))...)
	case "UIDNOTSTICKY":
		n.unstable = true
	case "UIDVALIDITY":
		if v, err := strconv.ParseUint(code.arguments, 10, 32); err == nil {
			n.validity = uint32(v)
		}
	case "UIDNEXT":
		if v, err := strconv.ParseUint(code.arguments, 10, 32); err == nil {
			n.next = uint32(v)
		}
	case "HIGHESTMODSEQ": // RFC 7162 section 3.1.2.1
		if v, err := strconv.ParseUint(code.arguments, 10, 63); err == nil {
			n.modseq = v
		}
	case "NOMODSEQ":
		n.modseq = 0
	case "COPYUID": // RFC 4315 section 3: the target's UIDVALIDITY, the UIDs here, the UIDs there
		if words := strings.Fields(code.arguments); len(words) == 3 {
			ranges, _ := parseRanges(words[1])
			n.copied = append(n.copied, ranges...)
		}
	case "ALERT":
		// RFC 9051 section 7.1: to be shown to the user; but not what anyone may
		// have said before TLS.
		if !g.secured {
			break
		}
		text := fetch.Sanitize(string(g.lex.text))
		if g.secret && g.echoes(string(g.lex.text)) { // what is shown may be cut within the secret
			text = "withheld: it echoes the secret"
		}
		g.log.LogAttrs(context.Background(), slog.LevelWarn, "server alert", slog.String("text", text))
	}
}

func (g *guard) noteData() {
	n := &g.notes
	switch string(g.lex.name) {
	case "CAPABILITY":
		n.caps = capabilitySet(string(g.lex.text))
	case "NAMESPACE": // ((prefix delimiter) …) …, of which the first counts
		rest, ok := bytes.CutPrefix(bytes.TrimSpace(g.lex.text), []byte(`(("`))
		prefix, _, closed := bytes.Cut(rest, []byte(`"`))
		n.prefix = ""
		if ok && closed && bytes.IndexByte(prefix, '\\') < 0 {
			n.prefix = string(prefix)
		}
	case "STATUS": // the number of messages (RFC 9051 section 7.3.4), behind the folder's name, which may hold anything
		items, _, closed := bytes.Cut(g.lex.text[bytes.LastIndexByte(g.lex.text, '(')+1:], []byte(")"))
		words := bytes.Fields(items)
		n.messages = -1
		for i := 0; closed && i+1 < len(words) && n.messages < 0; i += 2 {
			if count, err := strconv.ParseUint(string(words[i+1]), 10, 32); err == nil && bytes.EqualFold(words[i], []byte("MESSAGES")) {
				n.messages = int64(count)
			}
		}
	case "EXPUNGE":
		n.expunged++
		n.count -= min(n.count, 1)
		g.removed(func(v *view) bool { return v.expunge(g.lex.number) })
	case "EXISTS":
		before := n.count
		n.count, n.counted = g.lex.number, true
		if n.view != nil && !n.view.exists(n.count) {
			n.view = nil
		}
		if n.count > before {
			select {
			case n.arrived <- struct{}{}:
			default: // there is a token already
			}
		}
	case "VANISHED":
		// RFC 7162 section 3.2.10. The library does not know it, and a server need not send it, as
		// truehop does not enable QRESYNC.
		set := string(g.lex.text)
		if tag, rest, found := strings.Cut(set, ") "); found && strings.EqualFold(tag, "(EARLIER") {
			set = rest
		}
		if ranges, ok := parseRanges(set); ok {
			g.removed(func(v *view) bool { return v.vanish(ranges) })
		}
	}
}

// removed takes messages out of the view. g.mu is held.
func (g *guard) removed(take func(*view) bool) {
	g.notes.intact = false
	if g.notes.view != nil && !take(g.notes.view) {
		g.notes.view = nil
	}
}

// question is a SEARCH command under way.
type question struct {
	tag      string
	listing  bool // it asks for all messages of a folder that is being opened
	large    bool // it asks for those beyond the limit
	answered bool
}

// asksFor returns the tag of the SEARCH command under way that a response to tag can only belong to, and whether there is another way to what it asks for.
// Without a tag, that is certain where there is but one.
func (g *guard) asksFor(tag string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.notes.asked
	if tag == "" && len(asked) == 1 {
		return asked[0].tag, asked[0].listing || asked[0].large
	}
	for _, q := range asked {
		if strings.EqualFold(q.tag, tag) {
			return q.tag, q.listing || q.large
		}
	}
	return "", false
}

// access is what a server says of the right to change the open folder.
type access struct {
	readOnly, readWrite bool     // response codes of SELECT
	flags               []string // of PERMANENTFLAGS, nil if there was none
}

// writable reports whether messages can be settled. A server need not say READ-WRITE (RFC 9051 section 6.3.2), nor
// which flags it keeps (section 7.1), but it says one of them where the folder can be changed; and where it keeps
// no flags, what is done to a message ends with the session.
func (a access) writable() bool {
	switch {
	case a.readOnly:
		return false
	case a.flags != nil:
		return len(a.flags) > 0
	}
	return a.readWrite
}

// setView makes the listing, ascending, the view of the folder, unless the server spoke of another
// number of messages, or one has left meanwhile: no sequence number is certain then. earlier messages come before those listed.
func (g *guard) setView(earlier uint32, uids []uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := &g.notes
	if !n.intact || int64(n.listed) != int64(earlier)+int64(len(uids)) {
		return
	}
	if v := newView(earlier, uids); v.exists(n.count) {
		n.view = v
	}
}

// unconfirmed returns those messages that the server has not reported as expunged.
func (g *guard) unconfirmed(uids []uint32) []uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.notes.view == nil {
		return uids
	}
	return slices.DeleteFunc(slices.Clone(uids), g.notes.view.gone)
}

// uidOf returns the UID of the message of this number, 0 if that is not certain.
func (g *guard) uidOf(number uint32) uint32 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.notes.view == nil {
		return g.notes.alone
	}
	return g.notes.view.at(number)
}

// asksForBodies reports whether whole messages are asked for.
func (g *guard) asksForBodies() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.notes.bodies
}

func capabilitySet(text string) map[string]bool {
	caps := map[string]bool{}
	for _, name := range capabilities(text) {
		caps[strings.ToUpper(name)] = true
	}
	return caps
}

// noted returns a copy of the notes. The set of capabilities is never changed, only replaced.
func (g *guard) noted() notes {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.notes
}

// amend changes the notes.
func (g *guard) amend(change func(*notes)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.notes)
}
