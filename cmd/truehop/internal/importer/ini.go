package importer

import (
	"strings"
	"unicode/utf8"
)

// iniValue is the value of a key and where the key stands.
type iniValue struct {
	place
	text string
}

// iniSection is a section of an INI file as Python's RawConfigParser reads it.
type iniSection struct {
	place
	name string
	keys map[string]iniValue
}

// parseINI reads an INI file: [section], key = value or key: value, further lines of a value indented, whole lines of comment
// behind # or ;.
func parseINI(file string, text []byte) (map[string]*iniSection, error) {
	sections := map[string]*iniSection{}
	var section *iniSection
	last, column := "", 1 // the key whose value may go on, on lines that are indented deeper than its own
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		word := strings.TrimSpace(line)
		at := place{number, 1 + len(line) - len(strings.TrimLeft(line, " \t"))}
		switch {
		case strings.IndexByte(line, 0) >= 0 || !utf8.ValidString(line):
			return nil, wrong(file, at, "this line holds a NUL octet, or is not UTF-8")
		case word == "", word[0] == '#', word[0] == ';':
		case at.column > column && last != "":
			v := section.keys[last]
			v.text = strings.TrimLeft(v.text+"\n"+word, "\n")
			section.keys[last] = v
		case word[0] == '[':
			name, rest, closed := strings.Cut(word[1:], "]")
			if !closed || strings.Trim(rest, " \t") != "" {
				return nil, wrong(file, at, "the name of a section stands in brackets: [retriever]")
			}
			if sections[name] != nil {
				return nil, wrong(file, at, "section %s stands there twice", show(name))
			}
			section, last, column = &iniSection{at, name, map[string]iniValue{}}, "", at.column
			sections[name] = section
		case section == nil:
			return nil, wrong(file, at, "want a section such as [retriever] first, found %s", show(word))
		default:
			i := strings.IndexAny(word, "=:")
			if i <= 0 {
				return nil, wrong(file, at, "want key = value, found %s", show(word))
			}
			last, column = strings.ToLower(strings.TrimSpace(word[:i])), at.column
			if _, twice := section.keys[last]; twice {
				return nil, wrong(file, at, "%s stands there twice", show(last))
			}
			section.keys[last] = iniValue{at, strings.TrimSpace(word[i+1:])}
		}
	}
	return sections, nil
}

// pythonTuple reads a tuple of strings as getmail has them: ("a", 'b'), ("a",) or ().
func pythonTuple(file string, v iniValue) ([]string, error) {
	fail := func() ([]string, error) {
		return nil, wrong(file, v.place, `want a list such as ("one", "two"), or ("one",) with its comma, found %s`, show(v.text))
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(v.text), "(")
	if !ok || !strings.HasSuffix(rest, ")") {
		return fail()
	}
	rest = strings.TrimSpace(strings.TrimSuffix(rest, ")"))
	var items []string
	for comma := false; rest != ""; {
		item, n, ok := pythonString(rest)
		if !ok {
			return fail()
		}
		items = append(items, item)
		rest = strings.TrimSpace(rest[n:])
		rest, comma = strings.CutPrefix(rest, ",")
		rest = strings.TrimSpace(rest)
		needsComma := rest != "" || len(items) == 1
		if needsComma && !comma {
			return fail()
		}
	}
	return items, nil
}

// pythonString reads one string literal, or a number as its text, and returns how many octets it takes up.
func pythonString(s string) (value string, width int, ok bool) {
	start := 0
	if len(s) > 1 && strings.IndexByte("uUrRbB", s[0]) >= 0 && strings.IndexByte(`"'`, s[1]) >= 0 {
		start = 1
	}
	if s[start] != '"' && s[start] != '\'' {
		n := len(s) - len(strings.TrimLeft(s, "0123456789"))
		return s[:n], n, n > 0
	}
	raw := start == 1 && strings.IndexByte("rR", s[0]) >= 0
	var b strings.Builder
	for i := start + 1; i < len(s); {
		switch c := s[i]; {
		case c == s[start]:
			return b.String(), i + 1, true
		case c == '\\' && i+1 < len(s) && !raw:
			octet := s[i+1]
			if letter := strings.IndexByte("nt", octet); letter >= 0 {
				octet = "\n\t"[letter]
			}
			b.WriteByte(octet)
			i += 2
		default:
			b.WriteByte(c)
			i++
		}
	}
	return "", 0, false
}
