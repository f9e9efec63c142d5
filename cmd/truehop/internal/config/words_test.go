package config

import (
	"encoding"
	"reflect"
	"strings"
	"testing"
)

// Every word of every key is read, prints as itself, and with a letter changed is refused with the word that
// was probably meant.
func TestWords(t *testing.T) {
	tried := 0
	for _, typ := range []reflect.Type{reflect.TypeFor[Log](), reflect.TypeFor[Target](), reflect.TypeFor[Account]()} {
		for _, f := range fields(typ) {
			for _, w := range words(f, f.typ) {
				word := strings.NewReplacer("KEYWORD", "$x", "FOLDER", "x", "ADDRESS", "x@example.org", " N", " 5", "DAY", "2026-01-31").Replace(w)
				if fault := choice(f, f.typ, word); fault != "" {
					t.Errorf("%s: %s is refused: %s", f.name, word, fault)
				}
				verb := word[:strings.IndexAny(word+":", ": ")]
				if fault := choice(f, f.typ, verb+"~"); !strings.Contains(fault, "did you mean") {
					t.Errorf("%s: %s~ is answered with %q", f.name, verb, fault)
				}
				if !readsText(f.typ) || f.name == "level" {
					continue
				}
				tried++
				v := reflect.New(f.typ)
				err := v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(word))
				text, err2 := v.Interface().(encoding.TextMarshaler).MarshalText()
				if err != nil || err2 != nil || string(text) != word {
					t.Errorf("%s: %s is read and printed as %q, %v, %v", f.name, word, text, err, err2)
				}
			}
			if got := words(f, f.typ); got != nil && readsText(f.typ) && f.name != "level" {
				v := reflect.New(f.typ)
				err := v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte("\x1b" + strings.Repeat("x", 100)))
				if err == nil || !v.Elem().IsZero() || len(err.Error()) > 400 || strings.Contains(err.Error(), "\x1b") {
					t.Errorf("%s: a wrong word is read as %v, %v", f.name, v.Elem(), err)
				}
			}
		}
	}
	if tried < 50 {
		t.Errorf("only %d words tried", tried)
	}
}
