package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// EditSettings returns the settings of a row with other values: set are KEY=VALUE, where a value is written as in an environment
// variable, so that commas separate the items of a list, and a key below another one follows it after a dot; unset are keys
// that go. It does not say whether the whole is right: [Table] does.
func EditSettings(settings []byte, set, unset []string) ([]byte, error) {
	object := map[string]any{}
	if len(settings) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(settings))
		decoder.UseNumber()
		if err := decoder.Decode(&object); err != nil {
			return nil, errors.New("the settings that the row has are no JSON object; remove it and add it anew")
		}
	}
	for _, key := range unset {
		if _, err := keyOfRow(key); err != nil {
			return nil, err
		}
		in, last := innermost(object, key, false)
		delete(in, last)
	}
	for _, assignment := range set {
		key, value, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, fmt.Errorf("want KEY=VALUE%s", got(assignment))
		}
		f, err := keyOfRow(key)
		if err != nil {
			return nil, err
		}
		v, fault := (&environment{}).value(f, value)
		if fault != "" {
			return nil, fmt.Errorf("%s: %s", key, fault)
		}
		in, last := innermost(object, key, true)
		in[last] = inJSON(f, v, value)
	}
	return json.Marshal(object)
}

// keyOfRow returns the field that a key of a row names, as in oauth.tenant.
func keyOfRow(key string) (field, error) {
	r := &report{places: map[string]place{}, bad: map[string]bool{}}
	t := reflect.TypeFor[Account]()
	var f field
	for part := range strings.SplitSeq(key, ".") {
		if t.Kind() != reflect.Struct || readsText(t) {
			return f, fmt.Errorf("%s: unknown key; nothing stands below %s", clip(key), f.name)
		}
		var ok bool
		if f, ok = r.known(place{}, "", part, t); !ok {
			return f, fmt.Errorf("%s: %s", clip(key), r.problems[0].Text)
		}
		t = f.typ
	}
	if why := notInRow(f.name); why != "" {
		return f, fmt.Errorf("%s: %s", key, why)
	}
	if t.Kind() == reflect.Struct && !readsText(t) {
		return f, fmt.Errorf("%s: holds several keys; name one of them, with a dot in between", key)
	}
	return f, nil
}

// innermost returns the object that holds a key, and the key's name in there. Those on the way are made if make says so.
func innermost(object map[string]any, key string, make bool) (map[string]any, string) {
	for {
		first, rest, below := strings.Cut(key, ".")
		if !below {
			return object, first
		}
		next, ok := object[first].(map[string]any)
		if !ok {
			next = map[string]any{}
			if make {
				object[first] = next
			}
		}
		object, key = next, rest
	}
}

// inJSON is a value of field f, read from text, as a row has it: what is text in a file is text there.
func inJSON(f field, value any, text string) any {
	switch k := f.typ.Kind(); {
	case k == reflect.Slice, k == reflect.Bool:
		return value
	case k == reflect.Int && f.typ != reflect.TypeFor[time.Duration]():
		return value
	}
	return text
}
