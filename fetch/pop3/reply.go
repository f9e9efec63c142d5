package pop3

import (
	"bytes"
	"slices"
	"strings"

	"github.com/truehop/truehop/fetch"
)

// reply is the first line of what the server answers.
type reply struct {
	ok bool
	// code is the response code of RFC 2449 section 8, upper case, or "".
	code string
	// text is what follows "+OK" or "-ERR", code included.
	text string
}

// maxBlank bounds the empty lines before a reply.
const maxBlank = 3

// reply reads a status line and restarts the clock of what it begins.
func (w *wire) reply(op string) (reply, error) {
	w.clock.restart()
	line, err := w.line(op)
	for blank := 0; op != "RETR" && blank < maxBlank; blank++ { // there it may be the rest of a message
		if err != nil || len(line) > 0 {
			break
		}
		line, err = w.line(op)
	}
	if err != nil {
		return reply{}, err
	}
	w.trace("S", string(line))
	r, ok := parseReply(line)
	if !ok {
		e := protocolError(op, "not a reply", line)
		if op == "greeting" && bytes.HasPrefix(line, []byte("* ")) {
			e.Advice = "this port speaks IMAP: fetch by IMAP, or correct the port"
		}
		if kind, _ := fetch.Judge(fetch.Entry, "", e.Text); op == "greeting" && kind == fetch.Busy {
			e.Kind = kind // "421 too busy" is what a balancer says for any protocol
		}
		return reply{}, e
	}
	return r, nil
}

// parseReply accepts "+OK" and "-ERR". RFC 1939 section 3 has them in upper case, at the beginning of the line, and a space
// behind them; a few servers do it otherwise. A letter or digit behind them makes another word.
func parseReply(line []byte) (reply, bool) {
	line = bytes.TrimLeft(line, blanks)
	end := len("+OK")
	if len(line) > 0 && line[0] == '-' {
		end = len("-ERR")
	}
	end = min(end, len(line))
	status, text := line[:end], line[end:]
	if len(text) > 0 {
		switch c := text[0]; {
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
			return reply{}, false
		}
	}
	r := reply{text: strings.TrimLeft(string(text), blanks)}
	switch strings.ToUpper(string(status)) {
	case "+OK":
		r.ok = true
	case "-ERR":
	default:
		return reply{}, false
	}
	if code, _, ok := strings.Cut(r.text, "]"); ok && strings.HasPrefix(code, "[") {
		r.code = strings.ToUpper(code[1:])
	}
	return r, true
}

// failure classifies a refusal on the way to the messages; kind is for one that says nothing of its cause.
func (r reply) failure(op string, kind fetch.Kind) *fetch.Error {
	return r.judged(op, r.text, kind)
}

// judged classifies a refusal by its code and by words.
func (r reply) judged(op, words string, kind fetch.Kind) *fetch.Error {
	e := &fetch.Error{Op: op, Text: fetch.Sanitize(r.text)}
	e.Kind, e.Advice = fetch.Judge(fetch.Entry, r.code, words)
	if e.Kind == fetch.Unclassified {
		e.Kind = kind
	}
	return e
}

// isGoodbye reports whether a refusal is what servers say that end a session because nothing was asked for in a long time (Dovecot: "Disconnected
// for inactivity.", hMailServer: "Autologout; idle too long"), or because they stop. RFC 1939 has nothing be said then.
func (r reply) isGoodbye() bool {
	text := strings.ToLower(r.text)
	says := func(words string) bool { return strings.Contains(text, words) }
	return !r.ok && slices.ContainsFunc([]string{"inactivity", "autologout", "auto logout", "auto-logout", "idle too long", "idle for too long", "idle timeout", "shutting down"}, says)
}

// messageFailure classifies the refusal to retrieve or delete one message, whose words may be about that message only.
// POP3 has no code for one that has gone.
func (r reply) messageFailure(op string) *fetch.Error {
	e := r.judged(op, "", fetch.Refused)
	if e.Kind != fetch.Busy {
		e.Kind, e.Advice = fetch.Refused, ""
	}
	text := strings.ToLower(r.text)
	for _, words := range []string{"no such message", "no message", "not found", "deleted", "expunged", "not exist"} {
		if r.code == "" && strings.Contains(text, words) {
			e.Kind, e.Advice = fetch.Gone, ""
		}
	}
	return e
}
