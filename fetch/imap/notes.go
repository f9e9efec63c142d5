package imap

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"strconv"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// maxCapabilities bounds a list of capabilities.
const maxCapabilities = 300

// responseCode splits "[CODE arguments] text" (RFC 9051 section 7.1). code is in upper case.
func responseCode(text []byte) (code, arguments string) {
	inner, found := bytes.CutPrefix(text, []byte("["))
	if !found {
		return "", ""
	}
	inner, _, _ = bytes.Cut(inner, []byte("]"))
	name, rest := cutWord(inner)
	return strings.ToUpper(string(name)), string(rest)
}

// note remembers what the line just read says beside its purpose.
func (g *guard) note() {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.lex.kind {
	case tagged, untagged:
		g.noteStatus()
	case search:
		g.notes.searched = true
		select {
		case <-g.notes.arrived: // what came before is in the answer
		default:
		}
	case data:
		g.noteData()
	}
}

func (g *guard) noteStatus() {
	n := &g.notes
	if strings.EqualFold(string(g.lex.name), "BYE") {
		n.bye = string(g.lex.text[:min(len(g.lex.text), 1000)])
	}
	switch code, arguments := responseCode(g.lex.text); code {
	case "CAPABILITY":
		n.caps = parseCapabilities(arguments)
	case "READ-ONLY":
		n.readOnly = true
	case "UIDNOTSTICKY":
		n.unstable = true
	case "UIDVALIDITY":
		v, _ := strconv.ParseUint(arguments, 10, 32)
		n.validity = uint32(v)
	case "ALERT":
		// RFC 9051 section 7.1: to be shown to the user; but not what anyone may
		// have said before TLS.
		if !g.settled {
			break
		}
		g.log.LogAttrs(context.Background(), slog.LevelWarn, "server alert",
			slog.String("text", fetch.Sanitize(string(g.lex.text))))
	}
}

func (g *guard) noteData() {
	n := &g.notes
	switch strings.ToUpper(string(g.lex.name)) {
	case "CAPABILITY":
		n.caps = parseCapabilities(string(g.lex.text))
	case "EXPUNGE":
		n.count -= min(n.count, 1)
	case "EXISTS":
		before := n.count
		n.count = g.lex.number
		if n.count > before {
			select {
			case n.arrived <- struct{}{}:
			default: // there is a token already
			}
		}
	}
}

func parseCapabilities(list string) map[string]bool {
	caps := map[string]bool{}
	for name := range strings.FieldsSeq(list) {
		if len(caps) == maxCapabilities {
			break
		}
		caps[strings.ToUpper(name)] = true
	}
	return caps
}

// forgetCapabilities makes the next list that the server sends known as new.
func (g *guard) forgetCapabilities() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notes.caps = nil
}

// noted returns a copy of the notes.
func (g *guard) noted() notes {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.notes
	n.caps = maps.Clone(n.caps)
	return n
}

// forget clears what was noted of a folder, before another is opened.
func (g *guard) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := &g.notes
	n.searched, n.readOnly, n.unstable, n.validity, n.count = false, false, false, 0, 0
}
