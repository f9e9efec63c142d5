package fakeserver

import (
	"bytes"
	"mime"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// search is UID SEARCH (RFC 9051 section 6.4.4), with RETURN (ALL) of RFC 4731.
func (s *imapSession) search(args string) {
	list, extended := strings.CutPrefix(args, "RETURN (ALL) ")
	list, named := strings.CutPrefix(list, "CHARSET ")
	if named {
		var charset string
		if charset, list, _ = strings.Cut(list, " "); !strings.EqualFold(charset, "UTF-8") {
			s.done("NO [BADCHARSET (UTF-8)] unknown charset")
			return
		}
	}
	keys := &searchKeys{rest: list, session: s}
	fits := keys.all()
	unknown := extended && !s.has("ESEARCH")
	if unknown || keys.broken || keys.rest != "" {
		s.done("BAD unknown search key")
		return
	}
	found := slices.DeleteFunc(slices.Clone(s.uids), func(uid uint32) bool {
		m, exists := s.Store.Get(s.folder, uid)
		return !exists || !fits(m)
	})
	if extended {
		s.write(`* ESEARCH (TAG "` + s.tag + `") UID`)
		if len(found) > 0 {
			s.write(" ALL " + compress(found))
		}
	} else {
		s.write("* SEARCH")
		for _, uid := range found {
			s.write(" " + strconv.FormatUint(uint64(uid), 10))
		}
	}
	s.write("\r\n")
	s.sync()
	s.done("OK")
}

// searchKeys reads search keys off the front of rest. broken says that one cannot be read.
type searchKeys struct {
	rest    string
	session *imapSession
	broken  bool
}

// fits reports whether a message fits a key.
type fits func(Message) bool

// all reads keys up to the end or to a closing parenthesis, all of which a message has to fit.
func (k *searchKeys) all() fits {
	var keys []fits
	for k.rest != "" && k.rest[0] != ')' && !k.broken {
		keys = append(keys, k.one())
		k.rest = strings.TrimPrefix(k.rest, " ")
	}
	if len(keys) == 0 {
		k.broken = true
	}
	return func(m Message) bool { return !slices.ContainsFunc(keys, func(fit fits) bool { return !fit(m) }) }
}

// word reads an atom or a quoted string.
func (k *searchKeys) word() string {
	k.rest = strings.TrimPrefix(k.rest, " ")
	if !strings.HasPrefix(k.rest, `"`) {
		end := strings.IndexAny(k.rest+" ", " )")
		word := k.rest[:end]
		k.rest, k.broken = k.rest[end:], k.broken || word == ""
		return word
	}
	var word strings.Builder
	for n := 1; n < len(k.rest); n++ {
		switch {
		case k.rest[n] == '"':
			k.rest = k.rest[n+1:]
			return word.String()
		case k.rest[n] == '\\' && n+1 < len(k.rest):
			n++
		}
		word.WriteByte(k.rest[n])
	}
	k.broken = true
	return ""
}

// one reads one key with its arguments.
func (k *searchKeys) one() fits {
	if inner, ok := strings.CutPrefix(k.rest, "("); ok {
		k.rest = inner
		fit := k.all()
		closed := false
		k.rest, closed = strings.CutPrefix(k.rest, ")")
		k.broken = k.broken || !closed
		return fit
	}
	switch key := strings.ToUpper(k.word()); key {
	case "ALL":
		return func(Message) bool { return true }
	case "UID":
		picked := k.session.pick(k.word())
		return func(m Message) bool { return slices.Contains(picked, m.UID) }
	case "SEEN", "DELETED", "FLAGGED", "ANSWERED", "DRAFT", "UNSEEN", "UNDELETED", "UNFLAGGED", "UNANSWERED", "UNDRAFT":
		flag, without := strings.CutPrefix(key, "UN")
		return having(`\`+flag, !without)
	case "KEYWORD", "UNKEYWORD":
		return having(k.word(), key == "KEYWORD")
	case "NOT":
		k.rest = strings.TrimPrefix(k.rest, " ")
		fit := k.one()
		return func(m Message) bool { return !fit(m) }
	case "SINCE", "BEFORE", "ON":
		day, err := time.Parse("2-Jan-2006", k.word())
		k.broken = k.broken || err != nil
		return func(m Message) bool { // days are compared, whatever the time and the zone
			got := time.Date(m.Date.Year(), m.Date.Month(), m.Date.Day(), 0, 0, 0, 0, time.UTC)
			switch key {
			case "SINCE":
				return !got.Before(day)
			case "BEFORE":
				return got.Before(day)
			}
			return got.Equal(day)
		}
	case "LARGER", "SMALLER":
		size, err := strconv.ParseInt(k.word(), 10, 64)
		k.broken = k.broken || err != nil
		if key == "LARGER" {
			return func(m Message) bool { return m.Size > size }
		}
		return func(m Message) bool { return m.Size < size }
	case "FROM", "TO", "CC", "SUBJECT":
		return holding(key, k.word())
	case "HEADER":
		field := k.word()
		return holding(field, k.word())
	}
	k.broken = true
	return nil
}

// having fits messages that have a flag, or that do not.
func having(flag string, has bool) fits {
	return func(m Message) bool {
		return slices.ContainsFunc(m.Flags, func(f string) bool { return strings.EqualFold(f, flag) }) == has
	}
}

// holding fits messages with a header field that has this text in it.
func holding(field, text string) fits {
	return func(m Message) bool {
		parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw()))
		if err != nil {
			return false
		}
		for name, values := range parsed.Header {
			if !strings.EqualFold(name, field) {
				continue
			}
			for _, value := range values {
				if decoded, err := new(mime.WordDecoder).DecodeHeader(value); err == nil {
					value = decoded
				}
				if strings.Contains(strings.ToLower(value), strings.ToLower(text)) {
					return true
				}
			}
		}
		return false
	}
}
