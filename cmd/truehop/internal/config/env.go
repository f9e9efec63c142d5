package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// envPrefix begins our variables. TRUEHOP_INJECT__ADDRESS is inject.address: two
// underscores stand between the parts of a path, because keys hold single ones.
const envPrefix = "TRUEHOP_"

// environment reads variables along the Config struct, as schema reads the file.
type environment struct {
	*report
}

// variable returns the path and the value that a variable sets, "" if it sets none.
func (e *environment) variable(name, s string) (string, any) {
	// The switch of the test suite is no key.
	if name == "TRUEHOP_REQUIRE_SERVERS" {
		return "", nil
	}
	p := place{source: "environment " + clip(name)}
	path, f, ok := e.resolve(p, strings.ToLower(strings.TrimPrefix(name, envPrefix)))
	if !ok {
		return "", nil
	}
	v, fault := e.value(f, s)
	if fault != "" {
		e.add(p, path, "%s", fault)
		return "", nil
	}
	e.places[path] = p
	return canonical(path), v
}

// resolve finds the field that a variable names.
func (e *environment) resolve(p place, name string) (string, field, bool) {
	path, t := "", reflect.TypeFor[Config]()
	var f field
	parts := strings.Split(name, "__")
	for i, part := range parts {
		switch single := i+1 == len(parts); {
		case t == targetsType() && single: // a key of the target without a name
			t = t.Elem().Elem()
			e.flat = append(e.flat, join(path, part))
		case t == targetsType():
			e.named = true
		}
		switch {
		case t.Kind() == reflect.Map:
			if !goodName(part) {
				e.badName(p, path, part)
				return "", f, false
			}
			path, t = join(path, part), t.Elem().Elem()
			if !e.given(path) {
				e.places[path] = p
			}
			continue
		case t.Kind() != reflect.Struct || readsText(t):
			e.add(p, join(path, part), "%s is a single value", shown(path))
			return "", f, false
		}
		var ok bool
		if f, ok = e.known(p, path, part, t); !ok {
			return "", f, false
		}
		path, t = join(path, part), f.typ
	}
	switch k := t.Kind(); {
	case k == reflect.Map, k == reflect.Struct && !readsText(t):
		e.add(p, path, "holds several keys; name one of them, with __ in between")
		return "", f, false
	}
	return path, f, true
}

// value reads the text of a variable. A list is separated by commas.
func (e *environment) value(f field, s string) (any, string) {
	if f.typ == reflect.TypeFor[Secret]() {
		return nil, "passwords are not read from the environment, which others may see; use password_file or password_credential"
	}
	if f.typ.Kind() != reflect.Slice {
		return scalar(f, f.typ, s, bare)
	}
	out := []any{}
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		v, fault := scalar(f, f.typ.Elem(), item, bare)
		switch {
		case fault != "" && secretive(f.name):
			return nil, fault
		case fault != "":
			return nil, fmt.Sprintf("%s: %s", show(item), fault)
		}
		out = append(out, v)
	}
	return slices.Clip(out), ""
}
