package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxDepth bounds the nesting of a configuration; ours needs 4.
const maxDepth = 16

// field is one key of a mapping, as the tags of a struct describe it.
type field struct {
	name string
	typ  reflect.Type
	tag  reflect.StructTag
}

// fields lists the keys of struct type t, those of embedded structs in their place.
func fields(t reflect.Type) []field {
	var list []field
	for f := range t.Fields() {
		switch name, opts, _ := strings.Cut(f.Tag.Get("koanf"), ","); {
		case opts == "squash":
			list = append(list, fields(f.Type)...)
		case name != "" && name != "-":
			list = append(list, field{name, f.Type, f.Tag})
		}
	}
	return list
}

func names(list []field) []string {
	out := make([]string, len(list))
	for i, f := range list {
		out[i] = f.name
	}
	return out
}

// schema walks a YAML document along the Config struct. What is right comes
// out as plain maps for koanf; what is wrong goes to the report. It is the koanf.Parser of a file.
type schema struct {
	*report
	name string // of the file
	// fragment says that the file is one of conf.d.
	fragment bool
	// row says that it is no file, but a row of a table.
	row  bool
	data []byte
}

// Unmarshal reads a document.
func (s *schema) Unmarshal(data []byte) (map[string]any, error) {
	s.data = data
	var docs []yaml.Node
	if err := yaml.Load(data, &docs, yaml.WithAllDocuments()); err != nil {
		s.syntax(err)
		return map[string]any{}, nil
	}
	if len(docs) > 1 {
		s.bad["accounts"] = true
		s.add(s.at(&docs[1]), "", "a second document begins here; a configuration is one document, remove the line ---")
	}
	empty := len(docs) == 0 || len(docs[0].Content) == 0
	switch {
	case empty && s.fragment:
		s.empty()
		return map[string]any{}, nil
	case empty:
		return map[string]any{}, nil
	case s.fragment:
		return s.mapping(s.oneAccount(docs[0].Content[0]), "", reflect.TypeFor[account]()), nil
	}
	return s.mapping(docs[0].Content[0], "", reflect.TypeFor[Config]()), nil
}

// Marshal completes koanf.Parser; nothing is ever written.
func (s *schema) Marshal(map[string]any) ([]byte, error) {
	return nil, fmt.Errorf("config: not written")
}

func (s *schema) at(n *yaml.Node) place {
	if s.row {
		return place{source: s.name} // the database has its own way to write a value
	}
	return place{s.name, n.Line, n.Column}
}

// mapping walks the keys of a struct or of a map of structs.
func (s *schema) mapping(n *yaml.Node, path string, t reflect.Type) map[string]any {
	out := map[string]any{}
	if n.Kind != yaml.MappingNode {
		s.add(s.at(n), path, "want keys and values, got %s", kindOf(n))
		s.bad[join(path, "accounts")] = true
		return out
	}
	if !s.plain(n, path) {
		return out
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			s.add(s.at(key), path, "a key is a word, not %s", kindOf(key))
			continue
		}
		if end := strings.IndexAny(key.Value, ":= \t\"'"); end > 0 && t.Kind() == reflect.Struct {
			// YAML takes password:x and password=x, where a blank is missing, for keys as a whole. What is behind the word is not to be shown.
			word := key.Value[:end]
			s.add(s.at(key), join(path, word), "is followed by something else than a colon and a blank; write %s: VALUE", clip(word))
			continue
		}
		if line, twice := seen[key.Value]; twice {
			s.add(s.at(key), join(path, key.Value), "given before on line %d; keep one of the two", line)
			continue
		}
		seen[key.Value] = key.Line
		if v, ok := s.member(key, value, path, t); ok {
			out[key.Value] = v
		}
	}
	return out
}

// member walks one key of a mapping and its value.
func (s *schema) member(key, value *yaml.Node, path string, t reflect.Type) (any, bool) {
	at := join(path, key.Value)
	if t.Kind() == reflect.Map {
		if !goodName(key.Value) {
			s.badName(s.at(key), path, key.Value)
			return nil, false
		}
		if other, twice := s.places[at]; twice {
			s.problems = append(s.problems, problem(s.at(key), at, "is in %s:%d:%d already; keep one of the two", other.source, other.line, other.column))
			return nil, false
		}
		s.places[at] = s.at(key)
		if null(value) {
			least := "host, user, a password and recipients"
			if t == targetsType() {
				least = "its address"
			}
			s.add(s.at(key), at, "has no keys below it; give at least %s", least)
			return nil, false
		}
		return s.mapping(value, at, t.Elem().Elem()), true
	}
	f, ok := s.known(s.at(key), path, key.Value, t)
	if !ok {
		return nil, false
	}
	s.places[at] = s.at(value)
	if why := notInRow(key.Value); s.row && why != "" {
		s.add(s.at(key), at, "%s", why)
		return nil, false
	}
	if !s.plain(value, at) {
		return nil, false
	}
	if null(value) {
		s.add(s.at(key), at, "has no value; give one or remove the line")
		return nil, false
	}
	switch k := f.typ.Kind(); {
	case readsText(f.typ):
	case f.typ == targetsType():
		return s.targets(value, at), true
	case k == reflect.Struct, k == reflect.Map:
		return s.mapping(value, at, f.typ), true
	case k == reflect.Slice:
		return s.list(value, at, f)
	}
	return s.scalar(value, at, f, f.typ)
}

// list walks a sequence of scalars.
func (s *schema) list(n *yaml.Node, path string, f field) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		example := clip(n.Value)
		if secretive(path) {
			example = "/usr/bin/pass, show, mail"
		}
		s.add(s.at(n), path, "want a list, got %s; write [%s]", kindOf(n), example)
		return nil, false
	}
	out := []any{}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s/[%d]", path, i)
		s.places[at] = s.at(item)
		before := len(s.problems)
		if s.plain(item, at) {
			if v, ok := s.scalar(item, at, f, f.typ.Elem()); ok {
				out = append(out, v)
			}
		}
		s.bad[path] = s.bad[path] || len(s.problems) > before
	}
	return out, true
}

// scalar reads one value of field f as type t.
func (s *schema) scalar(n *yaml.Node, at string, f field, t reflect.Type) (any, bool) {
	if n.Kind != yaml.ScalarNode || null(n) {
		s.add(s.at(n), at, "want %s, got %s", want(f), kindOf(n))
		return nil, false
	}
	lit := other // by the way it is written
	switch {
	case n.Style&quoted != 0, n.ShortTag() == "!!str":
		lit = text
	case n.ShortTag() == "!!int":
		lit = integer
	case n.ShortTag() == "!!bool":
		lit = boolean
	}
	v, fault := scalar(f, t, n.Value, lit)
	if fault != "" {
		s.add(s.at(n), at, "%s", fault)
		return nil, false
	}
	return v, true
}

// known returns the field for a key, or reports that there is none and what was probably meant.
func (r *report) known(p place, path, key string, t reflect.Type) (field, bool) {
	list := fields(t)
	if i := slices.IndexFunc(list, func(f field) bool { return f.name == key }); i >= 0 {
		return list[i], true
	}
	if meant := nearest(key, names(list)); meant != "" {
		r.add(p, join(path, key), "unknown key; did you mean %q?", meant)
		r.bad[join(path, meant)] = true
		return field{}, false
	}
	advice := "remove it (the README lists every key)"
	for _, home := range []struct {
		place string
		typ   reflect.Type
	}{
		{"below accounts.NAME", reflect.TypeFor[Account]()}, {"below accounts.NAME.oauth", reflect.TypeFor[OAuth]()}, {"below inject", reflect.TypeFor[Target]()},
		{"below log", reflect.TypeFor[Log]()}, {"below resolver", reflect.TypeFor[Resolver]()}, {"at the top level", reflect.TypeFor[Config]()},
	} {
		if slices.Contains(names(fields(home.typ)), key) {
			advice = "it belongs " + home.place
			break
		}
	}
	r.add(p, join(path, key), "unknown key; %s", advice)
	return field{}, false
}

// plain refuses what YAML has and a configuration does not need: aliases
// (which a few lines can blow up to gigabytes), anchors, tags.
func (s *schema) plain(n *yaml.Node, path string) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		s.add(s.at(n), path, "anchors and aliases are not read here; put shared keys of accounts below defaults:")
	case n.Style&yaml.TaggedStyle != 0:
		// A password without quotes that begins with an exclamation mark looks like one.
		s.add(s.at(n), path, "an exclamation mark begins a tag, which is not read here; remove it, or put the value in quotes")
	case strings.Count(path, "/") > maxDepth:
		s.add(s.at(n), path, "nested too deeply")
	default:
		return true
	}
	return false
}

func null(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style&quoted == 0 && n.ShortTag() == "!!null"
}

const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case null(n):
		return "nothing"
	}
	return "a single value"
}

func join(path, key string) string {
	// A key can hold the delimiter only where it is wrong anyway.
	key = clip(strings.ReplaceAll(key, "/", "\uFF0F"))
	if path == "" {
		return key
	}
	return path + "/" + key
}

// badName reports that an account or a target cannot be called so. The name has no path of its own: it may hold the delimiter.
func (r *report) badName(p place, path, name string) {
	r.bad[path] = true
	whose := "an account"
	if path == injectKey {
		whose = "a target"
	}
	called := show(name)
	if discreet(name) {
		called = "this"
	}
	r.problems = append(r.problems, problem(p, path,
		"%s is no name for %s; use a-z, 0-9, dot, hyphen and underscore, 63 at most, and begin with a letter or digit", called, whose))
}

// goodName reports whether s can name an account or a target: it becomes part of log
// lines, unit names and keys of the ledger.
func goodName(s string) bool {
	if s == "" || len(s) > 63 || strings.ContainsRune("._-", rune(s[0])) {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}
