package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The options that have a closed set of values, and the words for them. A configuration holds the types
// themselves: a new value is a constant and its word.

// Words returns the configuration word of each constant, indexed by its value.
func (Dialect) Words() []string { return []string{SMTP: "smtp", LMTP: "lmtp"} }

// Words returns the configuration word of each constant, indexed by its value.
func (Mode) Words() []string {
	return []string{Required: "required", IfAvailable: "if-available", Off: "off"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (Carrier) Words() []string {
	return []string{XCLIENT: "xclient", XFORWARD: "xforward", PROXYv1: "proxy-v1", PROXYv2: "proxy-v2"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (DSN) Words() []string { return []string{DSNDefault: "default", DSNNever: "never"} }

// Words returns the configuration word of each constant, indexed by its value.
func (EightBitPolicy) Words() []string {
	return []string{SendAnyway: "send", RefuseEightBit: "refuse"}
}

// Words returns the configuration word of each constant, indexed by its value.
func (NULPolicy) Words() []string { return []string{SendNUL: "send", RefuseNUL: "refuse"} }

// String, MarshalText and UnmarshalText speak in those words.

func (d Dialect) String() string                { return word(d) }
func (d Dialect) MarshalText() ([]byte, error)  { return []byte(word(d)), nil }
func (d *Dialect) UnmarshalText(b []byte) error { return setByWord(d, b) }

func (m Mode) String() string                { return word(m) }
func (m Mode) MarshalText() ([]byte, error)  { return []byte(word(m)), nil }
func (m *Mode) UnmarshalText(b []byte) error { return setByWord(m, b) }

func (c Carrier) String() string                { return word(c) }
func (c Carrier) MarshalText() ([]byte, error)  { return []byte(word(c)), nil }
func (c *Carrier) UnmarshalText(b []byte) error { return setByWord(c, b) }

func (d DSN) String() string                { return word(d) }
func (d DSN) MarshalText() ([]byte, error)  { return []byte(word(d)), nil }
func (d *DSN) UnmarshalText(b []byte) error { return setByWord(d, b) }

func (e EightBitPolicy) String() string                { return word(e) }
func (e EightBitPolicy) MarshalText() ([]byte, error)  { return []byte(word(e)), nil }
func (e *EightBitPolicy) UnmarshalText(b []byte) error { return setByWord(e, b) }

func (n NULPolicy) String() string                { return word(n) }
func (n NULPolicy) MarshalText() ([]byte, error)  { return []byte(word(n)), nil }
func (n *NULPolicy) UnmarshalText(b []byte) error { return setByWord(n, b) }

// choice is an option whose values are words.
type choice interface {
	~uint8
	Words() []string
}

// word returns the word for v, or its number where it is no constant.
func word[T choice](v T) string {
	if words := v.Words(); int(v) < len(words) {
		return words[v]
	}
	return strconv.Itoa(int(v))
}

// setByWord sets v to the constant that text is the word for.
func setByWord[T choice](v *T, text []byte) error {
	words := (*v).Words()
	i := slices.Index(words, string(text))
	if i < 0 {
		return fmt.Errorf("unknown value %.60q; want one of %s", text, strings.Join(words, ", "))
	}
	*v = T(i)
	return nil
}
