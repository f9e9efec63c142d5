package config

import (
	"encoding"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// literal is the YAML type a scalar has by the way it is written. What comes from the
// environment is bare: it may be any of them.
type literal uint8

const (
	bare literal = iota
	text
	integer
	boolean
	other // a float, a date, null
)

// scalar reads one value for field f as type t. It returns what koanf decodes
// into the field, or what is wrong with it.
func scalar(f field, t reflect.Type, s string, lit literal) (value any, fault string) {
	if lit != text && lit != bare && t.Kind() == reflect.String && words(f, t) == nil {
		return nil, "want text; put the value in quotes"
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return duration(f, s)
	case t == reflect.TypeFor[netip.Prefix]():
		return prefix(s)
	case t == reflect.TypeFor[Secret]() && lit != text:
		return nil, "put the password in quotes, else YAML may read another value than you wrote"
	case readsText(t):
		return ownText(f, t, s)
	case t.Kind() == reflect.Bool:
		switch {
		case s != "true" && s != "false":
			return nil, fmt.Sprintf("want true or false, got %s", show(s))
		case lit != bare && lit != boolean:
			return nil, fmt.Sprintf("write %s without quotes", s)
		}
		return s == "true", ""
	case t.Kind() == reflect.Int:
		return number(f, s, lit)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, "holds a control character; remove it"
	}
	return s, choice(f, t, s)
}

// readsText reports whether t decodes itself from text.
func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// worded is a type with a closed set of values. Its words may have a target behind a colon, or behind a blank.
type worded interface{ Words() []string }

// words returns the words that a field of type t takes, nil if any text will do. They are the type's own, or
// those of the tag oneof.
func words(f field, t reflect.Type) []string {
	if w, ok := reflect.Zero(t).Interface().(worded); ok {
		return w.Words()
	}
	if allowed := f.tag.Get("oneof"); allowed != "" {
		return strings.Split(allowed, "|")
	}
	return nil
}

// choice returns what is wrong with s if it is not among the words that f takes.
func choice(f field, t reflect.Type, s string) string {
	allowed := words(f, t)
	if allowed == nil {
		return ""
	}
	word, verbs := s, slices.Clone(allowed)
	for i, v := range verbs {
		end := strings.IndexAny(v, ": ")
		if end < 0 {
			continue
		}
		verbs[i] = v[:end]
		word, _, _ = strings.Cut(s, v[end:end+1])
	}
	if slices.Contains(verbs, word) {
		return ""
	}
	if meant := nearest(word, verbs); meant != "" {
		// What stands behind the verb belongs to it, where it takes something.
		form, behind := allowed[slices.Index(verbs, meant)], s[len(word):]
		switch takes := form != meant; {
		case takes && behind != "":
			meant += behind
		case takes:
			meant = form
		}
		return fmt.Sprintf("unknown value %s; did you mean %q?", show(s), meant)
	}
	return fmt.Sprintf("unknown value %s; want one of %s", show(s), strings.Join(allowed, ", "))
}

// number reads a decimal number without sign, leading zeros or underscores: YAML would read 010 as 8.
func number(f field, s string, lit literal) (any, string) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || strconv.Itoa(n) != s:
		return nil, fmt.Sprintf("want a whole number, got %s", show(s))
	case lit == text:
		return nil, fmt.Sprintf("write %s without quotes", s)
	}
	low, _ := strconv.Atoi(f.tag.Get("min"))
	high, _ := strconv.Atoi(f.tag.Get("max"))
	if outside(n, low, high) {
		return nil, fmt.Sprintf("%d is out of range; want %d to %d", n, low, high)
	}
	return n, ""
}

// outside reports whether v is below low, or above high where that is not 0.
func outside[T ~int | ~int64](v, low, high T) bool {
	if high == 0 {
		return v < low
	}
	return v < low || v > high
}

func duration(f field, s string) (any, string) {
	d, err := ParseDuration(s)
	if err != nil {
		return nil, err.Error()
	}
	low, _ := ParseDuration(f.tag.Get("min"))
	high, _ := ParseDuration(f.tag.Get("max"))
	if outside(d, low, high) {
		return nil, fmt.Sprintf("%s is out of range; want %s to %s", s, f.tag.Get("min"), f.tag.Get("max"))
	}
	return d, ""
}

// ParseDuration reads 90s, 1h30m, 5d. A day has 24 hours.
func ParseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	var total time.Duration
	for rest := s; rest != "" || s == ""; {
		letters := strings.TrimLeft(rest, "0123456789")
		n, err := strconv.Atoi(rest[:len(rest)-len(letters)])
		rest = strings.TrimLeft(letters, "dhms")
		unit := units[letters[:len(letters)-len(rest)]]
		switch {
		case err == nil && letters == "" && n >= 0:
			return 0, fmt.Errorf("%s needs a unit: s, m, h or d, as in %ss", show(s), s)
		case err != nil || unit == 0:
			return 0, fmt.Errorf("want a duration such as 30s, 5m, 2h or 5d, got %s", show(s))
		case time.Duration(n) > (math.MaxInt64-total)/unit:
			return 0, fmt.Errorf("%s is too long", show(s))
		}
		total += time.Duration(n) * unit
	}
	return total, nil
}

// prefix reads a network and refuses host bits: 10.0.0.1/8 is a typing error.
func prefix(s string) (any, string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			return nil, fmt.Sprintf("want a network; for this one address write %s/%d", a, a.BitLen())
		}
		return nil, fmt.Sprintf("want a network such as 192.0.2.0/24 or 2001:db8::/32, got %s", show(s))
	}
	if m := p.Masked(); m != p {
		return nil, fmt.Sprintf("%s has bits set beyond its mask; did you mean %s?", p, m)
	}
	return s, ""
}

// ownText reads a type that decodes itself.
func ownText(f field, t reflect.Type, s string) (any, string) {
	if fault := choice(f, t, s); fault != "" {
		return nil, fault
	}
	v := reflect.New(t)
	if err := v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		return nil, err.Error()
	}
	if size, ok := v.Interface().(*Size); ok {
		var low, high Size
		_ = low.UnmarshalText([]byte(f.tag.Get("min")))
		_ = high.UnmarshalText([]byte(f.tag.Get("max")))
		if outside(*size, low, high) {
			return nil, fmt.Sprintf("%s is out of range; want %s to %s", s, low, high)
		}
	}
	return s, ""
}

// want names the type of a field for a person.
func want(f field) string {
	t := f.typ
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[netip.Prefix]():
		return "network"
	case t == reflect.TypeFor[Size]():
		return "size"
	case t == reflect.TypeFor[Secret]():
		return "secret"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "number"
	}
	return "text"
}

// show quotes a value for an error. Fields of type Secret never get here.
func show(s string) string { return strconv.Quote(clip(s)) }

// clip bounds what is repeated from the file.
func clip(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "…"
}
