package config

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// syntax reports what the YAML reader stumbled over. It gives up at the first such place.
func (s *schema) syntax(err error) {
	s.bad["accounts"] = true // Nothing was read: that they are missing says nothing.
	p := place{source: s.name}
	reason := err.Error()
	var le *yaml.LoadError
	if errors.As(err, &le) {
		p.line, p.column, reason = le.Mark.Line, le.Mark.Column, le.Message
	}
	var line []byte // that the reader stopped at
	if lines := bytes.Split(s.data, []byte("\n")); 0 < p.line && p.line <= len(lines) {
		line = lines[p.line-1]
	}
	switch i := odd(s.data); {
	case i >= 0:
		before := s.data[:i]
		p.line, p.column = bytes.Count(before, []byte("\n"))+1, i-bytes.LastIndexByte(before, '\n')
		s.add(p, "", "an octet that is no UTF-8 text; save the file as UTF-8")
	case bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")):
		s.add(p, "", "a tab in the indentation; YAML wants spaces")
	case strings.Contains(reason, "mapping values are not allowed"):
		s.add(p, "", "a colon where none can stand; put the value in quotes, or mend the indentation")
	case strings.Contains(reason, "unknown anchor"): // whose name may be a password
		s.add(p, "", "an asterisk begins an alias, which is not read here; put the value in quotes")
	case strings.Contains(reason, "unknown escape character"):
		s.add(p, "", "a backslash in double quotes begins an escape; put the text in single quotes: '\\Junk'")
	case strings.Contains(reason, "quoted scalar") || strings.Contains(reason, "unexpected end of stream"):
		s.add(p, "", "a quotation mark or bracket is not closed")
	default:
		s.add(p, "", "not YAML: %s", clip(reason))
	}
}

// odd returns the offset of the first octet that YAML cannot hold, -1 if there is none.
func odd(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1, r < 0x20 && !strings.ContainsRune("\t\n\r", r):
			return i
		}
		i += n
	}
	return -1
}
